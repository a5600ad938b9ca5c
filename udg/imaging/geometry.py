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
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from udg.backend import clip, each_band, in_parts, ndimage_of
from udg.errors import InvalidInput
from udg.imaging.filters import gaussian

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
Floats = np.ndarray[Any, np.dtype[Any]]

_SPLINE: dict[str, Any] = {"order": 3, "mode": "reflect"}
_MAX_BAND = 1 << 20  # pixels whose places are held at once

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
        return _resample(plane, self.size, self._places_in_window())

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
        return _resample(layer, self.shape, self._places_in_frame())

    def _sample(self, row: Array, column: Array) -> tuple[Array, Array]:
        """Where a place of the picture is, both measured from their centres: along and across."""
        matrix = _matrix(self.angle)
        along, across = (matrix[0, axis] * row + matrix[1, axis] * column for axis in (0, 1))
        return along, self.oversampling * across / (1 - self.rate * along)

    def _places_in_window(self) -> Floats:
        """Where the frame's samples are in the window, as `_places` tells it."""
        (down, right), away = _matrix(self.angle), self.away
        middle, (first, second) = _middle(self.size) - self.offset, _middle(self.shape) - away
        along = np.arange(self.size[0]) - middle[0]
        step = (1 - self.rate * along) / self.oversampling  # of a sample across
        begin = -middle[1] * step
        return _places(
            down[0] * along + down[1] * begin + first,
            down[1] * step,
            right[0] * along + right[1] * begin + second,
            right[1] * step,
        )

    def _places_in_frame(self) -> Floats:
        """Where the window's pixels are in the frame, as `_places` tells it."""
        (down, right), middle = _matrix(self.angle), _middle(self.size) - self.offset
        first, left = _middle(self.shape) - self.away
        row = np.arange(self.shape[0]) - first
        along, across = (down[axis] * row - right[axis] * left for axis in (0, 1))
        nearer = 1 - self.rate * along
        return _places(
            along + middle[0],
            right[0],
            self.oversampling * across / nearer,
            self.oversampling * right[1] / nearer,
            -self.rate * right[0] / nearer,
            middle[1],
        )


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
    result = rain + 0

    def compensate(rows: slice, part: slice) -> None:
        own = slice(rows.start - part.start, rows.stop - part.start)
        ours, all_of_it = (u[part] - gaussian(u[part], _DETAIL) for u in (rain, seen))
        share = gaussian(ours * all_of_it, _PLACE) / (gaussian(all_of_it**2, _PLACE) + _RUSTLE)
        more = clip(share, 0, 1)[own] * (light[rows] - seen[rows])
        result[rows] = clip(rain[rows] + more, 0, light[rows])

    each_band(compensate, rain, _REACH)
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


def _matrix(angle: float) -> Floats:
    """Rotated (along, across) to picture (row, column): column 0 is the streaks' direction."""
    theta = math.radians(angle)
    cos, sin = math.cos(theta), math.sin(theta)
    return np.array([[cos, sin], [-sin, cos]])


def _places(*terms: Any) -> Floats:
    """For each row of a result, where its columns are in the source.

    ``places[i]`` is y₀, y₁, x₀, x₁, w₁ and c: column j of row i is at row y₀ + y₁ j and column
    c + (x₀ + x₁ j) / (1 + w₁ j), a line that is gone along at an even or projective pace.
    """
    terms = (*terms, *[0.0] * (6 - len(terms)))
    return np.stack(np.broadcast_arrays(*terms), axis=1)


def _middle(shape: tuple[int, ...]) -> Floats:
    return (np.asarray(shape) - 1) / 2


def _resample(source: Array, shape: tuple[int, int], places: Floats) -> Array:
    """A source's cubic spline at places as `_places` tells them.

    A spline overshoots beside edges. Light below none or above full does not exist, and the
    solver's 0 ≤ R ≤ Y would have no solution where Y < 0: so values stay within the source's.
    """
    if is_numpy_array(source) and source.dtype == np.float32:
        return _resample_compiled(source, shape, places)
    xp, ndimage = array_namespace(source), ndimage_of(source)
    result = xp.empty(tuple(shape), dtype=source.dtype)
    coefficients = ndimage.spline_filter(source, output=source.dtype, **_SPLINE)
    column = xp.arange(shape[1], dtype=xp.float64)
    rows_at_once = max(1, _MAX_BAND // shape[1])
    for top in range(0, shape[0], rows_at_once):
        terms = xp.asarray(places[top : top + rows_at_once])
        y0, y1, x0, x1, w1, c = (terms[:, k][:, None] for k in range(6))
        at = xp.stack([y0 + y1 * column, c + (x0 + x1 * column) / (1 + w1 * column)])
        part = result[top : top + rows_at_once]
        ndimage.map_coordinates(coefficients, at, output=part, prefilter=False, **_SPLINE)
    return clip(result, xp.min(source), xp.max(source))


def _resample_compiled(source: Floats, shape: tuple[int, int], places: Floats) -> Floats:
    from udg.imaging import _resample_numba

    spline = np.array(source, order="C")
    low, high = source.min(), source.max()
    height, width = spline.shape
    in_parts(lambda *part: _resample_numba.columns_to_spline(spline, *part), width, height)
    in_parts(lambda *part: _resample_numba.rows_to_spline(spline, *part), height, width)
    result = np.empty(tuple(shape), np.float32)
    in_parts(lambda *part: _resample_numba.sample(spline, places, low, high, result, *part), *shape)
    return result


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
