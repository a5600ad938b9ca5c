"""What the machine and the kind of array decide: threads, SciPy's ndimage or CuPy's, copies."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_cupy_array, is_numpy_array

__all__ = [
    "bands",
    "clip",
    "crew",
    "each_band",
    "finish",
    "in_parts",
    "keep_memory",
    "ndimage_of",
    "one_of_many",
    "threads",
    "to_numpy",
]

_AT_ONCE = 1 << 18  # pixels of a band
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_WORTH_A_THREAD = 1 << 17  # pixels

_here = threading.local()


def threads() -> int:
    """NUMBA_NUM_THREADS if set (a batch gives each worker its share), else the usable cores.

    One within `one_of_many`, unless the variable is set.
    """
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    if getattr(_here, "one_of_many", False):
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def one_of_many() -> Iterator[None]:
    """Mark this thread's work as one of many tasks that a scheduler keeps the cores busy with."""
    before = getattr(_here, "one_of_many", False)
    _here.one_of_many = True
    try:
        yield
    finally:
        _here.one_of_many = before


@contextmanager
def crew(size: int) -> Iterator[Callable[[Callable[[int], object]], None]]:
    """Threads that do their parts of one work after the other.

    Kernels let go of the interpreter, so that one compiled function serves one thread and many.

    Yields
    ------
    callable
        Calls what it is given with each number below ``size``, and returns when all are done.
    """
    if size <= 1:

        def alone(work: Callable[[int], object]) -> None:
            work(0)

        yield alone
        return
    with ThreadPoolExecutor(size) as pool:

        def each(work: Callable[[int], object]) -> None:
            list(pool.map(work, range(size)))

        yield each


def bands(shape: tuple[int, ...], reach: int = 0) -> Iterator[tuple[slice, slice]]:
    """Rows in parts of a few hundred thousand pixels, and each with what its filters reach.

    Temporary arrays of a part are small beside a picture.
    """
    height, width = shape
    step = max(1, 6 * reach, _AT_ONCE // width)
    for top in range(0, height, step):
        rows = slice(top, min(height, top + step))
        yield rows, slice(max(0, top - reach), min(height, rows.stop + reach))


def each_band(work: Callable[[slice, slice], None], of: Any, reach: int = 0) -> None:
    """Do some work on all `bands` of an array, several at a time where that is NumPy's."""
    parts = list(bands(of.shape[:2], reach))
    workers = min(threads(), len(parts)) if is_numpy_array(of) else 1
    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(work, *zip(*parts, strict=True)))
    else:
        for part in parts:
            work(*part)


def in_parts(work: Callable[[int, int], None], length: int, width: int) -> None:
    """Do some work on ranges of so many rows, or columns, of so many pixels: one a thread."""
    workers = max(1, min(threads(), length * width // _WORTH_A_THREAD))
    ends = [k * length // workers for k in range(workers + 1)]
    with crew(workers) as each:
        each(lambda k: work(ends[k], ends[k + 1]))


def ndimage_of(array: Any) -> Any:
    """scipy.ndimage, or CuPy's twin of it for a CuPy array."""
    if is_cupy_array(array):
        import cupyx.scipy.ndimage

        return cupyx.scipy.ndimage
    import scipy.ndimage

    return scipy.ndimage


def clip(array: Any, low: Any, high: Any, *, in_place: bool = False) -> Any:
    """`clip` of the array's namespace, for NumPy in the array itself if asked; for CuPy its own.

    That of array-api-compat writes through masks, and each makes the host wait for the device.
    """
    if is_cupy_array(array):
        import cupy

        return cupy.clip(array, low, high)
    if in_place and is_numpy_array(array):
        return np.clip(array, low, high, out=array)
    return array_namespace(array).clip(array, low, high)


def keep_memory() -> None:
    """Have glibc keep freed memory for the next array: a tenth of a small picture's time.

    For processes of our own: each array of a few megabytes is else given back and asked for anew.
    """
    with suppress(AttributeError, OSError, TypeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 1 << 25)
        mallopt(_M_TRIM_THRESHOLD, 1 << 29)


def to_numpy(array: Any) -> np.ndarray[Any, Any]:
    """The array itself if it is NumPy's, else its values copied to the host."""
    return np.asarray(array.get() if is_cupy_array(array) else array)


def finish(array: Any) -> None:
    """Wait until what was asked of the array's device is done: what a clock needs."""
    if is_cupy_array(array):
        import cupy

        cupy.cuda.get_current_stream().synchronize()
