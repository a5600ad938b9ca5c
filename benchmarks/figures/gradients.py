"""Figure 2: gradients along and across, of clean pictures and of rain.

    python -m benchmarks.figures.gradients DATA_DIR [--clean clean/bsds353|free]
        [--sets rain100l-dev ...] [--every N] [--json OUT] [-o FOLDER]

Differences to the next pixel, on luma in [0, 1]: down and to the right of clean pictures, along and
across the streaks of rain. A set's rain is what it adds to the clean picture, turned so that
streaks are vertical; of what was turned only the middle counts, where there is no reflection. The
table has the mean size of both and their ratio, 1 where no direction is preferred. FOLDER gets
gradients.png.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks._shared import arguments, drawing, pairs
from benchmarks._shared.common import write_json
from benchmarks._shared.markdown_table import Table
from udg.imaging.geometry import rotate
from udg.imaging.image import prepare
from udg.io.files import read

Array = np.ndarray[Any, Any]
#: Bins of the paper's figure are not known; these are a grey level wide, around none.
EDGES = (np.arange(-128, 129) - 0.5) / 255


@dataclass(frozen=True)
class Histogram:
    """Densities of differences in [0, 1], along and across, and the mean size of each.

    A density times the width of its bin is a share of all pixels; what is beyond the bins counts in
    the shares' total and in the means.
    """

    edges: Array
    along: Array
    across: Array
    mean_along: float
    mean_across: float

    @property
    def ratio(self) -> float:
        """Across to along."""
        return self.mean_across / self.mean_along


def histogram(planes: Iterable[Array], edges: Array = EDGES) -> Histogram:
    """Histograms of the differences along (axis 0) and across (axis 1) of planes in [0, 1]."""
    counts = np.zeros((2, len(edges) - 1))
    pixels, sizes = np.zeros(2), np.zeros(2)
    for plane in planes:
        for axis in (0, 1):
            steps = np.diff(plane, axis=axis)
            counts[axis] += np.histogram(steps, edges)[0]
            pixels[axis] += steps.size
            sizes[axis] += np.abs(steps, dtype=float).sum()
    along, across = counts / pixels[:, None] / np.diff(edges)
    return Histogram(edges, along, across, *map(float, sizes / pixels))


def upright(plane: Array, angle: float) -> Array:
    """Turn a plane so that streaks at an angle are vertical, and cut out what lies inside of it."""
    turned = rotate(plane, angle)
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    height, width = plane.shape
    part = min(height / (height * cos + width * sin), width / (height * sin + width * cos))
    window = tuple(
        slice((whole - round(side * part)) // 2, (whole + round(side * part)) // 2)
        for whole, side in zip(turned.shape, plane.shape, strict=True)
    )
    return turned[window]


def clean_planes(folder: str, data_dir: Path, every: int) -> Iterable[Array]:
    """Luma of a folder's photos."""
    listed = pairs.photos(folder, data_dir)[::every]
    for path in track(listed, f"clean: {folder}", console=Console(stderr=True)):
        yield prepare(pairs.colours(read(path).pixels)).luma()


def rain_planes(spec: str, data_dir: Path, every: int) -> Iterable[Array]:
    """Upright rain of a set's pairs."""
    listed = pairs.open_set(spec, data_dir)[::every]
    for pair in track(listed, f"rain: {spec}", console=Console(stderr=True)):
        loaded = pair.load()
        yield upright(pairs.layer(loaded.rainy, loaded.clean), pairs.true_angle(loaded))


def named(spec: str) -> str:
    """A set's name in titles."""
    name = Path(spec.removeprefix("rain:")).name
    return "free photos" if name == "free" else name


def draw(found: dict[str, Histogram], path: Path) -> None:
    """A panel each, on a logarithmic scale."""
    figure, axes = drawing.plot(1, len(found))
    for ax, (title, one) in zip(axes.flat, found.items(), strict=True):
        middle = 255 * (one.edges[1:] + one.edges[:-1]) / 2
        for name, values, colour in zip(
            ("along (∇x)", "across (∇y)"), (one.along, one.across), drawing.COLOURS, strict=False
        ):
            share = values * np.diff(one.edges)
            ax.semilogy(middle, np.where(share > 0, share, np.nan), color=colour, label=name)
        ax.set(xlabel="difference to the next pixel (grey levels)", ylabel="share of pixels")
        ax.set(xlim=(-100, 100), ylim=(1e-7, 1))
        ax.set_title(f"{title}: across / along = {one.ratio:.2f}", fontsize=10)
        ax.legend(frameon=False, fontsize=8)
    drawing.keep_plot(figure, path)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__, "data_dir every json output", sets={"default": ["rain100l-dev", "streets"]}
    )
    parser.add_argument("--clean", default="clean/bsds353", help="a folder, or free")
    options = parser.parse_args()

    data_dir, every = options.data_dir, options.every
    found = {
        f"clean, {named(options.clean)}": histogram(clean_planes(options.clean, data_dir, every))
    }
    for spec in options.sets:
        found[f"rain, {named(spec)}"] = histogram(rain_planes(spec, data_dir, every))
    table = Table(
        "Mean size of the differences, grey levels", ["", "along", "across", "across / along"]
    )
    for title, one in found.items():
        sizes = 255 * one.mean_along, 255 * one.mean_across
        table.add(title, *(f"{size:.2f}" for size in sizes), f"{one.ratio:.2f}")
    table.show()
    if options.output:
        draw(found, options.output / "gradients.png")
    rows = {
        title: {
            "mean along": one.mean_along,
            "mean across": one.mean_across,
            "ratio": one.ratio,
            "density along": [round(float(v), 6) for v in one.along],
            "density across": [round(float(v), 6) for v in one.across],
        }
        for title, one in found.items()
    }
    write_json(options.json, {"sets": rows}, edges=[float(EDGES[0]), float(EDGES[-1])])


if __name__ == "__main__":
    main()
