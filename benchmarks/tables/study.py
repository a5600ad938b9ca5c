"""The user study of Table 2: a page on which people rate pictures blind, and what they said.

    python -m benchmarks.tables.study page METHOD=FOLDER METHOD=FOLDER... -o study.html
        [--scenes N] [--side PIXELS] [--seed N]
    python -m benchmarks.tables.study fold study-key.json RATINGS.json... [--json OUT]

`page` takes the pictures that all folders have under the same name (suffixes may differ) and writes
one HTML file that holds everything it shows, so that it can be sent to anyone and opened without a
network. Versions of a scene are shown in random order, rated from 1 to 10, and downloaded as JSON.
The page knows them by random numbers only; which is which stands in study-key.json beside it.

`fold` takes those files and prints each method's mean with an interval of 95 % (percentiles of
a bootstrap over participants and scenes at once), beside the paper's.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

import udg
from benchmarks._shared import arguments, paper
from benchmarks._shared.common import write_json
from udg import batch
from udg.io.files import read
from udg.io.paths import write_bytes
from udg.io.picture import quantize

_TEMPLATE = Path(__file__).with_suffix(".html")
_QUALITY = 92  # JPEG: its losses stay far below what is being judged
_RESAMPLES = 4000


class StudyError(Exception):
    """What was given makes no study; the message says why."""


# The page


def scenes_of(folders: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """Find the names that all folders have: scene -> method -> picture."""
    if len(folders) < 2:
        raise StudyError("a comparison needs two methods at least: METHOD=FOLDER METHOD=FOLDER")
    found = {
        method: {entry.path.stem: entry.path for entry in batch.expand([folder])}
        for method, folder in folders.items()
    }
    names = sorted(set.intersection(*(set(pictures) for pictures in found.values())))
    if not names:
        raise StudyError("no picture has the same name in all folders")
    return {name: {method: found[method][name] for method in folders} for name in names}


def encode(path: Path, side: int) -> str:
    """Make a data URI of a picture, at most so many pixels wide or high."""
    pixels = read(path).pixels
    picture = Image.fromarray(quantize(pixels, pixels.dtype, np.uint8)).convert("RGB")
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def make_page(
    folders: dict[str, Path], scenes: int | None, side: int, seed: int
) -> tuple[str, dict[str, Any]]:
    """Make the page and its key, with `scenes` scenes drawn by the seed, or all."""
    found = scenes_of(folders)
    names = list(found)
    if scenes is not None and scenes < len(names):
        names = sorted(np.random.default_rng(seed).choice(names, scenes, replace=False).tolist())
    pictures: dict[str, str] = {}
    items: dict[str, dict[str, str]] = {}
    groups = []
    for name in track(names, "pictures", console=Console(stderr=True)):
        numbers = [secrets.token_hex(6) for _ in folders]
        for number, method in zip(numbers, folders, strict=True):
            items[number] = {"scene": name, "method": method}
            pictures[number] = encode(found[name][method], side)
        groups.append(sorted(numbers))  # an order that tells nothing
    identity = secrets.token_hex(4)
    study = json.dumps({"id": identity, "scenes": groups, "pictures": pictures})
    page = _TEMPLATE.read_text(encoding="utf-8").replace("/*STUDY*/", study, 1)
    return page, {"study": identity, "methods": list(folders), "items": items}


# What people said


@dataclass(frozen=True)
class Ratings:
    """Ratings (participant, scene, method), NaN where there is none."""

    methods: list[str]
    values: NDArray[np.float64]


def load(path: Path) -> dict[str, Any]:
    """Read a JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise StudyError(f"{path} is not JSON") from None
    if not isinstance(found, dict) or "study" not in found:
        raise StudyError(f"{path} is not of a study")
    return found


def collect(key: dict[str, Any], files: list[Path]) -> Ratings:
    """Read the ratings; of several by one participant the last counts."""
    latest: dict[str, dict[str, Any]] = {}
    for path in files:
        found = load(path)
        if found["study"] != key["study"]:
            raise StudyError(f"{path} belongs to study {found['study']}, the key to {key['study']}")
        known = latest.get(found["participant"])
        if known is None or known["ended"] < found["ended"]:
            latest[found["participant"]] = found
    scenes = sorted({item["scene"] for item in key["items"].values()})
    values = np.full((len(latest), len(scenes), len(key["methods"])), np.nan)
    for row, found in enumerate(latest.values()):
        for entry in found["ratings"]:
            if entry["rating"] is None:
                continue
            item = key["items"].get(entry["item"])
            if item is None or entry["rating"] not in range(1, 11):
                raise StudyError(f"participant {found['participant']}: {entry} cannot be read")
            column = scenes.index(item["scene"]), key["methods"].index(item["method"])
            values[row, *column] = entry["rating"]
    if np.isnan(values).all(axis=(0, 1)).any():
        raise StudyError("a method has no rating at all")
    return Ratings(key["methods"], values)


def fold(ratings: Ratings, seed: int = 0) -> dict[str, dict[str, Any]]:
    """Summarise each method: mean, 95 % interval, ratings, and how often it was the scene's best.

    Participants and scenes are both drawn again, so that the interval speaks of other people and
    other pictures of the same kind. With one participant or one scene it is too narrow.
    """
    values = ratings.values
    people, scenes, _ = values.shape
    rng = np.random.default_rng(seed)
    given = ~np.isnan(values)
    sums = np.where(given, values, 0)
    # How often each was drawn is its weight: the same as repeating its ratings.
    who = rng.multinomial(people, np.full(people, 1 / people), _RESAMPLES)
    which = rng.multinomial(scenes, np.full(scenes, 1 / scenes), _RESAMPLES)
    drawn, total = (
        np.einsum("bp,bs,psm->bm", who, which, part, optimize=True) for part in (sums, given)
    )
    # A method that a draw has not rated at all tells nothing there.
    means = np.divide(drawn, total, where=total > 0, out=np.full(total.shape, np.nan))
    low, high = np.nanpercentile(means, (2.5, 97.5), axis=0)
    whole = given.all(axis=2)
    best = sums == sums.max(axis=2, keepdims=True)
    share = best / best.sum(axis=2, keepdims=True)  # a tie counts in parts
    return {
        method: {
            "mean": mean(values[..., m][given[..., m]].tolist()),
            "low": float(low[m]),
            "high": float(high[m]),
            "ratings": int(given[..., m].sum()),
            "best": float(share[..., m][whole].mean()) if whole.any() else None,
        }
        for m, method in enumerate(ratings.methods)
    }


def show(rows: dict[str, dict[str, Any]], ratings: Ratings, console: Console) -> None:
    """Print the table."""
    people, scenes, _ = ratings.values.shape
    table = Table(
        "method",
        "mean",
        "95 %",
        "ratings",
        "best",
        "paper",
        title="User study, 1 to 10, more is better",
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for method, row in rows.items():
        table.add_row(
            method,
            f"{row['mean']:.2f}",
            f"{row['low']:.2f} to {row['high']:.2f}",
            str(row["ratings"]),
            "" if row["best"] is None else f"{row['best']:.0%}",
            f"{paper.TABLE_2[method].study:.2f}" if method in paper.TABLE_2 else "",
        )
    console.print(table)
    console.print(f"{people} participants, {scenes} scenes")


def method_folder(text: str) -> tuple[str, Path]:
    """Read METHOD=FOLDER."""
    method, equals, folder = text.partition("=")
    if not (method and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r} is not METHOD=FOLDER")
    if not Path(folder).is_dir():
        raise argparse.ArgumentTypeError(f"{folder} is not a folder")
    return method, Path(folder)


def main() -> None:
    """Read the arguments, make the page or fold the answers."""
    parser = arguments.parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    page = commands.add_parser("page", help="make the page")
    page.add_argument("folders", type=method_folder, nargs="+", metavar="METHOD=FOLDER")
    page.add_argument("-o", "--output", type=Path, default=Path("study.html"))
    page.add_argument("--scenes", type=int, help="draw so many (default: all)")
    page.add_argument("--side", type=int, default=1000, help="longest side in pixels")
    page.add_argument("--seed", type=int, default=0, help="which scenes are drawn")
    answers = commands.add_parser("fold", help="fold the answers")
    answers.add_argument("key", type=Path, help="the ...-key.json written with the page")
    answers.add_argument("ratings", type=Path, nargs="+", help="what participants downloaded")
    arguments.add(answers, "json")
    options = parser.parse_args()
    try:
        if options.command == "page":
            folders = dict(options.folders)
            html, key = make_page(folders, options.scenes, options.side, options.seed)
            text = json.dumps(key, indent=1, ensure_ascii=False)
            name = f"{options.output.stem}-key.json"
            # Another key in its place would make the answers to the older page worthless.
            write_bytes(options.output.with_name(name), text.encode())
            write_bytes(options.output, html.encode())
            size = len(html) / 1e6
            print(f"{options.output} ({size:.1f} MB) and {options.output.with_name(name)}")
        else:
            ratings = collect(load(options.key), options.ratings)
            rows = fold(ratings)
            show(rows, ratings, Console())
            people, scenes, _ = ratings.values.shape
            write_json(options.json, {"methods": rows}, participants=people, scenes=scenes)
    except (StudyError, udg.UdgError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
