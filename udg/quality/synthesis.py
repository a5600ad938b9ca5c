"""Rain on a clean image: a layer of streaks, and how it is laid over the scene.

A falling drop is smeared by the exposure into a bright, soft-edged line whose ends fade out (Garg
and Nayar 2006). The layer here is made of such lines, each evaluated at the pixel centres
from a formula, so a streak's angle, length and width are exact and not those of a filter kernel.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from array_api_compat import array_namespace, device
from numpy.typing import NDArray

from udg.errors import InvalidInput
from udg.imaging.image import Array, DataRange, prepare

__all__ = ["Synthetic", "render_streaks", "synthesize"]

Blend = Literal["screen", "add"]
Floats = NDArray[np.floating[Any]]

_SIGMA_PER_FWHM = 1 / (2 * math.sqrt(2 * math.log(2)))
_CUT = 3.5  # Gaussian flanks end where they are 0.2 % of the peak
_TILT = 2.0  # degrees to either side of `angle` at spread 1
_MAX_SPREAD = 0.9
_BLOCK = 1 << 14  # streaks placed at a time
_MAX_SAMPLES = 1 << 20  # pixel evaluations at a time: what bounds the memory


class Synthetic(NamedTuple):
    """A rainy image and the rain that was put on it.

    Attributes
    ----------
    rainy : array, float32, the clean image's shape
        In the clean image's range, never above full light. Alpha is the clean image's.
    rain : array, float32, shape (H, W)
        The streak layer R, in units of the full range: 0 is no rain, 1 is full light.
    """

    rainy: Array
    rain: Array

    def __repr__(self) -> str:
        return f"<Synthetic {'×'.join(map(str, self.rainy.shape))}: rainy, rain>"


class _Streaks(NamedTuple):
    """Streaks as columns: centre (pixels), angle (radians), length, width, peak."""

    row: Floats
    col: Floats
    angle: Floats
    length: Floats
    width: Floats
    peak: Floats

    def take(self, which: slice | NDArray[Any]) -> _Streaks:
        return _Streaks(*(column[which] for column in self))


def synthesize(
    clean: Array,
    *,
    angle: float = 0.0,
    length: float = 30.0,
    width: float = 1.5,
    density: float = 0.08,
    intensity: float = 0.5,
    blend: Blend = "screen",
    spread: float = 0.5,
    seed: int | np.random.Generator = 0,
    data_range: DataRange | None = None,
) -> Synthetic:
    """Put rain on a clean image.

    With X the clean image and R the rain, both in units of the full range, every colour channel
    becomes ``1 - (1 - X)(1 - R)`` (screen) or ``min(1, X + R)`` (add).

    Parameters
    ----------
    clean : array, shape (H, W) or (H, W, C)
        uint8, uint16 or float image without rain. Never modified.
    angle : float, default 0
        Direction of the streaks in degrees clockwise from vertical: ``/`` is positive, and
        ``skimage.transform.rotate(rainy, angle)`` makes them vertical.
    length : float, default 30
        Length of a typical streak in pixels, between the points of half its peak brightness.
        Longer is faster rain or a longer exposure.
    width : float, default 1.5
        Width of a typical streak in pixels, between the points of half its peak brightness.
    density : float, default 0.08
        Fraction of the picture's area that the streaks cover, each counted as ``length * width``
        and overlaps counted twice, in [0, 1]: 0 is no rain, 0.02 a drizzle, 0.2 a downpour. As
        density grows, streaks are added to the ones already there.
    intensity : float, default 0.5
        Brightness of the brightest streaks at their peak, from 0 (invisible) to 1 (white).
    blend : {"screen", "add"}, default "screen"
        How light adds up: ``"screen"`` fades the rain on bright ground as photographs do and never
        saturates; ``"add"`` is the model of `udg.solve`, Y = X + R, until it saturates.
    spread : float, default 0.5
        Variation between near and far streaks, 0 (all alike) to 0.9. Sizes run from
        ``1 - spread`` to ``1 / (1 - spread)`` times the typical one, far streaks being
        shorter, finer, dimmer and more numerous; angles vary by up to ``2 * spread`` degrees to
        either side.
    seed : int or numpy.random.Generator, default 0
        The same seed gives the same rain, bit for bit.
    data_range : float or (float, float), optional
        The value of full light, or of no light and full light; by default that of the type, and
        [0, 1] for floats.

    Returns
    -------
    Synthetic
        ``rainy`` and ``rain``.

    Raises
    ------
    InvalidImage
        ``clean`` is not an image that the methods accept.
    InvalidInput
        A rain parameter is outside its range, or ``blend`` is unknown.

    See Also
    --------
    render_streaks : The rain layer alone.

    Notes
    -----
    The appearance follows K. Garg and S. K. Nayar, "Photorealistic rendering of rain streaks", ACM
    Transactions on Graphics 25(3), 2006, without its oscillating drops; the screen blend is the
    rain model of Y. Luo, Y. Xu and H. Ji, "Removing rain from a single image via discriminative
    sparse coding", ICCV 2015.

    Examples
    --------
    >>> import numpy as np, udg
    >>> rainy, rain = udg.synthesize(np.full((64, 96, 3), 0.25), angle=12, seed=1)
    >>> rainy.shape, rain.shape
    ((64, 96, 3), (64, 96))
    """
    if blend not in get_args(Blend):
        raise InvalidInput(f"blend is {blend!r}; give 'screen' or 'add'")
    image = prepare(clean, data_range)
    pixels = image.pixels
    rain = render_streaks(
        pixels.shape[:2],
        angle=angle,
        length=length,
        width=width,
        density=density,
        intensity=intensity,
        spread=spread,
        seed=seed,
    )
    xp = array_namespace(pixels)
    layer = xp.asarray(rain, device=device(pixels))
    rainy = xp.astype(pixels, xp.float32, copy=True)
    grey = rainy.ndim == 2
    scene = rainy[:, :, None] if grey else rainy[:, :, : image.colours]
    # Light still missing × R is the screen blend, and leaves dry pixels exactly as they were.
    room = image.high - (scene if blend == "screen" else image.low)
    wet = xp.clip(scene + room * layer[:, :, None], image.low, image.high)
    if grey:
        return Synthetic(wet[:, :, 0], layer)
    rainy[:, :, : image.colours] = wet
    return Synthetic(rainy, layer)


def render_streaks(
    shape: tuple[int, int],
    *,
    angle: float = 0.0,
    length: float = 30.0,
    width: float = 1.5,
    density: float = 0.08,
    intensity: float = 0.5,
    spread: float = 0.5,
    seed: int | np.random.Generator = 0,
) -> NDArray[np.float32]:
    """Render a layer of rain streaks.

    Parameters
    ----------
    shape : (int, int)
        Height and width in pixels.
    angle : float, default 0
        Direction of the streaks in degrees clockwise from vertical: ``/`` is positive.
    length : float, default 30
        Length of a typical streak in pixels, at half its peak; at least ``width``.
    width : float, default 1.5
        Width of a typical streak in pixels, at half its peak; at least 1. A far streak that would
        be finer than a pixel is drawn one pixel wide and as much dimmer.
    density : float, default 0.08
        Fraction of the area that streaks cover, each counted as ``length * width`` and overlaps
        counted twice, in [0, 1]; the layer's mean grows with it. Streaks cross the borders as they
        do in a photo: the layer is a crop of rain that goes on outside.
    intensity : float, default 0.5
        Peak of the brightest streaks, in [0, 1]; no pixel is above it. Where streaks cross, the
        brighter one is seen.
    spread : float, default 0.5
        Variation between near and far streaks, in [0, 0.9]. Sizes run from ``1 - spread`` to
        ``1 / (1 - spread)`` times the typical one, small ones being as many more as they are
        smaller, so that all sizes cover the same area; angles vary by up to ``2 * spread`` degrees
        to either side. Peaks fall with the root of size, so a larger spread dims far streaks.
    seed : int or numpy.random.Generator, default 0
        The same seed gives the same layer, bit for bit; a generator is advanced.

    Returns
    -------
    ndarray, float32, shape (H, W)
        R, in units of the full range: 0 where there is no rain, at most ``intensity``.

    Raises
    ------
    InvalidInput
        A parameter is outside its range.

    Notes
    -----
    Across, a streak is a Gaussian; along, it is flat over the middle half of its length and
    fades as a cosine to zero at 3/4 of its length from the centre (Tukey window).
    The model is that of K. Garg and S. K. Nayar, "Photorealistic rendering of rain streaks",
    2006, without oscillation of the drops.

    Examples
    --------
    >>> from udg.quality.synthesis import render_streaks
    >>> rain = render_streaks((120, 160), angle=-20, intensity=0.4)
    >>> rain.shape, bool(rain.max() <= 0.4)
    ((120, 160), True)
    """
    height, breadth = _check_shape(shape)
    _check_number("angle", angle, "degrees clockwise from vertical")
    _check_number("width", width, "pixels, at least 1", low=1)
    _check_number("length", length, f"pixels, at least the width ({width:g})", low=width)
    _check_number("density", density, "the covered fraction, from 0 to 1", low=0, high=1)
    _check_number("intensity", intensity, "peak brightness, from 0 to 1", low=0, high=1)
    _check_number("spread", spread, f"from 0 to {_MAX_SPREAD}", low=0, high=_MAX_SPREAD)
    rng = _generator(seed)

    # A streak is drawn row by row, so one that lies flat is drawn in the transposed picture,
    # where ``angle`` is ``90 - angle``.
    flat = abs(math.remainder(angle, 180)) > 45
    if flat:
        height, breadth, angle = breadth, height, 90 - angle
    rain = np.zeros((height, breadth), np.float32)
    for streaks in _scatter(rain.shape, angle, length, width, density, intensity, spread, rng):
        _draw(rain, streaks)
    return np.ascontiguousarray(rain.T) if flat else rain


def _scatter(
    shape: tuple[int, ...],
    angle: float,
    length: float,
    width: float,
    density: float,
    intensity: float,
    spread: float,
    rng: np.random.Generator,
) -> Iterator[_Streaks]:
    """Place streaks, in blocks, evenly over everything that can reach the picture."""
    middle = (np.array(shape) - 1) / 2
    reach = math.log(1 / (1 - spread))
    largest = math.exp(reach)
    # Seen from the picture's centre in its own axes, a streak that touches the picture has its
    # centre in this box whatever its angle, so the rain is as dense at the borders as inside.
    radius = math.hypot(*shape) / 2
    flank = _CUT * _SIGMA_PER_FWHM * width * largest
    half_along = radius + 0.75 * length * largest + flank
    half_across = radius + flank
    area = length * width * (2 * reach / math.sinh(2 * reach) if reach else 1.0)
    count = round(density * 4 * half_along * half_across / area)

    for start in range(0, count, _BLOCK):
        # One row a streak: a denser rain begins with the streaks of a lighter one.
        draw = rng.random((min(_BLOCK, count - start), 5))
        along = (2 * draw[:, 0] - 1) * half_along
        across = (2 * draw[:, 1] - 1) * half_across
        # Near is large, far is many: number falls as the square, so each size covers as much.
        size = (largest**2 + draw[:, 2] * (largest**-2 - largest**2)) ** -0.5
        theta = np.radians(angle + (2 * draw[:, 3] - 1) * _TILT * spread)
        # Far light is dimmed by the air and the rain before it, and drops differ in size.
        peak = intensity * np.sqrt(size / largest) * (1 - 0.5 * spread * draw[:, 4])
        thin = width * size
        yield _Streaks(
            row=middle[0] - along * np.cos(theta) + across * np.sin(theta),
            col=middle[1] + along * np.sin(theta) + across * np.cos(theta),
            angle=theta,
            length=length * size,
            width=np.maximum(thin, 1.0),
            peak=peak * np.minimum(thin, 1.0),
        )


def _draw(rain: NDArray[np.float32], streaks: _Streaks) -> None:
    """Draw steep streaks into ``rain``, in place; the brighter one is seen where they cross."""
    height, breadth = rain.shape
    sigma = streaks.width * _SIGMA_PER_FWHM
    flank = _CUT * sigma
    cosine, sine = np.abs(np.cos(streaks.angle)), np.abs(np.sin(streaks.angle))
    tall = 0.75 * streaks.length * cosine + flank * sine
    broad = 0.75 * streaks.length * sine + flank * cosine
    first = np.ceil(np.maximum(streaks.row - tall, 0)).astype(np.int64)
    last = np.floor(np.minimum(streaks.row + tall, height - 1)).astype(np.int64)
    beside = (streaks.col + broad < 0) | (streaks.col - broad > breadth - 1)
    rows = np.where(beside, 0, np.maximum(last - first + 1, 0))
    cols = np.ceil(2 * flank / cosine).astype(np.int64) + 1

    seen = np.flatnonzero(rows)
    total = np.cumsum(rows[seen] * int(cols.max(initial=1)))
    parts = np.searchsorted(total, np.arange(_MAX_SAMPLES, total[-1:].sum(), _MAX_SAMPLES))
    for part in np.split(seen, parts):
        if part.size:
            _draw_rows(rain, streaks.take(part), sigma[part], first[part], rows[part], cols[part])


def _draw_rows(
    rain: NDArray[np.float32],
    streaks: _Streaks,
    sigma: Floats,
    first: NDArray[np.int64],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
) -> None:
    """Evaluate streak profiles on their rows, ``cols`` pixels around the axis in each."""
    one = np.repeat(np.arange(rows.size), rows)  # the streak that each sampled row belongs to
    row = np.arange(one.size) - np.repeat(np.cumsum(rows) - rows, rows) + first[one]
    cosine, sine = np.cos(streaks.angle)[one], np.sin(streaks.angle)[one]

    down = row - streaks.row[one]
    axis = streaks.col[one] - down * sine / cosine
    col = np.ceil(axis - cols[one] / 2).astype(np.int64)[:, None] + np.arange(cols.max())
    right = (col - streaks.col[one][:, None]).astype(np.float32)

    def column(values: Floats) -> NDArray[np.float32]:
        return values.astype(np.float32)[:, None]

    across = (column(down * sine) + right * column(cosine)) / column(sigma[one])
    along = (right * column(sine) - column(down * cosine)) / column(streaks.length[one])
    value = np.exp(-0.5 * across * across)
    # Tukey window: 1 up to a quarter of the length, 0 from three quarters, one half at the half.
    fade = np.clip(2 * np.abs(along) - 0.5, 0, 1)
    value *= 0.5 + 0.5 * np.cos(np.float32(np.pi) * fade)
    value *= column(streaks.peak[one])

    inside = (np.abs(across) <= _CUT) & (col >= 0) & (col < rain.shape[1])
    place = (row * rain.shape[1])[:, None] + col
    np.maximum.at(rain.ravel(), place[inside], value[inside])


def _check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (int(side) for side in shape)
        usable = height >= 1 and width >= 1 and (height, width) == tuple(shape)
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise InvalidInput(f"shape is {shape!r}; give (height, width) in whole pixels, at least 1")
    return height, width


def _check_number(
    name: str, value: float, meaning: str, low: float = -math.inf, high: float = math.inf
) -> None:
    try:
        usable = math.isfinite(value) and low <= value <= high
    except TypeError:
        usable = False
    if not usable:
        raise InvalidInput(f"{name} is {value!r}; give a number: {meaning}")


def _generator(seed: int | np.random.Generator) -> np.random.Generator:
    if isinstance(seed, np.random.Generator):
        return seed
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise InvalidInput(
            f"seed is {seed!r}; give a non-negative whole number or a numpy.random.Generator"
        ) from error
