"""Filters along rows and columns: compiled for NumPy's float32, else SciPy's or CuPy's.

All continue a plane by its outermost pixels (SciPy's mode "nearest"), and give a new array of the
same shape and type.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from udg.backend import ndimage_of

__all__ = ["difference", "gaussian", "gaussian1d", "highest", "is_compiled", "lowest", "mean"]

Array = Any


def gaussian1d(plane: Array, sigma: float, axis: int) -> Array:
    """Average along an axis with a Gaussian's weights, which end at four standard deviations.

    Parameters
    ----------
    plane : array, shape (H, W)
    sigma : float
        In pixels.
    axis : {0, 1}

    Returns
    -------
    array, shape (H, W)
    """
    if not is_compiled(plane):
        return ndimage_of(plane).gaussian_filter1d(plane, sigma, axis, mode="nearest")
    from udg.imaging import _filters_numba

    result = np.empty_like(plane)
    _filters_numba.correlate(plane, _weights(sigma), axis, result)
    return result


def gaussian(plane: Array, sigma: float) -> Array:
    """`gaussian1d` along both axes."""
    return gaussian1d(gaussian1d(plane, sigma, 0), sigma, 1)


def mean(plane: Array, size: int, axis: int) -> Array:
    """Mean of ``size`` pixels along an axis, an odd number, around each."""
    if not is_compiled(plane):
        return ndimage_of(plane).uniform_filter1d(plane, size, axis, mode="nearest")
    from udg.imaging import _filters_numba

    result = np.empty_like(plane)
    _filters_numba.mean(plane, size, axis, result)
    return result


def highest(plane: Array, size: int, axis: int) -> Array:
    """Maximum of ``size`` pixels along an axis, an odd number, around each."""
    if not is_compiled(plane):
        return ndimage_of(plane).maximum_filter1d(plane, size, axis, mode="nearest")
    from udg.imaging import _filters_numba

    result = np.empty_like(plane)
    _filters_numba.highest(plane, size, axis, result)
    return result


def lowest(plane: Array, size: int, axis: int) -> Array:
    """Minimum of ``size`` pixels along an axis, an odd number, around each."""
    return -highest(-plane, size, axis)


def difference(plane: Array, start: int, stop: int, axis: int) -> Array:
    """The pixel ``stop`` pixels on along an axis minus that ``start`` pixels on."""
    if not is_compiled(plane):
        xp = array_namespace(plane)
        place, length = xp.arange(plane.shape[axis]), plane.shape[axis]
        first, last = (
            xp.take(plane, xp.clip(place + offset, 0, length - 1), axis=axis)
            for offset in (start, stop)
        )
        return last - first
    from udg.imaging import _filters_numba

    result = np.empty_like(plane)
    _filters_numba.difference(plane, start, stop, axis, result)
    return result


def is_compiled(plane: Array) -> bool:
    """Whether it is of the one type that is compiled: twice as many would take twice as long."""
    return bool(is_numpy_array(plane) and plane.dtype == np.float32 and plane.flags.c_contiguous)


@lru_cache(maxsize=32)
def _weights(sigma: float) -> Array:
    """Of the middle and of neighbours at growing distance."""
    weights = np.exp(-0.5 * (np.arange(int(4 * sigma + 0.5) + 1) / sigma) ** 2)
    return (weights / (2 * weights.sum() - weights[0])).astype(np.float32)
