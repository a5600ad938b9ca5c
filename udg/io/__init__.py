"""Files: pictures read and written whole or by windows, EXIF, paths.

No processing: arrays in, arrays out.
"""
