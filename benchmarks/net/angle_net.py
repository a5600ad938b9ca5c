"""Train the angle network and measure it on turned copies of real photos.

    python -m benchmarks.net.angle_net train DATA_DIR RUN [--seconds 300] [--steps 400]
    python -m benchmarks.net.angle_net measure DATA_DIR WEIGHTS [--json OUT]

It learns from rain that is rendered on clean photos, at random angles, then blurred, noisy and
compressed, and from every second photo of realrain60, turned at random: its label is what
`udg.estimate_angle` says of the photo, plus the turn. The hand-made labels in angles.csv only
measure. The other half of realrain60 is never seen in training (near-duplicates of it neither).
RUN/net/weights.safetensors, from train_weights.py, gets the trained angle network.
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.transform import resize
from skimage.transform import rotate as turn_picture
from torch import Tensor

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, write_json
from udg.imaging.image import prepare
from udg.io.files import read
from udg.net import AngleNet, average_angle, from_pretrained, rotate, save_pretrained

SIDE = 192  # of what is kept of a picture; its middle is a patch at any turn
AREA = 480**2  # pixels; larger photos are shrunk to it, as in `udg.estimate_angle`
RATE = 2e-3  # of Adam, at first
SURE = 0.1  # confidence that a real photo's estimate needs to be a label
TURNS = (-20, -10, 10, 20)
TWINS = {"35_4": "image_46_69", "96_32": "image_05_50", "image_17_56": "image_10_52"}


def main() -> None:
    """Train or measure."""
    parser = arguments.parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    arguments.add(training, "data_dir")
    training.add_argument("run", type=Path, metavar="RUN")
    training.add_argument("--seconds", type=float, default=math.inf, help="CPU time of this run")
    training.add_argument("--steps", type=int, default=400, help="of the whole training")
    training.add_argument("--rendered", type=int, default=600, help="rendered pictures")
    measuring = commands.add_parser("measure")
    arguments.add(measuring, "data_dir every json")
    measuring.add_argument("weights", metavar="WEIGHTS", help="name or path")
    measuring.add_argument("--all", action="store_true", help="also photos it was trained on")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "train":
        train(options)
    else:
        net = from_pretrained(options.weights).angle
        results = measure(options.data_dir, net, options.all, options.every)
        write_json(options.json, results, torch=torch.__version__)


# Pictures


def halves(folder: Path) -> tuple[list[Path], list[Path]]:
    """Real photos to train on, and to measure on."""
    paths = pictures(folder)
    measured = paths[1::2]
    seen = {path.stem for path in measured}
    twins = {a for a, b in TWINS.items() if b in seen} | {b for a, b in TWINS.items() if a in seen}
    return [path for path in paths[::2] if path.stem not in twins], measured


def shrunk(pixels: np.ndarray) -> np.ndarray:
    """A picture of at most AREA pixels, in [0, 1]."""
    unit = pixels[..., :3].astype(np.float32) / 255
    scale = min(1.0, math.sqrt(AREA / (unit.shape[0] * unit.shape[1])))
    shape = [round(side * scale) for side in unit.shape[:2]]
    return np.clip(resize(unit, shape, order=1, anti_aliasing=scale < 1), 0, 1).astype(np.float32)


def rendered(clean: list[Path], count: int) -> tuple[Tensor, Tensor]:
    """Rain of known angle on parts of clean photos; (N, 1, SIDE, SIDE) and degrees."""
    planes, angles = [], []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        pixels = read(clean[number % len(clean)]).pixels
        top, left = (int(rng.integers(n - SIDE + 1)) for n in pixels.shape[:2])
        scene = pixels[top : top + SIDE, left : left + SIDE].astype(np.float32) / 255
        scene = np.clip(scene, 0, 1) ** rng.uniform(0.6, 1.6)
        width, angle = rng.uniform(1, 3), rng.uniform(-45, 45)
        rainy = udg.synthesize(
            scene,
            angle=angle,
            length=width * math.exp(rng.uniform(math.log(6), math.log(30))),
            width=width,
            density=math.exp(rng.uniform(math.log(0.03), math.log(0.25))),
            intensity=rng.uniform(0.15, 0.7),
            spread=rng.uniform(0.2, 0.7),
            seed=rng,
        ).rainy
        if rng.random() < 0.5:
            rainy = gaussian_filter(rainy, (*[rng.uniform(0.3, 1.2)] * 2, 0))
        rainy = np.clip(rainy + rng.normal(0, rng.uniform(0, 0.03), rainy.shape), 0, 1)
        if rng.random() < 0.5:
            packed = io.BytesIO()
            image = Image.fromarray(np.rint(255 * rainy).astype(np.uint8))
            image.save(packed, "JPEG", quality=int(rng.integers(40, 96)))
            rainy = np.asarray(Image.open(packed), np.float32) / 255
        planes.append(rainy.min(axis=2).astype(np.float16))
        angles.append(angle)
    return torch.from_numpy(np.stack(planes))[:, None], torch.tensor(angles)


def real(paths: list[Path]) -> list[tuple[Tensor, float]]:
    """Darkest channel, (1, H, W), and estimated angle of real photos."""
    kept = []
    for path in paths:
        unit = shrunk(read(path).pixels)
        found = udg.estimate_angle(unit)
        if found.confidence >= SURE:
            kept.append((torch.from_numpy(unit.min(axis=2))[None], found.degrees))
    return kept


# Training


def train(options: argparse.Namespace) -> None:
    """Train for a while, or go on, then put the network into the weights."""
    checkpoint = options.run / "angle.pt"
    options.run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    net = AngleNet(1)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    step, spent = 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent = state["step"], state["spent"]
    cache = options.run / "rendered.pt"
    if not cache.exists():
        torch.save(rendered(pictures(options.data_dir / "clean/bsds353"), options.rendered), cache)
    planes, angles = torch.load(cache, weights_only=True)
    photos = real(halves(options.data_dir / "realrain60" / "rainy")[0])
    print(f"{len(planes)} rendered, {len(photos)} real")

    net.train().to(memory_format=torch.channels_last)
    began, losses = time.process_time(), []
    while step < options.steps and time.process_time() - began < options.seconds:
        rng = np.random.default_rng([1, step])
        images, truth = batch(planes, angles, photos, rng)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = net(images.contiguous(memory_format=torch.channels_last))
        # Errors beyond 5° count by their size, not its square: some patches show no rain.
        loss = F.huber_loss(predicted, truth, delta=5.0)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * (0.01 + 0.99 * (1 + math.cos(math.pi * step / options.steps)) / 2)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        step += 1
        losses.append(float((predicted.detach() - truth).abs().median()))
        if step % 20 == 0:
            elapsed = spent + time.process_time() - began
            error = np.mean(losses)
            print(f"step {step}, {elapsed:.0f} CPU s, median error {error:.2f}°", flush=True)
            losses = []
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
    torch.save(state | {"spent": spent + time.process_time() - began}, checkpoint)
    weights = options.run / "net" / "weights.safetensors"
    if weights.exists():
        whole = from_pretrained(weights)
        whole.angle.load_state_dict(net.state_dict())
        save_pretrained(whole, weights)


def batch(
    planes: Tensor,
    angles: Tensor,
    photos: list[tuple[Tensor, float]],
    rng: np.random.Generator,
    count: int = 16,
) -> tuple[Tensor, Tensor]:
    """Half rendered, half real; turned to an angle that is even in ±45°, mirrored at random."""
    some = torch.from_numpy(rng.integers(len(planes), size=count // 2))
    images, truth = [planes[some].float()], angles[some].tolist()
    for number in rng.integers(len(photos), size=count - count // 2):
        plane, degrees = photos[number]
        top, left = (int(rng.integers(max(1, n - SIDE + 1))) for n in plane.shape[-2:])
        cut = plane[None, :, top : top + SIDE, left : left + SIDE]
        missing = [SIDE - n for n in cut.shape[-2:]]
        images.append(F.pad(cut, (0, missing[1], 0, missing[0]), mode="reflect"))
        truth.append(degrees)
    wanted = torch.from_numpy(rng.uniform(-45, 45, count)).float()
    before = torch.tensor(truth, dtype=torch.float32)
    turned = rotate(torch.cat(images), before - wanted, (128, 128))
    mirrored = torch.from_numpy(rng.random(count) < 0.5)
    turned = torch.where(mirrored[:, None, None, None], turned.flip(-1), turned)
    return turned, torch.where(mirrored, -wanted, wanted)


# Measuring


def measure(data: Path, net: AngleNet, whole: bool, every: int) -> dict[str, Any]:
    """Print and return the error on turned real photos: those left out, or every."""
    folder = data / "realrain60"
    with (folder / "angles.csv").open() as file:
        labels = {row["name"]: float(row["angle_deg"]) for row in csv.DictReader(file)}
    trained, measured = halves(folder / "rainy")
    seen, left_out = ({path.stem for path in half} for half in (trained, measured))
    rows, spent = [], 0.0
    for path in (pictures(folder / "rainy") if whole else measured)[::every]:
        unit = shrunk(read(path).pixels)
        for turn in TURNS:
            picture = inner(unit, turn)
            began = time.process_time()
            found = average_angle(net, torch.from_numpy(picture.min(axis=2))[None])
            spent += time.process_time() - began
            rows.append(
                {
                    "name": path.stem,
                    "turn": turn,
                    "trained on": path.stem in seen,
                    "left out": path.stem in left_out,
                    "all": True,
                    "truth": labels[path.stem] - turn,
                    "network": found,
                    "estimate": udg.estimate_angle(prepare(picture).luma()).degrees,
                }
            )
    table = {}
    for name in ("left out", "trained on", "all") if whole else ("left out",):
        for turn in (*TURNS, "any"):
            some = [
                row
                for row in rows
                if row[name] and (row["turn"] == turn or turn == "any") and abs(row["truth"]) <= 45
            ]
            error = {
                key: float(np.mean([abs(row[key] - row["truth"]) for row in some]))
                for key in ("network", "estimate")
            }
            table[f"{name}, {turn}"] = error | {"pictures": len(some)}
            print(
                f"{name:11} {turn!s:>7}: {len(some):3d} pictures, "
                f"network {error['network']:.2f}°, estimate_angle {error['estimate']:.2f}°"
            )
    seconds = spent / len(rows)
    print(f"{seconds:.3f} CPU s a picture")
    return {"table": table, "seconds": seconds, "pictures": rows}


def inner(unit: np.ndarray, turn: float) -> np.ndarray:
    """Turn counter-clockwise and crop to the largest window of the same ratio."""
    if not turn:
        return unit
    cos, sin = math.cos(math.radians(turn)), abs(math.sin(math.radians(turn)))
    height, width = unit.shape[:2]
    part = min(height / (height * cos + width * sin), width / (height * sin + width * cos))
    window = tuple(
        slice(n // 2 - half, n // 2 + half)
        for n, half in ((n, int(n * part / 2) - 1) for n in (height, width))
    )
    turned = turn_picture(unit, turn, order=3)[window]
    return np.ascontiguousarray(np.clip(turned, 0, 1), np.float32)


if __name__ == "__main__":
    main()
