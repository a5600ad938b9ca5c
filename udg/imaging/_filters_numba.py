"""Filters along rows and columns, of `udg.imaging.filters`: one thread, one pass, float32.

All go over rows and, in these, over columns, so that the inner loops are those of vector units.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["correlate", "difference", "highest", "mean"]

Array = Any

_COLUMNS = 1024  # of a sum of rows that are held in the first-level cache


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True, fastmath={"contract"})(function)


@_compiled
def _pad(row: Array, reach: int, padded: Array) -> None:
    """Continue a row by its ends. Loops: an assignment of arrays takes seconds to compile."""
    width = len(row)
    for j in range(reach):
        padded[j] = row[0]
        padded[reach + width + j] = row[width - 1]
    for j in range(width):
        padded[reach + j] = row[j]


@_compiled
def correlate(plane: Array, weights: Array, axis: int, result: Array) -> None:
    """Symmetric weights: ``weights[k]`` is that of both neighbours k pixels away."""
    height, width = plane.shape
    reach = len(weights) - 1
    if axis == 0:
        for left in range(0, width, _COLUMNS):
            right = min(width, left + _COLUMNS)
            for i in range(height):
                out, own = result[i, left:right], plane[i, left:right]
                for j in range(right - left):
                    out[j] = weights[0] * own[j]
                for k in range(1, reach + 1):
                    above = plane[max(0, i - k), left:right]
                    below = plane[min(height - 1, i + k), left:right]
                    weight = weights[k]
                    for j in range(right - left):
                        out[j] += weight * (above[j] + below[j])
        return
    padded = np.empty(width + 2 * reach, plane.dtype)
    for i in range(height):
        _pad(plane[i], reach, padded)
        out, own = result[i], padded[reach : reach + width]
        for j in range(width):
            out[j] = weights[0] * own[j]
        for k in range(1, reach + 1):
            before, after = padded[reach - k :], padded[reach + k :]
            weight = weights[k]
            for j in range(width):
                out[j] += weight * (before[j] + after[j])


@_compiled
def mean(plane: Array, size: int, axis: int, result: Array) -> None:
    """Running sums of an odd number of pixels, in double precision."""
    height, width = plane.shape
    reach, part = size // 2, 1.0 / size
    if axis == 0:
        total = np.zeros(width)
        for k in range(-reach, reach + 1):
            row = plane[min(max(k, 0), height - 1)]
            for j in range(width):
                total[j] += row[j]
        for i in range(height):
            gone, come = plane[max(0, i - reach)], plane[min(height - 1, i + reach + 1)]
            out = result[i]
            for j in range(width):
                out[j] = part * total[j]
                total[j] += come[j] - gone[j]
        return
    for i in range(height):
        row, out = plane[i], result[i]
        sum_ = 0.0
        for k in range(-reach, reach + 1):
            sum_ += row[min(max(k, 0), width - 1)]
        for j in range(width):
            out[j] = part * sum_
            sum_ += row[min(width - 1, j + reach + 1)] - row[max(0, j - reach)]


@_compiled
def highest(plane: Array, size: int, axis: int, result: Array) -> None:
    """Maximum of an odd number of pixels."""
    height, width = plane.shape
    reach = size // 2
    if axis == 0:
        for i in range(height):
            out, own = result[i], plane[i]
            for j in range(width):
                out[j] = own[j]
            for k in range(max(0, i - reach), min(height, i + reach + 1)):
                other = plane[k]
                for j in range(width):
                    out[j] = other[j] if other[j] > out[j] else out[j]
        return
    padded = np.empty(width + 2 * reach, plane.dtype)
    for i in range(height):
        _pad(plane[i], reach, padded)
        out = result[i]
        for j in range(width):
            out[j] = padded[j]
        for k in range(1, size):
            other = padded[k:]
            for j in range(width):
                out[j] = other[j] if other[j] > out[j] else out[j]


@_compiled
def difference(plane: Array, start: int, stop: int, axis: int, result: Array) -> None:
    """The pixel ``stop`` pixels on minus that ``start`` pixels on."""
    height, width = plane.shape
    if axis == 0:
        for i in range(height):
            first = plane[min(max(i + start, 0), height - 1)]
            last = plane[min(max(i + stop, 0), height - 1)]
            out = result[i]
            for j in range(width):
                out[j] = last[j] - first[j]
        return
    for i in range(height):
        row, out = plane[i], result[i]
        for j in range(width):
            out[j] = row[min(max(j + stop, 0), width - 1)] - row[min(max(j + start, 0), width - 1)]
