"""How well stripes are removed: photos with stripes drawn on them, and a striped satellite image.

    python -m benchmarks.solver.stripes DATA_DIR [--true-angle] [--size 320] [--tau 0.01 …]
        [--json OUT]

DATA_DIR holds destripe/NAME/{striped,clean}.png; without one, only the drawn stripes are measured.
PSNR is `udg.psnr_y` (16–235 luma); on full-range luma it reads 1.32 dB lower.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from skimage import color, data, io
from skimage.transform import resize

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json

# Photo, angle, kind of stripes, their deviation as a part of full light.
DRAWN = (
    ("camera", 0.0, "gaussian", 0.03),
    ("chelsea", 90.0, "gaussian", 0.05),
    ("coffee", -21.0, "gaussian", 0.03),
    ("astronaut", 0.0, "periodic", 0.03),
    ("chelsea", 33.0, "periodic", 0.05),
    ("coffee", 0.0, "slow", 0.03),
    ("astronaut", -60.0, "slow", 0.05),
    ("rocket", 33.0, "sparse", 0.05),
    ("camera", -21.0, "sparse", 0.015),
    ("rocket", 0.0, "broken", 0.05),
    ("camera", 33.0, "broken", 0.05),
    ("coffee", 90.0, "bright", 0.02),
    ("chelsea", -21.0, "nearest", 0.02),
)


class Case(NamedTuple):
    """A striped picture and what is known of it."""

    name: str
    angle: float | None
    clean: np.ndarray
    striped: np.ndarray


def photo(name: str, size: int) -> np.ndarray:
    """Read a grey square from the middle of one of scikit-image's photos."""
    grey = getattr(data, name)() / 255
    grey = grey if grey.ndim == 2 else color.rgb2gray(grey)
    side = min(grey.shape)
    top, left = ((n - side) // 2 for n in grey.shape)
    return resize(grey[top : top + side, left : left + side], (size, size), anti_aliasing=True)


def stripes(shape: tuple[int, int], angle: float, kind: str, seed: int) -> np.ndarray:
    """Draw an offset on each line of a direction, of deviation 1 over the lines.

    "gaussian": every line; "periodic": the same ten lines again and again; "slow": gaussian, and
    growing and fading along the line; "sparse": one line in five, brighter or darker; "broken":
    sparse, and interrupted; "bright": sparse, only brighter; "nearest": bright, and turned without
    interpolation, so that oblique lines are jagged.
    """
    rng = np.random.default_rng(seed)
    row, column = (np.arange(n) - (n - 1) / 2 for n in shape)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    along = row[:, None] * cos - column * sin
    across = row[:, None] * sin + column * cos
    count = 2 * max(shape)
    offsets = rng.normal(size=count)
    if kind == "periodic":
        offsets = np.resize(offsets[:10], count)
    elif kind in ("sparse", "broken", "bright", "nearest"):
        sign = np.sign(offsets) if kind in ("sparse", "broken") else 1.0
        offsets = (rng.random(count) < 0.2) * sign
    offsets = offsets / offsets.std()
    if kind == "nearest":
        return offsets[np.rint(across + count / 2).astype(int)]
    drawn = np.interp(across + count / 2, np.arange(count), offsets)
    if kind == "slow":
        drawn *= 1 + 0.5 * np.sin(2 * np.pi * along / max(shape))
    elif kind == "broken":
        start = rng.uniform(0, 200, count)[np.rint(across + count / 2).astype(int)]
        drawn *= (along + start) % 200 < 120
    return drawn


def drawn_case(index: int, size: int) -> Case:
    """Draw one of `DRAWN`, in 8 bits like any picture."""
    name, angle, kind, deviation = DRAWN[index]
    clean = photo(name, size)
    striped = clean + deviation * stripes(clean.shape, angle, kind, seed=index)
    pair = (np.rint(255 * np.clip(x, 0, 1)).astype(np.uint8) for x in (clean, striped))
    return Case(f"{name}, {kind} {deviation:g}", angle, *pair)


def stored_cases(folder: Path) -> list[Case]:
    """Read the pairs that lie in a folder."""
    return [
        Case(pair.name, None, io.imread(pair / "clean.png"), io.imread(pair / "striped.png"))
        for pair in sorted(folder.iterdir())
        if (pair / "clean.png").exists()
    ]


def measure(case: Case, true_angle: bool, settings: dict[str, Any]) -> dict[str, Any]:
    """Remove one picture's stripes and compare with the clean one."""
    angle = case.angle if true_angle and case.angle is not None else "auto"
    began = time.perf_counter()
    result = udg.solve(case.striped, model="signed", angle=angle, **settings)
    seconds = time.perf_counter() - began
    full = np.iinfo(case.clean.dtype).max

    def score(metric: Callable[..., float], picture: np.ndarray) -> float:
        return metric(picture, case.clean, data_range=full)

    before, after = (score(udg.psnr_y, x) for x in (case.striped, result.derained))
    error = None
    if case.angle is not None:
        error = abs((result.angle - case.angle + 90) % 180 - 90)
    return {
        "name": case.name,
        "true angle": case.angle,
        "angle": result.angle,
        "angle error": error,
        "psnr before": before,
        "psnr after": after,
        "gain": after - before,
        "ssim before": score(udg.ssim_y, case.striped),
        "ssim after": score(udg.ssim_y, result.derained),
        "iterations": result.iterations,
        "gap": result.gap,
        "reason": result.reason,
        "seconds": seconds,
    }


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the table and its summary."""
    table = Table(title="Stripes removed: PSNR in dB and SSIM, 16–235 luma")
    for heading in ("picture", "angle", "found", "PSNR", "after", "gain", "SSIM", "after"):
        table.add_column(heading, justify="left" if heading == "picture" else "right")
    for heading in ("iterations", "gap", "s"):
        table.add_column(heading, justify="right")
    for row in rows:
        true = "" if row["true angle"] is None else f"{row['true angle']:g}"
        table.add_row(
            row["name"],
            true,
            f"{row['angle']:.2f}",
            f"{row['psnr before']:.2f}",
            f"{row['psnr after']:.2f}",
            f"{row['gain']:+.2f}",
            f"{row['ssim before']:.3f}",
            f"{row['ssim after']:.3f}",
            str(row["iterations"]),
            f"{row['gap']:.1e}",
            f"{row['seconds']:.1f}",
        )
    console.print(table)
    gains = [row["gain"] for row in rows]
    console.print(f"gain: mean {np.mean(gains):+.2f} dB, least {min(gains):+.2f} dB")
    errors = [row["angle error"] for row in rows if row["angle error"] is not None]
    console.print(f"error of the angle: mean {np.mean(errors):.3f}°, most {max(errors):.3f}°")


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "json", data_dir={"nargs": "?"})
    parser.add_argument("--size", type=int, default=320, help="side of the photos, pixels")
    parser.add_argument("--true-angle", action="store_true", help="do not estimate known angles")
    for name in ("tau", "lam-x", "lam-y", "lam-r", "tol"):
        parser.add_argument(f"--{name}", type=float)
    parser.add_argument("--max-iter", type=int)
    parser.add_argument("--method", choices=["primal-dual", "joint"])
    parser.add_argument("--gauge", choices=["median", "mean"])
    options = parser.parse_args()

    names = ("tau", "lam_x", "lam_y", "lam_r", "tol", "max_iter", "method", "gauge")
    settings = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
    cases = [drawn_case(index, options.size) for index in range(len(DRAWN))]
    if options.data_dir is not None:
        cases += stored_cases(options.data_dir / "destripe")
    rows = [
        measure(case, options.true_angle, settings) for case in track(cases, "removing stripes")
    ]
    show(rows, Console())
    write_json(options.json, {"rows": rows}, size=options.size, settings=settings)


if __name__ == "__main__":
    main()
