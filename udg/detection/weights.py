"""Weights for a picture: less where contrast is low, and less where it pours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from udg.detection.statistics import differences, log_local_means
from udg.imaging.illuminant import Illuminant, balanced
from udg.imaging.image import Overview, PreparedImage
from udg.model.energy import Weights

__all__ = ["contrast", "for_contrast", "for_heavy_rain", "uncertainty"]

Array = Any

_UNCERTAINTY = 5.0  # factor on lam_r in a picture of level 0+ is 1 + this
_HEAVY = 3e-2  # mean light of rain beyond which lines need less to be taken for rain …
_MIN_FACTOR_HEAVY = 0.5  # … and the smallest factor on the weights that hold them back
_FULL_CONTRAST = 0.13  # mean local difference from which on the weights are what they are
_MIN_CONTRAST = 0.25  # … and the smallest factor on them
_CLEAR = 0.4  # contrast below which streaks may be wider than in a clear picture …
_MAX_WIDENING = 4.0  # … and how many times at most
_LENGTH_POWER = 0.25  # power of that with which lam_x grows: wide streaks are long, letters not


def contrast(image: PreparedImage | Overview, illuminant: Illuminant | None = None) -> float:
    """Mean local difference between neighbouring pixels, as a part of that in a clear picture.

    Parameters
    ----------
    image : PreparedImage or Overview
    illuminant : Illuminant, optional
        `udg.imaging.illuminant.estimate_illuminant` of the picture.

    Returns
    -------
    float
        Positive; 1 and more is clear, less is haze, blur, film, dusk.
    """
    darkest = balanced(image.thumbnail, illuminant).min(axis=2)
    local = differences(darkest)
    return math.exp(log_local_means(local, np.ones_like(local)).mean()) / _FULL_CONTRAST


def for_contrast(weights: Weights, clear: float, *, widen: bool = True) -> Weights:
    """Adapt weights to a picture of little contrast.

    Scaling a picture and the weights of Eq. 3 alike scales X and R alike, so the weights are to a
    picture's contrast what they are to full light. Haze and blur also make streaks wide and faint,
    and leave a scene few lines of its own that could be taken for them: `lam_r`, which bounds a
    streak's width, falls further there, and `lam_x`, which bounds its length, less.

    Parameters
    ----------
    weights : Weights
        For a clear picture.
    clear : float
        `contrast` of the picture.
    widen : bool
        False keeps their proportions, and so the sizes of streaks.

    Returns
    -------
    Weights
        All times the contrast, at least 0.25 and at most 1; `lam_r` then divided by up to 4.
    """
    scaled = weights.scaled(min(1.0, max(_MIN_CONTRAST, clear)))
    if not widen:
        return scaled
    wide = min(_MAX_WIDENING, max(1.0, _CLEAR / clear))
    return replace(scaled, lam_x=scaled.lam_x * wide**_LENGTH_POWER, lam_r=scaled.lam_r / wide)


def for_heavy_rain(weights: Weights, mean_rain: float) -> Weights:
    """Adapt weights to the amount of rain.

    `lam_r` and `lam_x` say how unlikely rain is, and how unlikely it is to begin or end: where it
    pours, neither is, and streaks that overlap are wide and look short.

    Parameters
    ----------
    weights : Weights
    mean_rain : float
        Mean light to be expected of rain: that in `Evidence` times the rain level.

    Returns
    -------
    Weights
        With `lam_r` and `lam_x` in inverse proportion to the amount beyond 3e-2, down to half.
    """
    if mean_rain <= _HEAVY:
        return weights
    factor = max(_MIN_FACTOR_HEAVY, _HEAVY / mean_rain)
    return replace(weights, lam_x=weights.lam_x * factor, lam_r=weights.lam_r * factor)


def uncertainty(level: float) -> float:
    """Factor on `lam_r`, at least 1, that a rain level below 1 puts on all of a picture."""
    return 1 + _UNCERTAINTY * (1 - level)
