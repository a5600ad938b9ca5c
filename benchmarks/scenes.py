"""Pictures whose minimum is known: a street in rendered rain, and the energy's minimum for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import udg
from udg.files import read
from udg.image import prepare
from udg.rotation import rotate

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
