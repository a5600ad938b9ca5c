"""Pictures whose minimum is known: a street in rendered rain, and the energy's minimum for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

import udg
from udg.imaging.geometry import rotate
from udg.imaging.image import prepare
from udg.io.files import read

Array = Any

STREET = "clean/cityscapes"  # inside DATA_DIR
SEED = 0


class Minimum(NamedTuple):
    """The minimum of a problem, between `energy` and (1 − `gap`) times that."""

    energy: float
    gap: float


def street(data_dir: Path, angle: float = 0.0) -> Array:
    """Luma of the first 1024×2048 street scene, with rendered rain; float32 in [0, 1]."""
    path = sorted((data_dir / STREET).glob("*.png"))[0]
    rainy = udg.synthesize(read(path).pixels, angle=angle, seed=SEED).rainy
    return prepare(rainy, 255.0).luma()


def rainy(height: int, width: int, data_dir: Path | None = None, angle: float = 0.0) -> Array:
    """A street in rendered rain, of any size: that of `street`, or one drawn here.

    RGB, float32 in [0, 1], shape ``(height, width, 3)``.
    """
    if data_dir is None:
        clean = drawn(height, width)
    else:
        path = sorted((data_dir / STREET).glob("*.png"))[0]
        clean = read(path).pixels.astype(np.float32) / 255
        planes = [clean[..., channel] for channel in range(3)]
        planes = [crop(plane, *map(min, plane.shape, (height, width))) for plane in planes]
        clean = np.stack([enlarge(plane, height, width) for plane in planes], axis=2)
    return udg.synthesize(clean, angle=angle, seed=SEED).rainy


def drawn(height: int, width: int, seed: int = SEED) -> Array:
    """A street without rain: sky, rows of houses with windows, a road; RGB, float32 in [0, 1]."""
    rng = np.random.default_rng(seed)
    image = np.empty((height, width, 3), np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    image[:] = (1 - 0.5 * down) * np.float32([0.62, 0.7, 0.8])
    ground, left = round(0.68 * height), 0
    while left < width:
        right = left + max(8, round(rng.uniform(0.12, 0.3) * height))
        top = round(rng.uniform(0.1, 0.45) * height)
        wall = rng.uniform(0.25, 0.65) * rng.uniform(0.8, 1.2, 3)
        image[top:ground, left:right] = wall
        step = max(4, round(rng.uniform(0.05, 0.09) * height))
        for row in range(top + step // 3, ground - step, step):
            for column in range(left + step // 4, min(right, width) - step // 2, step):
                pane = image[row : row + round(0.6 * step), column : column + round(0.45 * step)]
                pane[:] = rng.uniform(0.08, 0.5) * np.float32([0.9, 1.0, 1.1])
        left = right
    rows, columns = np.mgrid[ground:height, :width].astype(np.float32)
    image[ground:] = 0.3 + 0.08 * (rows - ground)[..., None] / max(1, height - ground)
    away = (columns - width / 2) / (rows - ground + 0.05 * height)  # lines that meet far away
    image[ground:][abs(away % 1.2 - 0.6) < 0.03] = 0.75
    for sigma, strength in ((0, 0.012), (1.5, 0.03), (6, 0.12)):  # grain, stone, light and shade
        noise = rng.standard_normal((height, width), np.float32)
        image += strength * (noise if sigma == 0 else gaussian_filter(noise, sigma))[..., None]
    return np.asarray(gaussian_filter(image, (0.6, 0.6, 0)).clip(0, 1), np.float32)


def frame(data_dir: Path, angle: float = 0.0) -> Array:
    """The street as the solver sees it: turned so that its streaks are vertical."""
    return rotate(street(data_dir, angle), angle)


def crop(Y: Array, height: int, width: int) -> Array:
    """The middle of a picture."""
    top, left = (Y.shape[0] - height) // 2, (Y.shape[1] - width) // 2
    return np.ascontiguousarray(Y[top : top + height, left : left + width])


def enlarge(Y: Array, height: int, width: int) -> Array:
    """Repeat a picture, mirrored, to a size: as much detail on every pixel as before."""
    rows, columns = height - Y.shape[0], width - Y.shape[1]
    padded = np.pad(Y, ((0, max(0, rows)), (0, max(0, columns))), mode="symmetric")
    return np.ascontiguousarray(padded[:height, :width])


def reference(problem: udg.Problem, cache: Path | None, tol: float) -> Minimum:
    """Minimise in float64 until the gap is `tol`; kept in a file of the folder `cache`.

    Smaller primal steps than the default's are slower to a gap of 1e-2 and faster to 1e-7.
    """
    Y, weights = np.asarray(problem.Y, np.float64), problem.weights
    made = hashlib.sha256(Y.tobytes())
    made.update(repr((Y.shape, weights, problem.model, problem.boundary)).encode())
    path = None if cache is None else cache / f"minimum-{made.hexdigest()[:16]}.json"
    if path is not None and path.exists():
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["gap"] <= tol:
            return Minimum(known["energy"], known["gap"])
    method = udg.PrimalDual(primal_step=0.0075 / max(weights.lam_x, weights.lam_y))
    exact = udg.Problem(Y, weights, problem.model, problem.boundary)
    found = udg.minimize(exact, method, tol=tol, max_iter=200_000)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"energy": found.objective, "gap": found.gap, "shape": Y.shape}
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps(about) + "\n", encoding="utf-8")
        draft.replace(path)
    return Minimum(found.objective, found.gap)
