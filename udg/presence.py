"""Whether there is rain at all, and where it is in doubt.

Eq. 3 takes anything thin, bright and long in the streaks' direction for rain: a railing, tree
trunks, a tiger. What tells them apart is not in the energy:

- rain is everywhere, a railing is in one place;
- rain is bright, while a scene has about as many dark lines as bright ones;
- rain does not depend on the scene, so there is much of it where the scene is smooth or dark.

`rain_level` weighs this for a picture, and `doubt` pixel by pixel, as a factor on `lam_r`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from udg.backend import ndimage_of
from udg.image import PreparedImage
from udg.iteration import minimize
from udg.objective import RAIN_WEIGHTS, Problem
from udg.operators import along
from udg.primal_dual import PrimalDual
from udg.rotation import rotate, unrotate

__all__ = ["Evidence", "caution", "contrast", "evidence", "level_of", "reweighting", "suspicion"]

Array = Any

_TOL = 2e-2  # the evidence comes from the thumbnail, solved to this gap: statistics need no more
_WEIGHTS = RAIN_WEIGHTS  # the coefficients below hold for these
_BLOCK = 0.04  # σ of local means, as a part of the shorter side

# Logistic regression on photographs with and without rain: benchmarks/presence.py fits it.
_COEFFICIENTS = {
    "confidence": 8.02,
    "brightness": 16.63,
    "spread": -9.22,
    "excess": 3.82,
    "shade": 3.37,
    "calm": 1.61,
}
_BIAS = 1.07
_DRY, _WET = -1.5, 1.5  # scores at which the level is 0 and 1
_CAUTION = 4.0  # doubt in a picture of level 0+ is 1 + this

# Contrast.
_FULL_CONTRAST = 0.13  # mean local difference from which on the weights are what they are
_LEAST_CONTRAST = 0.25  # … and the smallest factor on them

# Reweighting.
_NEIGHBOURHOOD = 0.08  # σ over which rain should be even, as a part of the shorter side
_NEIGHBOURS = 25.0  # … but at least so many pixels, for streaks are long
_TOLERATED = 1.5  # times the mean density that is not yet suspect
_CROWDED = 2.0  # power of the excess density
_BUSY = 3.0  # times the rain that a scene may differ along the streaks without being suspect
_NEXT_TO_NOTHING = 2e-3  # density of rain below which it does not matter
_MOST_DOUBT = 6.0
_FAINT = 3.0  # rain of this brightness, in units of lam_r, …
_FAINT_DOUBT = 0.75  # … keeps this part of its doubt; brighter rain less


class Evidence(NamedTuple):
    """What speaks for rain in a picture; each grows with it, but for `spread`.

    All but the first are taken over blocks of the picture, by their logarithms.

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
    """

    confidence: float
    brightness: float
    spread: float
    excess: float
    shade: float
    calm: float

    @property
    def score(self) -> float:
        """Log-odds of rain."""
        return _BIAS + sum(
            _COEFFICIENTS[name] * float(getattr(self, name)) for name in self._fields
        )


def evidence(image: PreparedImage, angle: float, confidence: float) -> Evidence:
    """Collect what speaks for rain at an angle.

    Parameters
    ----------
    image : PreparedImage
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
    scene = darkest - rain
    texture = _log_local(_activity(scene))
    density, dark, light = (_log_local(plane[:-1, :-1]) for plane in (rain, dark_lines, scene))
    smooth = texture <= np.percentile(texture, 25)
    return Evidence(
        confidence,
        float(np.percentile(density - dark, 25)),
        float(density.std()),
        math.log(np.exp(density[smooth]).mean() / np.exp(texture[smooth]).mean()),
        -_correlation(density, light),
        -float(texture.mean()),
    )


def level_of(score: float) -> float:
    """Rain level in [0, 1] of a score: 0 is dry, 1 is rain without a doubt."""
    return min(1.0, max(0.0, (score - _DRY) / (_WET - _DRY)))


def contrast(image: PreparedImage) -> float:
    """Factor on all weights for pictures of little contrast: haze, film, dusk.

    Scaling a picture and the weights of Eq. 3 alike scales X and R alike, so the weights are to a
    picture's contrast what they are to full light.

    Parameters
    ----------
    image : PreparedImage

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


def suspicion(rain: Array, scene: Array, shorter_side: int) -> Array:
    """Doubt where there is much more rain than elsewhere, or less than the scene's own details.

    Parameters
    ----------
    rain, scene : arrays, shape (H, W)
        A first estimate of R, and the light without it.
    shorter_side : int
        Of the picture, in pixels; gives the scale of a neighbourhood.

    Returns
    -------
    array, shape (H, W)
        At least 1.
    """
    xp, ndimage = array_namespace(rain), ndimage_of(rain)
    sigma = max(_NEIGHBOURS, _NEIGHBOURHOOD * shorter_side)
    step = max(1, min(int(sigma / 4), *rain.shape))
    height, width = (side // step for side in rain.shape)

    def local(plane: Array) -> Array:
        blocks = xp.reshape(plane[: height * step, : width * step], (height, step, width, step))
        return ndimage.gaussian_filter(xp.mean(blocks, axis=(1, 3)), sigma / step, mode="nearest")

    density = local(rain)
    usual = xp.mean(density) + 1e-4
    crowded = xp.clip((density / (_TOLERATED * usual)) ** _CROWDED, 1, _MOST_DOUBT)
    # Differences across would hold what is left of the rain.
    busy = local(xp.abs(along(scene))) / (density + _NEXT_TO_NOTHING)
    coarse = crowded * xp.clip(busy / _BUSY, 1, _MOST_DOUBT)
    rows, columns = (
        xp.clip((xp.arange(side, dtype=xp.float32) + 0.5) / step - 0.5, 0, count - 1)
        for side, count in zip(rain.shape, (height, width), strict=True)
    )
    return _bilinear(coarse, rows, columns)


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


def _correlation(a: Array, b: Array) -> float:
    """Pearson's, or 0 where one does not vary."""
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std() + 1e-6))


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
        above = xp.clip(below + 1, None, coarse.shape[axis] - 1)
        part = xp.reshape(places - below, (-1, 1) if axis == 0 else (1, -1))
        coarse = (1 - part) * xp.take(coarse, below, axis=axis) + part * xp.take(
            coarse, above, axis=axis
        )
    return coarse
