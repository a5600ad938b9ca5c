"""A blind look at real photos: streaks should be gone, and everything else still there.

    python -m benchmarks.solver.look sheets RAINY DERAINED -o FOLDER [--side PIXELS] [--seed N]
    python -m benchmarks.solver.look count FOLDER/key.json ANSWERS.csv...
        [--also FOLDER2/key.json ANSWERS2.csv ...] [--json OUT]

`sheets` puts each photo of one folder and its derained version of another into one picture, in
random order, which of the two comes first being random as well, enlarged to fill it, and writes
questions.txt, the words that every judge is given, and key.json, which no judge sees. `count` reads
what the judges wrote, a line a sheet, and takes the majority for each photo.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import pictures, write_json
from benchmarks._shared.drawing import keep
from udg.io.files import read
from udg.io.picture import quantize

STREAKS = ("gone", "partly", "no")
DAMAGE = ("none", "slight", "clear")
_GAP = 8  # pixels between the two
_MAGENTA = (255, 0, 255)

QUESTIONS = """\
Every sheet shows one photo twice, apart by a magenta line. One of the two has had its rain streaks
removed by a program; the first (above or on the left) on about half of the sheets. Look at each
sheet as a whole, as a person would who took the photo, and compare the two. Then write one line:

    sheet,cleaned,streaks,damage,where

sheet    the sheet's number
cleaned  first or second: the one from which rain was removed
streaks  in the cleaned one, compared with the other:
         gone    rain streaks no longer meet the eye (a few faint ones that must be searched for
                 do not matter, nor do mist, puddles, splashes and wet ground)
         partly  clearly fewer or fainter, but streaks still meet the eye
         no      about as many as before
damage   in the cleaned one, to anything that is not rain (faces, lettering, poles, fences, trunks,
         window frames, textures), compared with the other:
         none    nothing to be seen
         slight  something is softer or a little different if one searches for it; nobody would mind
         clear   meets the eye: something is broken, erased, smeared, blotchy or wrongly coloured
where    for partly, no, slight and clear: what and where, in a few words without a comma
"""


class LookError(Exception):
    """What was given makes no look; the message says why."""


class Answer(NamedTuple):
    """What one judge says of one sheet; grades are places in `STREAKS` and `DAMAGE`."""

    streaks: int
    damage: int
    where: str


# Sheets


def side_by_side(first: Image.Image, second: Image.Image, side: int) -> Image.Image:
    """Put two pictures of one size beside or below each other, whichever shows them larger."""
    width, height = first.size
    below = min(side / width, (side - _GAP) / (2 * height))
    beside = min((side - _GAP) / (2 * width), side / height)
    scale = max(below, beside)
    size = round(width * scale), round(height * scale)
    step = (0, size[1] + _GAP) if below >= beside else (size[0] + _GAP, 0)
    whole = Image.new("RGB", (size[0] + step[0], size[1] + step[1]), _MAGENTA)
    for number, picture in enumerate((first, second)):
        place = number * step[0], number * step[1]
        whole.paste(picture.resize(size, Image.Resampling.BICUBIC), place)
    return whole


def make_sheets(rainy: Path, derained: Path, folder: Path, side: int, seed: int) -> dict[str, Any]:
    """Write the sheets, the questions and the key, and give the key back."""
    before, after = ({path.stem: path for path in pictures(where)} for where in (rainy, derained))
    names = sorted(before.keys() & after.keys())
    if not names:
        raise LookError(f"no picture has the same name in {rainy} and {derained}")
    rng = np.random.default_rng(seed)
    order = [names[i] for i in rng.permutation(len(names))]
    firsts = rng.integers(2, size=len(names)).astype(bool).tolist()
    key: dict[str, Any] = {}
    folder.mkdir(parents=True, exist_ok=True)
    entries = list(enumerate(zip(order, firsts, strict=True)))
    for number, (name, first) in track(entries, "sheets", console=Console(stderr=True)):
        versions = [_rgb(before[name]), _rgb(after[name])]
        if versions[0].size != versions[1].size:
            raise LookError(f"{name} has another size in {derained}")
        sheet = f"{number:03d}"
        keep(
            side_by_side(*(reversed(versions) if first else versions), side),
            folder / f"{sheet}.png",
        )
        key[sheet] = {"name": name, "cleaned": "first" if first else "second"}
    (folder / "questions.txt").write_text(QUESTIONS, encoding="utf-8")
    (folder / "key.json").write_text(json.dumps(key, indent=1) + "\n", encoding="utf-8")
    return key


def _rgb(path: Path) -> Image.Image:
    pixels = read(path).pixels
    return Image.fromarray(quantize(pixels, pixels.dtype, np.uint8)).convert("RGB")


# Answers


def read_answers(path: Path, key: dict[str, Any]) -> tuple[dict[str, Answer], int]:
    """Read what a judge says of each photo, and how often the two were taken for each other."""
    found: dict[str, Answer] = {}
    mistaken = 0
    with path.open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            if not row or row[0].strip() in ("", "sheet"):
                continue
            sheet, cleaned, streaks, damage, *where = (word.strip() for word in row + [""] * 4)
            sheet = sheet.zfill(3)
            if sheet not in key:
                raise LookError(f"{path}: there is no sheet {sheet}")
            if cleaned not in ("first", "second") or streaks not in STREAKS or damage not in DAMAGE:
                raise LookError(
                    f"{path}: {','.join(row)!r} is not sheet,first|second,{'|'.join(STREAKS)},"
                    f"{'|'.join(DAMAGE)},where"
                )
            mistaken += cleaned != key[sheet]["cleaned"]
            words = " ".join(word for word in where if word)
            answer = Answer(STREAKS.index(streaks), DAMAGE.index(damage), words)
            found[key[sheet]["name"]] = answer
    if missing := [about["name"] for about in key.values() if about["name"] not in found]:
        raise LookError(f"{path} says nothing of {len(missing)} photos, as {missing[0]}")
    return found, mistaken


def majority(answers: list[Answer]) -> dict[str, Any]:
    """What most judges say of a photo.

    Medians of the grades; of two in the middle, the better one. "good" is gone without clear
    damage, by more than half of the judges.
    """
    good = sum(answer.streaks == 0 and answer.damage < 2 for answer in answers)
    return {
        "streaks": STREAKS[median_low(answer.streaks for answer in answers)],
        "damage": DAMAGE[median_low(answer.damage for answer in answers)],
        "good": 2 * good > len(answers),
        "where": [answer.where for answer in answers],
    }


def counts(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """How many photos have each grade, and how many are good."""
    streaks, damage = (Counter(row[what] for row in rows) for what in ("streaks", "damage"))
    return {
        "streaks": {grade: streaks[grade] for grade in STREAKS},
        "damage": {grade: damage[grade] for grade in DAMAGE},
        "good": sum(row["good"] for row in rows),
    }


def count(looks: list[tuple[dict[str, Any], list[Path]]]) -> dict[str, Any]:
    """Count what judges said, each of a look of its own or all of the same."""
    judges: dict[str, dict[str, Answer]] = {}
    mistaken = {}
    for key, paths in looks:
        for path in paths:
            judges[str(path)], mistaken[str(path)] = read_answers(path, key)
    names = sorted(set.intersection(*(set(said) for said in judges.values())))
    photos = {name: majority([said[name] for said in judges.values()]) for name in names}
    each = [
        counts([majority([said[name]]) for name in names]) | {"mistaken": mistaken[judge]}
        for judge, said in judges.items()
    ]
    return {"judges": each, "majority": counts(list(photos.values())), "photos": photos}


def show(results: dict[str, Any], console: Console) -> None:
    """Print the tables."""
    table = Table("judge", "/".join(STREAKS), "/".join(DAMAGE), "gone without clear damage")
    rows = [(str(number), judge) for number, judge in enumerate(results["judges"], 1)]
    for title, row in [*rows, ("majority", results["majority"])]:
        grades = (" / ".join(map(str, row[what].values())) for what in ("streaks", "damage"))
        table.add_row(title, *grades, str(row["good"]))
    console.print(table)
    photos = Table("photo", "streaks", "damage", "good", "where")
    for name, row in results["photos"].items():
        where = "; ".join(words for words in row["where"] if words)
        photos.add_row(name, row["streaks"], row["damage"], "yes" if row["good"] else "", where)
    console.print(photos)


def main() -> None:
    """Read the arguments, make sheets or count answers."""
    parser = arguments.parser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    sheets = commands.add_parser("sheets", help="make the sheets")
    sheets.add_argument("rainy", type=Path, metavar="RAINY")
    sheets.add_argument("derained", type=Path, metavar="DERAINED")
    arguments.add(sheets, output={"required": True, "help": "write into this folder"})
    sheets.add_argument("--side", type=int, default=1560, help="longest side of a sheet in pixels")
    sheets.add_argument("--seed", type=int, default=0, help="order of the sheets, and in them")
    answers = commands.add_parser("count", help="count the answers")
    answers.add_argument("key", type=Path, help="the key.json written with the sheets")
    answers.add_argument(
        "answers", type=Path, nargs="+", metavar="ANSWERS", help="CSV, one a judge"
    )
    answers.add_argument(
        "--also",
        nargs=2,
        type=Path,
        action="append",
        default=[],
        metavar=("KEY", "ANSWERS"),
        help="a judge of the same photos in another order",
    )
    arguments.add(answers, "json")
    options = parser.parse_args()
    try:
        if options.command == "sheets":
            key = make_sheets(
                options.rainy, options.derained, options.output, options.side, options.seed
            )
            print(f"{len(key)} sheets, questions.txt and key.json in {options.output}")
            return
        given = [(options.key, options.answers), *((key, [said]) for key, said in options.also)]
        keys = [json.loads(path.read_text(encoding="utf-8")) for path, _ in given]
        results = count(list(zip(keys, (paths for _, paths in given), strict=True)))
        show(results, Console())
        write_json(options.json, results)
    except (LookError, udg.UdgError, OSError) as error:
        raise SystemExit(f"error: {error}") from None


if __name__ == "__main__":
    main()
