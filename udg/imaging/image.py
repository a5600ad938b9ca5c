"""An image as the methods see it: value range, channels, luma.

Arrays are ``(H, W)`` or ``(H, W, C)``, channels last. One channel is grey, two are grey and alpha,
three are RGB, four are RGB and alpha; more are bands of equal weight. Alpha is never changed.
Files are the business of `udg.io.files`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj, is_numpy_array

from udg.backend import clip, to_numpy
from udg.errors import InvalidImage
from udg.imaging.illuminant import Illuminant

__all__ = [
    "BlockMeans",
    "DataRange",
    "Overview",
    "PreparedImage",
    "check_shape",
    "prepare",
    "shrunk",
]

Array = Any  # NumPy, CuPy or torch; the namespace is taken from the value
DataRange = float | tuple[float, float]

# Full-range luma of ITU-R BT.601: the grey in which rain is found.
# `udg.quality.metrics` has the 16–235 variant, which is for measuring only.
LUMA = (0.299, 0.587, 0.114)
_THUMBNAIL = 720
_MIN_ROOM = 1e-6  # what is taken for none below full light: less than a step of 16 bits


@dataclass(frozen=True)
class PreparedImage:
    """An accepted image: its pixels as given, and the range in which they lie.

    Attributes
    ----------
    pixels : array
        The caller's array, ``(H, W)`` or ``(H, W, C)``, untouched.
    low, high : float
        The values that stand for no light and full light.
    """

    pixels: Array
    low: float
    high: float

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the pixels."""
        return tuple(self.pixels.shape)

    @property
    def colours(self) -> int:
        """Number of channels that carry light (alpha does not)."""
        count = self.pixels.shape[2] if self.pixels.ndim == 3 else 1
        return {2: 1, 4: 3}.get(count, count)

    def unit(self) -> Array:
        """Colour channels as float32 in [0, 1], shape ``(H, W, colours)``."""
        xp = array_namespace(self.pixels)
        colour = self.pixels if self.pixels.ndim == 3 else self.pixels[:, :, None]
        colour = xp.astype(colour[:, :, : self.colours], xp.float32)
        return (colour - self.low) / (self.high - self.low)

    def luma(self) -> Array:
        """Full-range luma as float32 in [0, 1], shape ``(H, W)``; the mean if bands are not RGB."""
        if self.colours != 3:
            return array_namespace(self.pixels).mean(self.unit(), axis=2)
        red, green, blue = LUMA
        return red * self._colour(0) + green * self._colour(1) + blue * self._colour(2)

    @cached_property
    def thumbnail(self) -> np.ndarray[Any, Any]:
        """`unit` as a NumPy array, shrunk to at most 720 pixels a side: for statistics."""
        colour = self.pixels if self.pixels.ndim == 3 else self.pixels[:, :, None]
        colour = to_numpy(colour[:, :, : self.colours])
        scale = self.thumbnail_scale(colour.shape)
        means = (BlockMeans.of(colour, scale) - self.low) / (self.high - self.low)
        return shrunk(means.astype(np.float32), colour.shape, scale)

    @staticmethod
    def thumbnail_scale(shape: tuple[int, ...]) -> float:
        """Size of the thumbnail relative to a picture's, at most 1."""
        return min(1.0, _THUMBNAIL / max(shape[:2]))

    def darkest(self, illuminant: Illuminant | None = None) -> Array:
        """Darkest colour channel, pixel by pixel, as float32 in [0, 1], shape ``(H, W)``.

        Rain adds the same light to every channel, so it shows here in full, while coloured things
        lose most of their contrast. Light that is not in every channel is not rain's.

        Parameters
        ----------
        illuminant : Illuminant, optional
            That of the picture. Channels without light are left out, for they have no room for
            rain; the others are divided by it.
        """
        return self._extreme(array_namespace(self.pixels).minimum, illuminant)

    def brightest(self, illuminant: Illuminant | None = None) -> Array:
        """Brightest colour channel, as `darkest`."""
        return self._extreme(array_namespace(self.pixels).maximum, illuminant)

    def _extreme(self, of: Callable[[Array, Array], Array], illuminant: Illuminant | None) -> Array:
        if illuminant is not None:
            return reduce(of, self._lit(illuminant))
        # One conversion instead of one a channel.
        return self._light(reduce(of, map(self._plane, range(self.colours))))

    def _lit(self, illuminant: Illuminant) -> Iterator[Array]:
        """The channels that have light, as they would be in white light."""
        for channel in range(self.colours):
            if illuminant.colour[channel]:
                yield self._colour(channel) / illuminant.colour[channel]

    def _colour(self, channel: int) -> Array:
        """One channel of `unit`, without making the others."""
        return self._light(self._plane(channel))

    def _plane(self, channel: int) -> Array:
        """One channel of the pixels."""
        return self.pixels if self.pixels.ndim == 2 else self.pixels[:, :, channel]

    def _light(self, plane: Array) -> Array:
        """Pixels as float32 in [0, 1], in memory order."""
        xp = array_namespace(plane)
        light = xp.astype(plane, xp.float32, copy=True)
        if self.low:
            light -= self.low
        if self.high - self.low != 1:
            light /= self.high - self.low
        return light

    def subtract(
        self, rain: Array, illuminant: Illuminant | None = None, screen_fraction: float = 0.0
    ) -> Array:
        """Image minus ``rain`` in every colour channel, never below or above the range.

        Rain that is blended with the scene adds less to channels that are bright: channel c loses
        R (1 − β (1 − q)), where q = (1 − Y_c) / (1 − min Y), pixel by pixel. The darkest one
        always loses R, and so does each that is as dark.

        Parameters
        ----------
        rain : array, shape (H, W) or (H, W, colours)
            The same for every colour, or each its own; in units of the full range: 1 is
            ``high - low``.
        illuminant : Illuminant, optional
            That of the picture: each channel loses so many times the rain.
        screen_fraction : float
            β in [0, 1] (`udg.imaging.compositing.estimate_screen_fraction`): 0 takes the same from
            every channel, 1 undoes a screen blend. Not used in coloured light, nor with fewer than
            three colours.

        Returns
        -------
        array, float32, the image's shape
            In the image's range; exactly the image's values where ``rain`` is zero.
        """
        xp = array_namespace(self.pixels)
        layer = xp.astype(rain, xp.float32) * (self.high - self.low)
        result = xp.astype(self.pixels, xp.float32, copy=True)
        if result.ndim == 2:
            return clip(result - layer, self.low, self.high)
        blended = bool(screen_fraction) and illuminant is None and self.colours >= 3
        if blended:
            darkest = self.darkest()
            room = clip(1 - darkest, _MIN_ROOM, 1.0, in_place=True)
        for channel in range(self.colours):  # one at a time: pictures are large
            part = layer if layer.ndim == 2 else layer[:, :, channel]
            if blended:
                part = part * (1 - screen_fraction * (self._colour(channel) - darkest) / room)
            result[:, :, channel] -= part if illuminant is None else illuminant.rain[channel] * part
            plane = clip(result[:, :, channel], self.low, self.high, in_place=True)
            result[:, :, channel] = plane
        return result


@dataclass(frozen=True)
class Overview:
    """What is decided once for a whole picture is decided from this, however large it is.

    Attributes
    ----------
    small : array, shape (h, w)
        `PreparedImage.luma`, shrunk as `udg.detection.angle` does.
    thumbnail : array, shape (h, w, colours)
        `PreparedImage.thumbnail`.
    shape : tuple of int
        Of the picture.
    low, high : float
        The values that stand for no light and full light.
    """

    small: np.ndarray[Any, Any]
    thumbnail: np.ndarray[Any, Any]
    shape: tuple[int, ...]
    low: float
    high: float

    def luma(self) -> np.ndarray[Any, Any]:
        """`small`: luma, as far as directions are concerned."""
        return self.small


class BlockMeans:
    """Means over square blocks of a picture that comes in strips, from top to bottom.

    Whole blocks first makes shrinking cheap for pictures of any size, and possible for those that
    do not fit into memory. What the last blocks would lack at the right and at the bottom is left
    out.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the whole picture.
    step : int
        Side of a block in pixels.
    """

    def __init__(self, shape: tuple[int, ...], step: int) -> None:
        self.step = step
        self._sums = np.zeros((shape[0] // step, shape[1] // step, *shape[2:]), np.float32)

    @classmethod
    def of(cls, picture: Array, scale: float) -> np.ndarray[Any, Any]:
        """The means of a picture at hand, with blocks as large as they may be for a scale."""
        means = cls(picture.shape, int(1 / scale))
        means.add(0, picture)
        return means.result()

    def add(self, top: int, strip: Array) -> None:
        """Take the rows of the picture from ``top`` on, each of them once."""
        step, (rows, columns) = self.step, self._sums.shape[:2]
        strip = np.asarray(strip)[: max(0, rows * step - top), : columns * step]
        if step == 1:
            self._sums[top : top + len(strip)] = strip
        elif len(strip):
            wide = strip[:, ::step].astype(np.float32)
            for right in range(1, step):  # quicker than a sum over a short axis
                wide += strip[:, right::step]
            block = np.arange(top, top + len(strip)) // step
            starts = np.flatnonzero(np.diff(block, prepend=-1))
            self._sums[block[starts]] += np.add.reduceat(wide, starts, axis=0)

    def result(self) -> np.ndarray[Any, Any]:
        """The means, float32, one a block."""
        return self._sums / np.float32(self.step**2)


def shrunk(
    means: np.ndarray[Any, Any], shape: tuple[int, ...], scale: float, least: int = 2
) -> np.ndarray[Any, Any]:
    """A picture of that shape at a scale of at most 1, from its block means."""
    if scale >= 1:
        return means
    from skimage.transform import resize

    step = int(1 / scale)
    size = tuple(max(least, round(side // step * step * scale)) for side in shape[:2])
    small = resize(means, size, order=1, anti_aliasing=True)  # type: ignore[no-untyped-call]
    return np.asarray(small, dtype=np.float32)


def prepare(image: Array, data_range: DataRange | None = None) -> PreparedImage:
    """Accept an image or say clearly why it cannot be used.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        uint8, uint16 or float. Both sides at least 2 pixels. Never modified.
    data_range : float or (float, float), optional
        The value of full light, or of no light and full light. By default integers are scaled by
        their type's range and floats are taken to lie in [0, 1]; other integer types need it.

    Returns
    -------
    PreparedImage

    Raises
    ------
    InvalidImage
        Wrong type or shape, NaN or infinite values, or values outside the range.
    """
    if not is_array_api_obj(image):
        image = np.asarray(image)
    _check_type(image)
    check_shape(image)
    low, high = _range(image, data_range)
    _check_values(image, low, high, given=data_range is not None)
    return PreparedImage(image, low, high)


def _check_type(image: Array) -> None:
    if is_numpy_array(image) and image.dtype.kind not in "uif":
        kind = {"c": "complex", "O": "object", "b": "boolean"}.get(image.dtype.kind, "non-numeric")
        raise InvalidImage(
            f"the image holds {kind} values ({image.dtype}); give uint8, uint16 or float pixels"
        )
    if not array_namespace(image).isdtype(image.dtype, ("integral", "real floating")):
        raise InvalidImage(f"the image holds {image.dtype}; give uint8, uint16 or float pixels")


def check_shape(image: Array) -> None:
    """Raise InvalidImage unless it is one picture; anything with ``shape`` and ``ndim`` will do."""
    if image.ndim not in (2, 3):
        raise InvalidImage(
            f"the image has {image.ndim} dimensions, shape {tuple(image.shape)}; "
            "give (H, W) or (H, W, C) with channels last, one image at a time"
        )
    if 0 in image.shape:
        raise InvalidImage(f"the image is empty: its shape is {tuple(image.shape)}")
    if min(image.shape[:2]) < 2:
        raise InvalidImage(
            f"the image is {image.shape[0]}×{image.shape[1]} pixels; both sides must be at least 2"
        )


def _range(image: Array, data_range: DataRange | None) -> tuple[float, float]:
    xp = array_namespace(image)
    if data_range is not None:
        low, high = data_range if isinstance(data_range, tuple) else (0.0, data_range)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidImage(
                f"data_range is {data_range!r}; give a positive number or a pair (low, high) "
                "of finite numbers with low < high"
            )
        return float(low), float(high)
    if xp.isdtype(image.dtype, "real floating"):
        return 0.0, 1.0
    if image.dtype in (xp.uint8, xp.uint16):
        return 0.0, float(xp.iinfo(image.dtype).max)
    raise InvalidImage(
        f"the image holds {image.dtype}, whose range is not known; "
        "give data_range=, or convert to uint8, uint16 or float"
    )


def _check_values(image: Array, low: float, high: float, *, given: bool) -> None:
    xp = array_namespace(image)
    if xp.isdtype(image.dtype, "real floating") and not bool(xp.all(xp.isfinite(image))):
        raise InvalidImage("the image holds NaN or infinite values; replace or crop them first")
    if not given and not xp.isdtype(image.dtype, "real floating"):
        return
    smallest, largest = float(xp.min(image)), float(xp.max(image))
    if smallest < low or largest > high:
        advice = "give the right data_range" if given else "give data_range=, or scale to [0, 1]"
        raise InvalidImage(
            f"the image's values run from {smallest:g} to {largest:g}, "
            f"outside [{low:g}, {high:g}]; {advice}"
        )
