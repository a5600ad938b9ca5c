"""What the machine and the kind of array decide: threads, and where scipy.ndimage's twin lives."""

from __future__ import annotations

import os
from typing import Any

from array_api_compat import is_cupy_array

__all__ = ["ndimage_of", "threads"]


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
