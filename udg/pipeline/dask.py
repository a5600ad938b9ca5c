"""The pipeline as a graph of Dask tasks: arrays of any size, chunk by chunk, nothing until asked.

A chunk and its share of its neighbours, `overlap` pixels across each border, are a tile. The graph
follows `udg.pipeline.stages.schedule`; for every chunk unless it says once::

    chunk → block means → decision (once)
    chunk + overlap = window
    window, decision → first stage → rain in parts, one for each chunk that it lies in
    parts → blended rain → block means → rain density (once)
    window, decision, first stage, density → reweighted stage → blended rain
    picture − blended rain = what is left, to which the next round does the same

All else is called from `udg.pipeline.stages`, so that the result is that of `udg.solve_tiles` on
the same tiles. A task that was lost with its worker is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from udg.backend import one_of_many
from udg.detection.density import RainDensity, texture
from udg.errors import InvalidInput, MissingExtra
from udg.imaging.chroma import REACH
from udg.imaging.geometry import Window
from udg.imaging.image import (
    BlockMeans,
    DataRange,
    PreparedImage,
    check_shape,
    prepare,
    shrunk,
)
from udg.pipeline import gauge as gauges
from udg.pipeline.options import Asked, Options, Request, checked_count, resolve
from udg.pipeline.planning import OVERLAP, Span, Tile
from udg.pipeline.stages import (
    Decision,
    Stage,
    WindowResult,
    decide,
    finish,
    observed_plane,
    schedule,
    screen_fraction,
    solve_window,
)
from udg.pipeline.survey import overview, survey_steps
from udg.pipeline.tiles import refuse_single_window_options

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["LazyResult", "solve_blocks"]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_SMALLEST = 16  # pixels: chunks are at least this long, and twice the overlap


class LazyResult(NamedTuple):
    """What `solve_blocks` is going to find: Dask arrays, to be computed together.

    ``dask.compute(result)[0]`` is the same with NumPy arrays. What is computed in separate calls
    is computed separately, so ask for all that is wanted at once, or ``persist`` it.

    Attributes
    ----------
    derained : dask.array.Array, float32, the image's shape and chunks
        Image minus rain in every colour channel, in the image's range, never resampled; as in
        `Result`, blended rain is less in bright channels.
    rain : dask.array.Array, float32, shape (H, W)
        R in the image's frame; 1 is full light.
    rain_level, angle : dask.array.Array, float64, shape ()
        As in `Result`: decided once for the whole picture. Computing them alone solves nothing.
    gap : dask.array.Array, float64, shape ()
        Largest of all tiles'; 0 if there was nothing to solve.
    layers : tuple of LazyResult
        One a direction if rain of several was asked for, as in `Result`. With ``n_layers="auto"``
        always four; the rain level of those that were not found is 0.
    """

    derained: da.Array
    rain: da.Array
    rain_level: da.Array
    angle: da.Array
    gap: da.Array
    layers: tuple[LazyResult, ...] = ()


def solve_blocks(
    array: da.Array,
    *,
    overlap: int = OVERLAP,
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    angle_per_tile: bool = False,
    n_layers: int | Literal["auto"] = 1,
    data_range: DataRange | None = None,
    **options: Any,
) -> LazyResult:
    """Remove rain streaks (or stripes) from a Dask array, lazily.

    What `solve_tiles` does to a picture, with chunks for tiles and with any of Dask's schedulers:
    threads, a process, or a cluster.

    Parameters
    ----------
    array : dask.array.Array, shape (H, W) or (H, W, C)
        Pixels as in `udg.solve`. Chunks may be uneven; channels are put into one, and chunks
        smaller than twice the overlap are joined with neighbours. A chunk is one task, which needs
        about 15 float32 copies of its pixels, so a side of 1,000 to 4,000 is a good one:
        ``rechunk`` otherwise.
    overlap : int
        Pixels that the tiles of neighbouring chunks share.
    angle : float, "auto" or sequence of float
        As in `udg.solve`; the same in all chunks.
    angle_per_tile : bool
        Let each chunk look for its own angle; for rain that changes its direction over the picture.
        Needs ``angle="auto"`` and a single layer.
    n_layers : int or "auto"
        As in `udg.solve`. Layers are taken out one after the other, each of the whole picture. The
        default is 1, for a graph has the tasks of all directions whether they are found or not.
    data_range : float or (float, float), optional
        Value of full light, or of none and full; see `udg.imaging.image.prepare`.
    **options
        All else that `udg.solve` takes, except `warm_start`, `history` and `callback`, for a task
        cannot call back, and `working_scale`: chunks are solved at full size.

    Returns
    -------
    LazyResult

    Raises
    ------
    InvalidImage
        The array's type or shape cannot be used. Values that cannot be used are found when the
        result is computed.
    InvalidInput
        Any other argument is outside its range, or `array` is not a Dask array of known shape.
    MissingExtra
        Dask is not installed.

    Notes
    -----
    Angle, rain level and weights depend on the whole picture, and so does each stage on the one
    before: until they are known, the workers hold the picture, in its own type, what the first
    round left of it, and 20 bytes for each pixel of a stage that another one goes on from; a worker
    of a cluster puts on its disk what does not fit.

    Each task uses one thread, for the scheduler keeps the cores busy with others, unless
    NUMBA_NUM_THREADS is set.

    Examples
    --------
    >>> import dask.array as da, numpy as np, udg
    >>> clean = np.full((96, 128), 0.4, dtype=np.float32)
    >>> rainy = da.from_array(udg.synthesize(clean, angle=0, seed=1).rainy, chunks=64)
    >>> result = udg.solve_blocks(rainy, overlap=16, angle=0)
    >>> result.derained.chunks, result.derained.dtype
    (((64, 32), (64, 64)), dtype('float32'))
    >>> bool(np.abs(result.derained.compute() - clean).mean() < 0.01)
    True
    """
    refuse_single_window_options(options)
    if "callback" in options:
        raise InvalidInput("callback is for udg.solve and udg.solve_tiles; leave it out")
    if options.setdefault("working_scale", 1) != 1:
        raise InvalidInput(
            "working_scale is for udg.solve and udg.solve_tiles; chunks are solved at full size: "
            "coarsen the array first (dask.array.coarsen)"
        )
    request = resolve(angle, n_layers, angle_per_window=angle_per_tile, **options)
    checked_count("overlap", overlap, 0)
    low, high = _check(array, data_range)
    picture = _Picture(array, overlap, data_range, (low, high))
    decisions: list[da.Array] = []
    layers: list[LazyResult] = []
    total: da.Array | None = None
    for asked in request.angles:
        decided = picture.decided(request, asked, decisions, total)
        rain, gap = picture.solved(request.options, decided, total)
        total = rain if total is None else total + rain
        decisions.append(decided)
        layers.append(
            LazyResult(
                picture.left(decided, total).rechunk(picture.stack.chunks),
                rain,
                _number(decided, "rain_level"),
                _number(decided, "angle"),
                gap,
            )
        )
    assert total is not None
    several = tuple(_in_chunks_of(array, layer) for layer in layers) if len(layers) > 1 else ()
    together = layers[0]._replace(
        derained=picture.finished(request.options, decisions[0], total), rain=total, layers=several
    )
    return _in_chunks_of(array, together)


def _in_chunks_of(array: da.Array, result: LazyResult) -> LazyResult:
    derained = result.derained if array.ndim == 3 else result.derained[:, :, 0]
    return result._replace(
        derained=derained.rechunk(array.chunks), rain=result.rain.rechunk(array.chunks[:2])
    )


def _check(array: Any, data_range: DataRange | None) -> tuple[float, float]:
    """Refuse what can be refused by now; return the values of no light and full light."""
    try:
        import dask.array as da
    except ImportError:
        raise MissingExtra("dask", "dask") from None
    if not isinstance(array, da.Array):
        raise InvalidInput(
            f"solve_blocks is for Dask arrays, and this is {type(array).__name__}; make it one "
            "with dask.array.from_array (or use its .data if it is an xarray.DataArray)"
        )
    if any(np.isnan(side) for side in array.shape):
        raise InvalidInput(
            f"the array's shape is not known yet ({array.shape}); call its compute_chunk_sizes()"
        )
    check_shape(array)
    low = data_range[0] if isinstance(data_range, tuple) else 0
    some = prepare(np.full((2, 2, *array.shape[2:]), low).astype(array.dtype), data_range)
    return some.low, some.high


# Chunks as tiles


class _Grid(NamedTuple):
    """Chunks of rows and of columns; for each pair its tile, and the part that is its own."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]
    tiles: dict[tuple[int, int], Tile]
    owns: dict[tuple[int, int], Window]

    def near(self, i: int, j: int) -> Iterator[tuple[int, int]]:
        """A tile and its neighbours, in their order."""
        around = product(range(i - 1, i + 2), range(j - 1, j + 2))
        return (place for place in around if place in self.tiles)


def _grid(array: da.Array, overlap: int) -> _Grid:
    least = max(_SMALLEST, 2 * overlap)  # so that a tile reaches its next neighbours only
    rows, columns = (_joined(chunks, least) for chunks in array.chunks[:2])
    tiles: dict[tuple[int, int], Tile] = {}
    owns: dict[tuple[int, int], Window] = {}
    down, right = (list(enumerate(_spans(sides, overlap))) for sides in (rows, columns))
    for (i, (row, own_rows)), (j, (column, own_columns)) in product(down, right):
        tiles[i, j] = Tile(len(tiles), row, column)
        owns[i, j] = own_rows, own_columns
    return _Grid(rows, columns, tiles, owns)


def _joined(chunks: Sequence[int], least: int) -> tuple[int, ...]:
    """Chunks of at least so many pixels: smaller ones join their next, the last one the one before.

    A single one if there are fewer pixels.
    """
    result, rest = [], 0
    for chunk in chunks:
        rest += chunk
        if rest >= least:
            result.append(rest)
            rest = 0
    if not result:
        return (rest,)
    result[-1] += rest
    return tuple(result)


def _spans(chunks: Sequence[int], overlap: int) -> list[tuple[Span, slice]]:
    """Along one axis, the extent of each chunk's tile, and of the chunk."""
    borders = [0, *(int(border) for border in np.cumsum(chunks))]
    before, after = _depth(overlap)
    spans = []
    for start, stop in pairwise(borders):
        above, below = start > 0, stop < borders[-1]
        span = Span(start - above * before, stop + below * after, above * overlap, below * overlap)
        spans.append((span, slice(start, stop)))
    return spans


def _depth(overlap: int) -> tuple[int, int]:
    """How far a tile reaches into the chunk before it, and into the one after it."""
    return overlap // 2, overlap - overlap // 2


def _from(origin: Window, window: Window) -> Window:
    """A window of the picture as one of what begins at another's corner."""
    down, right = (
        slice(side.start - first.start, side.stop - first.start)
        for side, first in zip(window, origin, strict=True)
    )
    return down, right


def _common(one: Window, other: Window) -> Window:
    """Where two windows meet."""
    down, right = (
        slice(max(a.start, b.start), max(a.start, b.start, min(a.stop, b.stop)))
        for a, b in zip(one, other, strict=True)
    )
    return down, right


# The graph


class _Picture:
    """A Dask array as the pipeline's executor: every method adds tasks and computes nothing."""

    def __init__(
        self,
        array: da.Array,
        overlap: int,
        given: DataRange | None,
        data_range: tuple[float, float],
    ) -> None:
        self.grid = _grid(array, overlap)
        stack = array if array.ndim == 3 else array[:, :, None]
        self.stack = stack.rechunk((self.grid.rows, self.grid.columns, -1))
        self.shape, self.colours = array.shape, PreparedImage(stack, 0, 1).colours
        self._overlap, self._given, self._range = overlap, given, data_range

    def decided(
        self,
        request: Request,
        asked: Asked,
        earlier: Sequence[da.Array],
        total: da.Array | None,
    ) -> da.Array:
        """The task that decides on a direction. Its answer is a `Decision`, for other tasks."""
        from dask.base import tokenize

        # Values that cannot be used are refused when the first decision is made.
        pixels = self.stack if total is None else self.left(earlier[-1], total)
        given = self._given if total is None else self._range
        plane = np.empty((0, 0), np.float32)
        luma = pixels.map_blocks(partial(_luma, given), drop_axis=2, meta=plane)
        lumas = _means(luma, survey_steps(self.shape)[0])
        units = self._thumbnail(pixels, given)
        token = tokenize(pixels.name, request, asked, [one.name for one in earlier])
        name = f"udg-decide-{token}"
        before = [(one.name,) for one in earlier]
        what = partial(_decide, request, asked, self.shape, self._range)
        task = what, (lumas.name, 0, 0), (units.name, 0, 0, 0), before
        return _tasks(name, {(name,): task}, (), [lumas, units, *earlier])

    def _thumbnail(self, pixels: da.Array, given: DataRange | None) -> da.Array:
        """Block means of the colours, of which the thumbnail is made."""
        unit = pixels.map_blocks(
            partial(_unit, given),
            chunks=(*pixels.chunks[:2], (self.colours,)),
            meta=np.empty((0, 0, 0), np.float32),
        )
        return _means(unit, survey_steps(self.shape)[1])

    def solved(
        self, options: Options, decided: da.Array, total: da.Array | None
    ) -> tuple[da.Array, da.Array]:
        """Blended rain of all rounds of a direction, and the largest gap of the last one."""
        layer: da.Array | None = None
        previous: da.Array | None = None
        for stage in schedule(options):
            if stage.boost and not stage.reweighted:
                assert previous is not None
                layer = previous if layer is None else layer + previous
                previous = None
            so_far = total if layer is None else layer if total is None else total + layer
            previous = self._stage(options, stage, decided, so_far, previous)
        assert previous is not None
        gaps = [(f"gap-{previous.name}", *place) for place in self.grid.tiles]
        name = f"udg-gap-{previous.name}"
        gap = _tasks(name, {(name,): (_largest, gaps)}, (), [previous])
        rain = previous if layer is None else layer + previous
        return (self._gauged(options, rain) if gauges.is_free(options) else rain), gap

    def _stage(
        self,
        options: Options,
        stage: Stage,
        decided: da.Array,
        total: da.Array | None,
        previous: da.Array | None,
    ) -> da.Array:
        """Blended rain of one stage.

        Rain goes from tile to chunk in parts, weighted and cut to what the chunk needs. Beside it,
        the tasks hold for each tile a ``draft``, from which the next stage starts, and its ``gap``.
        """
        from dask.base import tokenize

        grid = self.grid
        pixels = self.stack if total is None else self.left(decided, total)
        windows = self._overlapped(pixels, *_depth(self._overlap))
        needs = [windows, decided] if previous is None else [windows, decided, previous]
        name = f"udg-rain-{tokenize(stage, [one.name for one in needs])}"
        tasks: dict[Any, Any] = {}
        if previous is not None:
            means = self._density_means(pixels, decided, previous)
            needs += means
            found = [(one.name, 0, 0) for one in means]
            tasks[f"density-{name}"] = partial(_density, self.shape[:2]), (decided.name,), *found
        for place, tile in grid.tiles.items():
            given: list[Any] = [(windows.name, *place, 0), (decided.name,)]
            if previous is not None:
                given += [(f"draft-{previous.name}", *place), f"density-{name}"]
            solved = f"solved-{name}", *place
            tasks[solved] = partial(_solve, tile.window, stage), *given
            tasks[f"draft-{name}", *place] = _draft, solved
            tasks[f"gap-{name}", *place] = _gap, solved
        free = gauges.is_free(options)
        if free:
            strips = [(f"strips-{name}", *place) for place in grid.tiles]
            for strip, place in zip(strips, grid.tiles, strict=True):
                tasks[strip] = partial(_strips, grid, place), (f"solved-{name}", *place)
            tasks[f"constants-{name}"] = partial(_constants, grid), strips
        for place, tile in grid.tiles.items():
            constants = (f"constants-{name}",) if free else ()
            for near in grid.near(*place):
                cut = partial(_weighted, tile, _common(tile.window, grid.owns[near]))
                part = f"part-{name}", *place, *near
                tasks[part] = cut, (f"solved-{name}", *place), *constants
        for place, own in grid.owns.items():
            parts = [(f"part-{name}", *near, *place) for near in grid.near(*place)]
            where = [_common(grid.tiles[near].window, own) for near in grid.near(*place)]
            tasks[name, *place] = partial(_blended, own, where), parts
        return _tasks(name, tasks, (grid.rows, grid.columns), needs)

    def _density_means(self, pixels: da.Array, decided: da.Array, rain: da.Array) -> list[da.Array]:
        """Block means of rain, its square, the scene and its texture, each in one chunk."""
        step = RainDensity(self.shape[:2], 0.0).step
        scenes = (self._of_scene(what, pixels, decided, rain) for what in (_ground, texture))
        return [_means(plane, step) for plane in (rain, rain**2, *scenes)]

    def _of_scene(
        self,
        what: Callable[[Floats, float], Floats],
        pixels: da.Array,
        decided: da.Array,
        rain: da.Array,
    ) -> da.Array:
        """Something of the scene without the rain, with the next pixels, which `texture` needs."""
        from dask.array.overlap import overlap as overlapped

        grid, depth = self.grid, {0: (0, 1), 1: (1, 1), 2: 0}
        planes = [
            overlapped(plane, {axis: depth[axis] for axis in range(plane.ndim)}, boundary="none")
            for plane in (pixels, rain)
        ]
        light, taken = planes
        name = f"udg-{what.__name__.strip('_')}-{rain.name}"
        tasks = {
            (name, *place): (
                partial(_told_of_scene, what, _without_margin(grid, *place)),
                (light.name, *place, 0),
                (taken.name, *place),
                (decided.name,),
            )
            for place in grid.owns
        }
        return _tasks(name, tasks, (grid.rows, grid.columns), [light, taken, decided])

    def _gauged(self, options: Options, rain: da.Array) -> da.Array:
        """A layer whose constant is the whole picture's."""
        grid, name = self.grid, f"udg-gauge-{rain.name}"
        tasks: dict[Any, Any] = {
            ("summary-" + name, *place): (gauges.Summary.of, (rain.name, *place))
            for place in grid.owns
        }
        summaries = [("summary-" + name, *place) for place in grid.owns]
        tasks[f"bracket-0-{name}"] = partial(_bracket, options), summaries
        for step in (0, 1):
            now = f"bracket-{step}-{name}"
            counts = [(f"counts-{step}-{name}", *place) for place in grid.owns]
            for key, place in zip(counts, grid.owns, strict=True):
                tasks[key] = gauges.Bracket.counts, now, (rain.name, *place)
            tasks[f"bracket-{step + 1}-{name}"] = gauges.Bracket.narrowed, now, counts
        for place in grid.owns:
            tasks[name, *place] = _shifted, (rain.name, *place), f"bracket-2-{name}"
        return _tasks(name, tasks, (grid.rows, grid.columns), [rain])

    def left(self, decided: da.Array, total: da.Array) -> da.Array:
        """The picture without the rain found so far."""
        name = f"udg-left-{decided.name}-{total.name}"
        tasks = {
            (name, *place, 0): (
                partial(_subtract, self._range),
                (self.stack.name, *place, 0),
                (total.name, *place),
                (decided.name,),
            )
            for place in self.grid.owns
        }
        return _tasks(name, tasks, self.stack.chunks, [self.stack, total, decided])

    def finished(self, options: Options, decided: da.Array, total: da.Array) -> da.Array:
        """The picture without all of its rain, as `udg.solve` gives it."""
        if options.model == "signed" or self.colours < 3:
            return self.left(decided, total)  # there is no colour that would ask for neighbours
        units = self._thumbnail(self.stack, self._given)
        means = _means(total, survey_steps(self.shape)[1])
        pixels, rain = (self._overlapped(plane, REACH, REACH) for plane in (self.stack, total))
        fraction, name = f"udg-fraction-{total.name}", f"udg-result-{total.name}"
        known = (decided.name,), (units.name, 0, 0, 0), (means.name, 0, 0)
        tasks: dict[Any, Any] = {fraction: (partial(_fraction, self.shape), *known)}
        for place, own in self.grid.owns.items():
            inner = _from(_widened(own, self.shape, REACH), own)
            tasks[name, *place, 0] = (
                partial(_finish, inner),
                (pixels.name, *place, 0),
                (rain.name, *place),
                (decided.name,),
                fraction,
            )
        return _tasks(name, tasks, self.stack.chunks, [pixels, rain, decided, units, means])

    def _overlapped(self, pixels: da.Array, before: int, after: int) -> da.Array:
        """Every chunk with pixels of those around it."""
        from dask.array.overlap import overlap as overlapped

        depth = {
            axis: (before, after) if len(sides) > 1 else 0
            for axis, sides in enumerate(pixels.chunks[:2])
        }
        none = {2: 0} if pixels.ndim == 3 else {}
        return overlapped(pixels, depth | none, boundary="none", allow_rechunk=False)


def _tasks(name: str, tasks: Mapping[Any, Any], chunks: Any, needs: Sequence[da.Array]) -> da.Array:
    """A Dask array of tasks that need those of others: float32, or one float64."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph = HighLevelGraph.from_collections(name, tasks, dependencies=needs)
    meta = np.empty((0,) * len(chunks), np.float32 if chunks else np.float64)
    return da.Array(graph, name, chunks, meta=meta)


def _number(decided: da.Array, which: str) -> da.Array:
    """A number that was decided."""
    name = f"udg-{which}-{decided.name}"
    return _tasks(name, {(name,): (partial(_field, which), (decided.name,))}, (), [decided])


def _means(pixels: da.Array, step: int) -> da.Array:
    """Means over square blocks of the whole picture (`BlockMeans`), in one chunk."""
    rows, columns = (_multiples(chunks, step) for chunks in pixels.chunks[:2])
    whole = pixels[: sum(rows), : sum(columns)].rechunk({0: rows, 1: columns})
    sides = (tuple(side // step for side in chunks) for chunks in (rows, columns))
    means = whole.map_blocks(
        partial(_block_means, step), chunks=(*sides, *whole.chunks[2:]), meta=whole._meta
    )
    return means.rechunk(-1)


def _multiples(chunks: Sequence[int], step: int) -> tuple[int, ...]:
    """Chunks with borders at multiples of a step; what is left at the end is cut off."""
    borders = sorted({int(border) // step * step for border in (0, *np.cumsum(chunks))})
    return tuple(stop - start for start, stop in pairwise(borders))


def _without_margin(grid: _Grid, i: int, j: int) -> Window:
    """A chunk within itself and the pixels around it that its differences need."""
    left = min(j, 1)  # none before the first
    return slice(0, grid.rows[i]), slice(left, left + grid.columns[j])


def _widened(window: Window, shape: Sequence[int], reach: int) -> Window:
    """A window with so many pixels around it, as far as there are any."""
    down, right = (
        slice(max(0, side.start - reach), min(length, side.stop + reach))
        for side, length in zip(window, shape, strict=False)
    )
    return down, right


# The tasks


def _luma(data_range: DataRange | None, pixels: Array) -> Array:
    return prepare(pixels, data_range).luma()


def _unit(data_range: DataRange | None, pixels: Array) -> Array:
    return prepare(pixels, data_range).unit()


def _block_means(step: int, pixels: Array) -> Floats:
    means = BlockMeans(pixels.shape, step)
    means.add(0, pixels)
    return means.result()


def _decide(
    request: Request,
    asked: Asked,
    shape: tuple[int, ...],
    data_range: tuple[float, float],
    lumas: Floats,
    units: Floats,
    earlier: Sequence[Decision],
) -> Decision:
    with one_of_many():
        decision = decide(overview(shape, lumas, units, *data_range), request, asked, earlier)
    return replace(earlier[0], rain_level=0.0) if decision is None else decision


def _density(shape: tuple[int, int], decision: Decision, *means: Floats) -> RainDensity:
    rain, squared, ground, textures = means
    return RainDensity(shape, decision.angle, (rain, squared, ground, textures))


def _ground(scene: Floats, angle: float) -> Floats:
    return scene


def _told_of_scene(
    what: Callable[[Floats, float], Floats],
    inner: Window,
    pixels: Array,
    rain: Floats,
    decision: Decision,
) -> Floats:
    plane = observed_plane(PreparedImage(pixels, *decision.data_range), decision)
    return what(plane - rain, decision.angle)[inner]


def _field(which: str, decision: Decision) -> Floats:
    return np.asarray(getattr(decision, which), np.float64)


def _solve(
    window: Window,
    stage: Stage,
    pixels: Array,
    decision: Decision,
    previous: WindowResult | None = None,
    density: RainDensity | None = None,
) -> WindowResult | None:
    """A stage in a tile; None if there is nothing to solve."""
    if decision.dry:
        return None
    if previous is not None:  # solving uses up its arrays, and a lost task is done again
        estimate = previous.minimum.estimate
        own = estimate._replace(
            R=estimate.R.copy(), duals=type(estimate.duals)(*(u.copy() for u in estimate.duals))
        )
        previous = previous._replace(minimum=previous.minimum._replace(estimate=own))
    with one_of_many():
        return solve_window(pixels, window, decision, stage, previous, density)


def _draft(result: WindowResult | None) -> WindowResult | None:
    """What the next stage starts from."""
    if result is None:
        return None
    estimate = result.minimum.estimate._replace(X=None)
    minimum = result.minimum._replace(estimate=estimate)
    return result._replace(rain=None, problem=None, minimum=minimum)


def _gap(result: WindowResult | None) -> float:
    return 0.0 if result is None else result.minimum.gap


def _largest(gaps: Sequence[float]) -> Floats:
    return np.asarray(max(gaps), np.float64)


Strips = dict[
    tuple[int, int], tuple[float, int]
]  # to a neighbour: mean rain where both are, pixels


def _strips(grid: _Grid, place: tuple[int, int], result: WindowResult | None) -> Strips:
    """A tile's mean rain where it meets each neighbour to the side, above and below."""
    tile, means = grid.tiles[place], {}
    for near in grid.near(*place):
        beside = abs(near[0] - place[0]) + abs(near[1] - place[1]) == 1
        shared = _from(tile.window, _common(tile.window, grid.tiles[near].window))
        if beside and result is not None and (part := result.rain[shared]).size:
            means[near] = float(np.mean(part, dtype=float)), part.size
    return means


def _constants(grid: _Grid, strips: Sequence[Strips]) -> list[float]:
    """What is to be added to each tile's rain, so that neighbours agree."""
    known = dict(zip(grid.tiles, strips, strict=True))
    differences = {}
    for place, means in known.items():
        for near, (mean, pixels) in means.items():
            if grid.tiles[near].number > grid.tiles[place].number and place in known[near]:
                pair = grid.tiles[place].number, grid.tiles[near].number
                differences[pair] = mean - known[near][place][0], pixels
    return gauges.align(len(grid.tiles), differences)


def _weighted(
    tile: Tile, part: Window, result: WindowResult | None, constants: Sequence[float] | None = None
) -> Floats:
    """What a tile's rain adds to a part of the picture."""
    rows, columns = _from(tile.window, part)
    weights = np.outer(tile.rows.ramp()[rows], tile.columns.ramp()[columns])
    if result is None:
        return np.zeros_like(weights)
    rain: Floats = result.rain[rows, columns]
    if constants is not None:
        rain = rain + np.float32(constants[tile.number])
    return np.asarray(weights * rain)


def _blended(chunk: Window, where: Sequence[Window], parts: Sequence[Floats]) -> Floats:
    rain = np.zeros([side.stop - side.start for side in chunk], np.float32)
    for place, part in zip(where, parts, strict=True):
        rain[_from(chunk, place)] += part
    return rain


def _bracket(options: Options, summaries: Sequence[gauges.Summary]) -> gauges.Bracket:
    return gauges.bracket(summaries, options)


def _shifted(rain: Floats, bracket: gauges.Bracket) -> Floats:
    return rain - np.float32(bracket.constant)


def _subtract(
    data_range: tuple[float, float], pixels: Array, rain: Floats, decision: Decision
) -> Array:
    return PreparedImage(pixels, *data_range).subtract(rain, decision.illuminant)


def _fraction(shape: tuple[int, ...], decision: Decision, units: Floats, rain: Floats) -> float:
    scale = PreparedImage.thumbnail_scale(shape)
    small = shrunk(rain, shape, scale)
    return screen_fraction(decision, shrunk(units, shape, scale), small)


def _finish(
    inner: Window, pixels: Array, rain: Floats, decision: Decision, fraction: float
) -> Array:
    return finish(pixels, rain, decision, fraction)[0][inner]
