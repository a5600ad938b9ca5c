"""From an image to its decomposition: the public `solve`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from array_api_compat import array_namespace

from udg.backend import bands, to_numpy
from udg.certificate import Duals
from udg.chroma import restore_chroma
from udg.doubt import Crowding, doubts, first_doubt
from udg.errors import InvalidInput
from udg.image import BlockMeans, DataRange, PreparedImage, prepare, shrunk
from udg.iteration import Checkpoint, Minimum, Reason, minimize
from udg.method import Estimate, Method
from udg.objective import Model, Problem, Weights
from udg.operators import Boundary
from udg.presence import caution
from udg.preview import Preview, Shown, rain_in_words
from udg.rotation import rotate, rotated_shape, unrotate, with_lost_details
from udg.settings import (
    Direction,
    Gauge,
    Settings,
    Streaks,
    blend_in,
    centre,
    find_direction,
    fineness,
    for_picture,
    for_rain,
    frame_problem,
    is_new,
    light_of,
    tolerance,
    understood,
)

__all__ = ["Result", "Solved", "solve"]

Array = Any


class Solved(NamedTuple):
    """The frame that was solved last: light turned so that streaks are vertical, padded.

    After four passes and more, the light is without the rain that the earlier pairs found.

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

    def __repr__(self) -> str:
        height, width = self.Y.shape
        return f"<Solved {height}×{width}: problem, X, R, duals>"


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A decomposed image; a notebook shows it as before, derained and rain.

    Attributes
    ----------
    derained : array, float32, the image's shape
        Image minus rain in every colour channel, in the image's range, never resampled. In coloured
        light each channel loses what it has of the rain's light (`udg.image.light_colour`), and
        of blended rain the less the brighter it is (`PreparedImage.subtract`). In the rain model,
        pixels that had rain then take the colour of their neighbours, and keep their luma
        (`udg.chroma.restore_chroma`).
    rain : array, float32, shape (H, W)
        R in the image's frame; 1 is full light.
    rain_level : float
        In [0, 1]: 0 is no rain (nothing is taken), 1 rain without a doubt.
    angle : float
        Direction of the streaks, degrees clockwise from vertical; in the picture's centre if they
        converge.
    confidence : float or None
        That of the estimated angle (`udg.estimate_angle`); None if the angle was given.
    weights : Weights
        For differences between the image's pixels, of the first two passes; later ones do not
        have the smaller `lam_r` of haze and heavy rain. A frame that is finer across (stripes) is
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
        Why the iteration stopped; ``"gap"`` if that is why all passes' did.
    history : tuple of Checkpoint
        Of the last pass; empty unless asked for.
    solved : Solved
        Problem, X, R and duals of the frame that was solved in the last pass. After several pairs
        of passes its light is what the ones before left, and `rain` is of all together.
    image : PreparedImage
        What was decomposed: ``image.pixels`` is the array that was given, not a copy.
    layers : tuple of Result
        One a direction if rain of several was asked for, each from what the one before left;
        ``derained``, ``rain``, ``background`` and ``blend`` are then of all together, and
        everything else of the first. Empty for a single direction.
    shift : float
        Signed model: what the gauge moved from rain to background.
    drafts : tuple of tuple of Checkpoint
        Histories of the passes before the last, if ``history`` was asked for.
    blend : float
        In [0, 1]: how much of a screen blend the rain is (`udg.blend.blend_of`). 0 takes the same
        light from all channels.
    fan : float
        Degrees by which the streaks' direction changes from the picture's centre to half its
        diagonal across. Positive if they meet below, negative if above, 0 if they are parallel.
    """

    derained: Array
    rain: Array
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
    history: tuple[Checkpoint, ...]
    solved: Solved
    image: PreparedImage
    layers: tuple[Result, ...] = ()
    shift: float = 0.0
    drafts: tuple[tuple[Checkpoint, ...], ...] = ()
    blend: float = 0.0
    fan: float = 0.0

    @cached_property
    def background(self) -> Array:
        """X in the image's frame, float32, shape (H, W); turned back when it is first asked for.

        It is that of the light that was solved: the darkest colour channel in the rain model (of
        those that have light, `udg.image.light_colour`), luma in the signed one.
        """
        if self.layers:
            return self.layers[-1].background
        X, shape = self.solved.X, (self.rain.shape[0], self.rain.shape[1])
        fine = X.shape[1] // rotated_shape(shape, self.angle, fan=self.fan)[1]
        return unrotate(X, self.angle, shape, fine, fan=self.fan) + self.shift

    @property
    def trace(self) -> tuple[tuple[Checkpoint, ...], ...]:
        """The history of each pass, iterations and seconds counted on from the one before.

        Energies of different passes are of different problems: the doubt is another. Empty unless
        ``history`` was asked for.
        """
        passes: list[tuple[Checkpoint, ...]] = []
        iterations, seconds = 0, 0.0
        for history in (*self.drafts, self.history):
            moved = (
                point._replace(
                    iteration=iterations + point.iteration, seconds=seconds + point.seconds
                )
                for point in history
            )
            if history:
                passes.append(tuple(moved))
                iterations, seconds = passes[-1][-1][:2]
        return tuple(passes)

    def _words(self) -> str:
        return rain_in_words(self)

    def _preview(self, side: int) -> Preview:
        signed = self.model == "signed"
        return Preview.of(self.image, self.derained, self.rain, signed=signed, side=side)


def solve(
    image: Array,
    tau: float | None = None,
    lam_x: float | None = None,
    lam_y: float | None = None,
    *,
    lam_r: float | None = None,
    widest: float | None = None,
    shortest: float | None = None,
    strength: float = 0.5,
    model: Model | None = None,
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    angle_limit: float | None = None,
    fan: float | Literal["auto"] | None = None,
    n_layers: int | Literal["auto"] | None = None,
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
    For rain, the light is the darkest colour channel (without those that the light in the picture
    lacks: no blue under sodium lamps), where all is full light there is no rain to be seen, the
    picture is first asked whether there is
    rain at all (`udg.presence`), and a second pass doubts rain that is uneven, outweighed by the
    scene's details or unlike streaks, and frees the rest from the penalty's bias (`udg.doubt`); the
    first pass of two has half of `lam_r`, for it only proposes. Two more passes do the same to what
    these left (twicing [2]_), and further directions follow while they are sure.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        uint8, uint16, or float in [0, 1]; grey, RGB, either with alpha, or bands. NumPy or CuPy.
    tau, lam_x, lam_y, lam_r : float, optional
        Weights for values in [0, 1]; see `Weights` for the direction in which each pushes. Default:
        those of `RAIN_WEIGHTS`, less in pictures of little contrast and in heavy rain if none is
        given (`udg.presence.adapted`, `heavier`), or, for ``model="signed"``, of `STRIPE_WEIGHTS`.
    widest, shortest : float, optional
        `lam_r` and `lam_x` by what they mean, in pixels: a bright line is left from this width on,
        and if it is one pixel wide up to this length (`udg.settings.weights_for_streaks`). As they
        set proportions only, the other weights still follow the picture's contrast. `strength`
        moves these as well.
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
    fan : float or "auto", optional
        How the streaks converge, in degrees within ±20, as in `Result`. ``"auto"``, the rain
        model's default, looks for it where the angle is estimated (`udg.angle.estimate_fan`);
        parallel ones, 0, is the default of ``"signed"`` and where an angle is given.
    n_layers : int or "auto", optional
        With ``angle="auto"`` (given angles are as many layers as they are): how many directions
        of rain to take out, one after the other. ``"auto"`` goes on, at most to 4, while what is
        left still shows rain in a new direction, with a rain level and a confidence of at least
        0.5. Default: ``"auto"`` where the rain level is judged as well, else 1.
    rain_level : float or "auto"
        Rain model: how sure it is, in [0, 1], that there is rain. 0 leaves the picture as it is;
        less than 1 takes only what stands out. ``"auto"`` judges it from the picture, or takes 1
        if an angle is given.
    passes : int, optional
        Rain model: how often to solve: 1 solves the plain convex problem; otherwise an even number,
        for the passes come in pairs, of which the second has doubts from the first, and each pair
        goes on with what the ones before left. Default 4. The signed model has one.
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
        Stop after so many iterations anyway, of a pair of passes together. Default: the method's
        own.
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
    .. [2] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley 1977, ch. 16: smooth, then add
       what a smooth of the rest finds.

    Examples
    --------
    >>> import numpy as np, udg
    >>> clean = np.full((64, 64), 0.4, dtype=np.float32)
    >>> rainy = udg.synthesize(clean, angle=10, seed=1).rainy
    >>> result = udg.solve(rainy, angle=10)
    >>> bool(np.abs(result.derained - clean).mean() < 0.3 * np.abs(rainy - clean).mean())
    True
    """
    settings, angles, while_new = understood(
        {"tau": tau, "lam_x": lam_x, "lam_y": lam_y, "lam_r": lam_r},
        angle,
        n_layers,
        widest=widest,
        shortest=shortest,
        strength=strength,
        model=model,
        streaks=streaks,
        angle_limit=angle_limit,
        fan=fan,
        rain_level=rain_level,
        passes=passes,
        method=method,
        boundary=boundary,
        gauge=gauge,
        tol=tol,
        max_iter=max_iter,
        history=history,
        callback=callback,
    )
    if warm_start is not None:
        if len(angles) > 1 and not (while_new and n_layers is None):
            raise InvalidInput("warm_start is for one direction; leave it out with several")
        angles = angles[:1]
    prepared = prepare(image, data_range)
    settings = for_picture(settings, prepared)
    layers: list[Result] = []
    left = prepared
    for one in angles:
        direction = find_direction(left, settings, one)
        if while_new and not is_new(direction, [layer.angle for layer in layers]):
            break
        layers.append(_layer(left, settings, direction, warm_start))
        if layers[-1].reason == "callback" or (while_new and not direction.level):
            break
        left = replace(left, pixels=layers[-1].derained)
    return _as_it_was_added(_together(layers), settings)


def _layer(
    image: PreparedImage,
    settings: Settings,
    direction: Direction,
    warm_start: Result | None = None,
) -> Result:
    """Decompose for one direction, each round going on with what the ones before left."""
    settings = for_rain(settings, direction.level, direction.amount, direction.looks)
    total = _round(image, settings, direction, warm_start)
    for _ in range(settings.rounds - 1 if direction.level else 0):
        if total.reason == "callback":
            break
        left = replace(image, pixels=total.derained)
        total = _added(total, _round(left, settings.for_rest(), direction))
    return total


def _added(earlier: Result, later: Result) -> Result:
    """The result of two rounds: what was solved last, and what was found by both."""
    return replace(
        later,
        rain=earlier.rain + later.rain,
        weights=earlier.weights,
        iterations=earlier.iterations + later.iterations,
        seconds=earlier.seconds + later.seconds,
        reason=later.reason if earlier.reason == "gap" else earlier.reason,
        drafts=(*earlier.drafts, *([earlier.history] if earlier.history else []), *later.drafts),
        image=earlier.image,
    )


def _round(
    image: PreparedImage,
    settings: Settings,
    direction: Direction,
    warm_start: Result | None = None,
) -> Result:
    """Decompose for one direction once."""
    degrees, fan = direction.degrees, direction.fan
    shape = image.pixels.shape[0], image.pixels.shape[1]
    fine = fineness(settings, degrees, fan)
    light = light_of(image, settings)
    problem = frame_problem(rotate(light, degrees, fine, fan=fan), settings, fine)
    start = None if warm_start is None else _earlier(warm_start, problem)
    problem, minimum, drafts = _passes(image, problem, settings, direction, start)
    X, R, duals = minimum.estimate
    rain = unrotate(R, degrees, shape, fine, fan=fan)
    if settings.model == "rain" and (degrees % 90 or fan):
        seen = unrotate(problem.Y, degrees, shape, fine, fan=fan)
        rain = with_lost_details(rain, light, seen)
    shift = float(centre(rain, settings.gauge)) if settings.model == "signed" else 0.0
    if shift:
        rain = rain - shift
    return Result(
        derained=image.subtract(rain, settings.light),
        rain=rain,
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
        image=image,
        shift=shift,
        drafts=drafts,
        fan=fan,
    )


def _passes(
    image: PreparedImage,
    problem: Problem,
    settings: Settings,
    direction: Direction,
    start: Estimate | None,
) -> tuple[Problem, Minimum, tuple[tuple[Checkpoint, ...], ...]]:
    """Solve once or, in the rain model, again with the doubts that the pass before raised.

    Gives the last problem, its minimum, and the histories of the passes before.
    """
    xp, level = array_namespace(problem.Y), direction.level
    passes, doubt, reuse = settings.passes, 1.0, False
    if settings.model == "rain" and level == 0:
        problem = replace(problem, ceiling=xp.zeros_like(problem.Y))
        passes = 1
    elif settings.model == "rain":
        doubt = caution(level)
        if (first := first_doubt(doubt, eager=settings.eager and passes > 1)) != 1:
            problem = replace(problem, doubt=xp.full_like(problem.Y, first))
    iterations, seconds = 0, 0.0
    histories: list[tuple[Checkpoint, ...]] = []
    for left in reversed(range(passes)):
        minimum = minimize(
            problem,
            settings.method,
            tol=tolerance(settings, last=left == 0),
            max_iter=settings.max_iter - iterations,
            warm_start=start,
            reuse=reuse,
            history=settings.history,
            callback=settings.callback,
        )
        iterations, seconds = iterations + minimum.iterations, seconds + minimum.seconds
        histories.append(minimum.history)
        if left == 0 or minimum.reason != "gap":
            break
        start, reuse = minimum.estimate, True
        problem = replace(
            problem, doubt=doubt * _doubts(image, problem, start.R, settings, direction)
        )
    drafts = tuple(histories[:-1]) if settings.history else ()
    return problem, minimum._replace(iterations=iterations, seconds=seconds), drafts


def _doubts(
    image: PreparedImage, problem: Problem, R: Array, settings: Settings, direction: Direction
) -> Array:
    """What to doubt after a pass that found R, as a factor on lam_r in the solved frame."""
    xp, (height, width) = array_namespace(R), image.pixels.shape[:2]
    degrees, fan = direction.degrees, direction.fan
    fine = fineness(settings, degrees, fan)

    def turned(plane: Array) -> Array:
        return rotate(xp.asarray(plane), degrees, fine, fan=fan)

    rain = unrotate(R, degrees, (height, width), fine, fan=fan)
    crowding = _crowding(image, rain, settings, degrees)
    around = crowding.around(slice(0, height), slice(0, width)).turned(turned)
    brightest = turned(image.brightest(settings.light))
    return doubts(problem.Y, R, brightest, around, settings.weights.lam_r, settings.even)


def _crowding(image: PreparedImage, rain: Array, settings: Settings, degrees: float) -> Crowding:
    crowding, light = Crowding(rain.shape, degrees), light_of(image, settings)
    for rows, _ in bands(rain.shape):
        crowding.add(rows.start, to_numpy(rain[rows]), to_numpy(light[rows]))
    return crowding


def _together(layers: list[Result]) -> Result:
    """The result of all layers; see `Result.layers`."""
    first, last = layers[0], layers[-1]
    if first is last:
        return first
    rain = first.rain
    for layer in layers[1:]:
        rain = rain + layer.rain
    return replace(
        first,
        derained=last.derained,
        rain=rain,
        layers=tuple(layers),
    )


def _as_it_was_added(result: Result, settings: Settings) -> Result:
    """The result without rain that may be blended, and with the scene's colour below it."""
    image, rain = result.image, result.rain
    if settings.model != "rain" or result.rain_level == 0:
        return result
    scale = image.thumbnail_scale(rain.shape)
    small = shrunk(BlockMeans.of(to_numpy(rain), scale), rain.shape, scale)
    blend = blend_in(settings, image.thumbnail, small)
    derained = result.derained if blend == 0 else image.subtract(rain, blend=blend)
    derained = restore_chroma(derained, rain, image.low, image.high)
    return replace(result, derained=derained, blend=blend)


def _earlier(result: Result, problem: Problem) -> Estimate:
    shape, wanted = tuple(result.solved.Y.shape), tuple(problem.Y.shape)
    if shape != wanted:
        raise InvalidInput(
            f"warm_start was solved in a frame of {shape[0]}×{shape[1]}, this image in one of "
            f"{wanted[0]}×{wanted[1]}; give a result of the same image shape and angle"
        )
    # The light that was solved last may be what earlier rounds left: this is the whole picture's.
    R = problem.feasible(problem.Y - result.solved.X)
    return Estimate(problem.Y - R, R, result.solved.duals)
