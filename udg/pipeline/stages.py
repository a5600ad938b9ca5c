"""The pipeline: what is done to a picture, in which order. It is written nowhere else.

::

    for each direction of rain:
        decide      direction, convergence, rain level, weights of every stage
        reduce      once: to the size at which streaks are thin
        for each round (boosting):
            stage       over-detect: solve with little sparsity, in every window
            density     how much rain there is around each place
            stage       solve again, with the ℓ1 norm reweighted
            subtract    what was found; the next round goes on with what is left
    finish              bring all rain back to full size, subtract it, restore chroma

`derain` is the loop. Executors of it (`Picture`) differ in where pixels and results are kept: the
whole picture in one window (`udg.pipeline.whole`) or many windows and temporary files
(`udg.pipeline.tiles`); `udg.pipeline.dask` builds a graph of the same functions.

References
----------
Going on with the residual is boosting, for two rounds "twicing": J. W. Tukey, "Exploratory Data
Analysis", Addison-Wesley 1977, ch. 16. Reweighting is that of Candès, Wakin and Boyd (2008).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace

from udg.backend import bands, clip, ndimage_of, to_numpy
from udg.detection.density import RainDensity
from udg.detection.reweighting import draft_sparsity, logit_threshold, sparsity_map
from udg.detection.weights import contrast, for_contrast, for_heavy_rain, uncertainty
from udg.imaging.chroma import restore_chroma
from udg.imaging.geometry import Frame, Window, compensate_interpolation
from udg.imaging.illuminant import Illuminant, estimate_illuminant
from udg.imaging.image import Overview, PreparedImage
from udg.imaging.scale import enlarged, line_of, reduced
from udg.model.duality import Duals, divergence
from udg.model.energy import Problem, Weights
from udg.optim.loop import Checkpoint, Minimum, Reason, minimize
from udg.optim.method import Estimate
from udg.pipeline.options import Asked, Options, Request
from udg.pipeline.progress import Reporter

if TYPE_CHECKING:
    from udg.detection.angle import Angle

__all__ = [
    "Decision",
    "Layer",
    "Picture",
    "Stage",
    "StageResult",
    "WindowResult",
    "decide",
    "derain",
    "finish",
    "full_rain",
    "measure_density",
    "observed_plane",
    "schedule",
    "screen_fraction",
    "solve_window",
    "stage_result",
    "window_problem",
    "working_step",
]

_log = logging.getLogger(__name__)

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_FULL = 0.98  # light beside which rain cannot be told …
_THICK = 9  # … over so many pixels across
_DRAFT_TOL = 0.1  # gap of all stages but the last of a round: its rain is looked at, not taken
_NEW_DIRECTION = 8.0  # degrees; nearer than this to an earlier one is the same rain
_MIN_LEVEL, _MIN_CONFIDENCE = 0.5, 0.45  # that another direction must have


# What is decided, and what follows from it for each stage


class Stage(NamedTuple):
    """One solve of the whole picture.

    Attributes
    ----------
    number : int
        From 0.
    total : int
        How many there are.
    boost : int
        Which round it belongs to, from 0: each goes on with what the ones before left.
    reweighted : bool
        Whether the ℓ1 norm is reweighted by what the stage before found.
    last : bool
        Whether it is the last one of its round.
    """

    number: int
    total: int
    boost: int
    reweighted: bool
    last: bool


@dataclass(frozen=True)
class Decision:
    """What is decided once for a direction of rain in a whole picture; can be pickled.

    Attributes
    ----------
    options : Options
    shape : tuple of int
        Of the picture, or of the smaller copy that is solved.
    data_range : (float, float)
        The values of no light and of full light.
    illuminant : Illuminant or None
        None in usual light.
    angle : float
        Of the streaks in the picture's centre, degrees clockwise from vertical.
    confidence : float or None
        That of the estimated angle; None if it was given.
    convergence : float
        Degrees; see `udg.imaging.geometry.rotate`.
    rain_level : float
        In [0, 1].
    mean_rain : float
        Mean light to be expected of rain; 0 if it was not measured.
    streak_logit : float or None
        Mean streak logit of what may be rain; None if it was not measured.
    adapted : (Weights, Weights)
        For the picture's contrast: of the first round, and of those after it. Haze makes streaks
        wide; what is wide and left after a round is haze.
    step : int
        Pixels of the picture, along a side, that are one of the copy that is solved.
    """

    options: Options
    shape: tuple[int, ...]
    data_range: tuple[float, float]
    illuminant: Illuminant | None
    angle: float
    confidence: float | None
    convergence: float
    rain_level: float
    mean_rain: float
    streak_logit: float | None
    adapted: tuple[Weights, Weights]
    step: int = 1

    @property
    def dry(self) -> bool:
        """Whether there is no rain to be taken."""
        return self.options.model == "rain" and self.rain_level == 0

    @property
    def threshold(self) -> float:
        """The streak logit at which a line's weight is neither raised nor lowered."""
        return logit_threshold(self.streak_logit, self.rain_level, self.options.reweighting)

    def weights(self, stage: Stage) -> Weights:
        """The weights of a stage, for differences between the picture's pixels."""
        first, rest = self.adapted
        if stage.boost:
            return rest  # what poured was found by the first round
        if self.options.follow_contrast and self.options.follow_haze:
            return for_heavy_rain(first, self.mean_rain)
        return first

    def sparsity(self, stage: Stage) -> float:
        """Factor on `lam_r` in all of the picture."""
        if self.options.model == "signed":
            return 1.0
        factor, draft = uncertainty(self.rain_level), not (stage.last or stage.boost)
        return draft_sparsity(factor, draft=draft, parameters=self.options.reweighting)

    def tol(self, stage: Stage) -> float:
        """The gap to stop at: what only proposes need not be exact."""
        tol = self.options.tol
        return tol if stage.last else max(tol, _DRAFT_TOL)

    def frame(self, window: Window) -> Frame:
        """The frame of a window."""
        oversampling = self.options.oversampling
        return Frame.of(self.shape, self.angle, self.convergence, oversampling, window)

    def found(self, angle: float) -> Decision:
        """The same with a window's own angle for the picture's."""
        return replace(self, angle=angle, convergence=0.0)


def decide(
    overview: PreparedImage | Overview,
    request: Request,
    asked: Asked,
    earlier: Sequence[Decision] = (),
) -> Decision | None:
    """Decide on a direction of rain, from an overview of the whole picture.

    Parameters
    ----------
    overview : PreparedImage or Overview
        The picture without the rain found so far.
    request : Request
    asked : float or "auto"
        The angle that is asked for.
    earlier : sequence of Decision
        On directions before this one. Weights and illuminant are those of the picture as it was.

    Returns
    -------
    Decision or None
        None if only new directions are asked for and this is none: too near to an earlier one, or
        not certain enough.
    """
    from udg.detection.angle import estimate_angle, shrunk_luma

    options = request.options
    if earlier:
        illuminant, adapted = earlier[0].illuminant, earlier[0].adapted
    else:
        illuminant = estimate_illuminant(overview.thumbnail) if options.model == "rain" else None
        adapted = _adapted(overview, options, illuminant)
    decision = Decision(
        options,
        overview.shape,
        (overview.low, overview.high),
        illuminant,
        angle=0.0 if asked == "auto" else float(asked),
        confidence=None,
        convergence=0.0 if options.convergence == "auto" else options.convergence,
        rain_level=1.0 if options.rain_level == "auto" else options.rain_level,
        mean_rain=0.0,
        streak_logit=None,
        adapted=adapted,
        step=earlier[0].step if earlier else 1,
    )
    if asked != "auto":
        return decision
    small = shrunk_luma(to_numpy(overview.luma()))
    found = estimate_angle(small, limit=options.angle_limit, sign=options.sign)
    new = bool(request.while_new and earlier)
    if new and not (_is_new(found, earlier) and _may_be_rain(found, decision, overview)):
        return None
    decision = _measured(decision, found, small, overview)
    return None if new and not _is_rain(decision) else decision


def _adapted(
    overview: PreparedImage | Overview, options: Options, illuminant: Illuminant | None
) -> tuple[Weights, Weights]:
    if not options.follow_contrast:
        return options.weights, options.weights
    clear = contrast(overview, illuminant)
    wide, narrow = (
        for_contrast(options.weights, clear, widen=widen) for widen in (options.follow_haze, False)
    )
    return wide, narrow


def _measured(
    decision: Decision, found: Angle, small: Floats, overview: PreparedImage | Overview
) -> Decision:
    """The decision with the angle, and with what is open of convergence and rain level."""
    options = decision.options
    decision = replace(decision, angle=found.degrees, confidence=found.confidence)
    if options.convergence == "auto":
        from udg.detection.convergence import estimate_convergence

        angle, convergence = estimate_convergence(small, found, limit=options.angle_limit)
        decision = replace(decision, angle=angle, convergence=convergence)
    if options.model != "rain" or options.rain_level != "auto":
        return decision
    from udg.detection.rain_level import evidence, level_from_logit

    seen = evidence(
        overview, decision.angle, found.confidence, decision.illuminant, decision.convergence
    )
    level = level_from_logit(seen.logit, seen.mean_rain)
    return replace(
        decision,
        rain_level=level,
        mean_rain=level * seen.mean_rain,
        streak_logit=seen.streak_logit,
    )


def _is_new(found: Angle, earlier: Sequence[Decision]) -> bool:
    """Whether a direction is surely seen that is not what is left of those before."""
    known = any(abs(found.degrees - one.angle) < _NEW_DIRECTION for one in earlier)
    return not known and found.confidence >= _MIN_CONFIDENCE


def _may_be_rain(found: Angle, decision: Decision, overview: PreparedImage | Overview) -> bool:
    """Whether a further direction is worth its evidence."""
    from udg.detection.quick import streak_logit

    options = decision.options
    if options.model != "rain" or options.rain_level != "auto":
        return True
    return streak_logit(overview.thumbnail, found.degrees, decision.illuminant) > 0


def _is_rain(decision: Decision) -> bool:
    """Whether a further direction is surely rain: its lines are streaks rather than the scene's."""
    likely = decision.streak_logit is None or decision.streak_logit > 0
    return decision.rain_level >= _MIN_LEVEL and likely


def working_step(picture: Picture, decision: Decision) -> int:
    """Choose how many pixels of a picture, along a side, are one of the copy that is solved.

    Parameters
    ----------
    picture : Picture
        As it is.
    decision : Decision
        On the first direction.

    Returns
    -------
    int
        1 solves the picture itself.
    """
    if decision.dry:
        return 1
    if decision.options.step is not None:
        return min(decision.options.step, *decision.shape[:2])
    from udg.detection.scale import best_step, steps_for

    def part(step: int, side: int) -> PreparedImage:
        middle = (_middle(length, step * side) for length in decision.shape[:2])
        pixels = reduced(picture.window(*middle), step)
        return PreparedImage(to_numpy(pixels), *decision.data_range)

    steps = steps_for(decision.shape)
    return best_step(part, steps, decision.angle, decision.illuminant)


def _middle(length: int, most: int) -> slice:
    """The middle of a side, at most so many pixels."""
    start = max(0, length - most) // 2
    return slice(start, start + min(length, most))


def schedule(options: Options, decision: Decision | None = None) -> tuple[Stage, ...]:
    """List the stages for a direction of rain.

    Parameters
    ----------
    options : Options
    decision : Decision, optional
        A dry one needs a single stage, whose R is zero. Without one, all stages that there may be.

    Returns
    -------
    tuple of Stage
    """
    if options.stages == 1 or (decision is not None and decision.dry):
        return (Stage(0, 1, 0, reweighted=False, last=True),)
    return tuple(
        Stage(number, options.stages, number // 2, bool(number % 2), last=bool(number % 2))
        for number in range(options.stages)
    )


# One stage in one window


class WindowResult(NamedTuple):
    """What a stage made of a window.

    Attributes
    ----------
    rain : array, float32, shape (H, W)
        In the picture's frame; None where nothing needs it any more.
    frame : Frame
        In which it was solved.
    problem : Problem or None
        What was minimised; None where the next stage has to make it anew.
    minimum : Minimum
    stage : Stage
        In which it was solved: an earlier one, if no iterations were left.
    spent : int
        Iterations of the stages before it in this round.
    """

    rain: Array
    frame: Frame
    problem: Problem | None
    minimum: Minimum
    stage: Stage
    spent: int = 0


def observed_plane(image: PreparedImage, decision: Decision) -> Array:
    """The plane that is decomposed: the darkest lit channel for rain, luma for stripes."""
    rain = decision.options.model == "rain"
    return image.darkest(decision.illuminant) if rain else image.luma()


def window_problem(plane: Array, decision: Decision, stage: Stage, frame: Frame) -> Problem:
    """What is to be minimised in a window's frame, without what an earlier stage has to say.

    Parameters
    ----------
    plane : array, shape (H, W)
        `observed_plane` of the window.
    decision : Decision
    stage : Stage
    frame : Frame

    Returns
    -------
    Problem
    """
    options, Y = decision.options, frame.rotate(plane)
    weights = decision.weights(stage)
    # Differences across shrink with the samples' distance; the weight keeps its meaning.
    weights = replace(weights, lam_y=frame.oversampling * weights.lam_y)
    problem = Problem(Y, weights, options.model, options.boundary)
    xp = array_namespace(Y)
    if decision.dry:
        return replace(problem, upper_bound=xp.zeros_like(Y))
    if options.model == "signed":
        return problem
    if (factor := decision.sparsity(stage)) != 1:
        problem = replace(problem, sparsity_map=xp.full_like(Y, factor))
    if options.exact:
        return problem
    # Before a lamp or a white sky rain does not show; a thin streak may be as bright.
    size, of = _THICK * frame.oversampling, ndimage_of(Y)
    full = of.minimum_filter1d(Y, size, axis=1, mode="nearest") >= _FULL
    if not bool(xp.any(full)):
        return problem
    return replace(problem, upper_bound=xp.where(full, xp.zeros_like(Y), Y))


def solve_window(
    pixels: Array,
    window: Window,
    decision: Decision,
    stage: Stage,
    previous: WindowResult | None = None,
    density: RainDensity | None = None,
    *,
    start: Callable[[Problem], Estimate] | None = None,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> WindowResult:
    """Solve one stage in one window.

    Parameters
    ----------
    pixels : array, shape (H, W) or (H, W, C)
        The window's part of the picture, without the rain of earlier rounds.
    window : (slice, slice)
        Where it lies in the picture.
    decision : Decision
    stage : Stage
    previous : WindowResult, optional
        Of the stage before in this round; its arrays are used up.
    density : RainDensity, optional
        Of the whole picture after the stage before; for reweighted stages.
    start : callable, optional
        Gives the estimate from which the first stage of a round starts.
    history, callback
        As in `udg.minimize`.

    Returns
    -------
    WindowResult
    """
    image = PreparedImage(pixels, *decision.data_range)
    plane = observed_plane(image, decision)
    frame = _window_frame(image, window, decision) if previous is None else previous.frame
    if previous is None or previous.problem is None:
        problem = window_problem(plane, decision, stage, frame)
    else:
        problem = previous.problem
    spent, warm = 0, None
    if previous is not None:
        if previous.minimum.reason != "gap":  # no iterations are left for this stage
            return _unrotated(previous._replace(problem=problem), plane, decision, last=True)
        assert density is not None
        warm = _complete(problem, previous.minimum.estimate)
        factor = _reweighted(image, problem, warm.R, window, decision, stage, frame, density)
        problem = replace(problem, sparsity_map=factor)
        spent = previous.spent + previous.minimum.iterations
    elif start is not None:
        warm = start(problem)
    minimum = minimize(
        problem,
        decision.options.method,
        tol=decision.tol(stage),
        max_iter=decision.options.max_iter - spent,
        warm_start=warm,
        reuse=previous is not None,
        history=history,
        callback=callback,
    )
    last = stage.last or minimum.reason == "callback"
    result = WindowResult(None, frame, problem, minimum, stage, spent)
    return _unrotated(result, plane, decision, last=last)


def _window_frame(image: PreparedImage, window: Window, decision: Decision) -> Frame:
    """The picture's direction there, or the window's own where it is asked for and has one."""
    if decision.options.angle_per_window:
        from udg.detection.angle import estimate_angle

        options = decision.options
        own = estimate_angle(image.luma(), limit=options.angle_limit, sign=options.sign)
        if own.confidence > 0:
            decision = decision.found(own.degrees)
    return decision.frame(window)


def _complete(problem: Problem, estimate: Estimate) -> Estimate:
    """The estimate with the X that belongs to it, if that was not kept."""
    if estimate.X is not None:
        return estimate
    xp = array_namespace(problem.Y)
    R, *duals = (xp.asarray(u) for u in (estimate.R, *estimate.duals))
    known = Duals(*duals)
    return Estimate(problem.Y - R - divergence(problem, known), R, known)


def _reweighted(
    image: PreparedImage,
    problem: Problem,
    R: Array,
    window: Window,
    decision: Decision,
    stage: Stage,
    frame: Frame,
    density: RainDensity,
) -> Array:
    """The sparsity map of a window, from what the stage before found there and around."""
    xp = array_namespace(R)
    around = density.window(*window).rotated(lambda plane: frame.rotate(xp.asarray(plane)))
    factor = sparsity_map(
        problem.Y,
        R,
        frame.rotate(image.brightest(decision.illuminant)),
        around,
        decision.weights(stage).lam_r,
        decision.threshold,
        decision.options.reweighting,
    )
    return xp.astype(decision.sparsity(stage) * factor, xp.float32)


def _unrotated(
    result: WindowResult, plane: Array, decision: Decision, *, last: bool
) -> WindowResult:
    """The result with its rain in the picture's frame.

    Only the last stage of a round restores what interpolation lost: density is told from what was
    found.
    """
    frame, problem, R = result.frame, result.problem, result.minimum.estimate.R
    assert problem is not None
    rain = frame.unrotate(array_namespace(plane).asarray(R))
    if last and decision.options.model == "rain" and frame.interpolates:
        rain = compensate_interpolation(rain, plane, frame.unrotate(problem.Y))
    return result._replace(rain=rain)


# The whole picture


@dataclass(frozen=True)
class StageResult:
    """What a stage of a whole picture was, and how it ended.

    Attributes
    ----------
    weights : Weights
        For differences between the picture's pixels; `lam_r` is multiplied by a sparsity map where
        the stage is ``reweighted`` or the rain level is below 1.
    reweighted : bool
        Whether the ℓ1 norm was reweighted by what the stage before found.
    boost : int
        Which round it belongs to, from 0: each decomposes what the ones before left.
    objective : float or None
        Energy of X and R; None if there were several windows.
    gap : float
        Proven bound on (E − E*) / E, E* being the minimum of this stage's energy; of several
        windows the largest.
    iterations : float
        Of this stage; of several windows their mean.
    seconds : float
        Time spent iterating, of all windows.
    reason : {"gap", "max_iter", "callback"}
        Why the iteration stopped; ``"gap"`` if that is why all windows' did.
    angles : tuple of float
        Of each window, in its centre.
    history : tuple of Checkpoint
        Empty unless asked for.
    """

    weights: Weights
    reweighted: bool
    boost: int
    objective: float | None
    gap: float
    iterations: float
    seconds: float
    reason: Reason
    angles: tuple[float, ...]
    history: tuple[Checkpoint, ...] = ()


def stage_result(
    results: Sequence[WindowResult], decision: Decision, stage: Stage
) -> StageResult | None:
    """Summarise what a stage made of all windows; None if it solved none."""
    solved = [one for one in results if one.stage == stage]
    if not solved:
        return None
    minima, single = [one.minimum for one in results], len(results) == 1
    return StageResult(
        decision.weights(stage),
        stage.reweighted,
        stage.boost,
        objective=minima[0].objective if single else None,
        gap=max(minimum.gap for minimum in minima),
        iterations=sum(one.minimum.iterations for one in solved) / len(results),
        seconds=sum(one.minimum.seconds for one in solved),
        reason=next((one.reason for one in minima if one.reason != "gap"), "gap"),
        angles=tuple(one.frame.own_angle for one in results),
        history=minima[0].history if single else (),
    )


class Layer(NamedTuple):
    """A direction of rain.

    Attributes
    ----------
    decision : Decision
    stages : tuple of StageResult
        Those that were solved.
    seconds : float
        That passed until its rain was taken, decisions included.
    """

    decision: Decision
    stages: tuple[StageResult, ...]
    seconds: float


# From top to bottom: where rows of a plane begin, and these. Only where a callback can stop the
# iteration may they be asked for twice.
Rows = Iterable[tuple[int, Array]]


class Picture(Protocol):
    """A picture that the pipeline is executed on: where its pixels and intermediate results are."""

    def overview(self) -> PreparedImage | Overview:
        """What is left of the picture after the rain that was taken, for decisions."""

    def window(self, rows: slice, columns: slice) -> Array:
        """Pixels of the picture."""

    def reduce(self, step: int) -> tuple[int, ...]:
        """Go on with a copy, ``step`` times smaller; return its shape."""

    def rows(self, rows: slice) -> Array:
        """Pixels of what is left."""

    def solve(self, decision: Decision, stage: Stage, density: RainDensity | None) -> Rows:
        """Solve a stage in every window, starting from the stage before in the same round."""

    def solved(self) -> Sequence[WindowResult]:
        """What is known of each window, once the last stage's rows were used up."""

    def take(self, decision: Decision, rain: Rows) -> None:
        """Take rain out of what is left, and forget the round's intermediate results."""


def derain(picture: Picture, request: Request, reporter: Reporter) -> list[Layer]:
    """Take rain out of a picture, one direction after the other.

    Parameters
    ----------
    picture : Picture
        Knows afterwards what was taken.
    request : Request
    reporter : Reporter

    Returns
    -------
    list of Layer
        One a direction; at least one.
    """
    layers: list[Layer] = []
    for asked in request.angles:
        reporter.deciding()
        began = time.perf_counter()
        earlier = [layer.decision for layer in layers]
        decision = decide(picture.overview(), request, asked, earlier)
        if decision is None:
            break
        if not earlier and (step := working_step(picture, decision)) > 1:
            decision = replace(decision, shape=picture.reduce(step), step=step)
        found = decision.angle, decision.convergence, decision.rain_level
        _log.info(
            "direction %d: %.1f°, convergence %.1f°, rain level %.2f", len(earlier) + 1, *found
        )
        if decision.step > 1:
            _log.info("solved in a copy of 1/%d of the size", decision.step)
        solved: list[StageResult] = []
        density: RainDensity | None = None
        stopped = False
        for stage in schedule(request.options, decision):
            reporter.stage(stage.number, stage.total)
            rain = picture.solve(decision, stage, density)
            if stage.last:
                picture.take(decision, rain)
            else:
                density = measure_density(picture, decision, rain)
            if (result := stage_result(picture.solved(), decision, stage)) is not None:
                solved.append(result)
                weights = " ".join(f"{k}={v:.3g}" for k, v in asdict(result.weights).items())
                ended = weights, result.gap, result.iterations, result.reason
                _log.info("stage %d: %s, gap %.2g, %.0f iterations (%s)", stage.number + 1, *ended)
                stopped = result.reason == "callback"
            if stopped:
                if not stage.last:
                    picture.take(decision, rain)
                break
        layers.append(Layer(decision, tuple(solved), time.perf_counter() - began))
        if stopped or (request.while_new and decision.dry):
            break
    reporter.finishing()
    return layers


def measure_density(picture: Picture, decision: Decision, rain: Rows) -> RainDensity:
    """Measure how much rain and texture there is around each place.

    Parameters
    ----------
    picture : Picture
    decision : Decision
    rain : iterable of (int, array)
        What a stage found, before anything is restored.

    Returns
    -------
    RainDensity
    """
    density = RainDensity(decision.shape, decision.angle)
    for top, part in rain:
        for rows, _ in bands(part.shape):
            here = slice(top + rows.start, top + rows.stop)
            image = PreparedImage(picture.rows(here), *decision.data_range)
            plane = observed_plane(image, decision)
            density.add(here.start, to_numpy(part[rows]), to_numpy(plane))
    return density


def screen_fraction(decision: Decision, thumbnail: Floats, rain: Floats) -> float:
    """Estimate how much of a screen blend a picture's rain is.

    Parameters
    ----------
    decision : Decision
    thumbnail, rain : array, shape (h, w, colours) and (h, w)
        The picture and all of its rain, as thumbnails.

    Returns
    -------
    float
        In [0, 1]; 0 where nothing can be told from colours: stripes, coloured light.
    """
    if decision.options.model != "rain" or decision.illuminant is not None or not rain.any():
        return 0.0
    from udg.imaging.compositing import estimate_screen_fraction

    return estimate_screen_fraction(thumbnail, rain)


def full_rain(
    image: PreparedImage, rain: Array, small: PreparedImage, decision: Decision, top: int = 0
) -> Array:
    """Bring rain that was solved in a smaller copy back to full size.

    Parameters
    ----------
    image : PreparedImage
        At full size: shape (H, W) or (H, W, C).
    rain : array, shape (h, w)
    small : PreparedImage
        The copy in which it was solved.
    decision : Decision
    top : int
        As for `finish`.

    Returns
    -------
    array, float32, shape (H, W)
        Between 0 and the observed plane.
    """
    line = line_of(rain, observed_plane(small, decision))
    return line.at(observed_plane(image, decision), decision.step, top)


def finish(
    pixels: Array,
    rain: Array,
    decision: Decision,
    fraction: float,
    working: Array = None,
    top: int = 0,
) -> tuple[Array, Array]:
    """Subtract the rain from a picture's own pixels, and restore the chroma under it.

    Parameters
    ----------
    pixels : array, shape (H, W) or (H, W, C)
    rain : array, shape (H, W), or of ``working``
        All that was found.
    decision : Decision
    fraction : float
        `screen_fraction` of the whole picture.
    working : array, optional
        The copy that was solved, if that was a smaller one.
    top : int
        Where ``pixels`` begin, if ``working`` has more around them: the row, at full size, counted
        from the first of ``working``; a multiple of the step.

    Returns
    -------
    derained : array, float32, the shape of ``pixels``
        In the picture's range. Pixels near the edge of a part need ``udg.imaging.chroma.REACH``
        pixels around them, or with a smaller copy ``udg.imaging.scale.REACH`` of its own.
    rain : array, float32, shape (H, W)
        At full size.
    """
    low, high = decision.data_range
    image, illuminant, step = PreparedImage(pixels, low, high), decision.illuminant, decision.step
    restored = decision.options.model == "rain"
    if working is None:
        left = image.subtract(rain, illuminant, fraction)
        return restore_chroma(left, rain, low, high) if restored else left, rain
    small = PreparedImage(working, low, high)
    full = full_rain(image, rain, small, decision, top)
    left = image.subtract(full, illuminant, fraction)
    if restored and image.colours == 3:
        # Neighbours whose colour is known are as far away as streaks are wide: in the small copy.
        before = small.subtract(rain, illuminant, fraction)
        change = restore_chroma(before, rain, low, high) - before
        xp = array_namespace(left)
        for channel in range(image.colours):
            more = enlarged(change[:, :, channel], step, tuple(full.shape), top)
            plane = left[:, :, channel] + xp.where(full > 0, more, 0)
            left[:, :, channel] = clip(plane, low, high)
    return left, full
