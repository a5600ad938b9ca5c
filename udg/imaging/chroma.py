"""The scene's colour where rain was: that of its neighbours which are as light.

A drop takes part of the scene's colour away and has a little of its own, a JPEG smears both over
the pixels beside it, and rain too bright for a channel is cut off. What is left after the same
light was taken from every channel is a line in another colour, though it is as light as its ground.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace

from udg.backend import clip, each_band
from udg.imaging.filters import gaussian
from udg.imaging.image import LUMA, PreparedImage

__all__ = ["REACH", "restore_chroma"]

Array = Any

_NEARBY = 2.5  # σ in pixels of the window of neighbours: a streak and what is beside it
REACH = 10  # … which ends at four of them
_WET = 0.06  # rain from which on a pixel says little about its neighbours' colour
_ERROR = 0.1  # standard deviation of the colour that a pixel's rain left, in parts of that rain
_FLAT = 1e-4  # variance of light below which it says nothing about colour
_LEAST = 1e-6  # weight of neighbours that are all wet
_TINY = 1e-12  # variance of colour that is none


def restore_chroma(derained: Array, rain: Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Give pixels that had rain a colour from neighbours that had less, and leave their luma.

    Around each pixel, R − Y and B − Y (Y: luma) are straight lines of Y, fitted to the neighbours,
    to dry ones most: a guided filter [1]_ with weights. The line and the pixel's own colour are
    averaged, each by the inverse of its variance: the neighbours' off their lines, and that of the
    colour which rain left, whose standard deviation is a tenth of the rain.

    Parameters
    ----------
    derained : array, shape (H, W) or (H, W, C)
        In ``low`` … ``high``. Only red, green and blue, with or without alpha, have a colour.
    rain : array, shape (H, W)
        What was taken; 1 is full light.
    low, high : float
        The values that stand for no light and full light.

    Returns
    -------
    array, float32, the shape of ``derained``
        The same values where ``rain`` is zero; elsewhere the same luma, but for colours outside the
        range, which are cut off.

    References
    ----------
    .. [1] K. He, J. Sun, X. Tang, "Guided image filtering", ECCV 2010.
    """
    xp = array_namespace(derained)
    result = xp.astype(derained, xp.float32, copy=True)
    if PreparedImage(derained, low, high).colours != 3:
        return result

    def restore(rows: slice, reached: slice) -> None:
        had = xp.astype(rain[reached], xp.float32)
        if not xp.any(had):
            return
        part = (xp.astype(derained[reached, :, :3], xp.float32) - low) / (high - low)
        own = slice(rows.start - reached.start, rows.stop - reached.start)
        for channel, change in enumerate(_changes(part, had)):
            plane = result[rows, :, channel] + change[own] * (high - low)
            result[rows, :, channel] = clip(plane, low, high)

    each_band(restore, result, REACH)
    return result


def _changes(colours: Array, rain: Array) -> tuple[Array, Array, Array]:
    """What each channel gains."""
    red, green, blue = LUMA
    Y = red * colours[:, :, 0] + green * colours[:, :, 1] + blue * colours[:, :, 2]
    fitted = _lines(Y, 1 / (1 + (rain / _WET) ** 2) ** 2)
    own = tuple(colours[:, :, channel] - Y for channel in (0, 2))
    (red_line, red_stray), (blue_line, blue_stray) = (fitted(plane) for plane in own)
    error = (_ERROR * rain) ** 2
    trusted = error / (error + (red_stray + blue_stray) / 2 + _TINY)
    of_red, of_blue = trusted * (red_line - own[0]), trusted * (blue_line - own[1])
    return of_red, -(red * of_red + blue * of_blue) / green, of_blue


def _lines(guide: Array, weight: Array) -> Callable[[Array], tuple[Array, Array]]:
    """Straight lines of the guide that fit a plane around each pixel, and its variance off them."""
    total = gaussian(weight, _NEARBY) + _LEAST

    def mean(plane: Array) -> Array:
        return gaussian(weight * plane, _NEARBY) / total

    centre = mean(guide)
    variance = clip(mean(guide**2) - centre**2, 0.0, None)

    def fitted(plane: Array) -> tuple[Array, Array]:
        level = mean(plane)
        shared = mean(guide * plane) - centre * level
        slope = shared / (variance + _FLAT)
        stray = clip(mean(plane**2) - level**2 - slope * shared, 0.0, None)
        return level + slope * (guide - centre), stray

    return fitted
