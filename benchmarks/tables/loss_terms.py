"""What each term of the loss is worth: the seven cases of the paper's Table 5.

    python -m benchmarks.tables.loss_terms DATA_DIR [--cases 1 2 ...] [--steps 400] [--json OUT]

DATA_DIR/clean/cityscapes are street scenes (three at least). The first third of them, by name, gets
rendered rain and is what the network learns from; the second third stays clean and is all that the
discriminator sees; the last third, in other rain, is what is measured. Scenes are shrunk to half
their size, each is rained on four times, and test pictures are quarters of theirs.

The cases are `udg.net.TABLE_5`: the paper's weights, with terms left out. All begin with the same
weights and see the same crops. Angles are given, and the angle network is not trained, on which
the streams do not depend. What counts as a case's output is fixed beforehand: the background X,
rotated back, where nothing trains the rain stream (1 to 3); else the picture minus the rain R
(4 to 7), whose median is set to zero, since no term of Eq. 14 sees a constant in R. Where both are
trained "background" measures the other one as well.

With --json the cases that the file already holds, of the same settings, are not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from skimage.transform import resize

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, write_json
from udg.io.files import read
from udg.io.picture import quantize
from udg.net import TABLE_5, Config, TrainConfig

SCENES = "clean/cityscapes"
RAINS = 4  # a scene
CAP = 60.0  # dB; of identical pictures
MORE = 3  # status, if there is more to do
TELLS = 0.3  # dB; cases that differ by less are not put in an order
#: PSNR and SSIM of the paper's Table 5.
PAPER = {
    1: (22.63, 0.8229),
    2: (30.09, 0.9325),
    3: (30.08, 0.8915),
    4: (32.44, 0.9538),
    5: (33.01, 0.9681),
    6: (34.64, 0.9644),
    7: (34.65, 0.9653),
}

Picture = np.ndarray[Any, np.dtype[Any]]


def main() -> None:
    """Train and measure the cases, one after the other."""
    parser = arguments.parser(
        __doc__,
        "data_dir threads device json",
        minutes={"help": "stop after, with status 3; needs --weights"},
    )
    parser.add_argument("--cases", type=int, nargs="*", default=list(TABLE_5), choices=TABLE_5)
    parser.add_argument("--steps", type=int, default=400, help="of each case")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--crop", type=int, default=96)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--norm", choices=["batch", "fixed"], default="fixed")
    parser.add_argument("--shrink", type=int, default=2, help="scenes to 1/N of their size")
    parser.add_argument("--precision", default="bfloat16", choices=["auto", "float32", "bfloat16"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, metavar="DIR", help="keep what was trained")
    options = parser.parse_args()
    if options.minutes and not (options.weights and options.json):
        parser.error("--minutes needs --weights and --json, to go on from there")
    torch.set_num_threads(options.threads)
    began = time.monotonic()

    learned, unpaired, tests = sets(options.data_dir / SCENES, options.shrink)
    smallest = min(min(picture.shape[:2]) for picture in (*unpaired, *(r for r, _ in learned)))
    crop = min(options.crop, smallest)
    config = TrainConfig(
        net=Config(channels=1, width=options.width, depth=options.depth),
        steps=options.steps,
        batch=options.batch,
        crop=crop,
        lr=options.lr,
        norm=options.norm,
        schedule="cosine",
        lr_warmup=min(20, options.steps // 10),
        clip=1.0 if options.norm == "fixed" else 0.0,
        ema=0.99,
        critic_width=options.width,
        critic_layers=3 if crop >= 64 else 1,
        precision=options.precision,
        seed=options.seed,
    )
    settings = {"config": json.loads(config.as_json()), "shrink": options.shrink}

    results: dict[str, Any] = {}
    if options.json is not None and options.json.exists():
        known = json.loads(options.json.read_text(encoding="utf-8"))
        if known["settings"] == settings:
            results = known["cases"]
    results |= {name: row for name, row in references(tests).items() if name not in results}
    for number in options.cases:
        if str(number) not in results:
            row = case(number, config, learned, unpaired, tests, options, began)
            if row is None:
                print("not finished: run the same command again")
                raise SystemExit(MORE)
            results[str(number)] = row
        row = results[str(number)]
        reached = f"{row['psnr']:.2f} dB, {row['ssim']:.4f}"
        print(f"case {number} ({row['terms']}): {reached}", flush=True)
        if options.json is not None:
            draft = options.json.with_suffix(".tmp")
            about = {"torch": torch.__version__, "device": options.device}
            write_json(draft, {"settings": settings, "cases": results}, **about)
            draft.replace(options.json)
    show(results, options.cases)


# Pictures


def sets(
    folder: Path, shrink: int
) -> tuple[list[tuple[Picture, float]], list[Picture], list[tuple[Picture, Picture, float]]]:
    """Rainy pictures and angles to learn from, clean ones, and (rainy, clean, angle) to test on."""
    paths = pictures(folder)
    if len(paths) < 3:
        raise SystemExit(f"{folder} has {len(paths)} pictures; the seven cases need at least 3")
    third = len(paths) // 3
    scenes = [smaller(read(path).pixels[..., :3], shrink) for path in paths]
    learned = []
    for number, scene in enumerate(scenes[:third]):
        for turn in range(RAINS):
            rainy, angle = rained_on(scene, RAINS * number + turn)
            learned.append((rainy, angle))
    tests = []
    for scene in scenes[2 * third :]:
        for half in np.array_split(scene, 2, axis=0):
            for quarter in np.array_split(half, 2, axis=1):
                clean = np.ascontiguousarray(quarter)
                rainy, angle = rained_on(clean, 1000 + len(tests))
                tests.append((rainy, clean, angle))
    return learned, scenes[third : 2 * third], tests


def smaller(pixels: Picture, shrink: int) -> Picture:
    """A picture of 8 bits, shrunk."""
    shape = [max(1, side // shrink) for side in pixels.shape[:2]]
    small = resize(pixels, shape, anti_aliasing=shrink > 1, preserve_range=True)
    return np.clip(np.rint(small), 0, 255).astype(np.uint8)


def rained_on(scene: Picture, seed: int) -> tuple[Picture, float]:
    """Rain of moderate kinds, and its angle."""
    rng = np.random.default_rng([5, seed])
    angle = float(rng.uniform(-20, 20))
    rainy = udg.synthesize(
        scene,
        angle=angle,
        length=rng.uniform(15, 40),
        width=rng.uniform(1, 2),
        density=rng.uniform(0.05, 0.12),
        intensity=rng.uniform(0.3, 0.6),
        blend="add",
        seed=rng,
    ).rainy
    return np.clip(np.rint(rainy), 0, 255).astype(np.uint8), angle


# Training and measuring


def references(tests: list[tuple[Picture, Picture, float]]) -> dict[str, Any]:
    """The input, and the solver."""
    solved = [udg.solve(rainy, angle=angle).derained for rainy, _, angle in tests]
    rained = [rainy for rainy, *_ in tests]
    return {"rainy": scores(rained, tests), "udg.solve": scores(solved, tests)}


def case(
    number: int,
    config: TrainConfig,
    learned: list[tuple[Picture, float]],
    unpaired: list[Picture],
    tests: list[tuple[Picture, Picture, float]],
    options: argparse.Namespace,
    began: float,
) -> dict[str, Any] | None:
    """Train one case, then measure it; None if time is over before."""
    name, weights, output = TABLE_5[number]
    images, angles = zip(*learned, strict=True)
    left = None
    if options.minutes:
        left = options.minutes - (time.monotonic() - began) / 60
        if left <= 0:
            return None
    started = time.process_time()
    trained = udg.net.train(
        list(images),
        options.weights and options.weights / f"case-{number}",
        replace(config, loss=replace(weights, angle=0.0), output=output),
        resume=options.weights is not None,
        angles=list(angles),
        clean=unpaired if weights.mu else None,
        device=options.device,
        threads=options.threads,
        max_minutes=left,
    )
    if not trained.finished:
        return None
    spent = time.process_time() - started
    last = {key: value for key, value in trained.history[-1].items() if key != "seconds"}
    row = {"terms": name, "output": output, "cpu seconds": round(spent, 1), "last": last}
    row["training seconds"] = round(trained.seconds, 1)  # on the clock, of all calls
    row |= scores(derained(trained.net, tests, output), tests)
    if set(trained.config.streams) == {"background", "rain"}:
        row["background"] = scores(derained(trained.net, tests, "background"), tests)
    row["weights"] = {key: value for key, value in asdict(weights).items() if value}
    return row


def derained(
    net: udg.net.UDGNet,
    tests: list[tuple[Picture, Picture, float]],
    output: Literal["rain", "background"],
) -> list[Picture]:
    """The test pictures, by one of the two streams."""
    gauge: Literal["none", "median"] = "median" if output == "rain" else "none"
    return [
        udg.net.derain(rainy, net, angle=angle, output=output, gauge=gauge).derained
        for rainy, _, angle in tests
    ]


def scores(results: list[Picture], tests: list[tuple[Picture, Picture, float]]) -> dict[str, Any]:
    """Mean PSNR-Y and SSIM-Y, and the PSNR of each picture."""
    rounded = [quantize(result, np.uint8, np.uint8) for result in results]
    pairs = [(result, clean) for result, (_, clean, _) in zip(rounded, tests, strict=True)]
    psnr = [min(CAP, udg.psnr_y(*pair)) for pair in pairs]
    ssim = [udg.ssim_y(*pair) for pair in pairs]
    each = [round(value, 3) for value in psnr]
    return {"psnr": float(np.mean(psnr)), "ssim": float(np.mean(ssim)), "each": each}


def show(results: dict[str, Any], cases: list[int]) -> None:
    """Print the table, and which cases are told apart."""
    print(f"{'':34} {'PSNR':>6} {'SSIM':>7}   paper        X back  CPU s")
    for name in ("rainy", "udg.solve"):
        print(f"{name:34} {results[name]['psnr']:6.2f} {results[name]['ssim']:7.4f}")
    for number in cases:
        row, (psnr, ssim) = results[str(number)], PAPER[number]
        title = f"{number} {row['terms']} → {'Y − R' if row['output'] == 'rain' else 'X'}"
        other = f"{row['background']['psnr']:6.2f}" if "background" in row else 6 * " "
        print(
            f"{title:34} {row['psnr']:6.2f} {row['ssim']:7.4f}   {psnr:.2f} {ssim:.4f} {other} "
            f"{row['cpu seconds']:6.0f}"
        )
    ordered = sorted(cases, key=lambda number: results[str(number)]["psnr"])
    for lower, higher in pairwise(ordered):
        gap = results[str(higher)]["psnr"] - results[str(lower)]["psnr"]
        sign = "<" if gap > TELLS else "≈"
        print(f"case {lower} {sign} case {higher}  ({gap:+.2f} dB)")


if __name__ == "__main__":
    main()
