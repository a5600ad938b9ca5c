"""Derain a folder of pairs by a classical method or a trained network, picture by picture.

    python -m benchmarks.baselines.evaluate dsc|gmm FOLDER [--json OUT] [--every N]
        [--photos DIR] [--cache DIR]
    python -m benchmarks.baselines.evaluate NETWORK FOLDER --weights WEIGHTS [--device cuda] [...]

FOLDER holds rainy/ and clean/. OUT is written after every picture, and pictures that it already
holds are not done again: interrupt and go on as you like. GMM fits its background to the photos of
--photos (by default the free ones of scikit-image) and keeps the fit in --cache. NETWORK is one of
`networks`, whose `train.py` writes WEIGHTS.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from benchmarks.baselines import dsc, gmm
from benchmarks.baselines.networks import NETWORKS, derainer
from udg.batch.evaluation import find_pairs
from udg.errors import UdgError
from udg.io.files import read
from udg.io.picture import quantize


def measure(derain: Callable[[Any], Any], rainy: Path, clean: Path) -> dict[str, Any]:
    """Derain one picture and compare it with the clean one."""
    image, reference = read(rainy).pixels, read(clean).pixels
    scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
    began = time.process_time()
    derained = derain(scaled)
    seconds = time.process_time() - began
    derained = quantize(derained, np.float32, image.dtype)
    return {
        "name": rainy.stem,
        "psnr_before": udg.psnr_y(image, reference),
        "psnr_after": udg.psnr_y(derained, reference),
        "ssim_before": udg.ssim_y(image, reference),
        "ssim_after": udg.ssim_y(derained, reference),
        "cpu_seconds": round(seconds, 2),
    }


def known(path: Path | None, method: dict[str, Any]) -> list[dict[str, Any]]:
    """Read what an earlier run of the same method has measured."""
    if path is None or not path.exists():
        return []
    earlier = json.loads(path.read_text(encoding="utf-8"))
    if earlier["about"]["method"] != method:
        raise SystemExit(f"{path} holds {earlier['about']['method']}, not {method}; name another")
    return list(earlier["pictures"])


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Summarise the pictures."""
    gains = [row["psnr_after"] - row["psnr_before"] for row in rows]
    means = {key: mean(row[key] for row in rows) for key in rows[0] if key != "name"}
    return {"pictures": len(rows), "gained": sum(gain > 0 for gain in gains), "mean": means}


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """Print the table."""
    table = Table("picture", "PSNR", "after", "gain", "SSIM", "after", "CPU s", title="PSNR-Y, dB")
    total = summary(rows)
    for row in [*rows, {"name": "mean", **total["mean"]}]:
        gain = row["psnr_after"] - row["psnr_before"]
        table.add_row(
            row["name"],
            f"{row['psnr_before']:.2f}",
            f"{row['psnr_after']:.2f}",
            f"{gain:+.2f}",
            f"{row['ssim_before']:.4f}",
            f"{row['ssim_after']:.4f}",
            f"{row['cpu_seconds']:.1f}",
        )
    console.print(table)
    console.print(f"{total['gained']} of {total['pictures']} pictures gain")


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__, "every device", json={"help": "write the numbers here, and go on from here"}
    )
    parser.add_argument("method", choices=("dsc", "gmm", *NETWORKS))
    parser.add_argument("folder", type=Path, help="holds rainy/ and clean/")
    parser.add_argument("--photos", type=Path, help="photos without rain, for gmm")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder, for gmm's fit")
    parser.add_argument("--patches", type=int, help="of photos that gmm is fitted to")
    parser.add_argument("--components", type=int, help="of that fit")
    parser.add_argument(
        "--weights", type=Path, help="of a network, as networks/train.py writes them"
    )
    options = parser.parse_args()
    if options.method in NETWORKS and options.weights is None:
        parser.error(f"{options.method} needs --weights")

    method = {"name": options.method}
    if options.method == "gmm":
        method["photos"] = options.photos.name if options.photos else "scikit-image"
        named = {"patches": options.patches, "components": options.components}
        fit = {name: value for name, value in named.items() if value is not None}
        method |= fit
    derain = dsc.derain
    if options.method in NETWORKS:
        try:
            derain = derainer(options.method, options.weights, options.device)
        except UdgError as error:
            raise SystemExit(str(error)) from None
        method["weights"] = options.weights.name
        method["sha256"] = hashlib.sha256(options.weights.read_bytes()).hexdigest()[:16]
    rows = known(options.json, method)
    if options.method == "gmm":
        prior = gmm.background(options.cache, options.photos, **fit)

        def derain(image: Any) -> Any:
            return gmm.derain(image, prior)

    done = {row["name"] for row in rows}
    pairs, _ = find_pairs(options.folder)
    missing = [pair for pair in pairs[:: options.every] if pair[0].stem not in done]
    for rainy, clean in track(missing, options.method, console=Console(stderr=True)):
        rows.append(measure(derain, rainy, clean))
        rows.sort(key=lambda row: row["name"])
        results = {"summary": summary(rows), "pictures": rows}
        write_json(options.json, results, method=method)
    show(rows, Console())


if __name__ == "__main__":
    main()
