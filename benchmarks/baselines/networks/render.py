"""Make pairs to train on: photos, and the same photos in rendered rain of many kinds.

    python -m benchmarks.baselines.networks.render PHOTOS OUT [--every N] [--seed S]

Writes OUT/clean and OUT/rainy, PNG of 8 bits. The rain is that of `train_weights.py`; which a photo
gets depends on the seed and its place among the photos. Files that are there are left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks._shared import arguments
from benchmarks._shared.common import pictures
from benchmarks.net.train_weights import rain, to8
from udg.io.files import read, write
from udg.io.picture import quantize


def main() -> None:
    """Read the arguments, make what is missing."""
    parser = arguments.parser(__doc__)
    parser.add_argument("photos", type=Path, metavar="PHOTOS", help="folder of photos without rain")
    arguments.add(
        parser, out={"help": "gets rainy/ and clean/"}, every={"help": "take every Nth photo"}
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    render(options.photos, options.out, options.every, options.seed)


def render(photos: Path, out: Path, every: int = 1, seed: int = 0) -> None:
    """Make the pairs that are missing."""
    for kind in ("clean", "rainy"):
        (out / kind).mkdir(parents=True, exist_ok=True)
    chosen = list(enumerate(pictures(photos, every)))
    for number, path in track(chosen, "pairs", console=Console(stderr=True)):
        clean, rainy = (out / kind / f"{path.stem}.png" for kind in ("clean", "rainy"))
        if clean.exists() and rainy.exists():
            continue
        photo = read(path).pixels[..., :3]
        photo = quantize(photo, photo.dtype, np.uint8)
        write(clean, photo, overwrite=True)
        drawn = rain(photo, np.random.default_rng([seed, number]))
        write(rainy, to8(drawn), overwrite=True)


if __name__ == "__main__":
    main()
