"""Big pictures: memory and time per megapixel of `udg derain`, and how well tiles fit together.

    python benchmarks/scale.py PICTURE [--height H] [--width W] [--skip files|seam] [--json OUT]

PICTURE is a clean photograph of about 2 megapixels; rain is rendered on it here. For the first
part that picture is repeated up to W x H pixels and derained as TIFF, zarr and PNG, each by a
process of its own, whose time and largest resident set are the system's. The time of a picture
of 64 x 64 pixels (start-up) is subtracted before it is divided by megapixels. Zarr and PNG are for
the memory only: their iterations are cut short. For the second part
the picture is solved by tiles and in one piece; differences are in units of 1/255.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import write_json
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import udg
from udg import files, tiles

ANGLE = 8.0
SEAM_TILE = 1024
SHORT = ("--max-iter", "30")
OVERLAPS = (32, 64, 128, 192)


def rainy_picture(path: Path, angle: float) -> NDArray[np.uint8]:
    """Put rain on a picture, in 8 bits."""
    rainy = udg.synthesize(files.read(path).pixels, angle=angle, seed=1).rainy
    return files.quantize(rainy, np.uint8, np.uint8)


def derain(source: Path, target: Path, *options: str) -> dict[str, Any]:
    """Run `udg derain` and return what it says, its time and its largest resident set."""
    command = [sys.executable, "-m", "udg", "derain", str(source), "-o", str(target), "--json", "-"]
    began = time.perf_counter()
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"udg derain {source} failed with {process.returncode}")
    facts = json.loads(said)["files"][0]
    kept = ("angle", "rain_level", "gap", "iterations", "seconds", "tiles")
    return {
        "wall": time.perf_counter() - began,
        "peak GB": usage.ru_maxrss * 1024 / 1e9,
        **{name: facts.get(name) for name in kept},
    }


def measure_files(path: Path, height: int, width: int, console: Console) -> list[dict[str, Any]]:
    """Derain the small picture and large ones of three formats."""
    small = rainy_picture(path, ANGLE)
    repeats = -(-height // small.shape[0]), -(-width // small.shape[1]), 1
    large = np.tile(small, repeats)[:height, :width]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files.write(folder / "tiny.png", small[:64, :64])
        files.write(folder / "small.png", small)
        for suffix in ("tif", "zarr", "png"):
            files.write(folder / f"large.{suffix}", large)
        del large
        derain(folder / "tiny.png", folder / "compiled.png")
        start = derain(folder / "tiny.png", folder / "started.png")["wall"]
        # The small one before and after, as other work on the machine may come and go.
        order = "large.zarr", "large.png", "small.png", "large.tif", "small.png"
        for number, source in enumerate(order):
            short = source in ("large.zarr", "large.png")
            target = folder / f"out{number}{Path(source).suffix}"
            facts = derain(folder / source, target, *(SHORT if short else ()))
            pixels = (height * width if "large" in source else small[:, :, 0].size) / 1e6
            row = {"picture": source, "megapixels": pixels, **facts}
            row["s/MP"] = None if short else (facts["wall"] - start) / pixels
            rows.append(row)
            console.print(f"{source}: {facts['wall']:.0f} s, {facts['peak GB']:.2f} GB")
    return rows


def measure_seam(path: Path, console: Console) -> list[dict[str, Any]]:
    """Compare tiles with the picture in one piece."""
    rows: list[dict[str, Any]] = []
    for angle in (0.0, 15.0):
        image = rainy_picture(path, angle)
        for passes in (1, 2):
            whole = udg.solve(image, angle=angle, passes=passes).rain
            for overlap in OVERLAPS:
                rain = np.empty(image.shape[:2], np.float32)
                udg.solve_tiles(
                    image,
                    rain=rain,
                    tile=SEAM_TILE,
                    overlap=overlap,
                    angle=angle,
                    passes=passes,
                )
                row = {"angle": angle, "passes": passes, "overlap": overlap}
                row |= seam(255 * (rain - whole), tiles.plan(image.shape, SEAM_TILE, overlap))
                rows.append(row)
                console.print(row)
    return rows


def seam(difference: NDArray[Any], plan: list[tiles.Tile]) -> dict[str, float]:
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
    columns = [name for name in rows[0] if name != "tiles"]
    table = Table(*columns, title=title)
    for row in rows:
        cells = (row[name] for name in columns)
        table.add_row(*(f"{cell:.3g}" if isinstance(cell, float) else str(cell) for cell in cells))
    console.print(table)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path, help="a clean photograph")
    parser.add_argument("--height", type=int, default=8000)
    parser.add_argument("--width", type=int, default=12500)
    parser.add_argument("--skip", choices=["files", "seam"], help="leave one part out")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    options = parser.parse_args()

    console, results = Console(), {}
    if options.skip != "files":
        rows = measure_files(options.picture, options.height, options.width, console)
        small = [row["s/MP"] for row in rows if row["picture"] == "small.png"]
        for row in rows:
            row["ratio"] = row["s/MP"] and row["s/MP"] / (sum(small) / len(small))
        results["files"] = rows
        show(rows, "udg derain", console)
    if options.skip != "seam":
        results["seam"] = measure_seam(options.picture, console)
        show(results["seam"], f"tiles of {SEAM_TILE} against the whole, in 1/255", console)
    if options.json:
        write_json(options.json, results, threads=os.environ.get("NUMBA_NUM_THREADS", "all"))


if __name__ == "__main__":
    main()
