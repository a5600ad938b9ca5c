"""What the solver's result gains in colour from `udg.imaging.chroma.restore_chroma`.

    python -m benchmarks.solver.chroma DATA_DIR [--jobs N] [--json OUT]

DATA_DIR holds rain100l-dev and rain100h-dev, pairs of rainy and clean, and clean/kodak24, over
which rain is rendered (screen blend, 8° steps of direction) and saved as a JPEG of quality 90 with
colours at half resolution. Everything automatic. PSNR of Cb and Cr together, and of luma, before
and after; results are rounded as a file would be.
"""

from __future__ import annotations

import io
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, run, write_json
from udg import batch
from udg.batch.evaluation import find_pairs
from udg.imaging.illuminant import estimate_illuminant
from udg.imaging.image import prepare
from udg.io.files import read
from udg.io.picture import quantize

PAIRS = ("rain100l-dev", "rain100h-dev")
PHOTOS = "kodak24, rendered, JPEG"
# Cb and Cr of full-range ITU-R BT.601.
COLOUR = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]).T
ANGLES = (-24, -16, -8, 0, 8, 16, 24)


def measure(task: batch.Task) -> dict[str, Any]:
    """Derain one picture with and without."""
    if task.reference is None:
        clean = read(task.source).pixels
        number = sum(task.source.stem.encode())
        rainy = udg.synthesize(clean, angle=ANGLES[number % len(ANGLES)], seed=number).rainy
        image, name = as_jpeg(quantize(rainy, clean.dtype, clean.dtype)), PHOTOS
    else:
        image, clean = read(task.source).pixels, read(task.reference).pixels
        name = task.source.parent.parent.name
    result, prepared = udg.solve(image), prepare(image)
    illuminant = estimate_illuminant(prepared.thumbnail)
    before = prepared.subtract(result.rain, illuminant, result.screen_fraction)
    facts: dict[str, Any] = {
        "set": name,
        "name": task.source.stem,
        "screen fraction": result.screen_fraction,
    }
    for key, pixels in (("rainy", image), ("without", before), ("with", result.derained)):
        rounded = quantize(pixels, image.dtype, image.dtype)
        facts[key] = {"colour": colour_psnr(rounded, clean), "luma": udg.psnr_y(rounded, clean)}
    return facts


def as_jpeg(pixels: np.ndarray) -> np.ndarray:
    """Save and read again, colours at half resolution (4:2:0)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90, subsampling="4:2:0")
    return np.asarray(Image.open(file))


def colour_psnr(pixels: np.ndarray, clean: np.ndarray) -> float:
    """PSNR of Cb and Cr together, dB."""
    difference = (pixels[:, :, :3] / 255 - clean[:, :, :3] / 255) @ COLOUR
    return float(-10 * np.log10(max(np.mean(difference**2), 1e-10)))


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(__doc__, "data_dir jobs json")
    options = parser.parse_args()

    tasks = [
        batch.Task(rainy, reference=clean)
        for name in PAIRS
        for rainy, clean in find_pairs(options.data_dir / name)[0]
    ]
    tasks += [batch.Task(path) for path in pictures(options.data_dir / "clean/kodak24")]
    rows = run(tasks, measure, "colours", options.jobs)
    table = Table(
        "set", "pictures", "rainy", "without", "with", "better", title="PSNR of Cb, Cr, dB"
    )
    table.add_column("luma, with − without")
    sets = {}
    for name in (*PAIRS, PHOTOS):
        members = [row for row in rows if row["set"] == name]
        means = {
            key: {part: mean(row[key][part] for row in members) for part in ("colour", "luma")}
            for key in ("rainy", "without", "with")
        }
        better = sum(row["with"]["colour"] > row["without"]["colour"] for row in members)
        sets[name] = {"pictures": len(members), **means, "better": better}
        table.add_row(
            name,
            str(len(members)),
            *(f"{means[key]['colour']:.2f}" for key in means),
            str(better),
            f"{means['with']['luma'] - means['without']['luma']:+.3f}",
        )
    Console().print(table)
    write_json(options.json, {"sets": sets, "rows": rows})


if __name__ == "__main__":
    main()
