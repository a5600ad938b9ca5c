"""Pictures as arrays: value range, channels, illuminant, rotated frames, compositing, chroma.

No files, and nothing that decides whether there is rain.
"""
