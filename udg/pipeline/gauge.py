"""The gauge: which of all equally good constants the rain layer gets.

Eq. 3 does not tell a constant in R from one in X. The signed model says which statistic of the
rain is zero; the rain model without sparsity takes the least rain of all. Windows that are solved
on their own have a constant each: they are aligned where they overlap, and the gauge is that of the
whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from udg.pipeline.options import Options

__all__ = [
    "Bracket",
    "Summary",
    "align",
    "bracket",
    "constant",
    "constant_of_parts",
    "is_free",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_BINS = 1 << 16


def is_free(options: Options) -> bool:
    """Whether there is a constant to be chosen."""
    return options.model == "signed" or options.weights.lam_r == 0


def constant(rain: Array, options: Options) -> float:
    """What is to be subtracted from the rain of a whole picture.

    Parameters
    ----------
    rain : array, shape (H, W)
    options : Options

    Returns
    -------
    float
        Signed model: its median or mean. Rain model: its minimum.
    """
    xp = array_namespace(rain)
    if options.model == "rain":
        return float(xp.min(rain))
    if options.gauge == "mean":
        return float(xp.mean(rain))
    ordered = xp.sort(xp.reshape(rain, (-1,)))  # which every array namespace can
    middle = ordered.shape[0] // 2
    return float(0.5 * (ordered[middle] + ordered[-middle - 1]))


class Summary(NamedTuple):
    """What the gauge has to know of a part of the rain first."""

    size: int
    low: float
    high: float
    total: float

    @classmethod
    def of(cls, part: Floats) -> Summary:
        """Summarise a part."""
        total = float(np.sum(part, dtype=float))
        return cls(part.size, float(part.min()), float(part.max()), total)


class Bracket(NamedTuple):
    """Between which values the constant of a picture lies."""

    low: float
    high: float
    below: int  # pixels that are less than low
    middle: float  # number of the pixel that is looked for

    @property
    def constant(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2

    def counts(self, part: Floats) -> NDArray[np.int64]:
        """Histogram of a part between the two."""
        if self.low == self.high:
            return np.zeros(1, np.int64)
        return np.histogram(part, np.linspace(self.low, self.high, _BINS + 1))[0]

    def narrowed(self, counts: Sequence[NDArray[np.int64]]) -> Bracket:
        """The bin in which the pixel is, from the counts of all parts."""
        if self.low == self.high:
            return self
        reached = self.below + np.cumsum(np.sum(counts, axis=0))
        place = min(int(np.searchsorted(reached, self.middle, side="right")), _BINS - 1)
        edges = np.linspace(self.low, self.high, _BINS + 1)
        below = int(reached[place - 1]) if place else self.below
        return Bracket(float(edges[place]), float(edges[place + 1]), below, self.middle)


def bracket(summaries: Sequence[Summary], options: Options) -> Bracket:
    """Bracket the `constant` of a picture that is read part by part.

    Parameters
    ----------
    summaries : sequence of Summary
        Of all parts.
    options : Options

    Returns
    -------
    Bracket
        Already closed for a minimum or mean. For a median, narrow it twice: it is then within 2⁻³²
        of the rain's range.
    """
    sizes, lows, highs, totals = zip(*summaries, strict=True)
    low, high = min(lows), max(highs)
    if options.model == "rain":
        low = high = min(lows)
    elif options.gauge == "mean":
        low = high = sum(totals) / sum(sizes)
    return Bracket(low, high, 0, (sum(sizes) - 1) / 2)


def constant_of_parts(parts: Callable[[], Iterable[Floats]], options: Options) -> float:
    """Find the `constant` of a picture that is read part by part.

    Parameters
    ----------
    parts : callable
        Gives all parts of the rain; called three times.
    options : Options

    Returns
    -------
    float
    """
    found = bracket([Summary.of(part) for part in parts()], options)
    for _ in range(2):
        found = found.narrowed([found.counts(part) for part in parts()])
    return found.constant


def align(count: int, differences: Mapping[tuple[int, int], tuple[float, int]]) -> list[float]:
    """Constants that bring windows together where they overlap, by least squares.

    Parameters
    ----------
    count : int
        Number of windows.
    differences : mapping
        For pairs (a, b) of windows, the mean of the rain of a minus that of b where both are, and
        the number of pixels there.

    Returns
    -------
    list of float
        What is to be added to each; their sum is zero.
    """
    matrix, side = np.zeros((count, count)), np.zeros(count)
    for (a, b), (difference, pixels) in differences.items():
        matrix[[a, b], [a, b]] += pixels
        matrix[[a, b], [b, a]] -= pixels
        side[a] -= pixels * difference
        side[b] += pixels * difference
    found = np.linalg.lstsq(matrix, side, rcond=None)[0]
    return [float(value) for value in found - found.mean()]
