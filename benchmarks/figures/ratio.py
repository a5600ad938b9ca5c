"""Figure 8: what the ratio λx : λy does, and where on it `strength` lies.

    python -m benchmarks.figures.ratio DATA_DIR [--sets rain100l-dev streets ...]
        [--ratios 0.5 1 ...] [--every N] [--json OUT] [-o FOLDER]

The ratio is moved as `strength` moves it, with λx λy² held, on both sides of its range (0 is 8.5,
0.5 the default's 3, 1 is 1.06). Beside the quality there are the two ways of being wrong, in shares
of the rain that is truly there: what is left of it, and what was taken from the scene instead.
FOLDER gets ratio-SET.png, the curves, and ratio-SET-pictures.png, a picture with the least ratio
(too much is taken), the best one, and the largest (rain is left).
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, drawing, pairs
from benchmarks._shared.common import write_json
from benchmarks._shared.markdown_table import Table
from udg.detection.weights import contrast
from udg.imaging.image import prepare
from udg.io.picture import quantize
from udg.pipeline.options import STAGES

Array = np.ndarray[Any, Any]
RATIOS = (0.375, 0.75, 1.06, 1.5, 3.0, 6.0, 8.49, 12.0, 24.0)


def with_ratio(weights: udg.Weights, ratio: float) -> udg.Weights:
    """The weights with λx : λy = ratio and λx λy² as it was."""
    factor = (ratio * weights.lam_y / weights.lam_x) ** (2 / 3)
    return replace(weights, lam_x=weights.lam_x * factor, lam_y=weights.lam_y * factor**-0.5)


def strength_of(ratio: float) -> float:
    """The `strength` that gives this ratio; `udg.solve` takes those in [0, 1]."""
    default = udg.RAIN_WEIGHTS
    return 0.5 - math.log2(ratio * default.lam_y / default.lam_x) / 3


def shares(rainy: Array, derained: Array, clean: Array) -> dict[str, float]:
    """Rain that is left, and scene that is taken, in shares of the rain; on luma."""
    rainy, derained, clean = (prepare(picture).luma() for picture in (rainy, derained, clean))
    rain, taken = np.maximum(rainy - clean, 0), rainy - derained
    whole = float(rain.sum()) or 1.0
    return {
        "rain left": float(np.maximum(rain - taken, 0).sum()) / whole,
        "scene taken": float(np.maximum(taken - rain, 0).sum()) / whole,
    }


def derain(rainy: Array, ratio: float) -> Array:
    """`udg.solve` with its own weights for the picture, but for the ratio.

    With weights it is the plain energy unless it is told how many stages there are.
    """
    weights = with_ratio(udg.RAIN_WEIGHTS.scaled(contrast(prepare(rainy))), ratio)
    return quantize(
        udg.solve(rainy, **asdict(weights), stages=STAGES).derained, rainy.dtype, rainy.dtype
    )


def measure(pair: pairs.Loaded, ratio: float) -> dict[str, float]:
    """Quality at one ratio."""
    derained = derain(pair.rainy, ratio)
    return {
        "psnr": udg.psnr_y(derained, pair.clean),
        "ssim": udg.ssim_y(derained, pair.clean),
        **shares(pair.rainy, derained, pair.clean),
    }


def draw(title: str, means: dict[float, dict[str, float]], path: Path) -> None:
    """Quality, and the two ways of being wrong, against the ratio."""
    figure, axes = drawing.plot(1, 2)
    ratios = list(means)
    left, right = axes[0]
    left.semilogx(ratios, [means[r]["psnr"] for r in ratios], "o-", color=drawing.COLOURS[0])
    left.set(ylabel="PSNR-Y (dB)")
    for key, colour in zip(("rain left", "scene taken"), drawing.COLOURS[1:], strict=False):
        right.semilogx(ratios, [means[r][key] for r in ratios], "o-", color=colour, label=key)
    right.set(ylabel="share of the rain", ylim=(0, None))
    right.legend(frameon=False, fontsize=8)
    for ax in (left, right):
        ax.set_xlabel("λx / λy")
        ax.set_xticks(ratios, [f"{r:g}" for r in ratios], fontsize=8)
        ax.minorticks_off()
        reach = [3 * 2 ** (3 * (0.5 - strength)) for strength in (1.0, 0.0)]
        ax.axvspan(*reach, color="grey", alpha=0.12, linewidth=0)
        ax.set_title(f"{title}; shaded: strength 1 to 0", fontsize=10)
    drawing.keep_plot(figure, path)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__, "data_dir every widest json output", sets={"default": ["rain100l-dev", "streets"]}
    )
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS)
    options = parser.parse_args()

    results: dict[str, Any] = {}
    for spec in options.sets:
        name = Path(spec).name.replace(":", "-")
        chosen = pairs.open_set(spec, options.data_dir, widest=options.widest)[:: options.every]
        rows: dict[str, dict[str, dict[str, float]]] = {}
        for pair in track(chosen, name, console=Console(stderr=True)):
            loaded = pair.load()
            rows[pair.name] = {f"{r:g}": measure(loaded, r) for r in sorted(options.ratios)}
        ratios = sorted(options.ratios)
        means = {
            ratio: {
                key: mean(row[f"{ratio:g}"][key] for row in rows.values())
                for key in ("psnr", "ssim", "rain left", "scene taken")
            }
            for ratio in ratios
        }
        table = Table(
            f"{name}, n = {len(rows)}",
            ["λx / λy", "strength", "PSNR", "SSIM", "rain left", "scene taken"],
        )
        for ratio, row in means.items():
            table.add(
                f"{ratio:g}",
                f"{round(strength_of(ratio), 2) + 0:.2f}",  # no −0
                f"{row['psnr']:.2f}",
                f"{row['ssim']:.4f}",
                f"{row['rain left']:.1%}",
                f"{row['scene taken']:.1%}",
            )
        table.show()
        results[name] = {"means": {f"{r:g}": row for r, row in means.items()}, "pictures": rows}
        if options.output:
            draw(name, means, options.output / f"ratio-{name}.png")
            best = max(ratios, key=lambda ratio: means[ratio]["psnr"])
            pictured(chosen[0], [ratios[0], best, ratios[-1]], options.output, name)
        write_json(options.json, {"sets": results})


def pictured(pair: pairs.Pair, ratios: list[float], folder: Path, name: str) -> None:
    """One picture at some ratios."""
    loaded = pair.load()
    shown = [loaded.rainy, *(derain(loaded.rainy, ratio) for ratio in ratios)]
    notes = [f"{udg.psnr_y(picture, loaded.clean):.2f} dB" for picture in shown]
    headings = ["Rain", *(f"lam_x / lam_y = {ratio:g}" for ratio in ratios)]
    cells = [drawing.Cell(picture, note) for picture, note in zip(shown, notes, strict=True)]
    sheet = drawing.sheet(headings, [cells], [drawing.telling_window(shown)])
    drawing.keep(sheet, folder / f"ratio-{name}-pictures.png")


if __name__ == "__main__":
    main()
