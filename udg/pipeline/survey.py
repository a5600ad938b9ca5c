"""Whole pictures read strip by strip: what decisions are taken from, and what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import is_array_api_obj

from udg.backend import to_numpy
from udg.imaging.image import (
    BlockMeans,
    DataRange,
    Overview,
    PreparedImage,
    check_shape,
    prepare,
    shrunk,
)

__all__ = [
    "overview",
    "prepared_part",
    "reduced",
    "shape_of",
    "strips",
    "survey",
    "survey_steps",
    "window_of",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_AT_ONCE = 2**22  # pixels that are read or written at once


def survey(source: Array, data_range: DataRange | None = None) -> Overview:
    """Shrink a picture to what is needed to decide on the whole of it, strip by strip.

    Parameters
    ----------
    source : array_like, shape (H, W) or (H, W, C)
        Anything with ``shape`` and slicing.
    data_range : float or (float, float), optional
        As in `udg.imaging.image.prepare`.

    Returns
    -------
    Overview
        The same as for the picture in one piece.

    Raises
    ------
    InvalidImage
        The picture cannot be used; see `udg.imaging.image.prepare`.
    """
    shape = shape_of(source)
    luma_step, unit_step = survey_steps(shape)
    corner = prepared_part(source, slice(0, 2), slice(0, 2), data_range)
    lumas = BlockMeans(shape[:2], luma_step)
    units = BlockMeans((*shape[:2], corner.colours), unit_step)
    for rows in strips(0, shape[0], shape[1]):
        image = prepared_part(source, rows, slice(None), data_range)
        lumas.add(rows.start, to_numpy(image.luma()))
        units.add(rows.start, to_numpy(image.unit()))
    return overview(shape, lumas.result(), units.result(), corner.low, corner.high)


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
        The picture cannot be used; see `udg.imaging.image.prepare`.
    """
    shape = shape_of(source)
    scale = min(1.0, longest / max(shape[:2]))
    colours = prepared_part(source, slice(0, 2), slice(0, 2), None).colours
    means = BlockMeans((*shape[:2], colours), int(1 / scale))
    for rows in strips(0, shape[0], shape[1]):
        means.add(rows.start, to_numpy(prepared_part(source, rows, slice(None), None).unit()))
    return shrunk(means.result(), shape, scale)


def survey_steps(shape: tuple[int, ...]) -> tuple[int, int]:
    """Sides of the blocks of which `overview` wants the mean luma and the mean colours."""
    from udg.detection.angle import luma_scale

    return int(1 / luma_scale(shape)), int(1 / PreparedImage.thumbnail_scale(shape))


def overview(
    shape: tuple[int, ...], luma: Floats, unit: Floats, low: float, high: float
) -> Overview:
    """`survey` of a picture of which block means are known.

    Parameters
    ----------
    shape : tuple of int
        Of the picture.
    luma : array, shape (h, w)
        `BlockMeans` of `PreparedImage.luma`.
    unit : array, shape (h, w, colours)
        `BlockMeans` of `PreparedImage.unit`.
    low, high : float
        The values of no light and of full light.

    Returns
    -------
    Overview
    """
    from udg.detection.angle import luma_scale

    return Overview(
        shrunk(luma, shape, luma_scale(shape)),
        shrunk(unit, shape, PreparedImage.thumbnail_scale(shape)),
        shape,
        low,
        high,
    )


def shape_of(source: Array) -> tuple[int, ...]:
    """The shape of a source, if it can be a picture's."""
    check_shape(source)
    return tuple(source.shape)


def window_of(source: Array, rows: slice, columns: slice) -> Array:
    """A window of a source, as an array."""
    pixels = source[rows, columns]
    return pixels if is_array_api_obj(pixels) else np.asarray(pixels)


def prepared_part(
    source: Array, rows: slice, columns: slice, data_range: DataRange | None
) -> PreparedImage:
    """A window of a source, checked as `udg.imaging.image.prepare` does."""
    return prepare(window_of(source, rows, columns), data_range)


def strips(top: int, bottom: int, width: int) -> Iterator[slice]:
    """Rows of a picture in parts of a few million pixels."""
    step = max(2, _AT_ONCE // width)
    # The last part has at least two rows, as a picture must.
    starts = [*range(top, max(top + 1, bottom - 1), step), bottom]
    yield from map(slice, starts[:-1], starts[1:])
