"""How the weights in the package were made: from rainy pictures alone, in steps that resume.

    python -m benchmarks.net.train_weights DATA_DIR RUN [--minutes 10] [--steps N] [--threads 1]

DATA_DIR holds clean/bsds353 (every fourth photo gets rendered rain of a random kind) and
realrain60/rainy (shrunk to 640 pixels). RUN keeps the pictures, the solver's rain (the target) and
the checkpoint; the same command goes on where it ended. No clean picture is ever a target, and no
picture of rain100l-dev or rain100h-dev is used. RUN/net/weights.safetensors is the result, whose
angle network `angle_net.py` trains.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from skimage.transform import resize

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures
from udg.io.files import read, write
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
    parser = arguments.parser(
        __doc__, "data_dir", minutes={"default": 10.0}, threads={"default": None}
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--steps", type=int, default=2000, help="of the whole training")
    parser.add_argument(
        "--energy", type=float, default=0.0, help="last part of them, on the energy"
    )
    options = parser.parse_args()

    folder = options.run / "rainy"
    folder.mkdir(parents=True, exist_ok=True)
    render(options.data_dir / "clean" / "bsds353", folder)
    shrink(options.data_dir / "realrain60" / "rainy", folder)
    imitated = round((1 - options.energy) * options.steps)
    result = udg.net.train(
        folder,
        options.run / "net",
        replace(CONFIG, steps=options.steps, distill_steps=imitated),
        resume=True,
        threads=options.threads,
        max_minutes=options.minutes,
        checkpoint_minutes=2,
    )
    print(f"step {result.steps} of {options.steps}, {result.seconds / 60:.1f} minutes in all")


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
