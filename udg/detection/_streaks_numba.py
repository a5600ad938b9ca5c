"""`udg.detection.streaks.streak_logit`, compiled: one thread, one pass, float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["classify"]

Array = Any

_COLUMNS = 512  # of all features that are held in the first-level cache
_TOGETHER = 5  # features that are added at once: a sum is read and written so much less often


@njit(cache=True, nogil=True, fastmath={"contract"})
def classify(
    features: tuple[Array, ...],
    centre: Array,
    scale: Array,
    inner: Array,
    inner_bias: Array,
    outer: Array,
    bias: Any,
    result: Array,
) -> None:
    """Logistic regression with one hidden layer of tanh, pixel by pixel."""
    height, width = result.shape
    count, three = len(features), np.float32(3)
    padded = -(-count // _TOGETHER) * _TOGETHER
    scaled, angle = np.zeros((padded, _COLUMNS), np.float32), np.empty(_COLUMNS, np.float32)
    weights = np.zeros((len(outer), padded), np.float32)
    for h in range(len(outer)):  # an assignment of arrays takes seconds to compile
        for f in range(count):
            weights[h, f] = inner[h, f]
    for i in range(height):
        for left in range(0, width, _COLUMNS):
            length = min(_COLUMNS, width - left)
            out = result[i, left : left + length]
            for j in range(length):
                out[j] = bias
            for f in range(count):
                row, z = features[f][i, left : left + length], scaled[f]
                middle, part = centre[f], np.float32(1) / scale[f]
                for j in range(length):
                    value = part * (row[j] - middle)
                    value = value if value > -three else -three
                    z[j] = value if value < three else three
            for h in range(len(outer)):
                for j in range(length):
                    angle[j] = inner_bias[h]
                for f in range(0, padded, _TOGETHER):
                    a, b, c = weights[h, f], weights[h, f + 1], weights[h, f + 2]
                    d, e = weights[h, f + 3], weights[h, f + 4]
                    z, y, x = scaled[f], scaled[f + 1], scaled[f + 2]
                    w, v = scaled[f + 3], scaled[f + 4]
                    for j in range(length):
                        angle[j] += a * z[j] + b * y[j] + c * x[j] + d * w[j] + e * v[j]
                weight = outer[h]
                for j in range(length):
                    out[j] += weight * _tanh(angle[j])


@njit(inline="always")
def _tanh(x: Any) -> Any:
    """Lambert's continued fraction for a quarter of it, and twice the double angle's formula.

    Within 3e-7, and without a call that would stop vector units.
    """
    nine, quarter = np.float32(9), np.float32(0.25)
    x = x if x > -nine else -nine
    x = quarter * (x if x < nine else nine)
    y = x * x
    above = np.float32(135135) + y * (np.float32(17325) + y * (np.float32(378) + y))
    below = np.float32(135135) + y * (
        np.float32(62370) + y * (np.float32(3150) + y * np.float32(28))
    )
    above *= x
    above, below = (above + above) * below, below * below + above * above
    return (above + above) * below / (below * below + above * above)
