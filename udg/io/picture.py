"""A picture as files hold it, and what is the same for all formats: depth, turning, metadata."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError, InvalidImage

__all__ = [
    "Picture",
    "bounds",
    "carried",
    "check_size",
    "from_cmyk",
    "full_scale",
    "plausible_dpi",
    "quantize",
    "turned",
]

_MAX_PIXELS = 500_000_000  # beyond this a file is more likely an attack than a photograph
_JPEG_SEGMENT = 65_500  # bytes of EXIF that fit


@dataclass(frozen=True)
class Picture:
    """A picture as it was stored, upright.

    Attributes
    ----------
    pixels : ndarray, shape (H, W) or (H, W, C)
        uint8, uint16 or float32. Channels as in `udg.imaging.image`; alpha is not premultiplied.
    format : str
        ``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"WebP"``, ``"BMP"`` or ``"zarr"``, by content, not by
        name.
    icc : bytes, optional
        The colour profile.
    exif : bytes, optional
        EXIF from its byte order mark on. Its orientation has been applied and now says 1.
    dpi : (float, float), optional
        Resolution along x and y.
    lossless : bool
        Whether the file held the pixels exactly; WebP output follows it.
    """

    pixels: NDArray[Any]
    format: str
    icc: bytes | None = None
    exif: bytes | None = None
    dpi: tuple[float, float] | None = None
    lossless: bool = True


def quantize(pixels: NDArray[Any], source: Any, target: Any) -> NDArray[Any]:
    """Round and clip pixels in the range of one type to another type and its range.

    Parameters
    ----------
    pixels : ndarray
        In the range of ``source``: up to its maximum for integers, [0, 1] for floats.
    source, target : dtype
        uint8, uint16 or float32. Floats are neither rounded nor clipped.

    Returns
    -------
    ndarray of ``target``
    """
    source, target = np.dtype(source), np.dtype(target)
    if pixels.dtype == source == target:
        return pixels
    scale = full_scale(target) / full_scale(source)
    scaled: NDArray[Any] = np.multiply(pixels, np.float32(scale), dtype=np.float32)
    if target.kind == "f":
        return scaled
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, full_scale(target), out=scaled)
    return scaled.astype(target)


def full_scale(dtype: np.dtype[Any]) -> float:
    """Return the value of full light."""
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def carried(like: Picture | None, shape: tuple[int, ...], format: str = "TIFF") -> dict[str, Any]:
    """Collect the profile, EXIF and resolution that a picture of that shape keeps."""
    kept: dict[str, Any] = {}
    if like:
        if like.icc and _is_grey(like.pixels.shape) == _is_grey(shape):
            kept["icc_profile"] = like.icc
        if like.exif and not (format == "JPEG" and len(like.exif) > _JPEG_SEGMENT):
            kept["exif"] = b"Exif\0\0" + like.exif
        if like.dpi:
            kept["dpi"] = like.dpi
    return kept


def _is_grey(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or shape[2] < 3


def check_size(width: int, height: int) -> None:
    """Refuse what nobody would photograph."""
    if width * height > _MAX_PIXELS:
        raise FileError(
            f"is {width}×{height} pixels; more than {_MAX_PIXELS // 10**6} million are not read. "
            "Cut it into parts"
        )


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8; others count as 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def plausible_dpi(value: Any, orientation: int) -> tuple[float, float] | None:
    """Return the upright picture's resolution, or None if the stored one makes no sense."""
    try:
        x, y = (float(side) for side in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < x < np.inf and 0 < y < np.inf):
        return None
    return (y, x) if orientation >= 5 else (x, y)


def from_cmyk(opened: Any, icc: bytes | None) -> tuple[Any, bytes | None]:
    """Convert Pillow's CMYK to sRGB, by the embedded profile if there is one."""
    from PIL import ImageCms

    if not icc:
        return opened.convert("RGB"), None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        rgb = ImageCms.profileToProfile(opened, BytesIO(icc), srgb, outputMode="RGB")
    except ImageCms.PyCMSError:  # the profile is broken or for something else
        return opened.convert("RGB"), None
    return rgb, srgb.tobytes()


def bounds(window: Any, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Split an index into rows and columns, both with their ends."""
    rows, columns = window if isinstance(window, tuple) else (window, slice(None))
    (top, bottom, one), (left, right, other) = rows.indices(shape[0]), columns.indices(shape[1])
    if one != 1 or other != 1:
        raise InvalidImage("pictures on disk are read and written by windows without steps")
    return slice(top, bottom), slice(left, right)
