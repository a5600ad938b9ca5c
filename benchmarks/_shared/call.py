"""Print what one warm call of `udg.solve` takes, as JSON; `solver/calls.py` runs it by itself.

    python -m benchmarks._shared.call PICTURE [rain|stripes]

CPU seconds are of all threads. The call is made once on a corner first, which compiles, and then
twice; the quicker one counts. `minimize` is the time that the last stage's problem alone takes,
from nothing to a gap of 1 %.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import udg
from udg.io.files import read


def cpu(call: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds, wall seconds and answer of a call."""
    began, wall = time.process_time(), time.perf_counter()
    answer = call()
    return time.process_time() - began, time.perf_counter() - wall, answer


def main() -> None:
    """Make the calls."""
    path, model = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "rain"
    pixels = read(path).pixels[:, :]
    udg.solve(pixels[:200, :200], model=model)
    runs = [cpu(lambda: udg.solve(pixels, model=model)) for _ in range(2)]
    seconds, wall, result = min(runs, key=lambda run: run[0])
    problem = result.solved.problem
    alone = min(cpu(lambda: udg.minimize(problem, udg.PrimalDual(), tol=1e-2))[0] for _ in range(2))
    facts = {"cpu": seconds, "wall": wall, "minimize": alone}
    facts |= {"iterating": result.iteration_seconds / wall, "scale": result.working_scale}
    print(json.dumps(facts | {"rain level": float(result.rain_level)}))


if __name__ == "__main__":
    main()
