"""What the machine and the kind of array decide: threads, SciPy's ndimage or CuPy's, copies."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array

__all__ = ["clip", "finish", "ndimage_of", "threads", "to_numpy"]


def threads() -> int:
    """NUMBA_NUM_THREADS if set (a batch gives each worker its share), else the usable cores."""
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def ndimage_of(array: Any) -> Any:
    """scipy.ndimage, or CuPy's twin of it for a CuPy array."""
    if is_cupy_array(array):
        import cupyx.scipy.ndimage

        return cupyx.scipy.ndimage
    import scipy.ndimage

    return scipy.ndimage


def clip(array: Any, low: Any, high: Any) -> Any:
    """`clip` of the array's namespace; for CuPy its own.

    That of array-api-compat writes through masks, and each makes the host wait for the device.
    """
    if is_cupy_array(array):
        import cupy

        return cupy.clip(array, low, high)
    return array_namespace(array).clip(array, low, high)


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """The array itself if it is NumPy's, else its values copied to the host."""
    return np.asarray(array.get() if is_cupy_array(array) else array)


def finish(array: Any) -> None:
    """Wait until what was asked of the array's device is done: what a clock needs."""
    if is_cupy_array(array):
        import cupy

        cupy.cuda.get_current_stream().synchronize()
