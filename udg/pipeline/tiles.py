"""Pictures too large for one window: overlapping tiles in bounded memory.

An executor of `udg.pipeline.stages`. What belongs to the whole picture is decided once from an
overview that is collected strip by strip (`survey`), and so is the rain density between two
stages. Tiles are solved one by one and their rain layers blended where they overlap, by weights
that sum to 1 (`plan`). Only rain is blended: the picture's own pixels are read once more and lose
the blended rain.

A stage goes through the picture from top to bottom. Beside one tile it holds the rain of one row of
tiles, so that memory grows with the width of the picture at most. What the next stage starts from,
R and its duals, is kept in a temporary file, 20 bytes a pixel of the rotated frames, and the rain
found so far in another, 4 bytes a pixel.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryFile
from typing import Any, Literal

import numpy as np
from array_api_compat import array_namespace

from udg.backend import to_numpy
from udg.detection.density import RainDensity
from udg.errors import InvalidInput
from udg.imaging import scale
from udg.imaging.chroma import REACH
from udg.imaging.geometry import Window
from udg.imaging.image import (
    BlockMeans,
    DataRange,
    Overview,
    PreparedImage,
    shrunk,
)
from udg.imaging.scale import reduced, reduced_shape
from udg.io.picture import quantize
from udg.model.energy import Model, Weights
from udg.optim.loop import Reason
from udg.pipeline import gauge as gauges
from udg.pipeline.drafts import Drafts, without_arrays
from udg.pipeline.options import resolve
from udg.pipeline.planning import TILE, Seams, Tile, blended, plan
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
    screen_fraction,
    solve_window,
)
from udg.pipeline.survey import (
    prepared_part,
    shape_of,
    strips,
    survey,
    survey_steps,
    window_of,
)
from udg.viz.preview import Preview, Shown, Thumbnail, rain_in_words

__all__ = ["TiledResult", "refuse_single_window_options", "solve_tiles"]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]


# The result


@dataclass(frozen=True, repr=False)
class TiledResult(Shown):
    """A picture that was decomposed tile by tile; a notebook shows its thumbnail.

    Attributes
    ----------
    derained : array_like, the picture's shape
        The target that was given, or a new array, float32, in the picture's range.
    rain : array_like or None
        The target for the rain that was given.
    rain_level, angle, confidence, convergence, weights, model
        As in `udg.Result`: decided once for the whole picture.
    gap : float
        Largest of all tiles' last stages; 0 if there was nothing to solve.
    iterations : float
        Mean of all tiles'.
    seconds : float
        That passed from the call to the result.
    iteration_seconds : float
        Time spent iterating, of all tiles together.
    reason : {"gap", "max_iter"}
        ``"gap"`` if that is why all tiles stopped.
    stages : tuple of StageResult
        As in `udg.Result`; of all tiles together.
    tiles : int
        Number of tiles.
    tile_shape : (int, int)
        Of the largest tile, in pixels.
    overlap : int
        In pixels; 0 for a single tile.
    angles : tuple of float
        Each tile's angle in its centre, row by row.
    layers : tuple of TiledResult
        One a direction if rain of several was asked for, as in `udg.Result`, each without arrays.
    thumbnail : Thumbnail, optional
        The picture and its rain, at most 720 pixels a side; none in ``layers``.
    working_scale, screen_fraction : float
        As in `udg.Result`.
    """

    derained: Array
    rain: Array
    rain_level: float
    angle: float
    confidence: float | None
    convergence: float
    weights: Weights
    model: Model
    gap: float
    iterations: float
    seconds: float
    iteration_seconds: float
    reason: Reason
    stages: tuple[StageResult, ...]
    tiles: int
    tile_shape: tuple[int, int]
    overlap: int
    angles: tuple[float, ...]
    layers: tuple[TiledResult, ...] = ()
    thumbnail: Thumbnail | None = None
    working_scale: float = 1.0
    screen_fraction: float = 0.0

    def __repr__(self) -> str:
        if self.derained is None:
            return f"<TiledResult of one layer: {self._words()}>"
        return super().__repr__()

    def _words(self) -> str:
        count = f"{self.tiles} tile{'' if self.tiles == 1 else 's'}"
        return f"{rain_in_words(self)}, {count}"

    def _preview(self, side: int) -> Preview | None:
        if self.thumbnail is None:
            return None
        return Preview.of_thumbnail(self.thumbnail, signed=self.model == "signed", side=side)


def solve_tiles(
    source: Array,
    target: Array = None,
    *,
    rain: Array = None,
    tile: int = TILE,
    overlap: int | None = None,
    angle: float | Literal["auto"] | Sequence[float] = "auto",
    angle_per_tile: bool = False,
    n_layers: int | Literal["auto"] | None = None,
    data_range: DataRange | None = None,
    callback: Callback | None = None,
    **options: Any,
) -> TiledResult:
    """Remove rain streaks (or stripes) from a picture of any size, tile by tile.

    Angle, rain level and weights are decided once, from the whole picture, as `udg.solve` does;
    so are rain density and gauge. The rain of overlapping tiles is blended and subtracted from the
    picture's own pixels. Memory does not depend on the height of the picture, and on its width
    only by one row of tiles.

    Parameters
    ----------
    source : array_like, shape (H, W) or (H, W, C)
        Anything with ``shape``, ``ndim`` and slicing by rows and columns: a NumPy array or memory
        map, a zarr array, a reader of `udg.io`. Pixels as in `udg.solve`. Read once for the
        decisions and twice a stage.
    target : array_like, optional
        Where the derained picture goes: anything with ``dtype`` that can be assigned to by rows,
        ``target[top:bottom] = rows``, from top to bottom. Values of an integer type are rounded; a
        type other than the source's has its own full range (`udg.io.picture.quantize`). It must not
        be the source. Default: a new array, float32, in the source's range.
    rain : array_like, optional
        Where the rain layer goes, if wanted: as `target`, of shape (H, W). Floats are R, where 1
        is full light; uint8 and uint16 hold R times their range, or R / 2 + 1/2 for stripes.
    tile : int
        Longest side of a tile in pixels, overlaps included. Memory and, per pixel, time fall and
        rise with it: about 15 float32 copies of a tile, more the further the angle is from 0.
    overlap : int, optional
        Pixels that neighbouring tiles share; at most a third of `tile`. Default 128 if it may be.
    angle : float, "auto" or sequence of float
        As in `udg.solve`; the same in all tiles.
    angle_per_tile : bool
        Let each tile look for its own angle; for rain that changes its direction over the picture.
        Needs ``angle="auto"`` and a single layer.
    n_layers : int or "auto", optional
        As in `udg.solve`. Layers are taken out one after the other, each of the whole picture.
        Default 1 with `angle_per_tile`.
    data_range : float or (float, float), optional
        Value of full light, or of none and full; see `udg.imaging.image.prepare`.
    callback : callable, optional
        Called with `Progress` after each tile. An exception that it raises ends the work; its
        answer is not used.
    **options
        All else that `udg.solve` takes, except `warm_start` and `history`.

    Returns
    -------
    TiledResult

    Raises
    ------
    InvalidImage
        The picture has a type, shape or values that cannot be used.
    InvalidInput
        Any other argument is outside its range, or targets do not fit the picture.

    Examples
    --------
    >>> import numpy as np, udg
    >>> clean = np.full((90, 120), 100, dtype=np.uint8)
    >>> rainy = udg.synthesize(clean, angle=0, seed=1).rainy.round().astype(np.uint8)
    >>> result = udg.solve_tiles(rainy, np.empty_like(rainy), tile=64, overlap=16, angle=0)
    >>> result.tiles, result.derained.dtype
    (6, dtype('uint8'))
    """
    began = time.perf_counter()
    refuse_single_window_options(options)
    request = resolve(angle, n_layers, angle_per_window=angle_per_tile, **options)
    source = source if hasattr(source, "shape") else np.asarray(source)
    shape = shape_of(source)
    if target is None:
        target = np.empty(shape, np.float32)
    _check_target("target", target, shape)
    if rain is not None:
        _check_target("rain", rain, shape[:2])

    reporter = Reporter(callback)
    picture = _Tiled(source, data_range, tile, overlap, reporter)
    try:
        layers = derain(picture, request, reporter)
    finally:
        picture.close()
    decision = layers[0].decision
    small = picture.small_rain()
    fraction = screen_fraction(decision, picture.thumbnail, small)
    _write(picture, decision, fraction, target, rain)
    unit = replace(decision, data_range=(0.0, 1.0))
    after, _ = finish(picture.thumbnail, small, unit, fraction)
    found = [picture.facts(layer) for layer in layers]
    return replace(
        found[0],
        derained=target,
        rain=rain,
        seconds=time.perf_counter() - began,
        layers=tuple(found) if len(found) > 1 else (),
        thumbnail=Thumbnail(picture.thumbnail, after, small),
        screen_fraction=fraction,
    )


def refuse_single_window_options(options: dict[str, Any]) -> None:
    """Raise InvalidInput for what only a picture in one window has."""
    for name in ("warm_start", "history"):
        if name in options:
            raise InvalidInput(f"{name} is for udg.solve; leave it out with tiles and chunks")


# The executor


class _Tiled:
    """A picture in many windows; what was found is in temporary files."""

    def __init__(
        self,
        source: Array,
        data_range: DataRange | None,
        tile: int,
        overlap: int | None,
        reporter: Reporter,
    ) -> None:
        self.shape, self.ndim = shape_of(source), len(source.shape)
        self.tiles = plan(self.shape, tile, overlap)
        self.full_shape = self.shape
        self.thumbnail: Floats  # of what is solved, as it was
        self._full = self._source = source  # what is solved: the picture or a smaller copy
        self._given, self._tile, self._reporter = data_range, (tile, overlap), reporter
        corner = prepared_part(source, slice(0, 2), slice(0, 2), data_range)
        self.dtype = corner.pixels.dtype
        self._range = corner.low, corner.high
        self._rain: np.memmap[Any, Any] | None = None  # of all directions
        self._decision: Decision | None = None  # of the present direction
        self._drafts: Drafts | None = None
        self._results: list[WindowResult] = []
        self._seams = Seams()

    # What is left

    def __getitem__(self, window: Window) -> Array:
        pixels = window_of(self._source, *window)
        if self._rain is None or self._decision is None:
            return pixels
        image, xp = PreparedImage(pixels, *self._range), array_namespace(pixels)
        return image.subtract(xp.asarray(self._rain[window]), self._decision.illuminant)

    def overview(self) -> Overview:
        found = survey(self, self._given if self._rain is None else self._range)
        if self._rain is None:
            self.thumbnail = found.thumbnail
        return found

    def window(self, rows: slice, columns: slice) -> Array:
        return window_of(self._full, rows, columns)

    def reduce(self, step: int) -> tuple[int, ...]:
        self.shape = reduced_shape(self.full_shape, step)
        working = _scratch(self.shape)
        # Whole squares at once.
        for rows in strips(0, self.shape[0], step * self.full_shape[1]):
            whole = slice(step * rows.start, min(step * rows.stop, self.full_shape[0]))
            working[rows] = to_numpy(reduced(self.full(whole), step))
        self._source, self._given = working, self._range
        self.tiles = plan(self.shape, *self._tile)
        self.overview()
        return self.shape

    def rows(self, rows: slice) -> Array:
        return self[rows, slice(0, self.shape[1])]

    def full(self, rows: slice) -> Array:
        """Pixels of the picture at full size, as it was."""
        return window_of(self._full, rows, slice(0, self.full_shape[1]))

    def original(self, rows: slice) -> Array:
        """Pixels of what is solved, as it was."""
        return window_of(self._source, rows, slice(0, self.shape[1]))

    # Stages

    def solve(self, decision: Decision, stage: Stage, density: RainDensity | None) -> Rows:
        if decision.dry:
            self._results = []
            return _nothing(self.shape)
        return self._solve(decision, stage, density)

    def _solve(
        self, decision: Decision, stage: Stage, density: RainDensity | None
    ) -> Iterator[tuple[int, Floats]]:
        drafts, kept = self._drafts, None if stage.last else Drafts()
        self._results, self._seams = [], Seams()
        free = gauges.is_free(decision.options)

        def results() -> Iterator[tuple[Tile, Floats]]:
            for tile in self.tiles:
                previous = drafts[tile.number] if stage.reweighted and drafts else None
                found = solve_window(
                    self[tile.window], tile.window, decision, stage, previous, density
                )
                rain = to_numpy(found.rain)
                if free:
                    self._seams.add(tile, rain)
                if kept is not None:
                    kept.keep(tile.number, found)
                self._results.append(without_arrays(found))
                self._reporter.solved((tile.number + 1) / len(self.tiles))
                yield tile, rain

        try:
            yield from blended(results(), self.shape)
        except BaseException:
            if kept is not None:
                kept.close()
            raise
        self._drop_drafts()
        self._drafts = kept

    def solved(self) -> list[WindowResult]:
        return self._results

    def take(self, decision: Decision, rain: Rows) -> None:
        total = _scratch(self.shape[:2]) if self._rain is None else self._rain
        free = gauges.is_free(decision.options) and not decision.dry
        layer = _scratch(self.shape[:2]) if free else total  # its gauge is the layer's own
        for top, band in rain:  # bands still to come do not read rows above
            layer[top : top + len(band)] += band
        if free:
            self._gauge(layer, decision)
            for rows in strips(0, *self.shape[:2]):
                total[rows] += layer[rows]
        self._rain, self._decision = total, decision

    def _gauge(self, layer: Floats, decision: Decision) -> None:
        """Align the tiles' constants, and choose that of the whole picture."""
        constants = self._seams.constants(len(self.tiles))
        for tile, constant in zip(self.tiles, constants, strict=True):
            layer[tile.window] += np.float32(constant) * tile.weights()

        def parts() -> Iterator[Floats]:
            for rows in strips(0, *self.shape[:2]):
                yield layer[rows]

        shift = np.float32(gauges.constant_of_parts(parts, decision.options))
        for part in parts():
            part -= shift

    def _drop_drafts(self) -> None:
        if self._drafts is not None:
            self._drafts.close()
        self._drafts = None

    def close(self) -> None:
        """Forget what only the next stage would need."""
        self._drop_drafts()

    # What was found

    def rain(self, rows: slice) -> Floats:
        """All that was found, in rows of the picture."""
        assert self._rain is not None
        return self._rain[rows]

    def small_rain(self) -> Floats:
        """The same as a thumbnail."""
        means = BlockMeans(self.shape[:2], survey_steps(self.shape)[1])
        for rows in strips(0, *self.shape[:2]):
            means.add(rows.start, self.rain(rows))
        return shrunk(means.result(), self.shape, PreparedImage.thumbnail_scale(self.shape))

    def facts(self, layer: Layer) -> TiledResult:
        """What is known of a direction."""
        decision, stages, tiles = layer.decision, layer.stages, self.tiles
        height, width = (max(sides) for sides in zip(*(tile.shape for tile in tiles), strict=True))
        return TiledResult(
            derained=None,
            rain=None,
            rain_level=decision.rain_level,
            angle=decision.angle,
            confidence=decision.confidence,
            convergence=decision.convergence,
            weights=decision.weights(Stage(0, 1, 0, reweighted=False, last=True)),
            model=decision.options.model,
            gap=stages[-1].gap if stages else 0.0,
            iterations=sum(one.iterations for one in stages),
            seconds=layer.seconds,
            iteration_seconds=sum(one.seconds for one in stages),
            reason=next((one.reason for one in stages if one.reason != "gap"), "gap"),
            stages=stages,
            tiles=len(tiles),
            tile_shape=(height, width),
            overlap=max(max(tile.rows.after, tile.columns.after) for tile in tiles),
            angles=stages[-1].angles if stages else (),
            working_scale=1 / decision.step,
        )


def _scratch(shape: tuple[int, ...]) -> np.memmap[Any, Any]:
    """A plane of zeros in a temporary file."""
    with TemporaryFile(prefix="udg-") as file:
        return np.memmap(file, np.float32, "w+", shape=shape)


def _nothing(shape: tuple[int, ...]) -> Iterator[tuple[int, Floats]]:
    """Rows without rain."""
    for rows in strips(0, *shape[:2]):
        yield rows.start, np.zeros((rows.stop - rows.start, shape[1]), np.float32)


# Reading and writing


def _check_target(name: str, target: Array, shape: tuple[int, ...]) -> None:
    if tuple(target.shape) != shape:
        raise InvalidInput(f"{name} has shape {tuple(target.shape)}; give one of shape {shape}")


def _write(
    picture: _Tiled, decision: Decision, fraction: float, target: Array, rain_target: Array
) -> None:
    """Store the finished picture, and the rain."""
    signed, step = decision.options.model == "signed", decision.step
    solved_rows, (height, width) = picture.shape[0], picture.full_shape[:2]
    reach = REACH if step == 1 else scale.REACH
    for small in strips(0, solved_rows, step * width):
        wide = slice(max(0, small.start - reach), min(solved_rows, small.stop + reach))
        rain, working = picture.rain(wide), picture.original(wide)
        rain = array_namespace(working).asarray(rain)
        part = slice(step * small.start, min(step * small.stop, height))
        if step == 1:
            own = slice(small.start - wide.start, small.stop - wide.start)
            derained, layer = (u[own] for u in finish(working, rain, decision, fraction))
        else:
            top = step * (small.start - wide.start)
            derained, layer = finish(picture.full(part), rain, decision, fraction, working, top)
        target[part] = _as_type(to_numpy(derained), picture.dtype, target.dtype)
        if rain_target is not None:
            found, integer = to_numpy(layer), np.dtype(rain_target.dtype).kind in "ui"
            found = found / 2 + 0.5 if signed and integer else found
            rain_target[part] = quantize(found, np.float32, rain_target.dtype)


def _as_type(pixels: Floats, source: Any, target: Any) -> Array:
    """Round to the source's own integers, or convert to another type's range."""
    source, target = np.dtype(source), np.dtype(target)
    if target.kind not in "ui":
        return pixels.astype(target, copy=False)
    if source != target:
        return quantize(pixels, source, target)
    limits = np.iinfo(target)
    return np.clip(np.rint(pixels), limits.min, limits.max).astype(target)
