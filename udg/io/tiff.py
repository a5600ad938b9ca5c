"""TIFF, whole or by windows: strips or tiles, compressed or not, classic or BigTIFF."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError
from udg.io.exif import ABOUT_THE_PICTURE, ORIENTATION, Directory, from_tiff, pack, parse
from udg.io.paths import damage, plain_errors, replacing
from udg.io.picture import (
    Picture,
    bounds,
    carried,
    check_size,
    from_cmyk,
    full_scale,
    plausible_dpi,
    turned,
)

__all__ = ["TiffRows", "TiffWindows", "created", "decode", "dimensions", "encode", "opened"]

_CACHED = 2**28  # bytes of decoded strips or tiles that are kept
_SIDE = 256  # of the tiles in a TIFF that is written
_CLASSIC = 4 * 10**9  # bytes of pixels beyond which a TIFF must be a BigTIFF


def decode(data: bytes) -> Picture:
    """Decode a file that holds one picture."""
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as tif:
        page = _page(tif)
        check_size(page.imagewidth, page.imagelength)
        pixels = page.asarray()
        if page.axes.startswith("S"):  # planes stored one after the other
            pixels = np.moveaxis(pixels, 0, -1)
        pixels, icc = _pixels(page, pixels, page.iccprofile)
        return _picture(tif, page, data, turned(pixels, _orientation(page)), icc)


def dimensions(data: bytes) -> tuple[int, int]:
    """Read width and height, as stored."""
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as tif:
        page = _page(tif)
        return int(page.imagewidth), int(page.imagelength)


def _page(tif: Any) -> Any:
    """Return the page of the one picture that a file holds, or refuse."""
    pages: list[Any] = list(tif.pages)
    full = [page for page in pages if not page.is_reduced]
    if len(full) != 1 or tif.series[0].ndim > 2 + ("S" in tif.series[0].axes):
        raise FileError("holds several pictures; save the one you want on its own")
    return full[0]


def _orientation(page: Any) -> int:
    """Return the EXIF orientation, 1 to 8."""
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else 1


def _picture(tif: Any, page: Any, data: Any, pixels: Any, icc: bytes | None) -> Picture:
    """Join upright pixels, or what reads them, with what else the file says of the picture."""
    orientation = _orientation(page)
    unit = page.tags.valueof("ResolutionUnit", default=1)
    dpi = page.get_resolution("inch") if unit in (2, 3) else None
    plain = not (tif.is_imagej or tif.is_ome or tif.is_shaped)
    lossy = page.compression.name in ("JPEG", "OJPEG", "WEBP", "JPEG_LOSSY")
    found = None
    with contextlib.suppress(struct.error, LookupError):
        found = from_tiff(data, description=plain)
    return Picture(
        pixels=pixels,
        format="TIFF",
        icc=icc or None,
        exif=found,
        dpi=plausible_dpi(dpi, orientation),
        lossless=not lossy,
    )


def _pixels(
    page: Any, pixels: NDArray[Any], icc: bytes | None
) -> tuple[NDArray[Any], bytes | None]:
    """Undo TIFF's ways of storing: palettes, white as zero, few bits, CMYK."""
    photometric, bits = page.photometric.name, page.bitspersample
    if photometric == "PALETTE":
        return (page.colormap[:, pixels] >> 8).astype(np.uint8).transpose(1, 2, 0), icc
    if pixels.dtype.kind == "f" and photometric in ("MINISBLACK", "RGB"):
        pixels = pixels.astype(np.float32, copy=False)
    elif bits in (1, 2, 4) and pixels.dtype in (np.bool_, np.uint8):
        pixels = pixels.astype(np.uint8) * np.uint8(255 // (2**bits - 1))
    elif pixels.dtype not in (np.uint8, np.uint16) or bits not in (8, 16):
        raise FileError(f"holds {bits}-bit values ({pixels.dtype}); save it with 8 or 16 bits")
    if photometric == "MINISWHITE":
        pixels = np.iinfo(pixels.dtype).max - pixels
    elif photometric == "SEPARATED" and pixels.dtype == np.uint8 and pixels.shape[-1] == 4:
        from PIL import Image

        rgb, icc = from_cmyk(Image.fromarray(pixels, "CMYK"), icc)
        return np.asarray(rgb), icc
    elif photometric not in ("MINISBLACK", "RGB") and not (
        photometric == "YCBCR" and page.compression.name == "JPEG"  # decoded to RGB
    ):
        raise FileError(f"stores colours as {photometric}; save it as RGB or grey")
    if 1 in page.extrasamples and pixels[..., -1].min() < full_scale(pixels.dtype):
        raise FileError("has premultiplied alpha; save it with straight (unassociated) alpha")
    return pixels, icc


def encode(pixels: NDArray[Any], kept: Mapping[str, Any]) -> memoryview:
    """Encode a picture with what `carried` kept."""
    buffer = BytesIO()
    _write(buffer, pixels, pixels.shape, **kept)
    return buffer.getbuffer()


def _write(
    file: Any,
    data: Any,
    shape: tuple[int, ...],
    icc_profile: bytes | None = None,
    exif: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    *,
    bigtiff: bool = False,
    layout: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Write a TIFF with what is carried over; ``data`` and ``layout`` are for tifffile."""
    import tifffile

    channels = shape[2] if len(shape) == 3 else 1
    rgb = channels in (3, 4)
    extra = channels - (3 if rgb else 1)
    order: Any = "<"
    about: Directory = {}
    if exif:
        with contextlib.suppress(struct.error, LookupError):
            order, about = parse(exif.removeprefix(b"Exif\0\0"))
    texts = {tag: value for tag, value in about.items() if isinstance(value, tuple)}
    parts = {tag: value for tag, value in about.items() if isinstance(value, dict)}
    tifffile.imwrite(
        file,
        data,
        bigtiff=bigtiff,
        byteorder=order,  # EXIF values are copied as bytes
        photometric="rgb" if rgb else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=("unassalpha" if channels in (2, 4) else "unspecified",) * extra,
        compression="zlib",
        predictor=True,
        iccprofile=icc_profile,
        resolution=dpi,
        resolutionunit="inch" if dpi else None,
        software=False,
        metadata=None,
        extratags=[
            *(
                (tag, kind, len(value), value, True)
                for tag, (kind, value) in texts.items()
                if tag in ABOUT_THE_PICTURE
            ),
            # tifffile does not write directories; these are put right below.
            *((tag - 1, 16 if bigtiff else 4, 1, 0, True) for tag in parts),
        ],
        **layout,
    )
    for tag, part in parts.items():
        offset = file.seek(0, os.SEEK_END)
        file.write(pack(part, order, offset, big=bigtiff))
        file.seek(0)
        with tifffile.TiffFile(file) as tif:
            page: Any = tif.pages[0]
            entry = page.tags[tag - 1]
            entry.overwrite(offset)
            file.seek(entry.offset)
            file.write(struct.pack(f"{order}H", tag))


@contextmanager
def opened(path: Path) -> Iterator[Picture]:
    """Open a file for reading by windows, as long as the context lasts."""
    import tifffile

    with plain_errors(path, "read"), path.open("rb") as file:
        with damage(path, "TIFF"):
            tif = tifffile.TiffFile(file)
            page = _page(tif)
            pixels = TiffWindows(path, file, page)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                picture = _picture(tif, page, data, pixels, pixels.icc)
        yield picture


@contextmanager
def created(path: Path, shape: tuple[int, ...], like: Picture) -> Iterator[TiffRows]:
    """Make a file to be assigned by rows; it takes its place when the context ends well."""
    with plain_errors(path, "write"), replacing(path) as file:
        rows = TiffRows(file, shape, np.dtype(like.pixels.dtype), like)
        yield rows
        rows.finish()


class TiffWindows:
    """The pixels of one page, upright and converted as `decode` does, window by window.

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
        self._orientation = _orientation(page)
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
        rows, columns = bounds(window, self.shape)
        with damage(self._path, "TIFF"):
            pixels, _ = self._converted(*self._as_stored(rows, columns))
        return turned(pixels, self._orientation)

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
            warnings.simplefilter("ignore")  # as in read: of pixels they raise
            pixels = self._stored(rows, columns)
            return _pixels(self._page, pixels, self._page.iccprofile)

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
        _write(
            file,
            iter([b""] * count),
            shape,
            bigtiff=int(np.prod(shape)) * dtype.itemsize > _CLASSIC,
            layout={"shape": shape, "dtype": dtype, "tile": (_SIDE, _SIDE)},
            **carried(like, shape),
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
        rows, columns = bounds(window, self.shape)
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
