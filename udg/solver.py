"""From an image to its decomposition: the public `solve`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from array_api_compat import array_namespace

from udg.admm import Alternating, Joint
from udg.certificate import Duals
from udg.errors import InvalidInput
from udg.image import DataRange, PreparedImage, prepare
from udg.iteration import Checkpoint, Minimum, Reason, check_stopping, minimize
from udg.method import Estimate, Method
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
from udg.rotation import rotate, unrotate

__all__ = ["PAPER", "Result", "Solved", "solve"]

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

# What `solve` takes for anything left unsaid, by model.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "rain": {
            **asdict(RAIN_WEIGHTS),
            "method": "primal-dual",
            "boundary": "reflecting",
            "gauge": "median",
            "angle_limit": 45.0,
            "passes": 2,
            "streaks": "rain",
        },
        "signed": {
            **asdict(STRIPE_WEIGHTS),
            "method": "primal-dual",
            "boundary": "reflecting",
            "gauge": "median",
            "angle_limit": 90.0,
            "passes": 1,
            "streaks": "stripes",
        },
    }
)

_METHODS: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {"primal-dual": PrimalDual, "joint": Joint, "alternating": Alternating}
)

_DRAFT_TOL = 2e-2  # gap of all passes but the last
_MOST_LAYERS = 4  # directions that n_layers="auto" takes out
_NEW_DIRECTION = 8.0  # degrees; nearer than this to an earlier one is the same rain
_SURE = 0.5  # rain level that another direction must have


class Solved(NamedTuple):
    """The frame that was solved: light turned so that streaks are vertical, padded.

    Attributes
    ----------
    problem : Problem
        All that defines the minimum: ``problem.energy(X, R)`` is the result's objective.
    X, R : arrays
        The frame's background and rain.
    duals : Duals
        They prove the gap (`udg.certificate.dual_bound`) and let a later run start from here.
    """

    problem: Problem
    X: Array
    R: Array
    duals: Duals

    @property
    def Y(self) -> Array:
        """The frame's light."""
        return self.problem.Y


@dataclass(frozen=True)
class Result:
    """A decomposed image.

    Attributes
    ----------
    derained : array, float32, the image's shape
        Image minus rain in every colour channel, in the image's range, never resampled.
    rain, background : array, float32, shape (H, W)
        R and X in the image's frame; 1 is full light. X is that of the light that was solved: the
        darkest channel in the rain model, luma in the signed one.
    rain_level : float
        In [0, 1]: 0 is no rain (nothing is taken), 1 rain without a doubt.
    angle : float
        Direction of the streaks, degrees clockwise from vertical.
    confidence : float or None
        That of the estimated angle (`udg.estimate_angle`); None if the angle was given.
    weights : Weights
        For differences between the image's pixels. A frame that is finer across (stripes) is
        solved with `lam_y` times as large; ``solved.problem.weights`` has that.
    model : {"rain", "signed"}
    objective : float
        Energy of X and R in the solved frame.
    gap : float
        Proven bound on (E − E*) / E, where E* is the minimum in the solved frame.
    iterations : int
    seconds : float
        Time spent iterating.
    reason : {"gap", "max_iter", "callback"}
        Why the iteration stopped.
    history : tuple of Checkpoint
        Of the last pass; empty unless asked for.
    solved : Solved
        Problem, X, R and duals of the frame that was solved in the last pass.
    layers : tuple of Result
        One a direction if rain of several was asked for, each from what the one before left;
        ``derained``, ``rain`` and ``background`` are then of all together, and everything else of
        the first. Empty for a single direction.
    """

    derained: Array = field(repr=False)
    rain: Array = field(repr=False)
    background: Array = field(repr=False)
    rain_level: float
    angle: float
    confidence: float | None
    weights: Weights
    model: Model
    objective: float
    gap: float
    iterations: int
    seconds: float
    reason: Reason
    history: tuple[Checkpoint, ...] = field(repr=False)
    solved: Solved = field(repr=False)
    layers: tuple[Result, ...] = field(default=(), repr=False)


class _Direction(NamedTuple):
    """Where the streaks point, how sure that is, and how much rain there is."""

    degrees: float
    confidence: float | None
    level: float


@dataclass(frozen=True)
class _Settings:
    """What `solve` was asked for, checked and completed by defaults."""

    weights: Weights
    model: Model
    boundary: Boundary
    gauge: Gauge
    angle_limit: float
    kind: _Kind
    rain_level: float | Literal["auto"]
    passes: int
    method: Method
    tol: float
    max_iter: int
    history: bool
    callback: Callable[[Checkpoint], bool | None] | None


def solve(
    image: Array,
    tau: float | None = None,
    lam_x: float | None = None,
    lam_y: float | None = None,
    *,
    lam_r: float | None = None,
    strength: float = 0.5,
    model: Model | None = None,
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    angle_limit: float | None = None,
    n_layers: int | Literal["auto"] = 1,
    rain_level: float | Literal["auto"] = "auto",
    passes: int | None = None,
    method: str | Method | None = None,
    boundary: Boundary | None = None,
    gauge: Gauge | None = None,
    streaks: Streaks | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
    data_range: DataRange | None = None,
    warm_start: Result | None = None,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Result:
    """Take rain streaks (or stripes) out of one image.

    The image's light is turned so that streaks are vertical and decomposed into background X and
    rain R by minimising Eq. 3 (`udg.objective`); R is turned back and subtracted from the image.
    For rain, the light is the darkest colour channel, the picture is first asked whether there is
    rain at all, and a second pass doubts rain that is uneven or outweighed by the scene's details,
    and frees the rest from the penalty's bias (`udg.presence`).

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        uint8, uint16, or float in [0, 1]; grey, RGB, either with alpha, or bands. NumPy or CuPy.
    tau, lam_x, lam_y, lam_r : float, optional
        Weights for values in [0, 1]; see `Weights` for the direction in which each pushes. Default:
        those of `RAIN_WEIGHTS`, less in pictures of little contrast if none is given
        (`udg.presence.contrast`), or, for ``model="signed"``, of `STRIPE_WEIGHTS`.
    strength : float
        In [0, 1]: moves along the ratio lam_x : lam_y. Higher removes more streaks and more
        details; 0.5 keeps the weights as they are (`Weights.with_strength`).
    model : {"rain", "signed"}, optional
        ``"rain"`` (default): rain only adds light, 0 ≤ R ≤ Y, and is sparse (`lam_r` > 0).
        ``"signed"``: Eq. 3 as printed, R of any sign; for stripes.
    angle : float, "auto" or sequence of float
        Degrees clockwise from vertical; a streak like ``/`` is positive. ``"auto"`` estimates it.
        A sequence takes out rain of several directions, one after the other.
    angle_limit : float, optional
        Largest angle that ``"auto"`` considers; default 45 for rain, 90 for ``"signed"``.
    n_layers : int or "auto"
        With ``angle="auto"`` (given angles are as many layers as they are): how many directions
        of rain to take out, one after the other. ``"auto"`` goes on, at most to 4, while what is
        left still shows rain in a new direction.
    rain_level : float or "auto"
        Rain model: how sure it is, in [0, 1], that there is rain. 0 leaves the picture as it is;
        less than 1 takes only what stands out. ``"auto"`` judges it from the picture, or takes 1
        if an angle is given.
    passes : int, optional
        Rain model: how often to solve, each time with doubts from the pass before. Default 2; 1
        solves the plain convex problem. The signed model has one.
    method : {"primal-dual", "joint", "alternating"} or Method, optional
        By name, or with options: ``udg.Joint(along=8)``. All reach the same minimum; default
        ``"primal-dual"``. ``"alternating"`` is the paper's, slow, and makes the paper's model the
        default (`PAPER`).
    boundary : {"reflecting", "periodic"}, optional
        How the solved frame goes on beyond its edges; default reflecting.
    gauge : {"median", "mean"}, optional
        Signed model: which statistic of ``rain`` is made zero, for Eq. 3 does not tell a constant
        in R from one in X. Default ``"median"``: most of a picture is taken to be free of rain
        or stripes; ``"mean"`` keeps the picture's mean. In the rain model `lam_r` decides, and
        this is not used.
    streaks : {"rain", "stripes"}, optional
        What the signed model looks for. ``"stripes"`` (its default): the angle is found from
        details of both signs, and the frame is twice as fine across them. ``"rain"``: from bright
        details, in a frame of the picture's own resolution, as in the rain model and in `PAPER`.
    tol : float
        Stop when the gap, a proven bound on the relative distance from the minimum, is at most
        this.
    max_iter : int, optional
        Stop after so many iterations anyway, of all passes together. Default: the method's own.
    data_range : float or (float, float), optional
        Value of full light, or of none and full; see `udg.image.prepare`.
    warm_start : Result, optional
        Start from an earlier result of the same image shape and angle.
    history : bool
        Keep a `Checkpoint` at each look at the gap.
    callback : callable, optional
        Called with each `Checkpoint`; a true answer stops the iteration.

    Returns
    -------
    Result

    Raises
    ------
    InvalidImage
        The image has a type, shape or values that cannot be used.
    InvalidInput
        Any other argument is outside its range.

    References
    ----------
    .. [1] C. Yu, Y. Chang, Y. Li, X. Zhao, L. Yan, "Unsupervised image deraining: optimization
       model driven deep CNN", ACM Multimedia 2021.

    Examples
    --------
    >>> import numpy as np, udg
    >>> clean = np.full((64, 64), 0.4, dtype=np.float32)
    >>> rainy = udg.synthesize(clean, angle=10, seed=1).rainy
    >>> result = udg.solve(rainy, angle=10)
    >>> bool(np.abs(result.derained - clean).mean() < 0.3 * np.abs(rainy - clean).mean())
    True
    """
    paper = method == "alternating" or isinstance(method, Alternating)
    if paper and model in (None, "signed"):
        model, defaults = "signed", PAPER
    else:
        model = model or "rain"
        _one_of("model", model, get_args(Model))
        defaults = _DEFAULTS[model]

    def chosen(name: str, value: Any) -> Any:
        return defaults[name] if value is None else value

    given = {"tau": tau, "lam_x": lam_x, "lam_y": lam_y, "lam_r": lam_r}
    weights = Weights(*(chosen(name, value) for name, value in given.items()))
    chosen_method = _method(chosen("method", method))
    settings = _Settings(
        weights=weights.with_strength(strength),
        model=model,
        boundary=_one_of("boundary", chosen("boundary", boundary), get_args(Boundary)),
        gauge=_one_of("gauge", chosen("gauge", gauge), get_args(Gauge)),
        angle_limit=chosen("angle_limit", angle_limit),
        kind=_KINDS[_one_of("streaks", chosen("streaks", streaks), get_args(Streaks))],
        rain_level=rain_level,
        passes=_count("passes", chosen("passes", passes), 1),
        method=chosen_method,
        tol=tol,
        max_iter=chosen_method.default_max_iter if max_iter is None else max_iter,
        history=history,
        callback=callback,
    )
    check_stopping(settings.tol, settings.max_iter)
    if model == "rain" and settings.kind != _KINDS["rain"]:
        raise InvalidInput("streaks='stripes' is for model='signed': rain only adds light")
    if model == "signed" and settings.passes > 1:
        raise InvalidInput("passes above 1 are for model='rain': they doubt what is not even rain")
    prepared = prepare(image, data_range)
    if model == "rain" and all(value is None for value in given.values()):
        from udg.presence import contrast

        settings = replace(settings, weights=settings.weights.scaled(contrast(prepared)))
    several = isinstance(angle, Sequence) and not isinstance(angle, str)
    angles: list[Any] = list(angle) if several else [angle]  # type: ignore[arg-type]
    if not angles:
        raise InvalidInput("angle is empty; give at least one number, or 'auto'")
    if n_layers != "auto":
        _count("n_layers", n_layers, 1)
    if n_layers != 1 and angles != ["auto"]:
        raise InvalidInput("n_layers is for angle='auto'; given angles are as many layers already")
    if warm_start is not None and (n_layers != 1 or len(angles) > 1):
        raise InvalidInput("warm_start is for one direction; leave it out with several")
    if angles == ["auto"] and n_layers != 1:
        return _together(_found_layers(prepared, settings, n_layers))
    if len(angles) == 1:
        return _layer(prepared, settings, _direction(prepared, settings, angles[0]), warm_start)
    return _together(_given_layers(prepared, settings, angles))


def _layer(
    image: PreparedImage,
    settings: _Settings,
    direction: _Direction,
    warm_start: Result | None = None,
) -> Result:
    """Decompose for one direction."""
    light = image.darkest() if settings.model == "rain" else image.luma()
    degrees = direction.degrees
    fine = settings.kind.fine if degrees % 90 else 1  # quarter turns interpolate nothing
    problem = Problem(
        rotate(light, degrees, fine),
        # Differences across shrink with the samples' distance; the weight keeps its meaning.
        replace(settings.weights, lam_y=fine * settings.weights.lam_y),
        settings.model,
        settings.boundary,
    )
    start = None if warm_start is None else _earlier(warm_start, problem)
    problem, minimum = _passes(problem, settings, direction.level, min(light.shape), start)
    X, R, duals = minimum.estimate
    rain, background = (unrotate(layer, degrees, light.shape, fine) for layer in (R, X))
    if settings.model == "signed":
        shift = _centre(rain, settings.gauge)
        rain, background = rain - shift, background + shift
    return Result(
        derained=image.subtract(rain),
        rain=rain,
        background=background,
        rain_level=direction.level,
        angle=degrees,
        confidence=direction.confidence,
        weights=settings.weights,
        model=settings.model,
        objective=minimum.objective,
        gap=minimum.gap,
        iterations=minimum.iterations,
        seconds=minimum.seconds,
        reason=minimum.reason,
        history=minimum.history,
        solved=Solved(problem, X, R, duals),
    )


def _passes(
    problem: Problem,
    settings: _Settings,
    level: float,
    shorter_side: int,
    start: Estimate | None,
) -> tuple[Problem, Minimum]:
    """Solve once or, in the rain model, again with the doubts that the pass before raised."""
    from udg.presence import caution, reweighting, suspicion

    xp = array_namespace(problem.Y)
    passes, doubt = settings.passes, 1.0
    if settings.model == "rain" and level == 0:
        problem = replace(problem, ceiling=xp.zeros_like(problem.Y))
        passes = 1
    elif settings.model == "rain" and level < 1:
        doubt = caution(level)
        problem = replace(problem, doubt=xp.full_like(problem.Y, doubt))
    iterations, seconds = 0, 0.0
    for left in reversed(range(passes)):
        minimum = minimize(
            problem,
            settings.method,
            # What only raises doubts need not be exact.
            tol=settings.tol if left == 0 else max(settings.tol, _DRAFT_TOL),
            max_iter=settings.max_iter - iterations,
            warm_start=start,
            history=settings.history,
            callback=settings.callback,
        )
        iterations, seconds = iterations + minimum.iterations, seconds + minimum.seconds
        if left == 0 or minimum.reason != "gap":
            break
        R, start = minimum.estimate.R, minimum.estimate
        suspect = suspicion(R, problem.Y - R, shorter_side)
        places = doubt * suspect * reweighting(R, suspect, settings.weights.lam_r)
        problem = replace(problem, doubt=xp.astype(places, R.dtype))
    return problem, minimum._replace(iterations=iterations, seconds=seconds)


def _direction(
    image: PreparedImage, settings: _Settings, angle: float | Literal["auto"]
) -> _Direction:
    """The angle, estimated if asked for, and the rain level."""
    level = settings.rain_level
    if angle == "auto":
        from udg.angle import estimate_angle

        degrees, confidence = estimate_angle(
            image.luma(), limit=settings.angle_limit, sign=settings.kind.sign
        )
        if settings.model == "rain" and level == "auto":
            from udg.presence import evidence, level_of

            level = level_of(evidence(image, degrees, confidence).score)
        return _Direction(degrees, confidence, _level(level))
    if isinstance(angle, (str, bool)) or not math.isfinite(angle):
        raise InvalidInput(f"angle is {angle!r}; give degrees clockwise from vertical, or 'auto'")
    if settings.model == "rain" and abs(angle) > 45:
        raise InvalidInput(
            f"angle is {angle:g}°, but rain lies within ±45°; "
            "for stripes in any direction use model='signed'"
        )
    return _Direction(float(angle), None, _level(level))


def _given_layers(
    image: PreparedImage, settings: _Settings, angles: Sequence[float | Literal["auto"]]
) -> list[Result]:
    """One layer a given angle, each from what the one before left."""
    results: list[Result] = []
    for angle in angles:
        results.append(_layer(image, settings, _direction(image, settings, angle)))
        image = replace(image, pixels=results[-1].derained)
    return results


def _found_layers(
    image: PreparedImage, settings: _Settings, count: int | Literal["auto"]
) -> list[Result]:
    """Layers in the directions that are found one after the other."""
    results: list[Result] = []
    while len(results) < (_MOST_LAYERS if count == "auto" else count):
        direction = _direction(image, settings, "auto")
        known = any(abs(direction.degrees - r.angle) < _NEW_DIRECTION for r in results)
        if count == "auto" and results and (known or direction.level < _SURE):
            break
        results.append(_layer(image, settings, direction))
        image = replace(image, pixels=results[-1].derained)
    return results


def _together(layers: list[Result]) -> Result:
    """The result of all layers; see `Result.layers`."""
    first, last = layers[0], layers[-1]
    rain = first.rain
    for layer in layers[1:]:
        rain = rain + layer.rain
    return replace(
        first,
        derained=last.derained,
        rain=rain,
        background=last.background,
        layers=tuple(layers),
    )


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise InvalidInput(f"{name} is {value!r}; give one of {', '.join(map(repr, allowed))}")
    return value


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} is {value!r}; give a whole number that is at least {least}")
    return value


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


def _earlier(result: Result, problem: Problem) -> Estimate:
    shape, wanted = tuple(result.solved.Y.shape), tuple(problem.Y.shape)
    if shape != wanted:
        raise InvalidInput(
            f"warm_start was solved in a frame of {shape[0]}×{shape[1]}, this image in one of "
            f"{wanted[0]}×{wanted[1]}; give a result of the same image shape and angle"
        )
    return Estimate(result.solved.X, result.solved.R, result.solved.duals)


def _centre(rain: Array, gauge: Gauge) -> Array:
    """Median or mean. The median by sorting, which every array namespace can."""
    xp = array_namespace(rain)
    if gauge == "mean":
        return xp.mean(rain)
    ordered = xp.sort(xp.reshape(rain, (-1,)))
    middle = ordered.shape[0] // 2
    return 0.5 * (ordered[middle] + ordered[-middle - 1])
