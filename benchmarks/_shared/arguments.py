"""The arguments that scripts have in common, each with one name, one type and one help text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from benchmarks._shared.pairs import RAINS, WIDEST

#: Flags and properties by the name under which the value is found.
_COMMON: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "data_dir": (
        ("data_dir",),
        {"type": Path, "metavar": "DATA_DIR", "help": "the folder that holds the sets"},
    ),
    "sets": (("--sets",), {"nargs": "+", "help": "as `_shared/pairs.py` names them"}),
    "every": (("--every",), {"type": int, "default": 1, "help": "take every Nth picture"}),
    "rains": (("--rains",), {"type": int, "default": RAINS, "help": "rains a photo"}),
    "widest": (("--widest",), {"type": int, "default": WIDEST, "help": "pixels of a photo"}),
    "jobs": (("--jobs",), {"type": int, "default": 2, "help": "number of processes"}),
    "device": (("--device",), {"default": "cpu", "help": "where networks compute"}),
    "threads": (("--threads",), {"type": int, "default": 1, "help": "of torch"}),
    "minutes": (("--minutes",), {"type": float, "help": "end this command after"}),
    "out": (("out",), {"type": Path, "metavar": "OUT", "help": "folder of results"}),
    "json": (("--json",), {"type": Path, "help": "write the numbers to this file"}),
    "output": (
        ("-o", "--output"),
        {"type": Path, "metavar": "FOLDER", "help": "draw into this folder"},
    ),
}


def parser(doc: str | None, names: str = "", **changed: dict[str, Any]) -> argparse.ArgumentParser:
    """Make a parser with some of the common arguments.

    Parameters
    ----------
    doc : str
        The script's docstring; its first paragraph becomes the description.
    names : str
        Of the arguments that are as everywhere, with spaces between them.
    **changed : dict
        Those of which a script changes something: by name, what `add_argument` is given instead.
    """
    made = argparse.ArgumentParser(description=(doc or "").split("\n\n")[0])
    add(made, names, **changed)
    return made


def add(parser: argparse.ArgumentParser, names: str = "", **changed: dict[str, Any]) -> None:
    """Add some of the common arguments to a parser, as `parser` does."""
    for name in (*names.split(), *changed):
        flags, properties = _COMMON[name]
        parser.add_argument(*flags, **(properties | changed.get(name, {})))
