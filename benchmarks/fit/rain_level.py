"""The rain level, `udg/detection/rain_level.json`: a regression on rainy and dry photos.

    python -m benchmarks.fit.rain_level DATA_DIR [--jobs N] [--json OUT]

DATA_DIR holds rain100l-dev/rainy and realrain60/rainy (rain), clean/kodak24 and clean/bsds353 (dry;
of the latter every third). Both classes count equally, whatever their sizes; within them a picture
counts by what is at stake in it, the rain that would be taken. `refit` writes the coefficients;
the logits at which the level is 0 and 1 were chosen and stay.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, run, write_json
from benchmarks.fit import provenance
from udg import batch
from udg.detection.convergence import estimate_convergence
from udg.detection.parameters import StreakClassifier, rain_level_model
from udg.detection.rain_level import Evidence, evidence, level_from_logit
from udg.imaging.illuminant import estimate_illuminant
from udg.imaging.image import prepare
from udg.io.files import read

NAME = "rain_level"
RAIN = ("rain100l-dev/rainy", "realrain60/rainy")
DRY = ("clean/kodak24", "clean/bsds353")
WET = {Path(name).parent.name for name in RAIN}
FITTED = {"clean/bsds353": 3}  # of this set only every third photo is fitted
RIDGE = 0.3  # on the coefficients of standardised features, not on the bias
FEATURES = tuple(name for name in Evidence._fields if name != "mean_rain")
CHOSEN = {
    "fields": ["dry", "certain"],
    "on": ["clean/kodak24", "clean/bsds353", "rain100l-dev", "realrain60"],
    "by": "rain missed in no picture, and dry photos derained no worse than before (solver.harm)",
}


def measure(task: batch.Task, classifier: StreakClassifier | None = None) -> dict[str, Any]:
    """Collect one picture's evidence, as `udg.solve` does, and its level by what is shipped.

    The evidence is that of another classifier if one is given.
    """
    image = prepare(read(task.source).pixels)
    whole = udg.estimate_angle(image.luma(), limit=45)
    angle, convergence = estimate_convergence(image.luma(), whole, limit=45)
    collect = partial(
        evidence, image, angle, whole.confidence, estimate_illuminant(image.thumbnail), convergence
    )
    shipped = collect()
    found = shipped if classifier is None else collect(classifier)
    folder = task.source.parent
    return {
        "set": folder.parent.name if folder.name == "rainy" else folder.name,
        "name": task.source.stem,
        **{name: float(value) for name, value in found._asdict().items()},
        "logit": shipped.logit,
        "level": level_from_logit(shipped.logit, shipped.mean_rain),
    }


def examples(
    data_dir: Path, jobs: int, classifier: StreakClassifier | None = None, every: int = 1
) -> list[dict[str, Any]]:
    """Collect the evidence of all pictures."""
    paths = [
        path
        for name in RAIN + DRY
        for path in pictures(data_dir / name, every * FITTED.get(name, 1))
    ]
    work = partial(measure, classifier=classifier)
    return run([batch.Task(path) for path in paths], work, "evidence", jobs)


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


def refit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of the file; gives every row its level by the new coefficients."""
    features = np.array([[row[name] for name in FEATURES] for row in rows])
    rain = np.array([row["set"] in WET for row in rows], float)
    coefficients, bias = fit(features, rain, np.array([row["mean_rain"] for row in rows]))
    old, rounded = rain_level_model(), np.round(coefficients, 2)
    numbers = {
        "features": list(FEATURES),
        "coefficients": rounded.tolist(),
        "bias": round(bias, 2),
        "dry": old.dry,
        "certain": old.certain,
    }
    for row, logit in zip(rows, features @ rounded + numbers["bias"], strict=True):
        known = logit if math.isfinite(row["logit"]) else -math.inf  # next to no rain at all
        row["fitted level"] = level_from_logit(float(known), row["mean_rain"])
    return provenance.made(
        numbers,
        data=dict(Counter(row["set"] for row in rows)),
        scores=shares(rows, "fitted level"),
        chosen=CHOSEN,
    )


def shares(rows: list[dict[str, Any]], key: str = "level") -> dict[str, dict[str, float]]:
    """Shares of the levels, by set."""
    levels: dict[str, list[float]] = {}
    for row in rows:
        levels.setdefault(row["set"], []).append(row[key])
    return {
        name: {
            title: round(float(np.mean([test(level) for level in found])), 4)
            for title, test in _SHARES.items()
        }
        for name, found in levels.items()
    }


_SHARES = {
    "level 0": lambda level: level == 0,
    "level > 0": lambda level: level > 0,
    "level 1": lambda level: level == 1,
}


def misses(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Pictures by set in which rain is missed, or seen where none is, with their levels."""
    found: dict[str, dict[str, float]] = {row["set"]: {} for row in rows}
    for row in sorted(rows, key=lambda row: row["logit"] * (1 if row["set"] in WET else -1)):
        if (row["level"] > 0) != (row["set"] in WET):
            found[row["set"]][row["name"]] = round(row["level"], 2)
    return found


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    table = Table("", "fitted", "in udg", title="Log-odds of rain")
    for name, value in results["fitted"].items():
        table.add_row(name, f"{value:.2f}", f"{results['in udg'][name]:.2f}")
    console.print(table)
    for key, title in (("sets", "in udg"), ("sets, fitted", "fitted")):
        table = Table("set", *_SHARES, title=f"Rain levels by the coefficients {title}")
        for name, row in results[key].items():
            table.add_row(name, *(f"{row[column]:.0%}" for column in _SHARES))
        console.print(table)
    for name, missed in results["misses"].items():
        listed = ", ".join(f"{picture} {level:g}" for picture, level in missed.items())
        console.print(f"misses of {name}: {listed or 'none'}", soft_wrap=True, highlight=False)


def main() -> None:
    """Read the arguments, measure, report; `refit` writes."""
    options = arguments.parser(__doc__, "data_dir jobs json").parse_args()
    rows, old = examples(options.data_dir, options.jobs), rain_level_model()
    new = refit(rows)
    results = {
        "fitted": dict(zip(FEATURES, new["coefficients"], strict=True)) | {"bias": new["bias"]},
        "in udg": dict(zip(old.features, old.coefficients, strict=True)) | {"bias": old.bias},
        "sets": shares(rows),
        "sets, fitted": shares(rows, "fitted level"),
        "misses": misses(rows),
    }
    show(results, Console())
    write_json(options.json, results | {"pictures": rows})


if __name__ == "__main__":
    main()
