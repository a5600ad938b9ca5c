"""The built pages must load nothing from elsewhere: no script, style, font or picture."""

import re
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

# What a browser fetches by itself; links that somebody may click are not.
_TAGS = re.compile(
    r"<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\bsrc=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<object\b[^>]*?\bdata=[\"']?((?:https?:)?//[^\"'\s>]+)"
    r"|<link\b(?![^>]*\brel=[\"']?(?:canonical|author|license))[^>]*?\bhref=[\"']?"
    r"((?:https?:)?//[^\"'\s>]+)",
    re.IGNORECASE,
)
_STYLES = re.compile(
    r"url\(\s*[\"']?((?:https?:)?//[^\"')\s]+)|@import\s+[\"']((?:https?:)?//[^\"']+)",
    re.IGNORECASE,
)


def remote(text: str) -> list[str]:
    """Addresses from which a page or a style sheet would load something."""
    found = [*_TAGS.findall(text), *_STYLES.findall(text)]
    return [address for groups in found for address in groups if address]


def remote_in(folder: Path) -> Iterator[str]:
    """The same for all files of a folder, with their names."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".html", ".css", ".svg"):
            for address in remote(path.read_text(encoding="utf-8")):
                yield f"{path.relative_to(folder)}: {address}"


def _check(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        found = list(remote_in(Path(app.outdir)))
        if found:
            raise ExtensionError("pages load from elsewhere:\n" + "\n".join(found))


def setup(app: Sphinx) -> dict[str, bool]:
    """Look once everything is written."""
    app.connect("build-finished", _check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
