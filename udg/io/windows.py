"""Pictures on disk that are read and written by windows, so that they need not fit into memory.

`opened` reads TIFF (strips or tiles, compressed or not, classic or BigTIFF) and zarr arrays window
by window; every other format is decoded whole. `created` writes TIFF and zarr row by row under a
temporary name, and any other format at the end. What is carried over, and what is refused, is the
same as in `udg.io.raster`.
"""

from __future__ import annotations

import mmap
import os
import secrets
import shutil
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError, InvalidImage, MissingExtra
from udg.io import raster
from udg.io.raster import Picture

__all__ = ["created", "is_zarr", "opened"]

_CACHED = 2**28  # bytes of decoded strips or tiles that are kept
_SIDE = 256  # of the tiles in a TIFF that is written
_CHUNK = 1024  # side of the chunks in a zarr that is written
_CLASSIC = 4 * 10**9  # bytes of pixels beyond which a TIFF must be a BigTIFF


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Picture]:
    """Open a picture for reading by windows.

    Parameters
    ----------
    path : path-like
        A file that `udg.io.raster.read` can read, or a zarr array of shape (H, W) or (H, W, C), or a
        zarr group that holds nothing but one.

    Yields
    ------
    Picture
        As `udg.io.raster.read` gives it, but for TIFF and zarr its ``pixels`` have only ``shape``,
        ``ndim``, ``dtype`` and slicing by rows and columns, which reads; until the context ends.

    Raises
    ------
    FileError
        As `udg.io.raster.read` does, also while reading.
    MissingExtra
        It is a zarr array, and zarr is not installed.
    """
    path = Path(path)
    if is_zarr(path):
        yield _open_zarr(path)
    elif _is_tiff(path):
        with _open_tiff(path) as picture:
            yield picture
    else:
        yield raster.read(path)


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
        As in `udg.io.raster.write`; ``.zarr`` makes a zarr array.
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
        As `udg.io.raster.write` does. Nothing is left behind then, nor when the context ends with any
        other exception.
    MissingExtra
        The path ends in ``.zarr``, and zarr is not installed.
    """
    path = Path(path)
    format = raster.format_of(path)
    if not overwrite:
        raster.refuse_existing(path)
    if format == "zarr":
        with _created_zarr(path, shape, like) as target:
            yield target
    elif format == "TIFF":
        with raster.plain_errors(path, "write"), raster.replacing(path) as file:
            rows = TiffRows(file, shape, np.dtype(like.pixels.dtype), like)
            yield rows
            rows.finish()
    else:
        pixels = np.zeros(shape, like.pixels.dtype)
        yield pixels
        raster.write(path, pixels, like, overwrite=overwrite)


def is_zarr(path: Path) -> bool:
    """Whether a folder holds a zarr array or group."""
    marks = ("zarr.json", ".zarray", ".zgroup")
    return path.is_dir() and any((path / mark).is_file() for mark in marks)


# TIFF


def _is_tiff(path: Path) -> bool:
    with raster.plain_errors(path, "read"), path.open("rb") as file:
        return raster.format_by_content(file.read(12)) == "TIFF"


@contextmanager
def _open_tiff(path: Path) -> Iterator[Picture]:
    import tifffile

    with raster.plain_errors(path, "read"), path.open("rb") as file:
        with raster.damage(path, "TIFF"):
            tif = tifffile.TiffFile(file)
            page = raster.tiff_page(tif)
            pixels = TiffWindows(path, file, page)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                picture = raster.tiff_picture(tif, page, data, pixels, pixels.icc)
        yield picture


class TiffWindows:
    """The pixels of one page, upright and converted as `udg.io.raster.read` does, window by window.

    Parameters
    ----------
    path : Path
        For messages.
    file : binary file
        The open file.
    page : tifffile.TiffPage
        The page.
    """

    def __init__(self, path: Path, file: IO[bytes], page: Any) -> None:
        self._path, self._file, self._page = path, file, page
        self._orientation = raster.tiff_orientation(page)
        self._cache: OrderedDict[int, NDArray[Any] | None] = OrderedDict()
        self._cached = 0
        if page.is_tiled:
            self._part = page.tilelength, page.tilewidth
        else:
            self._part = min(page.rowsperstrip, page.imagelength), page.imagewidth
        self._count = tuple(
            -(-side // part)
            for side, part in zip((page.imagelength, page.imagewidth), self._part, strict=True)
        )
        corner, self.icc = self._converted(slice(0, 1), slice(0, 1))
        size = page.imagelength, page.imagewidth
        self.shape = (*(size[::-1] if self._orientation >= 5 else size), *corner.shape[2:])
        self.dtype = corner.dtype

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.shape)

    def __getitem__(self, window: Any) -> NDArray[Any]:
        rows, columns = _bounds(window, self.shape)
        with raster.damage(self._path, "TIFF"):
            pixels, _ = self._converted(*self._as_stored(rows, columns))
        return raster.turned(pixels, self._orientation)

    def _as_stored(self, rows: slice, columns: slice) -> tuple[slice, slice]:
        """Where a window of the upright picture lies in the stored one."""
        o, (height, width) = self._orientation, self.shape[:2]
        if o in (2, 3, 6, 7):
            columns = slice(width - columns.stop, width - columns.start)
        if o in (3, 4, 7, 8):
            rows = slice(height - rows.stop, height - rows.start)
        return (columns, rows) if o in (5, 6, 7, 8) else (rows, columns)

    def _converted(self, rows: slice, columns: slice) -> tuple[NDArray[Any], bytes | None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in raster.read: of pixels they raise
            pixels = self._stored(rows, columns)
            return raster.tiff_pixels(self._page, pixels, self._page.iccprofile)

    def _stored(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Put a window together from strips or tiles."""
        page, (high, wide) = self._page, self._part
        separate = page.planarconfig == 2 and page.samplesperpixel > 1
        size = rows.stop - rows.start, columns.stop - columns.start
        result = np.full((*size, page.samplesperpixel), page.nodata, page.dtype)
        across, down = self._count[1], self._count[0]
        for plane in range(page.samplesperpixel if separate else 1):
            into = result[:, :, plane : plane + 1] if separate else result
            for i in range(rows.start // high, -(-rows.stop // high)):
                for j in range(columns.start // wide, -(-columns.stop // wide)):
                    part = self._segment((plane * down + i) * across + j)
                    if part is not None:
                        _paste(part, (i * high, j * wide), into, (rows.start, columns.start))
        return result if page.samplesperpixel > 1 else result[:, :, 0]

    def _segment(self, index: int) -> NDArray[Any] | None:
        """One decoded strip or tile, shape (H, W, samples); None if it was left out."""
        if index in self._cache:
            self._cache.move_to_end(index)
            return self._cache[index]
        offset, count = self._page.dataoffsets[index], self._page.databytecounts[index]
        self._file.seek(offset)
        data = self._file.read(count) if count else None
        if data is not None and len(data) < count:
            raise ValueError("the file ends too early")
        decoded = self._page.decode(data, index, jpegtables=self._page.jpegtables)[0]
        part = None if decoded is None else decoded[0]
        self._cache[index] = part
        self._cached += 0 if part is None else part.nbytes
        while self._cached > _CACHED and len(self._cache) > 1:
            _, old = self._cache.popitem(last=False)
            self._cached -= 0 if old is None else old.nbytes
        return part


def _paste(
    part: NDArray[Any], at: tuple[int, int], into: NDArray[Any], origin: tuple[int, int]
) -> None:
    """Copy what overlaps; both lie in the picture at given rows and columns."""
    ours, theirs = [], []
    for axis in (0, 1):
        first = max(at[axis], origin[axis])
        last = min(at[axis] + part.shape[axis], origin[axis] + into.shape[axis])
        ours.append(slice(first - origin[axis], max(first, last) - origin[axis]))
        theirs.append(slice(first - at[axis], max(first, last) - at[axis]))
    into[tuple(ours)] = part[tuple(theirs)]


class TiffRows:
    """A tiled TIFF that is written from top to bottom.

    All but the tiles is written first, with room for where they will be.

    Parameters
    ----------
    file : binary file
        Empty; its content is complete after `finish`.
    shape : (int, int) or (int, int, int)
        Of the picture.
    dtype : dtype
        uint8, uint16 or float32.
    like : Picture
        What is carried over.
    """

    def __init__(
        self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any], like: Picture
    ) -> None:
        import tifffile

        self.shape, self.dtype, self.ndim = shape, dtype, len(shape)
        self._file, self._row = file, 0
        self._across = -(-shape[1] // _SIDE)
        count = -(-shape[0] // _SIDE) * self._across
        raster.write_tiff(
            file,
            iter([b""] * count),
            shape,
            bigtiff=int(np.prod(shape)) * dtype.itemsize > _CLASSIC,
            layout={"shape": shape, "dtype": dtype, "tile": (_SIDE, _SIDE)},
            **raster.carried(like, shape),
        )
        file.seek(0)
        with tifffile.TiffFile(file) as tif:
            page: Any = tif.pages[0]
            self._order = tif.byteorder
            self._entries = [page.tags["TileOffsets"], page.tags["TileByteCounts"]]
            self._predict = tifffile.TIFF.PREDICTORS[page.predictor]
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._rows = np.zeros((_SIDE, self._across * _SIDE, *shape[2:]), dtype)

    def __setitem__(self, window: Any, values: Any) -> None:
        rows, columns = _bounds(window, self.shape)
        if rows.start != self._row or columns != slice(0, self.shape[1]):
            raise FileError("cannot write a TIFF out of order: assign whole rows, top to bottom")
        for row in range(rows.start, rows.stop):
            self._rows[row % _SIDE, : self.shape[1]] = values[row - rows.start]
            self._row = row + 1
            if self._row % _SIDE == 0 or self._row == self.shape[0]:
                self._flush()

    def _flush(self) -> None:
        import imagecodecs

        self._file.seek(0, os.SEEK_END)
        for column in range(self._across):
            tile = np.ascontiguousarray(self._rows[:, column * _SIDE : (column + 1) * _SIDE])
            ordered = tile.astype(self.dtype.newbyteorder(self._order))
            data = imagecodecs.zlib_encode(self._predict(ordered, axis=1))
            self._offsets.append(self._file.tell())
            self._lengths.append(len(data))
            self._file.write(data)
        self._rows[:] = 0

    def finish(self) -> None:
        """Say where the tiles are."""
        if self._row != self.shape[0]:
            raise FileError(f"only {self._row} of {self.shape[0]} rows were written")
        for entry, numbers in zip(self._entries, (self._offsets, self._lengths), strict=True):
            kind = {3: "u2", 4: "u4", 16: "u8"}[int(entry.dtype)]
            if max(numbers) > np.iinfo(kind).max:
                raise FileError("is too large for a classic TIFF; write a .zarr")
            self._file.seek(entry.valueoffset)
            self._file.write(np.array(numbers, f"{self._order}{kind}").tobytes())


# Zarr


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtra("zarr", "zarr") from error
    return zarr


def _open_zarr(path: Path) -> Picture:
    zarr = _zarr()
    with raster.damage(path, "zarr"):
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
        rows, columns = _bounds(window, self.shape)
        with raster.damage(self._path, "zarr"):
            return np.asarray(self.array[rows, columns], self.dtype)


@contextmanager
def _created_zarr(path: Path, shape: tuple[int, ...], like: Picture) -> Iterator[Any]:
    zarr = _zarr()
    source = getattr(like.pixels, "array", None)
    chunks = (*(min(_CHUNK, side) for side in shape[:2]), *shape[2:])
    temporary = path.with_name(f".udg-{secrets.token_hex(8)}.tmp")
    try:
        with raster.plain_errors(path, "write"):
            yield zarr.create_array(
                store=temporary,
                shape=shape,
                dtype=like.pixels.dtype,
                chunks=chunks if source is None else source.chunks,
                zarr_format=3 if source is None else source.metadata.zarr_format,
                attributes=None if source is None else dict(source.attrs),
            )
            if path.exists():
                old = path.with_name(f".udg-{secrets.token_hex(8)}.tmp")
                path.replace(old)
                temporary.replace(path)
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            else:
                temporary.replace(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _bounds(window: Any, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of an index, both with their ends."""
    rows, columns = window if isinstance(window, tuple) else (window, slice(None))
    (top, bottom, one), (left, right, other) = rows.indices(shape[0]), columns.indices(shape[1])
    if one != 1 or other != 1:
        raise InvalidImage("pictures on disk are read and written by windows without steps")
    return slice(top, bottom), slice(left, right)
