"""The frame in which streaks are vertical: the rotation θ∘ into it and back (Eq. 1).

Angles are in degrees clockwise from vertical: a streak like ``/`` has a positive one. A rotated
array runs *along* the streaks on axis 0 and *across* them on axis 1.

Only the rain layer is rotated back, so what counts is that streaks one or two pixels thin keep
their peaks over the round trip. A cubic B-spline keeps 0.94, 0.98 and 0.995 of them at widths
(FWHM) of 1, 1.5 and 2 px, where bilinear interpolation keeps 0.76, 0.85 and 0.90; order 5 adds
one or two hundredths for nearly twice the time. What the rain still lacks, it gets from the light,
of which the loss is known (`compensate_interpolation`).

Stripes that are sharp lines of the sensor, but oblique on the picture's grid (a map projection),
are jagged there and not constant along the streak on a frame of the same resolution. On one that
is `oversampling` times as fine *across* they nearly are: half as much is left of them with 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from udg.backend import bands, clip, ndimage_of, threads
from udg.errors import InvalidInput

__all__ = [
    "MAX_CONVERGENCE",
    "Frame",
    "compensate_interpolation",
    "convergence_rate",
    "rotate",
    "rotated_shape",
    "unrotate",
]

Array = Any  # NumPy or CuPy

_SPLINE: dict[str, Any] = {"order": 3, "mode": "reflect"}
_MIN_BAND = 1 << 18  # pixels for which another thread is worth its start
_MAX_BAND = 1 << 20  # pixels whose places in a convergent frame are held at once

MAX_CONVERGENCE = 20.0  # degrees; beyond, a frame's rows would differ too much in their resolution

# Compensation of interpolation.
_DETAIL = 1.5  # σ in pixels of what is broader
_PLACE = 2.0  # σ over which their share is told
_RUSTLE = 1e-6  # mean square of details, a quarter of a grey level, that tell nothing
_REACH = 16  # pixels, of both filters together

_BORDER = 64  # pixels beyond the picture that rain at its border depends on


Window = tuple[slice, slice]  # rows and columns of a picture, with their ends


@dataclass(frozen=True)
class Frame:
    """How a picture, or a window of it, is turned so that its streaks are vertical.

    Attributes
    ----------
    shape : (int, int)
        Height and width of the picture or window, in pixels.
    angle : float
        Of the streaks in the picture's centre, degrees clockwise from vertical.
    rate : float
        `convergence_rate` of the picture; 0 for parallel streaks.
    oversampling : int
        Samples a pixel across the streaks.
    size : (int, int)
        Samples along and across the streaks.
    offset : (float, float)
        From the picture's centre to the frame's, in samples along and across.
    away : (float, float)
        From the picture's centre to the window's, in rows and columns.
    """

    shape: tuple[int, int]
    angle: float
    rate: float
    oversampling: int
    size: tuple[int, int]
    offset: tuple[float, float] = (0.0, 0.0)
    away: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(
        cls,
        shape: tuple[int, ...],
        angle: float,
        convergence: float = 0.0,
        oversampling: int = 1,
        window: Window | None = None,
    ) -> Frame:
        """The frame of a picture, or the part of it that belongs to a window.

        A window's frame has samples of the whole picture's, so that interpolation does the same to
        neighbouring windows and to the whole. Where the window ends with the picture, its frame
        goes on as the picture's does, for 64 pixels: rain at the border is then decomposed as in
        the whole.

        Parameters
        ----------
        shape : (int, int) or (int, int, int)
            Of the picture.
        angle, convergence, oversampling
            As for `rotate`.
        window : (slice, slice), optional
            Rows and columns of the picture, with their ends. Default: all of it.

        Returns
        -------
        Frame

        Raises
        ------
        InvalidInput
            ``angle`` or ``convergence`` is not in its range.
        """
        height, width = shape[:2]
        size = rotated_shape((height, width), angle, oversampling, convergence)
        rate = convergence_rate((height, width), convergence)
        oversampled = oversampling if rate or _quarter_turns(angle) is None else 1
        whole = cls((height, width), angle, rate, oversampled, size)
        if window is None or window == (slice(0, height), slice(0, width)):
            return whole
        rows, columns = window
        part = replace(
            whole,
            shape=(rows.stop - rows.start, columns.stop - columns.start),
            away=(
                (rows.start + rows.stop - height) / 2,
                (columns.start + columns.stop - width) / 2,
            ),
        )
        if not part.interpolates:
            return replace(part, size=rotated_shape(part.shape, angle))
        down, right = (
            (side.start - _BORDER * (side.start == 0), side.stop + _BORDER * (side.stop == length))
            for side, length in zip(window, shape, strict=False)
        )
        corners = [(row - height / 2, column - width / 2) for row in down for column in right]
        samples = np.array([whole._sample(*corner) for corner in corners]) + _middle(size)
        first = np.maximum(0, np.floor(samples.min(axis=0)))
        last = np.minimum(size, np.ceil(samples.max(axis=0)) + 1)
        along, across = (first + last - np.asarray(size)) / 2
        samples_along, samples_across = last - first
        return replace(
            part,
            size=(int(samples_along), int(samples_across)),
            offset=(float(along), float(across)),
        )

    @property
    def interpolates(self) -> bool:
        """Whether there are values between pixels in it: not for quarter turns."""
        return bool(self.angle % 90 or self.rate)

    @property
    def own_angle(self) -> float:
        """Of the streaks in the window's centre, degrees clockwise from vertical."""
        along, across = _matrix(self.angle).T @ self.away
        turned = math.atan2(self.rate * across, 1 - self.rate * along)
        return self.angle + math.degrees(turned)

    def rotate(self, plane: Array) -> Array:
        """Turn a plane of the window into the frame (see `rotate`)."""
        _check_plane(plane, "plane")
        turns = _quarter_turns(self.angle)
        if turns is not None and not self.rate:
            return _turn(plane, turns)
        if self.rate:
            return _resample(plane, self.size, self._from_convergent)
        matrix = _matrix(self.angle) / (1, self.oversampling)
        shift = matrix @ self.offset - self.away
        return _resample(plane, self.size, _affinely(self.shape, self.size, matrix, shift))

    def unrotate(self, layer: Array) -> Array:
        """Turn a layer of the frame back into the window (see `unrotate`)."""
        _check_plane(layer, "layer")
        if tuple(layer.shape) != self.size:
            raise InvalidInput(
                f"layer has shape {tuple(layer.shape)}, but a picture of shape {self.shape} "
                f"rotated by {self.angle:g}° has shape {self.size}; give rotate()'s angle and its "
                "input's shape"
            )
        turns = _quarter_turns(self.angle)
        if turns is not None and not self.rate:
            return _turn(layer, -turns)
        if self.rate:
            return _resample(layer, self.shape, self._to_convergent)
        matrix = (_matrix(self.angle) * (1, self.oversampling)).T
        shift = matrix @ self.away - self.offset
        return _resample(layer, self.shape, _affinely(self.size, self.shape, matrix, shift))

    def _sample(self, row: Array, column: Array) -> tuple[Array, Array]:
        """Where a place of the picture is, both measured from their centres: along and across."""
        matrix = _matrix(self.angle)
        along, across = (matrix[0, axis] * row + matrix[1, axis] * column for axis in (0, 1))
        return along, self.oversampling * across / (1 - self.rate * along)

    def _from_convergent(self, coefficients: Array, rows: slice, result: Array) -> None:
        """Rows of the frame from the window's spline."""
        along, stretched = _places(result, rows, _middle(self.size) - self.offset)
        across = stretched * (1 - self.rate * along) / self.oversampling
        matrix, middle = _matrix(self.angle), _middle(self.shape) - self.away
        row, column = (
            matrix[axis, 0] * along + matrix[axis, 1] * across + middle[axis] for axis in (0, 1)
        )
        _sample(coefficients, row, column, result)

    def _to_convergent(self, coefficients: Array, rows: slice, result: Array) -> None:
        """Rows of the window from the frame's spline."""
        along, across = self._sample(*_places(result, rows, _middle(self.shape) - self.away))
        middle = _middle(self.size) - self.offset
        _sample(coefficients, along + middle[0], across + middle[1], result)


def rotate(luma: Array, angle: float, oversampling: int = 1, convergence: float = 0.0) -> Array:
    """Turn a picture so that streaks at ``angle`` become vertical (θ∘ in Eq. 1).

    Parameters
    ----------
    luma : array, shape (H, W), float32 or float64
        Any range; not modified. NumPy or CuPy.
    angle : float
        Degrees clockwise from vertical (``/`` is positive), any finite number. The picture turns
        counter-clockwise by it, as in ``skimage.transform.rotate(luma, angle)``.
    oversampling : int
        Samples a pixel across the streaks. Multiples of 90° ignore it: nothing is interpolated.
    convergence : float
        Degrees by which the streaks' direction changes from the picture's centre to half its
        diagonal across from there, at most 20. Positive ones meet below, negative ones
        above; ``angle`` is that in the centre.

    Returns
    -------
    array, shape ``rotated_shape((H, W), angle, oversampling, convergence)``, same dtype
        The whole picture, centre on centre, surrounded by its own reflection (where streaks have
        the mirrored angle). Values stay within the input's. Exact for multiples of 90° without
        convergence.

    Raises
    ------
    InvalidInput
        ``luma`` is not a 2-D float array, or ``angle`` or ``convergence`` is not in its range.
    """
    _check_plane(luma, "luma")
    return Frame.of(luma.shape, angle, convergence, oversampling).rotate(luma)


def unrotate(
    layer: Array,
    angle: float,
    shape: tuple[int, int],
    oversampling: int = 1,
    convergence: float = 0.0,
) -> Array:
    """Turn a layer of the rotated frame back into the picture's frame.

    Parameters
    ----------
    layer : array, shape ``rotated_shape(shape, angle, oversampling, convergence)``
        float32 or float64. What was found in the rotated frame, such as the rain R. Not modified.
    angle : float
        The angle that was given to `rotate`, in degrees.
    shape : (int, int)
        Height and width of the picture that was rotated.
    oversampling, convergence
        What was given to `rotate`.

    Returns
    -------
    array, shape ``shape``, same dtype
        Each pixel on the place it came from; values stay within the layer's, so that R ≥ 0
        remains true.

    Raises
    ------
    InvalidInput
        ``layer`` is not a 2-D float array of the rotated frame's shape, or ``angle`` or
        ``convergence`` is not in its range.
    """
    return Frame.of(shape, angle, convergence, oversampling).unrotate(layer)


def compensate_interpolation(rain: Array, light: Array, seen: Array) -> Array:
    """Compensate the rain for what interpolation lost of it.

    The way there and back blurs what is a pixel thin, in the light as in its rain, and what the
    rain lacks would stay in the picture as a comb of thin lines. What the light lost is known. The
    rain gets that part of it which it has, around a pixel, of the details that were kept: their
    regression on the light's.

    Parameters
    ----------
    rain : array, shape (H, W)
        `unrotate` of the frame's R.
    light : array, shape (H, W)
        What was turned into the frame, and …
    seen : array, shape (H, W)
        … `unrotate` of that.

    Returns
    -------
    array, shape (H, W)
        Between 0 and ``light``. Without details in the rain it is the rain.
    """
    of, result = ndimage_of(rain), rain + 0

    def smooth(plane: Array, sigma: float) -> Array:
        return of.gaussian_filter(plane, sigma, mode="nearest")

    for rows, part in bands(rain.shape, _REACH):
        own = slice(rows.start - part.start, rows.stop - part.start)
        ours, all_of_it = (u[part] - smooth(u[part], _DETAIL) for u in (rain, seen))
        share = smooth(ours * all_of_it, _PLACE) / (smooth(all_of_it**2, _PLACE) + _RUSTLE)
        more = clip(share, 0, 1)[own] * (light[rows] - seen[rows])
        result[rows] = clip(rain[rows] + more, 0, light[rows])
    return result


def convergence_rate(shape: tuple[int, int], convergence: float) -> float:
    """How fast a picture's streaks come together: 1 over the pixels from its centre to their end.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture, in pixels.
    convergence : float
        Degrees; see `rotate`.

    Returns
    -------
    float
        Positive where they meet below.

    Raises
    ------
    InvalidInput
        ``convergence`` is not within ±20.
    """
    if not abs(convergence) <= MAX_CONVERGENCE:
        raise InvalidInput(
            f"convergence is {convergence}; give degrees within ±{MAX_CONVERGENCE:g}"
        )
    return 2 * math.tan(math.radians(convergence)) / math.hypot(*shape)


def rotated_shape(
    shape: tuple[int, int], angle: float, oversampling: int = 1, convergence: float = 0.0
) -> tuple[int, int]:
    """Return the smallest frame that holds a picture rotated by an angle.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the picture, in pixels.
    angle : float
        Degrees clockwise from vertical.
    oversampling : int
        Samples a pixel across the streaks; 1 at multiples of 90°.
    convergence : float
        Degrees; see `rotate`.

    Returns
    -------
    (int, int)
        Extent along the streaks (axis 0) and across them (axis 1), in samples.

    Raises
    ------
    InvalidInput
        ``angle`` or ``convergence`` is not in its range.
    """
    height, width = shape
    turns = _quarter_turns(angle)
    if convergence:
        corners = np.array([[-height, -height, height, height], [-width, width, -width, width]])
        along, across = _matrix(angle).T @ corners / 2
        across = across / (1 - convergence_rate(shape, convergence) * along)
        return math.ceil(2 * abs(along).max()), oversampling * math.ceil(2 * abs(across).max())
    if turns is not None:
        return (width, height) if turns % 2 else (height, width)
    cos, sin = np.abs(_matrix(angle)[0])
    return math.ceil(height * cos + width * sin), oversampling * math.ceil(
        height * sin + width * cos
    )


def _matrix(angle: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Rotated (along, across) to picture (row, column): column 0 is the streaks' direction."""
    theta = math.radians(angle)
    cos, sin = math.cos(theta), math.sin(theta)
    return np.array([[cos, sin], [-sin, cos]])


_Sampler = Callable[[Array, slice, Array], None]  # coefficients, rows of the result, and these


def _affinely(
    source_shape: tuple[int, ...],
    shape: tuple[int, int],
    matrix: np.ndarray[Any, np.dtype[np.float64]],
    shift: np.ndarray[Any, np.dtype[np.float64]],
) -> _Sampler:
    """Values of a source at ``matrix @ position + shift``, measured from the arrays' centres."""
    offset = _middle(source_shape) + shift - matrix @ _middle(shape)

    def fill(coefficients: Array, rows: slice, result: Array) -> None:
        ndimage_of(result).affine_transform(
            coefficients,
            array_namespace(result).asarray(matrix),
            offset=tuple(offset + matrix[:, 0] * rows.start),
            output_shape=result.shape,
            output=result,
            prefilter=False,
            **_SPLINE,
        )

    return fill


def _places(
    result: Array, rows: slice, middle: np.ndarray[Any, np.dtype[np.float64]]
) -> tuple[Array, Array]:
    """Where rows of a result lie, measured from its centre."""
    xp = array_namespace(result)
    row = xp.arange(rows.start, rows.stop, dtype=xp.float64) - float(middle[0])
    column = xp.arange(result.shape[1], dtype=xp.float64) - float(middle[1])
    return row[:, None], column[None, :]


def _sample(coefficients: Array, row: Array, column: Array, result: Array) -> None:
    xp = array_namespace(result)
    places = xp.stack(xp.broadcast_arrays(row, column))
    ndimage_of(result).map_coordinates(
        coefficients, places, output=result, prefilter=False, **_SPLINE
    )


def _middle(shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return (np.asarray(shape) - 1) / 2


def _resample(source: Array, shape: tuple[int, int], fill: _Sampler) -> Array:
    """A source's spline at the places that ``fill`` knows, in bands of rows."""
    xp, ndimage = array_namespace(source), ndimage_of(source)
    result = xp.empty(tuple(shape), dtype=source.dtype)
    coefficients = ndimage.spline_filter(source, output=source.dtype, **_SPLINE)
    workers = min(threads(), result.size // _MIN_BAND) if is_numpy_array(source) else 1
    bands = max(workers, -(-result.size // _MAX_BAND))
    cuts = [k * shape[0] // bands for k in range(bands + 1)]
    parts = [slice(*cut) for cut in pairwise(cuts) if cut[0] < cut[1]]

    def fill_part(rows: slice) -> None:
        fill(coefficients, rows, result[rows])

    if workers > 1:
        with ThreadPoolExecutor(workers) as pool:  # SciPy lets go of the interpreter meanwhile
            list(pool.map(fill_part, parts))
    else:
        for part in parts:
            fill_part(part)
    # A spline overshoots beside edges. Light below none or above full does not exist, and the
    # solver's 0 ≤ R ≤ Y would have no solution where Y < 0.
    return clip(result, xp.min(source), xp.max(source))


def _turn(plane: Array, quarters: int) -> Array:
    """Quarter turns counter-clockwise, as a new array in memory order."""
    xp = array_namespace(plane)
    return xp.rot90(plane, quarters).copy()


def _quarter_turns(angle: float) -> int | None:
    """How many times 90° the angle is, or None if it lies between."""
    if not math.isfinite(angle):
        raise InvalidInput(f"angle is {angle}; give a finite number of degrees")
    turns = angle / 90
    return round(turns) if turns == round(turns) else None


def _check_plane(plane: Array, name: str) -> None:
    xp = array_namespace(plane)
    if plane.ndim != 2 or 0 in plane.shape or plane.dtype not in (xp.float32, xp.float64):
        raise InvalidInput(
            f"{name} has shape {tuple(plane.shape)} and type {plane.dtype}; "
            "give a 2-D array of float32 or float64"
        )
