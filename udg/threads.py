"""How many threads this process may use."""

from __future__ import annotations

import os

__all__ = ["available"]


def available() -> int:
    """NUMBA_NUM_THREADS if set (a batch gives each worker its share), else the usable cores."""
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        return int(limit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
