"""How a picture in tiles differs from the same picture in one piece, at default options.

    python -m benchmarks.solver.tiles DATA_DIR [--tile N] [--count N] [--tol T] [-o FOLDER]
        [--json OUT]

Takes the largest photos of DATA_DIR/realrain60/rainy. Differences are of the derained pictures, in
grey levels, the largest of a pixel's channels. With -o, each derained picture is drawn beside its
difference, forty times brighter: there seams would show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import circumstances, pictures, write_json
from udg.io.files import dimensions, read, write
from udg.io.picture import quantize

GAIN = 40


def measure(path: Path, tile: int, options: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Derain one picture both ways."""
    pixels = read(path).pixels
    whole = udg.solve(pixels, **options)
    tiled = udg.solve_tiles(pixels, tile=tile, **options)
    difference = np.abs(tiled.derained - whole.derained).max(axis=2)
    if folder is not None:
        shown = np.repeat(GAIN * difference[:, :, None], 3, axis=2)
        both = np.concatenate([tiled.derained[:, :, :3], shown.clip(0, 255)], axis=1)
        sheet = quantize(both.astype(np.float32), pixels.dtype, np.uint8)
        write(folder / f"{path.stem}.png", sheet, overwrite=True)
    return {
        "name": path.stem,
        "size": [pixels.shape[1], pixels.shape[0]],
        "tiles": tiled.tiles,
        "directions": max(1, len(whole.layers)),
        "convergence": whole.convergence,
        "below 1": float((difference < 1).mean()),
        "99.9 %": float(np.percentile(difference, 99.9)),
        "largest": float(difference.max()),
    }


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "data_dir output json")
    parser.add_argument("--tile", type=int, default=512, help="pixels of a tile's side")
    parser.add_argument("--count", type=int, default=10, help="how many photos")
    parser.add_argument("--tol", type=float, default=1e-2, help="gap of both")
    options = parser.parse_args()

    paths = pictures(options.data_dir / "realrain60/rainy")
    paths = sorted(paths, key=lambda path: -np.prod(dimensions(path)))[: options.count]
    if options.output:
        options.output.mkdir(parents=True, exist_ok=True)
    rows = [
        measure(path, options.tile, {"tol": options.tol}, options.output)
        for path in track(paths, "photos", console=Console(stderr=True))
    ]
    table = Table("photo", "pixels", "tiles", "directions", "below 1", "99.9 %", "largest")
    for row in rows:
        numbers = f"{row['below 1']:.2%}", f"{row['99.9 %']:.2f}", f"{row['largest']:.1f}"
        width, height = row["size"]
        counts = str(row["tiles"]), str(row["directions"])
        table.add_row(row["name"], f"{width}×{height}", *counts, *numbers)
    Console().print(table)
    about = {"tile": options.tile, "tol": options.tol} | circumstances()
    write_json(options.json, {"rows": rows}, **about)


if __name__ == "__main__":
    main()
