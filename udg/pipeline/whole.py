"""The whole picture in one window, in memory: the public `solve`."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

from udg.backend import to_numpy
from udg.detection.density import RainDensity
from udg.errors import InvalidInput
from udg.imaging.geometry import Frame
from udg.imaging.image import BlockMeans, DataRange, PreparedImage, prepare, shrunk
from udg.imaging.scale import enlarged, reduced
from udg.model.duality import Duals
from udg.model.energy import Model, Problem, Weights
from udg.model.operators import Boundary
from udg.optim.loop import Checkpoint, Reason
from udg.optim.method import Estimate, Method
from udg.pipeline import gauge as gauges
from udg.pipeline.options import Gauge, Request, Streaks, resolve
from udg.pipeline.progress import Callback, Reporter
from udg.pipeline.stages import (
    Decision,
    Layer,
    Rows,
    Stage,
    StageResult,
    WindowResult,
    derain,
    finish,
    full_rain,
    screen_fraction,
    solve_window,
)
from udg.viz.preview import Preview, Shown, rain_in_words

__all__ = ["Result", "Solved", "solve", "solve_request"]

Array = Any


class Solved(NamedTuple):
    """The frame that was solved last: the observed plane, rotated so that streaks are vertical.

    Where the rain was solved at a smaller working scale, it is of the smaller copy. After four
    stages and more, the plane is without the rain that the earlier rounds found.

    Attributes
    ----------
    problem : Problem
        All that defines the minimum: ``problem.energy(X, R)`` is the result's objective.
    X, R : arrays
        The frame's background and rain.
    duals : Duals
        They prove the gap (`udg.model.duality.dual_bound`) and let a later run start from here.
    frame : Frame
        How the picture is rotated into it.
    """

    problem: Problem
    X: Array
    R: Array
    duals: Duals
    frame: Frame

    @property
    def Y(self) -> Array:
        """The frame's observed plane."""
        return self.problem.Y

    def __repr__(self) -> str:
        height, width = self.Y.shape
        return f"<Solved {height}×{width}: problem, X, R, duals, frame>"


@dataclass(frozen=True, repr=False)
class Result(Shown):
    """A decomposed image; a notebook shows it as before, derained and rain.

    Attributes
    ----------
    derained : array, float32, the image's shape
        Image minus rain in every colour channel, in the image's range, never resampled. In coloured
        light each channel loses what it has of the rain's light
        (`udg.imaging.illuminant.Illuminant`), and of blended rain the less the brighter it is
        (`udg.imaging.image.PreparedImage.subtract`). In the rain model, pixels that had rain then
        take the colour of their neighbours, and keep their luma
        (`udg.imaging.chroma.restore_chroma`).
    rain : array, float32, shape (H, W)
        R in the image's frame; 1 is full light. If it was solved at a smaller scale, brought back
        with the image's own details (`udg.imaging.scale`).
    rain_level : float
        In [0, 1]: 0 is no rain (nothing is taken), 1 is certain rain.
    angle : float
        Direction of the streaks, degrees clockwise from vertical; in the picture's centre if they
        converge.
    confidence : float or None
        That of the estimated angle (`udg.estimate_angle`); None if the angle was given.
    convergence : float
        Degrees by which the streaks' direction changes from the picture's centre to half its
        diagonal across. Positive if they meet below, negative if above, 0 if they are parallel.
    weights : Weights
        For differences between the image's pixels, of the first round; ``stages`` has those of
        each stage. A frame that is oversampled across (stripes) is solved with `lam_y` times as
        large; ``solved.problem.weights`` has that.
    model : {"rain", "signed"}
    objective : float
        Energy of X and R in the frame that was solved last.
    gap : float
        Proven bound on (E − E*) / E, where E* is the minimum of the energy of the last stage:
        what `objective` belongs to. It says nothing of the stages before, or of whether the last
        one's weights were right.
    iterations : int
        Of all stages.
    seconds : float
        That passed from the call to the result; for one of several ``layers``, until its rain was
        taken.
    iteration_seconds : float
        Time spent iterating, a part of ``seconds``.
    reason : {"gap", "max_iter", "callback"}
        Why the iteration stopped; ``"gap"`` if that is why all stages' did.
    stages : tuple of StageResult
        Weights, objective and gap of each stage that was solved, in their order.
    solved : Solved
        Problem, X, R and duals of the frame that was solved in the last stage. After several
        rounds its observed plane is what the ones before left, and `rain` is of all together.
    image : PreparedImage
        What was decomposed: ``image.pixels`` is the array that was given, not a copy.
    layers : tuple of Result
        One a direction if rain of several was asked for, each from what the one before left;
        ``derained``, ``rain``, ``background``, ``seconds`` and ``screen_fraction`` are then of all
        together, and everything else of the first. Empty for a single direction.
    shift : float
        What the gauge moved from rain to background.
    working_scale : float
        Size of the copy that was solved, relative to the image: 1, 1/2, 1/4 or 1/8, or what was
        asked for.
    screen_fraction : float
        In [0, 1]: how much of a screen blend the rain is
        (`udg.imaging.compositing.estimate_screen_fraction`). 0 takes the same light from all
        channels.
    """

    derained: Array
    rain: Array
    rain_level: float
    angle: float
    confidence: float | None
    convergence: float
    weights: Weights
    model: Model
    objective: float
    gap: float
    iterations: int
    seconds: float
    iteration_seconds: float
    reason: Reason
    stages: tuple[StageResult, ...]
    solved: Solved
    image: PreparedImage
    layers: tuple[Result, ...] = ()
    shift: float = 0.0
    working_scale: float = 1.0
    screen_fraction: float = 0.0

    @cached_property
    def background(self) -> Array:
        """X in the image's frame, float32, shape (H, W); rotated back when it is first asked for.

        It is that of the plane that was solved: the darkest colour channel in the rain model (of
        those that have light), luma in the signed one.
        """
        if self.layers:
            return self.layers[-1].background
        small = self.solved.frame.unrotate(self.solved.X) + self.shift
        if self.working_scale == 1:
            return small
        return enlarged(small, round(1 / self.working_scale), tuple(self.rain.shape))

    @property
    def history(self) -> tuple[Checkpoint, ...]:
        """Checkpoints of the last stage; empty unless asked for."""
        return self.stages[-1].history

    @property
    def trace(self) -> tuple[tuple[Checkpoint, ...], ...]:
        """The history of each stage, iterations and seconds counted on from the one before.

        Energies of different stages are of different problems. Empty unless ``history`` was asked
        for.
        """
        stages: list[tuple[Checkpoint, ...]] = []
        iterations, seconds = 0, 0.0
        for stage in self.stages:
            moved = (
                point._replace(
                    iteration=iterations + point.iteration, seconds=seconds + point.seconds
                )
                for point in stage.history
            )
            if stage.history:
                stages.append(tuple(moved))
                iterations, seconds = stages[-1][-1][:2]
        return tuple(stages)

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
    model: Literal["rain", "signed", "stripes"] | None = None,
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    angle_limit: float | None = None,
    convergence: float | Literal["auto"] | None = None,
    n_layers: int | Literal["auto"] | None = None,
    rain_level: float | Literal["auto"] = "auto",
    stages: int | None = None,
    working_scale: float | Literal["auto"] = "auto",
    method: str | Method | None = None,
    boundary: Boundary | None = None,
    gauge: Gauge | None = None,
    streaks: Streaks | None = None,
    tol: float = 1e-2,
    max_iter: int | None = None,
    data_range: DataRange | None = None,
    warm_start: Result | None = None,
    history: bool = False,
    callback: Callback | None = None,
) -> Result:
    """Remove rain streaks (or stripes) from one image.

    The image is rotated so that streaks are vertical and decomposed into background X and rain R by
    minimising Eq. 3 (`udg.objective`); R is rotated back and subtracted from the image.

    Left to itself, it first decides whether there is rain at all (`udg.detection.rain_level`), and
    decomposes the darkest colour channel (without those that the illuminant lacks: no blue under
    sodium lamps), in a copy that is so small that its streaks are a few pixels wide
    (`udg.detection.scale`). It solves in stages: a first one over-detects, the next reweights the
    ℓ1 norm of R by how streak-like each line is (`udg.detection.reweighting`), and further
    directions follow while they are certain. ``gap`` is then the certificate of the last stage.

    **With tau, lam_x and lam_y given, it is the paper's Eq. 3 with these weights** (and `lam_r` if
    given): one stage, no judgement of the picture; ``objective`` and ``gap`` are of that energy.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        uint8, uint16, or float in [0, 1]; grey, RGB, either with alpha, or bands. NumPy or CuPy.
    tau, lam_x, lam_y, lam_r : float, optional
        Weights for values in [0, 1]; see `Weights` for the direction in which each pushes. Default:
        those of `RAIN_WEIGHTS`, less in pictures of little contrast and in heavy rain if none is
        given (`udg.detection.weights`), or, for stripes, of `STRIPE_WEIGHTS`. With the first three,
        `lam_r` is 0 by default.
    widest, shortest : float, optional
        `lam_r` and `lam_x` by what they mean, in pixels: a bright line is left from this width on,
        and if it is one pixel wide up to this length (`udg.model.sizes.weights_for_streaks`). As
        they set proportions only, the other weights still follow the picture's contrast. `strength`
        moves these as well.
    strength : float
        In [0, 1]: moves along the ratio lam_x : lam_y. Higher removes more streaks and more
        details; 0.5 keeps the weights as they are (`Weights.with_strength`).
    model : {"rain", "signed", "stripes"}, optional
        ``"rain"`` (default): rain only adds light, 0 ≤ R ≤ Y, and is sparse (`lam_r` > 0).
        ``"signed"``, or ``"stripes"``: Eq. 3 as printed, R of any sign.
    angle : float, "auto" or sequence of float
        Degrees clockwise from vertical; a streak like ``/`` is positive. ``"auto"`` estimates it.
        A sequence removes rain of several directions, one after the other.
    angle_limit : float, optional
        Largest angle that ``"auto"`` considers; default 45 for rain, 90 for stripes.
    convergence : float or "auto", optional
        How the streaks converge, in degrees within ±20, as in `Result`. ``"auto"``, the rain
        model's default, looks for it where the angle is estimated
        (`udg.detection.convergence.estimate_convergence`); parallel ones, 0, is the default for
        stripes and where an angle is given.
    n_layers : int or "auto", optional
        With ``angle="auto"`` (given angles are as many layers as they are): how many directions
        of rain to remove, one after the other. ``"auto"`` goes on, at most to 4, while what is
        left still shows rain in a new direction, with a rain level and a confidence of at least
        0.5 and 0.45 and lines that are likelier streaks than not. Default: ``"auto"`` where the
        rain level is judged as well, else 1.
    rain_level : float or "auto"
        Rain model: how certain it is, in [0, 1], that there is rain. 0 leaves the picture as it is;
        less than 1 takes only what stands out. ``"auto"`` judges it from the picture, or takes 1
        if an angle is given.
    stages : int, optional
        Rain model: how often to solve. 1 solves the plain convex problem; otherwise an even number:
        every second stage reweights what the one before it found, and each pair goes on with what
        the ones before left (boosting [2]_). Default 2; 1 with given weights and in the signed
        model.
    working_scale : float or "auto"
        Rain model: size of the copy that is solved, relative to the image: 1 is full resolution,
        1/2 a copy of half the width and height, and so on. What is found is brought back with the
        image's own details. ``"auto"`` takes 1, 1/2, 1/4 or 1/8: the size at which the most light
        is seen to be of streaks, with a shorter side of at least 256 pixels; 1 with given weights,
        `widest` or `shortest`, which are in pixels.
    method : {"primal-dual", "joint", "alternating"} or Method, optional
        By name, or with options: ``udg.Joint(along=8)``. All reach the same minimum; default
        ``"primal-dual"``. ``"alternating"`` is the paper's, slow, and makes the paper's model the
        default (`PAPER`).
    boundary : {"reflecting", "periodic"}, optional
        How the solved frame goes on beyond its edges; default reflecting.
    gauge : {"median", "mean"}, optional
        Signed model: which statistic of ``rain`` is made zero, for Eq. 3 does not tell a constant
        in R from one in X. Default ``"median"``: most of a picture is taken to be free of rain
        or stripes; ``"mean"`` keeps the picture's mean. In the rain model `lam_r` decides; without
        it, the least rain is taken.
    streaks : {"rain", "stripes"}, optional
        What the signed model looks for. ``"stripes"`` (its default): the angle is found from
        details of both signs, and the frame is oversampled twice across them. ``"rain"``: from
        bright details, in a frame of the picture's own resolution, as in the rain model and in
        `PAPER`.
    tol : float
        Stop when the gap, a proven bound on the relative distance from the minimum, is at most
        this.
    max_iter : int, optional
        Stop after so many iterations anyway, of a pair of stages together. Default: the method's
        own.
    data_range : float or (float, float), optional
        Value of full light, or of none and full; see `udg.imaging.image.prepare`.
    warm_start : Result, optional
        Start from an earlier result of the same image shape and angle.
    history : bool
        Keep a `Checkpoint` at each look at the gap.
    callback : callable, optional
        Called with `Progress`: what is being done and how far it is. A true answer stops the
        iteration, and what was found until then is the result.

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
    .. [2] J. W. Tukey, "Exploratory Data Analysis", Addison-Wesley 1977, ch. 16 (twicing).

    Examples
    --------
    >>> import numpy as np, udg
    >>> clean = np.full((64, 64), 0.4, dtype=np.float32)
    >>> rainy = udg.synthesize(clean, angle=10, seed=1).rainy
    >>> result = udg.solve(rainy, angle=10)
    >>> bool(np.abs(result.derained - clean).mean() < 0.3 * np.abs(rainy - clean).mean())
    True
    """
    request = resolve(
        angle,
        n_layers,
        tau=tau,
        lam_x=lam_x,
        lam_y=lam_y,
        lam_r=lam_r,
        widest=widest,
        shortest=shortest,
        strength=strength,
        model=model,
        streaks=streaks,
        angle_limit=angle_limit,
        convergence=convergence,
        rain_level=rain_level,
        stages=stages,
        working_scale=working_scale,
        method=method,
        boundary=boundary,
        gauge=gauge,
        tol=tol,
        max_iter=max_iter,
    )
    if warm_start is not None:
        if len(request.angles) > 1 and not (request.while_new and n_layers is None):
            raise InvalidInput("warm_start is for one direction; leave it out with several")
        request = request._replace(angles=request.angles[:1])
    return solve_request(image, request, data_range, warm_start, history, callback)


def solve_request(
    image: Array,
    request: Request,
    data_range: DataRange | None = None,
    warm_start: Result | None = None,
    history: bool = False,
    callback: Callback | None = None,
) -> Result:
    """Run the pipeline on a picture in memory.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        As in `solve`.
    request : Request
        What `udg.pipeline.options.resolve` makes of the other arguments.
    data_range, warm_start, history, callback
        As in `solve`.

    Returns
    -------
    Result
    """
    began = time.perf_counter()
    reporter = Reporter(callback)
    picture = _Whole(prepare(image, data_range), reporter, warm_start, history=history)
    result = picture.result(derain(picture, request, reporter))
    return replace(result, seconds=time.perf_counter() - began)


@dataclass
class _Found:
    """What was found in one direction."""

    before: PreparedImage  # what the directions before left
    last: WindowResult
    rain: Array
    shift: float


class _Whole:
    """A picture in one window, which keeps everything in memory."""

    def __init__(
        self,
        image: PreparedImage,
        reporter: Reporter,
        warm_start: Result | None,
        *,
        history: bool,
    ) -> None:
        self.image = image
        self.working = self.left = image  # what is solved: the image or a smaller copy
        self.found: list[_Found] = []
        self.rain: Array = None  # of all directions
        self._reporter, self._warm_start, self._history = reporter, warm_start, history
        self._last: WindowResult | None = None
        self._decision: Decision | None = None  # of the present direction

    def overview(self) -> PreparedImage:
        return self.left

    def window(self, rows: slice, columns: slice) -> Array:
        return self.image.pixels[rows, columns]

    def reduce(self, step: int) -> tuple[int, ...]:
        self.working = self.left = replace(self.image, pixels=reduced(self.image.pixels, step))
        return self.working.shape

    def rows(self, rows: slice) -> Array:
        return self.left.pixels[rows]

    def solve(self, decision: Decision, stage: Stage, density: RainDensity | None) -> Rows:
        warm, self._warm_start = self._warm_start, None
        height, width = self.left.shape[:2]
        self._last = solve_window(
            self.left.pixels,
            (slice(0, height), slice(0, width)),
            decision,
            stage,
            self._last if stage.reweighted else None,
            density,
            start=None if warm is None else lambda problem: _earlier(warm, problem),
            history=self._history,
            callback=_Watch(self._reporter, decision.tol(stage)),
        )
        return [(0, self._last.rain)]

    def solved(self) -> list[WindowResult]:
        return [] if self._last is None else [self._last]

    def take(self, decision: Decision, rain: Rows) -> None:
        ((_, layer),) = rain
        last = self._last
        assert last is not None
        shift = 0.0
        if gauges.is_free(decision.options) and not decision.dry:
            shift = gauges.constant(layer, decision.options)
            layer = layer - shift
        if self._decision is not decision:
            self._decision = decision
            self.found.append(_Found(self.left, last, layer, shift))
        else:
            one = self.found[-1]
            one.last, one.rain, one.shift = last, one.rain + layer, shift
        self.rain = layer if self.rain is None else self.rain + layer
        left = self.working.subtract(self.rain, decision.illuminant)
        self.left = replace(self.working, pixels=left)

    def result(self, layers: list[Layer]) -> Result:
        """Everything that is known."""
        working, decision = self.working, layers[0].decision
        scale = working.thumbnail_scale(working.shape)
        fraction = 0.0
        if decision.options.model == "rain" and not decision.dry:
            small = shrunk(BlockMeans.of(to_numpy(self.rain), scale), self.rain.shape, scale)
            fraction = screen_fraction(decision, working.thumbnail, small)
        pixels = self.working.pixels if decision.step > 1 else None
        finished = finish(self.image.pixels, self.rain, decision, fraction, pixels)
        pairs = list(zip(layers, self.found, strict=True))
        if len(pairs) == 1:
            return self._layer(*pairs[0], self.image, finished, fraction)
        results, left = [], self.image
        for layer, found in pairs:
            rain = found.rain
            if decision.step > 1:
                rain = full_rain(left, rain, found.before, layer.decision)
            after = left.subtract(rain, decision.illuminant)
            results.append(self._layer(layer, found, left, (after, rain), 0.0))
            left = replace(left, pixels=after)
        return replace(
            results[0],
            derained=finished[0],
            rain=finished[1],
            image=self.image,
            layers=tuple(results),
            screen_fraction=fraction,
        )

    def _layer(
        self,
        layer: Layer,
        found: _Found,
        image: PreparedImage,
        finished: tuple[Array, Array],
        fraction: float,
    ) -> Result:
        decision, stages = layer.decision, layer.stages
        problem, minimum = found.last.problem, found.last.minimum
        assert problem is not None
        ended: Reason = next((one.reason for one in stages if one.reason != "gap"), "gap")
        return Result(
            derained=finished[0],
            rain=finished[1],
            rain_level=decision.rain_level,
            angle=decision.angle,
            confidence=decision.confidence,
            convergence=decision.convergence,
            weights=stages[0].weights,
            model=decision.options.model,
            objective=minimum.objective,
            gap=minimum.gap,
            iterations=sum(round(one.iterations) for one in stages),
            seconds=layer.seconds,
            iteration_seconds=sum(one.seconds for one in stages),
            reason=ended,
            stages=stages,
            solved=Solved(problem, *minimum.estimate, found.last.frame),
            image=image,
            shift=found.shift,
            working_scale=1 / decision.step,
            screen_fraction=fraction,
        )


def _earlier(result: Result, problem: Problem) -> Estimate:
    shape, wanted = tuple(result.solved.Y.shape), tuple(problem.Y.shape)
    if shape != wanted:
        raise InvalidInput(
            f"warm_start was solved in a frame of {shape[0]}×{shape[1]}, this image in one of "
            f"{wanted[0]}×{wanted[1]}; give a result of the same image shape and angle"
        )
    # The plane that was solved last may be what earlier rounds left: this is the whole picture's.
    R = problem.feasible(problem.Y - result.solved.X)
    return Estimate(problem.Y - R, R, result.solved.duals)


class _Watch:
    """Tells how far a stage is, by the logarithm of its gap."""

    def __init__(self, reporter: Reporter, tol: float) -> None:
        self._reporter, self._tol = reporter, max(tol, 1e-12)
        self._first: float | None = None

    def __call__(self, checkpoint: Checkpoint) -> bool:
        gap = min(max(checkpoint.gap, self._tol), 1.0)  # it may be infinite at first
        if self._first is None:
            self._first = max(gap, 2 * self._tol)
        part = math.log(self._first / gap) / math.log(self._first / self._tol)
        return self._reporter.solved(min(max(part, 0.0), 1.0), checkpoint)
