"""PNG, JPEG, WebP and BMP, decoded and encoded whole."""

from __future__ import annotations

import contextlib
import struct
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError
from udg.io import exif
from udg.io.picture import Picture, check_size, from_cmyk, plausible_dpi, turned

__all__ = ["decode", "dimensions", "encode"]


def decode(data: bytes, format: str) -> Picture:
    """Decode by Pillow, except 16-bit PNG, of which it would keep 8 bits."""
    import imagecodecs

    image = _opened(data, format)
    check_size(*image.size)
    if format in ("PNG", "WebP") and getattr(image, "is_animated", False):
        raise FileError("is an animation; extract its frames first")
    image.load()
    icc = image.info.get("icc_profile")
    orientation, blob = _upright(_exif_of(image))
    dpi = plausible_dpi(image.info.get("dpi"), orientation)
    if format == "PNG" and data[24] == 16:
        pixels = imagecodecs.png_decode(data)
    else:
        image, icc = _to_plain_mode(image, icc)
        pixels = np.asarray(image)
    return Picture(
        pixels=turned(pixels, orientation),
        format=format,
        icc=icc or None,
        exif=blob,
        dpi=dpi,
        lossless=format in ("PNG", "BMP") or data[12:16] == b"VP8L",
    )


def dimensions(data: bytes, format: str) -> tuple[int, int]:
    """Read width and height, as stored."""
    width, height = _opened(data, format).size
    return int(width), int(height)


def _opened(data: bytes, format: str) -> Any:
    """An image of Pillow's, of which only the header was read."""
    from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    # Image.open() would apply its own, lower limit on size, which is one for the whole process.
    plugin: Any = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.jpeg_factory,
        "WebP": WebPImagePlugin.WebPImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
    }[format]
    return plugin(BytesIO(data))


def _to_plain_mode(opened: Any, icc: bytes | None) -> tuple[Any, bytes | None]:
    """Convert any of Pillow's modes to L, LA, RGB or RGBA."""
    if opened.mode == "CMYK":
        return from_cmyk(opened, icc)
    alpha = "A" if opened.has_transparency_data else ""
    mode = ("L" if opened.mode in ("1", "L", "LA") else "RGB") + alpha
    return opened if opened.mode == mode else opened.convert(mode), icc


def _exif_of(opened: Any) -> bytes | None:
    """EXIF from wherever the format keeps it, also where the orientation is in XMP only."""
    raw = opened.info.get("exif")
    if not raw:
        with contextlib.suppress(Exception):  # broken metadata must not cost the picture
            found = opened.getexif()
            raw = found.tobytes() if len(found) else None
    return raw.removeprefix(b"Exif\0\0") if raw else None


def _upright(blob: bytes | None) -> tuple[int, bytes | None]:
    if blob is not None:
        with contextlib.suppress(struct.error, LookupError):
            return exif.upright(blob)
    return 1, None


def encode(
    pixels: NDArray[Any], format: str, carried: dict[str, Any], *, lossless: bool
) -> bytes | memoryview:
    """Encode pixels that the format can hold, with the metadata that is carried over."""
    if format == "PNG":
        return _encode_png(pixels, carried)
    return _encode_other(pixels, format, carried, lossless=lossless)


def _encode_png(pixels: NDArray[Any], carried: dict[str, Any]) -> bytes:
    """Pixels by imagecodecs, as Pillow has no 16-bit colour; metadata chunks by Pillow."""
    import imagecodecs
    from PIL import Image

    def dot(**metadata: Any) -> bytes:
        buffer = BytesIO()
        Image.new("L", (1, 1)).save(buffer, "PNG", **metadata)
        return buffer.getvalue()

    header = 33  # bytes of signature and IHDR, after which the metadata stands
    bare = dot()
    full = dot(**carried)
    chunks = full[header : len(full) - (len(bare) - header)]
    encoded = bytes(imagecodecs.png_encode(pixels))
    return encoded[:header] + chunks + encoded[header:]


def _encode_other(
    pixels: NDArray[Any], format: str, carried: dict[str, Any], *, lossless: bool
) -> memoryview:
    from PIL import Image

    options: dict[str, Any] = {
        "JPEG": {"quality": 95, "subsampling": 0},
        "WebP": {"lossless": True, "exact": True} if lossless else {"quality": 95, "exact": True},
        "BMP": {},
    }[format]
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format.upper(), **options, **carried)
    return buffer.getbuffer()
