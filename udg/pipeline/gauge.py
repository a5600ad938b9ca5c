"""The gauge: which of all equally good constants the rain layer gets.

Eq. 3 does not tell a constant in R from one in X. The signed model says which statistic of the
rain is zero; the rain model without sparsity takes the least rain of all. Windows that are solved
on their own have a constant each: they are aligned where they overlap, and the gauge is that of the
whole picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from udg.pipeline.options import Options

__all__ = ["align", "constant", "constant_of_parts", "is_free"]

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


def constant_of_parts(parts: Callable[[], Iterable[Floats]], options: Options) -> float:
    """`constant` of a picture that is read part by part; of a median, to 2⁻³² of the range.

    Parameters
    ----------
    parts : callable
        Gives all parts of the rain; called up to three times.
    options : Options

    Returns
    -------
    float
    """
    facts = [(part.size, float(part.min()), float(part.max()), part.sum(dtype=float))
             for part in parts()]  # fmt: skip
    sizes, lows, highs, sums = zip(*facts, strict=True)
    if options.model == "rain":
        return min(lows)
    if options.gauge == "mean":
        return float(sum(sums) / sum(sizes))
    low, high, below = min(lows), max(highs), 0
    middle = (sum(sizes) - 1) / 2
    for _ in range(2):
        if low == high:
            break
        edges = np.linspace(low, high, _BINS + 1)
        counts = sum(np.histogram(part, edges)[0] for part in parts())
        reached = below + np.cumsum(counts)
        place = int(np.searchsorted(reached, middle, side="right"))
        below = int(reached[place - 1]) if place else below
        low, high = float(edges[place]), float(edges[place + 1])
    return (low + high) / 2


def align(
    count: int, differences: Mapping[tuple[int, int], tuple[float, int]]
) -> list[float]:
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
