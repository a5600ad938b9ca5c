"""Big pictures: memory and time per megapixel of `udg derain`, and how well tiles fit together.

    python -m benchmarks.solver.scale PICTURE [--size H W] [--timed H W] [--skip files|seam]
        [--json OUT]

PICTURE is a clean photograph of about 2 megapixels; rain is rendered on it here. For the first
part that picture is repeated up to the size given and derained as TIFF, zarr and PNG, each by a
process of its own, whose CPU time and largest resident set are the system's. The angle is given:
seen from as far away as such a picture is judged from, the repeated streaks are too fine to be
found. Those of `--size` are for the memory only: their iterations are cut short. From the time of
those of `--timed`, that of a picture of 64 x 64 pixels (start-up) is subtracted before it is
divided by megapixels. For the second part the picture is solved by tiles and in one piece;
differences are in units of 1/255.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, write_json
from udg.io import files
from udg.io.picture import quantize
from udg.pipeline import planning

ANGLE = 8.0
SEAM_TILE = 1024
SHORT = ("--tol", "0.5")
OVERLAPS = (32, 64, 128, 192)


def rainy_picture(path: Path, angle: float) -> NDArray[np.uint8]:
    """Put rain on a picture, in 8 bits."""
    rainy = udg.synthesize(files.read(path).pixels, angle=angle, seed=1).rainy
    return quantize(rainy, np.uint8, np.uint8)


def derain(source: Path, target: Path, *options: str) -> dict[str, Any]:
    """Run `udg derain` and return what it says, its CPU time and its largest resident set."""
    command = [sys.executable, "-m", "udg", "derain", str(source), "-o", str(target)]
    command += ["--angle", str(ANGLE), "--json", "-", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"udg derain {source} failed with {process.returncode}")
    facts = json.loads(said)["files"][0]
    kept = ("rain_level", "gap", "iterations", "tiles")
    return {
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak GB": usage.ru_maxrss * 1024 / 1e9,
        **{name: facts.get(name) for name in kept},
    }


def make_files(path: Path, folder: Path, size: tuple[int, int], timed: tuple[int, int]) -> None:
    """Write the rainy pictures.

    In a process of its own: the memory of the one that starts another counts as the other's.
    """
    small = rainy_picture(path, ANGLE)
    for name, (height, width) in {
        "tiny.png": (64, 64),
        "small.png": small.shape[:2],
        "timed.tif": timed,
        "large.tif": size,
        "large.zarr": size,
        "large.png": size,
    }.items():
        repeats = -(-height // small.shape[0]), -(-width // small.shape[1]), 1
        files.write(folder / name, np.tile(small, repeats)[:height, :width])


def measure_files(
    path: Path, size: tuple[int, int], timed: tuple[int, int], console: Console
) -> list[dict[str, Any]]:
    """Derain the small picture and large ones of three formats."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maker = multiprocessing.get_context("spawn").Process(
            target=make_files, args=(path, folder, size, timed)
        )
        maker.start()
        maker.join()
        derain(folder / "tiny.png", folder / "compiled.png")
        start = derain(folder / "tiny.png", folder / "started.png")["cpu"]
        # The small one before and after, as other work on the machine may come and go.
        order = "small.png", "timed.tif", "small.png", "large.tif", "large.zarr", "large.png"
        for number, source in enumerate(order):
            target = folder / f"out{number}{Path(source).suffix}"
            facts = derain(folder / source, target, *(SHORT if "large" in source else ()))
            height, width = _shape(folder / source)
            row = {"picture": source, "megapixels": height * width / 1e6, **facts}
            if "large" not in source:
                row["s/MP"] = (facts["cpu"] - start) / row["megapixels"]
            rows.append(row)
            console.print(row)
    return rows


def _shape(path: Path) -> tuple[int, ...]:
    with files.opened(path) as picture:
        return picture.pixels.shape[:2]


def measure_seam(
    path: Path, tile: int, overlaps: list[int], console: Console
) -> list[dict[str, Any]]:
    """Compare tiles with the picture in one piece."""
    rows: list[dict[str, Any]] = []
    for angle in (0.0, 15.0):
        image = rainy_picture(path, angle)
        for stages in (1, 2):
            whole = udg.solve(image, angle=angle, stages=stages).rain
            for overlap in overlaps:
                rain = np.empty(image.shape[:2], np.float32)
                udg.solve_tiles(
                    image,
                    rain=rain,
                    tile=tile,
                    overlap=overlap,
                    angle=angle,
                    stages=stages,
                )
                row = {"angle": angle, "stages": stages, "overlap": overlap}
                row |= seam(255 * (rain - whole), planning.plan(image.shape, tile, overlap))
                rows.append(row)
                console.print(row)
    return rows


def seam(difference: NDArray[Any], plan: list[planning.Tile]) -> dict[str, float]:
    """Say how far tiles are from the whole, and what their borders add to it."""
    jumps = []
    for axis, spans in enumerate(({t.rows for t in plan}, {t.columns for t in plan})):
        steps = np.moveaxis(np.abs(np.diff(difference, axis=axis)), axis, 0)
        places = {span.start - 1 for span in spans if span.before}
        places |= {span.stop - 1 for span in spans if span.after}
        jumps += [steps[place] for place in places]
    borders = np.concatenate(jumps)
    elsewhere = np.abs(np.diff(difference, axis=1))
    return {
        "max": float(np.abs(difference).max()),
        "99.9 %": float(np.percentile(np.abs(difference), 99.9)),
        "mean": float(np.abs(difference).mean()),
        "jump, 99.9 %": float(np.percentile(borders, 99.9)),
        "jump, mean": float(borders.mean()),
        "elsewhere, mean": float(elsewhere.mean()),
    }


def show(rows: list[dict[str, Any]], title: str, console: Console) -> None:
    """Print a table of numbers."""
    columns = [name for name in max(rows, key=len) if name != "tiles"]
    table = Table(*columns, title=title)
    for row in rows:
        cells = (row.get(name, "") for name in columns)
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells))
    console.print(table)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "json")
    parser.add_argument(
        "picture", type=Path, help="a clean photograph, or a folder of them: the first"
    )
    sides: dict[str, Any] = {
        "type": int,
        "nargs": 2,
        "metavar": ("H", "W"),
        "default": [8000, 12500],
    }
    parser.add_argument("--size", **sides, help="of the pictures whose memory is measured")
    parser.add_argument("--timed", **sides, help="of the picture whose time is measured")
    parser.add_argument("--skip", choices=["files", "seam"], help="leave one part out")
    parser.add_argument("--tile", type=int, default=SEAM_TILE, help="of the second part")
    parser.add_argument("--overlaps", type=int, nargs="+", default=list(OVERLAPS))
    options = parser.parse_args()

    if options.picture.is_dir():
        options.picture = pictures(options.picture)[0]

    console, results = Console(), {}
    if options.skip != "files":
        rows = measure_files(options.picture, options.size, options.timed, console)
        small = [row["s/MP"] for row in rows if row["picture"] == "small.png"]
        for row in rows:
            if "s/MP" in row:
                row["ratio"] = row["s/MP"] / (sum(small) / len(small))
        results["files"] = rows
        show(rows, "udg derain", console)
    if options.skip != "seam":
        results["seam"] = measure_seam(options.picture, options.tile, options.overlaps, console)
        show(results["seam"], f"tiles of {options.tile} against the whole, in 1/255", console)
    write_json(options.json, results, threads=os.environ.get("NUMBA_NUM_THREADS", "all"))


if __name__ == "__main__":
    main()
