"""Small pictures of a result: before, derained and rain; for notebooks and reports.

Pillow is all that is needed. A result shows itself by what it inherits from `Shown`.
"""

from __future__ import annotations

import base64
import html
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_torch_array

from udg.backend import to_numpy
from udg.imaging.image import BlockMeans, PreparedImage

__all__ = [
    "Preview",
    "Shown",
    "Thumbnail",
    "data_uri",
    "encoded",
    "percent",
    "picture_of",
    "rain_gain",
    "rain_picture",
    "resized",
]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]
Bytes = np.ndarray[Any, np.dtype[np.uint8]]

_PANEL = 320  # pixels: longer side of each picture in a notebook
_GAP = 6  # pixels between panels
_BRIGHT = 0.9  # of full light: where the brightest rain is shown
_FAINTEST = 0.01  # rain below this is next to nothing, and not made that bright
_DARK = 0.5  # deep pictures whose brightest pixels are below this are shown brighter


class Thumbnail(NamedTuple):
    """A result, shrunk: what is left of pictures that are too large to be kept.

    Attributes
    ----------
    before, after : array, float32, shape (h, w, C)
        The image's colours in [0, 1], with rain and without.
    rain : array, float32, shape (h, w) or (h, w, C)
        1 is full light.
    """

    before: Floats
    after: Floats
    rain: Floats


class Preview(NamedTuple):
    """Three pictures as they are shown, uint8, RGB, of the same size.

    Attributes
    ----------
    before, after, rain : array, uint8, shape (h, w, 3)
    gain : float
        The rain is shown so many times brighter.
    exposure : float
        The other two are: more than 1 only for images of more than 8 bits that are dark because
        they use a small part of their range.
    """

    before: Bytes
    after: Bytes
    rain: Bytes
    gain: float = 1.0
    exposure: float = 1.0

    @classmethod
    def of(
        cls, image: PreparedImage, derained: Array, rain: Array, *, signed: bool, side: int
    ) -> Preview:
        """Make the pictures, the longer side at most so many pixels.

        Parameters
        ----------
        image : PreparedImage
        derained : array, the image's shape
        rain : array, shape (H, W) or (H, W, colours)
        signed : bool
            Whether rain may be negative: none is then middle grey.
        side : int

        Returns
        -------
        Preview
        """
        before, after = (_light(image, pixels, side) for pixels in (image.pixels, derained))
        layer = _shrunk(_host(rain), side)
        deep = str(image.pixels.dtype).removeprefix("torch.") != "uint8"
        return cls._shown(before, after, layer, signed=signed, deep=deep, side=side)

    @classmethod
    def of_thumbnail(cls, small: Thumbnail, *, signed: bool, side: int) -> Preview:
        """Make them from a thumbnail."""
        before, after, rain = (
            _shrunk(plane, side) for plane in (small.before, small.after, small.rain)
        )
        return cls._shown(before, after, rain, signed=signed, deep=False, side=side)

    @classmethod
    def _shown(
        cls, before: Floats, after: Floats, rain: Floats, *, signed: bool, deep: bool, side: int
    ) -> Preview:
        brightest = float(np.percentile(before, 99.5))
        exposure = 1 / max(brightest, 1e-3) if deep and brightest < _DARK else 1.0
        gain = rain_gain(rain)
        return cls(
            resized(_rgb(exposure * before), side),
            resized(_rgb(exposure * after), side),
            resized(_rgb(rain_picture(rain, gain, signed=signed)), side),
            gain,
            exposure,
        )

    def side_by_side(self) -> Bytes:
        """All three in a row, with white between them."""
        bar = np.full((self.before.shape[0], _GAP, 3), 255, np.uint8)
        return np.concatenate([self.before, bar, self.after, bar, self.rain], axis=1)


class Shown:
    """A result that shows itself in a notebook, and briefly in a terminal.

    Subclasses have ``derained`` and give words and, if they can, pictures.
    """

    def _words(self) -> str:
        """What is worth knowing, in a line."""
        raise NotImplementedError

    def _preview(self, side: int) -> Preview | None:
        """Pictures of at most so many pixels a side, if there are any."""
        raise NotImplementedError

    def __repr__(self) -> str:
        size = "×".join(map(str, self.derained.shape))  # type: ignore[attr-defined]
        return f"<{type(self).__name__} {size}: {self._words()}>"

    def _repr_png_(self) -> bytes | None:
        preview = self._preview(_PANEL)
        return None if preview is None else encoded(preview.side_by_side(), "PNG")

    def _repr_html_(self) -> str | None:
        preview = self._preview(_PANEL)
        if preview is None:
            return None
        brighter = "" if preview.gain == 1 else f", shown {preview.gain:.1f}× brighter"
        lighter = "" if preview.exposure == 1 else f", shown {preview.exposure:.1f}× brighter"
        titles = (f"before{lighter}", f"derained{lighter}", f"rain{brighter}")
        figures = "".join(
            f'<figure style="margin:0"><img src="{data_uri(encoded(pixels, "JPEG"), "JPEG")}" '
            f'alt="{title}" style="max-width:100%"><figcaption style="font-size:smaller">{title}'
            "</figcaption></figure>"
            for title, pixels in zip(titles, preview[:3], strict=True)
        )
        row = f'<div style="display:flex;flex-wrap:wrap;gap:{_GAP}px">{figures}</div>'
        return f"<div>{row}<div>{html.escape(self._words())}</div></div>"


def picture_of(image: PreparedImage, side: int) -> Bytes:
    """An image as it is shown, RGB, the longer side at most so many pixels."""
    return resized(_rgb(_light(image, image.pixels, side)), side)


def rain_in_words(result: Any) -> str:
    """Rain levels, angles and cost of a solver's result, of all its layers, in a line."""
    layers = result.layers or (result,)
    found = []
    for layer in layers:
        if layer.rain_level > 0:
            what = "stripes" if layer.model == "signed" else f"rain {layer.rain_level:.2f}"
            sure = "" if layer.confidence is None else f" (confidence {layer.confidence:.2f})"
            spread = f", converging by {layer.convergence:.1f}°" if layer.convergence else ""
            found.append(f"{what} at {layer.angle:.1f}°{spread}{sure}")
    gap = max(layer.gap for layer in layers)
    iterations = sum(layer.iterations for layer in layers)
    return (
        f"{', '.join(found) or 'no rain found'}; "
        f"gap {percent(gap)}, {iterations:.0f} iterations, {result.seconds:.2g} s"
    )


def percent(part: float) -> str:
    """A part of one, such as the gap, as people read it: two digits count."""
    return f"{float(f'{100 * part:.2g}'):g} %"


def rain_gain(rain: Floats) -> float:
    """How many times brighter, at least 1, a rain layer has to be shown to be seen."""
    strongest = float(np.percentile(np.abs(rain), 99.9))
    return max(1.0, _BRIGHT / max(strongest, _FAINTEST))


def rain_picture(rain: Floats, gain: float, *, signed: bool = False) -> Floats:
    """A rain layer as light in [0, 1]: black is none, or middle grey if it may be negative."""
    return np.clip(0.5 + 0.5 * gain * rain if signed else gain * rain, 0, 1)


def resized(pixels: Bytes, side: int) -> Bytes:
    """An RGB picture whose longer side is at most so many pixels."""
    from PIL import Image

    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return pixels
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def encoded(pixels: Bytes, format: str, quality: int = 85) -> bytes:
    """An RGB picture as a file: PNG, JPEG or WebP."""
    from PIL import Image

    buffer = BytesIO()
    options: dict[str, Any] = {} if format == "PNG" else {"quality": quality}
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def data_uri(data: bytes, format: str) -> str:
    """A picture's file as the address of an ``<img>``."""
    return f"data:image/{format.lower()};base64,{base64.b64encode(data).decode()}"


def _light(image: PreparedImage, pixels: Array, side: int) -> Floats:
    """Colours in the image's range, shrunk, with values in [0, 1]."""
    colours = pixels if pixels.ndim == 2 else pixels[:, :, : image.colours]
    return (_shrunk(_host(colours), side) - image.low) / (image.high - image.low)


def _host(array: Array) -> Floats:
    return np.asarray(array.cpu()) if is_torch_array(array) else to_numpy(array)


def _shrunk(plane: Floats, side: int) -> Floats:
    """Means over whole blocks, so that little is left for `resized`."""
    return BlockMeans.of(plane, min(1.0, side / max(plane.shape[:2])))


def _rgb(light: Floats) -> Bytes:
    """Light in [0, 1] as RGB: colours as they are, anything else grey."""
    if light.ndim == 3 and light.shape[2] != 3:
        light = light.mean(axis=2)
    pixels = np.rint(255 * np.clip(light, 0, 1)).astype(np.uint8)
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
