"""Pictures too large to be solved in one piece: overlapping tiles in bounded memory.

What is a property of the whole picture is decided once, from the whole picture: the angle, whether
there is rain, the weights for its contrast (`survey`), and, between two passes, where rain is
crowded (`doubt.Crowding`). Tiles are then solved one by one (`solve_tile`) and their rain layers
blended where they overlap, by weights that sum to 1 (`plan`). Only rain is blended: the picture's
own pixels are read once more and lose the blended rain.

A pass goes through the picture from top to bottom. Beside one tile it holds the rain of one row of
tiles, so that memory grows with the width of the picture at most; what a pass found is kept in a
temporary file until the next one, and the rain of all of them in another until the picture is
written: four bytes a pixel each at most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from tempfile import TemporaryFile
from typing import Any, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

from udg.backend import to_numpy
from udg.certificate import Duals
from udg.chroma import REACH, restore_chroma
from udg.doubt import LOOKS, Crowding, Surroundings, doubts, first_doubt
from udg.errors import InvalidInput
from udg.files import quantize
from udg.image import (
    BlockMeans,
    DataRange,
    Light,
    Overview,
    PreparedImage,
    check_shape,
    prepare,
    shrunk,
)
from udg.iteration import Reason, minimize
from udg.method import Estimate
from udg.objective import Model, Weights
from udg.presence import caution
from udg.preview import Preview, Shown, Thumbnail, rain_in_words
from udg.rotation import common_grid, rotate, unrotate, window_direction, with_lost_details
from udg.settings import (
    Asked,
    Settings,
    blend_in,
    centre,
    checked_count,
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

__all__ = [
    "OVERLAP",
    "TILE",
    "Piece",
    "Tile",
    "TiledResult",
    "Whole",
    "asked_for",
    "overview",
    "plan",
    "reduced",
    "solve_tile",
    "solve_tiles",
    "survey",
    "survey_steps",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

TILE = 2048  # side in pixels
OVERLAP = 128  # pixels that neighbours share, at most a third of a tile
_MARGIN = 0.25  # part of an overlap, at either end, that is left to one tile alone
_AT_ONCE = 2**22  # pixels that are read or written at once


# Planning


class Span(NamedTuple):
    """A tile's extent along one axis: from `start` to `stop`, shared `before` and `after`."""

    start: int
    stop: int
    before: int
    after: int

    @property
    def own(self) -> slice:
        """From where the tile begins to where the next one does."""
        return slice(self.start, self.stop - self.after)

    def ramp(self) -> Floats:
        """Weight at each pixel, float32; at every pixel those of all tiles sum to 1."""
        weights = np.ones(self.stop - self.start, np.float32)
        if self.before:
            weights[: self.before] = _rising(self.before)
        if self.after:
            weights[-self.after :] = _rising(self.after)[::-1]
        return weights


class Tile(NamedTuple):
    """A window of the picture that is solved on its own.

    Attributes
    ----------
    number : int
        From 0, row by row.
    rows, columns : Span
        The window, overlaps included.
    """

    number: int
    rows: Span
    columns: Span

    @property
    def window(self) -> tuple[slice, slice]:
        """The window as an index of the picture."""
        return slice(self.rows.start, self.rows.stop), slice(self.columns.start, self.columns.stop)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the window."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    def weights(self) -> Floats:
        """Weight of the tile's rain at each of its pixels, float32, shape ``shape``."""
        return np.outer(self.rows.ramp(), self.columns.ramp())


def plan(shape: tuple[int, ...], tile: int = TILE, overlap: int | None = None) -> list[Tile]:
    """Cover a picture with overlapping tiles of nearly the same size.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the picture.
    tile : int
        Longest side of a tile in pixels, overlaps included; at least 16.
    overlap : int, optional
        Pixels that neighbours share; at most a third of `tile`. Default 128 if it may be.

    Returns
    -------
    list of Tile
        Row by row. A single one if the picture is not larger than a tile.

    Raises
    ------
    InvalidInput
        `tile` or `overlap` is outside its range.
    """
    checked_count("tile", tile, 16)
    overlap = min(OVERLAP, tile // 3) if overlap is None else checked_count("overlap", overlap, 0)
    if 3 * overlap > tile:
        raise InvalidInput(f"overlap is {overlap}; give at most a third of the tile, {tile // 3}")
    rows, columns = (_spans(side, tile, overlap) for side in shape[:2])
    pairs = ((row, column) for row in rows for column in columns)
    return [Tile(number, row, column) for number, (row, column) in enumerate(pairs)]


def _spans(length: int, size: int, overlap: int) -> list[Span]:
    count = max(1, math.ceil((length - overlap) / (size - overlap)))
    cuts = [round(k * (length - overlap) / count) for k in range(1, count)]
    starts, stops = [0, *cuts], [*(cut + overlap for cut in cuts), length]
    befores, afters = [0, *[overlap] * (count - 1)], [*[overlap] * (count - 1), 0]
    return [Span(*ends) for ends in zip(starts, stops, befores, afters, strict=True)]


def _rising(overlap: int) -> Floats:
    """From 0 to 1 over an overlap: sin², whose mirror image is 1 minus it."""
    place = (np.arange(overlap) + 0.5) / overlap
    inner = np.clip((place - _MARGIN) / (1 - 2 * _MARGIN), 0, 1)
    return np.asarray(np.sin(0.5 * np.pi * inner) ** 2, np.float32)


# The whole picture


@dataclass(frozen=True)
class Whole:
    """What was decided once for all tiles; can be pickled and sent to other processes.

    Attributes
    ----------
    shape : tuple of int
        Of the picture.
    settings : object
        What `udg.solve` was asked for, with the weights for the picture's contrast
        and the colour of its light.
    data_range : (float, float)
        The values of no light and of full light.
    angle, confidence, rain_level
        As in `udg.Result`.
    amount : float
        Mean light to be expected of rain, by which the weights change; 0 if it was not judged.
    fan : float
        As in `udg.Result`.
    looks : float
        Mean log-odds of what may be rain, by which lines are judged (`udg.doubt.even_odds`).
    angle_per_tile : bool
        Whether each tile looks for its own angle.
    later : bool
        Whether a round before took out what it found.
    """

    shape: tuple[int, ...]
    settings: Settings
    data_range: tuple[float, float]
    angle: float
    confidence: float | None
    rain_level: float
    amount: float = 0.0
    fan: float = 0.0
    looks: float = LOOKS
    angle_per_tile: bool = False
    later: bool = False

    @property
    def adapted(self) -> Settings:
        """Settings with the weights for this layer's rain, and for what is left of it."""
        settings = for_rain(self.settings, self.rain_level, self.amount, self.looks)
        return settings.for_rest() if self.later else settings

    @property
    def passes(self) -> int:
        """How often every tile is solved in a round; 0 if there is no rain."""
        dry = self.settings.model == "rain" and self.rain_level == 0
        return 0 if dry else self.settings.passes

    @property
    def rounds(self) -> int:
        """How often these passes are made, each time to what is left."""
        return self.settings.rounds if self.passes else 1


def survey(source: Array, data_range: DataRange | None = None) -> Overview:
    """Shrink a picture to what is needed to decide on the whole of it, strip by strip.

    Parameters
    ----------
    source : array_like, shape (H, W) or (H, W, C)
        Anything with ``shape`` and slicing.
    data_range : float or (float, float), optional
        As in `udg.image.prepare`.

    Returns
    -------
    Overview
        The same as for the picture in one piece.

    Raises
    ------
    InvalidImage
        The picture cannot be used; see `udg.image.prepare`.
    """
    shape = _shape(source)
    luma_step, unit_step = survey_steps(shape)
    colours = _read(source, slice(0, 2), slice(0, 2), data_range).colours
    lumas = BlockMeans(shape[:2], luma_step)
    units = BlockMeans((*shape[:2], colours), unit_step)
    for rows in _strips(0, shape[0], shape[1]):
        image = _read(source, rows, slice(None), data_range)
        lumas.add(rows.start, to_numpy(image.luma()))
        units.add(rows.start, to_numpy(image.unit()))
    return overview(shape, lumas.result(), units.result())


def reduced(source: Array, longest: int) -> Floats:
    """Shrink a picture to show it, strip by strip.

    Parameters
    ----------
    source : array_like, shape (H, W) or (H, W, C)
        Anything with ``shape`` and slicing.
    longest : int
        Pixels that the longer side may have; smaller pictures keep their size.

    Returns
    -------
    array, float32, shape (h, w, colours)
        In [0, 1].

    Raises
    ------
    InvalidImage
        The picture cannot be used; see `udg.image.prepare`.
    """
    shape = _shape(source)
    scale = min(1.0, longest / max(shape[:2]))
    colours = _read(source, slice(0, 2), slice(0, 2), None).colours
    means = BlockMeans((*shape[:2], colours), int(1 / scale))
    for rows in _strips(0, shape[0], shape[1]):
        means.add(rows.start, to_numpy(_read(source, rows, slice(None), None).unit()))
    return shrunk(means.result(), shape, scale)


def survey_steps(shape: tuple[int, ...]) -> tuple[int, int]:
    """Sides of the blocks of which `overview` wants the mean luma and the mean colours."""
    from udg.angle import luma_scale

    return int(1 / luma_scale(shape)), int(1 / PreparedImage.thumbnail_scale(shape))


def overview(shape: tuple[int, ...], luma: Floats, unit: Floats) -> Overview:
    """`survey` of a picture of which block means are known.

    Parameters
    ----------
    shape : tuple of int
        Of the picture.
    luma : array, shape (h, w)
        `BlockMeans` of `PreparedImage.luma`.
    unit : array, shape (h, w, colours)
        `BlockMeans` of `PreparedImage.unit`.

    Returns
    -------
    Overview
    """
    from udg.angle import luma_scale

    return Overview(
        shrunk(luma, shape, luma_scale(shape)),
        shrunk(unit, shape, PreparedImage.thumbnail_scale(shape)),
    )


# One tile


class Piece(NamedTuple):
    """What a pass made of a tile.

    Attributes
    ----------
    number : int
        Of the pass, from 1.
    rain : array, float32, shape (H, W)
        In the tile's frame, before it is blended.
    R : array, float16
        In the solved frame: where the next pass starts from.
    angle, fan : float
        Degrees, of the tile.
    objective, gap, iterations, seconds, reason
        As in `udg.Result`; iterations and seconds of all passes so far.
    """

    number: int
    rain: Array
    R: Array
    angle: float
    fan: float
    objective: float
    gap: float
    iterations: int
    seconds: float
    reason: Reason


def solve_tile(
    pixels: Array,
    window: tuple[slice, slice],
    whole: Whole,
    before: Piece | None = None,
    around: Surroundings | None = None,
) -> Piece:
    """One pass over one tile.

    Parameters
    ----------
    pixels : array, shape (H, W) or (H, W, C)
        The tile's part of the picture.
    window : (slice, slice)
        Where it lies: `Tile.window`.
    whole : Whole
        What was decided for all tiles.
    before : Piece, optional
        What the pass before found here; its ``rain`` is not used. None in the first pass.
    around : Surroundings, optional
        `doubt.Crowding.around` of the tile's window after the pass before.

    Returns
    -------
    Piece
    """
    settings = whole.adapted
    image = prepare(pixels, whole.data_range)
    light, xp = light_of(image, settings), array_namespace(pixels)
    angle, fan = _direction(image, window, whole) if before is None else (before.angle, before.fan)
    fine = fineness(settings, angle, fan)
    # On a common grid interpolation does the same to neighbours, and to the whole picture. The
    # frames of a fan's windows have none: each is turned by its own angle.
    shift = (0.0, 0.0) if fan else common_grid(window, whole.shape, angle, fine)

    def turned(plane: Array) -> Array:
        return rotate(xp.asarray(plane), angle, fine, shift, fan)

    def back(layer: Array) -> Array:
        return unrotate(layer, angle, light.shape, fine, shift, fan)

    problem = frame_problem(turned(light), settings, fine)
    careful = caution(whole.rain_level) if settings.model == "rain" else 1.0
    if before is None:
        number, spent, seconds, start = 1, 0, 0.0, None
        eager = settings.eager and settings.passes > 1
        if (first := first_doubt(careful, eager=eager)) != 1:
            problem = replace(problem, doubt=xp.full_like(problem.Y, first))
    else:
        number, spent, seconds = before.number + 1, before.iterations, before.seconds
        R = problem.feasible(xp.astype(xp.asarray(before.R), xp.float32))
        if before.reason != "gap":  # no iterations are left
            return before._replace(rain=back(R))
        assert around is not None
        brightest, here = turned(image.brightest(settings.light)), around.turned(turned)
        raised = doubts(problem.Y, R, brightest, here, settings.weights.lam_r, settings.even)
        problem = replace(problem, doubt=xp.astype(careful * raised, xp.float32))
        zero = xp.zeros_like(R)
        start = Estimate(problem.Y - R, R, Duals(zero, zero, zero, zero))
    minimum = minimize(
        problem,
        settings.method,
        tol=tolerance(settings, last=number == settings.passes),
        max_iter=settings.max_iter - spent,
        warm_start=start,
    )
    R = minimum.estimate.R
    rain = back(R)
    if settings.model == "rain" and (angle % 90 or fan):
        rain = with_lost_details(rain, light, back(problem.Y))
    if settings.model == "signed":
        rain = rain - centre(rain, settings.gauge)
    return Piece(
        number,
        rain,
        xp.astype(R, xp.float16),
        angle,
        fan,
        minimum.objective,
        minimum.gap,
        spent + minimum.iterations,
        seconds + minimum.seconds,
        minimum.reason,
    )


def _direction(
    image: PreparedImage, window: tuple[slice, slice], whole: Whole
) -> tuple[float, float]:
    """Angle and fan of a tile: the whole picture's there, or its own angle where it has one."""
    if whole.angle_per_tile:
        from udg.angle import estimate_angle

        settings = whole.settings
        own = estimate_angle(image.luma(), limit=settings.angle_limit, sign=settings.kind.sign)
        if own.confidence > 0:
            return own.degrees, 0.0
    return window_direction(window, whole.shape, whole.angle, whole.fan)


# All of them


@dataclass(frozen=True, repr=False)
class TiledResult(Shown):
    """A picture that was decomposed tile by tile; a notebook shows its thumbnail.

    Attributes
    ----------
    derained : array_like, the picture's shape
        The target that was given, or a new array, float32, in the picture's range.
    rain : array_like or None
        The target for the rain that was given.
    rain_level, angle, confidence, weights, model
        As in `udg.Result`: decided once for the whole picture.
    gap : float
        Largest of all tiles' last passes; 0 if there was nothing to solve.
    iterations : float
        Mean of all tiles'.
    seconds : float
        Time spent iterating, of all tiles together.
    reason : {"gap", "max_iter"}
        ``"gap"`` if that is why all tiles stopped.
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
    blend, fan : float
        As in `udg.Result`.
    """

    derained: Array
    rain: Array
    rain_level: float
    angle: float
    confidence: float | None
    weights: Weights
    model: Model
    gap: float
    iterations: float
    seconds: float
    reason: Reason
    tiles: int
    tile_shape: tuple[int, int]
    overlap: int
    angles: tuple[float, ...]
    layers: tuple[TiledResult, ...] = ()
    thumbnail: Thumbnail | None = None
    blend: float = 0.0
    fan: float = 0.0

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
    progress: Callable[[int, int], object] | None = None,
    **options: Any,
) -> TiledResult:
    """Take rain streaks (or stripes) out of a picture of any size, tile by tile.

    Angle, rain level and weights are decided once, from the whole picture, as `udg.solve` does;
    so is where rain is crowded. The rain of overlapping tiles is blended and subtracted from the
    picture's own pixels. Memory does not depend on the height of the picture, and on its width
    only by one row of tiles.

    Parameters
    ----------
    source : array_like, shape (H, W) or (H, W, C)
        Anything with ``shape``, ``ndim`` and slicing by rows and columns: a NumPy array or memory
        map, a zarr array, a `udg.windows` reader. Pixels as in `udg.solve`. Read once for the
        decisions and twice a pass.
    target : array_like, optional
        Where the derained picture goes: anything with ``dtype`` that can be assigned to by rows,
        ``target[top:bottom] = rows``, from top to bottom. Values of an integer type are rounded; a
        type other than the source's has its own full range (`udg.files.quantize`). It must not be
        the source. Default: a new array, float32, in the source's range.
    rain : array_like, optional
        Where the rain layer goes, if wanted: as `target`, of shape (H, W). Floats are R, where 1
        is full light; uint8 and uint16 hold R times their range, or R / 2 + 1/2 for
        ``model="signed"``.
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
        Value of full light, or of none and full; see `udg.image.prepare`.
    progress : callable, optional
        Called with the numbers of tiles solved and to solve, each pass counted.
    **options
        All else that `udg.solve` takes, except `warm_start`, `history` and `callback`.

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
    settings, angles, while_new = asked_for(angle, n_layers, angle_per_tile, options)
    source = source if hasattr(source, "shape") else np.asarray(source)
    shape = _shape(source)
    tiles = plan(shape, tile, overlap)
    if target is None:
        target = np.empty(shape, np.float32)
    _check_target("target", target, shape)
    if rain is not None:
        _check_target("rain", rain, shape[:2])

    signed = settings.model == "signed"
    stack, ticks = _Stack(source, data_range, shape), _Ticks(progress)
    layers: list[TiledResult] = []
    for asked in angles:
        overview = survey(stack, stack.range)
        if not layers:
            before = overview.thumbnail
            settings = for_picture(settings, overview)
            stack.light = settings.light
        direction = find_direction(overview, settings, asked)
        if while_new and not is_new(direction, [layer.angle for layer in layers]):
            break
        whole = Whole(shape, settings, (stack.low, stack.high), *direction, angle_per_tile)
        ticks.more(whole.rounds * whole.passes * len(tiles))
        rounds: list[list[Piece]] = []
        for _ in range(whole.rounds):
            rounds.append([])
            again = replace(whole, later=len(rounds) > 1)
            stack.take(_bands(stack, again, tiles, rounds[-1], ticks))
        layers.append(_facts(whole, tiles, rounds))
        if while_new and not whole.passes:
            break
    layer = stack.small_rain()
    stack.blend = blend_in(settings, before, layer)
    _write(stack, target, rain, signed)
    together = tuple(layers) if len(layers) > 1 else ()
    after = PreparedImage(before, 0, 1).subtract(layer, settings.light, stack.blend)
    if not signed:
        after = restore_chroma(after, layer)
    return replace(
        layers[0],
        derained=target,
        rain=rain,
        layers=together,
        thumbnail=Thumbnail(before, after, layer),
        blend=stack.blend,
    )


def asked_for(
    angle: float | Literal["auto"] | Sequence[float],
    n_layers: int | Literal["auto"] | None,
    angle_per_tile: bool,
    options: dict[str, Any],
) -> Asked:
    """What `solve_tiles` was asked for, checked.

    Parameters
    ----------
    angle, n_layers, angle_per_tile, options
        As in `solve_tiles`.

    Returns
    -------
    Asked
        What does not depend on the picture.

    Raises
    ------
    InvalidInput
        An argument is outside its range, or not for pictures in parts.
    """
    for name in ("warm_start", "history", "callback"):
        if name in options:
            raise InvalidInput(f"{name} is for udg.solve; leave it out with tiles and chunks")
    weights = ("tau", "lam_x", "lam_y", "lam_r")
    others = {name: value for name, value in options.items() if name not in weights}
    given = {name: options.get(name) for name in weights}
    if angle_per_tile and n_layers is None:
        n_layers = 1
    asked = understood(given, angle, n_layers, **others)
    if angle_per_tile and asked.angles != ["auto"]:
        raise InvalidInput("angle_per_tile is for angle='auto' and one layer; leave it out")
    return asked


class _Ticks:
    """Counts tiles for whoever watches."""

    def __init__(self, report: Callable[[int, int], object] | None) -> None:
        self._report, self._done, self._total = report, 0, 0

    def more(self, count: int) -> None:
        self._total += count
        self._tell()

    def __call__(self) -> None:
        self._done += 1
        self._tell()

    def _tell(self) -> None:
        if self._report is not None:
            self._report(self._done, self._total)


class _Stack:
    """The picture without the rain that was found so far, which is kept in a temporary file."""

    def __init__(self, source: Array, data_range: DataRange | None, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)
        self._source, self._given = source, data_range
        corner = _read(source, slice(0, 2), slice(0, 2), data_range)
        self.dtype = corner.pixels.dtype
        self.low, self.high = corner.low, corner.high
        self.light: Light | None = None  # in which colour rain is subtracted
        self.blend = 0.0
        self._rain: np.memmap[Any, Any] | None = None

    @property
    def range(self) -> DataRange | None:
        """That of the pixels that are read here."""
        return self._given if self._rain is None else (self.low, self.high)

    def __getitem__(self, window: tuple[slice, slice]) -> Array:
        pixels = _window(self._source, *window)
        if self._rain is None:
            return pixels
        image, xp = PreparedImage(pixels, self.low, self.high), array_namespace(pixels)
        return image.subtract(xp.asarray(self._rain[window]), self.light, self.blend)

    def rain(self, rows: slice) -> Floats:
        """All that was found so far, in rows of the picture."""
        assert self._rain is not None
        return self._rain[rows]

    def small_rain(self) -> Floats:
        """The same as a thumbnail."""
        means = BlockMeans(self.shape[:2], survey_steps(self.shape)[1])
        for rows in _strips(0, *self.shape[:2]):
            means.add(rows.start, self.rain(rows))
        return shrunk(means.result(), self.shape, PreparedImage.thumbnail_scale(self.shape))

    def take(self, bands: Iterator[tuple[int, Floats]]) -> None:
        """Add rain, given from top to bottom. Bands still to come do not read rows above."""
        total = self._rain
        if total is None:
            with TemporaryFile(prefix="udg-") as file:
                total = np.memmap(file, np.float32, "w+", shape=self.shape[:2])
        for top, band in bands:
            total[top : top + len(band)] += band
        self._rain = total


class _Drafts:
    """What a pass found, kept in a temporary file for the next one."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="udg-")  # noqa: SIM115
        self._pieces: dict[int, tuple[int, tuple[int, ...], Piece]] = {}

    def __setitem__(self, number: int, piece: Piece) -> None:
        R = to_numpy(piece.R)
        self._pieces[number] = self._file.seek(0, 2), R.shape, piece._replace(R=None, rain=None)
        self._file.write(R.tobytes())

    def __getitem__(self, number: int) -> Piece:
        offset, shape, piece = self._pieces[number]
        self._file.seek(offset)
        R = np.frombuffer(self._file.read(2 * math.prod(shape)), np.float16)
        return piece._replace(R=R.reshape(shape))

    def close(self) -> None:
        self._file.close()


def _bands(
    source: _Stack, whole: Whole, tiles: Sequence[Tile], pieces: list[Piece], ticks: _Ticks
) -> Iterator[tuple[int, Floats]]:
    """All passes over a picture; gives the last one's rain as soon as rows of it are final.

    What else is known of the last pass's pieces goes to ``pieces``.
    """
    if whole.passes == 0:
        for rows in _strips(0, whole.shape[0], whole.shape[1]):
            yield rows.start, np.zeros((rows.stop - rows.start, whole.shape[1]), np.float32)
        return
    drafts, crowding = None, None
    try:
        for _ in range(1, whole.passes):
            found, density = _Drafts(), Crowding(whole.shape, whole.angle)
            try:
                results = _pass(source, whole, tiles, drafts, crowding, ticks)
                for top, band in _blended(results, whole.shape, found.__setitem__):
                    rows = slice(top, top + len(band))
                    density.add(top, band, _light(source, rows, whole))
            except BaseException:
                found.close()
                raise
            if drafts is not None:
                drafts.close()
            drafts, crowding = found, density

        def keep(number: int, piece: Piece) -> None:
            pieces.append(piece._replace(R=None, rain=None))

        results = _pass(source, whole, tiles, drafts, crowding, ticks)
        yield from _blended(results, whole.shape, keep)
    finally:
        if drafts is not None:
            drafts.close()


def _light(source: _Stack, rows: slice, whole: Whole) -> Floats:
    """The plane that is decomposed, in rows of the whole picture."""
    pixels = source[rows, slice(0, whole.shape[1])]
    return to_numpy(light_of(prepare(pixels, whole.data_range), whole.settings))


def _pass(
    source: _Stack,
    whole: Whole,
    tiles: Sequence[Tile],
    drafts: _Drafts | None,
    crowding: Crowding | None,
    ticks: _Ticks,
) -> Iterator[tuple[Tile, Piece]]:
    """One pass over all tiles, row by row."""
    for tile in tiles:
        before = None if drafts is None else drafts[tile.number]
        around = None if crowding is None else crowding.around(*tile.window)
        yield tile, solve_tile(source[tile.window], tile.window, whole, before, around)
        ticks()


def _blended(
    results: Iterator[tuple[Tile, Piece]],
    shape: tuple[int, ...],
    keep: Callable[[int, Piece], None],
) -> Iterator[tuple[int, Floats]]:
    """Blend the rain of tiles that come row by row; give rows as soon as they are final."""
    carried = np.zeros((0, shape[1]), np.float32)
    for rows, row in groupby(results, key=lambda result: result[0].rows):
        band = np.zeros((rows.stop - rows.start, shape[1]), np.float32)
        band[: len(carried)] = carried
        for tile, piece in row:
            band[:, tile.window[1]] += tile.weights() * to_numpy(piece.rain)
            keep(tile.number, piece)
        final = len(band) - rows.after
        carried = band[final:].copy()
        yield rows.start, band[:final]


def _facts(whole: Whole, tiles: Sequence[Tile], rounds: list[list[Piece]]) -> TiledResult:
    pieces = rounds[-1]
    all_pieces = [piece for one in rounds for piece in one]
    count = max(1, len(pieces))
    height, width = (max(sides) for sides in zip(*(tile.shape for tile in tiles), strict=True))
    return TiledResult(
        derained=None,
        rain=None,
        rain_level=whole.rain_level,
        angle=whole.angle,
        confidence=whole.confidence,
        weights=whole.adapted.weights,
        model=whole.settings.model,
        gap=max((piece.gap for piece in pieces), default=0.0),
        iterations=sum(piece.iterations for piece in all_pieces) / count,
        seconds=sum(piece.seconds for piece in all_pieces),
        reason="gap" if all(piece.reason == "gap" for piece in all_pieces) else "max_iter",
        tiles=len(tiles),
        tile_shape=(height, width),
        overlap=max(max(tile.rows.after, tile.columns.after) for tile in tiles),
        angles=tuple(piece.angle for piece in pieces),
        fan=whole.fan,
    )


# Reading and writing


def _shape(source: Array) -> tuple[int, ...]:
    check_shape(source)
    return tuple(source.shape)


def _window(source: Array, rows: slice, columns: slice) -> Array:
    pixels = source[rows, columns]
    return pixels if is_array_api_obj(pixels) else np.asarray(pixels)


def _check_target(name: str, target: Array, shape: tuple[int, ...]) -> None:
    if tuple(target.shape) != shape:
        raise InvalidInput(f"{name} has shape {tuple(target.shape)}; give one of shape {shape}")


def _read(
    source: Array, rows: slice, columns: slice, data_range: DataRange | None
) -> PreparedImage:
    return prepare(_window(source, rows, columns), data_range)


def _strips(top: int, bottom: int, width: int) -> Iterator[slice]:
    """Rows of a picture in parts of a few million pixels."""
    step = max(2, _AT_ONCE // width)
    # The last part has at least two rows, as a picture must.
    starts = [*range(top, max(top + 1, bottom - 1), step), bottom]
    yield from map(slice, starts[:-1], starts[1:])


def _write(source: _Stack, target: Array, rain_target: Array, signed: bool) -> None:
    """Store the picture without its rain, and the rain."""
    everywhere = slice(0, source.shape[1])
    for part in _strips(0, *source.shape[:2]):
        wide = slice(max(0, part.start - REACH), min(source.shape[0], part.stop + REACH))
        pixels = to_numpy(source[wide, everywhere])
        if not signed:
            pixels = restore_chroma(pixels, source.rain(wide), source.low, source.high)
        own = pixels[part.start - wide.start : part.stop - wide.start]
        target[part] = _as_type(own, source.dtype, target.dtype)
        if rain_target is not None:
            rain, integer = source.rain(part), np.dtype(rain_target.dtype).kind in "ui"
            rain = rain / 2 + 0.5 if signed and integer else rain
            rain_target[part] = quantize(rain, np.float32, rain_target.dtype)


def _as_type(pixels: Floats, source: Any, target: Any) -> Array:
    """Round to the source's own integers, or convert to another type's range."""
    source, target = np.dtype(source), np.dtype(target)
    if target.kind not in "ui":
        return pixels.astype(target, copy=False)
    if source != target:
        return quantize(pixels, source, target)
    limits = np.iinfo(target)
    return np.clip(np.rint(pixels), limits.min, limits.max).astype(target)
