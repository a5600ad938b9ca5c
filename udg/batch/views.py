"""Small pictures and curves of a result, made where it was computed, for `udg.batch.report`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from udg.batch.planning import Task
from udg.errors import FileError
from udg.imaging.image import prepare
from udg.io import files
from udg.pipeline.survey import survey
from udg.viz.preview import Preview, Thumbnail, encoded, resized

__all__ = ["FORMAT", "SIDE", "encode", "view", "view_file"]

#: Longer side of pictures in a report, in pixels, where few share the page.
SIDE = 1600

#: Of the pictures.
FORMAT = "WebP"

_QUALITY = 82
_SMALLEST = 48  # pixels a side
_MARGIN = 0.97  # of the side that should just fit
_WORTH_IT = 1.1  # times as long a side is worth another try


def view(pixels: Any, result: Any, limit: int) -> dict[str, Any]:
    """Make what a report shows of a result.

    Parameters
    ----------
    pixels : ndarray or None
        The picture; None for a `udg.TiledResult`, which keeps a thumbnail.
    result : Result, TiledResult or NetResult
    limit : int
        Bytes that the pictures may take: `udg.batch.report.budget`.

    Returns
    -------
    dict
        As `encode` gives it, and for each direction the history of each stage, as lists of
        (iteration, seconds, energy, gap), if `history` was asked for.
    """
    signed = getattr(result, "model", "rain") == "signed"
    if pixels is None:
        preview = Preview.of_thumbnail(result.thumbnail, signed=signed, side=SIDE)
        shape = result.derained.shape
    else:
        preview = Preview.of(
            prepare(pixels), result.derained, result.rain, signed=signed, side=SIDE
        )
        shape = pixels.shape
    layers = getattr(result, "layers", ()) or (result,)
    traces = [
        [[list(map(_short, point)) for point in points] for points in getattr(layer, "trace", ())]
        for layer in layers
    ]
    about = {"signed": signed, "size": [shape[1], shape[0]]}
    return encode(preview, limit) | about | ({"history": traces} if any(traces) else {})


def view_file(task: Task, limit: int) -> dict[str, Any]:
    """Look at a picture without deraining it, and at its result if there is one.

    There are no facts but a view, whose pictures take so many bytes at most.
    """
    with files.opened(task.source) as picture:
        shape, before = picture.pixels.shape, survey(picture.pixels).thumbnail
    after, parts = before, ["before"]
    if task.target is not None:
        with files.opened(task.target) as result:
            after = survey(result.pixels).thumbnail
        parts += ["after", "rain"]
    if before.shape != after.shape:
        raise FileError(f"{task.target} differs in shape from {task.source}; derain it again")
    both = Preview.of_thumbnail(Thumbnail(before, after, before - after), signed=False, side=SIDE)
    view = encode(both, limit, parts)
    return {"view": {**view, "size": [shape[1], shape[0]], "difference": True}}


def encode(
    preview: Preview, limit: int, parts: Sequence[str] = ("before", "after", "rain")
) -> dict[str, Any]:
    """Encode pictures, as large as they may be.

    Parameters
    ----------
    preview : Preview
    limit : int
        Bytes that they may take together. They are shrunk until they do, but never below 48 pixels.
    parts : sequence of str
        Which of them.

    Returns
    -------
    dict
        ``pictures``, a WebP file each; ``shown``, their width and height; ``gain`` and
        ``exposure``.
    """
    side = longest = max(preview.before.shape[:2])

    def guess() -> int:
        """Bytes grow about as pixels do."""
        return int(_MARGIN * side * (limit / size) ** 0.5)

    pictures, shown = _at(preview, parts, side)
    size = sum(map(len, pictures.values()))
    while size > limit and side > _SMALLEST:
        side = max(_SMALLEST, guess())
        pictures, shown = _at(preview, parts, side)
        size = sum(map(len, pictures.values()))
    # Noise is lost by shrinking, which may leave room.
    while size <= limit and (larger := min(longest, guess())) > _WORTH_IT * side:
        more, larger_shown = _at(preview, parts, larger)
        if sum(map(len, more.values())) > limit:
            break
        side, pictures, shown = larger, more, larger_shown
        size = sum(map(len, pictures.values()))
    return {
        "pictures": pictures,
        "shown": shown,
        "gain": _short(preview.gain),
        "exposure": _short(preview.exposure),
    }


def _at(preview: Preview, parts: Sequence[str], side: int) -> tuple[dict[str, bytes], list[int]]:
    """Pictures as files, and their width and height."""
    small = {name: resized(getattr(preview, name), side) for name in parts}
    height, width = small[parts[0]].shape[:2]
    files = {name: encoded(plane, FORMAT, _QUALITY) for name, plane in small.items()}
    return files, [width, height]


def _short(value: float) -> float | None:
    """As many digits as can be seen; nothing for what JSON has no number for."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
