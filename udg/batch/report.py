"""One page for a batch: what became of every picture, to be looked at in a browser.

The page is a single file without a server and without anything remote. `entries` collects what is
known of each task, with the small pictures of `udg.batch.views`, and `write` puts it into the page,
``assets/report.html``, whose script draws the rest.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from udg._version import __version__
from udg.batch.jobs import Outcome, run
from udg.batch.planning import Task
from udg.batch.views import FORMAT, view_file
from udg.errors import UdgError
from udg.io.paths import plain_errors, write_bytes
from udg.viz.preview import data_uri

__all__ = ["budget", "earlier", "entries", "write"]

_PAGE = 9_500_000  # bytes of all pictures, so that the page stays below 10 MB
_MAX, _MIN = 1_500_000, 6_000  # bytes of one entry's pictures, whatever their number


def budget(count: int) -> int:
    """Bytes that the pictures of one entry may take in a page of so many.

    Together they stay below 10 MB, base64 included, up to a thousand entries; beyond, pictures
    become no smaller.
    """
    return int(min(_MAX, max(_MIN, 0.75 * _PAGE / max(1, count))))


def entries(
    outcomes: Sequence[Outcome],
    skipped: Sequence[Task] = (),
    *,
    known: Mapping[Task, dict[str, Any]] | None = None,
    asked: float | str = "auto",
    jobs: int = 1,
    dask: str | None = None,
    look: bool = True,
) -> list[dict[str, Any]]:
    """Collect one entry for each picture, in the order in which they were given.

    Parameters
    ----------
    outcomes : sequence of Outcome
        Of `udg.batch.derain_file` with a view.
    skipped : sequence of Task
        What was done before this run.
    known : mapping, optional
        Entries of an earlier page for some of ``skipped``: `earlier`.
    asked : float or "auto"
        The rain level that was asked for: where it was given, 0 is not a finding.
    jobs, dask
        As for `udg.batch.run`, for the pictures that have to be looked at here: those that failed
        and those that were skipped, with what is at their output.
    look : bool
        Whether to look at those at all.

    Returns
    -------
    list of dict
        As JSON can hold them.
    """
    known = known or {}
    found: dict[int, dict[str, Any]] = {}
    unseen: list[Task] = []
    for outcome in outcomes:
        task = outcome.task
        found[task.number] = {**outcome.as_dict(), "notes": outcome.notes, **(outcome.view or {})}
        if outcome.error is not None:
            unseen.append(Task(task.source, number=task.number))
    for task in skipped:
        if task in known:
            found[task.number] = {**known[task], "earlier": True}
        else:
            found[task.number] = {**task.names(), "status": "skipped", "notes": []}
            unseen.append(task)
    if look and unseen:
        limit = budget(len(found))
        for outcome in run(unseen, partial(view_file, limit=limit), jobs=jobs, dask=dask):
            entry = found[outcome.task.number]
            entry.update(outcome.view or {})
            if outcome.error is not None and "error" not in entry:
                entry["notes"] = [*entry["notes"], f"It cannot be shown: {outcome.error}"]
    for entry in found.values():
        entry.setdefault("kind", _kind(entry, asked))
    return [_with_addresses(found[number]) for number in sorted(found)]


def _kind(entry: dict[str, Any], asked: float | str) -> str:
    """What the page sorts by: rain, dry, failed or skipped."""
    if entry["status"] != "done":
        return str(entry["status"])
    layers = entry.get("layers") or [entry]
    levels = [layer["rain_level"] for layer in layers if "rain_level" in layer]
    return "dry" if asked == "auto" and levels and max(levels) == 0 else "rain"


def _with_addresses(entry: dict[str, Any]) -> dict[str, Any]:
    """Pictures as data, unless they come from a page and are so already."""
    pictures = {
        name: picture if isinstance(picture, str) else data_uri(picture, FORMAT)
        for name, picture in entry.get("pictures", {}).items()
    }
    return {**entry, "pictures": pictures} if pictures else entry


def earlier(page: Path, tasks: Iterable[Task]) -> dict[Task, dict[str, Any]]:
    """Find what a page of an earlier run tells of tasks that are done.

    Parameters
    ----------
    page : Path
        Perhaps a page that `write` made.
    tasks : iterable of Task
        Each with a target.

    Returns
    -------
    dict
        Entries by task; only those whose result is not younger than the page.
    """
    try:
        with plain_errors(page, "read"):
            written, text = page.stat().st_mtime, page.read_text(encoding="utf-8")
        match = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
        files = json.loads(match[1])["files"] if match else []
        told = {(file["input"], file["output"]): file for file in files if file.get("pictures")}
    except (UdgError, ValueError, LookupError, TypeError):
        return {}
    known = {}
    for task in tasks:
        names = task.names()
        file = told.get((names["input"], names.get("output")))
        if file and file.get("status") == "done" and task.target is not None:
            with plain_errors(task.target, "read"):
                if task.target.stat().st_mtime <= written:
                    known[task] = file
    return known


def write(
    page: Path,
    files: Sequence[dict[str, Any]],
    *,
    title: str = "Rain report",
    settings: Mapping[str, Any] | None = None,
    left: int = 0,
) -> int:
    """Write the page, completely or not at all; an older one is replaced.

    Parameters
    ----------
    page : Path
        Its folder must exist.
    files : sequence of dict
        `entries`.
    title : str
    settings : mapping, optional
        What the method was asked for.
    left : int
        Number of pictures that were not done because the run was interrupted.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    FileError
        It cannot be written.
    """
    from importlib import resources

    content = {
        "udg": __version__,
        "made": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M"),
        "settings": [f"{name}={_plain(value)}" for name, value in (settings or {}).items()],
        "left": left,
        "files": files,
    }
    text = json.dumps(content, allow_nan=False, separators=(",", ":"), default=str)
    for sign in "<>&\u2028\u2029":  # a file's name must not end the script
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    template = (resources.files("udg") / "assets" / "report.html").read_text(encoding="utf-8")
    parts = {"@TITLE@": html.escape(title), "@DATA@": text}
    data = re.sub("@TITLE@|@DATA@", lambda match: parts[match[0]], template).encode()
    write_bytes(page, data, overwrite=True)
    return len(data)


def _plain(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
