"""From an image to its decomposition: the public `solve`, and the loop around any method."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from array_api_compat import array_namespace

from udg.admm import Alternating, Joint
from udg.certificate import Duals, energy_and_bound, relative_gap
from udg.errors import InvalidInput
from udg.image import DataRange, prepare
from udg.method import Estimate, Method
from udg.objective import PAPER_WEIGHTS, Model, Problem, Weights
from udg.operators import Boundary
from udg.primal_dual import PrimalDual
from udg.rotation import rotate, unrotate

__all__ = [
    "PAPER",
    "RAIN_WEIGHTS",
    "Checkpoint",
    "Minimum",
    "Result",
    "Solved",
    "minimize",
    "solve",
]

Array = Any
Gauge = Literal["median", "mean"]
Reason = Literal["gap", "max_iter", "callback"]

_log = logging.getLogger(__name__)

#: Weights for photographs of rain, used with ``model="rain"`` unless others are given.
RAIN_WEIGHTS = Weights(tau=0.002, lam_x=0.15, lam_y=0.05, lam_r=0.01)

#: The paper's model and method as keyword arguments: ``udg.solve(image, **udg.PAPER)``.
PAPER: Mapping[str, Any] = MappingProxyType(
    {
        "tau": PAPER_WEIGHTS.tau,
        "lam_x": PAPER_WEIGHTS.lam_x,
        "lam_y": PAPER_WEIGHTS.lam_y,
        "lam_r": PAPER_WEIGHTS.lam_r,
        "model": "signed",
        "method": "alternating",
        "boundary": "periodic",
        "gauge": "median",
        "angle_limit": 45.0,
    }
)

# What `solve` takes for anything left unsaid, by model.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "rain": {
            "tau": RAIN_WEIGHTS.tau,
            "lam_x": RAIN_WEIGHTS.lam_x,
            "lam_y": RAIN_WEIGHTS.lam_y,
            "lam_r": RAIN_WEIGHTS.lam_r,
            "boundary": "reflecting",
            "gauge": None,
            "angle_limit": 45.0,
        },
        "signed": {
            **{name: PAPER[name] for name in ("tau", "lam_x", "lam_y", "lam_r")},
            "boundary": "reflecting",
            "gauge": "mean",
            "angle_limit": 90.0,
        },
    }
)

_METHODS: Mapping[str, Callable[[], Method]] = MappingProxyType(
    {"primal-dual": PrimalDual, "joint": Joint, "alternating": Alternating}
)


class Checkpoint(NamedTuple):
    """What is known each time the certificate is looked at.

    Attributes
    ----------
    iteration : int
    seconds : float
        Time spent iterating, without the checks.
    objective : float
        E(X, R) of the present answer.
    gap : float
        Proven bound on (E − E*) / E.
    """

    iteration: int
    seconds: float
    objective: float
    gap: float


class Minimum(NamedTuple):
    """Where `minimize` ended; `history` is empty unless asked for."""

    estimate: Estimate
    objective: float
    gap: float
    iterations: int
    seconds: float
    reason: Reason
    history: tuple[Checkpoint, ...]


class Solved(NamedTuple):
    """The frame that was solved: luma turned so that streaks are vertical, padded.

    Attributes
    ----------
    Y, X, R : arrays
        The frame's luma, background and rain.
    duals : Duals
        They prove the gap (`udg.certificate.dual_bound`) and let a later run start from here.
    """

    Y: Array
    X: Array
    R: Array
    duals: Duals


@dataclass(frozen=True)
class Result:
    """A decomposed image.

    Attributes
    ----------
    derained : array, float32, the image's shape
        Image minus rain in every colour channel, in the image's range, never resampled.
    rain, background : array, float32, shape (H, W)
        R and X in the image's frame; 1 is full light.
    angle : float
        Direction of the streaks, degrees clockwise from vertical.
    confidence : float or None
        That of the estimated angle (`udg.estimate_angle`); None if the angle was given.
    weights : Weights
    model : {"rain", "signed"}
    objective : float
        E(X, R) in the solved frame.
    gap : float
        Proven bound on (E − E*) / E, where E* is the minimum in the solved frame.
    iterations : int
    seconds : float
        Time spent iterating.
    reason : {"gap", "max_iter", "callback"}
        Why the iteration stopped.
    history : tuple of Checkpoint
        Empty unless asked for.
    solved : Solved
        Y, X, R and duals of the frame that was solved.
    """

    derained: Array = field(repr=False)
    rain: Array = field(repr=False)
    background: Array = field(repr=False)
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


def solve(
    image: Array,
    tau: float | None = None,
    lam_x: float | None = None,
    lam_y: float | None = None,
    *,
    lam_r: float | None = None,
    model: Model | None = None,
    angle: float | Literal["auto"] = "auto",
    angle_limit: float | None = None,
    method: str | Method = "primal-dual",
    boundary: Boundary | None = None,
    gauge: Gauge | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
    data_range: DataRange | None = None,
    warm_start: Result | None = None,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Result:
    """Take rain streaks (or stripes) out of one image.

    The luma is turned so that streaks are vertical, decomposed into background X and rain R by
    minimising Eq. 3 (`udg.objective`), and R is turned back and subtracted from the image.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        uint8, uint16, or float in [0, 1]; grey, RGB, either with alpha, or bands. NumPy or CuPy.
    tau, lam_x, lam_y, lam_r : float, optional
        Weights for values in [0, 1]; see `Weights` for the direction in which each pushes. Default:
        those of `RAIN_WEIGHTS` or, for ``model="signed"``, the paper's.
    model : {"rain", "signed"}, optional
        ``"rain"`` (default): rain only adds light, 0 ≤ R ≤ Y, and is sparse (`lam_r` > 0).
        ``"signed"``: Eq. 3 as printed, R of any sign; for stripes.
    angle : float or "auto"
        Degrees clockwise from vertical; a streak like ``/`` is positive. ``"auto"`` estimates it.
    angle_limit : float, optional
        Largest angle that ``"auto"`` considers; default 45 for rain, 90 for ``"signed"``.
    method : {"primal-dual", "joint", "alternating"} or Method
        By name, or with options: ``udg.Joint(along=8)``. All reach the same minimum;
        ``"alternating"`` is the paper's, slow, and makes the paper's model the default (`PAPER`).
    boundary : {"reflecting", "periodic"}, optional
        How the solved frame goes on beyond its edges; default reflecting.
    gauge : {"median", "mean"}, optional
        Signed model: which statistic of ``rain`` is made zero, for Eq. 3 does not tell a constant
        in R from one in X. Default ``"mean"`` (stripes); ``"median"`` suits rain. In the rain
        model `lam_r` decides, and this is not used.
    tol : float
        Stop when the gap, a proven bound on the relative distance from the minimum, is at most
        this.
    max_iter : int, optional
        Stop after so many iterations anyway. Default: the method's own.
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
    if method == "alternating" and model is None:
        model, defaults = "signed", PAPER
    else:
        model = model or "rain"
        _one_of("model", model, get_args(Model))
        defaults = _DEFAULTS[model]
    weights = Weights(
        *(
            defaults[name] if value is None else value
            for name, value in {"tau": tau, "lam_x": lam_x, "lam_y": lam_y, "lam_r": lam_r}.items()
        )
    )
    boundary = boundary or defaults["boundary"]
    _one_of("boundary", boundary, get_args(Boundary))
    gauge = gauge or defaults["gauge"]
    if gauge is not None:
        _one_of("gauge", gauge, get_args(Gauge))
    if angle_limit is None:
        angle_limit = defaults["angle_limit"]

    prepared = prepare(image, data_range)
    luma = prepared.luma()
    degrees, confidence = _direction(luma, angle, angle_limit, model)
    problem = Problem(rotate(luma, degrees), weights, model, boundary)
    minimum = minimize(
        problem,
        _method(method),
        tol=tol,
        max_iter=max_iter,
        warm_start=None if warm_start is None else _earlier(warm_start, problem),
        history=history,
        callback=callback,
    )
    X, R, duals = minimum.estimate
    rain, background = (unrotate(layer, degrees, luma.shape) for layer in (R, X))
    if model == "signed":
        shift = _centre(rain, gauge or "mean")
        rain, background = rain - shift, background + shift
    else:
        xp = array_namespace(rain)
        rain = xp.clip(rain, 0, 1)  # interpolation may overshoot
    return Result(
        derained=prepared.subtract(rain),
        rain=rain,
        background=background,
        angle=degrees,
        confidence=confidence,
        weights=weights,
        model=model,
        objective=minimum.objective,
        gap=minimum.gap,
        iterations=minimum.iterations,
        seconds=minimum.seconds,
        reason=minimum.reason,
        history=minimum.history,
        solved=Solved(problem.Y, X, R, duals),
    )


def minimize(
    problem: Problem,
    method: Method,
    *,
    tol: float = 1e-2,
    max_iter: int | None = None,
    warm_start: Estimate | None = None,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Minimum:
    """Run a method on a problem until the gap is proven small enough.

    Parameters
    ----------
    problem : Problem
    method : Method
    tol : float
        Stop when ``gap ≤ tol``; 0 never stops for that reason unless the minimum is exact.
    max_iter : int, optional
        Default: ``method.default_max_iter``.
    warm_start : Estimate, optional
        X, R and duals of the problem's shape.
    history, callback
        As in `solve`.

    Returns
    -------
    Minimum

    Raises
    ------
    InvalidInput
        `tol` or `max_iter` is negative or not a number.
    """
    if not (isinstance(tol, (int, float)) and tol >= 0):
        raise InvalidInput(f"tol is {tol!r}; give a number that is at least 0")
    if max_iter is None:
        max_iter = method.default_max_iter
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 0:
        raise InvalidInput(f"max_iter is {max_iter!r}; give a whole number that is at least 0")

    records: list[Checkpoint] = []
    state = method.start(problem, warm_start)
    iteration, seconds, best_bound = 0, 0.0, -math.inf
    while True:
        estimate = method.estimate(problem, state)
        energy, bound = energy_and_bound(problem, *estimate)
        best_bound = max(best_bound, bound)  # every bound holds, so the best does
        gap = relative_gap(problem, energy, best_bound)
        checkpoint = Checkpoint(iteration, seconds, energy, gap)
        _log.debug("%s", checkpoint)
        if history:
            records.append(checkpoint)
        reason = _stop(checkpoint, tol, max_iter, callback)
        if reason is not None:
            return Minimum(estimate, energy, gap, iteration, seconds, reason, tuple(records))
        count = min(method.check_every, max_iter - iteration)
        began = time.perf_counter()
        state = method.advance(problem, state, count)
        seconds += time.perf_counter() - began
        iteration += count


def _stop(
    checkpoint: Checkpoint,
    tol: float,
    max_iter: int,
    callback: Callable[[Checkpoint], bool | None] | None,
) -> Reason | None:
    if callback is not None and callback(checkpoint):
        return "callback"
    if checkpoint.gap <= tol:
        return "gap"
    return "max_iter" if checkpoint.iteration >= max_iter else None


def _one_of(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInput(f"{name} is {value!r}; give one of {', '.join(map(repr, allowed))}")


def _method(method: str | Method) -> Method:
    if not isinstance(method, str):
        return method
    _one_of("method", method, tuple(_METHODS))
    return _METHODS[method]()


def _direction(
    luma: Array, angle: float | Literal["auto"], limit: float, model: Model
) -> tuple[float, float | None]:
    """The angle in degrees, and its confidence if it was estimated."""
    if angle == "auto":
        from udg.angle import estimate_angle

        estimate = estimate_angle(luma, limit=limit)
        return estimate.degrees, estimate.confidence
    if isinstance(angle, (str, bool)) or not math.isfinite(angle):
        raise InvalidInput(f"angle is {angle!r}; give degrees clockwise from vertical, or 'auto'")
    if model == "rain" and abs(angle) > 45:
        raise InvalidInput(
            f"angle is {angle:g}°, but rain lies within ±45°; "
            "for stripes in any direction use model='signed'"
        )
    return float(angle), None


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
