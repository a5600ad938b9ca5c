"""Pictures of the benchmarks: sheets that put results side by side, and plots."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter, uniform_filter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = np.ndarray[Any, Any]

#: Colours that stay apart for most eyes (Okabe and Ito).
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_GAP = 6
_TEXT = 15  # height of letters in pixels
_LINE = 22  # height of a line of text
_FRAME = (255, 200, 0)
_DETAIL = 4.0  # σ in pixels of what is no detail


class Cell(NamedTuple):
    """A picture of a sheet, uint8, and what is written below it."""

    picture: Array
    note: str = ""


class Window(NamedTuple):
    """A square of a picture that is shown larger."""

    top: int
    left: int
    side: int


def sheet(
    headings: Sequence[str],
    rows: Sequence[Sequence[Cell | None]],
    windows: Sequence[Window | None] | None = None,
    *,
    width: int = 360,
) -> Image.Image:
    """Lay pictures out in a grid.

    Parameters
    ----------
    headings : sequence of str
        Of the columns; the font has no Greek letters.
    rows : sequence of sequences of Cell
        Pictures of a row have one size; None leaves a cell empty.
    windows : sequence of Window, optional
        One a row: what is shown enlarged below each of its pictures.
    width : int
        Of a column, in pixels. Larger pictures are shrunk, smaller ones kept.
    """
    font = ImageFont.load_default(_TEXT)
    windows = windows or [None] * len(rows)
    widest = max(cell.picture.shape[1] for row in rows for cell in row if cell is not None)
    heading = max(round(font.getlength(text)) for text in headings)
    width = max(min(width, widest), heading + _GAP)
    parts = [
        [cell and _column(cell, window, width, font) for cell in row]
        for row, window in zip(rows, windows, strict=True)
    ]
    heights = [max(part.height for part in row if part) for row in parts]
    size = (
        len(headings) * (width + _GAP) + _GAP,
        _LINE + sum(height + 2 * _GAP for height in heights),
    )
    whole = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(whole)
    for column, heading in enumerate(headings):
        middle = _GAP + column * (width + _GAP) + width / 2
        draw.text((middle, _LINE / 2 + 2), heading, "black", font, anchor="mm")
    top = _LINE + _GAP
    for row, height in zip(parts, heights, strict=True):
        for column, part in enumerate(row):
            if part:
                whole.paste(part, (_GAP + column * (width + _GAP), top))
        top += height + 2 * _GAP
    return whole


def _column(cell: Cell, window: Window | None, width: int, font: Any) -> Image.Image:
    """A picture, its window enlarged below it, and its note."""
    picture = _rgb(cell.picture)
    scale = min(1.0, width / picture.width)
    shown = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    views = [shown]
    if window is not None:
        top, left, side = window
        box = (left, top, left + side, top + side // 2)
        enlarged = picture.crop(box).resize(
            (shown.width, shown.width // 2), Image.Resampling.BICUBIC
        )
        ImageDraw.Draw(enlarged).rectangle(
            (0, 0, enlarged.width - 1, enlarged.height - 1), outline=_FRAME, width=2
        )
        framed = [round(edge * scale) for edge in box]
        ImageDraw.Draw(shown).rectangle(framed, outline=_FRAME, width=2)
        views.append(enlarged)
    note = _LINE if cell.note else 0
    height = sum(view.height for view in views) + 2 * (len(views) - 1) + note
    part = Image.new("RGB", (width, height), "white")
    top = 0
    for view in views:
        part.paste(view, ((width - view.width) // 2, top))
        top += view.height + 2
    if cell.note:
        ImageDraw.Draw(part).text(
            (width / 2, height - _LINE / 2 + 1), cell.note, "black", font, anchor="mm"
        )
    return part


def _rgb(picture: Array) -> Image.Image:
    if picture.dtype == np.uint16:
        picture = (picture // 257).astype(np.uint8)
    return Image.fromarray(picture).convert("RGB")


def telling_window(pictures: Sequence[Array], side: int | None = None) -> Window:
    """The window, half as high as wide, in which the pictures' details differ most.

    Parameters
    ----------
    pictures : sequence of arrays
        Of one shape.
    side : int, optional
        Width of the window; by default a third of the picture's.
    """
    planes = np.stack([p.mean(axis=2) if p.ndim == 3 else p.astype(float) for p in pictures])
    height, width = planes.shape[1:]
    side = min(side or width // 3, width, 2 * height)
    half = side // 2
    details = planes - gaussian_filter(planes, (0, _DETAIL, _DETAIL))
    spread = uniform_filter(details.std(axis=0), (half, side), mode="constant")
    # A centre whose window is wholly inside.
    inside = spread[half // 2 : height - half + half // 2 + 1, side // 2 : width - side // 2]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return Window(int(top), int(min(left, width - side)), side)


def keep(picture: Image.Image, path: Path) -> None:
    """Write a sheet; PNG or JPEG by its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{path.name}")
    picture.save(draft, **({"quality": 80} if path.suffix in (".jpg", ".jpeg") else {}))
    draft.replace(path)


def plot(rows: int = 1, columns: int = 1, *, width: float = 4.6, height: float = 3.4) -> Any:
    """A figure and its axes, without pyplot's state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    return figure, axes


def keep_plot(figure: Figure, path: Path) -> None:
    """Write a plot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"draft-{path.name}")
    figure.savefig(draft, dpi=110)
    draft.replace(path)
