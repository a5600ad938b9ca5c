"""What a user waits for: whole calls of `udg.solve` and `udg derain`, with CPU time and memory.

Run by `benchmarks.solver.speed --only calls`. Pictures: rain100l-dev and rain100h-dev (480×320),
street scenes with rendered rain as they are (1024×2048) and enlarged (12, 24, 100 megapixels: wide
streaks, as a camera of so many pixels sees them), the same without rain, and a striped satellite
image. `udg derain` is a process of its own: its time has the start, reading and writing in it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

import udg
from benchmarks._shared.common import environment, pictures
from udg.io.files import read, write

FRAME = 720, 1280


def warm(path: Path, model: str = "rain") -> dict[str, Any]:
    """One call of `udg.solve` in a process that is warm."""
    command = [sys.executable, "-m", "benchmarks._shared.call", str(path), model]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment())
    return dict(json.loads(done.stdout))


def process(*arguments: str, cache: Path | None = None) -> dict[str, float]:
    """One `udg derain`: CPU and wall seconds, and the largest resident set in GB."""
    surroundings = environment() | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    began = time.perf_counter()
    command = [sys.executable, "-m", "udg", "derain", *arguments, "--overwrite", "-q"]
    with subprocess.Popen(command, env=surroundings) as running:
        _, status, usage = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
    wall = time.perf_counter() - began
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "GB": usage.ru_maxrss / 1e6}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All cases; ``options.large`` in megapixels, ``options.frames`` of the batch."""
    data, count = options.data_dir, options.pictures
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        streets = sorted((data / "clean" / "cityscapes").glob("*.png"))[:count]
        rainy = [
            _rainy(read(path).pixels, folder / f"street{k}.png", k)
            for k, path in enumerate(streets)
        ]
        small = [
            path
            for part, most in (("rain100l-dev", -(-count // 2)), ("rain100h-dev", count // 2))
            for path in pictures(data / part / "rainy")[:most]
        ]
        dry = pictures(data / "rain100l-dev" / "clean")[:count]
        stripes = data / "destripe" / "modis-oblique21" / "striped.png"
        rows = [
            _row("480×320", [warm(path) for path in small]),
            _row("480×320, dry", [warm(path) for path in dry]),
            _row("1024×2048", [warm(path) for path in rainy]),
            _row("1024×2048, dry", [warm(path) for path in streets]),
            _row(
                "oblique stripes, a megapixel",
                [_per_megapixel(stripes)] if stripes.exists() else [],
            ),
        ]
        whole = [
            {"case": "1024×2048", "MP": 2.1} | process(str(rainy[0]), "-o", str(folder / "a.png"))
        ]
        for megapixels in options.large:
            path = _enlarged(rainy[0], megapixels, folder / "large.jpg")
            found = process(str(path), "-o", str(folder / "b.jpg"))
            whole.append({"case": f"{megapixels:g} MP", "MP": megapixels} | found)
        return {
            "warm": [row for row in rows if row],
            "processes": whole,
            "batch": _batch(rainy, folder, options.frames),
            "first use": _first_use(small[0], folder),
        }


def _rainy(clean: Any, path: Path, seed: int) -> Path:
    rainy = udg.synthesize(clean[:, :, :3], angle=8 - 4 * seed, seed=seed).rainy
    write(path, rainy.round().astype(np.uint8))
    return path


def _enlarged(path: Path, megapixels: float, target: Path) -> Path:
    with Image.open(path) as picture:
        factor = (1e6 * megapixels / (picture.width * picture.height)) ** 0.5
        size = round(factor * picture.width), round(factor * picture.height)
        picture.resize(size, Image.Resampling.BICUBIC).save(target, quality=92)
    return target


def _row(case: str, found: list[dict[str, Any]]) -> dict[str, Any]:
    if not found:
        return {}
    return {"case": case, "pictures": len(found)} | {
        name: median(one[name] for one in found)
        for name in ("cpu", "wall", "minimize", "iterating")
    }


def _per_megapixel(path: Path) -> dict[str, Any]:
    pixels = read(path).pixels
    found, part = warm(path, "stripes"), 1e6 / (pixels.shape[0] * pixels.shape[1])
    return found | {name: part * found[name] for name in ("cpu", "wall", "minimize")}


def _batch(rainy: list[Path], folder: Path, count: int) -> dict[str, float]:
    """Frames a minute of a folder, with the default of --jobs."""
    frames = folder / "frames"
    frames.mkdir()
    for number in range(count):
        with Image.open(rainy[number % len(rainy)]) as picture:
            height = min(FRAME[0], picture.height)
            width = min(FRAME[1], picture.width - 3 * (number // len(rainy)))
            picture.crop((0, 0, width, height)).save(frames / f"{number:03d}.jpg", quality=92)
    found = process(str(frames), "-o", str(folder / "done"))
    return found | {"frames": count, "a minute": 60 * count / found["wall"]}


def _first_use(path: Path, folder: Path) -> dict[str, Any]:
    """Wall seconds with nothing compiled, again, and what other ways of working compile."""
    cache, several = folder / "cache", folder / "several"
    several.mkdir()
    for number in range(2):
        (several / f"{number}{path.suffix}").write_bytes(path.read_bytes())
    target = str(folder / "c.png")
    first, again = (process(str(path), "-o", target, cache=cache) for _ in range(2))
    compiled = {file.name for file in cache.rglob("*.nbc")}
    process(str(several), "-o", str(folder / "d"), "--jobs", "2", cache=cache)
    process(str(path), "-o", target, "--tile", "128", cache=cache)
    process(str(path), "-o", target, "--model", "stripes", cache=cache)
    more = {file.name for file in cache.rglob("*.nbc")} - compiled
    return {
        "first": first["wall"],
        "again": again["wall"],
        "kernels": len(compiled),
        "later": len(more),
    }


def tables(part: dict[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """What was measured as titles, headings and rows."""
    warm_rows = [
        [row["case"], str(row["pictures"]), f"{row['cpu']:.2f}", f"{row['wall']:.2f}",
         f"{row['cpu'] / row['minimize']:.1f}", f"{100 * row['iterating']:.0f} %"]
        for row in part["warm"]
    ]  # fmt: skip
    whole = [
        [
            row["case"],
            f"{row['cpu']:.1f}",
            f"{row['wall']:.1f}",
            f"{row['GB']:.2f}",
            f"{row['cpu'] / row['MP']:.2f}",
        ]
        for row in part["processes"]
    ]
    batch, first = part["batch"], part["first use"]
    rest = [
        ["frames of 1280×720 a minute", f"{batch['a minute']:.0f}"],
        ["first use, s", f"{first['first']:.1f}"],
        ["second use, s", f"{first['again']:.1f}"],
        ["kernels compiled by --jobs, tiles and stripes after it", str(first["later"])],
    ]
    heading = ["median of", "pictures", "CPU s", "s", "CPU s beside minimize's", "iterating"]
    return [
        ("udg.solve, warm", heading, warm_rows),
        ("udg derain, a process", ["picture", "CPU s", "s", "GB", "CPU s a MP"], whole),
        ("Other", ["", ""], rest),
    ]
