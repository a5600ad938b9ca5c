"""Where `udg/assets/likeness.json` comes from: a regression that tells streaks from other lines.

    python benchmarks/likeness.py DATA_DIR [--json OUT] [--write udg/assets/likeness.json]

Rain is rendered over the photographs of clean/kodak24 and clean/bsds353 (every second), after some
were blurred, dimmed, veiled or made grey, and some got lettering or railings. An eager first pass
finds R; at places drawn from it, `udg.detection.doubt.streak_features` are regressed on the part of R that is of the
rain. Each picture counts equally, a place by its R. Every third picture is kept out and measures
the fit; what is written is fitted to all.
"""

from __future__ import annotations

import argparse
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import pictures, run, write_json
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from skimage.transform import rescale

import udg
from udg import batch
from udg.detection.doubt import RainDensity, StreakFeatures, draft_sparsity, streak_features
from udg.io.raster import read
from udg.imaging.image import prepare
from udg.optim.loop import minimize
from udg.imaging.geometry import rotate, unrotate
from udg.pipeline.options import for_picture, frame_problem, observed_plane, tolerance, understood

SETS = {"clean/kodak24": 1, "clean/bsds353": 2}  # of the latter every second picture
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf")
LETTERS = "ABDEFHIJKLMNPRTUilthdbpqrnmk"  # those that have upright strokes
DRAWN = 3000  # places a picture
BY_DEFAULT = {"tau": None, "lam_x": None, "lam_y": None, "lam_r": None}
HIDDEN = 14
STEPS = 150
DECAY = 1e-4


@dataclass(frozen=True)
class Example:
    """A rainy picture, (H, W, 3) in [0, 1], as it was without rain, and the rain's angle."""

    clean: np.ndarray
    rainy: np.ndarray
    angle: float


def example(photo: np.ndarray, rng: np.random.Generator) -> Example:
    """Make a rainy picture of a photograph in [0, 1]."""
    clean = photo
    if max(photo.shape) > 500:
        clean = rescale(clean, rng.uniform(0.55, 1), channel_axis=2, anti_aliasing=True)
    if rng.random() < 0.3:
        sigma = rng.uniform(0.4, 2)
        clean = gaussian_filter(clean, (sigma, sigma, 0))
    if rng.random() < 0.35:  # haze
        clear = rng.uniform(0.3, 0.9)
        clean = clear * clean + (1 - clear) * rng.uniform(0.5, 0.9)
    if rng.random() < 0.2:
        clean = clean * rng.uniform(0.25, 0.7)
    if rng.random() < 0.15:
        clean = np.repeat(clean.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < 0.5:
        clean = with_letters(clean, rng)
    if rng.random() < 0.25:
        clean = with_railing(clean, rng)
    clean = np.clip(clean, 0, 1).astype(np.float32)
    angle = float(np.clip(rng.normal(0, 8), -40, 40))
    width = float(np.exp(rng.uniform(0, np.log(3.5))))
    rainy = udg.synthesize(
        clean,
        angle=angle,
        length=max(float(np.exp(rng.uniform(np.log(10), np.log(70)))), 3 * width),
        width=width,
        density=float(rng.uniform(0.02, 0.3)),
        intensity=float(rng.uniform(0.1, 0.6)),
        blend="screen" if rng.random() < 0.5 else "add",
        spread=float(rng.uniform(0.1, 0.7)),
        seed=rng,
    ).rainy
    eight = np.round(np.asarray(rainy) * 255).astype(np.uint8)
    if rng.random() < 0.3:
        file = io.BytesIO()
        Image.fromarray(eight).save(file, "JPEG", quality=int(rng.integers(70, 95)))
        eight = np.asarray(Image.open(file))
    return Example(clean, (eight / 255).astype(np.float32), angle)


def with_letters(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay light words over a picture, solid or half transparent."""
    height, width = picture.shape[:2]
    mask = Image.new("L", (width, height))
    for _ in range(rng.integers(1, 4)):
        font = Path(get_data_path()) / "fonts" / "ttf" / FONTS[rng.integers(len(FONTS))]
        size = int(rng.integers(12, max(20, height // 6)))
        word = "".join(rng.choice(list(LETTERS), rng.integers(3, 12)))
        place = rng.uniform(0, 0.6) * width, rng.uniform(0.02, 0.85) * height
        ImageDraw.Draw(mask).text(place, word, fill=255, font=ImageFont.truetype(str(font), size))
    return _laid_over(picture, mask, rng.uniform(0.25, 1), rng.choice([0.7, 0.9, 1.0]))


def with_railing(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put bars of one brightness before a part of a picture, with rails across."""
    height, width = picture.shape[:2]
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    top, left = rng.uniform(0, 0.7) * height, rng.uniform(0, 0.7) * width
    bottom = min(height, top + rng.uniform(0.1, 0.6) * height)
    right = min(width, left + rng.uniform(0.15, 0.8) * width)
    thick, gap, lean = int(rng.integers(1, 4)), rng.uniform(4, 30), rng.uniform(-0.1, 0.1)
    for x in np.arange(left, right, gap):
        draw.line([(x, top), (x + lean * (bottom - top), bottom)], fill=255, width=thick)
    rail = gap if rng.random() < 0.4 else rng.uniform(0.4, 1) * (bottom - top)  # a mesh, a railing
    for y in np.arange(top, bottom, max(rail, 4)):
        draw.line([(left, y), (right, y)], fill=255, width=thick)
    return _laid_over(picture, mask, rng.uniform(0.5, 1), rng.uniform(0, 1))


def _laid_over(picture: np.ndarray, mask: Image.Image, part: float, light: float) -> np.ndarray:
    covered = part * np.asarray(mask, np.float64)[..., None] / 255
    return (1 - covered) * picture + covered * light


def measure(task: batch.Task) -> dict[str, Any]:
    """Make an example of a photograph; give streak_features, R and the rain in R at places of its frame."""
    rng = np.random.default_rng(task.number)
    made = example(prepare(read(task.source).pixels).unit(), rng)
    image = prepare(made.rainy)
    height, width = made.rainy.shape[:2]
    settings = for_picture(understood(BY_DEFAULT).settings, image)
    problem = frame_problem(rotate(observed_plane(image, settings), made.angle), settings, 1)
    eager = np.full_like(problem.Y, draft_sparsity(1.0, eager=True))
    eager_problem, tol = replace(problem, sparsity_map=eager), tolerance(settings, last=False)
    Y, R = problem.Y, minimize(eager_problem, settings.method, tol=tol).estimate.R
    density = RainDensity((height, width), made.angle)
    density.add(0, unrotate(R, made.angle, (height, width)), observed_plane(image, settings))
    around = density.around(slice(0, height), slice(0, width))
    around = around.turned(lambda plane: rotate(plane, made.angle))
    what = streak_features(Y, R, rotate(image.brightest(settings.light), made.angle), around)
    clean = observed_plane(prepare(made.clean), settings)
    true = np.clip(Y - rotate(clean, made.angle), 0, None)
    inside = rotate(np.ones((height, width), np.float32), made.angle) > 0.999
    places = np.flatnonzero(inside & (R > 1 / 255))
    places = rng.choice(places, min(DRAWN, len(places)), replace=False)
    rain = R.ravel()[places]
    return {
        "streak_features": np.stack([trait.ravel()[places] for trait in what], axis=1),
        "share": np.minimum(rain, true.ravel()[places]) / rain,
        "weight": rain / max(float(rain.sum()), 0.5),
    }


def fit(features: np.ndarray, share: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """Least logistic loss of a sum of tanh, by L-BFGS."""
    torch.manual_seed(0)
    centre, scale = features.mean(axis=0), features.std(axis=0)
    x = torch.tensor((features - centre) / scale).clamp(-3, 3).double()
    target, w = torch.tensor(share).double(), torch.tensor(weight / weight.mean()).double()
    net = torch.nn.Sequential(
        torch.nn.Linear(x.shape[1], HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 1)
    ).double()
    descent = torch.optim.LBFGS(net.parameters(), max_iter=STEPS, line_search_fn="strong_wolfe")
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits

    def loss() -> torch.Tensor:
        descent.zero_grad()
        total = cross_entropy(net(x)[:, 0], target, w)
        total = total + DECAY * sum((u**2).sum() for u in net.parameters())
        total.backward()
        return total

    descent.step(loss)
    rounded = lambda values: np.round(np.asarray(values, np.float64), 4).tolist()  # noqa: E731
    return {
        "streak_features": list(StreakFeatures._fields),
        "centre": rounded(centre),
        "scale": rounded(scale),
        "inner": rounded(net[0].weight.detach()),
        "inner_bias": rounded(net[0].bias.detach()),
        "outer": rounded(net[2].weight.detach()[0]),
        "bias": round(float(net[2].bias.detach()[0]), 4),
    }


def streak_logit(model: dict[str, Any], features: np.ndarray) -> np.ndarray:
    """Ask a model; the readable twin of `udg.detection.doubt.streak_logit`."""
    scaled = np.clip((features - model["centre"]) / model["scale"], -3, 3)
    inner = np.tanh(scaled @ np.transpose(model["inner"]) + model["inner_bias"])
    return inner @ model["outer"] + model["bias"]


def judged(odds: np.ndarray, share: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Area under the curve, and logistic loss, both weighted."""
    order = np.argsort(odds)
    rain, other = (weight * share)[order], (weight * (1 - share))[order]
    below = np.cumsum(other) - other / 2
    loss = np.logaddexp(0, -odds) * share + np.logaddexp(0, odds) * (1 - share)
    return {
        "area under the curve": float((rain * below).sum() / (rain.sum() * other.sum())),
        "loss": float((weight * loss).sum() / weight.sum()),
    }


def summary(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Fit to all, and to two thirds to judge by the rest."""
    keys = ("streak_features", "share", "weight")
    out = [number % 3 == 0 for number in range(len(rows))]

    def joined(chosen: list[dict[str, Any]]) -> list[np.ndarray]:
        return [np.concatenate([row[key] for row in chosen]) for key in keys]

    fitted = joined([row for row, kept in zip(rows, out, strict=True) if not kept])
    features, share, weight = joined([row for row, kept in zip(rows, out, strict=True) if kept])
    results = {
        "pictures": len(rows),
        "places": sum(len(row["share"]) for row in rows),
        "of the rain": float((weight * share).sum() / weight.sum()),
        "kept out": judged(streak_logit(fit(*fitted), features), share, weight),
        "each trait alone": {
            name: judged(np.sign(np.corrcoef(column, share)[0, 1]) * column, share, weight)[
                "area under the curve"
            ]
            for name, column in zip(StreakFeatures._fields, features.T, strict=True)
        },
    }
    return results, fit(*joined(rows))


def main() -> None:
    """Read the arguments, measure, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data_dir", type=Path, help="the folder that holds the sets")
    parser.add_argument("--every", type=int, default=1, help="use every so many pictures only")
    parser.add_argument("--jobs", type=int, default=2, help="number of processes")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--write", type=Path, help="write the coefficients to this file")
    options = parser.parse_args()

    paths = [
        path
        for name, every in SETS.items()
        for path in pictures(options.data_dir / name, every * options.every)
    ]
    tasks = [batch.Task(path, number=n) for n, path in enumerate(paths)]
    results, model = summary(run(tasks, measure, "examples", options.jobs))
    print(json.dumps(results, indent=1))
    if options.json:
        write_json(options.json, results)
    if options.write:
        lines = (f" {json.dumps(key)}: {json.dumps(value)}" for key, value in model.items())
        options.write.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
