"""Sets of rainy and clean pictures: found in folders of several layouts, or made by rendering rain.

A set is named in one of these ways; folders are looked for in DATA_DIR, then as they are:

- FOLDER: pairs. Either `rainy/` and `clean/` with the same stems, or Rain1400's
  `rainy_image/NAME_k.jpg` and `ground_truth/NAME.jpg`.
- rain:FOLDER: rain rendered on the photos of a folder, or of a Cityscapes tree (`leftImg8bit/`, of
  which its `val/` if there is one, as in the paper).
- streets: rain:clean/cityscapes.
- rain:free: rain on the photos that scikit-image brings and that are free to use.
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import udg
from udg import batch
from udg.batch.evaluation import find_pairs
from udg.errors import FileError
from udg.imaging.image import prepare
from udg.io.files import read
from udg.io.picture import quantize

Array = np.ndarray[Any, Any]

STREETS = "clean/cityscapes"  # inside DATA_DIR
FREE = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
WIDEST = 1024  # pixels, of photos that get rain
RAINS = 4  # a photo


@dataclass(frozen=True)
class Rain:
    """What `udg.synthesize` is asked for; its blend is the screen's."""

    angle: float
    length: float
    width: float
    density: float
    intensity: float
    seed: int

    @classmethod
    def drawn(cls, name: str, number: int, seed: int = 0) -> Rain:
        """The rain of a photo, by its name and the rain's number: as in any other choice of photos.

        The ranges are ours, for the paper has none. They give about the PSNR and SSIM that the
        paper's rainy pictures have. Within ±25°, Table 4's errors of 20° stay within ±45°.
        """
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        return cls(
            angle=round(rng.uniform(-25, 25), 1),
            length=round(rng.uniform(15, 50), 1),
            width=round(rng.uniform(1, 2.5), 2),
            density=round(rng.uniform(0.05, 0.13), 3),
            intensity=round(rng.uniform(0.35, 0.75), 2),
            seed=int(rng.integers(2**31)),
        )


class Loaded(NamedTuple):
    """A pair in memory: uint8 or uint16, without alpha; the angle in degrees if it is known."""

    rainy: Array
    clean: Array
    angle: float | None


@dataclass(frozen=True)
class Pair:
    """Two files, or one and the rain to render on it."""

    name: str
    clean: Path
    rainy: Path | None = None
    rain: Rain | None = None
    widest: int = WIDEST

    def load(self) -> Loaded:
        """Read both pictures, or make the rainy one."""
        clean = colours(read(self.clean).pixels)
        if self.rain is None:
            assert self.rainy is not None
            rainy = colours(read(self.rainy).pixels)
            if rainy.shape != clean.shape:
                raise FileError(f"{self.rainy} and {self.clean} differ in size: {rainy.shape[:2]}")
            return Loaded(rainy, clean, None)
        clean = shrunk(clean, self.widest)
        rainy = udg.synthesize(clean, **asdict(self.rain)).rainy
        return Loaded(quantize(rainy, clean.dtype, clean.dtype), clean, self.rain.angle)


def open_set(
    name: str, data_dir: Path, *, rains: int = RAINS, widest: int = WIDEST, seed: int = 0
) -> list[Pair]:
    """List a set's pairs by name; see the module for names."""
    kind, _, folder = ("rain:" + STREETS if name == "streets" else name).rpartition(":")
    if kind == "rain":
        return [
            Pair(
                f"{path.stem}-{number}",
                path,
                rain=Rain.drawn(path.stem, number, seed),
                widest=widest,
            )
            for path in photos(folder, data_dir)
            for number in range(rains)
        ]
    return paired(found(name, data_dir))


def found(folder: str, data_dir: Path) -> Path:
    """A folder inside DATA_DIR or elsewhere."""
    for path in (data_dir / folder, Path(folder)):
        if path.is_dir():
            return path
    raise FileError(f"there is no folder {folder}, neither in {data_dir} nor here")


def paired(folder: Path) -> list[Pair]:
    """Pairs of a folder in one of the layouts."""
    if not (folder / "rainy_image").is_dir():
        return [Pair(rainy.stem, clean, rainy) for rainy, clean in find_pairs(folder)[0]]
    clean = {path.stem: path for path in _pictures(folder / "ground_truth")}
    pairs = [
        Pair(rainy.stem, clean[scene], rainy)
        for rainy in _pictures(folder / "rainy_image")
        if (scene := rainy.stem.rpartition("_")[0]) in clean
    ]
    if not pairs:
        raise FileError(
            f"no NAME_k in {folder / 'rainy_image'} has a NAME in {folder / 'ground_truth'}"
        )
    return pairs


def photos(folder: str, data_dir: Path) -> list[Path]:
    """Photos of a folder, of a Cityscapes tree, or the free ones of scikit-image ("free")."""
    if folder == "free":
        import skimage.data

        return [Path(skimage.data.__file__).parent / name for name in FREE]
    path = found(folder, data_dir)
    tree = path if path.name == "leftImg8bit" else path / "leftImg8bit"
    if tree.is_dir():
        inside = tree / "val" if (tree / "val").is_dir() else tree
        chosen = sorted(inside.rglob("*_leftImg8bit.png"), key=lambda file: file.name)
    else:
        chosen = _pictures(path)
    if not chosen:
        raise FileError(f"{path} holds no photos")
    return chosen


def colours(pixels: Array) -> Array:
    """A picture without its alpha."""
    return pixels[..., :3] if pixels.ndim == 3 and pixels.shape[2] == 4 else pixels


def shrunk(pixels: Array, widest: int) -> Array:
    """Means of squares of pixels, so many that the picture is at most so wide."""
    step = -(-pixels.shape[1] // widest)
    if step == 1:
        return pixels
    height, width = (side // step for side in pixels.shape[:2])
    squares = pixels[: height * step, : width * step].reshape(
        height, step, width, step, *pixels.shape[2:]
    )
    return np.rint(squares.mean((1, 3))).astype(pixels.dtype)


def layer(rainy: Array, clean: Array) -> Array:
    """What rain added to luma, in [0, 1]."""
    return np.maximum(prepare(rainy).luma() - prepare(clean).luma(), 0)


def true_angle(pair: Loaded) -> float:
    """The direction in which rain was rendered, or that of the streaks without their scene."""
    if pair.angle is not None:
        return pair.angle
    return float(udg.estimate_angle(layer(pair.rainy, pair.clean)).degrees)


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise FileError(f"{folder} is not a folder")
    return sorted(path for path in folder.iterdir() if batch.is_picture(path))
