"""Contact sheets of real photos: input, solver, UDGNet, and the rain that UDGNet took.

    python -m benchmarks.net.net_sheet DATA_DIR OUT [--weights small] [--photos 12] [--adapt STEPS]

So many of the photos in DATA_DIR/realrain60/rainy, at even distances by name, shrunk to 640 pixels;
everything automatic. OUT/sheet-1.png and so on show four each, and OUT/sheets.json says angle, rain
level and mean rain. Rain is shown three times as bright. The sheets are for looking at, not for
handing on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from skimage.transform import resize

from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, write_json
from udg import batch
from udg.io.files import read, write

SIDE = 640  # pixels, the longer one
BRIGHTER = 3.0
ROWS = 4  # a sheet


def main() -> None:
    """Derain the photos, then draw."""
    parser = arguments.parser(__doc__, "data_dir out")
    parser.add_argument("--weights", default="small", metavar="NAME|FILE")
    parser.add_argument("--adapt", type=int, default=0, metavar="STEPS")
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--start", type=int, default=0, help="skip so many first")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    paths = pictures(options.data_dir / "realrain60" / "rainy")[options.start :]
    paths = paths[:: max(1, len(paths) // options.photos)][: options.photos]
    network = {"method": "net", "weights": options.weights, "adapt": options.adapt}
    rows, facts = [], []
    for path in paths:
        row, fact = panels(path, network)
        rows.append(row)
        facts.append(fact)
        print(fact, flush=True)
    for number, first in enumerate(range(0, len(rows), ROWS), 1):
        write(
            options.out / f"sheet-{number}.png", stacked(rows[first : first + ROWS]), overwrite=True
        )
    write_json(options.out / "sheets.json", {"photos": facts}, **network)


def panels(path: Path, network: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    """A photo's four panels side by side, and what was found."""
    pixels = read(path).pixels[..., :3]
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    shape = [round(side * scale) for side in pixels.shape[:2]]
    small = resize(pixels, shape, anti_aliasing=scale < 1, preserve_range=True)
    photo = np.clip(np.rint(small), 0, 255).astype(np.uint8)
    solved, by_solver = batch.derain(photo, {})
    found, by_net = batch.derain(photo, network)
    rain = np.repeat((255 * BRIGHTER * found.rain)[:, :, None], 3, axis=2)
    shown = [photo, solved.derained, found.derained, rain]
    row = np.hstack([np.clip(np.rint(panel), 0, 255).astype(np.uint8) for panel in shown])
    fact = {
        "name": path.stem,
        "angle": round(float(found.angle), 1),
        "rain level": round(float(found.rain_level), 2),
        "mean rain, solver": round(float(solved.rain.mean()), 4),
        "mean rain, network": round(float(found.rain.mean()), 4),
        "seconds": [round(by_solver["seconds"], 1), round(by_net["seconds"], 1)],
    }
    title = f"{path.stem}: input | solver | UDGNet | rain, {BRIGHTER:g} times as bright"
    return labelled(row, title), fact


def labelled(row: np.ndarray, text: str) -> np.ndarray:
    """A line of text above a row."""
    line = Image.new("RGB", (row.shape[1], 16))
    ImageDraw.Draw(line).text((4, 2), text, fill="white")
    return np.vstack([np.asarray(line), row])


def stacked(rows: list[np.ndarray]) -> np.ndarray:
    """Rows below each other."""
    width = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


if __name__ == "__main__":
    main()
