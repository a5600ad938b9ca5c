"""Streaks that meet in a point: whether that is found, and what straightening them gains.

    python -m benchmarks.solver.convergence [--photos N] [--degrees D …] [--json OUT]

Needs no DATA_DIR: photos that scikit-image brings, behind streaks of `udg.synthesize` that are bent
to meet in a point. Printed are, by convergence, the mean error of what `udg.solve` finds, in how
many photos it finds any, and PSNR (Y) of rainy and derained photos, the latter also with
``convergence=0``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from skimage import data

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg.imaging.geometry import rotated_shape, unrotate
from udg.imaging.image import prepare

PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "rocket")
CONVERGENCES = (-10.0, -6.0, -3.0, 0.0, 3.0, 6.0, 10.0)
ANGLE = 5.0
STREAKS = {"angle": 0, "length": 30, "width": 1.5, "density": 0.06, "intensity": 0.4}


def rainy(photo: np.ndarray[Any, Any], convergence: float, seed: int) -> np.ndarray[Any, Any]:
    """A photo behind streaks that meet in a point, float32 in [0, 1]."""
    shape = photo.shape[:2]
    empty = np.zeros(rotated_shape(shape, ANGLE, convergence=convergence), np.float32)
    upright = udg.synthesize(empty, **STREAKS, seed=seed).rain.astype(np.float32)
    rain = unrotate(upright, ANGLE, shape, convergence=convergence)
    return np.clip(prepare(photo).unit() + rain[:, :, None], 0, 1).astype(np.float32)


def measure(name: str, convergence: float, seed: int) -> dict[str, float]:
    """What is found in one photo, and PSNR before and after."""
    photo = getattr(data, name)()
    clean = prepare(photo).unit()
    given = rainy(photo, convergence, seed)
    result, parallel = udg.solve(given), udg.solve(given, convergence=0)
    return {
        "angle": result.angle,
        "convergence": result.convergence,
        "rainy": udg.psnr_y(given, clean),
        "derained": udg.psnr_y(result.derained, clean),
        "parallel": udg.psnr_y(parallel.derained, clean),
    }


def main() -> None:
    """Measure and print."""
    parser = arguments.parser(__doc__, "json")
    parser.add_argument("--photos", type=int, default=len(PHOTOS), help="how many of them")
    parser.add_argument(
        "--degrees", type=float, nargs="+", default=CONVERGENCES, help="how the streaks converge"
    )
    options = parser.parse_args()
    rows = []
    print("  convergence   told  error   rainy  derained  convergence=0")
    for convergence in options.degrees:
        found = [
            measure(name, convergence, seed) for seed, name in enumerate(PHOTOS[: options.photos])
        ]
        mean = {key: float(np.mean([one[key] for one in found])) for key in found[0]}
        told = sum(one["convergence"] != 0 for one in found)
        error = float(np.mean([abs(one["convergence"] - convergence) for one in found]))
        rows.append(
            {
                "convergence": convergence,
                "told": told,
                "error": error,
                "mean": mean,
                "photos": found,
            }
        )
        print(
            f"{convergence:5.1f}   {told}/{len(found)}  {error:5.2f}°  {mean['rainy']:6.2f}  "
            f"{mean['derained']:8.2f}  {mean['parallel']:5.2f}",
            flush=True,
        )
    write_json(options.json, {"angle": ANGLE, "streaks": STREAKS, "rows": rows})


if __name__ == "__main__":
    main()
