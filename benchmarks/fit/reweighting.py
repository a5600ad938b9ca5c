"""What reweighting needs to know of usual pictures, and what of its parameters is chosen.

Computed is `typical_logit` alone: the streak logit whose threshold is the mean threshold of the
rainy pictures of `rain_level.py`, so that a picture in which it is not measured is treated as they
are on average. All other parameters were chosen by hand; which pictures were looked at meanwhile,
and what for, stands in the file's provenance.
"""

from __future__ import annotations

from collections import Counter
from statistics import mean
from typing import Any

from benchmarks.fit import provenance
from benchmarks.fit.rain_level import WET
from udg.detection.reweighting import logit_threshold

NAME = "reweighting"
CHOSEN = {
    "on": ["realrain60", "rain100l-dev", "rain100h-dev", "clean/kodak24", "clean/bsds353"],
    "by": "most of 60 real photos good in a blind look (solver.look), then PSNR of rain100l-dev, "
    "with dry photos derained no worse than before (solver.harm)",
}


def refit(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The content of the file, from the evidence in pictures (`rain_level.measure`)."""
    rainy = [row for row in rows if row["set"] in WET]
    old = provenance.read(NAME)
    threshold = mean(logit_threshold(row["streak_logit"]) for row in rainy)
    logit = (threshold - old["threshold_offset"]) / old["threshold_slope"]
    computed = {"typical_logit": round(logit, 3)}
    chosen = {name: value for name, value in old.items() if name not in ("provenance", *computed)}
    ordered = {name: (computed | chosen)[name] for name in old if name != "provenance"}
    return provenance.made(
        ordered,
        data=dict(Counter(row["set"] for row in rainy)),
        scores=computed,
        chosen={"fields": list(chosen), **CHOSEN},
    )
