"""Do no harm: what becomes of photos without rain, everything automatic.

    python -m benchmarks.solver.harm DATA_DIR [--method net [--always]] [--every N] [--jobs N]
        [--json OUT]

DATA_DIR holds clean/kodak24 and clean/bsds353, and rain100l-dev/rainy, in which rain should be
found. PSNR is `udg.psnr_y` of the derained photo, rounded as a file would be, to the photo itself,
at most 60 dB, which an untouched one has. --always does not ask whether there is rain, but takes
the rain level to be 1.
"""

from __future__ import annotations

import functools
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, run, write_json
from benchmarks.fit.rain_level import FITTED
from udg import batch
from udg.io.files import read
from udg.io.picture import quantize

CAP = 60.0
RAINY = "rain100l-dev/rainy"
UNSEEN = "bsds353, not fitted"


def measure(task: batch.Task, settings: dict[str, Any]) -> dict[str, Any]:
    """Derain one picture as it is."""
    image = read(task.source).pixels
    result, _ = batch.derain(image, settings)
    derained = quantize(result.derained, image.dtype, image.dtype)
    return {
        "name": task.source.stem,
        "psnr": min(CAP, udg.psnr_y(derained, image)),
        "untouched": bool(np.array_equal(derained, image)),
        "rain level": result.rain_level,
        "angle": float(result.angle),
        "confidence": float(result.confidence or 0),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise one set of dry photos."""
    return {
        "pictures": len(rows),
        "mean": mean(row["psnr"] for row in rows),
        "worst": min(row["psnr"] for row in rows),
        "untouched": mean(row["untouched"] for row in rows),
        "below 40 dB": sum(row["psnr"] < 40 for row in rows),
        "below 35 dB": sum(row["psnr"] < 35 for row in rows),
    }


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    table = Table(
        "set", "pictures", "mean", "worst", "untouched", "< 40 dB", "< 35 dB", title="PSNR-Y, dB"
    )
    for name, row in results["sets"].items():
        table.add_row(
            name,
            str(row["pictures"]),
            f"{row['mean']:.2f}",
            f"{row['worst']:.2f}",
            f"{row['untouched']:.0%}",
            str(row["below 40 dB"]),
            str(row["below 35 dB"]),
        )
    console.print(table)
    table = Table("photo", "PSNR-Y", "rain level", "angle", title="The worst")
    for row in results["worst"]:
        numbers = f"{row['psnr']:.2f}", f"{row['rain level']:.2f}", f"{row['angle']:.1f}"
        table.add_row(row["name"], *numbers)
    console.print(table)
    found = results["rain found"]
    console.print(f"rain100l-dev: rain found in {found['found']} of {found['pictures']}")


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__, "data_dir jobs json", every={"help": "take every Nth photo of bsds353"}
    )
    parser.add_argument("--method", choices=["solver", "net"], default="solver")
    parser.add_argument("--weights", default="small", metavar="NAME|FILE", help="of --method net")
    parser.add_argument("--always", action="store_true", help="derain whether it rains or not")
    options = parser.parse_args()

    rainy = pictures(options.data_dir / RAINY)
    kodak = pictures(options.data_dir / "clean/kodak24")
    bsds = pictures(options.data_dir / "clean/bsds353")
    fitted = {path.stem for path in bsds[:: FITTED["clean/bsds353"]]}
    paths = rainy + kodak + bsds[:: options.every]
    settings: dict[str, Any] = {"rain_level": 1.0 if options.always else "auto"}
    if options.method == "net":
        settings |= {"method": "net", "weights": options.weights}
    work = functools.partial(measure, settings=settings)
    rows = run([batch.Task(path) for path in paths], work, "deraining", options.jobs)
    rows, dry = rows[: len(rainy)], rows[len(rainy) :]
    sets = {"kodak24": dry[: len(kodak)], "bsds353": dry[len(kodak) :]}
    # Of bsds353, those on which `fit/rain_level.py` does not fit the rain level.
    sets[UNSEEN] = [row for row in sets["bsds353"] if row["name"] not in fitted]
    results = {
        "sets": {name: summary(members) for name, members in sets.items() if members},
        "worst": sorted(dry, key=lambda row: row["psnr"])[:10],
        "rain found": {
            "pictures": len(rows),
            "found": sum(row["rain level"] > 0 for row in rows),
            "missed": [row["name"] for row in rows if row["rain level"] == 0],
        },
    }
    show(results, Console())
    write_json(options.json, results | {"touched": [r for r in dry if not r["untouched"]]})


if __name__ == "__main__":
    main()
