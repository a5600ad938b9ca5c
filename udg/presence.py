"""Whether there is rain at all, and where it is in doubt.

Eq. 3 takes anything thin, bright and long in the streaks' direction for rain: a railing, tree
trunks, a tiger. What tells them apart is not in the energy:

- rain is everywhere, a railing is in one place;
- rain is bright, while a scene has about as many dark lines as bright ones;
- rain does not depend on the scene, so there is much of it where the scene is smooth or dark;
- rain is thin and alike, a railing or an edge is broader and stands out by itself.

`level_of` weighs this for a picture, and `Crowding` place by place: doubt, a factor on `lam_r`.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from udg.backend import ndimage_of
from udg.image import BlockMeans, Light, Overview, PreparedImage, balanced
from udg.iteration import minimize
from udg.objective import RAIN_WEIGHTS, Problem, Weights
from udg.primal_dual import PrimalDual
from udg.rotation import rotate, unrotate

__all__ = [
    "Crowding",
    "Evidence",
    "activity",
    "adapted",
    "caution",
    "contrast",
    "evidence",
    "heavier",
    "level_of",
    "reweighting",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_TOL = 2e-2  # the evidence comes from the thumbnail, solved to this gap: statistics need no more
_WEIGHTS = RAIN_WEIGHTS  # the coefficients below hold for these
_BESIDE = 3  # pixels across a streak at which it is over, if it is rain
_BLOCK = 0.04  # σ of local means, as a part of the shorter side

# Logistic regression on photographs with and without rain: benchmarks/presence.py fits it.
_COEFFICIENTS = {
    "confidence": 7.99,
    "brightness": 16.91,
    "spread": -7.13,
    "excess": 2.94,
    "shade": 2.73,
    "calm": 2.28,
    "width": -8.72,
    "unlike": -2.20,
}
_BIAS = 3.18
_NO_AMOUNT = 5e-4  # mean light of rain, an eighth of a grey level, below which there is none
_AT_STAKE = 7e-3  # mean light of rain at which the score decides as it is
_STAKES = 3e-3, 1e-2  # … and where less or more does not count any further
_DRY, _WET = -1.5, 1.0  # scores at which the level is 0 and 1
_CAUTION = 4.0  # doubt in a picture of level 0+ is 1 + this
_HEAVY = 3e-2  # mean light of rain beyond which lines need less to be taken for rain …
_HEAVIEST = 0.5  # … and the smallest factor on the weights that hold them back

# Contrast.
_FULL_CONTRAST = 0.13  # mean local difference from which on the weights are what they are
_LEAST_CONTRAST = 0.25  # … and the smallest factor on them
_CLEAR = 0.4  # contrast below which streaks may be wider than in a clear picture …
_WIDEST = 4.0  # … and how many times at most
_LONGER = 0.25  # power of that with which lam_x grows, for wide streaks are long, letters are not

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
    """What speaks for rain in a picture, and, by `spread`, `width` and `unlike`, against it.

    All but `confidence`, `width` and `unlike` are taken over blocks of the picture, by their
    logarithms.

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
    image: PreparedImage | Overview, angle: float, confidence: float, light: Light | None = None
) -> Evidence:
    """Collect what speaks for rain at an angle.

    Parameters
    ----------
    image : PreparedImage or Overview
    angle, confidence : float
        As `udg.estimate_angle` found them.
    light : Light, optional
        `udg.image.light_colour` of the picture.

    Returns
    -------
    Evidence
    """
    unit = balanced(image.thumbnail, light)
    darkest, brightest = unit.min(axis=2), unit.max(axis=2)
    upright = _quick_rain(darkest, angle)
    rain = unrotate(upright, angle, darkest.shape)
    dark_lines = unrotate(_quick_rain(1 - brightest, angle), angle, darkest.shape)
    scene = darkest - rain
    texture = _log_local(_activity(scene))
    density, dark, ground = (_log_local(plane[:-1, :-1]) for plane in (rain, dark_lines, scene))
    smooth = texture <= np.percentile(texture, 25)
    return Evidence(
        confidence,
        float(np.percentile(density - dark, 25)),
        float(density.std()),
        math.log(np.exp(density[smooth]).mean() / np.exp(texture[smooth]).mean()),
        -_correlation(density, ground),
        -float(texture.mean()),
        float(np.sum(upright[:, _BESIDE:] * upright[:, :-_BESIDE]) / (np.sum(upright**2) + 1e-6)),
        math.log((float(np.mean(rain**2)) + 1e-8) / (float(rain.mean()) ** 2 + 1e-8)),
        float(rain.mean()),
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
    return math.exp(_log_local(_activity(darkest)).mean()) / _FULL_CONTRAST


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


class Crowding:
    """Doubt where there is much more rain than elsewhere, or less than the scene's own details.

    It is judged from means over blocks of the whole picture, in the picture's frame. Feed it what
    a pass found from top to bottom with `add`, then ask for the doubt with `doubt`.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the picture.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    means : (array, array), optional
        Means over blocks of side ``step`` of the rain and of the scene's `activity`, if they are
        known: nothing is to be added then.

    Attributes
    ----------
    step : int
        Side of the blocks in pixels.
    """

    def __init__(
        self, shape: tuple[int, ...], angle: float, means: tuple[Floats, Floats] | None = None
    ) -> None:
        self._sigma = max(_NEIGHBOURS, _NEIGHBOURHOOD * min(shape[:2]))
        self.step = max(1, min(int(self._sigma / 4), *shape[:2]))
        self._angle, self._given = angle, means
        self._rain, self._busy = (BlockMeans(shape[:2], self.step) for _ in range(2))
        self._last: tuple[int, Floats] | None = None

    def add(self, top: int, rain: Floats, light: Floats) -> None:
        """Take all rows from ``top`` on of the rain and of the light it was found in, (rows, W)."""
        self._rain.add(top, rain)
        scene = light - rain
        if self._last is not None:  # whose differences to the next row are known now
            top, row = self._last
            scene = np.concatenate([row, scene])
        self._busy.add(top, activity(scene, self._angle)[:-1])
        self._last = top + len(scene) - 1, scene[-1:]

    def means(self) -> tuple[Floats, Floats]:
        """Means over blocks of what was added, with which this can be made again."""
        if self._given is None:
            assert self._last is not None
            top, row = self._last
            self._busy.add(top, activity(row, self._angle))
            self._given = self._rain.result(), self._busy.result()
        return self._given

    def doubt(self, rows: slice, columns: slice) -> Floats:
        """Doubt of a window, at least 1, float32."""
        self.means()
        places = (
            np.clip((np.arange(side.start, side.stop) + 0.5) / self.step - 0.5, 0, count - 1)
            for side, count in zip((rows, columns), self._coarse.shape, strict=True)
        )
        return np.asarray(_bilinear(self._coarse, *places), np.float32)

    @cached_property
    def _coarse(self) -> Floats:
        """Doubt of every block."""
        from scipy.ndimage import gaussian_filter

        assert self._given is not None
        density, busy = (
            gaussian_filter(means, self._sigma / self.step, mode="nearest") for means in self._given
        )
        usual = density.mean() + 1e-4
        crowded = np.clip((density / (_TOLERATED * usual)) ** _CROWDED, 1, _MOST_DOUBT)
        unlike_rain = np.clip(busy / (_BUSY * (density + _NEXT_TO_NOTHING)), 1, _MOST_DOUBT)
        return np.asarray(crowded * unlike_rain)


def activity(scene: Floats, angle: float) -> Floats:
    """How much a scene differs from one pixel to the next in the streaks' direction.

    Differences across would hold what is left of the rain.

    Parameters
    ----------
    scene : array, shape (H, W)
    angle : float
        Of the streaks, degrees clockwise from vertical.

    Returns
    -------
    array, shape (H, W)
        Per pixel of length; 0 in the last row.
    """
    # Where a streak through a pixel meets the next row: up to one column to the left (/) or right.
    theta = math.radians(angle)
    part = abs(math.tan(theta))
    below = scene[1:]
    columns = (below[:, :1], below[:, :-1]) if theta > 0 else (below[:, 1:], below[:, -1:])
    beside = np.concatenate(columns, axis=1)
    result = np.zeros_like(scene)
    result[:-1] = math.cos(theta) * np.abs((1 - part) * below + part * beside - scene[:-1])
    return result


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
    """R of a plane of light, roughly, in the frame in which streaks are vertical."""
    problem = Problem(rotate(np.ascontiguousarray(plane, np.float32), angle), _WEIGHTS)
    return minimize(problem, PrimalDual(), tol=_TOL).estimate.R


def _bilinear(coarse: Floats, rows: Floats, columns: Floats) -> Floats:
    """`coarse` at all pairs of fractional rows and columns, one axis after the other."""
    for axis, places in ((0, rows), (1, columns)):
        below = np.floor(places).astype(np.int64)
        above = np.minimum(below + 1, coarse.shape[axis] - 1)
        part = np.reshape(places - below, (-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        lower, upper = (np.take(coarse, index, axis=axis) for index in (below, above))
        coarse = (1 - part) * lower + part * upper
    return coarse
