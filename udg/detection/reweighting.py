"""Reweight the ℓ1 norm by how streak-like each line is.

After a stage has found R, the next one solves the same problem with a *sparsity map*: a factor on
`lam_r` at each pixel (a weighted ℓ1 norm [1]_). It is large where what was found is probably not
rain: too dense for its surroundings (`udg.detection.density`), unlike a streak
(`udg.detection.streaks`) or faint; it is small where rain is certain, which frees it from the bias
of its penalty.

References
----------
.. [1] E. J. Candès, M. B. Wakin, S. P. Boyd, "Enhancing sparsity by reweighted ℓ1 minimization",
   Journal of Fourier Analysis and Applications 14, 2008.
"""

from __future__ import annotations

import math
from operator import itemgetter
from typing import Any

from array_api_compat import array_namespace

from udg.backend import clip, each_band
from udg.detection.density import LocalDensity
from udg.detection.parameters import Reweighting, reweighting_parameters
from udg.detection.streaks import REACH, smoothed_streak_logit
from udg.model.energy import RAIN_WEIGHTS

__all__ = [
    "classifier_factor",
    "draft_sparsity",
    "logit_threshold",
    "magnitude_factor",
    "sparsity_map",
]

Array = Any


def draft_sparsity(
    uncertainty: float, *, draft: bool, parameters: Reweighting | None = None
) -> float:
    """Factor on `lam_r` everywhere in a stage that is not reweighted.

    The next stage cannot recover rain missed here, but can reject false positives: so a draft
    over-detects.

    Parameters
    ----------
    uncertainty : float
        `udg.detection.weights.uncertainty` of the picture.
    draft : bool
        Whether a reweighted stage follows, and none has been before.
    parameters : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    float
        Below ``uncertainty`` for a draft.
    """
    parameters = parameters or reweighting_parameters()
    return uncertainty * (parameters.draft_factor if draft else 1.0)


def logit_threshold(
    mean_logit: float | None = None,
    rain_level: float = 1.0,
    parameters: Reweighting | None = None,
) -> float:
    """Choose the streak logit at which a line's weight is neither raised nor lowered.

    Streaks of one rain resemble each other: where most of what was found surely is rain, a line
    that is less sure rather is none; where nothing is sure, as before dark trees, it may well be.

    Parameters
    ----------
    mean_logit : float, optional
        The picture's mean streak logit (`udg.detection.rain_level.Evidence`); higher raises the
        threshold, so that less is taken. Default: that of a typical rainy photo.
    rain_level : float
        In [0, 1]; lower raises the threshold.
    parameters : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    float
        Within the parameters' bounds; the upper one for rain levels up to a half.
    """
    one = parameters or reweighting_parameters()
    mean_logit = one.typical_logit if mean_logit is None else mean_logit
    free = one.threshold_offset + one.threshold_slope * mean_logit
    threshold = min(one.max_threshold, max(one.min_threshold, free))
    return one.max_threshold - max(0.0, 2 * rain_level - 1) * (one.max_threshold - threshold)


def classifier_factor(
    logit: Array,
    lam_r: float = RAIN_WEIGHTS.lam_r,
    threshold: float | None = None,
    parameters: Reweighting | None = None,
) -> Array:
    """Factor on `lam_r` from the streak classifier: inversely proportional to the odds.

    Parameters
    ----------
    logit : array
        As of `udg.detection.streaks.streak_logit`.
    lam_r : float
        Weight of the stage: the lower, as in haze, the more is taken, for less can be lost.
    threshold : float, optional
        `logit_threshold` of the picture.
    parameters : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    array
        Above 1 for lines of the scene, below 1 for streaks.
    """
    one = parameters or reweighting_parameters()
    threshold = logit_threshold(parameters=one) if threshold is None else threshold
    threshold += one.haze_slope * math.log(min(1.0, max(0.05, lam_r / RAIN_WEIGHTS.lam_r)))
    low, high = math.log(one.min_factor), math.log(one.max_factor)
    return array_namespace(logit).exp(one.classifier_power * clip(threshold - logit, low, high))


def magnitude_factor(
    rain: Array, suspicion: Array, lam_r: float, parameters: Reweighting | None = None
) -> Array:
    """Factor on `lam_r` that frees bright rain from the bias of its penalty.

    Small where R is bright, so that the next stage takes all of a streak, and large where R is
    next to nothing (reweighted ℓ1). The more suspect a place is, the less its rain is freed.

    Parameters
    ----------
    rain : array, shape (H, W)
        The estimate of R so far.
    suspicion : array, shape (H, W)
        At least 1: the factors above 1 of density and classifier.
    lam_r : float
        The weight that held R down in that estimate: it tells what is next to nothing.
    parameters : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    array, shape (H, W)
    """
    one = parameters or reweighting_parameters()
    xp, faint = array_namespace(rain), max(one.faint * lam_r, 1e-6)
    factor = 2 * one.faint_factor * faint / (rain + faint)
    return xp.where(factor < 1, factor ** (suspicion**-2), factor)


def sparsity_map(
    Y: Array,
    R: Array,
    brightest: Array,
    around: LocalDensity,
    lam_r: float,
    threshold: float | None = None,
    parameters: Reweighting | None = None,
) -> Array:
    """Weigh the ℓ1 norm of the next stage, pixel by pixel: all factors on `lam_r` together.

    Parameters
    ----------
    Y, R, brightest, around
        As for `udg.detection.streaks.streak_features`.
    lam_r : float
        Weight of the stage that found R.
    threshold : float, optional
        `logit_threshold` of the picture.
    parameters : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    array, shape (H, W)
        Positive; below 1 for rain that is certain.
    """
    one = parameters or reweighting_parameters()
    result = array_namespace(R).empty_like(R)

    def weigh(rows: slice, part: slice) -> None:
        own = slice(rows.start - part.start, rows.stop - part.start)
        here = around.rotated(itemgetter(part))
        logit = smoothed_streak_logit(Y[part], R[part], brightest[part], here)
        factor = classifier_factor(logit, lam_r, threshold, one)[own]
        suspicion = here.sparsity_factor()[own] ** one.density_power * clip(factor, 1, None)
        freed = clip(factor, None, 1) * magnitude_factor(R[rows], suspicion, lam_r, one)
        result[rows] = suspicion * freed

    each_band(weigh, R, REACH)
    return result
