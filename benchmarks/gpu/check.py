"""The solver on CuPy arrays: the same answer as on NumPy's, and how long it takes.

    python benchmarks/gpu/check.py OUT [--arrays cupy|numpy] [--height 1024 --width 2048]

Writes OUT/check.json. With ``--arrays numpy`` it compares the CPU with itself, to try the script.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import write_json

import udg

METHODS = {"primal-dual": udg.PrimalDual(), "joint": udg.Joint()}


def main() -> None:
    """Read the arguments, compare, time, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for check.json")
    parser.add_argument("--arrays", choices=["cupy", "numpy"], default="cupy")
    parser.add_argument("--height", type=int, default=1024)
    parser.add_argument("--width", type=int, default=2048)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    if options.arrays == "cupy":
        import cupy as xp

        device = xp.cuda.runtime.getDeviceProperties(0)["name"].decode()
        made = {"device": device, "cupy": xp.__version__}
        synchronize = xp.cuda.Device().synchronize
    else:
        xp, made = np, {"device": "cpu"}
        synchronize = lambda: None  # noqa: E731

    rows_, columns = np.mgrid[: options.height, : options.width].astype(np.float32)
    clean = 0.4 + 0.2 * np.sin(columns / 90) * np.cos(rows_ / 70)
    Y = udg.synthesize(clean, angle=0, density=0.1, intensity=0.3, seed=0).rainy

    rows: list[dict[str, Any]] = []
    for model, weights in (("rain", udg.RAIN_WEIGHTS), ("signed", udg.STRIPE_WEIGHTS)):
        here, there = (udg.Problem(u, weights, model) for u in (Y, xp.asarray(Y)))
        for name, method in METHODS.items():
            for tol in (1e-2, 2e-3):
                expected = udg.minimize(here, method, tol=tol)
                udg.minimize(there, method, tol=0, max_iter=method.check_every)  # warm-up
                seconds = []
                for _ in range(3):
                    synchronize()
                    began = time.perf_counter()
                    found = udg.minimize(there, method, tol=tol)
                    synchronize()
                    seconds.append(time.perf_counter() - began)
                agree = abs(found.objective - expected.objective) <= 2 * tol * expected.objective
                row = {"model": model, "method": name, "tol": tol, "agrees": bool(agree)}
                row |= {"iterations": found.iterations, "gap": found.gap}
                row |= {"seconds": median(seconds), "numpy seconds": expected.seconds}
                rows.append(row)
                print(row, flush=True)
                # After every row: a time limit loses nothing that was measured.
                write_json(options.out / "check.json", {"rows": rows}, **made)
    if not all(row["agrees"] for row in rows):
        raise SystemExit("CuPy and NumPy disagree; see the rows above")


if __name__ == "__main__":
    main()
