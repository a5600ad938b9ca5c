"""Whether there is rain at all, and where it is in doubt.

Eq. 3 takes anything thin, bright and long in the streaks' direction for rain: a railing, tree
trunks, a tiger. What tells them apart is not in the energy:

- rain is everywhere, a railing is in one place;
- rain is bright, while a scene has about as many dark lines as bright ones;
- rain does not depend on the scene, so there is much of it where the scene is smooth.

`rain_level` weighs this for a picture, and `doubt` pixel by pixel, as a factor on `lam_r`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from udg.backend import clip, ndimage_of
from udg.image import Overview, PreparedImage
from udg.iteration import minimize
from udg.objective import RAIN_WEIGHTS, Problem
from udg.primal_dual import PrimalDual
from udg.rotation import rotate, unrotate

__all__ = [
    "Evidence",
    "caution",
    "contrast",
    "density_step",
    "enlarged",
    "evidence",
    "level_of",
    "reweighting",
    "suspicion",
    "unevenness",
]

Array = Any

_TOL = 2e-2  # the evidence comes from the thumbnail, solved to this gap: statistics need no more
_WEIGHTS = RAIN_WEIGHTS  # the coefficients below hold for these
_BLOCK = 0.04  # σ of local means, as a part of the shorter side

# Logistic regression on photographs with and without rain: benchmarks/presence.py fits it.
_COEFFICIENTS = {"confidence": 4.26, "brightness": 6.86, "spread": -8.91, "excess": 4.07}
_BIAS = 11.02
_DRY, _WET = -1.5, 2.5  # scores at which the level is 0 and 1
_CAUTION = 5.0  # doubt in a picture of level 0+ is 1 + this

# Contrast.
_FULL_CONTRAST = 0.13  # mean local difference from which on the weights are what they are
_LEAST_CONTRAST = 0.25  # … and the smallest factor on them

# Reweighting.
_NEIGHBOURHOOD = 0.08  # σ over which rain should be even, as a part of the shorter side
_NEIGHBOURS = 25.0  # … but at least so many pixels, for streaks are long
_TOLERATED = 1.5  # times the mean density that is not yet suspect
_SUSPICION = 2.0  # power of the excess density
_MOST_DOUBT = 6.0
_FAINT = 3.0  # rain of this brightness, in units of lam_r, …
_FAINT_DOUBT = 0.75  # … keeps this part of its doubt; brighter rain less


class Evidence(NamedTuple):
    """What speaks for rain in a picture; each grows with it, but for `spread`.

    Attributes
    ----------
    confidence : float
        That of the angle.
    brightness : float
        Logarithm of bright over dark lines in the streaks' direction.
    spread : float
        Standard deviation, over the picture, of the logarithm of their local density.
    excess : float
        Logarithm of rain over the scene's own differences.
    """

    confidence: float
    brightness: float
    spread: float
    excess: float

    @property
    def score(self) -> float:
        """Log-odds of rain."""
        return _BIAS + sum(
            _COEFFICIENTS[name] * float(getattr(self, name)) for name in self._fields
        )


def evidence(image: PreparedImage | Overview, angle: float, confidence: float) -> Evidence:
    """Collect what speaks for rain at an angle.

    Parameters
    ----------
    image : PreparedImage or Overview
    angle, confidence : float
        As `udg.estimate_angle` found them.

    Returns
    -------
    Evidence
    """
    unit = image.thumbnail
    darkest, brightest = unit.min(axis=2), unit.max(axis=2)
    rain = _quick_rain(darkest, angle)
    dark_lines = _quick_rain(1 - brightest, angle)
    activity = np.exp(_log_local(_activity(darkest - rain)))
    return Evidence(
        confidence,
        math.log(float(rain.mean()) / (float(dark_lines.mean()) + 1e-4) + 1e-3),
        float(_log_local(rain).std()),
        math.log((float(rain.mean()) + 1e-6) / float(activity.mean())),
    )


def level_of(score: float) -> float:
    """Rain level in [0, 1] of a score: 0 is dry, 1 is rain without a doubt."""
    return min(1.0, max(0.0, (score - _DRY) / (_WET - _DRY)))


def contrast(image: PreparedImage | Overview) -> float:
    """Factor on all weights for pictures of little contrast: haze, film, dusk.

    Scaling a picture and the weights of Eq. 3 alike scales X and R alike, so the weights are to a
    picture's contrast what they are to full light.

    Parameters
    ----------
    image : PreparedImage or Overview

    Returns
    -------
    float
        In [0.25, 1].
    """
    darkest = image.thumbnail.min(axis=2)
    factor = math.exp(_log_local(_activity(darkest)).mean()) / _FULL_CONTRAST
    return min(1.0, max(_LEAST_CONTRAST, factor))


def caution(level: float) -> float:
    """Doubt, at least 1, that a rain level below 1 casts on all of a picture."""
    return 1 + _CAUTION * (1 - level)


def unevenness(rain: Array, shorter_side: int) -> Array:
    """Doubt where there is much more rain than elsewhere, at least 1.

    Parameters
    ----------
    rain : array, shape (H, W)
        A first estimate of R.
    shorter_side : int
        Of the picture, in pixels; gives the scale of a neighbourhood.

    Returns
    -------
    array, shape (H, W)
    """
    xp = array_namespace(rain)
    step = density_step(rain.shape, shorter_side)
    height, width = (side // step for side in rain.shape)
    blocks = xp.reshape(rain[: height * step, : width * step], (height, step, width, step))
    coarse = suspicion(xp.mean(blocks, axis=(1, 3)), step, shorter_side)
    return enlarged(coarse, step, *(xp.arange(side) for side in rain.shape))


def density_step(shape: tuple[int, ...], shorter_side: int) -> int:
    """Side in pixels of the blocks whose mean rain is its density."""
    return max(1, min(int(_neighbourhood(shorter_side) / 4), *shape))


def suspicion(density: Array, step: int, shorter_side: int) -> Array:
    """`unevenness` from the mean rain of blocks.

    Parameters
    ----------
    density : array, shape (rows, columns)
        Mean of R over square blocks of the whole picture.
    step : int
        Side of the blocks in pixels (`density_step`).
    shorter_side : int
        Of the picture, in pixels.

    Returns
    -------
    array, shape (rows, columns)
        One value a block; `enlarged` gives those of pixels.
    """
    xp, sigma = array_namespace(density), _neighbourhood(shorter_side)
    density = ndimage_of(density).gaussian_filter(density, sigma / step, mode="nearest")
    usual = xp.mean(density) + 1e-4
    return clip((density / (_TOLERATED * usual)) ** _SUSPICION, 1, _MOST_DOUBT)


def enlarged(coarse: Array, step: int, rows: Array, columns: Array) -> Array:
    """Values at all pairs of rows and columns of a picture, from one a block, bilinear."""
    xp = array_namespace(coarse)
    places = (
        clip((xp.astype(pixels, xp.float32) + 0.5) / step - 0.5, 0, count - 1)
        for pixels, count in zip((rows, columns), coarse.shape, strict=True)
    )
    return _bilinear(coarse, *places)


def _neighbourhood(shorter_side: int) -> float:
    return max(_NEIGHBOURS, _NEIGHBOURHOOD * shorter_side)


def reweighting(rain: Array, doubt: Array, lam_r: float) -> Array:
    """Factor on the doubt that frees found rain from the bias of its penalty.

    Small where R is bright, so that a second pass takes all of a streak, and large where R is
    next to nothing (reweighted ℓ1; Candès, Wakin, Boyd 2008). The more a place is in doubt, the
    less its rain is freed.

    Parameters
    ----------
    rain : array, shape (H, W)
        A first estimate of R.
    doubt : array, shape (H, W)
        At least 1.
    lam_r : float
        The weight that held R down in the first estimate: it tells what is next to nothing.

    Returns
    -------
    array, shape (H, W)
    """
    xp, faint = array_namespace(rain), max(_FAINT * lam_r, 1e-6)
    factor = 2 * _FAINT_DOUBT * faint / (rain + faint)
    return xp.where(factor < 1, factor ** (doubt**-2), factor)


def _activity(plane: Array) -> Array:
    """Sum of both differences' absolute values."""
    return abs(np.diff(plane, axis=0))[:, :-1] + abs(np.diff(plane, axis=1))[:-1]


def _log_local(plane: Array) -> Array:
    """Logarithm of local means, one a block."""
    sigma = _BLOCK * (min(plane.shape) + 1)
    step = max(1, int(sigma))
    return np.log(ndimage_of(plane).gaussian_filter(plane, sigma)[::step, ::step] + 1e-3)


def _quick_rain(plane: Array, angle: float) -> Array:
    """R of a plane of light, roughly."""
    problem = Problem(rotate(np.ascontiguousarray(plane, np.float32), angle), _WEIGHTS)
    R = minimize(problem, PrimalDual(), tol=_TOL).estimate.R
    return unrotate(R, angle, plane.shape)


def _bilinear(coarse: Array, rows: Array, columns: Array) -> Array:
    """`coarse` at all pairs of fractional rows and columns, one axis after the other."""
    xp = array_namespace(coarse)
    for axis, places in ((0, rows), (1, columns)):
        below = xp.astype(xp.floor(places), xp.int64)
        above = clip(below + 1, None, coarse.shape[axis] - 1)
        part = xp.reshape(places - below, (-1, 1) if axis == 0 else (1, -1))
        coarse = (1 - part) * xp.take(coarse, below, axis=axis) + part * xp.take(
            coarse, above, axis=axis
        )
    return coarse
