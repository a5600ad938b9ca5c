"""Results made visible: previews for notebooks and reports, diagrams.

No files are written here but by matplotlib's own hand.
"""
