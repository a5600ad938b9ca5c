"""Figure 4: what turning brings: the same network on rain of mixed angles, and on upright rain.

    python -m benchmarks.figures.turned DATA_DIR [--clean clean/bsds353|free] [--steps N]
        [--pictures N] [--tests N] [--seeds N] [--json OUT] [-o FOLDER]

Photos get rain of many angles (`pairs.Rain`). A small stream of UDGNet (width 16, 4 blocks) learns
to find the rain, which is known here, in crops of the pictures as they are; another of the same
weights, steps and crops learns on the pictures turned so that streaks are vertical. Both are tried
on other photos, the second one by turning, finding rain and turning that back. The paper compares
two trainings, too, but does not say with which loss. Beside them `udg.solve`, with the true angle
and with 0°, that is without turning. PSNR-Y of grey pictures; FOLDER gets turned.png.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, drawing, pairs
from benchmarks._shared.common import write_json
from benchmarks._shared.markdown_table import Table
from benchmarks.figures.gradients import upright
from udg.imaging.geometry import rotate, unrotate
from udg.imaging.image import prepare
from udg.net import Stream

Array = np.ndarray[Any, Any]
MIXED, UPRIGHT = "mixed angles, as they are", "turned upright"
WIDTH, DEPTH, BATCH, CROP = 16, 4, 8, 64
LEARNING_RATE = 3e-3


class Scene(NamedTuple):
    """Luma in [0, 1] with rain, the rain, and its direction."""

    rainy: Array
    rain: Array
    angle: float

    def turned(self) -> Scene:
        """The inside of the scene turned so that its streaks are vertical."""
        return Scene(upright(self.rainy, self.angle), upright(self.rain, self.angle), 0.0)


def scenes(photos: list[Path], widest: int = pairs.WIDEST) -> list[Scene]:
    """A scene a photo, its rain by its name."""
    found = []
    for path in photos:
        pair = pairs.Pair(path.stem, path, rain=pairs.Rain.drawn(path.stem, 0), widest=widest)
        rainy, clean, angle = pair.load()
        assert angle is not None
        found.append(Scene(prepare(rainy).luma(), pairs.layer(rainy, clean), angle))
    return found


def crops(given: list[Scene], rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch of rainy crops and their rain, (B, 1, side, side)."""
    side = min(CROP, *(edge for scene in given for edge in scene.rainy.shape))
    both = np.empty((2, BATCH, 1, side, side), np.float32)
    for number in range(BATCH):
        scene = given[rng.integers(len(given))]
        top, left = (rng.integers(edge - side + 1) for edge in scene.rainy.shape)
        window = np.s_[top : top + side, left : left + side]
        both[:, number, 0] = scene.rainy[window], scene.rain[window]
    return torch.from_numpy(both[0]), torch.from_numpy(both[1])


def train(
    given: list[Scene], steps: int, seed: int, count: int = 6
) -> Iterator[tuple[int, Stream]]:
    """Train a stream on known rain; give it before the first step and at `count` later ones."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    net = Stream(1, WIDTH, DEPTH)
    net.begin("zero")
    net.eval()  # batch normalisation as a fixed scale, like `norm="fixed"` of `udg.net.train`
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    yield 0, net
    marks = {round(steps * mark / count) for mark in range(1, count + 1)} - {0}
    for step in range(1, steps + 1):
        done = (step - 1) / steps
        for group in optimizer.param_groups:
            warm = min(1.0, step / 10)
            group["lr"] = LEARNING_RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))
        rainy, rain = crops(given, rng)
        loss = (net(rainy) - rain).square().mean()  # absolute errors are content with no rain
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step in marks:
            yield step, net


def derain(net: Stream, scene: Scene, angle: float) -> Array:
    """Turn by the angle, find the rain, turn it back, subtract it."""
    frame = torch.from_numpy(rotate(scene.rainy, angle))[None, None]
    with torch.inference_mode():
        rain = net(frame)[0, 0].numpy()
    return scene.rainy - np.clip(unrotate(rain, angle, scene.rainy.shape), 0, scene.rainy)


def quality(scene: Scene, derained: Array) -> float:
    """PSNR-Y of a grey picture."""
    return udg.psnr_y(derained.clip(0, 1), (scene.rainy - scene.rain).clip(0, 1))


def curves(
    training: list[Scene], tests: list[Scene], steps: int, seed: int
) -> dict[str, dict[int, float]]:
    """Mean PSNR on the tests by steps, for both trainings."""
    found: dict[str, dict[int, float]] = {}
    for name in (MIXED, UPRIGHT):
        given = [scene.turned() for scene in training] if name == UPRIGHT else training
        course = track(
            train(given, steps, seed),
            f"{name}, {seed}",
            total=7,
            console=Console(stderr=True),
        )
        found[name] = {
            step: mean(
                quality(scene, derain(net, scene, scene.angle if name == UPRIGHT else 0.0))
                for scene in tests
            )
            for step, net in course
        }
    return found


def draw(by_seed: list[dict[str, dict[int, float]]], solver: dict[str, float], path: Path) -> None:
    """PSNR against steps."""
    figure, axes = drawing.plot(width=5.4)
    ax = axes[0, 0]
    for name, colour in ((UPRIGHT, drawing.COLOURS[0]), (MIXED, drawing.COLOURS[1])):
        steps = list(by_seed[0][name])
        values = np.array([[one[name][step] for step in steps] for one in by_seed])
        ax.plot(steps, values.mean(0), "o-", color=colour, label=f"network, {name}")
        ax.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    for (name, value), colour in zip(solver.items(), drawing.COLOURS, strict=False):
        ax.axhline(value, color=colour, linestyle="--", linewidth=1, label=f"udg.solve, {name}")
    ax.set(xlabel="steps", ylabel="PSNR-Y (dB)")
    ax.legend(frameon=False, fontsize=8)
    drawing.keep_plot(figure, path)


def main() -> None:
    """Read the arguments, train twice, report."""
    parser = arguments.parser(__doc__, "data_dir threads json output")
    parser.add_argument("--clean", default="clean/bsds353", help="a folder of photos, or free")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--pictures", type=int, default=40, help="to learn from")
    parser.add_argument("--tests", type=int, default=10, help="other photos")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    photos = pairs.photos(options.clean, options.data_dir)
    wanted = options.pictures + options.tests
    photos = photos[:: max(1, len(photos) // wanted)][:wanted]
    if len(photos) < 2:
        raise SystemExit("one photo to learn from and another one to try are the least")
    tests = scenes(photos[: min(options.tests, len(photos) // 2)])
    training = scenes(photos[len(tests) :])
    by_seed = [curves(training, tests, options.steps, seed) for seed in range(options.seeds)]
    solver = {
        name: mean(
            quality(scene, udg.solve(scene.rainy, angle=angle(scene)).derained) for scene in tests
        )
        for name, angle in (("true angle", lambda scene: scene.angle), ("0°", lambda scene: 0.0))
    }
    before = mean(quality(scene, scene.rainy) for scene in tests)
    table = Table(
        f"PSNR-Y after {options.steps} steps on {len(training)} photos, n = {len(tests)}",
        ["", "mean", "least of a seed", "most"],
    )
    table.add("rainy", f"{before:.2f}", "", "")
    for name in (MIXED, UPRIGHT):
        last = [one[name][options.steps] for one in by_seed]
        table.add(f"network, {name}", f"{mean(last):.2f}", f"{min(last):.2f}", f"{max(last):.2f}")
    for name, value in solver.items():
        table.add(f"udg.solve, {name}", f"{value:.2f}", "", "")
    table.show()
    if options.output:
        draw(by_seed, solver, options.output / "turned.png")
    results = {"rainy": before, "solver": solver, "network by seed": by_seed}
    about = {"steps": options.steps, "pictures": len(training), "tests": len(tests)}
    write_json(options.json, results, **about, torch=torch.__version__)


if __name__ == "__main__":
    main()
