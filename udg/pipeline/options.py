"""What the pipeline is asked for: arguments, checked and completed by defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from udg.admm import Alternating, Joint
from udg.detection.parameters import Reweighting, reweighting_parameters
from udg.errors import InvalidInput
from udg.imaging.geometry import MAX_CONVERGENCE
from udg.model.energy import PAPER_WEIGHTS, RAIN_WEIGHTS, STRIPE_WEIGHTS, Model, Weights
from udg.model.operators import Boundary
from udg.model.sizes import is_number, weights_for_streaks
from udg.optim.loop import check_stopping
from udg.optim.method import Method
from udg.primal_dual import PrimalDual

__all__ = [
    "MAX_LAYERS",
    "MIN_WORKING_SCALE",
    "PAPER",
    "STAGES",
    "Gauge",
    "Options",
    "Request",
    "Streaks",
    "checked_angle",
    "checked_count",
    "resolve",
]

Gauge = Literal["median", "mean"]
Streaks = Literal["rain", "stripes"]
Asked = float | Literal["auto"]  # an angle

#: The paper's model and method as keyword arguments: ``udg.solve(image, **udg.PAPER)``.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        **asdict(PAPER_WEIGHTS),
        "model": "signed",
        "method": "alternating",
        "boundary": "periodic",
        "gauge": "median",
        "angle_limit": 45.0,
        "convergence": 0.0,
        "stages": 1,
        "streaks": "rain",
    }
)

STAGES = 2  # in the rain model
MAX_LAYERS = 4  # directions that n_layers="auto" takes out
MIN_WORKING_SCALE = 1 / 16


class _Kind(NamedTuple):
    """What is done differently for rain and for stripes."""

    sign: Literal["bright", "both"]  # of the details that tell the angle
    oversampling: int  # samples a pixel across the streaks in the solved frame


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
            "convergence": "auto",
            "stages": STAGES,
            "streaks": "rain",
        },
        "signed": {
            **asdict(STRIPE_WEIGHTS),
            "method": "primal-dual",
            "boundary": "reflecting",
            "gauge": "median",
            "angle_limit": 90.0,
            "convergence": 0.0,
            "stages": 1,
            "streaks": "stripes",
        },
    }
)

_METHODS: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {"primal-dual": PrimalDual, "joint": Joint, "alternating": Alternating}
)


@dataclass(frozen=True)
class Options:
    """What was asked for of every picture, completed by defaults; no finding of any picture.

    Attributes
    ----------
    weights : Weights
        For a clear picture, moved by ``strength``.
    follow_contrast : bool
        Whether the weights follow the picture's contrast: none of them was given.
    follow_haze : bool
        Whether the widest streak may grow in haze and heavy rain: no size was given.
    exact : bool
        tau, lam_x and lam_y were given: the energy of Eq. 3 with these is minimised, and nothing
        that was found in the picture changes it.
    model : {"rain", "signed"}
    boundary : {"reflecting", "periodic"}
    gauge : {"median", "mean"}
    angle_limit : float
        Degrees.
    convergence : float or "auto"
        Degrees.
    sign : {"bright", "both"}
        Of the details that tell the angle.
    oversampling : int
        Samples a pixel across the streaks, where the frame is interpolated.
    rain_level : float or "auto"
    stages : int
        1, or an even number.
    method : Method
    tol : float
        Gap of the last stage of a round.
    max_iter : int
        Iterations of a round.
    reweighting : Reweighting
        How one stage weighs the ℓ1 norm of the next.
    angle_per_window : bool
        Whether each window looks for its own angle.
    step : int or None
        Pixels of the picture, along a side, that are one of the copy in which the rain is solved;
        None: as many as the streaks' width asks for.
    """

    weights: Weights
    follow_contrast: bool
    follow_haze: bool
    exact: bool
    model: Model
    boundary: Boundary
    gauge: Gauge
    angle_limit: float
    convergence: float | Literal["auto"]
    sign: Literal["bright", "both"]
    oversampling: int
    rain_level: float | Literal["auto"]
    stages: int
    method: Method
    tol: float
    max_iter: int
    reweighting: Reweighting
    angle_per_window: bool = False
    step: int | None = 1


class Request(NamedTuple):
    """What the pipeline is asked for.

    Attributes
    ----------
    options : Options
    angles : list of float or "auto"
        One for each layer that there may be.
    while_new : bool
        Whether to stop where a layer's direction is not new.
    """

    options: Options
    angles: list[Asked]
    while_new: bool = False


def resolve(
    angle: Asked | Sequence[float] = "auto",
    n_layers: int | Literal["auto"] | None = None,
    *,
    tau: float | None = None,
    lam_x: float | None = None,
    lam_y: float | None = None,
    lam_r: float | None = None,
    widest: float | None = None,
    shortest: float | None = None,
    strength: float = 0.5,
    model: Literal["rain", "signed", "stripes"] | None = None,
    streaks: Streaks | None = None,
    angle_limit: float | None = None,
    convergence: float | Literal["auto"] | None = None,
    rain_level: float | Literal["auto"] = "auto",
    stages: int | None = None,
    working_scale: float | Literal["auto"] = "auto",
    method: str | Method | None = None,
    boundary: Boundary | None = None,
    gauge: Gauge | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
    angle_per_window: bool = False,
    reweighting: Reweighting | None = None,
) -> Request:
    """Check the arguments of `udg.solve` and complete them.

    Parameters
    ----------
    angle, n_layers, tau, lam_x, lam_y, lam_r, widest, shortest, strength, model, streaks
        As in `udg.solve`.
    angle_limit, convergence, rain_level, stages, working_scale, method, boundary, gauge
        As in `udg.solve`.
    tol, max_iter
        As in `udg.solve`.
    angle_per_window : bool
        As ``angle_per_tile`` in `udg.solve_tiles`.
    reweighting : Reweighting, optional
        Default: what is shipped.

    Returns
    -------
    Request

    Raises
    ------
    InvalidInput
        An argument is outside its range, or does not go with another one.
    """
    weights = {"tau": tau, "lam_x": lam_x, "lam_y": lam_y, "lam_r": lam_r}
    model = "signed" if model == "stripes" else model
    paper = method == "alternating" or isinstance(method, Alternating)
    if paper and model in (None, "signed"):
        model, defaults = "signed", PAPER
    else:
        model = model or "rain"
        if model not in get_args(Model):
            raise InvalidInput(f"model is {model!r}; give one of 'rain', 'signed', 'stripes'")
        defaults = _DEFAULTS[model]
    # All that the paper's Eq. 3 has is given: that energy, and nothing else, is minimised.
    exact = None not in (tau, lam_x, lam_y) and stages in (None, 1)
    if exact:
        defaults = {**defaults, "lam_r": 0.0, "stages": 1}
        rain_level = 1.0 if rain_level == "auto" else rain_level

    def chosen(name: str, value: Any) -> Any:
        return defaults[name] if value is None else value

    for size, value, decided in (("widest", widest, "lam_r"), ("shortest", shortest, "lam_x")):
        if value is not None and weights[decided] is not None:
            raise InvalidInput(f"{size} decides {decided}; give one of them")
    base = Weights(*(chosen(name, value) for name, value in weights.items()))
    if widest is not None or shortest is not None:
        base = weights_for_streaks(base, widest, shortest)
    chosen_method = _method(chosen("method", method))
    count = _stages(chosen("stages", stages), model)
    kind = _KINDS[_one_of("streaks", chosen("streaks", streaks), get_args(Streaks))]
    if model == "rain" and kind != _KINDS["rain"]:
        raise InvalidInput("streaks='stripes' is for model='signed': rain only adds light")
    follow_contrast = model == "rain" and all(value is None for value in weights.values())
    follow_haze = widest is None and shortest is None
    step = _step(working_scale, model)
    if step is None and not (follow_contrast and follow_haze):
        step = 1  # weights and sizes that are given are in the picture's own pixels
    options = Options(
        weights=base.with_strength(strength),
        follow_contrast=follow_contrast,
        follow_haze=follow_haze,
        exact=exact,
        model=model,
        boundary=_one_of("boundary", chosen("boundary", boundary), get_args(Boundary)),
        gauge=_one_of("gauge", chosen("gauge", gauge), get_args(Gauge)),
        angle_limit=chosen("angle_limit", angle_limit),
        convergence=_convergence(chosen("convergence", convergence)),
        sign=kind.sign,
        oversampling=kind.oversampling,
        rain_level=_level(rain_level),
        stages=count,
        method=chosen_method,
        tol=tol,
        max_iter=chosen_method.default_max_iter if max_iter is None else max_iter,
        reweighting=reweighting or reweighting_parameters(),
        angle_per_window=angle_per_window,
        step=step,
    )
    check_stopping(options.tol, options.max_iter)
    return _directions(options, angle, n_layers)


def _directions(
    options: Options, angle: Asked | Sequence[float], n_layers: int | Literal["auto"] | None
) -> Request:
    """Which directions are asked for, one after the other."""
    several = isinstance(angle, Sequence) and not isinstance(angle, str)
    angles: list[Any] = list(angle) if several else [angle]  # type: ignore[arg-type]
    if not angles:
        raise InvalidInput("angle is empty; give at least one number, or 'auto'")
    for one in angles:
        if one != "auto":
            checked_angle(options, one)
    if options.rain_level == "auto" and "auto" not in angles:
        options = replace(options, rain_level=1.0)  # who gives an angle says that it rains
    if options.angle_per_window and n_layers is None:
        n_layers = 1
    if n_layers is None:
        judged = options.model == "rain" and angles == ["auto"] and options.rain_level == "auto"
        n_layers = "auto" if judged else 1
    if n_layers == "auto" and angles == ["auto"]:
        request = Request(options, angles * MAX_LAYERS, while_new=True)
    else:
        count = checked_count("n_layers", n_layers, 1)
        if count != 1 and angles != ["auto"]:
            raise InvalidInput(
                "n_layers is for angle='auto'; given angles are as many layers already"
            )
        request = Request(options, angles * count)
    if options.angle_per_window and request.angles != ["auto"]:
        raise InvalidInput("angle_per_tile is for angle='auto' and one layer; leave it out")
    return request


def checked_angle(options: Options, angle: Any) -> float:
    """A given angle, if it can be one of the model's."""
    if not is_number(angle) or not abs(angle) < float("inf"):
        raise InvalidInput(f"angle is {angle!r}; give degrees clockwise from vertical, or 'auto'")
    if options.model == "rain" and abs(angle) > 45:
        raise InvalidInput(
            f"angle is {angle:g}°, but rain lies within ±45°; "
            "for stripes in any direction use model='stripes'"
        )
    return float(angle)


def checked_count(name: str, value: Any, least: int) -> int:
    """The value, if it is a whole number of at least so much."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} is {value!r}; give a whole number that is at least {least}")
    return value


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise InvalidInput(f"{name} is {value!r}; give one of {', '.join(map(repr, allowed))}")
    return value


def _stages(value: Any, model: Model) -> int:
    count = checked_count("stages", value, 1)
    if model == "signed" and count > 1:
        raise InvalidInput("stages above 1 are for model='rain': only rain is reweighted")
    if count > 1 and count % 2:
        raise InvalidInput(
            f"stages is {count}; give 1 or an even number: "
            "every second stage reweights what the one before it found"
        )
    return count


def _convergence(value: Any) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if not is_number(value) or not abs(value) <= MAX_CONVERGENCE:
        raise InvalidInput(
            f"convergence is {value!r}; give degrees within ±{MAX_CONVERGENCE:g}, or 'auto'"
        )
    return float(value)


def _step(working_scale: Any, model: Model) -> int | None:
    """Pixels along a side that become one; None if that is to be measured."""
    if working_scale == "auto":
        return None if model == "rain" else 1
    if model == "signed" and working_scale != 1:
        raise InvalidInput("working_scale is for model='rain': stripes are solved at full size")
    if is_number(working_scale) and MIN_WORKING_SCALE <= working_scale <= 1:
        step = round(1 / working_scale)
        if abs(step * working_scale - 1) < 0.02:
            return step
    raise InvalidInput(
        f"working_scale is {working_scale!r}; give 1, a fraction 1/2, 1/3, … down to "
        f"1/{1 / MIN_WORKING_SCALE:g}, or 'auto'"
    )


def _level(value: Any) -> float | Literal["auto"]:
    if value == "auto":
        return "auto"
    if not is_number(value) or not 0 <= value <= 1:
        raise InvalidInput(f"rain_level is {value!r}; give a number in [0, 1], or 'auto'")
    return float(value)


def _method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    return _METHODS[_one_of("method", method, tuple(_METHODS))]()
