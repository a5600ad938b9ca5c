"""What is minimised: differences, transforms, the energy (Eq. 3) and its certificate.

No image files, no detection and no loop: only arrays in the frame in which streaks are vertical.
"""
