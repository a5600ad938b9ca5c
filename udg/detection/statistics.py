"""Local statistics of a thumbnail that evidence and weights have in common."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["block_sigma", "differences", "log_local_means"]

Array = Any

_BLOCK = 0.04  # σ of local means, as a part of the shorter side


def differences(plane: Array) -> Array:
    """Sum the absolute differences to the neighbours below and to the right."""
    return abs(np.diff(plane, axis=0))[:, :-1] + abs(np.diff(plane, axis=1))[:-1]


def log_local_means(plane: Array, seen: Array) -> Array:
    """Logarithm of local means of what is seen, one a block that is half seen."""
    sigma = block_sigma(seen)
    down, right = (_gaussian(side, sigma) for side in seen.shape)
    total, part = ((right @ (down @ values).T).T for values in (plane * seen, seen))
    most = part >= 0.5 * part.max()
    return np.log(total[most] / part[most] + 1e-3)


@lru_cache(maxsize=16)
def _gaussian(length: int, sigma: float) -> Array:
    """`scipy.ndimage.gaussian_filter1d` as a matrix, of which one row a block is kept."""
    from scipy.sparse import coo_array

    reach = int(4 * sigma + 0.5)
    offset = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offset / sigma) ** 2)
    rows = np.arange(0, length, max(1, int(sigma)))
    # Beyond an edge the values before it come back: … 1 0 | 0 1 … length − 1 | length − 1 …
    place = (rows[:, None] + offset) % (2 * length)
    place = np.minimum(place, 2 * length - 1 - place)
    row = np.broadcast_to(np.arange(len(rows))[:, None], place.shape)
    share = np.broadcast_to((weights / weights.sum()).astype(np.float32), place.shape)
    entries = share.ravel(), (row.ravel(), place.ravel())
    return coo_array(entries, shape=(len(rows), length)).tocsr()


def block_sigma(plane: Array) -> float:
    """Standard deviation in pixels of the window of local means."""
    return float(_BLOCK * (min(plane.shape) + 1))
