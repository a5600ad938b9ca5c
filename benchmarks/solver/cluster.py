"""How much faster two workers of a Dask cluster are than one, on this machine.

    python -m benchmarks.solver.cluster --json benchmarks/results/cluster.json

Twelve pictures of 256×256 pixels with rendered rain go through `udg derain`'s own work, and an
array of 3×4 chunks through `udg.solve_blocks`, on a `LocalCluster` of one and of two processes of
one thread each. Both clusters are there all the time and take turns, so that what else the machine
is doing hits both. A first run, in which kernels are loaded, does not count.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from skimage import data

import udg
from benchmarks._shared import arguments
from benchmarks._shared.common import write_json
from udg import batch
from udg.io import files

SIDE = 256


def rainy(seed: int, side: int = SIDE) -> np.ndarray:
    """A part of a photograph with rain of its own."""
    scene = data.astronaut()[seed * 20 :][:side, 100 : 100 + side]
    result = udg.synthesize(scene, angle=3 * seed - 16, seed=seed).rainy
    return result.round().astype(np.uint8)


def folder(address: str, pictures: list[Path]) -> None:
    """Derain all pictures on a cluster."""
    out = pictures[0].parent.parent / "out"
    tasks = [batch.Task(path, out / path.name, number=n) for n, path in enumerate(pictures)]
    work = functools.partial(batch.derain_file, settings={})
    failed = [o.error for o in batch.run(tasks, work, dask=address) if o.error]
    if failed:
        raise SystemExit(failed[0])


def array(address: str, pixels: np.ndarray, side: int = SIDE) -> None:
    """Derain an array on a cluster, and bring it back."""
    with Client(address, set_as_default=False) as client:
        lazy = udg.solve_blocks(da.from_array(pixels, chunks=(side, side, 3)), overlap=side // 4)
        dask.compute(lazy.derained, scheduler=client)


def seconds(work: Callable[[], None]) -> float:
    """Time that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Measure, print and write."""
    parser = arguments.parser(__doc__, "json")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=12, help="in the folder")
    parser.add_argument("--side", type=int, default=SIDE, help="of a picture, in pixels")
    parser.add_argument("--threads", action="store_true", help="as workers, to try the script")
    given = parser.parse_args()
    local = functools.partial(
        LocalCluster,
        threads_per_worker=1,
        processes=not given.threads,
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.ERROR,
    )
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory() as place,
        local(n_workers=1) as one,
        local(n_workers=2) as two,
    ):
        paths = [Path(place, "rainy", f"{seed:02}.png") for seed in range(given.pictures)]
        paths[0].parent.mkdir()
        for seed, path in enumerate(paths):
            files.write(path, rainy(seed, given.side))
        large = np.tile(rainy(3, given.side), (3, 4, 1))
        results = {}
        for name, work in (
            ("folder", lambda address: folder(address, paths)),
            ("array", lambda address: array(address, large, given.side)),
        ):
            times: dict[int, list[float]] = {1: [], 2: []}
            for _ in range(given.repeats + 1):
                for count, cluster in ((1, one), (2, two)):
                    address = cluster.scheduler_address
                    times[count].append(seconds(lambda at=address, do=work: do(at)))
                    print(f"{name}, {count}: {times[count][-1]:.2f} s", file=sys.stderr)
            ratios = [a / b for a, b in zip(times[1][1:], times[2][1:], strict=True)]
            results[name] = {
                "seconds, 1 worker": [round(value, 2) for value in times[1][1:]],
                "seconds, 2 workers": [round(value, 2) for value in times[2][1:]],
                "times faster, median": round(statistics.median(ratios), 2),
            }
    about = {"cores": os.cpu_count(), "load before": round(load, 1)}
    print(json.dumps(results | about, indent=1))
    write_json(given.json, results, **about)


if __name__ == "__main__":
    main()
