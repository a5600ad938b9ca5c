"""Train a network that the paper compares with; one loop for all of them.

    python -m benchmarks.baselines.networks.train NAME DATA_DIR -o WEIGHTS.safetensors
        [--steps N] [--minutes M] [--real FOLDER] [--seed S] [--size NAME=NUMBER ...]

DATA_DIR holds rainy/ and clean/: of the same names (pairs), but for cyclegan, which takes any. ssir
also wants a folder of rainy pictures without clean versions (--real). All are held in memory.
Crops, batch, learning rate and its schedule are the published ones, the schedule stretched to the
length of this training. WEIGHTS is written every ten minutes and at the end, whole or not at all;
`evaluate.py NAME FOLDER --weights WEIGHTS` measures it. On a CPU the same seed and steps give the
same weights, with the same number of threads. `render.py` makes pairs.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from torch import Tensor

from benchmarks._shared import arguments
from benchmarks.baselines.networks import NETWORKS, shared
from benchmarks.baselines.networks.recipe import Batch, Training
from udg.batch.evaluation import find_pairs
from udg.errors import Diverged, InvalidInput, UdgError
from udg.net.data import load

LOG_EVERY = 20  # steps
SAVE_EVERY = 600  # seconds


class Crops:
    """Random crops of pictures, half of them mirrored sideways (rain falls down).

    Which crop has which number depends on the seed only.

    Parameters
    ----------
    pictures : sequence of Tensor, shape (C, H, W)
        uint8, or floats in [0, 1].
    side : int
        Of the crops in pixels.
    seed, stream : int
        The same ones give the same crops.
    """

    def __init__(self, pictures: Sequence[Tensor], side: int, seed: int, stream: int = 0) -> None:
        least = min(min(picture.shape[-2:]) for picture in pictures)
        if least < side:
            raise InvalidInput(
                f"a picture has a side of {least} pixels, crops have {side}; give --crop {least}"
            )
        self.pictures, self.side, self.start = pictures, side, (seed, stream)

    def batch(self, first: int, count: int) -> Tensor:
        """Crops with numbers from `first`: (count, C, side, side) in [0, 1]."""
        return torch.stack([self._crop(number) for number in range(first, first + count)])

    def _crop(self, number: int) -> Tensor:
        random = np.random.default_rng([*self.start, number])
        picture = self.pictures[random.integers(len(self.pictures))]
        top, left = (int(random.integers(long - self.side + 1)) for long in picture.shape[-2:])
        crop = picture[:, top : top + self.side, left : left + self.side]
        crop = crop.float() / 255 if crop.dtype == torch.uint8 else crop.float()
        return crop.flip(-1) if random.random() < 0.5 else crop


def data(
    needs: str, folder: Path, real: Path | None, side: int, seed: int
) -> Callable[[int, int], Batch]:
    """Read the pictures of a training.

    Parameters
    ----------
    needs : {"pairs", "pairs and real", "unpaired"}
        See `Training`.
    folder : Path
        Holds rainy/ and clean/.
    real : Path, optional
        Rainy pictures without clean versions.
    side, seed : int
        See `Crops`.

    Returns
    -------
    callable
        From the number of the first crop and how many there shall be to a `Batch`.
    """
    if needs == "pairs and real" and real is None:
        raise InvalidInput("this network also learns from rain without pairs; give --real FOLDER")
    others = Crops(_read(real), side, seed, 1) if needs == "pairs and real" else None
    if needs == "unpaired":
        rainy, clean = (Crops(_read(folder / kind), side, seed, 2 + n) for n, kind in _KINDS)
        return lambda first, count: Batch(rainy.batch(first, count), clean.batch(first, count))
    pairs, _ = find_pairs(folder)
    both = []
    for pair in zip(*(_read(paths) for paths in zip(*pairs, strict=True)), strict=True):
        if pair[0].shape != pair[1].shape:
            raise InvalidInput(
                f"pictures of a pair differ in size: {[list(u.shape) for u in pair]}"
            )
        if pair[0].dtype != pair[1].dtype:
            pair = [u / 255 if u.dtype == torch.uint8 else u for u in pair]
        both.append(torch.cat(list(pair)))
    crops = Crops(both, side, seed)

    def batch(first: int, count: int) -> Batch:
        rainy, clean = crops.batch(first, count).split(3, dim=1)
        return Batch(rainy, clean, others and others.batch(first, count))

    return batch


_KINDS = tuple(enumerate(("rainy", "clean")))


def _read(images: Any) -> list[Tensor]:
    return [picture.light for picture in load(images, 3, math.nan)]


def train(
    training: Training,
    batches: Callable[[int, int], Batch],
    *,
    steps: int | None = None,
    minutes: float | None = None,
    batch: int | None = None,
    report: Callable[[float, int, dict[str, float]], None] | None = None,
) -> list[dict[str, float]]:
    """Make steps until enough are made or the time is over.

    Parameters
    ----------
    training : Training
        Changed, and its net with it.
    batches : callable
        From `data`.
    steps, minutes : int, float, optional
        Length of the training; of two the shorter one.
    batch : int, optional
        Crops a step. Default: as published.
    report : callable, optional
        Called after each step with the done part, its number and the latest row of the history.

    Returns
    -------
    list of dict of str to float
        The history: ``step`` and the mean of each term since the row before, every 20 steps.

    Raises
    ------
    Diverged
        A term is not finite.
    """
    if steps is None and minutes is None:
        raise InvalidInput("how long to train is not said; give --steps or --minutes")
    count = batch or training.batch
    history: list[dict[str, float]] = []
    since: list[dict[str, Tensor]] = []
    step, done, began = 0, 0.0, time.monotonic()
    while done < 1:
        crops = batches(step * count, count).to(training.device)
        since.append(training.step(crops, done))
        step += 1
        parts = [step / steps] if steps else []
        if minutes is not None:
            parts.append((time.monotonic() - began) / (60 * minutes))
        done = max(parts)
        if len(since) == LOG_EVERY or done >= 1:
            history.append({"step": float(step), **_means(since)})
            wrong = [name for name, value in history[-1].items() if not math.isfinite(value)]
            if wrong:
                raise Diverged(f"{wrong[0]} is not finite at step {step}; use a lower --lr")
            since = []
        if report is not None:
            report(min(done, 1.0), step, history[-1] if history else {})
    return history


def _means(rows: list[dict[str, Tensor]]) -> dict[str, float]:
    return {name: float(torch.stack([row[name] for row in rows]).mean()) for name in rows[0]}


def main() -> None:
    """Read the arguments, train, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=tuple(NETWORKS))
    arguments.add(
        parser,
        data_dir={"help": "holds rainy/ and clean/"},
        output={"required": True, "metavar": "WEIGHTS", "help": "WEIGHTS.safetensors"},
        minutes={"help": "end after so long, with the schedule"},
        device={"default": "cuda" if torch.cuda.is_available() else "cpu"},
        threads={"default": None, "help": "of the CPU"},
    )
    parser.add_argument("--steps", type=int, help="batches")
    parser.add_argument("--real", type=Path, help="rainy pictures without clean versions, for ssir")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, help="crops a step (default: as published)")
    parser.add_argument("--crop", type=int, help="their side in pixels (likewise)")
    parser.add_argument("--lr", type=float, help="learning rate at the beginning (likewise)")
    parser.add_argument("--size", nargs="*", default=[], metavar="NAME=NUMBER", help="e.g. width=8")
    options = parser.parse_args()
    try:
        run(options)
    except UdgError as error:
        raise SystemExit(str(error)) from None


def run(options: argparse.Namespace) -> None:
    """Train as the options say, behind a progress bar."""
    shared.check_path(options.output)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    module = NETWORKS[options.name]
    try:
        net = module.build(
            **{name: int(size) for name, size in (s.split("=") for s in options.size)}
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"--size {' '.join(options.size)} does not fit: {error}") from error
    training: Training = module.Training(net.to(options.device), options.lr, options.seed)
    side = options.crop or training.crop
    batches = data(training.needs, options.data_dir, options.real, side, options.seed)
    notes = {
        "seed": options.seed,
        "lr": training.lr,
        "crop": side,
        "batch": options.batch or training.batch,
        "data": options.data_dir.resolve().name,
    }
    saved = time.monotonic()

    def save(step: int, latest: dict[str, float]) -> None:
        shared.save(options.name, net, options.output, notes | {"steps": step, "loss": latest})

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(options.name, total=1.0)

        def report(done: float, step: int, latest: dict[str, float]) -> None:
            nonlocal saved
            terms = "  ".join(f"{name} {value:.4g}" for name, value in latest.items())
            bar.update(task, completed=done, description=f"{options.name}  {terms}")
            if time.monotonic() - saved > SAVE_EVERY:
                save(step, latest)
                saved = time.monotonic()

        history = train(
            training,
            batches,
            steps=options.steps,
            minutes=options.minutes,
            batch=options.batch,
            report=report,
        )
    save(int(history[-1]["step"]), history[-1])
    print(f"{options.output}: {int(history[-1]['step'])} steps")


if __name__ == "__main__":
    main()
