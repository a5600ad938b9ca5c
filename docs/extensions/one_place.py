"""Texts that have their place elsewhere in the repository, shown as parts of the pages.

MyST's ``include`` brings them; here their links, which lead from file to file, are made to lead
from page to page.
"""

import os
import re
from pathlib import Path, PurePosixPath

from sphinx.application import Sphinx

ROOT = Path(__file__).parent.parent.parent

# Files of the repository, and the pages on which they are shown.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/gpu/README.md": "benchmarks-gpu.md",
    "udg/assets/README.md": "demo-picture.md",
    "udg/net/weights/small.md": "weights-small.md",
}
# Headings of the README, and the pages that say more.
SECTIONS = {
    "adjusting-it": "weights.md#what-can-be-adjusted",
    "choosing-weights": "weights.md",
    "big-images": "big.md",
    "citing": "citing.md",
    "results": "measuring.md#results",
    "the-network": "network.md",
    "stripes": "stripes.md",
}


def led_to_pages(text: str, source: str, page: str) -> str:
    """The text with links of a file of the repository turned into links of a page.

    Both paths are relative: to the repository and to ``docs``.
    """

    def turned(match: re.Match[str]) -> str:
        target, _, anchor = match[1].partition("#")
        folder = PurePosixPath(source).parent
        path = os.path.normpath(folder / target) if target else source
        if path == "README.md" and anchor in SECTIONS:
            path, _, anchor = ("docs/" + SECTIONS[anchor]).partition("#")
        elif path in PAGES:
            path = f"docs/{PAGES[path]}"
        start = PurePosixPath("docs") / PurePosixPath(page).parent
        place = os.path.relpath(path, start)
        return f"]({place}{'#' + anchor if anchor else ''})"

    return re.sub(r"\]\(((?![a-z]+:)[^)\s]+)\)", turned, text)


def _read(app: Sphinx, path: Path, page: str, content: list[str]) -> None:
    source = os.path.relpath(Path(app.srcdir) / path, ROOT)
    content[0] = led_to_pages(content[0], Path(source).as_posix(), page)


def setup(app: Sphinx) -> dict[str, bool]:
    """Turn links whenever a file is included."""
    app.connect("include-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
