"""A photo and its result, as the browser shows them."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from udg.app.choice import Choice
from udg.io import files
from udg.io.picture import quantize
from udg.pipeline.survey import reduced
from udg.viz.preview import rain_gain

__all__ = ["SIDE", "Photo", "Shown", "data_uri", "opened", "rain_uri"]

SIDE = 1600  # longest side of what is shown, in pixels


@dataclass(frozen=True)
class Photo:
    """What was uploaded.

    Attributes
    ----------
    path : Path
        Where it lies, in the session's folder.
    width, height : int
        In pixels, upright.
    format : str
        As in `udg.io.picture.Picture`.
    bits : str
        Of its pixels, in words.
    preview : str
        As a data URI, at most 1600 pixels a side.
    small : ndarray
        What is shown, float32 in [0, 1], shape (h, w, colours).
    icc : bytes, optional
        Its colour profile.
    """

    path: Path
    width: int
    height: int
    format: str
    bits: str
    preview: str = field(repr=False)
    small: NDArray[np.float32] = field(repr=False)
    icc: bytes | None = field(default=None, repr=False)

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height


@dataclass(frozen=True)
class Shown:
    """A result, or the draft of one.

    Attributes
    ----------
    after, rain : str
        Data URIs.
    gain : float
        How much brighter than it is the rain is shown.
    facts : dict
        What `udg.batch.derain` says of it.
    choice : Choice
        How it was made.
    seconds : float
        Since the work began.
    file, rain_file : Path, optional
        What can be downloaded; a draft has none.
    """

    after: str = field(repr=False)
    rain: str = field(repr=False)
    gain: float
    facts: dict[str, Any]
    choice: Choice
    seconds: float
    file: Path | None = None
    rain_file: Path | None = None

    @property
    def draft(self) -> bool:
        """Whether it is from a smaller copy."""
        return self.file is None

    @property
    def dry(self) -> bool:
        """Whether no rain was found, so that the photo is as it was."""
        return self.facts.get("rain_level") == 0


def opened(path: Path) -> Photo:
    """Read a photo as far as it is to be shown."""
    with files.opened(path) as picture:
        height, width = picture.pixels.shape[:2]
        small = reduced(picture.pixels, SIDE)
        bits = {"u1": "8 bits", "u2": "16 bits"}.get(picture.pixels.dtype.str[1:], "floats")
        return Photo(
            path,
            width,
            height,
            picture.format,
            bits,
            data_uri(small, picture.icc),
            small,
            picture.icc,
        )


def data_uri(unit: NDArray[Any], icc: bytes | None = None) -> str:
    """A JPEG for the browser, of values in [0, 1], shape (h, w, colours)."""
    from PIL import Image

    pixels = quantize(unit, np.float32, np.uint8)
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    buffer = BytesIO()
    profile = {"icc_profile": icc} if icc else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "JPEG", quality=92, subsampling=0, **profile
    )
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getbuffer()).decode()


def rain_uri(rain: NDArray[Any]) -> tuple[str, float]:
    """Show a rain layer bright enough to be seen; how much brighter than it is."""
    gain = rain_gain(rain)
    return data_uri(rain * gain), gain
