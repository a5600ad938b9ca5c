"""Zarr arrays, read and written by windows (extra ``zarr``)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError, MissingExtra
from udg.io.paths import damage, plain_errors, temporary_beside
from udg.io.picture import Picture, bounds

__all__ = ["ZarrWindows", "created", "opened"]

_CHUNK = 1024  # side of the chunks in a zarr that is written


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtra("zarr", "zarr") from error
    return zarr


def opened(path: Path) -> Picture:
    """Open an array, or a group that holds nothing but one, for reading by windows."""
    zarr = _zarr()
    with damage(path, "zarr"):
        array = zarr.open(path, mode="r")
        if isinstance(array, zarr.Group):
            members = list(array.arrays())
            if len(members) != 1:
                raise FileError(
                    f"is a zarr group of {len(members)} arrays; give the path of one in it"
                )
            array = members[0][1]
        if array.ndim not in (2, 3):
            raise FileError(
                f"has shape {array.shape}; a picture has (H, W) or (H, W, C), channels last"
            )
        pixels: Any = ZarrWindows(path, array)
        return Picture(pixels, "zarr")


class ZarrWindows:
    """A zarr array that is read by windows.

    Parameters
    ----------
    path : Path
        For messages.
    array : zarr.Array
        The array.
    """

    def __init__(self, path: Path, array: Any) -> None:
        self._path, self.array = path, array
        self.shape, self.ndim = array.shape, array.ndim
        self.dtype = np.dtype(array.dtype).newbyteorder("=")

    def __getitem__(self, window: Any) -> NDArray[Any]:
        rows, columns = bounds(window, self.shape)
        with damage(self._path, "zarr"):
            return np.asarray(self.array[rows, columns], self.dtype)


@contextmanager
def created(path: Path, shape: tuple[int, ...], like: Picture) -> Iterator[Any]:
    """Make an array to be assigned by rows; it takes its place when the context ends well."""
    zarr = _zarr()
    source = getattr(like.pixels, "array", None)
    chunks = (*(min(_CHUNK, side) for side in shape[:2]), *shape[2:])
    temporary = temporary_beside(path)
    try:
        with plain_errors(path, "write"):
            yield zarr.create_array(
                store=temporary,
                shape=shape,
                dtype=like.pixels.dtype,
                chunks=chunks if source is None else source.chunks,
                zarr_format=3 if source is None else source.metadata.zarr_format,
                attributes=None if source is None else dict(source.attrs),
            )
            if path.exists():
                old = temporary_beside(path)
                path.replace(old)
                temporary.replace(path)
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            else:
                temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
