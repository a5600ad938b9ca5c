r"""EXIF as bytes: a small TIFF directory with others inside, carried from file to file.

Values are copied, never decoded, so that odd cameras' tags survive. A blob starts at its byte order
mark (``II`` or ``MM``), without the ``Exif\0\0`` that JPEG puts before it. Malformed blobs raise
``struct.error``, `KeyError` or `IndexError`: callers drop them.
"""

from __future__ import annotations

import struct

__all__ = ["ABOUT_THE_PICTURE", "ORIENTATION", "Directory", "from_tiff", "pack", "parse", "upright"]

ORIENTATION = 0x0112
_ORDERS = {b"II": "<", b"MM": ">"}
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8}  # of BigTIFF
_LONG, _LONG8 = 4, 16
_POINTERS = (0x8769, 0x8825, 0xA005)  # to the directories of Exif, GPS and interoperability
# Description, make, model, software, date, artist, host, copyright: what a TIFF's first
# directory says of the picture; its other tags say how the pixels are stored.
ABOUT_THE_PICTURE = (270, 271, 272, 305, 306, 315, 316, 33432)

Directory = dict[int, "tuple[int, bytes] | Directory"]  # by tag: type and value, or a directory


def upright(blob: bytes) -> tuple[int, bytes]:
    """Read the orientation and return it with a blob that says 1, all else byte for byte.

    The thumbnail is unlinked: it shows the picture as it was, unturned and in the rain.
    """
    order = _ORDERS[blob[:2]]
    edited = bytearray(blob)
    orientation = 1
    (start,) = struct.unpack_from(f"{order}I", blob, 4)
    (count,) = struct.unpack_from(f"{order}H", blob, start)
    end = start + 2 + 12 * count
    for entry in range(start + 2, end, 12):
        if struct.unpack_from(f"{order}H", blob, entry) == (ORIENTATION,):
            (orientation,) = struct.unpack_from(f"{order}H", blob, entry + 8)
            struct.pack_into(f"{order}H", edited, entry + 8, 1)
    if end + 4 <= len(blob):  # some writers leave the last link out
        struct.pack_into(f"{order}I", edited, end, 0)
    return orientation, bytes(edited)


def from_tiff(data: bytes, *, description: bool = True) -> bytes | None:
    """Collect what a TIFF file says of the picture into a blob; None if it says nothing."""
    order, directory = parse(data)
    wanted = (*ABOUT_THE_PICTURE[not description :], *_POINTERS)
    kept: Directory = {tag: value for tag, value in directory.items() if tag in wanted}
    if not kept:
        return None
    return data[:2] + struct.pack(f"{order}HI", 42, 8) + pack(kept, order, 8)


def parse(blob: bytes) -> tuple[str, Directory]:
    """Return the byte order (``<`` or ``>``) and the first directory with those inside it."""
    order = _ORDERS[blob[:2]]
    big = struct.unpack_from(f"{order}H", blob, 2) == (43,)
    (start,) = (
        struct.unpack_from(f"{order}Q", blob, 8)
        if big
        else (struct.unpack_from(f"{order}I", blob, 4))
    )
    return order, _parse(blob, start, order, big, depth=3)


def _parse(blob: bytes, start: int, order: str, big: bool, depth: int) -> Directory:
    counter, layout, room = ("Q", "HHQQ", 8) if big else ("H", "HHII", 4)
    (count,) = struct.unpack_from(f"{order}{counter}", blob, start)
    directory: Directory = {}
    first, length = (
        start + struct.calcsize(f"{order}{counter}"),
        struct.calcsize(f"{order}{layout}"),
    )
    for entry in range(first, first + length * count, length):
        tag, kind, number, pointer = struct.unpack_from(f"{order}{layout}", blob, entry)
        if tag in _POINTERS:
            if big and kind == _LONG:
                (pointer,) = struct.unpack_from(f"{order}I", blob, entry + length - room)
            if depth and tag not in directory:  # each of them once, or a loop could take for ever
                directory[tag] = _parse(blob, pointer, order, big, depth - 1)
            continue
        size = number * _SIZES[kind]
        where = pointer if size > room else entry + length - room
        directory[tag] = kind, blob[where : where + size]
    return directory


def pack(directory: Directory, order: str, base: int, *, big: bool = False) -> bytes:
    """Encode a directory, and those inside it, as they must stand at offset ``base`` of a file.

    ``big`` is for BigTIFF, whose numbers are wider.
    """
    counter, layout, word = ("Q", "HHQ", "Q") if big else ("H", "HHI", "I")
    room = struct.calcsize(f"{order}{word}")
    length = struct.calcsize(f"{order}{layout}") + room
    data_at = base + struct.calcsize(f"{order}{counter}") + length * len(directory) + room
    entries, data = [], b""
    for tag, value in sorted(directory.items()):
        here = data_at + len(data)
        if isinstance(value, dict):
            kind, number = _LONG8 if big else _LONG, 1
            field = struct.pack(f"{order}{word}", here)
            data += pack(value, order, here, big=big)
        else:
            kind, content = value
            number = len(content) // _SIZES[kind]
            field = content.ljust(room, b"\0")
            if len(content) > room:
                field = struct.pack(f"{order}{word}", here)
                data += content + b"\0" * (len(content) % 2)  # offsets must be even
        entries.append(struct.pack(f"{order}{layout}", tag, kind, number) + field)
    count = struct.pack(f"{order}{counter}", len(directory))
    return count + b"".join(entries) + b"\0" * room + data
