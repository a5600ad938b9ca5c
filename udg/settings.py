"""What `udg.solve` and its tiled twins are asked for, and what is decided before they minimise.

`understood` checks the arguments and completes them by defaults; `for_picture` and `find_direction`
decide what belongs to a whole picture: weights, angle, rain level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from array_api_compat import array_namespace

from udg.admm import Alternating, Joint
from udg.backend import ndimage_of
from udg.doubt import LOOKS, even_odds
from udg.errors import InvalidInput
from udg.image import Light, Overview, PreparedImage, light_colour
from udg.iteration import Checkpoint, check_stopping
from udg.method import Method
from udg.objective import (
    PAPER_WEIGHTS,
    RAIN_WEIGHTS,
    STRIPE_WEIGHTS,
    Model,
    Problem,
    Weights,
)
from udg.operators import Boundary
from udg.primal_dual import PrimalDual
from udg.rotation import MOST_FAN

__all__ = [
    "MOST_LAYERS",
    "PAPER",
    "PASSES",
    "Direction",
    "Gauge",
    "Settings",
    "Streaks",
    "blend_in",
    "centre",
    "checked_count",
    "find_direction",
    "fineness",
    "for_picture",
    "for_rain",
    "frame_problem",
    "given_direction",
    "is_new",
    "light_of",
    "shortest_streak",
    "tolerance",
    "understood",
    "weights_for_streaks",
    "widest_streak",
]

Array = Any
Gauge = Literal["median", "mean"]
Streaks = Literal["rain", "stripes"]

#: The paper's model and method as keyword arguments: ``udg.solve(image, **udg.PAPER)``.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        **asdict(PAPER_WEIGHTS),
        "model": "signed",
        "method": "alternating",
        "boundary": "periodic",
        "gauge": "median",
        "angle_limit": 45.0,
        "fan": 0.0,
        "passes": 1,
        "streaks": "rain",
    }
)


class _Kind(NamedTuple):
    """What is done differently for rain and for stripes."""

    sign: Literal["bright", "both"]  # of the details that tell the angle
    fine: int  # samples a pixel across the streaks in the solved frame


_KINDS: Mapping[Streaks, _Kind] = MappingProxyType(
    {"rain": _Kind("bright", 1), "stripes": _Kind("both", 2)}
)

PASSES = 4  # in the rain model

# What `solve` takes for anything left unsaid, by model.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "rain": {
            **asdict(RAIN_WEIGHTS),
            "method": "primal-dual",
            "boundary": "reflecting",
            "gauge": "median",
            "angle_limit": 45.0,
            "fan": "auto",
            "passes": PASSES,
            "streaks": "rain",
        },
        "signed": {
            **asdict(STRIPE_WEIGHTS),
            "method": "primal-dual",
            "boundary": "reflecting",
            "gauge": "median",
            "angle_limit": 90.0,
            "fan": 0.0,
            "passes": 1,
            "streaks": "stripes",
        },
    }
)

_METHODS: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {"primal-dual": PrimalDual, "joint": Joint, "alternating": Alternating}
)

_FULL = 0.98  # light beside which rain cannot be told …
_THICK = 9  # … over so many pixels across
_DRAFT_TOL = 2e-2  # gap of all passes but the last
MOST_LAYERS = 4  # directions that n_layers="auto" takes out
_NEW_DIRECTION = 8.0  # degrees; nearer than this to an earlier one is the same rain
_LEVEL, _CONFIDENCE = 0.5, 0.45  # that another direction must have


# Weights in pixels. A bright line of width w and length L, alone in the picture, moves to the rain
# when that costs less: λr w L + 2 λx w < 2 λy L.


def widest_streak(weights: Weights) -> float:
    """Width in pixels from which on a line stays in the picture, however long it is.

    Parameters
    ----------
    weights : Weights

    Returns
    -------
    float
        ``2 lam_y / lam_r``; infinite where `lam_r` is 0.
    """
    return 2 * weights.lam_y / weights.lam_r if weights.lam_r else math.inf


def shortest_streak(weights: Weights, width: float = 1.0) -> float:
    """Length in pixels that a line of that width must exceed to move to the rain.

    Parameters
    ----------
    weights : Weights
    width : float
        In pixels.

    Returns
    -------
    float
        ``2 lam_x width / (2 lam_y − lam_r width)``; infinite from `widest_streak` on.
    """
    left = 2 * weights.lam_y - weights.lam_r * width
    return 2 * weights.lam_x * width / left if left > 0 else math.inf


def weights_for_streaks(
    weights: Weights, widest: float | None = None, shortest: float | None = None
) -> Weights:
    """Choose `lam_r` and `lam_x` by the streaks that are taken, in pixels.

    Parameters
    ----------
    weights : Weights
        `tau` and `lam_y` remain, and what is not asked for.
    widest : float, optional
        What `widest_streak` shall be: `lam_r` follows from it. More than 1; infinity makes `lam_r`
        zero.
    shortest : float, optional
        What `shortest_streak` of a line one pixel wide shall be: `lam_x` follows from it. By
        default it stays as it is if `widest` is given.

    Returns
    -------
    Weights

    Raises
    ------
    InvalidInput
        `widest` or `shortest` is outside its range, or no line of one pixel would be taken.

    Examples
    --------
    >>> from udg import RAIN_WEIGHTS
    >>> weights_for_streaks(RAIN_WEIGHTS, widest=20, shortest=6).lam_r
    0.005
    """
    if shortest is None:
        shortest = shortest_streak(weights)
    elif not _is_number(shortest) or not 0 <= shortest < math.inf:
        raise InvalidInput(f"shortest is {shortest!r}; give pixels, a number that is at least 0")
    if widest is None:
        widest = widest_streak(weights)
    elif not _is_number(widest) or not widest > 1:
        raise InvalidInput(f"widest is {widest!r}; give pixels, a number above 1")
    if widest <= 1 or shortest == math.inf or weights.lam_y == 0:
        raise InvalidInput(
            "with these weights no line of one pixel is taken, whatever its length; "
            "raise lam_y, or lower lam_r"
        )
    lam_r = 2 * weights.lam_y / widest
    return replace(weights, lam_r=lam_r, lam_x=shortest * (weights.lam_y - lam_r / 2))


@dataclass(frozen=True)
class Settings:
    """What `solve` was asked for, checked and completed by defaults."""

    weights: Weights
    follow_contrast: bool
    follow_haze: bool
    model: Model
    boundary: Boundary
    gauge: Gauge
    angle_limit: float
    fan: float | Literal["auto"]
    kind: _Kind
    rain_level: float | Literal["auto"]
    passes: int  # of a round
    rounds: int  # each goes on with what the ones before left
    method: Method
    tol: float
    max_iter: int
    history: bool
    callback: Callable[[Checkpoint], bool | None] | None
    light: Light | None = None  # of the picture, if it is coloured (`udg.image.light_colour`)
    later: Weights | None = None  # of rounds after the first, if others than `weights`
    eager: bool = True  # in the first of two passes
    even: float | None = None  # `udg.doubt.even_odds` of the picture

    def for_rest(self) -> Settings:
        """Settings for what a round left: there is less to be found, and more to be spared."""
        return replace(self, weights=self.later or self.weights, eager=False)


class Asked(NamedTuple):
    """What `solve` was asked for, and of which directions.

    Attributes
    ----------
    settings : Settings
    angles : list of float or "auto"
        One for each layer that there may be.
    while_new : bool
        Whether to stop where a layer's direction is not new.
    """

    settings: Settings
    angles: list[float | Literal["auto"]]
    while_new: bool


class Direction(NamedTuple):
    """Where streaks point, how sure that is, whether and how much it rains, how they converge.

    The amount is the light to be expected of rain: its mean, if it is rain, times the level. It is
    0 where it was not judged. The fan is that of `udg.rotation.rotate`, and the degrees are those
    in the picture's centre. Looks are the mean log-odds of what may be rain, as in
    `udg.presence.Evidence`.
    """

    degrees: float
    confidence: float | None
    level: float
    amount: float = 0.0
    fan: float = 0.0
    looks: float = LOOKS


def understood(
    weights: Mapping[str, float | None],
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    n_layers: int | Literal["auto"] | None = None,
    *,
    widest: float | None = None,
    shortest: float | None = None,
    strength: float = 0.5,
    model: Model | None = None,
    streaks: Streaks | None = None,
    angle_limit: float | None = None,
    fan: float | Literal["auto"] | None = None,
    rain_level: float | Literal["auto"] = "auto",
    passes: int | None = None,
    method: str | Method | None = None,
    boundary: Boundary | None = None,
    gauge: Gauge | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Asked:
    """Check and complete what `solve` was asked for."""
    paper = method == "alternating" or isinstance(method, Alternating)
    if paper and model in (None, "signed"):
        model, defaults = "signed", PAPER
    else:
        model = model or "rain"
        _one_of("model", model, get_args(Model))
        defaults = _DEFAULTS[model]

    def chosen(name: str, value: Any) -> Any:
        return defaults[name] if value is None else value

    for size, given in (("widest", "lam_r"), ("shortest", "lam_x")):
        if {"widest": widest, "shortest": shortest}[size] is not None and weights[
            given
        ] is not None:
            raise InvalidInput(f"{size} decides {given}; give one of them")
    chosen_weights = Weights(*(chosen(name, value) for name, value in weights.items()))
    if widest is not None or shortest is not None:
        chosen_weights = weights_for_streaks(chosen_weights, widest, shortest)
    chosen_method = _method(chosen("method", method))
    all_passes = checked_count("passes", chosen("passes", passes), 1)
    settings = Settings(
        weights=chosen_weights.with_strength(strength),
        follow_contrast=model == "rain" and all(value is None for value in weights.values()),
        follow_haze=widest is None and shortest is None,
        model=model,
        boundary=_one_of("boundary", chosen("boundary", boundary), get_args(Boundary)),
        gauge=_one_of("gauge", chosen("gauge", gauge), get_args(Gauge)),
        angle_limit=chosen("angle_limit", angle_limit),
        fan=_fan(chosen("fan", fan)),
        kind=_KINDS[_one_of("streaks", chosen("streaks", streaks), get_args(Streaks))],
        rain_level=rain_level,
        passes=min(all_passes, 2),
        rounds=max(all_passes // 2, 1),
        method=chosen_method,
        tol=tol,
        max_iter=chosen_method.default_max_iter if max_iter is None else max_iter,
        history=history,
        callback=callback,
    )
    check_stopping(settings.tol, settings.max_iter)
    if model == "rain" and settings.kind != _KINDS["rain"]:
        raise InvalidInput("streaks='stripes' is for model='signed': rain only adds light")
    if model == "signed" and all_passes > 1:
        raise InvalidInput("passes above 1 are for model='rain': they doubt what is not even rain")
    if all_passes > 1 and all_passes % 2:
        raise InvalidInput(
            f"passes is {all_passes}; give 1 or an even number: "
            "every second pass doubts what the one before it found"
        )
    several = isinstance(angle, Sequence) and not isinstance(angle, str)
    angles: list[Any] = list(angle) if several else [angle]  # type: ignore[arg-type]
    if not angles:
        raise InvalidInput("angle is empty; give at least one number, or 'auto'")
    if n_layers is None:
        judged = model == "rain" and angles == ["auto"] and rain_level == "auto"
        n_layers = "auto" if judged else 1
    if n_layers == "auto" and angles == ["auto"]:
        return Asked(settings, angles * MOST_LAYERS, while_new=True)
    count = checked_count("n_layers", n_layers, 1)
    if count != 1 and angles != ["auto"]:
        raise InvalidInput("n_layers is for angle='auto'; given angles are as many layers already")
    return Asked(settings, angles * count, while_new=False)


def for_picture(settings: Settings, image: PreparedImage | Overview) -> Settings:
    """The colour of a picture's light, and weights for its contrast unless they were given."""
    if settings.model == "rain":
        settings = replace(settings, light=light_colour(image.thumbnail))
    if not settings.follow_contrast:
        return settings
    from udg.presence import adapted

    # Haze makes streaks wide; what is wide and left after a round is haze. Nor does it pour then.
    wide, narrow = (
        adapted(settings.weights, image, widen=widen, light=settings.light)
        for widen in (settings.follow_haze, False)
    )
    return replace(settings, weights=wide, later=narrow)


def for_rain(settings: Settings, level: float, amount: float, looks: float) -> Settings:
    """Settings for the rain that was found, as in `Direction`.

    Weights are for its amount (`presence.heavier`), unless they or sizes were given.
    """
    settings = replace(settings, even=even_odds(looks, level))
    if not (settings.follow_contrast and settings.follow_haze):
        return settings
    from udg.presence import heavier

    return replace(settings, weights=heavier(settings.weights, amount))


def find_direction(
    image: PreparedImage | Overview, settings: Settings, angle: float | Literal["auto"]
) -> Direction:
    """The angle and the fan, estimated if asked for, and the rain level."""
    if angle != "auto":
        return given_direction(settings, angle)
    from udg.angle import estimate_angle, estimate_fan

    luma, limit, level, fan = image.luma(), settings.angle_limit, settings.rain_level, settings.fan
    whole = estimate_angle(luma, limit=limit, sign=settings.kind.sign)
    degrees, confidence = whole
    if fan == "auto":
        degrees, fan = estimate_fan(luma, whole, limit=limit)
    if settings.model != "rain" or level != "auto":
        return Direction(degrees, confidence, _level(level), fan=fan)
    from udg.presence import evidence, level_of

    found = evidence(image, degrees, confidence, settings.light, fan)
    level = level_of(found.score, found.amount)
    return Direction(degrees, confidence, level, level * found.amount, fan, found.looks)


def given_direction(settings: Settings, angle: float) -> Direction:
    """An angle that was given, if it can be one of rain."""
    if isinstance(angle, (str, bool)) or not math.isfinite(angle):
        raise InvalidInput(f"angle is {angle!r}; give degrees clockwise from vertical, or 'auto'")
    if settings.model == "rain" and abs(angle) > 45:
        raise InvalidInput(
            f"angle is {angle:g}°, but rain lies within ±45°; "
            "for stripes in any direction use model='signed'"
        )
    fan = 0.0 if settings.fan == "auto" else settings.fan
    return Direction(float(angle), None, _level(settings.rain_level), fan=fan)


def is_new(direction: Direction, earlier: Sequence[float]) -> bool:
    """Whether rain was found that is surely not what is left of the layers before."""
    if not earlier:
        return True
    known = any(abs(direction.degrees - angle) < _NEW_DIRECTION for angle in earlier)
    assert direction.confidence is not None
    return not known and direction.level >= _LEVEL and direction.confidence >= _CONFIDENCE


def light_of(image: PreparedImage, settings: Settings) -> Array:
    """The plane that is decomposed."""
    return image.darkest(settings.light) if settings.model == "rain" else image.luma()


def blend_in(settings: Settings, thumbnail: Array, rain: Array) -> float:
    """How much of a screen blend a picture's rain is (`udg.blend.blend_of`), both as thumbnails.

    0 where nothing can be told from colours: stripes, coloured light.
    """
    if settings.model != "rain" or settings.light is not None or not rain.any():
        return 0.0
    from udg.blend import blend_of

    return blend_of(thumbnail, rain)


def fineness(settings: Settings, degrees: float, fan: float = 0.0) -> int:
    """How many samples a pixel the frame has across the streaks."""
    return settings.kind.fine if degrees % 90 or fan else 1  # quarter turns interpolate nothing


def frame_problem(Y: Array, settings: Settings, fine: int) -> Problem:
    """What is to be minimised in a frame."""
    # Differences across shrink with the samples' distance; the weight keeps its meaning.
    weights = replace(settings.weights, lam_y=fine * settings.weights.lam_y)
    problem = Problem(Y, weights, settings.model, settings.boundary)
    if settings.model != "rain":
        return problem
    # Before a lamp or a white sky rain does not show; a thin streak may be as bright.
    xp, of = array_namespace(Y), ndimage_of(Y)
    full = of.minimum_filter1d(Y, _THICK * fine, axis=1, mode="nearest") >= _FULL
    if not bool(xp.any(full)):
        return problem
    return replace(problem, ceiling=xp.where(full, xp.zeros_like(Y), Y))


def tolerance(settings: Settings, *, last: bool) -> float:
    """The gap to stop at: what only raises doubts need not be exact."""
    return settings.tol if last else max(settings.tol, _DRAFT_TOL)


def centre(rain: Array, gauge: Gauge) -> Array:
    """Median or mean. The median by sorting, which every array namespace can."""
    xp = array_namespace(rain)
    if gauge == "mean":
        return xp.mean(rain)
    ordered = xp.sort(xp.reshape(rain, (-1,)))
    middle = ordered.shape[0] // 2
    return 0.5 * (ordered[middle] + ordered[-middle - 1])


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise InvalidInput(f"{name} is {value!r}; give one of {', '.join(map(repr, allowed))}")
    return value


def checked_count(name: str, value: Any, least: int) -> int:
    """The value, if it is a whole number of at least so much."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} is {value!r}; give a whole number that is at least {least}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _fan(fan: Any) -> float | Literal["auto"]:
    if fan == "auto":
        return "auto"
    if not _is_number(fan) or not abs(fan) <= MOST_FAN:
        raise InvalidInput(f"fan is {fan!r}; give degrees within ±{MOST_FAN:g}, or 'auto'")
    return float(fan)


def _level(level: float | str) -> float:
    if level == "auto":
        return 1.0
    if isinstance(level, (str, bool)) or not 0 <= level <= 1:
        raise InvalidInput(f"rain_level is {level!r}; give a number in [0, 1], or 'auto'")
    return float(level)


def _method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    _one_of("method", method, tuple(_METHODS))
    return _METHODS[method]()
