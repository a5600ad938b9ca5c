"""How time is taken: in pairs of FFTs beside the run, and without counting the checks."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pyfftw

import udg
from udg.backend import threads
from udg.optim.method import Method

Array = Any


class Yardstick:
    """Forward and inverse float32 FFTs of one picture, by FFTW with all cores and FFTW_MEASURE."""

    def __init__(self, picture: Array) -> None:
        height, width = picture.shape
        self._real = pyfftw.empty_aligned((height, width), "float32")
        spectrum = pyfftw.empty_aligned((height, width // 2 + 1), "complex64")
        how = {"axes": (0, 1), "threads": threads(), "flags": ("FFTW_MEASURE",)}
        self._forward = pyfftw.FFTW(self._real, spectrum, **how)
        self._inverse = pyfftw.FFTW(spectrum, self._real, direction="FFTW_BACKWARD", **how)
        self._real[:] = picture
        self.seconds(3)

    def seconds(self, count: int = 21) -> float:
        """Median time of a pair."""
        found = []
        for _ in range(count):
            began = time.perf_counter()
            self._forward()
            self._inverse()
            found.append(time.perf_counter() - began)
        return median(found)


class Point(NamedTuple):
    """Where a method was after so many iterations."""

    iterations: int
    seconds: float
    energy: float


def trace(
    problem: udg.Problem, method: Method, stop: float, limit: float = 600.0, step: int = 10
) -> list[Point]:
    """Energies on the way down to `stop`; the clock runs while the method starts and advances.

    Points are `step` iterations apart, later a twentieth of those done.
    """
    began = time.perf_counter()
    state = method.start(problem, None)
    seconds, iterations, points = time.perf_counter() - began, 0, []
    while True:
        X, R, _ = method.estimate(problem, state)
        points.append(Point(iterations, seconds, problem.energy(X, problem.feasible(R))))
        if points[-1].energy <= stop or seconds > limit:
            return points
        count = max(step, iterations // 20)
        began = time.perf_counter()
        state = method.advance(problem, state, count)
        seconds += time.perf_counter() - began
        iterations += count


def iterations_to(points: Sequence[Point], energy: float) -> int | None:
    """How many iterations were needed, or None if it was not reached."""
    return next((point.iterations for point in points if point.energy <= energy), None)


def in_one_go(problem: udg.Problem, method: Method, iterations: int) -> float:
    """Seconds from nothing to the answer after so many iterations, without any check."""
    return clock(
        lambda: method.estimate(
            problem, method.advance(problem, method.start(problem, None), iterations)
        )
    )


def clock(run: Callable[[], Any]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def repeated(
    run: Callable[[], Any],
    repeats: int,
    patience: float = math.inf,
    synchronize: Callable[[], Any] = lambda: None,
    least: int = 3,
    now: Callable[[], float] | None = None,
) -> list[float]:
    """Seconds of each of so many runs, by the clock `now` (the wall's).

    `synchronize` waits for what was handed to a GPU, before and after each. Once `patience` seconds
    are spent there are no further runs, but for the first `least`.
    """
    now = now or time.perf_counter
    seconds: list[float] = []
    while len(seconds) < repeats and (len(seconds) < least or sum(seconds) < patience):
        synchronize()
        began = now()
        run()
        synchronize()
        seconds.append(now() - began)
    return seconds


def busy() -> tuple[float, float] | None:
    """CPU seconds of the whole machine and of this process so far; None where that is not told."""
    try:
        words = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _, _, irq, softirq = map(int, words[:7])
    ticks = user + nice + system + irq + softirq
    return ticks / os.sysconf("SC_CLK_TCK"), time.process_time()


def beside(
    runs: dict[str, Callable[[], float]], measure: Callable[[], float], repeats: int
) -> dict[str, dict[str, Any]]:
    """Take each run's seconds in turn, `repeats` times, with `measure` before and after each.

    Machines are shared: only the ratio of a run to what was measured beside it counts.
    """
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    before = measure()
    for _ in range(repeats):
        for name, run in runs.items():
            seconds = run()
            after = measure()
            found[name].append((seconds, (before + after) / 2))
            before = after
    return {name: _summary(pairs) for name, pairs in found.items()}


def _summary(pairs: list[tuple[float, float]]) -> dict[str, Any]:
    ratios = [seconds / unit for seconds, unit in pairs]
    return {
        "seconds": median(seconds for seconds, _ in pairs),
        "ratio": median(ratios),
        "spread": [min(ratios), max(ratios)],
    }


def thinned(curve: Sequence[tuple[float, float]], most: int = 60) -> list[tuple[float, float]]:
    """At most so many points of a curve, evenly spaced in the logarithm of time."""
    if len(curve) <= most:
        return list(curve)
    chosen = np.unique(np.geomspace(1, len(curve), most).astype(int) - 1)
    return [curve[k] for k in chosen]
