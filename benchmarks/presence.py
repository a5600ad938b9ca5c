"""Where the coefficients of `udg.detection.rain_level` come from: a regression on rainy and dry photos.

    python benchmarks/presence.py DATA_DIR [--jobs N] [--json OUT]

DATA_DIR holds rain100l-dev/rainy and realrain60/rainy (rain), clean/kodak24 and clean/bsds353 (dry;
of the latter every third). Both classes count equally, whatever their sizes; within them a picture
counts by what is at stake in it, the rain that would be taken.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import pictures, run, write_json
from rich.console import Console
from rich.table import Table

import udg
from udg import batch
from udg.detection import rain_level as shipped
from udg.detection.convergence import estimate_convergence
from udg.io.raster import read
from udg.imaging.image import prepare

RAIN = ("rain100l-dev/rainy", "realrain60/rainy")
DRY = ("clean/kodak24", "clean/bsds353")
FITTED = {"clean/bsds353": 3}  # of this set only every third photo is fitted
RIDGE = 0.3  # on the coefficients of standardised features, not on the bias
NAMES = tuple(shipped._COEFFICIENTS)


def measure(task: batch.Task) -> dict[str, Any]:
    """Collect one picture's evidence, as `udg.solve` does."""
    image = prepare(read(task.source).pixels)
    whole = udg.estimate_angle(image.luma(), limit=45)
    angle, convergence = estimate_convergence(image.luma(), whole, limit=45)
    found = shipped.evidence(image, angle, whole.confidence, convergence=convergence)
    row = {"set": task.source.parent.name, "name": task.source.stem}
    if row["set"] == "rainy":
        row["set"] = task.source.parent.parent.name
    numbers = {name: float(value) for name, value in found._asdict().items()}
    level = shipped.level_from_logit(found.score, found.amount)
    return row | numbers | {"score": found.score, "level": level, "stake": found.amount}


def fit(features: np.ndarray, rain: np.ndarray, stake: np.ndarray) -> tuple[np.ndarray, float]:
    """Fit log-odds = features · coefficients + bias by Newton's method."""
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1)  # of few pictures, maybe none has a convergence
    design = np.column_stack([np.ones(len(rain)), (features - centre) / scale])
    weight = stake * np.where(rain, 0.5 / (stake @ rain), 0.5 / (stake @ (1 - rain))) * len(rain)
    ridge = RIDGE * np.r_[0, np.ones(features.shape[1])]
    solution = np.zeros(design.shape[1])
    for _ in range(50):
        odds = 1 / (1 + np.exp(-design @ solution))
        gradient = design.T @ (weight * (odds - rain)) + ridge * solution
        curvature = (design.T * (weight * odds * (1 - odds))) @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        solution -= step
        if np.abs(step).max() < 1e-9:
            break
    else:
        raise SystemExit("the regression does not converge")
    coefficients = solution[1:] / scale
    return coefficients, float(solution[0] - coefficients @ centre)


def share(rows: list[dict[str, Any]], key: str = "level") -> dict[str, Any]:
    """Count the levels of one set."""
    level = np.array([row[key] for row in rows])
    return {
        "pictures": len(rows),
        "level 0": float((level == 0).mean()),
        "level > 0": float((level > 0).mean()),
        "level 1": float((level == 1).mean()),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Fit, and judge the pictures by the coefficients that udg has."""
    wet = {Path(name).parent.name for name in RAIN}
    features = np.array([[row[name] for name in NAMES] for row in rows])
    rain = np.array([row["set"] in wet for row in rows], float)
    coefficients, bias = fit(features, rain, np.array([row["stake"] for row in rows]))
    for row, score in zip(rows, features @ coefficients + bias, strict=True):
        row["fitted level"] = shipped.level_from_logit(float(score), row["amount"])
    sets = {row["set"]: [other for other in rows if other["set"] == row["set"]] for row in rows}
    return {
        "fitted": dict(zip(NAMES, map(float, coefficients), strict=True)) | {"bias": bias},
        "in udg": shipped._COEFFICIENTS | {"bias": shipped._BIAS},
        "sets": {name: share(members) for name, members in sets.items()},
        "sets, fitted": {name: share(members, "fitted level") for name, members in sets.items()},
        "misses": {
            name: {
                row["name"]: round(row["level"], 2)
                for row in sorted(members, key=lambda row: row["score"], reverse=name not in wet)
                if (row["level"] > 0) != (name in wet)
            }
            for name, members in sets.items()
        },
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    table = Table("", "fitted", "in udg", title="Log-odds of rain")
    for name, value in results["fitted"].items():
        table.add_row(name, f"{value:.2f}", f"{results['in udg'][name]:.2f}")
    console.print(table)
    for key, title in (("sets", "in udg"), ("sets, fitted", "fitted")):
        columns = ("pictures", "level 0", "level > 0", "level 1")
        table = Table("set", *columns, title=f"Rain levels by the coefficients {title}")
        for name, row in results[key].items():
            table.add_row(name, str(row["pictures"]), *(f"{row[c]:.0%}" for c in columns[1:]))
        console.print(table)
    for name, misses in results["misses"].items():
        listed = ", ".join(f"{picture} {level:g}" for picture, level in misses.items())
        console.print(f"misses of {name}: {listed or 'none'}", soft_wrap=True, highlight=False)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, help="the folder that holds the sets")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()

    paths = [
        path
        for name in RAIN + DRY
        for path in pictures(options.data_dir / name, FITTED.get(name, 1))
    ]
    rows = run([batch.Task(path) for path in paths], measure, "evidence", options.jobs)
    results = summary(rows)
    show(results, Console())
    if options.json:
        write_json(options.json, results | {"pictures": rows})


if __name__ == "__main__":
    main()
