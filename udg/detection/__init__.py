"""What a picture tells of its rain: direction, level, density, how streak-like a line is.

Nothing here subtracts rain; fitted numbers lie beside the code as JSON with their provenance.
"""
