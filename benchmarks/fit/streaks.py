"""The streak classifier, `udg/detection/streak_classifier.json`, and how well it tells streaks.

    python -m benchmarks.fit.streaks DATA_DIR [--every N] [--jobs N] [--json OUT]

Rain is rendered over the photographs of clean/kodak24 and clean/bsds353 (every second), after some
were blurred, dimmed, veiled or made grey, and some got lettering or railings. The first stage of
`udg.solve` over-detects; at places drawn from its R, `udg.detection.streaks.streak_features` are
regressed on the part of R that is of the rain. Each picture counts equally, a place by its R. Every
third picture is kept out and measures the fit; what `refit` writes is fitted to all.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter
from skimage.transform import rescale

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, run, write_json
from benchmarks.fit import provenance
from udg import batch
from udg.detection.density import RainDensity
from udg.detection.parameters import StreakClassifier
from udg.detection.parameters import streak_classifier as shipped
from udg.detection.streaks import StreakFeatures, streak_features, streak_logit
from udg.imaging.image import prepare
from udg.io.files import read
from udg.pipeline.options import resolve
from udg.pipeline.stages import decide, observed_plane, schedule, solve_window

NAME = "streak_classifier"
SETS = {"clean/kodak24": 1, "clean/bsds353": 2}  # of the latter every second picture
FONTS = ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSerif-Bold.ttf")
LETTERS = "ABDEFHIJKLMNPRTUilthdbpqrnmk"  # those that have upright strokes
DRAWN = 3000  # places a picture
HIDDEN = 14
STEPS = 150
DECAY = 1e-4


class Data(NamedTuple):
    """Places of pictures, P of them.

    Attributes
    ----------
    features : array, shape (P, features)
    share : array, shape (P,)
        Part of R that is of the rain.
    weight : array, shape (P,)
        By R; each picture counts equally.
    """

    features: np.ndarray
    share: np.ndarray
    weight: np.ndarray


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
    """Make an example of a photograph; features, R and the rain in R at places of its frame."""
    rng = np.random.default_rng(task.number)
    made = example(prepare(read(task.source).pixels).unit(), rng)
    image, request = prepare(made.rainy), resolve(angle=made.angle)
    decision = decide(image, request, made.angle)
    assert decision is not None
    window = slice(0, image.shape[0]), slice(0, image.shape[1])
    draft = solve_window(image.pixels, window, decision, schedule(request.options, decision)[0])
    density = RainDensity(image.shape, made.angle)
    density.add(0, draft.rain, observed_plane(image, decision))
    frame, R = draft.frame, draft.minimum.estimate.R
    Y = frame.rotate(observed_plane(image, decision))
    brightest = frame.rotate(image.brightest(decision.illuminant))
    features = streak_features(Y, R, brightest, density.window(*window).rotated(frame.rotate))
    clean = frame.rotate(observed_plane(prepare(made.clean), decision))
    true = np.clip(Y - clean, 0, None)
    inside = frame.rotate(np.ones(image.shape[:2], np.float32)) > 0.999
    places = np.flatnonzero(inside & (R > 1 / 255))
    places = rng.choice(places, min(DRAWN, len(places)), replace=False)
    rain = R.ravel()[places]
    return {
        "set": task.source.parent.name,
        "features": np.stack([feature.ravel()[places] for feature in features], axis=1),
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
        "features": list(StreakFeatures._fields),
        "centre": rounded(centre),
        "scale": rounded(scale),
        "inner": rounded(net[0].weight.detach()),
        "inner_bias": rounded(net[0].bias.detach()),
        "outer": rounded(net[2].weight.detach()[0]),
        "bias": round(float(net[2].bias.detach()[0]), 4),
    }


def judged(logit: np.ndarray, share: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Area under the curve, and logistic loss, both weighted."""
    order = np.argsort(logit)
    rain, other = (weight * share)[order], (weight * (1 - share))[order]
    below = np.cumsum(other) - other / 2
    loss = np.logaddexp(0, -logit) * share + np.logaddexp(0, logit) * (1 - share)
    return {
        "area under the curve": round(float((rain * below).sum() / (rain.sum() * other.sum())), 4),
        "loss": round(float((weight * loss).sum() / weight.sum()), 4),
    }


def score(classifier: StreakClassifier, data: Data) -> dict[str, float]:
    """How well a classifier tells the places apart."""
    features, share, weight = data
    return judged(streak_logit(StreakFeatures(*features.T), classifier), share, weight)


def joined(rows: list[dict[str, Any]]) -> Data:
    """Features, share and weight of all pictures' places."""
    return Data(*(np.concatenate([row[key] for row in rows]) for key in Data._fields))


def examples(data_dir: Path, jobs: int, every: int = 1) -> list[dict[str, Any]]:
    """Make and measure the examples."""
    paths = [path for name, n in SETS.items() for path in pictures(data_dir / name, n * every)]
    tasks = [batch.Task(path, number=number) for number, path in enumerate(paths)]
    return run(tasks, measure, "examples", jobs)


def refit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of the file: fitted to all, its scores those of a fit to two thirds."""
    kept_out = joined(rows[::3])
    fitted = joined([row for number, row in enumerate(rows) if number % 3])
    everything = joined(rows)
    numbers = fit(*everything)
    return provenance.made(
        numbers,
        data=dict(Counter(row["set"] for row in rows)),
        scores={
            "kept out, of a fit to the others": score(classifier(fit(*fitted)), kept_out),
            "all": score(classifier(numbers), everything),
        },
    )


def classifier(content: dict[str, Any]) -> StreakClassifier:
    """The classifier of a file's content."""
    return StreakClassifier(
        **{field.name: content[field.name] for field in fields(StreakClassifier)}
    )


def alone(data: Data) -> dict[str, float]:
    """The area under the curve of each feature by itself."""
    features, share, weight = data
    return {
        name: judged(np.sign(np.corrcoef(column, share)[0, 1]) * column, share, weight)[
            "area under the curve"
        ]
        for name, column in zip(StreakFeatures._fields, features.T, strict=True)
    }


def main() -> None:
    """Read the arguments, measure, report; `refit` writes."""
    options = arguments.parser(__doc__, "data_dir every jobs json").parse_args()
    rows = examples(options.data_dir, options.jobs, options.every)
    everything = joined(rows)
    results = {
        "pictures": len(rows),
        "places": len(everything.share),
        "of the rain": float(np.average(everything.share, weights=everything.weight)),
        "scores": refit(rows)["provenance"]["scores"],
        "shipped, all": score(shipped(), everything),
        "each feature alone": alone(everything),
    }
    print(json.dumps(results, indent=1))
    write_json(options.json, results)


if __name__ == "__main__":
    main()
