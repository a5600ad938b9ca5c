"""What the benchmarks share: a pool behind a progress bar, and a JSON with its circumstances."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import skimage
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import benchmarks
import udg
from udg import batch
from udg.backend import threads


def run(
    tasks: list[batch.Task], work: Callable[[batch.Task], dict[str, Any]], title: str, jobs: int
) -> list[dict[str, Any]]:
    """Do the work on every picture behind a progress bar; a failure ends it."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        row = bar.add_task(title, total=len(tasks))
        outcomes = batch.run(tasks, work, jobs=jobs, report=lambda _: bar.advance(row))
    for outcome in outcomes:
        if outcome.error is not None:
            raise SystemExit(f"{outcome.task.source}: {outcome.error}\n{outcome.details or ''}")
    return [outcome.facts for outcome in outcomes]


def pictures(folder: Path, every: int = 1) -> list[Path]:
    """List the pictures of a folder by name, or every so many of them."""
    return [found.path for found in batch.expand([folder])][::every]


def write_json(path: Path | None, results: dict[str, Any], **about: Any) -> None:
    """Write the results, what they were measured with, and anything else `about` them.

    Nothing is written without a path, which is what a script has that was not given ``--json``.
    """
    if path is None:
        return
    made = {
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-image": skimage.__version__,
        "udg": udg.__version__,
    }
    text = json.dumps({"about": made | about} | results, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    """Variables with which another process finds this `udg` and these scripts."""
    sources = [
        str(Path(place).resolve().parents[1]) for place in (udg.__file__, benchmarks.__file__)
    ]
    known = os.environ.get("PYTHONPATH")
    path = os.pathsep.join(dict.fromkeys([*sources, *([known] if known else [])]))
    return {**os.environ, "PYTHONPATH": path}


def circumstances(*packages: str) -> dict[str, Any]:
    """When, on what processor, with how many threads and which versions something was measured."""
    versions = {}
    for name in ("numba", "pyfftw", *packages):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "missing"
    date = datetime.datetime.now(datetime.UTC).date().isoformat()
    return {"date": date, "threads": threads(), "processor": processor(), "versions": versions}


def processor() -> str:
    """The processor's name, where the system tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
