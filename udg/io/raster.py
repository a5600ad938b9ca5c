"""Pictures from and to files: nothing lost on the way, nothing half-written.

`read` gives the pixels as they are stored, upright, with what must be carried over. `write` rounds
to the file's own bit depth and keeps the colour profile, EXIF and resolution. What a format cannot
hold is converted: 16 bits become 8 in JPEG, WebP and BMP; alpha is dropped from JPEG and BMP, with
a warning in the log ``udg.io.raster``. XMP and IPTC are not carried.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import secrets
import shutil
import struct
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError, UdgError
from udg.io.exif import ABOUT_THE_PICTURE, ORIENTATION, Directory, from_tiff, pack, parse, upright

__all__ = [
    "FORMATS",
    "Picture",
    "dimensions",
    "format_of",
    "plain_errors",
    "quantize",
    "read",
    "replacing",
    "write",
    "write_bytes",
]

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WebP",
    ".bmp": "BMP",
    ".zarr": "zarr",
}
_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
    b"BM": "BMP",
}
_MOST_PIXELS = 500_000_000  # beyond this a file is more likely an attack than a photograph
_JPEG_SEGMENT = 65_500  # bytes of EXIF that fit
_WEBP_SIDE = 16_383

_log = logging.getLogger(__name__)


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


def read(path: str | os.PathLike[str]) -> Picture:
    """Read a PNG, JPEG, TIFF, WebP or BMP picture, or a zarr array (see `udg.io.windows`).

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
    if path.is_dir():
        from udg.io import windows

        if windows.is_zarr(path):
            with windows.opened(path) as picture:
                whole = slice(0, picture.pixels.shape[0]), slice(0, picture.pixels.shape[1])
                return replace(picture, pixels=np.asarray(picture.pixels[whole]))
    data, format = _content(path)
    with damage(path, format), warnings.catch_warnings():
        # Oddities of metadata do not matter; of pixels they raise.
        warnings.simplefilter("ignore")
        return _read_tiff(data) if format == "TIFF" else _read_other(data, format)


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
        if format != "TIFF":
            width, height = _opened(data, format).size
            return int(width), int(height)
        import tifffile

        with tifffile.TiffFile(BytesIO(data)) as tif:
            page = tiff_page(tif)
            return int(page.imagewidth), int(page.imagelength)


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


@contextlib.contextmanager
def damage(path: Path, format: str) -> Iterator[None]:
    """Say of whatever a decoder raises that the file is damaged."""
    try:
        yield
    except UdgError as error:
        if not isinstance(error, FileError):
            raise
        raise FileError(f"{path} {error}") from None
    except MemoryError:
        raise FileError(f"{path} does not fit into memory; use a smaller picture") from None
    except Exception as error:  # decoders raise dozens of types on damaged files
        reason = str(error).strip() or type(error).__name__
        raise FileError(
            f"{path} is damaged or incomplete ({format}: {reason}); "
            "copy it again from where it came from"
        ) from error


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
        from udg.io import windows

        with windows.created(path, pixels.shape, like or Picture(pixels, format)) as target:
            target[: len(pixels)] = pixels
        return
    kept = carried(like, pixels.shape, format)
    data: bytes | memoryview
    if format == "TIFF":
        data = _encode_tiff(pixels, **kept)
    elif format == "PNG":
        data = _encode_png(pixels, kept)
    else:
        data = _encode_other(pixels, format, kept, lossless=like is None or like.lossless)
    write_bytes(path, data, overwrite=overwrite)


def carried(like: Picture | None, shape: tuple[int, ...], format: str = "TIFF") -> dict[str, Any]:
    """Profile, EXIF and resolution that a picture of that shape keeps."""
    kept: dict[str, Any] = {}
    if like:
        if like.icc and _is_grey(like.pixels.shape) == _is_grey(shape):
            kept["icc_profile"] = like.icc
        if like.exif and not (format == "JPEG" and len(like.exif) > _JPEG_SEGMENT):
            kept["exif"] = b"Exif\0\0" + like.exif
        if like.dpi:
            kept["dpi"] = like.dpi
    return kept


def write_bytes(
    path: str | os.PathLike[str], data: bytes | memoryview, *, overwrite: bool = False
) -> None:
    """Write a file completely or not at all.

    Parameters
    ----------
    path : path-like
        The file. Its folder must exist.
    data : bytes or memoryview
        The content.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    FileError
        The file exists or cannot be written.
    """
    path = Path(path)
    if not overwrite:
        refuse_existing(path)
    with plain_errors(path, "write"), replacing(path) as file:
        file.write(data)


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that a file name's suffix stands for.

    Raises
    ------
    FileError
        The suffix stands for none that can be written.
    """
    suffix = Path(path).suffix
    try:
        return FORMATS[suffix.lower()]
    except KeyError:
        named = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise FileError(f"{path} has {named}; use one of {', '.join(FORMATS)}") from None


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
    scale = _full(target) / _full(source)
    scaled: NDArray[Any] = np.multiply(pixels, np.float32(scale), dtype=np.float32)
    if target.kind == "f":
        return scaled
    np.rint(scaled, out=scaled)
    np.clip(scaled, 0, _full(target), out=scaled)
    return scaled.astype(target)


def _full(dtype: np.dtype[Any]) -> float:
    return float(np.iinfo(dtype).max) if dtype.kind == "u" else 1.0


def _depth(format: str, source: np.dtype[Any]) -> np.dtype[Any]:
    """Type in which a format stores pixels of the type ``source``."""
    if format in ("TIFF", "zarr") or source == np.uint8:
        return source
    return np.dtype(np.uint16 if format == "PNG" else np.uint8)


def _is_grey(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or shape[2] < 3


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


# Reading


def format_by_content(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), None)


def _read_other(data: bytes, format: str) -> Picture:
    """PNG, JPEG, WebP and BMP by Pillow, except 16-bit PNG, of which it would keep 8 bits."""
    import imagecodecs

    opened = _opened(data, format)
    _check_size(*opened.size)
    if format in ("PNG", "WebP") and getattr(opened, "is_animated", False):
        raise FileError("is an animation; extract its frames first")
    opened.load()
    icc = opened.info.get("icc_profile")
    orientation, exif = _upright(_exif_of(opened))
    dpi = _dpi(opened.info.get("dpi"), orientation)
    if format == "PNG" and data[24] == 16:
        pixels = imagecodecs.png_decode(data)
    else:
        opened, icc = _to_plain_mode(opened, icc)
        pixels = np.asarray(opened)
    return Picture(
        pixels=turned(pixels, orientation),
        format=format,
        icc=icc or None,
        exif=exif,
        dpi=dpi,
        lossless=format in ("PNG", "BMP") or data[12:16] == b"VP8L",
    )


def _opened(data: bytes, format: str) -> Any:
    """A file of Pillow's, of which only the header was read."""
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
        return _from_cmyk(opened, icc)
    alpha = "A" if opened.has_transparency_data else ""
    mode = ("L" if opened.mode in ("1", "L", "LA") else "RGB") + alpha
    return opened if opened.mode == mode else opened.convert(mode), icc


def _from_cmyk(opened: Any, icc: bytes | None) -> tuple[Any, bytes | None]:
    """Convert by the embedded profile if there is one; the result is sRGB."""
    from PIL import ImageCms

    if not icc:
        return opened.convert("RGB"), None
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    try:
        rgb = ImageCms.profileToProfile(opened, BytesIO(icc), srgb, outputMode="RGB")
    except ImageCms.PyCMSError:  # the profile is broken or for something else
        return opened.convert("RGB"), None
    return rgb, srgb.tobytes()


def _read_tiff(data: bytes) -> Picture:
    import tifffile

    with tifffile.TiffFile(BytesIO(data)) as tif:
        page = tiff_page(tif)
        _check_size(page.imagewidth, page.imagelength)
        pixels = page.asarray()
        if page.axes.startswith("S"):  # planes stored one after the other
            pixels = np.moveaxis(pixels, 0, -1)
        pixels, icc = tiff_pixels(page, pixels, page.iccprofile)
        return tiff_picture(tif, page, data, turned(pixels, tiff_orientation(page)), icc)


def tiff_page(tif: Any) -> Any:
    """Return the page of the one picture that a file holds, or refuse."""
    pages: list[Any] = list(tif.pages)
    full = [page for page in pages if not page.is_reduced]
    if len(full) != 1 or tif.series[0].ndim > 2 + ("S" in tif.series[0].axes):
        raise FileError("holds several pictures; save the one you want on its own")
    return full[0]


def tiff_orientation(page: Any) -> int:
    """Return the EXIF orientation, 1 to 8."""
    tag = page.tags.get(ORIENTATION)
    return int(tag.value) if tag else 1


def tiff_picture(tif: Any, page: Any, data: Any, pixels: Any, icc: bytes | None) -> Picture:
    """Join upright pixels, or what reads them, with what else the file says of the picture."""
    orientation = tiff_orientation(page)
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
        dpi=_dpi(dpi, orientation),
        lossless=not lossy,
    )


def tiff_pixels(
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

        rgb, icc = _from_cmyk(Image.fromarray(pixels, "CMYK"), icc)
        return np.asarray(rgb), icc
    elif photometric not in ("MINISBLACK", "RGB") and not (
        photometric == "YCBCR" and page.compression.name == "JPEG"  # decoded to RGB
    ):
        raise FileError(f"stores colours as {photometric}; save it as RGB or grey")
    if 1 in page.extrasamples and pixels[..., -1].min() < _full(pixels.dtype):
        raise FileError("has premultiplied alpha; save it with straight (unassociated) alpha")
    return pixels, icc


def _check_size(width: int, height: int) -> None:
    if width * height > _MOST_PIXELS:
        raise FileError(
            f"is {width}×{height} pixels; more than {_MOST_PIXELS // 10**6} million are not read. "
            "Cut it into parts"
        )


def _exif_of(opened: Any) -> bytes | None:
    """EXIF from wherever the format keeps it, also where the orientation is in XMP only."""
    raw = opened.info.get("exif")
    if not raw:
        with contextlib.suppress(Exception):  # broken metadata must not cost the picture
            exif = opened.getexif()
            raw = exif.tobytes() if len(exif) else None
    return raw.removeprefix(b"Exif\0\0") if raw else None


def _upright(exif: bytes | None) -> tuple[int, bytes | None]:
    if exif is not None:
        with contextlib.suppress(struct.error, LookupError):
            return upright(exif)
    return 1, None


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Apply an EXIF orientation, 1 to 8; others count as 1."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _dpi(value: Any, orientation: int) -> tuple[float, float] | None:
    try:
        x, y = (float(side) for side in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not (0 < x < np.inf and 0 < y < np.inf):
        return None
    return (y, x) if orientation >= 5 else (x, y)


# Writing


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


def _encode_tiff(pixels: NDArray[Any], **carried: Any) -> memoryview:
    buffer = BytesIO()
    write_tiff(buffer, pixels, pixels.shape, **carried)
    return buffer.getbuffer()


def write_tiff(
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


# The file system


def refuse_existing(path: Path) -> None:
    with plain_errors(path, "write"):
        if path.exists():
            raise FileError(f"{path} already exists; choose another name, or allow overwriting")


@contextlib.contextmanager
def plain_errors(path: Path, verb: str) -> Iterator[None]:
    """Say what the system's error means for this file."""
    try:
        yield
    except FileError:
        raise
    except OSError as error:
        reasons = {
            errno.ENOENT: "it does not exist" if verb == "read" else "its folder does not exist",
            errno.EISDIR: "it is a folder",
            errno.ENOTDIR: "part of its path is a file, not a folder",
            errno.EACCES: "you have no permission",
            errno.EPERM: "you have no permission",
            errno.EROFS: "the disk is read-only",
            errno.ENOSPC: "the disk is full",
            errno.EDQUOT: "your disk quota is used up",
            errno.ENAMETOOLONG: "its name is too long",
        }
        reason = reasons.get(error.errno or 0) or error.strerror or str(error)
        raise FileError(f"cannot {verb} {path}: {reason}") from error


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its place when all went well."""
    temporary = path.with_name(f".udg-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x+b") as file:
            yield file
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
