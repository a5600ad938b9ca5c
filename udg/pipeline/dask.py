"""`udg.pipeline.tiles` as a graph of Dask tasks: arrays of any size, chunk by chunk, nothing until asked.

A chunk and its share of its neighbours, `overlap` pixels across each border, are a tile. The graph
of a layer of rain, for every chunk unless it says once::

    chunk → block means → decisions (once)        angle, rain level, weights: `Whole`
    chunk + overlap = window
    window, decisions → first pass → rain in parts, one for each chunk that it lies in
    parts → blended rain → block means → density (once)
    window, decisions, first pass, density → second pass → blended rain
    window − blended rain = what is left, to which the next two passes do the same

Everything else is called from `udg.pipeline.tiles`, so that the result is that of `udg.solve_tiles` on the
same tiles. A task that was lost with its worker is simply done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from udg.backend import one_of_many
from udg.detection.doubt import RainDensity, activity
from udg.errors import InvalidInput, MissingExtra
from udg.imaging.chroma import REACH, restore_chroma
from udg.imaging.image import BlockMeans, DataRange, PreparedImage, check_shape, prepare, shrunk
from udg.pipeline.options import (
    Settings,
    blend_in,
    checked_count,
    find_direction,
    for_picture,
    given_direction,
    is_new,
    observed_plane,
)
from udg.pipeline.tiles import (
    OVERLAP,
    Piece,
    Span,
    Tile,
    Whole,
    asked_for,
    overview,
    solve_tile,
    survey_steps,
)

if TYPE_CHECKING:
    import dask.array as da

__all__ = ["LazyResult", "solve_blocks"]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]
Window = tuple[slice, slice]

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


class _Asked(NamedTuple):
    """What decides on a layer, beside the picture."""

    settings: Settings
    angle: float | Literal["auto"]
    shape: tuple[int, ...]
    given: DataRange | None
    data_range: tuple[float, float]
    angle_per_tile: bool
    while_new: bool


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
    """Take rain streaks (or stripes) out of a Dask array, lazily.

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
        All else that `udg.solve` takes, except `warm_start`, `history` and `callback`.

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
    Angle, rain level and weights depend on the whole picture, and so does each pass on the one
    before: until they are known, the workers hold the picture, in its own type, what the first
    passes left of it, and two bytes for each pixel of a pass; a worker of a cluster puts on its
    disk what does not fit.

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
    settings, angles, while_new = asked_for(angle, n_layers, angle_per_tile, options)
    for one in angles:  # better now than when it is computed
        given_direction(settings, 0.0 if one == "auto" else one)
    checked_count("overlap", overlap, 0)
    low, high = _check(array, data_range)

    grid = _grid(array, overlap)
    stack = array if array.ndim == 3 else array[:, :, None]
    whole = pixels = stack.rechunk((grid.rows, grid.columns, -1))
    layers: list[LazyResult] = []
    decisions: list[da.Array] = []
    for one in angles:
        # Values that cannot be used are refused when the first decision is made.
        given = (low, high) if layers else data_range
        asked = _Asked(settings, one, array.shape, given, (low, high), angle_per_tile, while_new)
        decided = _decided(pixels, asked, decisions)
        found: list[da.Array] = []
        for _ in range(settings.rounds):
            known = _for_rest(decided) if found else decided
            windows = _windows(pixels, overlap)
            rain, gap = _rain(pixels, windows, known, grid, settings.passes)
            pixels = _difference(windows, rain, known, grid, (low, high))
            found.append(rain)
        rain = sum(found[1:], found[0])
        derained = pixels if array.ndim == 3 else pixels[:, :, 0]
        decisions.append(decided)
        layers.append(
            LazyResult(
                derained.rechunk(array.chunks),
                rain.rechunk(array.chunks[:2]),
                _number(decided, "rain_level"),
                _number(decided, "angle"),
                gap,
            )
        )
    together = sum((layer.rain for layer in layers[1:]), layers[0].rain)
    derained = layers[-1].derained
    if settings.model == "rain" and PreparedImage(array, low, high).colours >= 3:
        total = together.rechunk((grid.rows, grid.columns))
        left = _as_it_was_added(whole, total, decisions[0], array.shape, data_range, (low, high))
        derained = left.rechunk(array.chunks)
    several = tuple(layers) if len(layers) > 1 else ()
    return layers[0]._replace(derained=derained, rain=together, layers=several)


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


# The graph, layer by layer


def _tasks(name: str, tasks: Mapping[Any, Any], chunks: Any, needs: Sequence[da.Array]) -> da.Array:
    """A Dask array of tasks that need those of others: float32, or one float64."""
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    graph = HighLevelGraph.from_collections(name, tasks, dependencies=needs)
    meta = np.empty((0,) * len(chunks), np.float32 if chunks else np.float64)
    return da.Array(graph, name, chunks, meta=meta)


def _decided(pixels: da.Array, asked: _Asked, earlier: Sequence[da.Array]) -> da.Array:
    """The task that decides on a layer. Its answer is a `Whole`, for other tasks only."""
    from dask.base import tokenize

    plane = np.empty((0, 0), np.float32)
    luma = pixels.map_blocks(partial(_luma, asked.given), drop_axis=2, meta=plane)
    lumas = _means(luma, survey_steps(asked.shape)[0])
    units = _thumbnail(pixels, asked.shape, asked.given)
    name = f"udg-decide-{tokenize(pixels.name, asked, [one.name for one in earlier])}"
    before = [(one.name,) for one in earlier]
    task = partial(_decide, asked), (lumas.name, 0, 0), (units.name, 0, 0, 0), before
    return _tasks(name, {(name,): task}, (), [lumas, units, *earlier])


def _thumbnail(pixels: da.Array, shape: tuple[int, ...], given: DataRange | None) -> da.Array:
    """Block means of the colours, of which the thumbnail is made."""
    stack, colours = np.empty((0, 0, 0), np.float32), PreparedImage(pixels, 0, 1).colours
    unit = pixels.map_blocks(
        partial(_unit, given), chunks=(*pixels.chunks[:2], (colours,)), meta=stack
    )
    return _means(unit, survey_steps(shape)[1])


def _for_rest(decided: da.Array) -> da.Array:
    """What was decided, for what a round left."""
    name = f"udg-rest-{decided.name}"
    return _tasks(name, {(name,): (_rest, (decided.name,))}, (), [decided])


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


def _windows(pixels: da.Array, overlap: int) -> da.Array:
    """The pixels of each tile."""
    from dask.array.overlap import overlap as overlapped

    rows, columns = (_depth(overlap) if len(sides) > 1 else 0 for sides in pixels.chunks[:2])
    depth = {0: rows, 1: columns, 2: 0}
    return overlapped(pixels, depth, boundary="none", allow_rechunk=False)


def _rain(
    pixels: da.Array, windows: da.Array, decided: da.Array, grid: _Grid, passes: int
) -> tuple[da.Array, da.Array]:
    """Blended rain of the last pass, and the largest gap of its tiles."""
    rain = None
    for _ in range(passes):
        rain = _pass(pixels, windows, decided, grid, rain)
    assert rain is not None
    gaps = [(f"gap-{rain.name}", *place) for place in grid.tiles]
    name = f"udg-gap-{rain.name}"
    return rain, _tasks(name, {(name,): (_largest, gaps)}, (), [rain])


def _of_scene(
    what: Callable[[Floats, float], Floats],
    pixels: da.Array,
    decided: da.Array,
    grid: _Grid,
    rain: da.Array,
) -> da.Array:
    """Something of the scene without the rain, with the next pixels, which `activity` needs."""
    from dask.array.overlap import overlap as overlapped

    depth = {0: (0, 1), 1: (1, 1), 2: 0}
    light, taken = (
        overlapped(plane, {axis: depth[axis] for axis in range(plane.ndim)}, boundary="none")
        for plane in (pixels, rain)
    )
    name = f"udg-{what.__name__.strip('_')}-{rain.name}"
    tasks = {
        (name, *place): (
            partial(_told_of_scene, what, _without_margin(grid, *place)),
            (light.name, *place, 0), (taken.name, *place), (decided.name,),
        )
        for place in grid.owns
    }  # fmt: skip
    return _tasks(name, tasks, (grid.rows, grid.columns), [light, taken, decided])


def _without_margin(grid: _Grid, i: int, j: int) -> Window:
    """A chunk within itself and the pixels around it that its differences need."""
    left = min(j, 1)  # none before the first
    return slice(0, grid.rows[i]), slice(left, left + grid.columns[j])


def _pass(
    pixels: da.Array,
    windows: da.Array,
    decided: da.Array,
    grid: _Grid,
    earlier: da.Array | None,
) -> da.Array:
    """Blended rain of one pass, after the earlier one if there is any.

    Rain goes from tile to chunk in parts, weighted and cut to what the chunk needs. Beside it, the
    tasks hold for each tile a ``draft``, from which the next pass starts, and its ``gap``.
    """
    from dask.base import tokenize

    needs = [windows, decided] if earlier is None else [windows, decided, earlier]
    name = f"udg-rain-{tokenize([one.name for one in needs])}"
    tasks: dict[Any, Any] = {}
    if earlier is not None:
        shape = sum(grid.rows), sum(grid.columns)
        step = RainDensity(shape, 0.0).step
        scenes = (_of_scene(what, pixels, decided, grid, earlier) for what in (_ground, activity))
        planes = earlier, earlier**2, *scenes
        means = [_means(plane, step) for plane in planes]
        needs += means
        found = [(one.name, 0, 0) for one in means]
        tasks[f"density-{name}"] = partial(_density, shape), (decided.name,), *found
    for place, tile in grid.tiles.items():
        given: list[Any] = [(windows.name, *place, 0), (decided.name,)]
        if earlier is not None:
            given += [(f"draft-{earlier.name}", *place), f"density-{name}"]
        piece = f"piece-{name}", *place
        tasks[piece] = partial(_solve, tile.window), *given
        tasks[f"draft-{name}", *place] = _without_rain, piece
        tasks[f"gap-{name}", *place] = _gap, piece
        for near in grid.near(*place):
            cut = partial(_weighted, tile, _common(tile.window, grid.owns[near]))
            tasks[f"part-{name}", *place, *near] = cut, piece
    for place, own in grid.owns.items():
        parts = [(f"part-{name}", *near, *place) for near in grid.near(*place)]
        where = [_common(grid.tiles[near].window, own) for near in grid.near(*place)]
        tasks[name, *place] = partial(_blended, own, where), parts
    return _tasks(name, tasks, (grid.rows, grid.columns), needs)


def _difference(
    windows: da.Array,
    rain: da.Array,
    decided: da.Array,
    grid: _Grid,
    data_range: tuple[float, float],
) -> da.Array:
    """The chunks without rain."""
    name = f"udg-derained-{rain.name}"
    tasks = {}
    for place, tile in grid.tiles.items():
        subtract = partial(_subtract, _from(tile.window, grid.owns[place]), data_range)
        given = (windows.name, *place, 0), (rain.name, *place), (decided.name,)
        tasks[name, *place, 0] = subtract, *given
    chunks = grid.rows, grid.columns, windows.chunks[2]
    return _tasks(name, tasks, chunks, [windows, rain, decided])


def _as_it_was_added(
    pixels: da.Array,
    rain: da.Array,
    decided: da.Array,
    shape: tuple[int, ...],
    given: DataRange | None,
    data_range: tuple[float, float],
) -> da.Array:
    """The picture without all of its rain, as `udg.solve` takes it out in the end."""
    import dask.array as da

    units, means = _thumbnail(pixels, shape, given), _means(rain, survey_steps(shape)[1])
    blend, name = f"udg-blend-{rain.name}", f"udg-result-{rain.name}"
    tasks: dict[Any, Any] = {
        blend: (partial(_blend, shape), (decided.name,), (units.name, 0, 0, 0), (means.name, 0, 0))
    }
    for place in product(*(range(count) for count in rain.numblocks)):
        given_here = (pixels.name, *place, 0), (rain.name, *place), (decided.name,), blend
        tasks[name, *place, 0] = partial(_without, data_range), *given_here
    left = _tasks(name, tasks, pixels.chunks, [pixels, rain, decided, units, means])
    restored = da.map_overlap(
        partial(_with_chroma, data_range), left, rain[:, :, None],
        depth={0: REACH, 1: REACH, 2: 0}, boundary="none", meta=left._meta,
    )  # fmt: skip
    return restored.rechunk(pixels.chunks)


# The tasks


def _luma(data_range: DataRange | None, pixels: Array) -> Array:
    return prepare(pixels, data_range).luma()


def _unit(data_range: DataRange | None, pixels: Array) -> Array:
    return prepare(pixels, data_range).unit()


def _block_means(step: int, pixels: Array) -> Floats:
    means = BlockMeans(pixels.shape, step)
    means.add(0, pixels)
    return means.result()


def _decide(asked: _Asked, lumas: Floats, units: Floats, earlier: Sequence[Whole]) -> Whole:
    with one_of_many():
        picture = overview(asked.shape, lumas, units)
        # Later layers have the weights of the picture as it was.
        settings = earlier[0].settings if earlier else for_picture(asked.settings, picture)
        direction = find_direction(picture, settings, asked.angle)
    if asked.while_new and not is_new(direction, [whole.angle for whole in earlier]):
        settings, direction = replace(settings, passes=0), direction._replace(level=0.0)
    return Whole(asked.shape, settings, asked.data_range, *direction, asked.angle_per_tile)


def _rest(whole: Whole) -> Whole:
    return replace(whole, later=True)


def _ground(scene: Floats, angle: float) -> Floats:
    return scene


def _told_of_scene(
    what: Callable[[Floats, float], Floats],
    inner: Window,
    pixels: Array,
    rain: Floats,
    whole: Whole,
) -> Floats:
    light = observed_plane(prepare(pixels, whole.data_range), whole.settings)
    return what(light - rain, whole.angle)[inner]


def _density(shape: tuple[int, int], whole: Whole, *means: Floats) -> RainDensity:
    rain, squared, ground, busy = means
    return RainDensity(shape, whole.angle, (rain, squared, ground, busy))


def _field(which: str, whole: Whole) -> Floats:
    return np.asarray(getattr(whole, which), np.float64)


def _solve(
    window: Window,
    pixels: Array,
    whole: Whole,
    before: Piece | None = None,
    density: RainDensity | None = None,
) -> Piece | None:
    """One pass over a tile; None if there is nothing to solve."""
    if whole.passes == 0:
        return None
    around = None if density is None else density.around(*window)
    with one_of_many():
        return solve_tile(pixels, window, whole, before, around)


def _without_rain(piece: Piece | None) -> Piece | None:
    return None if piece is None else piece._replace(rain=None)


def _gap(piece: Piece | None) -> float:
    return 0.0 if piece is None else piece.gap


def _largest(gaps: Sequence[float]) -> Floats:
    return np.asarray(max(gaps), np.float64)


def _weighted(tile: Tile, part: Window, piece: Piece | None) -> Floats:
    """What a tile's rain adds to a part of the picture."""
    rows, columns = _from(tile.window, part)
    weights = np.outer(tile.rows.ramp()[rows], tile.columns.ramp()[columns])
    return np.zeros_like(weights) if piece is None else weights * piece.rain[rows, columns]


def _blended(chunk: Window, where: Sequence[Window], parts: Sequence[Floats]) -> Floats:
    rain = np.zeros([side.stop - side.start for side in chunk], np.float32)
    for place, part in zip(where, parts, strict=True):
        rain[_from(chunk, place)] += part
    return rain


def _blend(shape: tuple[int, ...], whole: Whole, units: Floats, rain: Floats) -> float:
    scale = PreparedImage.thumbnail_scale(shape)
    return blend_in(whole.settings, shrunk(units, shape, scale), shrunk(rain, shape, scale))


def _without(
    data_range: tuple[float, float], pixels: Array, rain: Floats, whole: Whole, blend: float
) -> Array:
    return PreparedImage(pixels, *data_range).subtract(rain, whole.settings.light, blend)


def _with_chroma(data_range: tuple[float, float], derained: Array, rain: Floats) -> Array:
    return restore_chroma(derained, rain[:, :, 0], *data_range)


def _subtract(
    own: Window, data_range: tuple[float, float], pixels: Array, rain: Floats, whole: Whole
) -> Array:
    return _without(data_range, pixels[own], rain, whole, blend=0.0)
