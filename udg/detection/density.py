"""Rain density: how much rain, and how much texture of the scene, there is around each place.

Rain is everywhere, and before ground that is equally bright there is equally much of it. Where
there is far more than elsewhere, or little beside the scene's own texture, what was found is
probably of the scene: a fence, letters, reeds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from udg.backend import clip
from udg.imaging.image import BlockMeans

__all__ = ["LocalDensity", "RainDensity", "expected_density", "texture"]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]
Means = tuple[Floats, Floats, Floats, Floats]

_NEIGHBOURHOOD = 0.08  # σ over which rain should be even, as a part of the shorter side
_MIN_NEIGHBOURHOOD = 25.0  # σ in pixels at least, for streaks are long
_TOLERATED = 1.5  # times the expected density that is not yet suspect
_EXCESS_POWER = 2.0
_TEXTURE = 3.0  # times the rain's density that the texture along the streaks may be
_NEGLIGIBLE = 2e-3  # density of rain below which it does not matter
_MAX_FACTOR = 6.0
_AIRLIGHT = (30.0, 3.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5)  # candidates, in full light
_MIN_SHOWN = 0.1  # part of the rain that still shows where a scene is as bright as the air


class LocalDensity(NamedTuple):
    """What is around each pixel after a stage.

    Attributes
    ----------
    density : array, shape (H, W)
        Mean rain.
    texture : array, shape (H, W)
        Mean of the scene's own `texture` along the streaks.
    expected : array, shape (H, W)
        Density to be expected on ground so dark (`expected_density`); its mean is the picture's.
    streak : float
        Light of a typical streak: mean square over mean of the rain, the median of all places.
    """

    density: Array
    texture: Array
    expected: Array
    streak: float

    def sparsity_factor(self) -> Array:
        """Factor on `lam_r`, at least 1: for excess density, and for what texture outweighs."""
        density, texture, expected, _ = self
        excess = density / (_TOLERATED * (expected + 1e-4))
        outweighed = texture / (_TEXTURE * (density + _NEGLIGIBLE))
        return clip(excess**_EXCESS_POWER, 1, _MAX_FACTOR) * clip(outweighed, 1, _MAX_FACTOR)

    def rotated(self, rotate: Callable[[Floats], Array]) -> LocalDensity:
        """The same in a frame to which ``rotate`` takes a plane."""
        density, texture, expected, _ = self
        return self._replace(
            density=rotate(density), texture=rotate(texture), expected=rotate(expected)
        )


class RainDensity:
    """Local density of rain and texture of the scene, after a stage.

    From means over blocks of the whole picture, in the picture's frame. Give it the rain from top
    to bottom with `add`, then ask for the surroundings of a window's pixels with `window`.

    Parameters
    ----------
    shape : (int, int) or (int, int, int)
        Of the picture.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    means : (array, array, array, array), optional
        Means over blocks of side ``step`` of the rain, of its square, of the scene and of its
        `texture`, if they are known: nothing is to be added then.

    Attributes
    ----------
    step : int
        Side of the blocks in pixels.
    """

    def __init__(self, shape: tuple[int, ...], angle: float, means: Means | None = None) -> None:
        self._sigma = max(_MIN_NEIGHBOURHOOD, _NEIGHBOURHOOD * min(shape[:2]))
        self.step = max(1, min(int(self._sigma / 4), *shape[:2]))
        self._angle, self._given = angle, means
        self._sums = tuple(BlockMeans(shape[:2], self.step) for _ in range(4))
        self._last: tuple[int, Floats] | None = None

    def add(self, top: int, rain: Floats, light: Floats) -> None:
        """Take all rows from ``top`` on of the rain and of the light it was found in, (rows, W)."""
        found, squared, ground, textures = self._sums
        scene = light - rain
        found.add(top, rain)
        squared.add(top, rain**2)
        ground.add(top, scene)
        if self._last is not None:  # whose differences to the next row are known now
            top, row = self._last
            scene = np.concatenate([row, scene])
        textures.add(top, texture(scene, self._angle)[:-1])
        self._last = top + len(scene) - 1, scene[-1:]

    def means(self) -> Means:
        """Means over blocks of what was added, with which this can be made again."""
        if self._given is None:
            assert self._last is not None
            top, row = self._last
            self._sums[3].add(top, texture(row, self._angle))
            found, squared, ground, textures = (sums.result() for sums in self._sums)
            self._given = found, squared, ground, textures
        return self._given

    def window(self, rows: slice, columns: slice) -> LocalDensity:
        """Surroundings of a window's pixels, float32."""
        density, squared, expected, textures = self._coarse
        places = [
            np.clip((np.arange(side.start, side.stop) + 0.5) / self.step - 0.5, 0, count - 1)
            for side, count in zip((rows, columns), density.shape, strict=True)
        ]
        streak = np.median((squared + 1e-8) / (density + 1e-4))
        around, textures_around, expected_around = (
            np.asarray(_bilinear(plane, *places), np.float32)
            for plane in (density, textures, expected)
        )
        return LocalDensity(around, textures_around, expected_around, float(streak))

    @cached_property
    def _coarse(self) -> Means:
        """Density, mean square, expected density and texture of blocks with their neighbours."""
        from scipy.ndimage import gaussian_filter

        density, squared, ground, textures = (
            gaussian_filter(means, self._sigma / self.step, mode="nearest")
            for means in self.means()
        )
        return density, squared, expected_density(ground, density), textures


def expected_density(ground: Floats, density: Floats) -> Floats:
    """Estimate the rain density to be expected where the scene is so bright.

    A drop shows the light of all around instead of what it covers: before ground of brightness X
    it adds in proportion to A − X, A being the light of the air (screen blend for A = 1; Garg and
    Nayar 2007). Of some A, that is taken by which the rain is most even, so that of a picture of
    one brightness, or of rain that is added everywhere alike, nothing changes.

    Parameters
    ----------
    ground, density : array, shape (H, W)
        Local means of the scene and of the rain found before it.

    Returns
    -------
    array, shape (H, W)
        Its mean is that of ``density``.
    """

    def uneven(shown: Floats) -> float:
        even = np.log((density + _NEGLIGIBLE) / shown)
        return float(np.mean(abs(even - np.median(even))))

    shown = min((np.maximum(air - ground, _MIN_SHOWN * air) for air in _AIRLIGHT), key=uneven)
    return np.asarray(density.mean() * shown / shown.mean())


def texture(scene: Floats, angle: float) -> Floats:
    """Measure the scene's own texture: differences from pixel to pixel along the streaks.

    Differences across would hold what is left of the rain.

    Parameters
    ----------
    scene : array, shape (H, W)
    angle : float
        Of the streaks, degrees clockwise from vertical.

    Returns
    -------
    array, shape (H, W)
        Per pixel of length; 0 in the last row.
    """
    # Where a streak through a pixel meets the next row: up to one column to the left (/) or right.
    theta = math.radians(angle)
    part = abs(math.tan(theta))
    below = scene[1:]
    columns = (below[:, :1], below[:, :-1]) if theta > 0 else (below[:, 1:], below[:, -1:])
    beside = np.concatenate(columns, axis=1)
    result = np.zeros_like(scene)
    result[:-1] = math.cos(theta) * np.abs((1 - part) * below + part * beside - scene[:-1])
    return result


def _bilinear(coarse: Floats, rows: Floats, columns: Floats) -> Floats:
    """`coarse` at all pairs of fractional rows and columns, one axis after the other."""
    for axis, places in ((0, rows), (1, columns)):
        below = np.floor(places).astype(np.int64)
        above = np.minimum(below + 1, coarse.shape[axis] - 1)
        part = np.reshape(places - below, (-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        lower, upper = (np.take(coarse, index, axis=axis) for index in (below, above))
        coarse = (1 - part) * lower + part * upper
    return coarse
