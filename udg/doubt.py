"""Where rain that was found is in doubt: a factor on `lam_r` at each pixel, for the next pass.

Eq. 3 takes any thin bright line along the streaks for rain: a fence, letters, the edge of a wall.
Rain is everywhere, and its streaks look alike; what is found is doubted

- where there is much more of it than elsewhere on ground as dark, or little beside the scene's own
  differences (`Crowding`),
- where a line does not look like a streak (`traits`, `log_odds`): it stands on an edge of the
  scene, is brighter than the picture's rain, coloured, sharper or longer than streaks are, of one
  light with the lines beside it, ends abruptly or leans another way, or there are dark lines
  around, or lines of other directions,
- and where it is faint.

What surely is a streak, or is bright and beyond doubt, is freed from its penalty's bias
(`reweighting`).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache, cached_property
from importlib.resources import files
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from udg.backend import bands, clip, ndimage_of
from udg.image import BlockMeans
from udg.objective import RAIN_WEIGHTS

__all__ = [
    "LOOKS",
    "Crowding",
    "Surroundings",
    "Traits",
    "activity",
    "doubts",
    "even_odds",
    "first_doubt",
    "likeness",
    "log_odds",
    "reweighting",
    "streak_odds",
    "traits",
    "usual_on",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]
Means = tuple[Floats, Floats, Floats, Floats]

LOOKS = 0.175  # mean log-odds of what is found in a usual photo of rain

_EAGER = 0.5  # factor on lam_r in a first pass that another one follows

# Crowding.
_NEIGHBOURHOOD = 0.08  # σ over which rain should be even, as a part of the shorter side
_NEIGHBOURS = 25.0  # … but at least so many pixels, for streaks are long
_TOLERATED = 1.5  # times the mean density that is not yet suspect
_CROWDED = 2.0  # power of the excess density
_BUSY = 3.0  # times the rain that a scene may differ along the streaks without being suspect
_NEXT_TO_NOTHING = 2e-3  # density of rain below which it does not matter
_MOST_DOUBT = 6.0
_AIR = (30.0, 3.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # light before which rain may not show
_LEAST_SHOWN = 0.1  # part of that which is left where a scene is as bright

# Traits, in pixels. Filters reach no further than _REACH rows.
_GREY_LEVELS = 2 / 255  # below which logarithms tell nothing
_LINE, _LONG_LINE = 9, 61
_ASIDE = 3  # from the middle of a streak to the scene beside it
_NEARBY = 41  # side of the square of lines that may be alike
_REGION = 61  # … and of that which is asked what lines it has
_BESIDE = 8  # pixels to either side of a line, in which its ground may get darker
_ALMOST_NONE = 1e-6  # mean square of lines' light that tells nothing
_FAINTEST = 1e-4  # weight of pixels in which nothing was found
_ENDS = 31  # along a line, in which it may end
_REACH = 80
_NOTHING = 1e-12  # fourth power of a light that tells nothing

# Doubt from odds.
_EVEN = -0.25  # log-odds at which a line is neither doubted nor trusted …
_LIKE_MOST = 2.0  # … more by this times the mean log-odds of the picture's lines
_LEAST_EVEN, _MOST_EVEN = -0.3, 0.4
_CHEAPER = 0.25  # … and less by this times the logarithm of lam_r, to a twentieth of the usual
_LIKENESS = 0.1, 30.0  # the least and the most that they make
_BESIDE_LOOKS = 0.5  # power of a crowd's doubt, for the odds know of crowds as well
_ONE_STREAK = 10.0  # σ along a streak over which its odds are averaged

# Reweighting.
_FAINT = 3.0  # rain of this brightness, in units of lam_r, …
_FAINT_DOUBT = 0.75  # … keeps this part of its doubt; brighter rain less


def first_doubt(careful: float, *, eager: bool) -> float:
    """Doubt everywhere in a first pass.

    What it leaves, the pass after it does not ask for; what it takes too much, the looks of it
    tell.

    Parameters
    ----------
    careful : float
        `udg.presence.caution` of the picture.
    eager : bool
        Whether it only proposes: another pass follows, and no pass has been before.

    Returns
    -------
    float
        Below ``careful`` if eager.
    """
    return careful * (_EAGER if eager else 1.0)


class Surroundings(NamedTuple):
    """What is around each pixel after a pass.

    Attributes
    ----------
    density : array, shape (H, W)
        Mean rain.
    busy : array, shape (H, W)
        Mean of the scene's `activity`.
    usual : array, shape (H, W)
        Rain to be expected on ground so dark (`usual_on`): its mean is the whole picture's.
    streak : float
        Light of a usual streak: mean square over mean of the rain, the median of all places.
    """

    density: Array
    busy: Array
    usual: Array
    streak: float

    def doubt(self) -> Array:
        """Doubt, at least 1: of crowds, and of what the scene's own details outweigh."""
        density, busy, usual, _ = self
        crowded = clip((density / (_TOLERATED * (usual + 1e-4))) ** _CROWDED, 1, _MOST_DOUBT)
        return crowded * clip(busy / (_BUSY * (density + _NEXT_TO_NOTHING)), 1, _MOST_DOUBT)

    def turned(self, turn: Callable[[Floats], Array]) -> Surroundings:
        """The same in a frame to which ``turn`` turns a plane."""
        density, busy, usual, _ = self
        return self._replace(density=turn(density), busy=turn(busy), usual=turn(usual))


class Crowding:
    """Density of rain and the scene's own differences around each place, after a pass.

    From means over blocks of the whole picture, in the picture's frame. Feed it what a pass found
    from top to bottom with `add`, then ask for a window with `around`.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the picture.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    means : (array, array, array, array), optional
        Means over blocks of side ``step`` of the rain, of its square, of the scene and of its
        `activity`, if they are known: nothing is to be added then.

    Attributes
    ----------
    step : int
        Side of the blocks in pixels.
    """

    def __init__(self, shape: tuple[int, ...], angle: float, means: Means | None = None) -> None:
        self._sigma = max(_NEIGHBOURS, _NEIGHBOURHOOD * min(shape[:2]))
        self.step = max(1, min(int(self._sigma / 4), *shape[:2]))
        self._angle, self._given = angle, means
        self._sums = tuple(BlockMeans(shape[:2], self.step) for _ in range(4))
        self._last: tuple[int, Floats] | None = None

    def add(self, top: int, rain: Floats, light: Floats) -> None:
        """Take all rows from ``top`` on of the rain and of the light it was found in, (rows, W)."""
        found, squared, ground, busy = self._sums
        scene = light - rain
        found.add(top, rain)
        squared.add(top, rain**2)
        ground.add(top, scene)
        if self._last is not None:  # whose differences to the next row are known now
            top, row = self._last
            scene = np.concatenate([row, scene])
        busy.add(top, activity(scene, self._angle)[:-1])
        self._last = top + len(scene) - 1, scene[-1:]

    def means(self) -> Means:
        """Means over blocks of what was added, with which this can be made again."""
        if self._given is None:
            assert self._last is not None
            top, row = self._last
            self._sums[3].add(top, activity(row, self._angle))
            found, squared, ground, busy = (sums.result() for sums in self._sums)
            self._given = found, squared, ground, busy
        return self._given

    def around(self, rows: slice, columns: slice) -> Surroundings:
        """Surroundings of a window's pixels, float32."""
        density, squared, usual, busy = self._coarse
        places = [
            np.clip((np.arange(side.start, side.stop) + 0.5) / self.step - 0.5, 0, count - 1)
            for side, count in zip((rows, columns), density.shape, strict=True)
        ]
        streak = np.median((squared + 1e-8) / (density + 1e-4))
        around, busy_around, usual_around = (
            np.asarray(_bilinear(plane, *places), np.float32) for plane in (density, busy, usual)
        )
        return Surroundings(around, busy_around, usual_around, float(streak))

    @cached_property
    def _coarse(self) -> Means:
        """Density, mean square, what is usual, and activity of blocks with their neighbours."""
        from scipy.ndimage import gaussian_filter

        density, squared, ground, busy = (
            gaussian_filter(means, self._sigma / self.step, mode="nearest")
            for means in self.means()
        )
        return density, squared, usual_on(ground, density), busy


def usual_on(ground: Floats, density: Floats) -> Floats:
    """Rain to be expected where the scene is so bright.

    A drop shows the light of all around instead of what it covers: before ground of brightness X
    it adds in proportion to A − X, A being the light of the air (screen blend for A = 1; Garg and
    Nayar 2007). Of some A, that is taken by which the rain is most even, so that of a picture of
    one brightness, or of rain that is added everywhere alike, nothing changes.

    Parameters
    ----------
    ground, density : array, shape (H, W)
        Local means of the scene and of the rain found before it.

    Returns
    -------
    array, shape (H, W)
        Its mean is that of ``density``.
    """

    def uneven(shown: Floats) -> float:
        even = np.log((density + _NEXT_TO_NOTHING) / shown)
        return float(np.mean(abs(even - np.median(even))))

    shown = min((np.maximum(air - ground, _LEAST_SHOWN * air) for air in _AIR), key=uneven)
    return np.asarray(density.mean() * shown / shown.mean())


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


class Traits(NamedTuple):
    """What tells a streak from a line of the scene, at each pixel of the solved frame.

    All but `colour` are logarithms of ratios, in which two grey levels are added to both sides.

    Attributes
    ----------
    crowd : array
        Density of rain around, to that which is usual on ground so dark.
    busy : array
        The scene's own differences around, to the density of rain.
    bright : array
        The line's light, to that of a usual streak.
    edge : array
        How much the scene differs from one side of the line to the other, to the line's light.
    colour : array, in [−1, 2]
        How much the brightest channel follows the line, to the darkest: 1 for grey light, less
        on ground so bright that little can be added.
    long : array
        Mean of the line over 61 pixels, to that over 9.
    sharp : array
        Steepest flank, to the highest light.
    wide : array
        Mean of the line over 9 pixels across, to its highest light there.
    alike : array
        Of the 41 × 41 pixels around, mean of the light's cube times mean light, to the square of
        the mean square: 0 if all lines there are of one light, more the more their light differs.
        No grey levels are added.
    ends : array
        Steepest rise or fall along the line, in the mean of 31 pixels, to the line's light.
    balance : array
        Of the 61 × 61 pixels around, mean square of bright lines along the streaks to that of dark
        ones, in the light itself. Rain has no dark lines; bark, hair and railings have both.
    level : array
        The same of lines across the streaks, which are of the scene.
    prevailing : array
        Mean square of all lines along the streaks, to that of all across them, in these pixels.
    askew : array
        How far the line leans from the streaks' direction: logarithm of the absolute value of its
        tangent, to which a hundredth is added.
    falling : array
        How much darker the ground gets within 8 pixels beside the line, to the line's light.
    """

    crowd: Array
    busy: Array
    bright: Array
    edge: Array
    colour: Array
    long: Array
    sharp: Array
    wide: Array
    alike: Array
    ends: Array
    balance: Array
    level: Array
    prevailing: Array
    askew: Array
    falling: Array


def traits(Y: Array, R: Array, brightest: Array, around: Surroundings) -> Traits:
    """Collect what tells streaks from lines of the scene.

    Parameters
    ----------
    Y, R : array, shape (H, W)
        Light and the rain that a pass found in it, streaks vertical.
    brightest : array, shape (H, W)
        Brightest colour channel, in the same frame.
    around : Surroundings
        In the same frame.

    Returns
    -------
    Traits
        Shape (H, W) each.
    """
    xp, of, X = array_namespace(R), ndimage_of(R), Y - R

    def mean(plane: Array, size: int, axis: int) -> Array:
        return of.uniform_filter1d(plane, size, axis, mode="nearest")

    def around_each(plane: Array, side: int) -> Array:
        return mean(mean(plane, side, 0), side, 1)

    def smooth(plane: Array, sigma: float, axis: int = 0) -> Array:
        return of.gaussian_filter1d(plane, sigma, axis, mode="nearest")

    def stands_out(plane: Array, axis: int = 1) -> Array:
        return plane - mean(plane, _LINE, axis)

    def differences(plane: Array, weights: list[float], axis: int = 1) -> Array:
        return of.correlate1d(plane, xp.asarray(weights), axis, mode="nearest")

    def bright_and_dark(lines: Array) -> list[Array]:
        return [
            clip(around_each(clip(sign * lines, 0, None) ** 2, _REGION), 0, None) + _ALMOST_NONE
            for sign in (1, -1)
        ]

    line = smooth(R, 5.0)
    sides = smooth(abs(differences(X, [-1.0, *[0.0] * (2 * _ASIDE - 1), 1.0])), 4.0)
    flank = of.maximum_filter1d(abs(differences(R, [-1.0, 1.0, 0.0])), 3, 1)
    peak = of.maximum_filter1d(R, 5, 1)
    thin = smooth(R, 3.0)
    details = stands_out(Y)
    followed, itself = (mean(u * R, 15, 0) for u in (stands_out(brightest), details))
    itself = itself + 1e-5  # which a line that does not stand out may make 0
    first, second, third = (around_each(R**power, _NEARBY) for power in (1, 2, 3))
    steep = of.maximum_filter1d(abs(differences(R, [-1.0, 1.0, 0.0], 0)), 3, 0)
    upright, level = (
        bright_and_dark(smooth(u, 3.0, axis))
        for axis, u in enumerate((details, stands_out(Y, axis=0)))
    )
    across, along = (differences(details, [-0.5, 0.0, 0.5], axis) for axis in (1, 0))
    leaning, steepness = (
        mean(mean((R + _FAINTEST) * across * u, _ENDS, 0), 3, 1) for u in (along, across)
    )
    ground = smooth(X, 5.0)
    darker = ground - of.minimum_filter1d(ground, 2 * _BESIDE + 1, 1)
    return Traits(
        crowd=_log_ratio(around.density, around.usual),
        busy=_log_ratio(around.busy, around.density),
        bright=_log_ratio(R, around.streak),
        edge=_log_ratio(sides, line),
        colour=clip(followed / xp.where(itself == 0, 1e-5, itself), -1, 2),
        long=_log_ratio(mean(R, _LONG_LINE, 0), mean(R, _LINE, 0)),
        sharp=_log_ratio(smooth(flank, 3.0), smooth(peak, 3.0)),
        wide=_log_ratio(mean(thin, _LINE, 1) * _LINE, of.maximum_filter1d(thin, _LINE, 1)),
        alike=xp.log((clip(third * first, 0, None) + _NOTHING) / (second**2 + _NOTHING)),
        ends=_log_ratio(mean(steep, _ENDS, 0), line),
        balance=xp.log(upright[0] / upright[1]),
        level=xp.log(level[0] / level[1]),
        prevailing=xp.log((upright[0] + upright[1]) / (level[0] + level[1])),
        askew=xp.log(abs(leaning) / (clip(steepness, 0, None) + _ALMOST_NONE) + 0.01),
        falling=_log_ratio(darker, line),
    )


def log_odds(what: Traits) -> Array:
    """Log-odds that a line is a streak: a regression on rain rendered over photographs.

    Parameters
    ----------
    what : Traits

    Returns
    -------
    array
        benchmarks/likeness.py fits the coefficients: a dozen tanh of sums, added up.
    """
    model, xp = _regression(), array_namespace(what.bright)
    scaled = [
        clip((trait - centre) / scale, -3, 3)
        for trait, centre, scale in zip(what, model["centre"], model["scale"], strict=True)
    ]
    total = xp.full_like(what.bright, model["bias"])
    for out, inner_bias, inner in zip(
        model["outer"], model["inner_bias"], model["inner"], strict=True
    ):
        angle = inner[0] * scaled[0] + inner_bias
        for weight, trait in zip(inner[1:], scaled[1:], strict=True):
            angle += weight * trait
        total += out * xp.tanh(angle)
    return total


def even_odds(looks: float = LOOKS, level: float = 1.0) -> float:
    """Log-odds at which a line of a picture is neither doubted nor trusted.

    Streaks of one rain are alike: where most of what is found surely is rain, a line that is less
    sure rather is none; where nothing is sure, as before dark trees, it may well be.

    Parameters
    ----------
    looks : float
        Mean log-odds of what is found in the picture (`udg.presence.Evidence`).
    level : float
        Rain level: the less sure it is that there is rain, the surer a line has to be.

    Returns
    -------
    float
        From −0.3 to 0.4; 0.4 for levels up to a half.
    """
    even = min(_MOST_EVEN, max(_LEAST_EVEN, _EVEN + _LIKE_MOST * looks))
    return _MOST_EVEN - max(0.0, 2 * level - 1) * (_MOST_EVEN - even)


def likeness(odds: Array, lam_r: float = RAIN_WEIGHTS.lam_r, even: float | None = None) -> Array:
    """Doubt of lines from their log-odds of being streaks; below 1 for those that surely are.

    Parameters
    ----------
    odds : array
        As of `log_odds`.
    lam_r : float
        Weight of the pass: the less of it, as in haze, the less sure a line needs to be. There
        is less to be lost.
    even : float, optional
        `even_odds` of the picture.

    Returns
    -------
    array
        In inverse proportion to the odds; from 0.1 to 30.
    """
    least, most = _LIKENESS
    even = even_odds() if even is None else even
    even += _CHEAPER * math.log(min(1.0, max(0.05, lam_r / RAIN_WEIGHTS.lam_r)))
    return array_namespace(odds).exp(clip(even - odds, math.log(least), math.log(most)))


def streak_odds(Y: Array, R: Array, brightest: Array, around: Surroundings) -> Array:
    """Log-odds that lines are streaks, their mean along each by its light.

    Parameters
    ----------
    Y, R, brightest, around
        As for `traits`.

    Returns
    -------
    array, shape (H, W)
    """
    of, light = ndimage_of(R), R + 1e-3
    odds = log_odds(traits(Y, R, brightest, around))
    total, weight = (
        of.gaussian_filter1d(u, _ONE_STREAK, 0, mode="nearest") for u in (odds * light, light)
    )
    return total / weight


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


def doubts(
    Y: Array,
    R: Array,
    brightest: Array,
    around: Surroundings,
    lam_r: float,
    even: float | None = None,
) -> Array:
    """All doubts after a pass, as a factor on lam_r.

    Parameters
    ----------
    Y, R, brightest, around
        As for `traits`.
    lam_r : float
        Weight of the pass.
    even : float, optional
        `even_odds` of the picture.

    Returns
    -------
    array, shape (H, W)
        Positive; below 1 for rain that is beyond doubt.
    """
    result = array_namespace(R).empty_like(R)
    for rows, part in bands(R.shape, _REACH):
        own = slice(rows.start - part.start, rows.stop - part.start)
        here = around.turned(itemgetter(part))
        odds = streak_odds(Y[part], R[part], brightest[part], here)
        looks = likeness(odds, lam_r, even)[own]
        doubt = here.doubt()[own] ** _BESIDE_LOOKS * clip(looks, 1, None)
        result[rows] = doubt * clip(looks, None, 1) * reweighting(R[rows], doubt, lam_r)
    return result


def _log_ratio(above: Array, below: Array | float) -> Array:
    xp = array_namespace(above)
    return xp.log((clip(above, 0, None) + _GREY_LEVELS) / (below + _GREY_LEVELS))


@cache
def _regression() -> dict[str, Any]:
    text = (files("udg") / "assets" / "likeness.json").read_text(encoding="utf-8")
    return dict(json.loads(text))


def _bilinear(coarse: Floats, rows: Floats, columns: Floats) -> Floats:
    """`coarse` at all pairs of fractional rows and columns, one axis after the other."""
    for axis, places in ((0, rows), (1, columns)):
        below = np.floor(places).astype(np.int64)
        above = np.minimum(below + 1, coarse.shape[axis] - 1)
        part = np.reshape(places - below, (-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        lower, upper = (np.take(coarse, index, axis=axis) for index in (below, above))
        coarse = (1 - part) * lower + part * upper
    return coarse
