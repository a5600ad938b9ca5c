"""Where pictures lie: names and formats, pictures in folders, files replaced all at once.

What the system says of a failure is said here in words, for all of `udg.io`.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from udg.errors import FileError, InvalidInput, UdgError

__all__ = [
    "FORMATS",
    "Found",
    "damage",
    "expand",
    "format_by_content",
    "format_of",
    "is_picture",
    "is_zarr",
    "make_folder",
    "plain_errors",
    "refuse_existing",
    "replacing",
    "temporary_beside",
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


def format_by_content(data: bytes) -> str | None:
    """Return the format that a file's first bytes stand for, if any."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((name for start, name in _SIGNATURES.items() if data.startswith(start)), None)


def is_zarr(path: Path) -> bool:
    """Whether a folder holds a zarr array or group."""
    marks = ("zarr.json", ".zarray", ".zgroup")
    return path.is_dir() and any((path / mark).is_file() for mark in marks)


class Found(NamedTuple):
    """A picture that was asked for.

    Attributes
    ----------
    path : Path
        Where it is.
    name : Path
        Where it lies in the folder that was given; its bare name if it was given itself.
    """

    path: Path
    name: Path


def expand(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    outside: Path | None = None,
) -> list[Found]:
    """Find the pictures that files, folders and patterns stand for.

    Parameters
    ----------
    inputs : iterable of path-like
        A folder stands for the pictures in it (by suffix, hidden ones left out); a pattern
        such as ``*.png`` or ``**/*.png`` for the pictures that match. Files are taken as they are,
        missing ones too: that is for whoever reads them to report.
    recursive : bool
        Look into folders of folders.
    outside : Path, optional
        Ignore this folder within a given one: it holds the output of an earlier run.

    Returns
    -------
    list of Found
        In the order given, sorted within a folder or pattern, each file once.

    Raises
    ------
    InvalidInput
        A folder or pattern holds no picture.
    """
    found: dict[Path, Found] = {}
    for given in map(Path, inputs):
        if given.is_dir() and not is_zarr(given):
            paths = sorted(given.rglob("*") if recursive else given.iterdir())
            if outside is not None and given.resolve() in outside.resolve().parents:
                paths = [path for path in paths if outside.resolve() not in path.resolve().parents]
            pictures = [Found(path, path.relative_to(given)) for path in paths if is_picture(path)]
        elif not given.exists() and glob.has_magic(str(given)):
            paths = sorted(map(Path, glob.glob(str(given), recursive=True)))  # noqa: PTH207
            pictures = [Found(path, Path(path.name)) for path in paths if is_picture(path)]
        else:
            found.setdefault(given.resolve(), Found(given, Path(given.name)))
            continue
        if not pictures:
            hint = "" if recursive else " (folders in it are searched with --recursive)"
            kind = f"no picture in the folder {given}{hint}"
            raise InvalidInput(kind if given.is_dir() else f"no picture matches {given}")
        for one in pictures:
            found.setdefault(one.path.resolve(), one)
    return list(found.values())


def is_picture(path: Path) -> bool:
    """Whether something in a folder is meant as a picture: by its suffix, and not hidden."""
    if path.suffix.lower() not in FORMATS or path.name.startswith("."):
        return False
    return is_zarr(path) if path.suffix.lower() == ".zarr" else path.is_file()


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"cannot make the folder {path}: {reason}") from error


def temporary_beside(path: Path) -> Path:
    """Return a new hidden name in the same folder."""
    return path.with_name(f".udg-{secrets.token_hex(8)}.tmp")


def refuse_existing(path: Path) -> None:
    """Raise FileError if something is there."""
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


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file beside ``path`` that takes its place when all went well."""
    temporary = temporary_beside(path)
    try:
        with temporary.open("x+b") as file:
            yield file
        if path.exists():
            shutil.copymode(path, temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


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
