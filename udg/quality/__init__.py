"""Measuring results, with and without a reference, and rendering rain to measure with.

Nothing here is used by the pipeline.
"""
