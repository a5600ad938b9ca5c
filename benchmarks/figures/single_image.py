"""One picture, nothing else: the network trained on it, and deep image prior for the same time.

    python -m benchmarks.figures.single_image DATA_DIR [--recipes energy distilled ...] [--json OUT]
        [--steps N] [--pictures N] [--only N ...] [--no-dip | --dip-seconds S] [-o FOLDER]

Every fourth of the pairs in DATA_DIR/rain100l-dev by name, the first five. A network of
`udg.net.SINGLE_IMAGE`'s size is trained on the rainy picture, by one recipe after the other, each
with the same number of crops (4 times --steps):

- energy: that preset: the envelope of the solver's energy, reweighted in the last steps;
- one stage: the same, but lam_r stays the same everywhere;
- gradient: the energy itself instead of its envelope;
- distilled: imitating the rain that `udg.solve` finds in the picture;
- packaged: no training, the weights "small" of the package;
- adapted: those, then `udg.net.adapt` with a quarter of the crops.

Deep image prior (`baselines/dip.py`) gets the CPU time that the first recipe took, or
--dip-seconds. Its mean output when that is over counts; so does, as what no stopping rule could
surpass, the best output on the way, which only the clean picture tells. Times are CPU seconds of
one thread, angle included. FOLDER gets the paper's Fig. 9: NAME.png, the results side by side, and
single_image.png, the quality of each against its time.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import udg
from benchmarks._shared import arguments, drawing
from benchmarks._shared.common import write_json
from benchmarks.baselines.dip import deep_image_prior
from udg.batch.evaluation import find_pairs
from udg.imaging.image import prepare
from udg.io.files import read
from udg.io.picture import quantize
from udg.net import SINGLE_IMAGE

SIGN = 1.0  # weight of 0 ≤ R ≤ Y, enough for R to keep to it


def main() -> None:
    """Measure every picture, then print the means."""
    parser = arguments.parser(__doc__, "data_dir json output")
    parser.add_argument("--recipes", nargs="*", default=["energy"], choices=sorted(RECIPES))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=5)
    parser.add_argument("--only", type=int, nargs="*", metavar="N", help="some of them, from 0")
    parser.add_argument("--no-dip", action="store_true")
    parser.add_argument("--dip-seconds", type=float, help="CPU time; default the first recipe's")
    options = parser.parse_args()
    torch.set_num_threads(1)
    udg.solve(np.full((32, 32), 0.5, np.float32), angle=0)  # compiles
    pairs = find_pairs(options.data_dir / "rain100l-dev")[0][::4][: options.pictures]
    pairs = [pairs[n] for n in options.only or range(len(pairs))]
    rows, courses = [], []
    for rainy_path, clean_path in pairs:
        rainy, clean = read(rainy_path).pixels, read(clean_path).pixels
        results = {"rainy": rainy}
        outcomes: dict[str, Any] = {"rainy": scores(rainy, clean)}
        began = time.process_time()
        results["solver"] = quantize(udg.solve(rainy).derained, rainy.dtype, rainy.dtype)
        outcomes["solver"] = scores(results["solver"], clean, began)
        for recipe in options.recipes:
            began = time.process_time()
            results[recipe] = by_network(rainy, recipe, options.steps)
            outcomes[recipe] = scores(results[recipe], clean, began)
        if not options.no_dip:
            seconds = options.dip_seconds or outcomes[options.recipes[0]]["seconds"]
            found, results["deep image prior"], course = by_prior(rainy, clean, seconds)
            outcomes |= found
            courses.append(course)
        if options.output:
            notes = [f"{outcomes[name]['psnr']:.2f} dB" for name in results]
            cells = [*map(drawing.Cell, results.values(), notes), drawing.Cell(clean)]
            window = drawing.telling_window(list(results.values()))
            whole = drawing.sheet([*results, "clean"], [cells], [window])
            drawing.keep(whole, options.output / f"{rainy_path.stem}.png")
        rows.append({"name": rainy_path.name} | outcomes)
        print(rainy_path.name, *(f"{k} {v['psnr']:.2f}" for k, v in outcomes.items()), flush=True)
    means = {
        method: {key: float(np.mean([row[method][key] for row in rows])) for key in rows[0][method]}
        for method in rows[0]
        if method != "name" and all(method in row for row in rows)
    }
    for method, mean in means.items():
        print(f"{method:28} {mean['psnr']:.2f} dB  {mean['ssim']:.4f}  {mean['seconds']:.1f} CPU s")
    if options.output:
        draw(means, courses, options.output / "single_image.png")
    settings = {"steps": options.steps, "torch": torch.__version__}
    write_json(options.json, {"mean": means, "pictures": rows}, **settings)


def scores(derained: np.ndarray, clean: np.ndarray, began: float | None = None) -> dict[str, float]:
    """Quality, and CPU seconds since `began`."""
    seconds = 0.0 if began is None else time.process_time() - began
    psnr, ssim = udg.psnr_y(derained, clean), udg.ssim_y(derained, clean)
    return {"psnr": psnr, "ssim": ssim, "seconds": seconds}


PLAIN = {"envelope": 0.0, "reweight": 1.0, "batch": 4}
#: What differs from SINGLE_IMAGE, for a number of steps; None does not train.
RECIPES: dict[str, Any] = {
    "energy": lambda steps: {"steps": 2 * steps},
    "one stage": lambda steps: {"steps": 2 * steps, "reweight": 1.0},
    "gradient": lambda steps: {
        **PLAIN,
        "steps": steps,
        "loss": replace(SINGLE_IMAGE.loss, sign=SIGN),
    },
    "distilled": lambda steps: {**PLAIN, "steps": steps, "distill": 1.0, "distill_steps": steps},
    "packaged": None,
    "adapted": lambda steps: {"steps": steps // 2, "lr": 1e-3, "reweight": 0.0},
}


def by_network(rainy: np.ndarray, recipe: str, steps: int) -> np.ndarray:
    """Train on the picture, then derain it."""
    angle = udg.estimate_angle(prepare(rainy).luma()).degrees
    start = "small" if recipe in ("packaged", "adapted") else None
    net: Any = start
    if RECIPES[recipe] is not None:
        crop = min(SINGLE_IMAGE.crop, *rainy.shape[:2])
        changes = {"crop": crop, "precision": "bfloat16"} | RECIPES[recipe](steps)
        config = replace(SINGLE_IMAGE, **changes)
        net = udg.net.train(rainy, config=config, angles=angle, start=start, threads=1).net
    result = udg.net.derain(rainy, net, angle=angle)
    return quantize(result.derained, rainy.dtype, rainy.dtype)


def by_prior(
    rainy: np.ndarray, clean: np.ndarray, seconds: float
) -> tuple[dict[str, Any], np.ndarray, list[dict[str, float]]]:
    """Deep image prior: when the time is over, and its best on the way; its result; its course."""
    course: list[dict[str, float]] = []
    began = time.process_time()

    def note(iteration: int, picture: np.ndarray) -> None:
        at = time.process_time() - began
        course.append(scores(picture, clean) | {"iterations": float(iteration), "at": at})

    last = deep_image_prior(rainy, iterations=10**6, seconds=seconds, callback=note)
    spent = time.process_time() - began
    iterations = course[-1]["iterations"] if course else 0.0
    outcomes = {
        "deep image prior": scores(last, clean) | {"iterations": iterations, "seconds": spent}
    }
    if course:
        best = max(course, key=lambda entry: entry["psnr"])
        outcomes["deep image prior, at its best"] = best | {"seconds": spent}
    return outcomes, last, course


def draw(
    means: dict[str, dict[str, float]], courses: list[list[dict[str, float]]], path: Path
) -> None:
    """Mean quality against CPU time: a point a method, and a line a picture's deep image prior."""
    figure, axes = drawing.plot(width=6.4)
    ax = axes[0, 0]
    for course in courses:
        times = [entry["at"] for entry in course]
        ax.plot(times, [entry["psnr"] for entry in course], color="grey", alpha=0.4, linewidth=1)
    shown = [name for name in means if name != "rainy" and not name.endswith("best")]
    for name, colour in zip(shown, drawing.COLOURS, strict=False):
        ax.plot(means[name]["seconds"], means[name]["psnr"], "o", color=colour, label=name)
    ax.axhline(means["rainy"]["psnr"], color="black", linestyle="--", linewidth=1, label="rainy")
    ax.set(xlabel="CPU seconds", ylabel="PSNR-Y (dB)", xscale="log")
    ax.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    drawing.keep_plot(figure, path)


if __name__ == "__main__":
    main()
