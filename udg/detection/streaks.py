"""The streak classifier: how streak-like a line is, from features around each pixel.

Eq. 3 takes any thin bright line along the streaks for rain. What tells a streak from a line of the
scene (`StreakFeatures`) goes into a small logistic classifier, fitted on rain rendered over
photographs; `python -m benchmarks refit DATA_DIR` makes its parameters anew.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from udg.backend import clip
from udg.detection.density import LocalDensity
from udg.detection.parameters import StreakClassifier, streak_classifier
from udg.imaging.filters import difference, gaussian1d, highest, is_compiled, lowest, mean

__all__ = ["StreakFeatures", "smoothed_streak_logit", "streak_features", "streak_logit"]

Array = Any

# Windows in pixels. No filter reaches further than REACH rows.
_GREY_LEVELS = 2 / 255  # added to both sides of a ratio: below, its logarithm tells nothing
_LINE, _LONG_LINE = 9, 61
_ASIDE = 3  # from the middle of a streak to the scene beside it
_NEARBY = 41  # side of the square of lines that may be alike
_REGION = 61  # side of the square whose bright and dark lines are compared
_BESIDE = 8  # pixels to either side of a line, in which its ground may get darker
_MIN_POWER = 1e-6  # mean square of lines' light that tells nothing
_MIN_RAIN = 1e-4  # weight of pixels in which nothing was found
_ENDS = 31  # along a line, in which it may end
_NOTHING = 1e-12  # fourth power of a light that tells nothing
_ONE_STREAK = 10.0  # σ along a streak over which its logit is averaged
REACH = 80


class StreakFeatures(NamedTuple):
    """Features that tell a streak from a line of the scene, at each pixel of the solved frame.

    All but `colour` are logarithms of ratios, in which two grey levels are added to both sides.

    Attributes
    ----------
    density : array
        Density of rain around, to that expected on ground so dark.
    texture : array
        The scene's own texture around, to the density of rain.
    brightness : array
        The line's light, to that of a typical streak.
    edge : array
        How much the scene differs from one side of the line to the other, to the line's light.
    colour : array, in [−1, 2]
        How much the brightest channel follows the line, to the darkest: 1 for grey light, less
        on ground so bright that little can be added.
    length : array
        Mean of the line over 61 pixels, to that over 9.
    sharpness : array
        Steepest flank, to the highest light.
    width : array
        Mean of the line over 9 pixels across, to its highest light there.
    similarity : array
        Of the 41 × 41 pixels around, mean of the light's cube times mean light, to the square of
        the mean square: 0 if all lines there are of one light, more the more their light differs.
        No grey levels are added.
    ends : array
        Steepest rise or fall along the line, in the mean of 31 pixels, to the line's light.
    balance : array
        Of the 61 × 61 pixels around, mean square of bright lines along the streaks to that of dark
        ones, in the light itself. Rain has no dark lines; bark, hair and railings have both.
    across : array
        The same of lines across the streaks, which are of the scene.
    orientation : array
        Mean square of all lines along the streaks, to that of all across them, in these pixels.
    lean : array
        How far the line leans from the streaks' direction: logarithm of the absolute value of its
        tangent, to which a hundredth is added.
    falloff : array
        How much darker the ground gets within 8 pixels beside the line, to the line's light.
    """

    density: Array
    texture: Array
    brightness: Array
    edge: Array
    colour: Array
    length: Array
    sharpness: Array
    width: Array
    similarity: Array
    ends: Array
    balance: Array
    across: Array
    orientation: Array
    lean: Array
    falloff: Array


def streak_features(Y: Array, R: Array, brightest: Array, around: LocalDensity) -> StreakFeatures:
    """Compute the features of every pixel.

    Parameters
    ----------
    Y, R : array, shape (H, W)
        Light and the rain that a stage found in it, streaks vertical.
    brightest : array, shape (H, W)
        Brightest colour channel, in the same frame.
    around : LocalDensity
        In the same frame.

    Returns
    -------
    StreakFeatures
        Shape (H, W) each.
    """
    xp, X = array_namespace(R), Y - R

    def around_each(plane: Array, side: int) -> Array:
        return mean(mean(plane, side, 0), side, 1)

    def stands_out(plane: Array, axis: int = 1) -> Array:
        return plane - mean(plane, _LINE, axis)

    def bright_and_dark(lines: Array) -> list[Array]:
        return [
            clip(around_each(clip(sign * lines, 0, None) ** 2, _REGION), 0, None) + _MIN_POWER
            for sign in (1, -1)
        ]

    line = gaussian1d(R, 5.0, 0)
    sides = gaussian1d(abs(difference(X, -_ASIDE, _ASIDE, 1)), 4.0, 0)
    flank = highest(abs(difference(R, -1, 0, 1)), 3, 1)
    peak = highest(R, 5, 1)
    thin = gaussian1d(R, 3.0, 0)
    details = stands_out(Y)
    followed, itself = (mean(u * R, 15, 0) for u in (stands_out(brightest), details))
    itself = itself + 1e-5  # which a line that does not stand out may make 0
    first, second, third = (around_each(power, _NEARBY) for power in (R, R * R, R * R * R))
    steep = highest(abs(difference(R, -1, 0, 0)), 3, 0)
    upright, crossing = (
        bright_and_dark(gaussian1d(u, 3.0, axis))
        for axis, u in enumerate((details, stands_out(Y, axis=0)))
    )
    across, along = (0.5 * difference(details, -1, 1, axis) for axis in (1, 0))
    leaning, steepness = (
        mean(mean((R + _MIN_RAIN) * across * u, _ENDS, 0), 3, 1) for u in (along, across)
    )
    ground = gaussian1d(X, 5.0, 0)
    darker = ground - lowest(ground, 2 * _BESIDE + 1, 1)
    return StreakFeatures(
        density=_log_ratio(around.density, around.expected),
        texture=_log_ratio(around.texture, around.density),
        brightness=_log_ratio(R, around.streak),
        edge=_log_ratio(sides, line),
        colour=clip(followed / xp.where(itself == 0, 1e-5, itself), -1, 2),
        length=_log_ratio(mean(R, _LONG_LINE, 0), mean(R, _LINE, 0)),
        sharpness=_log_ratio(gaussian1d(flank, 3.0, 0), gaussian1d(peak, 3.0, 0)),
        width=_log_ratio(mean(thin, _LINE, 1) * _LINE, highest(thin, _LINE, 1)),
        similarity=xp.log((clip(third * first, 0, None) + _NOTHING) / (second**2 + _NOTHING)),
        ends=_log_ratio(mean(steep, _ENDS, 0), line),
        balance=xp.log(upright[0] / upright[1]),
        across=xp.log(crossing[0] / crossing[1]),
        orientation=xp.log((upright[0] + upright[1]) / (crossing[0] + crossing[1])),
        lean=xp.log(abs(leaning) / (clip(steepness, 0, None) + _MIN_POWER) + 0.01),
        falloff=_log_ratio(darker, line),
    )


def streak_logit(features: StreakFeatures, classifier: StreakClassifier | None = None) -> Array:
    """Classify every pixel: the log-odds that its line is a streak.

    Parameters
    ----------
    features : StreakFeatures
    classifier : StreakClassifier, optional
        Default: what is shipped.

    Returns
    -------
    array
        Positive where a streak is likelier; natural logarithm.
    """
    model, xp = classifier or streak_classifier(), array_namespace(features.brightness)
    if all(is_compiled(feature) for feature in features):
        return _compiled_logit(features, model)
    scaled = xp.stack(
        [
            clip((feature - centre) / scale, -3, 3)
            for feature, centre, scale in zip(features, model.centre, model.scale, strict=True)
        ]
    )
    count, *shape = scaled.shape
    inner, inner_bias, outer = (
        xp.asarray(values, dtype=scaled.dtype)
        for values in (model.inner, model.inner_bias, model.outer)
    )
    hidden = inner @ xp.reshape(scaled, (count, -1)) + inner_bias[:, None]
    return xp.reshape(outer @ xp.tanh(hidden) + model.bias, tuple(shape))


def _compiled_logit(features: StreakFeatures, model: StreakClassifier) -> Array:
    from udg.detection import _streaks_numba

    result: Array = np.empty_like(features.brightness)
    centre, scale, inner, inner_bias, outer = (
        np.asarray(values, np.float32)
        for values in (model.centre, model.scale, model.inner, model.inner_bias, model.outer)
    )
    _streaks_numba.classify(
        tuple(features), centre, scale, inner, inner_bias, outer, np.float32(model.bias), result
    )
    return result


def smoothed_streak_logit(
    Y: Array,
    R: Array,
    brightest: Array,
    around: LocalDensity,
    classifier: StreakClassifier | None = None,
) -> Array:
    """Average the streak logit along each line, weighted by the rain's light.

    Parameters
    ----------
    Y, R, brightest, around
        As for `streak_features`.
    classifier : StreakClassifier, optional
        Default: what is shipped.

    Returns
    -------
    array, shape (H, W)
    """
    light = R + 1e-3
    logit = streak_logit(streak_features(Y, R, brightest, around), classifier)
    total, weight = (gaussian1d(u, _ONE_STREAK, 0) for u in (logit * light, light))
    return total / weight


def _log_ratio(above: Array, below: Array | float) -> Array:
    xp = array_namespace(above)
    return xp.log((clip(above, 0, None) + _GREY_LEVELS) / (below + _GREY_LEVELS))
