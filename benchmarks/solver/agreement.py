"""How far the results of one photo at half, once, twice and four times its size agree.

    python -m benchmarks.solver.agreement DATA_DIR [--pictures N] [--sizes 0.5 1 2 4] [--json OUT]

The first pictures of rain100l-dev and rain100h-dev, resized by Lanczos' filter in 8 bits and
derained by themselves. Results are brought to the smallest size and compared by PSNR; with the
clean picture at once its size, where resizing there and back costs up to 2 dB by itself.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import circumstances, pictures, write_json
from udg.io.files import read

Array = Any


def resized(picture: Array, shape: tuple[int, ...]) -> Array:
    """A picture of 8 bits at another size."""
    if picture.shape[:2] == shape[:2]:
        return picture
    pixels = Image.fromarray(picture).resize((shape[1], shape[0]), Image.Resampling.LANCZOS)
    return np.asarray(pixels)


def psnr(one: Array, other: Array, shape: tuple[int, ...]) -> float:
    """Of pictures of 8 bits, at a size."""
    difference = resized(one, shape).astype(float) - resized(other, shape)
    return float(10 * np.log10(255**2 / max(np.mean(difference**2), 1e-4)))


def agreement(rainy: Array, clean: Array, sizes: list[float]) -> list[dict[str, Any]]:
    """What each size becomes, beside the others and the truth."""
    results = []
    for size in sizes:
        shape = tuple(round(size * side) for side in rainy.shape[:2])
        found = udg.solve(resized(rainy, shape))
        derained = np.clip(found.derained, 0, 255).round().astype(np.uint8)
        results.append((size, found, derained))
    rows = []
    for size, found, derained in results:
        facts = {"size": size, "scale": found.working_scale, "rain": float(found.rain.mean())}
        rows.append(facts | {"psnr": psnr(derained, clean, min(derained.shape, clean.shape))})
    smallest = min(derained.shape for *_, derained in results)
    for (i, one), (j, other) in combinations(enumerate(results), 2):
        rows[j][f"beside {sizes[i]:g}"] = psnr(one[2], other[2], smallest)
    return rows


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "data_dir json")
    parser.add_argument("--pictures", type=int, default=6, help="of each set")
    parser.add_argument("--sizes", type=float, nargs="+", default=[0.5, 1, 2, 4])
    options: argparse.Namespace = parser.parse_args()
    found = []
    for part in ("rain100l-dev", "rain100h-dev"):
        folder: Path = options.data_dir / part
        for path in pictures(folder / "rainy")[: options.pictures]:
            rainy, clean = (
                np.ascontiguousarray(read(folder / kind / path.name).pixels[:, :, :3])
                for kind in ("rainy", "clean")
            )
            rows = agreement(rainy, clean, options.sizes)
            found.append({"picture": f"{part}/{path.name}", "rows": rows})
    means = []
    for k, size in enumerate(options.sizes):
        rows = [one["rows"][k] for one in found]
        names = [name for name in rows[0] if name not in ("size",)]
        means.append({"size": size} | {n: float(np.mean([r[n] for r in rows])) for n in names})
    write_json(options.json, {"about": circumstances(), "means": means, "pictures": found})
    table = Table(title=f"Mean of {len(found)} pictures: dB of results beside each other")
    heads = ["size", "scale", "psnr", *(f"beside {size:g}" for size in options.sizes[:-1])]
    for head in heads:
        table.add_column(head, justify="right")
    for row in means:
        table.add_row(*(f"{row[head]:.4g}" if head in row else "" for head in heads))
    Console().print(table)


if __name__ == "__main__":
    main()
