"""Whether there is rain at all, and weights for a picture.

Eq. 3 takes anything thin, bright and long in the streaks' direction for rain: a railing, tree
trunks, a tiger. What tells them apart is not in the energy:

- rain is everywhere, a railing is in one place;
- rain is bright, while a scene has about as many dark lines as bright ones;
- rain does not depend on the scene, so there is much of it where the scene is smooth or dark;
- rain is thin and alike, a railing or an edge is broader and stands out by itself;
- its streaks look like streaks (`udg.doubt.streak_odds`), and may meet in a point far away.

`level_of` weighs this for a picture; `udg.doubt` looks place by place.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from udg.backend import ndimage_of
from udg.doubt import Crowding, streak_odds
from udg.image import Light, Overview, PreparedImage, balanced
from udg.iteration import minimize
from udg.objective import RAIN_WEIGHTS, Problem, Weights
from udg.primal_dual import PrimalDual
from udg.rotation import rotate, unrotate

__all__ = [
    "Evidence",
    "adapted",
    "caution",
    "contrast",
    "evidence",
    "heavier",
    "level_of",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_TOL = 2e-2  # the evidence comes from the thumbnail, solved to this gap: statistics need no more
_WEIGHTS = RAIN_WEIGHTS  # the coefficients below hold for these
_BESIDE = 3  # pixels across a streak at which it is over, if it is rain
_BLOCK = 0.04  # σ of local means, as a part of the shorter side
_SURE = 3.0  # log-odds of a line beyond which they count no further
_BLANK = 1e-3  # mean local difference up to which there is nothing to be seen: bars, borders

# Logistic regression on photographs with and without rain: benchmarks/presence.py fits it.
_COEFFICIENTS = {
    "confidence": 7.00,
    "brightness": 15.35,
    "spread": -9.40,
    "excess": 2.59,
    "shade": 2.98,
    "calm": 2.54,
    "width": -6.71,
    "unlike": -0.61,
    "looks": 1.88,
    "fan": 3.48,
}
_BIAS = 0.57
_NO_AMOUNT = 5e-4  # mean light of rain, an eighth of a grey level, below which there is none
_AT_STAKE = 7e-3  # mean light of rain at which the score decides as it is
_STAKES = 3e-3, 1e-2  # … and where less or more does not count any further
_DRY, _WET = -2.1, 0.8  # scores at which the level is 0 and 1
_CAUTION = 5.0  # doubt in a picture of level 0+ is 1 + this
_HEAVY = 3e-2  # mean light of rain beyond which lines need less to be taken for rain …
_HEAVIEST = 0.5  # … and the smallest factor on the weights that hold them back

# Contrast.
_FULL_CONTRAST = 0.13  # mean local difference from which on the weights are what they are
_LEAST_CONTRAST = 0.25  # … and the smallest factor on them
_CLEAR = 0.4  # contrast below which streaks may be wider than in a clear picture …
_WIDEST = 4.0  # … and how many times at most
_LONGER = 0.25  # power of that with which lam_x grows, for wide streaks are long, letters are not


class Evidence(NamedTuple):
    """What speaks for rain in a picture, and, by `spread`, `width` and `unlike`, against it.

    `brightness` to `calm` are taken over blocks of the picture, by their logarithms. Where nothing
    is to be seen, as in black bars beside a film, does not count, but for `looks`.

    Attributes
    ----------
    confidence : float
        That of the angle.
    brightness : float
        Bright over dark lines in the streaks' direction: the quarter where it is least.
    spread : float
        Standard deviation of the bright lines' density.
    excess : float
        Bright lines over the scene's own differences, where it has least of these: the quarter
        that is smoothest.
    shade : float
        Correlation of the lines' density with darkness. Light adds to dark ground more than to
        bright ground, and a texture's lines grow with the light on it.
    calm : float
        Minus the mean of the scene's own differences: a busy scene has lines of its own.
    width : float
        Correlation of the bright lines' light with itself three pixels beside.
    unlike : float
        How unlike each other they are: logarithm of the mean square of their light over its squared
        mean. Few strong lines are of the scene, many alike are rain.
    looks : float, in [−3, 3]
        Log-odds that they are streaks (`udg.doubt.streak_odds`), their mean by the lines' light.
    fan : float
        1 if they meet in a point (`udg.angle.estimate_fan`), else 0: so do few things but rain.
    amount : float
        Mean of the bright lines themselves: what is at stake. No part of the regression.
    """

    confidence: float
    brightness: float
    spread: float
    excess: float
    shade: float
    calm: float
    width: float
    unlike: float
    looks: float
    fan: float
    amount: float = 1.0

    @property
    def score(self) -> float:
        """Log-odds of rain; −∞ where there is next to nothing that could be."""
        if self.amount < _NO_AMOUNT:
            return -math.inf
        return _BIAS + sum(
            weight * float(getattr(self, name)) for name, weight in _COEFFICIENTS.items()
        )


def evidence(
    image: PreparedImage | Overview,
    angle: float,
    confidence: float,
    light: Light | None = None,
    fan: float = 0.0,
) -> Evidence:
    """Collect what speaks for rain at an angle.

    Parameters
    ----------
    image : PreparedImage or Overview
    angle, confidence : float
        As `udg.estimate_angle` found them.
    light : Light, optional
        `udg.image.light_colour` of the picture.
    fan : float
        As `udg.angle.estimate_fan` found it.

    Returns
    -------
    Evidence
    """
    unit = balanced(image.thumbnail, light)
    darkest, brightest = unit.min(axis=2), unit.max(axis=2)
    upright = _quick_rain(darkest, angle, fan)
    rain = unrotate(upright, angle, darkest.shape, fan=fan)
    opposite = _quick_rain(1 - brightest, angle, fan)
    dark_lines = unrotate(opposite, angle, darkest.shape, fan=fan)
    scene = darkest - rain
    seen = _seen(darkest)
    texture = _log_local(_activity(scene), seen)
    density, dark, ground = (
        _log_local(plane[:-1, :-1], seen) for plane in (rain, dark_lines, scene)
    )
    amount, part = float(rain.mean()), float(seen.mean())
    smooth = texture <= np.percentile(texture, 25)
    return Evidence(
        confidence,
        float(np.percentile(density - dark, 25)),
        float(density.std()),
        math.log(np.exp(density[smooth]).mean() / np.exp(texture[smooth]).mean()),
        -_correlation(density, ground),
        -float(texture.mean()),
        float(np.sum(upright[:, _BESIDE:] * upright[:, :-_BESIDE]) / (np.sum(upright**2) + 1e-6)),
        math.log((part * float(np.mean(rain**2)) + 1e-8) / (amount**2 + 1e-8)),
        _looks(upright, rain, darkest, brightest, angle, fan),
        float(fan != 0),
        amount / part,
    )


def level_of(score: float, amount: float = _AT_STAKE) -> float:
    """How much to trust in rain, from its log-odds and what is lost if it is none.

    Parameters
    ----------
    score, amount : float
        As in `Evidence`. What a wrong decision costs grows with the amount, so the odds have to
        grow with it as well: half as much is taken at half the odds, down to 3e-3 and up to 1e-2.

    Returns
    -------
    float
        Rain level in [0, 1]: 0 is dry, 1 is rain without a doubt.
    """
    least, most = _STAKES
    score -= math.log(min(most, max(least, amount)) / _AT_STAKE)
    return min(1.0, max(0.0, (score - _DRY) / (_WET - _DRY)))


def contrast(image: PreparedImage | Overview, light: Light | None = None) -> float:
    """Mean local difference between neighbouring pixels, as a part of that in a clear picture.

    Parameters
    ----------
    image : PreparedImage or Overview
    light : Light, optional
        `udg.image.light_colour` of the picture.

    Returns
    -------
    float
        Positive; 1 and more is clear, less is haze, blur, film, dusk.
    """
    darkest = balanced(image.thumbnail, light).min(axis=2)
    activity = _activity(darkest)
    return math.exp(_log_local(activity, np.ones_like(activity)).mean()) / _FULL_CONTRAST


def adapted(
    weights: Weights,
    image: PreparedImage | Overview,
    *,
    widen: bool = True,
    light: Light | None = None,
) -> Weights:
    """Weights for a picture of little contrast.

    Scaling a picture and the weights of Eq. 3 alike scales X and R alike, so the weights are to a
    picture's contrast what they are to full light. Haze and blur also make streaks wide and faint,
    and leave a scene few lines of its own that could be taken for them: `lam_r`, which bounds a
    streak's width, falls further there, and `lam_x`, which bounds its length, less.

    Parameters
    ----------
    weights : Weights
        For a clear picture.
    image : PreparedImage or Overview
    widen : bool
        False keeps their proportions, and so the sizes of streaks.
    light : Light, optional
        `udg.image.light_colour` of the picture.

    Returns
    -------
    Weights
        All times the contrast, at least 0.25 and at most 1; `lam_r` then divided by up to 4.
    """
    clear = contrast(image, light)
    scaled = weights.scaled(min(1.0, max(_LEAST_CONTRAST, clear)))
    if not widen:
        return scaled
    wide = min(_WIDEST, max(1.0, _CLEAR / clear))
    return replace(scaled, lam_x=scaled.lam_x * wide**_LONGER, lam_r=scaled.lam_r / wide)


def heavier(weights: Weights, amount: float) -> Weights:
    """Weights for a picture with so much rain.

    `lam_r` and `lam_x` say how unlikely rain is, and how unlikely it is to begin or end: where it
    pours, neither is, and streaks that overlap are wide and look short.

    Parameters
    ----------
    weights : Weights
    amount : float
        Mean light to be expected of rain: that in `Evidence` times the rain level.

    Returns
    -------
    Weights
        With `lam_r` and `lam_x` in inverse proportion to the amount beyond 3e-2, down to half.
    """
    if amount <= _HEAVY:
        return weights
    factor = max(_HEAVIEST, _HEAVY / amount)
    return replace(weights, lam_x=weights.lam_x * factor, lam_r=weights.lam_r * factor)


def caution(level: float) -> float:
    """Doubt, at least 1, that a rain level below 1 casts on all of a picture."""
    return 1 + _CAUTION * (1 - level)


def _activity(plane: Array) -> Array:
    """Sum of both differences' absolute values."""
    return abs(np.diff(plane, axis=0))[:, :-1] + abs(np.diff(plane, axis=1))[:-1]


def _seen(plane: Array) -> Array:
    """1 where there is anything, else 0; all of it if there is nothing at all."""
    sigma, of = _block(plane), ndimage_of(plane)
    blank = of.gaussian_filter(_activity(plane), sigma) <= _BLANK
    # Two σ is how far into a bar the picture beside it reaches.
    seen = 1 - of.maximum_filter(blank.astype(np.float32), 2 * int(2 * sigma) + 1)
    return seen if seen.any() else np.ones_like(seen)


def _log_local(plane: Array, seen: Array) -> Array:
    """Logarithm of local means of what is seen, one a block that is half seen."""
    sigma, of = _block(seen), ndimage_of(plane)
    step = max(1, int(sigma))
    total, part = (
        of.gaussian_filter(values, sigma)[::step, ::step] for values in (plane * seen, seen)
    )
    most = part >= 0.5 * part.max()
    return np.log(total[most] / part[most] + 1e-3)


def _block(plane: Array) -> float:
    return float(_BLOCK * (min(plane.shape) + 1))


def _correlation(a: Array, b: Array) -> float:
    """Pearson's, or 0 where one does not vary."""
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std() + 1e-6))


def _looks(
    upright: Array, rain: Array, darkest: Array, brightest: Array, angle: float, fan: float
) -> float:
    """Mean log-odds of lines, found in the darkest channel, to be streaks."""
    crowding = Crowding(rain.shape, angle)
    crowding.add(0, rain, darkest)
    around = crowding.around(*(slice(0, side) for side in rain.shape))

    def turned(plane: Array) -> Array:
        return rotate(np.ascontiguousarray(plane, np.float32), angle, fan=fan)

    odds = streak_odds(turned(darkest), upright, turned(brightest), around.turned(turned))
    total = np.sum(upright * np.clip(odds, -_SURE, _SURE))
    return float(total / (np.sum(upright) + 1e-3))


def _quick_rain(plane: Array, angle: float, fan: float) -> Array:
    """R of a plane of light, roughly, in the frame in which streaks are vertical."""
    problem = Problem(rotate(np.ascontiguousarray(plane, np.float32), angle, fan=fan), _WEIGHTS)
    return minimize(problem, PrimalDual(), tol=_TOL).estimate.R
