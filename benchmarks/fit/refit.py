"""Make the numbers that `udg.detection` ships anew, each file from those that it depends on.

    python -m benchmarks refit DATA_DIR [--write [numbers|provenance]] [--jobs N] [--every N]

In this order: the streak classifier, the rain level by evidence with that classifier, and what
reweighting knows of that evidence. Prints old and new, and leaves the files alone; --write replaces
them. `--write provenance` keeps their numbers, and writes down what was measured of them now.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from benchmarks.fit import provenance, rain_level, reweighting, streaks
from udg.detection.parameters import streak_classifier

ORDER = (streaks.NAME, rain_level.NAME, reweighting.NAME)
Contents = dict[str, dict[str, Any]]


def refit(options: Any) -> tuple[Contents, Contents]:
    """The contents of all files by name: with the numbers of today, scored anew, and made anew."""
    keep = options.write == "provenance"
    examples = streaks.examples(options.data_dir, options.jobs, options.every)
    new = {streaks.NAME: streaks.refit(examples)}
    classifier = None if keep else streaks.classifier(new[streaks.NAME])
    rows = rain_level.examples(options.data_dir, options.jobs, classifier, options.every)
    new[rain_level.NAME] = rain_level.refit(rows)
    new[reweighting.NAME] = reweighting.refit(rows)
    now = {
        streaks.NAME: {
            **new[streaks.NAME]["provenance"]["scores"],
            "all": streaks.score(streak_classifier(), streaks.joined(examples)),
        },
        rain_level.NAME: rain_level.shares(rows),
        reweighting.NAME: new[reweighting.NAME]["provenance"]["scores"],
    }
    old = {name: provenance.rescored(provenance.read(name), new[name], now[name]) for name in ORDER}
    return tuple(
        {name: provenance.signed(name, one[name], one[streaks.NAME]) for name in ORDER}
        for one in (old, new)
    )


def compared(old: Contents, new: Contents) -> list[tuple[str, str, str, str]]:
    """Rows of file, number or score, old and new; of many numbers their largest and its change."""
    rows = []
    for name in ORDER:
        for key, value in new[name].items():
            if key in ("provenance", "features"):
                continue
            before, after = np.asarray(old[name][key]), np.asarray(value)
            if after.ndim == 0:
                rows.append((name, key, f"{before:g}", f"{after:g}"))
            elif "features" in new[name] and len(after) == len(new[name]["features"]):
                named = zip(new[name]["features"], before, after, strict=True)
                rows += [(name, f"{key}, {one}", f"{a:g}", f"{b:g}") for one, a, b in named]
            else:
                change = np.abs(after - before).max()
                rows.append((name, key, f"{np.abs(before).max():g} at most", f"±{change:g}"))
        scores = (contents[name]["provenance"]["scores"] for contents in (old, new))
        for (key, before), (_, after) in zip(*map(_flat, scores), strict=True):
            rows.append((name, f"score: {key}", f"{before:g}", f"{after:g}"))
    return rows


def _flat(scores: dict[str, Any]) -> list[tuple[str, float]]:
    return [
        pair
        for key, value in scores.items()
        for pair in (
            [(f"{key}: {inner}", number) for inner, number in value.items()]
            if isinstance(value, dict)
            else [(key, value)]
        )
    ]


def main(given: Sequence[str] | None = None) -> int:
    """Read the arguments, fit, compare, write if asked to."""
    parser = arguments.parser(__doc__, "data_dir jobs every json")
    parser.prog = "python -m benchmarks refit"
    parser.add_argument(
        "--write",
        nargs="?",
        choices=["numbers", "provenance"],
        const="numbers",
        help="into the package: all, or only what was measured of the numbers that it has",
    )
    options = parser.parse_args(given)
    old, new = refit(options)
    table = Table("file", "", "old", "new", title="Numbers and scores")
    for row in compared(old, new):
        table.add_row(*row)
    Console().print(table)
    write_json(options.json, {"old": old, "new": new})
    if options.write:
        for name, content in (old if options.write == "provenance" else new).items():
            provenance.write(name, content)
            print(f"written: {provenance.FOLDER / name}.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
