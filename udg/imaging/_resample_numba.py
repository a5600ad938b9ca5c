"""Cubic B-splines of planes, and their values on rows of places: `udg.imaging.geometry`, compiled.

The plane goes on beyond its edges as its mirror image, half a pixel away (SciPy's mode "reflect").
Places of a row of the result are a projective function of the column, which all frames' are:
rotated, oversampled and convergent ones.

References
----------
M. Unser, A. Aldroubi, M. Eden, "B-spline signal processing: Part II", IEEE Transactions on Signal
Processing 41(2), 1993: the prefilter.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

__all__ = ["columns_to_spline", "rows_to_spline", "sample"]

Array = Any

_POLE = math.sqrt(3.0) - 2.0
_GAIN = 6.0
_TERMS = 16  # of the sum over the mirror image: the next is 1e-9 of it
_TOGETHER = 8  # rows whose recursions run side by side


def _compiled(function: Any) -> Any:
    return njit(cache=True, nogil=True, fastmath={"contract"})(function)


@_compiled
def columns_to_spline(plane: Array, left: int, right: int) -> None:
    """Turn values into a spline's coefficients along axis 0, in place, for some columns."""
    height, pole = len(plane), np.float32(_POLE)
    start = np.empty(right - left, np.float32)
    for j in range(left, right):
        total, power = plane[0, j], np.float32(1)
        for k in range(_TERMS):
            power *= pole
            place = k % (2 * height)
            total += power * plane[min(place, 2 * height - 1 - place), j]
        start[j - left] = total
    for j in range(left, right):
        plane[0, j] = np.float32(_GAIN) * start[j - left]
    for i in range(1, height):
        row, before = plane[i], plane[i - 1]
        for j in range(left, right):
            row[j] = np.float32(_GAIN) * row[j] + pole * before[j]
    row = plane[height - 1]
    for j in range(left, right):
        row[j] *= pole / (pole - np.float32(1))
    for i in range(height - 2, -1, -1):
        row, after = plane[i], plane[i + 1]
        for j in range(left, right):
            row[j] = pole * (after[j] - row[j])


@_compiled
def rows_to_spline(plane: Array, top: int, bottom: int) -> None:
    """The same along axis 1, for some rows."""
    width, pole = plane.shape[1], np.float32(_POLE)
    block = np.zeros((width, _TOGETHER), np.float32)  # rows as columns: a vector unit's work
    for first in range(top, bottom, _TOGETHER):
        count = min(_TOGETHER, bottom - first)
        for r in range(count):
            row = plane[first + r]
            for j in range(width):
                block[j, r] = row[j]
        for r in range(_TOGETHER):
            total, power = block[0, r], np.float32(1)
            for k in range(_TERMS):
                power *= pole
                place = k % (2 * width)
                total += power * block[min(place, 2 * width - 1 - place), r]
            # Not yet in its place: the sum of another row does not need it, but its own does.
            block[0, r] = total
        for r in range(_TOGETHER):
            block[0, r] *= np.float32(_GAIN)
        for j in range(1, width):
            for r in range(_TOGETHER):
                block[j, r] = np.float32(_GAIN) * block[j, r] + pole * block[j - 1, r]
        for r in range(_TOGETHER):
            block[width - 1, r] *= pole / (pole - np.float32(1))
        for j in range(width - 2, -1, -1):
            for r in range(_TOGETHER):
                block[j, r] = pole * (block[j + 1, r] - block[j, r])
        for r in range(count):
            row = plane[first + r]
            for j in range(width):
                row[j] = block[j, r]


@_compiled
def sample(
    spline: Array, places: Array, low: Any, high: Any, result: Array, top: int, bottom: int
) -> None:
    """Values at places of some rows of the result, not below ``low`` or above ``high``.

    ``places[i]`` of row i are y₀, y₁, x₀, x₁, w₁ and c: column j is at row y₀ + y₁ j and column
    c + (x₀ + x₁ j) / (1 + w₁ j).
    """
    height, width = spline.shape
    sixth = np.float32(1 / 6)
    for i in range(top, bottom):
        y0, y1, x0, x1, w1, c = places[i]
        out = result[i]
        for j in range(len(out)):
            y, x = y0 + y1 * j, c + (x0 + x1 * j) / (1.0 + w1 * j)
            row, column = math.floor(y), math.floor(x)
            t, u = np.float32(y - row), np.float32(x - column)
            s, v = np.float32(1) - t, np.float32(1) - u
            down = (
                sixth * s * s * s,
                sixth * (np.float32(4) + np.float32(3) * t * t * (t - np.float32(2))),
                sixth * (np.float32(4) + np.float32(3) * s * s * (s - np.float32(2))),
                sixth * t * t * t,
            )
            right = (
                sixth * v * v * v,
                sixth * (np.float32(4) + np.float32(3) * u * u * (u - np.float32(2))),
                sixth * (np.float32(4) + np.float32(3) * v * v * (v - np.float32(2))),
                sixth * u * u * u,
            )
            a, b = row - 1, column - 1
            value = np.float32(0)
            if a >= 0 and b >= 0 and a + 3 < height and b + 3 < width:
                for k in range(4):
                    near = spline[a + k]
                    value += down[k] * (
                        right[0] * near[b]
                        + right[1] * near[b + 1]
                        + right[2] * near[b + 2]
                        + right[3] * near[b + 3]
                    )
            else:
                for k in range(4):
                    place = (a + k) % (2 * height)
                    near = spline[min(place, 2 * height - 1 - place)]
                    for m in range(4):
                        place = (b + m) % (2 * width)
                        value += down[k] * right[m] * near[min(place, 2 * width - 1 - place)]
            value = value if value > low else low
            out[j] = value if value < high else high
