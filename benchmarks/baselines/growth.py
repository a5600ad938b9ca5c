"""Time at a size that would take too long, from times at two smaller sizes."""

from __future__ import annotations

import math


def extrapolate(small: tuple[int, float], large: tuple[int, float], pixels: int) -> float:
    """Seconds at a number of pixels, from measured growth.

    Where time grows at most in proportion to pixels, it is taken as a fixed cost (learning from a
    fixed number of patches) plus so much a pixel; where it grows faster, as a power of pixels.

    Parameters
    ----------
    small, large : (int, float)
        Pixels and seconds of the two measurements.
    pixels : int
        Number of pixels of the size that is wanted.

    Raises
    ------
    ValueError
        The larger measurement is not larger in pixels and seconds.
    """
    (fewer, quick), (more, slow) = small, large
    if not (0 < fewer < more and 0 < quick < slow):
        raise ValueError(f"no growth from {small} to {large}: measure again, further apart")
    if slow / quick <= more / fewer:
        each = (slow - quick) / (more - fewer)
        return slow + each * (pixels - more)
    return slow * (pixels / more) ** (math.log(slow / quick) / math.log(more / fewer))
