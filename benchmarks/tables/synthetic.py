"""Table 1: PSNR and SSIM of every method on rainy pictures whose clean version is known.

    python -m benchmarks.tables.synthetic DATA_DIR [--sets streets rain100l-dev FOLDER ...]
        [--methods rain dsc gmm udg-paper udg dip udgnet] [--network NAME=WEIGHTS ...]
        [--every N] [--slow-every N] [--evaluated SET=JSON ...] [--json OUT] [-o FOLDER]

Sets and methods are named as `pairs.py` and `methods.py` say; "streets" stands for the paper's
Cityscape. DSC, GMM and DIP do every Nth picture only (`--slow-every`). Rows of one table are of the
same pictures: a method that has done fewer of them gets a table of its own, with everything else
on these. OUT is written after every picture, and the same command goes on from there. What
`baselines/evaluate.py` has measured on a set need not be measured again: `--evaluated` takes its
JSON. `-o` keeps the derained pictures.

PSNR-Y and SSIM-Y are on luma 16–235, of results rounded to the picture's depth.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.progress import track

import udg
from benchmarks._shared import arguments, methods, pairs, paper
from benchmarks._shared.common import write_json
from benchmarks._shared.markdown_table import Table, same_pictures
from udg.io.files import write

#: Which set of the paper one of ours stands for.
COUNTERPARTS = {"streets": "Cityscape", "rain1400": "Rain1400"}
METHODS = ("rain", "dsc", "gmm", "udg-paper", "udg", "dip", "udgnet")

Scores = dict[str, dict[str, dict[str, float]]]  # picture → method → psnr, ssim, seconds


def score(pair: pairs.Loaded, derain: methods.Derain) -> tuple[dict[str, float], pairs.Array]:
    """Derain a picture; its quality and CPU time."""
    began = time.process_time()
    derained = derain(pair.rainy)
    seconds = time.process_time() - began
    quality = {
        "psnr": udg.psnr_y(derained, pair.clean),
        "ssim": udg.ssim_y(derained, pair.clean),
        "seconds": round(seconds, 2),
    }
    return quality, derained


def blocks(scores: Scores) -> list[dict[str, Any]]:
    """Means over the same pictures, the most pictures first."""
    found = []
    for chosen, within in same_pictures(scores):
        rows = {
            name: {
                key: mean(scores[picture][name][key] for picture in chosen)
                for key in ("psnr", "ssim", "seconds")
            }
            for name in within
        }
        for name, row in rows.items():
            if "rain" in rows:
                gains = [scores[p][name]["psnr"] - scores[p]["rain"]["psnr"] for p in chosen]
                row["gain"] = mean(gains)
                row["worse"] = sum(gain < 0 for gain in gains)
        found.append({"pictures": chosen, "n": len(chosen), "rows": rows})
    return found


def table(title: str, block: dict[str, Any], printed: dict[str, paper.Quality]) -> Table:
    """One block, beside the paper's row of each method where the paper has this set."""
    headings = ["", "n", "PSNR", "SSIM", "gain", "worse", "CPU s"]
    if printed:
        headings += ["paper: PSNR", "SSIM"]
    made = Table(f"{title}, n = {block['n']}", headings)
    order = [*methods.LABELS, *(name for name in block["rows"] if name not in methods.LABELS)]
    for name in order:
        row = block["rows"].get(name)
        if row is None:
            continue
        cells = [methods.label(name), block["n"], f"{row['psnr']:.2f}", f"{row['ssim']:.4f}"]
        if name == "rain" or "gain" not in row:
            cells += ["", "", ""]
        else:
            cells += [f"{row['gain']:+.2f}", row["worse"], f"{row['seconds']:.1f}"]
        if printed:
            theirs = printed.get(name)
            cells += [f"{theirs.psnr:.2f}", f"{theirs.ssim:.4f}"] if theirs else ["", ""]
        made.add(*cells)
    return made


def known(path: Path | None, settings: dict[str, Any]) -> dict[str, Scores]:
    """What an earlier run of the same methods has measured."""
    if path is None or not path.exists():
        return {}
    earlier = json.loads(path.read_text(encoding="utf-8"))
    before = earlier["about"]["settings"]
    for name in before.keys() & settings.keys():
        if before[name] != settings[name]:
            raise SystemExit(
                f"{path} holds {name} with {before[name]}, not {settings[name]}; name another file"
            )
    settings |= before
    return {name: one["pictures"] for name, one in earlier["sets"].items()}


def evaluated(path: Path, scores: Scores) -> dict[str, Any]:
    """Take over what `baselines/evaluate.py` has measured; the method, and what it depends on."""
    results = json.loads(path.read_text(encoding="utf-8"))
    about = dict(results["about"]["method"])
    for one in results["pictures"]:
        by_method = scores.setdefault(one["name"], {})
        for name, when in (("rain", "before"), (about["name"], "after")):
            seconds = 0.0 if name == "rain" else one["cpu_seconds"]
            by_method.setdefault(
                name,
                {"psnr": one[f"psnr_{when}"], "ssim": one[f"ssim_{when}"], "seconds": seconds},
            )
    return about


def main() -> None:
    """Read the arguments, measure, report."""
    parser = arguments.parser(
        __doc__,
        "data_dir every rains widest",
        sets={"default": ["streets", "rain100l-dev"]},
        json={"help": "write the numbers here, and go on from here"},
        output={"help": "keep the pictures"},
    )
    parser.add_argument("--methods", nargs="*", default=METHODS, help=", ".join(METHODS))
    parser.add_argument(
        "--slow-every", type=int, default=8, help="DSC, GMM and DIP take every Nth of these"
    )
    parser.add_argument(
        "--evaluated", nargs="*", default=[], metavar="SET=JSON", help="from baselines/evaluate.py"
    )
    methods.add_options(parser)
    options = parser.parse_args()

    names = list(dict.fromkeys(["rain", *options.methods, *methods.networks(options)]))
    settings: dict[str, Any] = {name: methods.described(name, options) for name in names}
    settings["rendered"] = {"rains": options.rains, "widest": options.widest}
    sets = known(options.json, settings)
    for text in options.evaluated:
        spec, _, path = text.partition("=")
        about = evaluated(Path(path), sets.setdefault(spec, {}))
        settings.setdefault(about.pop("name"), {"udg": udg.__version__, **about})
    console = Console(stderr=True)
    for name in names:
        derain = None
        for spec in options.sets:
            chosen = pairs.open_set(
                spec, options.data_dir, rains=options.rains, widest=options.widest
            )[:: options.every]
            if name in methods.SLOW:
                chosen = chosen[:: options.slow_every]
            scores = sets.setdefault(Path(spec).name, {})
            missing = [pair for pair in chosen if name not in scores.get(pair.name, {})]
            for pair in track(missing, f"{spec}: {methods.label(name)}", console=console):
                derain = derain or methods.method(name, options)
                quality, derained = score(pair.load(), derain)
                scores.setdefault(pair.name, {})[name] = quality
                save(options.json, sets, settings)
                if options.output:
                    folder = options.output / Path(spec).name / name
                    folder.mkdir(parents=True, exist_ok=True)
                    write(folder / f"{pair.name}.png", derained, overwrite=True)
    save(options.json, sets, settings)
    for name, scores in sets.items():
        for block in blocks(scores):
            table(name, block, paper.TABLE_1.get(COUNTERPARTS.get(name, ""), {})).show()


def save(path: Path | None, sets: dict[str, Scores], settings: dict[str, Any]) -> None:
    """Write the numbers, if somewhere."""
    if path is not None:
        means = {name: blocks(scores) for name, scores in sets.items()}
        results = {
            name: {
                "means": [{"n": block["n"], "rows": block["rows"]} for block in means[name]],
                "pictures": dict(sorted(scores.items())),
            }
            for name, scores in sets.items()
        }
        write_json(path, {"sets": results}, settings=settings)


if __name__ == "__main__":
    main()
