"""How the weights in the package were made: from rainy pictures alone, in steps that resume.

    python benchmarks/train_weights.py DATA_DIR RUN [--minutes 10] [--steps N] [--threads 1]

DATA_DIR holds clean/bsds353 (every fourth photo gets rendered rain of a random kind) and
realrain60/rainy (shrunk to 640 pixels). RUN keeps the pictures, the solver's rain (the target) and
the checkpoint; the same command goes on where it ended. No clean picture is ever a target, and no
picture of rain100l-dev or rain100h-dev is used. RUN/net/weights.safetensors is the result, whose
angle network benchmarks/angle_net.py trains.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import pictures
from skimage.transform import resize

import udg
from udg.io.raster import read, write
from udg.net import ENERGY_LOSS, Config, TrainConfig

LONGER_SIDE = 640  # of the real photos
CONFIG = TrainConfig(
    net=Config(channels=1, width=16, depth=8),
    loss=replace(ENERGY_LOSS, angle=0.0),
    streams=("rain",),
    batch=4,
    lr=1e-3,
    schedule="cosine",
    lr_warmup=50,
    norm="fixed",
    distill=1.0,
    ema=0.995,
    precision="bfloat16",
)


def main() -> None:
    """Make the pictures, then train for a while."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("data", type=Path, metavar="DATA_DIR")
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--minutes", type=float, default=10.0, help="end this command after")
    parser.add_argument("--steps", type=int, default=2000, help="of the whole training")
    parser.add_argument(
        "--energy", type=float, default=0.0, help="last part of them, on the energy"
    )
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()

    folder = arguments.run / "rainy"
    folder.mkdir(parents=True, exist_ok=True)
    render(arguments.data / "clean" / "bsds353", folder)
    shrink(arguments.data / "realrain60" / "rainy", folder)
    imitated = round((1 - arguments.energy) * arguments.steps)
    result = udg.net.train(
        folder,
        arguments.run / "net",
        replace(CONFIG, steps=arguments.steps, distill_steps=imitated),
        resume=True,
        threads=arguments.threads,
        max_minutes=arguments.minutes,
        checkpoint_minutes=2,
    )
    print(f"step {result.steps} of {arguments.steps}, {result.seconds / 60:.1f} minutes in all")


def render(clean: Path, folder: Path) -> None:
    """Put rain of many kinds on every fourth clean photo."""
    for number, path in enumerate(pictures(clean, 4)):
        target = folder / f"rendered-{path.stem}.png"
        if target.exists():
            continue
        write(target, to8(rain(read(path).pixels, np.random.default_rng(number))))


def rain(clean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put rain of a random kind on a photo."""
    width = rng.uniform(1, 3)
    return udg.synthesize(
        clean,
        angle=rng.uniform(-40, 40),
        length=width * math.exp(rng.uniform(math.log(6), math.log(40))),
        width=width,
        density=rng.uniform(0.02, 0.15),
        intensity=rng.uniform(0.2, 0.8),
        blend="add" if rng.random() < 0.5 else "screen",
        spread=rng.uniform(0.2, 0.6),
        seed=rng,
    ).rainy


def to8(pixels: np.ndarray) -> np.ndarray:
    """Round pixels in [0, 255]."""
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def shrink(rainy: Path, folder: Path) -> None:
    """Copy the real photos, the large ones smaller."""
    for path in pictures(rainy):
        target = folder / f"real-{path.stem}.png"
        if target.exists():
            continue
        pixels = read(path).pixels[..., :3]
        scale = min(1.0, LONGER_SIDE / max(pixels.shape[:2]))
        shape = [round(side * scale) for side in pixels.shape[:2]]
        small = resize(pixels, shape, anti_aliasing=scale < 1, preserve_range=True)
        write(target, to8(small))


if __name__ == "__main__":
    main()
