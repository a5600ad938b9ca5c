"""Figure 10: streaks nearby go, the veil of distant rain stays.

    python -m benchmarks.figures.veil [-o docs/figures] [--json OUT]

Needs no DATA_DIR: a photo that scikit-image brings (a photographer in a field, CC0), with both put
on it. Distant drops are too small and too many to be seen as streaks; together they lay light over
the scene, the more the farther it is, J = t X + (1 − t) A. How far is told by the row: sky and
horizon are far, the grass comes nearer towards the lower edge; the photographer is near. Then
`udg.synthesize` adds streaks. FOLDER gets veil.jpg. Printed is how much was taken of the streaks'
light, and of the veil's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage import data

import udg
from benchmarks._shared import arguments, drawing
from benchmarks._shared.common import write_json
from benchmarks._shared.drawing import Cell
from udg.imaging.image import prepare
from udg.io.picture import quantize

Array = np.ndarray[Any, Any]
AIR = 0.80  # A, the veil's light
FAR = 0.45  # t at the horizon and beyond
HORIZON = 0.68  # of the height
# Columns and rows of the photo.
HEAD_AND_HANDS = [
    (160, 105), (176, 68), (225, 62), (258, 80), (268, 135), (318, 140), (334, 165), (336, 225),
    (312, 262), (276, 280), (225, 245), (172, 210),
]  # fmt: skip
TRIPOD = [
    [(292, 260), (296, 500)],
    [(292, 325), (240, 508)],
    [(300, 325), (396, 505)],
    [(300, 318), (338, 306)],
]
STREAKS = {"angle": 8, "length": 40, "width": 1.6, "density": 0.08, "intensity": 0.5, "seed": 3}


def transmission(photo: Array) -> Array:
    """How much of the scene's light comes through, in (0, 1]."""
    height, width = photo.shape
    rows = np.arange(height) / height
    near = np.clip((rows - HORIZON) / (1 - HORIZON), 0, 1)
    through = np.repeat((FAR + (0.95 - FAR) * near)[:, None], width, axis=1)
    blend = ndimage.gaussian_filter(photographer(photo), 1.0)
    return blend + (1 - blend) * through


def photographer(photo: Array) -> Array:
    """1 on the man and his camera, else 0: his dark coat, and the rest drawn by hand."""
    parts, _ = ndimage.label(ndimage.binary_opening(photo < 0.22, iterations=2))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    coat = ndimage.binary_closing(parts == sizes.argmax(), iterations=8)
    drawn = Image.fromarray(ndimage.binary_fill_holes(coat).astype(np.uint8))
    pen = ImageDraw.Draw(drawn)
    pen.polygon(HEAD_AND_HANDS, fill=1)
    for leg in TRIPOD:
        pen.line(leg, fill=1, width=13)
    return np.asarray(drawn).astype(float)


def scene() -> tuple[Array, Array, Array]:
    """The photo, the same behind the veil, and that in rain; uint8."""
    photo = data.camera()
    unit = photo / 255
    through = transmission(unit)
    veiled = quantize(through * unit + (1 - through) * AIR, np.float32, np.uint8)
    rainy = quantize(udg.synthesize(veiled, **STREAKS).rainy, np.uint8, np.uint8)
    return photo, veiled, rainy


def taken(rainy: Array, derained: Array, without: Array, below: Array) -> dict[str, float]:
    """Shares of the light of streaks and of the veil that were taken."""
    rainy, derained, without, below = (
        prepare(picture).luma().astype(float) for picture in (rainy, derained, without, below)
    )
    streaks, veil, light = rainy - without, without - below, rainy - derained
    # Streaks where they are; the veil where there is no streak near, and where it adds light.
    wet = streaks > 4 / 255
    dry = (ndimage.maximum_filter(streaks, 9) < 1 / 255) & (veil > 0.05)
    return {
        "streaks": float(light[wet].sum() / streaks[wet].sum()),
        "veil": float(light[dry].sum() / veil[dry].sum()),
    }


def main() -> None:
    """Make the picture, measure, report."""
    parser = arguments.parser(__doc__, "json", output={"default": Path("docs/figures")})
    options = parser.parse_args()

    photo, veiled, rainy = scene()
    derained = quantize(udg.solve(rainy).derained, np.uint8, np.uint8)
    shares = taken(rainy, derained, veiled, photo)
    path = options.output / "veil.jpg"
    headings = ["Clear", "Veil and streaks", "Derained"]
    cells: list[Cell | None] = [Cell(photo), Cell(rainy), Cell(derained)]
    drawing.keep(drawing.sheet(headings, [cells], width=340), path)
    print(
        f"taken: {shares['streaks']:.0%} of the streaks, {shares['veil']:.1%} of the veil; {path}"
    )
    write_json(options.json, {"taken": shares})


if __name__ == "__main__":
    main()
