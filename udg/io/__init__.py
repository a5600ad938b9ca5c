"""Files: raster formats, TIFF and zarr by parts, EXIF.

No processing: arrays in, arrays out.
"""
