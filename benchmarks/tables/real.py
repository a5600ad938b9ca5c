"""Table 2: real photos, without a clean version: NIQE of every method's results, and ratings.

    python -m benchmarks.tables.real DATA_DIR|FOLDER -o OUT
        [--methods rain dsc gmm udg-paper udg udgnet] [--network NAME=WEIGHTS ...] [--every N]
        [--slow-every N] [--widest PIXELS]
        [--ratings KEY RATINGS.json ...] [--json FILE]

Takes DATA_DIR/realrain60/rainy, or any folder of rainy pictures, and writes OUT/METHOD/NAME.png;
what is there already is not done again. The folders are then what `study.py page` shows to people:

    python -m benchmarks.tables.study page rain=OUT/rain udg=OUT/udg udgnet=OUT/udgnet -o study.html

and `--ratings` adds the column of their answers. Methods are named as `methods.py` says. DSC and
GMM do every Nth picture only, and rows of one table are of the same pictures. NIQE is `udg.niqe`,
lower is better; its model is not that of the paper's numbers, so compare differences, not values.
"""

from __future__ import annotations

import time
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, methods, paper
from benchmarks._shared.common import pictures, write_json
from benchmarks._shared.markdown_table import Table, same_pictures
from benchmarks.tables import study
from udg.io.files import read, write
from udg.io.picture import quantize

METHODS = ("rain", "dsc", "gmm", "udg-paper", "udg", "udgnet")


def load(path: Path, widest: int | None) -> methods.Array:
    """Read a picture, made smaller if it is wider than asked for."""
    pixels = read(path).pixels
    if widest is None or pixels.shape[1] <= widest:
        return pixels
    picture = Image.fromarray(quantize(pixels, pixels.dtype, np.uint8))
    height = round(picture.height * widest / picture.width)
    return np.asarray(picture.resize((widest, height), Image.Resampling.LANCZOS))


def table(chosen: list[str], rows: dict[str, Any], rated: dict[str, dict[str, Any]]) -> Table:
    """Build the table of methods on the same pictures, beside the paper's."""
    made = Table(
        f"Table 2, n = {len(chosen)}",
        ["", "n", "NIQE", "change", "lower", "ratings", "paper: NIQE", "ratings"],
    )
    for name in [*methods.LABELS, *(name for name in rows if name not in methods.LABELS)]:
        if name not in rows:
            continue
        row, theirs, answer = rows[name], paper.TABLE_2.get(name), rated.get(name)
        changed = name != "rain" and "rain" in rows
        made.add(
            methods.label(name),
            len(chosen),
            f"{row['niqe']:.2f}",
            f"{row['change']:+.2f}" if changed else "",
            row["lower"] if changed else "",
            f"{answer['mean']:.2f} ({answer['low']:.2f} to {answer['high']:.2f})" if answer else "",
            f"{theirs.niqe:.2f}" if theirs else "",
            f"{theirs.study:.2f}" if theirs else "",
        )
    return made


def summary(chosen: list[str], names: list[str], scores: dict[str, dict[str, float]]) -> Any:
    """Average each method over the pictures."""
    rows: dict[str, Any] = {}
    for name in names:
        row: dict[str, Any] = {"niqe": mean(scores[picture][name] for picture in chosen)}
        if all("rain" in scores[picture] for picture in chosen):
            changes = [scores[picture][name] - scores[picture]["rain"] for picture in chosen]
            row |= {"change": mean(changes), "lower": sum(change < 0 for change in changes)}
        rows[name] = row
    return rows


def main() -> None:
    """Read the arguments, derain, measure, report."""
    parser = arguments.parser(
        __doc__,
        "every json",
        output={"required": True, "metavar": "OUT", "help": "keep the pictures"},
        widest={"default": None, "help": "make wider pictures so many pixels wide"},
    )
    parser.add_argument("folder", type=Path, metavar="DATA_DIR|FOLDER")
    parser.add_argument("--methods", nargs="*", default=METHODS, help=", ".join(METHODS))
    parser.add_argument("--slow-every", type=int, default=10, help="DSC, GMM, DIP: every Nth")
    parser.add_argument(
        "--ratings", type=Path, nargs="+", metavar="JSON", help="a study's key and its answers"
    )
    methods.add_options(parser)
    options = parser.parse_args()

    rated = {}
    if options.ratings:
        try:
            key, *answers = options.ratings
            rated = study.fold(study.collect(study.load(key), answers))
        except study.StudyError as error:
            raise SystemExit(f"error: {error}") from None
    inside = options.folder / "realrain60" / "rainy"
    found = pictures(inside if inside.is_dir() else options.folder, options.every)
    if not found:
        parser.error(f"there is no picture in {options.folder}")
    names = list(dict.fromkeys(["rain", *options.methods, *methods.networks(options)]))
    scores: dict[str, dict[str, float]] = {path.stem: {} for path in found}
    console, began = Console(stderr=True), time.process_time()
    for name in names:
        folder = options.output / name
        folder.mkdir(parents=True, exist_ok=True)
        derain = None
        chosen = found[:: options.slow_every] if name in methods.SLOW else found
        for path in track(chosen, methods.label(name), console=console):
            target = folder / f"{path.stem}.png"
            if not target.exists():
                derain = derain or methods.method(name, options)
                write(target, derain(load(path, options.widest)))
            scores[path.stem][name] = udg.niqe(read(target).pixels)
    blocks = [
        {"n": len(chosen), "pictures": chosen, "rows": summary(chosen, within, scores)}
        for chosen, within in same_pictures(scores)
    ]
    for block in blocks:
        table(block["pictures"], block["rows"], rated).show()
    about = {name: methods.described(name, options) for name in names}
    results = {"means": blocks, "ratings": rated, "pictures": scores}
    seconds = round(time.process_time() - began)
    write_json(options.json, results, methods=about, widest=options.widest, seconds=seconds)


if __name__ == "__main__":
    main()
