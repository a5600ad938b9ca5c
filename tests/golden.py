"""Results of `udg.solve` that a change of its structure must not change.

`golden.npz` holds, for eight small photographs and six kinds of pictures each, the rain layer, the
rain level, the direction and the weights of every stage, as they were on 2026-12-01, before the
package was divided into rooms. They are of the parameters of the detection in `golden.json`, so
that a refit changes nothing here. A change that is meant to change results makes it anew, and says
so in the CHANGELOG::

    python tests/golden.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from skimage import data

import udg
from udg.detection import parameters

RESULTS = Path(__file__).with_suffix(".npz")
PARAMETERS = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
SHAPE = 96, 128
STEP = 4096  # levels of light in which R is kept: a quarter of the tolerance
TOL = 1e-3  # a tenth of the default

# Name, how many pixels become one, where the window begins, and the angle of the rain.
PHOTOS = {
    "astronaut": (2, 0, 40, 12.0),
    "brick": (2, 30, 30, -8.0),
    "camera": (3, 20, 20, 0.0),
    "chelsea": (2, 20, 40, -20.0),
    "coffee": (3, 10, 30, 7.0),
    "coins": (2, 20, 20, 25.0),
    "gravel": (2, 60, 60, -3.0),
    "rocket": (3, 10, 40, -14.0),
}


class Case(NamedTuple):
    """A picture and what `udg.solve` is asked."""

    name: str
    picture: np.ndarray
    options: dict[str, Any]


def photo(name: str) -> np.ndarray:
    """A window of a photograph, float32 in [0, 1], shape (96, 128) or (96, 128, 3)."""
    step, top, left, _ = PHOTOS[name]
    pixels = getattr(data, name)()
    pixels = pixels.astype(np.float32) / 255
    height, width = (side // step * step for side in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(
        height // step, step, width // step, step, *pixels.shape[2:]
    )
    small = blocks.mean(axis=(1, 3))
    return np.ascontiguousarray(small[top : top + SHAPE[0], left : left + SHAPE[1]])


def cases() -> Iterator[Case]:
    """All of them, made anew."""
    for seed, (name, (*_, angle)) in enumerate(PHOTOS.items()):
        scene = photo(name)
        colour = scene if scene.ndim == 3 else np.repeat(scene[:, :, None], 3, axis=2)
        once = udg.synthesize(scene, angle=angle, length=25, density=0.1, seed=seed).rainy
        twice = udg.synthesize(once, angle=angle - 24, length=25, density=0.1, seed=seed + 50)
        lamp = (colour * np.array([1.0, 0.62, 0.03], np.float32)).astype(np.float32)
        under_lamp = udg.synthesize(lamp, angle=angle, density=0.1, blend="add", seed=seed).rainy
        under_lamp[:, :, 2] = lamp[:, :, 2]  # its light has no blue for rain to add
        rng = np.random.default_rng(seed)
        rows, columns = np.indices(SHAPE)
        theta = np.deg2rad(angle)
        place = np.rint(columns * np.cos(theta) + rows * np.sin(theta)).astype(int)
        stripes = 0.05 * rng.normal(size=300).astype(np.float32)[place - place.min()]
        striped = scene + (stripes if scene.ndim == 2 else stripes[:, :, None])
        given = {"angle": angle, "convergence": 6.0 - 3.0 * (seed % 4)}
        yield Case(f"{name}, rain", once, {})
        yield Case(f"{name}, signed", np.clip(striped, 0, 1), {"model": "signed"})
        yield Case(f"{name}, coloured light", under_lamp, {"rain_level": 0.8})
        yield Case(f"{name}, two directions", twice.rainy, {"n_layers": 2, "rain_level": 1.0})
        yield Case(f"{name}, convergence", once, given)
        yield Case(f"{name}, given angle", once, {"angle": angle + 1.5})


@contextmanager
def parameters_of_then() -> Iterator[None]:
    """Detect with the parameters that the results were made with."""
    readers = (
        parameters.streak_classifier,
        parameters.rain_level_model,
        parameters.reweighting_parameters,
    )

    def read(name: str, kind: type) -> dict[str, Any]:
        return {key: parameters._frozen(value) for key, value in PARAMETERS[name].items()}

    for reader in readers:
        reader.cache_clear()
    try:
        with patch.object(parameters, "_read", read):
            yield
    finally:
        for reader in readers:
            reader.cache_clear()


def solved(case: Case) -> dict[str, np.ndarray]:
    """What is kept of a case."""
    with parameters_of_then():
        result = udg.solve(case.picture, tol=TOL, **case.options)
    layers = result.layers or (result,)
    return {
        "rain": np.rint(np.asarray(result.rain, np.float64) * STEP).astype(np.int16),
        "decided": np.array([[one.angle, one.convergence, one.rain_level] for one in layers]),
        "weights": np.array(
            [
                [stage.weights.tau, stage.weights.lam_x, stage.weights.lam_y, stage.weights.lam_r]
                for one in layers
                for stage in one.stages
            ]
        ),
    }


if __name__ == "__main__":
    results = {
        f"{case.name}/{key}": value for case in cases() for key, value in solved(case).items()
    }
    np.savez_compressed(RESULTS, **results)
