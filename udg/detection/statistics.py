"""Local statistics of a thumbnail that evidence and weights have in common."""

from __future__ import annotations

from typing import Any

import numpy as np

from udg.backend import ndimage_of

__all__ = ["block_sigma", "differences", "log_local_means"]

Array = Any

_BLOCK = 0.04  # σ of local means, as a part of the shorter side


def differences(plane: Array) -> Array:
    """Sum the absolute differences to the neighbours below and to the right."""
    return abs(np.diff(plane, axis=0))[:, :-1] + abs(np.diff(plane, axis=1))[:-1]


def log_local_means(plane: Array, seen: Array) -> Array:
    """Logarithm of local means of what is seen, one a block that is half seen."""
    sigma, of = block_sigma(seen), ndimage_of(plane)
    step = max(1, int(sigma))
    total, part = (
        of.gaussian_filter(values, sigma)[::step, ::step] for values in (plane * seen, seen)
    )
    most = part >= 0.5 * part.max()
    return np.log(total[most] / part[most] + 1e-3)


def block_sigma(plane: Array) -> float:
    """Standard deviation in pixels of the window of local means."""
    return float(_BLOCK * (min(plane.shape) + 1))
