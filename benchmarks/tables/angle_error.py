"""Table 4: what an error of the angle costs.

    python -m benchmarks.tables.angle_error DATA_DIR [--sets streets rain100l-dev FOLDER ...]
        [--methods udg udgnet udg-paper] [--offsets 5 10 20] [--every N] [--json OUT] [-o FOLDER]

Each method with the angle that is estimated, the true one, and that off by so many degrees to
either side (the mean of both; only one of them where the other is beyond ±45°). The true angle is
that with which rain was rendered, or, for pairs, that of `udg.estimate_angle` on the difference
rainy − clean, where there is no scene. Everything else is the same in all rows: with the estimated
angle, too, the solver is told that there is rain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, drawing, methods, pairs, paper
from benchmarks._shared.common import write_json
from benchmarks._shared.markdown_table import Table
from udg.imaging.image import prepare

ESTIMATED = "estimated"
LIMIT = 45.0  # degrees, of the methods
COUNTERPART = "streets"  # Table 4 is of Cityscape


def angles(truth: float, offset: float) -> list[float]:
    """The true angle off by so much, to both sides if both are within the limit."""
    if not offset:
        return [truth]
    both = [truth - offset, truth + offset]
    return [angle for angle in both if abs(angle) <= LIMIT]


def measure(
    pair: pairs.Loaded, derain: Callable[..., pairs.Array], offsets: Sequence[float]
) -> dict[str, Any]:
    """Quality with every angle; that of an offset is the mean of its sides."""
    truth = pairs.true_angle(pair)
    estimate = float(udg.estimate_angle(prepare(pair.rainy).luma()).degrees)

    def quality(tried: list[float]) -> dict[str, float]:
        found = [derain(pair.rainy, angle=angle) for angle in tried]
        return {
            "psnr": mean(udg.psnr_y(one, pair.clean) for one in found),
            "ssim": mean(udg.ssim_y(one, pair.clean) for one in found),
        }

    scores = {ESTIMATED: quality([estimate])}
    for offset in (0, *offsets):
        if tried := angles(truth, offset):
            scores[f"{offset:g}"] = quality(tried)
    return {"true": truth, "estimated": estimate, "scores": scores}


def summary(pictures: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Means by angle, over the pictures that have all of them."""
    rows = list(dict.fromkeys(row for picture in pictures for row in picture["scores"]))
    whole = [picture for picture in pictures if set(picture["scores"]) == set(rows)]
    return {
        row: {
            "n": len(whole),
            "psnr": mean(picture["scores"][row]["psnr"] for picture in whole),
            "ssim": mean(picture["scores"][row]["ssim"] for picture in whole),
        }
        for row in rows
    }


def table(title: str, by_method: dict[str, dict[str, dict[str, float]]], theirs: bool) -> Table:
    """A row an angle, two columns a method, and the paper's UDGNet."""
    first = next(iter(by_method.values()))
    n = next(iter(first.values()))["n"]
    headings = ["angle"]
    for name in by_method:
        headings += [f"{methods.label(name)}: PSNR", "SSIM"]
    made = Table(f"{title}, n = {n}", headings + (["paper: PSNR", "SSIM"] if theirs else []))
    for row in first:
        cells = [{ESTIMATED: row, "0": "true"}.get(row, f"true ± {row}°")]
        for means in by_method.values():
            cells += [f"{means[row]['psnr']:.2f}", f"{means[row]['ssim']:.4f}"]
        if theirs:
            printed = paper.TABLE_4.get(None if row == ESTIMATED else float(row))
            cells += [f"{printed.psnr:.2f}", f"{printed.ssim:.4f}"] if printed else ["", ""]
        made.add(*cells)
    return made


def draw(title: str, by_method: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
    """PSNR against the error; the estimated angle as a dashed line."""
    figure, axes = drawing.plot()
    ax = axes[0, 0]
    drawn = dict(by_method)
    for (name, means), colour in zip(drawn.items(), drawing.COLOURS, strict=False):
        tried = sorted(float(row) for row in means if row != ESTIMATED)
        values = [means[f"{offset:g}"]["psnr"] for offset in tried]
        ax.plot(tried, values, "o-", color=colour, label=methods.label(name))
        ax.axhline(means[ESTIMATED]["psnr"], color=colour, linestyle="--", linewidth=1)
    if title == COUNTERPART:
        offsets = [offset for offset in paper.TABLE_4 if offset is not None]
        printed = [paper.TABLE_4[offset].psnr for offset in offsets]
        ax.plot(offsets, printed, "s:", color="grey", label="UDGNet, paper (its Cityscape)")
    ax.set(xlabel="error of the angle (degrees)", ylabel="PSNR-Y (dB)")
    ax.set_title(f"{title}; dashed: estimated angle", fontsize=10)
    ax.legend(frameon=False, fontsize=8)
    drawing.keep_plot(figure, path)


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__,
        "data_dir every rains widest json",
        sets={"default": ["streets", "rain100l-dev"]},
        output={"help": "draw the curves there"},
    )
    parser.add_argument("--methods", nargs="+", default=["udg", "udgnet"], choices=methods.TURNING)
    parser.add_argument("--offsets", type=float, nargs="*", default=[5, 10, 20])
    methods.add_options(parser)
    options = parser.parse_args()

    results: dict[str, Any] = {}
    for spec in options.sets:
        chosen = pairs.open_set(spec, options.data_dir, rains=options.rains, widest=options.widest)[
            :: options.every
        ]
        name = Path(spec).name
        by_picture: dict[str, dict[str, Any]] = {kind: {} for kind in options.methods}
        for kind in options.methods:
            derain = methods.method(kind, options)
            for pair in track(chosen, f"{name}: {kind}", console=Console(stderr=True)):
                by_picture[kind][pair.name] = measure(pair.load(), derain, options.offsets)
        means = {kind: summary(list(found.values())) for kind, found in by_picture.items()}
        found = next(iter(by_picture.values())).values()
        error = mean(abs(one["estimated"] - one["true"]) for one in found)
        results[name] = {"means": means, "mean error": error, "pictures": by_picture}
        table(name, means, name == COUNTERPART).show()
        print(f"\nThe estimated angle is off by {error:.2f}° in the mean.")
        if options.output:
            draw(name, means, options.output / f"angle_error-{name.replace(':', '-')}.png")
        write_json(options.json, {"sets": results}, offsets=options.offsets)


if __name__ == "__main__":
    main()
