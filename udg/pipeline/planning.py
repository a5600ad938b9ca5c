"""How a picture is cut into overlapping tiles, and how their rain is joined again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from udg.errors import InvalidInput
from udg.imaging.geometry import Window
from udg.pipeline import gauge
from udg.pipeline.options import checked_count

__all__ = ["OVERLAP", "TILE", "Seams", "Span", "Tile", "blended", "plan"]

Floats = np.ndarray[Any, np.dtype[Any]]

TILE = 2048  # side in pixels
OVERLAP = 128  # pixels that neighbours share, at most a third of a tile
_MARGIN = 0.25  # part of an overlap, at either end, that is left to one tile alone


class Span(NamedTuple):
    """A tile's extent along one axis: from `start` to `stop`, shared `before` and `after`."""

    start: int
    stop: int
    before: int
    after: int

    @property
    def own(self) -> slice:
        """From where the tile begins to where the next one does."""
        return slice(self.start, self.stop - self.after)

    def ramp(self) -> Floats:
        """Weight at each pixel, float32; at every pixel those of all tiles sum to 1."""
        weights = np.ones(self.stop - self.start, np.float32)
        if self.before:
            weights[: self.before] = _rising(self.before)
        if self.after:
            weights[-self.after :] = _rising(self.after)[::-1]
        return weights


class Tile(NamedTuple):
    """A window of the picture that is solved on its own.

    Attributes
    ----------
    number : int
        From 0, row by row.
    rows, columns : Span
        The window, overlaps included.
    """

    number: int
    rows: Span
    columns: Span

    @property
    def window(self) -> Window:
        """The window as an index of the picture."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def weights(self) -> Floats:
        """Weight of the tile's rain at each of its pixels, float32, shape ``shape``."""
        return np.outer(self.rows.ramp(), self.columns.ramp())


def plan(shape: tuple[int, ...], tile: int = TILE, overlap: int | None = None) -> list[Tile]:
    """Cover a picture with overlapping tiles of nearly the same size.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the picture.
    tile : int
        Longest side of a tile in pixels, overlaps included; at least 16.
    overlap : int, optional
        Pixels that neighbours share; at most a third of `tile`. Default 128 if it may be.

    Returns
    -------
    list of Tile
        Row by row. A single one if the picture is not larger than a tile.

    Raises
    ------
    InvalidInput
        `tile` or `overlap` is outside its range.
    """
    checked_count("tile", tile, 16)
    overlap = min(OVERLAP, tile // 3) if overlap is None else checked_count("overlap", overlap, 0)
    if 3 * overlap > tile:
        raise InvalidInput(f"overlap is {overlap}; give at most a third of the tile, {tile // 3}")
    rows, columns = (_spans(side, tile, overlap) for side in shape[:2])
    pairs = ((row, column) for row in rows for column in columns)
    return [Tile(number, row, column) for number, (row, column) in enumerate(pairs)]


def _spans(length: int, size: int, overlap: int) -> list[Span]:
    count = max(1, math.ceil((length - overlap) / (size - overlap)))
    cuts = [round(k * (length - overlap) / count) for k in range(1, count)]
    starts, stops = [0, *cuts], [*(cut + overlap for cut in cuts), length]
    befores, afters = [0, *[overlap] * (count - 1)], [*[overlap] * (count - 1), 0]
    return [Span(*ends) for ends in zip(starts, stops, befores, afters, strict=True)]


def _rising(overlap: int) -> Floats:
    """From 0 to 1 over an overlap: sin², whose mirror image is 1 minus it."""
    place = (np.arange(overlap) + 0.5) / overlap
    inner = np.clip((place - _MARGIN) / (1 - 2 * _MARGIN), 0, 1)
    return np.asarray(np.sin(0.5 * np.pi * inner) ** 2, np.float32)


def blended(
    results: Iterator[tuple[Tile, Floats]], shape: tuple[int, ...]
) -> Iterator[tuple[int, Floats]]:
    """Blend the rain of tiles that come row by row; give rows as soon as they are final."""
    carried = np.zeros((0, shape[1]), np.float32)
    for rows, row in groupby(results, key=lambda result: result[0].rows):
        band = np.zeros((rows.stop - rows.start, shape[1]), np.float32)
        band[: len(carried)] = carried
        for tile, rain in row:
            band[:, tile.window[1]] += tile.weights() * rain
        final = len(band) - rows.after
        carried = band[final:].copy()
        yield rows.start, band[:final]


class Seams:
    """By how much the rain of neighbouring tiles differs where they overlap."""

    def __init__(self) -> None:
        self._differences: dict[tuple[int, int], tuple[float, int]] = {}
        self._left: tuple[int, Floats] | None = None
        self._above: dict[int, tuple[int, Floats]] = {}  # by the first column

    def add(self, tile: Tile, rain: Floats) -> None:
        """Compare a tile with those before it; they come row by row."""
        if tile.columns.before and self._left is not None:
            self._compare(tile.number, rain[:, : tile.columns.before], *self._left)
        if tile.rows.before:
            above = self._above[tile.columns.start]
            self._compare(tile.number, rain[: tile.rows.before], *above)
        after = tile.columns.after
        self._left = (tile.number, rain[:, -after:].copy()) if after else None
        if tile.rows.after:
            self._above[tile.columns.start] = tile.number, rain[-tile.rows.after :].copy()

    def _compare(self, number: int, rain: Floats, other: int, its: Floats) -> None:
        difference = float(np.mean(its - rain, dtype=float))
        self._differences[other, number] = difference, rain.size

    def constants(self, count: int) -> list[float]:
        """What brings the tiles together."""
        return gauge.align(count, self._differences)
