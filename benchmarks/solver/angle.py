"""How well the direction of rain is found: on labelled photos, rendered rain and turned photos.

    python -m benchmarks.solver.angle DATA_DIR [--methods spectrum tilt] [--quick] [--json OUT]

DATA_DIR holds realrain60/angles.csv (name, angle_deg) and realrain60/rainy/NAME.png.
Times are CPU seconds, so that other work on the machine does not count.
"""

from __future__ import annotations

import csv
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.signal import oaconvolve
from skimage import data, io
from skimage.transform import resize, rotate

from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg.detection.angle import Angle, estimate_angle
from udg.imaging.image import prepare

PHOTOS = ("astronaut", "camera", "chelsea", "coffee", "rocket")
SYNTHETIC_ANGLES = range(-40, 41, 10)
RAIN = {  # length and deviation across in pixels, streaks a pixel, strength
    "medium": (25, 0.8, 0.002, 0.3),
    "short": (12, 0.8, 0.003, 0.3),
    "long, faint": (40, 1.2, 0.001, 0.15),
    "sparse, faint": (25, 0.8, 0.0005, 0.2),
}
TURN = 15.0
Case = tuple[str, float, np.ndarray]  # name, true angle, luma


def real_photos(folder: Path) -> list[Case]:
    """Read the labelled photos."""
    with (folder / "angles.csv").open() as file:
        return [
            (row["name"], float(row["angle_deg"]), read(folder / "rainy" / f"{row['name']}.png"))
            for row in csv.DictReader(file)
        ]


def read(path: Path) -> np.ndarray:
    """Read one picture's luma."""
    return prepare(io.imread(path)).luma()


def rendered(kind: str) -> list[Case]:
    """Render one kind of rain over five photos at nine angles."""
    length, width, density, strength = RAIN[kind]
    cases = []
    for i, name in enumerate(PHOTOS):
        luma = prepare(getattr(data, name)()).luma()
        for angle in SYNTHETIC_ANGLES:
            rng = np.random.default_rng([i, angle + 90])
            seeds = (rng.random(luma.shape) < density) * rng.uniform(0.3, 1, luma.shape)
            rain = oaconvolve(seeds, streak(angle, length, width), mode="same")
            rain = np.clip(strength * rain, 0, 1)
            cases.append((name, float(angle), luma + rain - luma * rain))
    return cases


def streak(angle: float, length: float, width: float) -> np.ndarray:
    """Draw one streak like ``/`` for positive angles."""
    half = int(length) // 2 + 4
    row, column = np.mgrid[-half : half + 1, -half : half + 1]
    theta = math.radians(angle)
    along = row * math.cos(theta) - column * math.sin(theta)
    across = row * math.sin(theta) + column * math.cos(theta)
    ends = 1 / (1 + np.exp(2 * (np.abs(along) - length / 2)))
    return np.exp(-0.5 * (across / width) ** 2) * ends


def turned(luma: np.ndarray, turn: float) -> np.ndarray:
    """Turn counter-clockwise and crop to the largest window of the same sides' ratio."""
    cos, sin = math.cos(math.radians(turn)), abs(math.sin(math.radians(turn)))
    height, width = luma.shape
    part = min(height / (height * cos + width * sin), width / (height * sin + width * cos))
    window = tuple(
        slice(n // 2 - h, n // 2 + h) for n, h in ((n, int(n * part / 2) - 1) for n in luma.shape)
    )
    return np.clip(rotate(luma, turn, order=3)[window], 0, 1)


def summary(cases: list[Case], found: list[Angle]) -> dict[str, Any]:
    """Compare what was found with what is true."""
    error = np.abs([f.degrees - truth for f, (_, truth, _) in zip(found, cases, strict=True)])
    confident = np.argsort([-f.confidence for f in found], kind="stable")
    confident = confident[: round(0.75 * len(found))]
    return {
        "images": len(cases),
        "mean": float(error.mean()),
        "median": float(np.median(error)),
        "worst": float(error.max()),
        "within 5": int((error <= 5).sum()),
        "worst of surest 75%": float(error[confident].max()),
        "misses": {
            name: [truth, round(f.degrees, 1), round(f.confidence, 2)]
            for (name, truth, _), f, e in zip(cases, found, error, strict=True)
            if e > 5
        },
    }


def consistency(cases: list[Case], found: list[Angle], method: str) -> dict[str, float]:
    """Measure how far the answer fails to follow when a photo is turned."""
    error = [
        abs(estimate_angle(turned(luma, turn), method=method).degrees - (before.degrees - turn))
        for (_, _, luma), before in track(
            list(zip(cases, found, strict=True)), f"{method}: turned by ±{TURN:g}°"
        )
        for turn in (-TURN, TURN)
        if abs(before.degrees - turn) <= 45
    ]
    return {"median": float(np.median(error)), "mean": float(np.mean(error))}


def seconds(luma: np.ndarray, method: str, repeats: int = 7) -> dict[str, float]:
    """Time one estimate."""
    image = resize(luma, (360, 640))
    estimate_angle(image, method=method)
    times = []
    for _ in range(repeats):
        start = time.process_time()
        estimate_angle(image, method=method)
        times.append(time.process_time() - start)
    return {"median": float(np.median(times)), "worst": max(times)}


def measure(photos: list[Case], method: str, quick: bool) -> dict[str, Any]:
    """Measure all there is to say about a method."""
    sets = {"real": photos}
    if not quick:
        sets |= {f"rendered, {kind}": rendered(kind) for kind in RAIN}
    answers = {
        name: [
            estimate_angle(luma, method=method) for *_, luma in track(cases, f"{method}: {name}")
        ]
        for name, cases in sets.items()
    }
    return {
        "sets": {name: summary(cases, answers[name]) for name, cases in sets.items()},
        "turned": None if quick else consistency(photos, answers["real"], method),
        "seconds for 640×360": seconds(photos[0][2], method, 7 if method == "spectrum" else 1),
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    columns = ("images", "mean", "median", "worst", "within 5", "worst of surest 75%")
    table = Table("method", "set", *columns, title="Error of the angle, degrees")
    for method, result in results.items():
        for name, row in result["sets"].items():
            numbers = [
                f"{row[c]:.2f}" if isinstance(row[c], float) else str(row[c]) for c in columns
            ]
            table.add_row(method, name, *numbers)
    console.print(table)
    for method, result in results.items():
        console.print(
            f"{method}: {result['seconds for 640×360']['median']:.3f} s of CPU time for 640×360"
        )
        if turn := result["turned"]:
            console.print(
                f"  turning a photo by ±{TURN:g}° moves the answer by that within "
                f"{turn['median']:.2f}° (median), {turn['mean']:.2f}° (mean)"
            )
        for name, values in result["sets"]["real"]["misses"].items():
            console.print(f"  miss: {name}: labelled {values[0]}, found {values[1]} ({values[2]})")


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "data_dir json")
    parser.add_argument("--methods", nargs="+", default=["spectrum"], choices=["spectrum", "tilt"])
    parser.add_argument("--quick", action="store_true", help="the labelled photos only")
    options = parser.parse_args()

    photos = real_photos(options.data_dir / "realrain60")
    results = {method: measure(photos, method, options.quick) for method in options.methods}
    show(results, Console())
    write_json(options.json, {"methods": results})


if __name__ == "__main__":
    main()
