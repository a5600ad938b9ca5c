"""Lines of a small picture, found quickly: enough to compare scales and to rule directions out."""

from __future__ import annotations

from typing import Any

import numpy as np

from udg.detection.rain_level import quick_rain, streak_logit_of
from udg.imaging.geometry import Frame
from udg.imaging.illuminant import Illuminant, balanced

__all__ = ["streak_light", "streak_logit"]

Array = Any

_TOL = 0.1  # gap to which the rain is found


def streak_light(unit: Array, angle: float, illuminant: Illuminant | None = None) -> float:
    """Mean light of lines, each by the probability that it is a streak.

    Parameters
    ----------
    unit : array, float32, shape (h, w, colours)
        In [0, 1]; a few hundred pixels a side.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    illuminant : Illuminant, optional
        That of the picture.

    Returns
    -------
    float
        In [0, 1].
    """
    rain, logit = _lines(unit, angle, illuminant)
    return float(np.mean(rain / (1 + np.exp(-logit))))


def streak_logit(unit: Array, angle: float, illuminant: Illuminant | None = None) -> float:
    """Mean streak logit of lines, by their light: negative if they rather are the scene's.

    Parameters
    ----------
    unit, angle, illuminant
        As for `streak_light`.

    Returns
    -------
    float
        Natural logarithm of the odds.
    """
    rain, logit = _lines(unit, angle, illuminant)
    return float(np.sum(rain * logit) / (np.sum(rain) + 1e-3))


def _lines(unit: Array, angle: float, illuminant: Illuminant | None) -> tuple[Array, Array]:
    """Light and streak logit, in the frame in which streaks are vertical."""
    unit = balanced(unit, illuminant)
    darkest, brightest = unit.min(axis=2), unit.max(axis=2)
    frame = Frame.of(darkest.shape, angle)
    rain = quick_rain(darkest, frame, _TOL)
    return rain, streak_logit_of(rain, frame.unrotate(rain), darkest, brightest, frame)
