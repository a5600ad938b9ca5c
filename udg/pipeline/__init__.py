"""The one way from a picture to its derained version: options, stages, and who executes them.

The order of things is written in `udg.pipeline.stages` only; the others execute it.
"""
