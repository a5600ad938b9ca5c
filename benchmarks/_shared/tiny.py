"""A DATA_DIR of tiny pictures, with the folders that the benchmarks read; for --quick.

Photos are those that scikit-image brings, shrunk; rain is rendered, stripes are drawn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage import data
from skimage.transform import resize

import udg
from benchmarks._shared import scenes
from udg.io.files import write

PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")
SHAPE = (128, 192)  # crops of the trainings are 128×128, patches of NIQE 96×192
ANGLES = (-12.0, 0.0, 8.0, 20.0)


def make(folder: Path, shape: tuple[int, int] = SHAPE) -> Path:
    """Write the pictures into a folder, and give it back."""
    photos = {name: _photo(name, shape) for name in PHOTOS}
    for name in PHOTOS:
        large = _photo(name, (3 * shape[0] // 2, 3 * shape[1] // 2))
        _write(folder / "clean/bsds353" / f"{name}.png", large)
    for name in PHOTOS[:2]:
        _write(folder / "clean/kodak24" / f"{name}.png", photos[name])
    height, width = shape
    for seed in range(3):
        street = 255 * scenes.drawn(height, width, seed)
        _write(folder / "clean/cityscapes" / f"street-{seed}.png", street)

    for name, density in (("rain100l-dev", 0.06), ("rain100h-dev", 0.15)):
        for seed, photo in enumerate(PHOTOS[:2]):
            rainy = udg.synthesize(
                photos[photo], angle=ANGLES[seed], density=density, seed=seed
            ).rainy
            _write(folder / name / "rainy" / f"{photo}.png", rainy)
            _write(folder / name / "clean" / f"{photo}.png", photos[photo])

    labels = ["name,angle_deg"]
    for seed, (photo, angle) in enumerate(zip(PHOTOS, ANGLES, strict=True)):
        rain = udg.synthesize(photos[photo], angle=angle, seed=seed)
        _write(folder / "realrain60/rainy" / f"{seed}_{photo}.png", rain.rainy)
        _write(folder / "streaks" / f"{seed}.png", 255 * np.asarray(rain.rain) / np.max(rain.rain))
        labels.append(f"{seed}_{photo},{angle:g}")
    labels_file = folder / "realrain60/angles.csv"
    labels_file.write_text("\n".join(labels) + "\n", encoding="utf-8")

    clean = photos["rocket"].mean(axis=2)
    stripes = 12 * np.sin(np.arange(width) * 2 * np.pi / 9)
    _write(folder / "destripe/drawn/clean.png", clean)
    _write(folder / "destripe/drawn/striped.png", clean + stripes)
    return folder


def _photo(name: str, shape: tuple[int, int]) -> np.ndarray:
    picture = getattr(data, name)()
    return np.asarray(resize(picture, shape, anti_aliasing=True, preserve_range=True), np.uint8)


def _write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
