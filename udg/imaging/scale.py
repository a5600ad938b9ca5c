"""A picture at a fraction of its size, and what was found there brought back to full size.

A pixel of the small copy is the mean of a square of pixels. What was found in means is brought back
as values: by cubic convolution [1]_ of what has these means, and with the full picture's own
details, by a line fitted to the small copy around each pixel (the fast guided filter [2]_).

References
----------
.. [1] R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions
   on Acoustics, Speech, and Signal Processing 29(6), 1981.
.. [2] K. He, J. Sun, "Fast guided filter", arXiv:1505.00996, 2015.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import array_namespace

from udg.backend import clip, each_band, ndimage_of
from udg.imaging.filters import gaussian

__all__ = ["REACH", "Line", "enlarged", "line_of", "reduced", "reduced_shape"]

Array = Any

_DETAIL = 1.5  # σ in pixels of what is broader than a streak's details
_PLACE = 2.0  # σ over which the line is fitted
_RUSTLE = 1e-6  # mean square of details, a quarter of a grey level, that tell nothing
REACH = 16  # pixels of the small copy that both filters and the interpolation reach


def reduced_shape(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    """Shape of the small copy: what is left of a block at the right or below is one as well."""
    return (-(-shape[0] // step), -(-shape[1] // step), *shape[2:])


def reduced(pixels: Array, step: int) -> Array:
    """Means over squares of a picture.

    Parameters
    ----------
    pixels : array, shape (H, W) or (H, W, C)
        Any real type.
    step : int
        Side of the squares in pixels, at least 1.

    Returns
    -------
    array, float32, shape (⌈H / step⌉, ⌈W / step⌉) or with C
        The last row and column go on to fill squares at the edges.
    """
    xp = array_namespace(pixels)
    if step == 1:
        return xp.astype(pixels, xp.float32)
    height, width = pixels.shape[:2]
    small = xp.zeros(reduced_shape(pixels.shape, step), dtype=xp.float32)
    rows = xp.arange(small.shape[0]) * step
    for right in range(step):
        columns = xp.clip(xp.arange(small.shape[1]) * step + right, 0, width - 1)
        whole = slice(right, None, step)
        partial = (width - right + step - 1) // step < small.shape[1]
        of_columns = pixels[:, columns] if partial else pixels[:, whole]
        for down in range(step):
            if (height - down + step - 1) // step < small.shape[0]:
                small += of_columns[xp.clip(rows + down, 0, height - 1)]
            else:
                small += of_columns[down::step]
    small /= step**2
    return small


def enlarged(
    small: Array, step: int, shape: tuple[int, int], top: int = 0, *, means: bool = True
) -> Array:
    """Values at full size of a plane of the small copy.

    Parameters
    ----------
    small : array, float32, shape (h, w)
    step : int
        As it was reduced.
    shape : (int, int)
        Rows and columns that are wanted.
    top : int
        The first of these rows, a multiple of ``step``, where small's first row begins at 0.
    means : bool
        Whether values are means over squares, and the result shall have them; else they are values
        in the squares' centres.

    Returns
    -------
    array, float32, shape ``shape``
        Edges go on beyond small's own.
    """
    if means:
        xp, of = array_namespace(small), ndimage_of(small)
        bend = xp.asarray([1.0, -2.0, 1.0], dtype=small.dtype)
        curved = sum(of.correlate1d(small, bend, axis, mode="nearest") for axis in (0, 1))
        # The mean over a square is its centre's value and 1/24 of the curvature.
        small = small - curved * ((1 - step**-2) / 24)
    tall = _along(small, step, shape[0], top, axis=0)
    return _along(tall, step, shape[1], 0, axis=1)


def _along(plane: Array, step: int, length: int, first: int, axis: int) -> Array:
    """Cubic convolution along an axis."""
    xp = array_namespace(plane)
    count, blocks = plane.shape[axis], -(-length // step)
    begin = first // step
    size = (length, plane.shape[1]) if axis == 0 else (plane.shape[0], length)
    result = xp.empty(size, dtype=plane.dtype)
    block = xp.arange(begin, begin + blocks)
    near = [
        xp.take(plane, xp.clip(block + offset, 0, count - 1), axis=axis) for offset in range(-2, 3)
    ]
    for phase in range(min(step, length)):
        place = (phase + 0.5) / step - 0.5  # from the square's centre, in squares
        taps = near[:4] if place < 0 else near[1:]
        wanted = -(-(length - phase) // step)
        total = sum(w * u for w, u in zip(_keys(place % 1.0), taps, strict=True))
        if axis == 0:
            result[phase::step] = total[:wanted]
        else:
            result[:, phase::step] = total[:, :wanted]
    return result


def _keys(t: float) -> tuple[float, float, float, float]:
    """Weights of the values at −1, 0, 1, 2 for that at t in [0, 1)."""
    return (
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        (((4 - 3 * t) * t) + 1) * t / 2,
        (t - 1) * t * t / 2,
    )


class Line(NamedTuple):
    """Rain as a line of the light around each pixel of the small copy: slope × light + offset.

    Attributes
    ----------
    slope : array, shape (h, w)
        In [0, 1]: the rain's part of the light's details.
    offset : array, shape (h, w)
    """

    slope: Array
    offset: Array

    def at(self, light: Array, step: int, top: int = 0) -> Array:
        """Rain at full size.

        Parameters
        ----------
        light : array, float32, shape (H, W)
            In which the rain is, at full size.
        step, top : int
            As for `enlarged`.

        Returns
        -------
        array, float32, shape (H, W)
            Between 0 and ``light``.
        """
        result = array_namespace(light).empty_like(light)

        def fill(rows: slice, _: slice) -> None:
            first = rows.start // step * step
            size = (rows.stop - first, light.shape[1])
            slope = enlarged(self.slope, step, size, top + first, means=False)
            rain = enlarged(self.offset, step, size, top + first)
            rain += slope * light[first : rows.stop]
            own = slice(rows.start - first, None)
            result[rows] = clip(rain[own], 0, light[rows])

        each_band(fill, light, step)
        return result


def line_of(rain: Array, light: Array) -> Line:
    """Fit the line: the regression of the rain's details on the light's.

    Parameters
    ----------
    rain, light : array, float32, shape (h, w)
        What was found, and in what.

    Returns
    -------
    Line
    """
    ours, all_of_it = (plane - gaussian(plane, _DETAIL) for plane in (rain, light))
    shared = gaussian(ours * all_of_it, _PLACE)
    slope = clip(shared / (gaussian(all_of_it**2, _PLACE) + _RUSTLE), 0, 1)
    return Line(slope, rain - slope * light)
