"""Pictures from and to files of any format: nothing lost on the way, nothing half-written.

`read` gives the pixels as they are stored, upright, with what must be carried over. `write` rounds
to the file's own bit depth and keeps the colour profile, EXIF and resolution. What a format cannot
hold is converted: 16 bits become 8 in JPEG, WebP and BMP; alpha is dropped from JPEG and BMP, with
a warning in the log ``udg.io.files``. XMP and IPTC are not carried.

`opened` and `created` do the same by windows, so that a picture need not fit into memory: TIFF and
zarr are read by windows and written by rows, any other format is decoded and encoded whole.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError
from udg.io import raster, tiff, zarr
from udg.io.paths import (
    damage,
    format_by_content,
    format_of,
    is_zarr,
    plain_errors,
    refuse_existing,
    write_bytes,
)
from udg.io.picture import Picture, carried, quantize

__all__ = ["created", "dimensions", "opened", "read", "write"]

_WEBP_SIDE = 16_383

_log = logging.getLogger(__name__)


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a PNG, JPEG, TIFF, WebP or BMP picture, or a zarr array as `opened` does.

    Palettes become RGB (or RGBA), 1, 2 and 4 bit become 8 bit, CMYK becomes RGB, float16 and
    float64 become float32. Everything else stays as stored. Of a JPEG that holds several pictures
    (MPO) the main one is taken.

    Parameters
    ----------
    path : path-like
        The file. Its content decides the format.

    Returns
    -------
    Picture

    Raises
    ------
    FileError
        The file is missing, unreadable, damaged, not a picture, or holds several pictures.
    """
    path = Path(path)
    if is_zarr(path):
        picture = zarr.opened(path)
        return replace(picture, pixels=picture.pixels[:, :])
    data, format = _content(path)
    with damage(path, format), warnings.catch_warnings():
        # Oddities of metadata do not matter; of pixels they raise.
        warnings.simplefilter("ignore")
        return tiff.decode(data) if format == "TIFF" else raster.decode(data, format)


def dimensions(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a picture as it is stored, without decoding it.

    Parameters
    ----------
    path : path-like
        A PNG, JPEG, TIFF, WebP or BMP file. Its content decides the format.

    Returns
    -------
    (int, int)
        In pixels, before EXIF's orientation is applied.

    Raises
    ------
    FileError
        As `read` does, as far as the file's header tells.
    """
    path = Path(path)
    data, format = _content(path)
    with damage(path, format), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return tiff.dimensions(data) if format == "TIFF" else raster.dimensions(data, format)


def _content(path: Path) -> tuple[bytes, str]:
    """A file's bytes, and the format that they are in."""
    with plain_errors(path, "read"):
        data = path.read_bytes()
    if not data:
        raise FileError(f"{path} is empty (0 bytes); copy it again from where it came from")
    format = format_by_content(data)
    if format is None:
        raise FileError(
            f"{path} is not a picture that udg can read; convert it to PNG, JPEG, TIFF, WebP or BMP"
        )
    return data, format


def write(
    path: str | os.PathLike[str],
    pixels: NDArray[Any],
    like: Picture | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a picture in the format of the path's suffix, completely or not at all.

    Parameters
    ----------
    path : path-like
        ``.png``, ``.jpg``, ``.jpeg``, ``.tif``, ``.tiff``, ``.webp``, ``.bmp`` or ``.zarr``. Its
        folder must exist.
    pixels : ndarray, shape (H, W) or (H, W, C)
        In the range of ``like`` (0 to 255, 0 to 65535, or [0, 1]), rounded and clipped here.
        Without ``like``, in the range of their own type.
    like : Picture, optional
        Gives the bit depth, and the profile, EXIF and resolution that are kept. The profile is
        left out if ``pixels`` are grey and it is not, or the other way round.
    overwrite : bool
        Replace an existing file. It stays as it was until the new one is complete.

    Raises
    ------
    FileError
        The suffix is unknown, the file exists, the folder cannot be written to, or the disk is
        full. Nothing is left behind then.
    """
    path = Path(path)
    format = format_of(path)
    if not overwrite:
        refuse_existing(path)
    source = like.pixels.dtype if like else pixels.dtype
    pixels = _fit(quantize(pixels, source, _depth(format, source)), format, path)
    if format == "zarr":
        with zarr.created(path, pixels.shape, like or Picture(pixels, format)) as target:
            target[: len(pixels)] = pixels
        return
    kept = carried(like, pixels.shape, format)
    if format == "TIFF":
        data: bytes | memoryview = tiff.encode(pixels, kept)
    else:
        data = raster.encode(pixels, format, kept, lossless=like is None or like.lossless)
    write_bytes(path, data, overwrite=overwrite)


def _depth(format: str, source: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which a format stores pixels of the type ``source``."""
    if format in ("TIFF", "zarr") or source == np.uint8:
        return source
    return np.dtype(np.uint16 if format == "PNG" else np.uint8)


def _fit(pixels: NDArray[Any], format: str, path: Path) -> NDArray[Any]:
    """Drop what the format has no place for, or refuse."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels > 4 and format not in ("TIFF", "zarr"):
        raise FileError(f"{path}: {format} cannot hold {channels} channels; use .tif")
    if format == "WebP" and max(pixels.shape[:2]) > _WEBP_SIDE:
        raise FileError(f"{path}: WebP cannot be wider or higher than {_WEBP_SIDE}; use .png")
    if channels in (2, 4) and format in ("JPEG", "BMP"):
        _log.warning("%s: %s cannot hold transparency, which is dropped", path, format)
        pixels = pixels[:, :, : channels - 1]
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    return np.ascontiguousarray(pixels)


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Picture]:
    """Open a picture for reading by windows.

    Parameters
    ----------
    path : path-like
        A file that `read` can read, or a zarr array of shape (H, W) or (H, W, C), or a
        zarr group that holds nothing but one.

    Yields
    ------
    Picture
        As `read` gives it, but for TIFF and zarr its ``pixels`` have only ``shape``,
        ``ndim``, ``dtype`` and slicing by rows and columns, which reads; until the context ends.

    Raises
    ------
    FileError
        As `read` does, also while reading.
    MissingExtra
        It is a zarr array, and zarr is not installed.
    """
    path = Path(path)
    if is_zarr(path):
        yield zarr.opened(path)
    elif _is_tiff(path):
        with tiff.opened(path) as picture:
            yield picture
    else:
        yield read(path)


@contextmanager
def created(
    path: str | os.PathLike[str],
    shape: tuple[int, ...],
    like: Picture,
    *,
    overwrite: bool = False,
) -> Iterator[Any]:
    """Write a picture by rows, completely or not at all.

    Parameters
    ----------
    path : path-like
        As in `write`; ``.zarr`` makes a zarr array.
    shape : (int, int) or (int, int, int)
        Of the picture.
    like : Picture
        Gives the type of the pixels, and the profile, EXIF and resolution that are kept. Zarr keeps
        the attributes and chunks of a zarr picture.
    overwrite : bool
        Replace an existing file. It stays as it was until the new one is complete.

    Yields
    ------
    array_like
        With ``shape``, ``ndim`` and ``dtype``. Assign all rows, ``target[top:bottom] = rows``, from
        top to bottom.

    Raises
    ------
    FileError
        As `write` does. Nothing is left behind then, nor when the context ends with any
        other exception.
    MissingExtra
        The path ends in ``.zarr``, and zarr is not installed.
    """
    path = Path(path)
    format = format_of(path)
    if not overwrite:
        refuse_existing(path)
    if format == "zarr":
        with zarr.created(path, shape, like) as target:
            yield target
    elif format == "TIFF":
        with tiff.created(path, shape, like) as target:
            yield target
    else:
        pixels = np.zeros(shape, like.pixels.dtype)
        yield pixels
        write(path, pixels, like, overwrite=overwrite)


def _is_tiff(path: Path) -> bool:
    with plain_errors(path, "read"), path.open("rb") as file:
        return format_by_content(file.read(12)) == "TIFF"
