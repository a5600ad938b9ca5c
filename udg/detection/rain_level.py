"""The rain level: whether there is rain at all, from evidence in the whole picture.

Eq. 3 takes anything thin, bright and long in the streaks' direction for rain: a railing, tree
trunks, a tiger. What tells them apart is not in the energy:

- rain is everywhere, a railing is in one place;
- rain is bright, while a scene has about as many dark lines as bright ones;
- rain does not depend on the scene, so there is much of it where the scene is smooth or dark;
- rain is thin and its streaks resemble each other, a railing or an edge is broader and alone;
- its lines are classified as streaks (`udg.detection.streaks`), and may converge to a point.

A logistic regression weighs this for a picture; `udg.detection.reweighting` decides place by place.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from udg.backend import ndimage_of
from udg.detection.density import RainDensity
from udg.detection.parameters import StreakClassifier, rain_level_model
from udg.detection.statistics import block_sigma, differences, log_local_means
from udg.detection.streaks import smoothed_streak_logit
from udg.imaging.geometry import Frame
from udg.imaging.illuminant import Illuminant, balanced
from udg.imaging.image import Overview, PreparedImage
from udg.model.energy import RAIN_WEIGHTS, Problem
from udg.optim.loop import minimize
from udg.primal_dual import PrimalDual

__all__ = [
    "Evidence",
    "evidence",
    "level_from_logit",
    "quick_rain",
    "streak_logit_of",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_TOL = 2e-2  # the evidence comes from the thumbnail, solved to this gap: statistics need no more
_BESIDE = 3  # pixels across a streak at which it is over, if it is rain
_MAX_LOGIT = 3.0  # of a line; beyond, it counts no further
_BLANK = 1e-3  # mean local difference up to which there is nothing to be seen: bars, borders
_MIN_RAIN = 5e-4  # mean light of rain, an eighth of a grey level, below which there is none
_USUAL_COST = 7e-3  # mean light of rain, at stake in the decision, at which the logit decides
_MIN_COST, _MAX_COST = 3e-3, 1e-2  # where less or more does not count any further


class Evidence(NamedTuple):
    """What speaks for rain in a picture, and, by `spread`, `width` and `variability`, against it.

    `brightness` to `smoothness` are taken over blocks of the picture, by their logarithms. Where
    nothing is to be seen, as in black bars beside a film, does not count, but for `streak_logit`.

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
    smoothness : float
        Minus the mean of the scene's own differences: a busy scene has lines of its own.
    width : float
        Correlation of the bright lines' light with itself three pixels beside.
    variability : float
        How unlike each other they are: logarithm of the mean square of their light over its squared
        mean. Few strong lines are of the scene, many that resemble each other are rain.
    streak_logit : float, in [−3, 3]
        Log-odds that they are streaks (`udg.detection.streaks.smoothed_streak_logit`), their mean
        by the lines' light.
    converges : float
        1 if they meet in a point (`udg.detection.convergence.estimate_convergence`), else 0: so do
        few things but rain.
    mean_rain : float
        Mean of the bright lines themselves: what is at stake. No part of the regression.
    """

    confidence: float
    brightness: float
    spread: float
    excess: float
    shade: float
    smoothness: float
    width: float
    variability: float
    streak_logit: float
    converges: float
    mean_rain: float = 1.0

    @property
    def logit(self) -> float:
        """Log-odds of rain; −∞ where there is next to nothing that could be."""
        if self.mean_rain < _MIN_RAIN:
            return -math.inf
        model = rain_level_model()
        pairs = zip(model.features, model.coefficients, strict=True)
        return model.bias + sum(weight * float(getattr(self, name)) for name, weight in pairs)


def evidence(
    image: PreparedImage | Overview,
    angle: float,
    confidence: float,
    illuminant: Illuminant | None = None,
    convergence: float = 0.0,
    classifier: StreakClassifier | None = None,
) -> Evidence:
    """Collect what speaks for rain in a direction.

    Parameters
    ----------
    image : PreparedImage or Overview
    angle, confidence : float
        As `udg.estimate_angle` found them.
    illuminant : Illuminant, optional
        `udg.imaging.illuminant.estimate_illuminant` of the picture.
    convergence : float
        As `udg.detection.convergence.estimate_convergence` found it.
    classifier : StreakClassifier, optional
        Default: what is shipped.

    Returns
    -------
    Evidence
    """
    unit = balanced(image.thumbnail, illuminant)
    darkest, brightest = unit.min(axis=2), unit.max(axis=2)
    frame = Frame.of(darkest.shape, angle, convergence)
    upright = quick_rain(darkest, frame)
    rain = frame.unrotate(upright)
    dark_lines = frame.unrotate(quick_rain(1 - brightest, frame))
    scene = darkest - rain
    seen = _seen(darkest)
    texture = log_local_means(differences(scene), seen)
    density, dark, ground = (
        log_local_means(plane[:-1, :-1], seen) for plane in (rain, dark_lines, scene)
    )
    mean_rain, part = float(rain.mean()), float(seen.mean())
    smooth = texture <= np.percentile(texture, 25)
    return Evidence(
        confidence,
        float(np.percentile(density - dark, 25)),
        float(density.std()),
        math.log(np.exp(density[smooth]).mean() / np.exp(texture[smooth]).mean()),
        -_correlation(density, ground),
        -float(texture.mean()),
        float(np.sum(upright[:, _BESIDE:] * upright[:, :-_BESIDE]) / (np.sum(upright**2) + 1e-6)),
        math.log((part * float(np.mean(rain**2)) + 1e-8) / (mean_rain**2 + 1e-8)),
        _mean_logit(upright, rain, darkest, brightest, frame, classifier),
        float(convergence != 0),
        mean_rain / part,
    )


def level_from_logit(logit: float, mean_rain: float = _USUAL_COST) -> float:
    """Turn the log-odds of rain into a rain level, by what a wrong decision costs.

    Parameters
    ----------
    logit, mean_rain : float
        As in `Evidence`. The cost of a wrong decision grows with the mean rain, so the odds have
        to grow with it as well: half as much is taken at half the odds, down to 3e-3 and up to
        1e-2.

    Returns
    -------
    float
        Rain level in [0, 1]: 0 is dry, 1 is certain rain.
    """
    model = rain_level_model()
    logit -= math.log(min(_MAX_COST, max(_MIN_COST, mean_rain)) / _USUAL_COST)
    return min(1.0, max(0.0, (logit - model.dry) / (model.certain - model.dry)))


def _seen(plane: Array) -> Array:
    """1 where there is anything, else 0; all of it if there is nothing at all."""
    sigma, of = block_sigma(plane), ndimage_of(plane)
    blank = of.gaussian_filter(differences(plane), sigma) <= _BLANK
    # Two σ is how far into a bar the picture beside it reaches.
    seen = 1 - of.maximum_filter(blank.astype(np.float32), 2 * int(2 * sigma) + 1)
    return seen if seen.any() else np.ones_like(seen)


def _correlation(a: Array, b: Array) -> float:
    """Pearson's, or 0 where one does not vary."""
    return float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std() + 1e-6))


def _mean_logit(
    upright: Array,
    rain: Array,
    darkest: Array,
    brightest: Array,
    frame: Frame,
    classifier: StreakClassifier | None,
) -> float:
    """Mean streak logit of lines that were found in the darkest channel."""
    logit = streak_logit_of(upright, rain, darkest, brightest, frame, classifier)
    total = np.sum(upright * np.clip(logit, -_MAX_LOGIT, _MAX_LOGIT))
    return float(total / (np.sum(upright) + 1e-3))


def streak_logit_of(
    upright: Array,
    rain: Array,
    darkest: Array,
    brightest: Array,
    frame: Frame,
    classifier: StreakClassifier | None = None,
) -> Array:
    """Classify the lines that were found in a small picture.

    Parameters
    ----------
    upright, rain : array
        What was found, in the frame and in the picture.
    darkest, brightest : array, shape (H, W)
        The picture's channels.
    frame : Frame
    classifier : StreakClassifier, optional
        Default: what is shipped.

    Returns
    -------
    array, the frame's shape
        `udg.detection.streaks.smoothed_streak_logit`.
    """
    density = RainDensity(rain.shape, frame.angle)
    density.add(0, rain, darkest)
    around = density.window(*(slice(0, side) for side in rain.shape))
    rotate = frame.rotate
    return smoothed_streak_logit(
        rotate(darkest), upright, rotate(brightest), around.rotated(rotate), classifier
    )


def quick_rain(plane: Array, frame: Frame, tol: float = _TOL) -> Array:
    """Find the rain of an observed plane, roughly, in the frame in which streaks are vertical.

    With the default weights: the regression's coefficients hold for these.

    Parameters
    ----------
    plane : array, float32, shape (H, W)
        In [0, 1].
    frame : Frame
    tol : float
        Gap to stop at.

    Returns
    -------
    array, float32, the frame's shape
    """
    problem = Problem(frame.rotate(plane), RAIN_WEIGHTS)
    return minimize(problem, PrimalDual(), tol=tol).estimate.R
