"""The time of every peer until it is so near to the minimum, beside udg's."""

from __future__ import annotations

import contextlib
import math
import sys
import warnings
from statistics import mean
from types import ModuleType
from typing import Any

import numpy as np

import udg
from benchmarks._shared.scenes import Minimum, crop, reference
from benchmarks._shared.timing import clock, in_one_go, iterations_to, thinned, trace
from benchmarks.peers import CONIC, ITERATIVE, Enough, MissingPeer, Stopwatch, energy, load

Array = Any

EXCESSES = (1e-2, 1e-3)
METHODS = {"udg primal-dual": udg.PrimalDual(), "udg joint": udg.Joint()}
UNIT = "udg primal-dual"


def compare(Y: Array, minimum: Minimum, tuned_on: int, sides: list[int], limit: float) -> Any:
    """Seconds to each excess, ratio to udg's beside it, and the curves.

    Parameters
    ----------
    Y : array, float32, shape (H, W)
    minimum : Minimum
        Of this picture's problem.
    tuned_on : int
        Side of the crop on which each peer chooses its step sizes.
    sides : list of int
        Sides of the crops on which cone solvers are timed; they are extrapolated from those.
    limit : float
        Seconds after which a run ends anyway.
    """
    problem = udg.Problem(Y, udg.RAIN_WEIGHTS, "rain")
    wanted = {excess: minimum.energy * (1 + excess) for excess in EXCESSES}
    ours = _Ours(problem, wanted)
    small = crop(Y, tuned_on, tuned_on)
    rows = []
    for name in ITERATIVE:
        try:
            peer = load(name)
        except MissingPeer as error:
            rows.append({"name": name, "missing": str(error)})
            continue
        row = _iterative(peer, problem, small, wanted, ours, limit)
        rows.append({"name": name} | row)
        _report(rows[-1])
    for name in CONIC:
        try:
            peer = load(name)
        except MissingPeer as error:
            rows.append({"name": name, "missing": str(error)})
            continue
        rows.append({"name": name} | _conic(peer, Y, sides, ours, limit))
        _report(rows[-1])
    rows.append({"name": "destripe"} | _destripe(Y, limit))
    best = {
        key: min((row["ratio"][key] for row in rows if row.get("ratio", {}).get(key)), default=None)
        for key in map(str, EXCESSES)
    }
    return {"shape": Y.shape, "udg": ours.summary(), "peers": rows, "best peer's ratio": best}


class _Ours:
    """udg's own runs: how many iterations are needed once, how long they take again and again."""

    def __init__(self, problem: udg.Problem, wanted: dict[float, float]) -> None:
        self.problem, self.counts, self.curves = problem, {}, {}
        self.seconds: dict[str, dict[float, list[float]]] = {}
        for name, method in METHODS.items():
            udg.minimize(problem, method, tol=0, max_iter=2)  # compiles
            points = trace(problem, method, min(wanted.values()))
            self.curves[name] = thinned([(p.seconds, p.energy) for p in points[1:]])
            self.counts[name] = {e: iterations_to(points, wanted[e]) for e in EXCESSES}
            self.seconds[name] = {e: [] for e in EXCESSES}

    def run(self, repeats: int = 3) -> dict[float, float]:
        """Seconds of the fastest method's runs now."""
        for name, method in METHODS.items():
            for excess, count in self.counts[name].items():
                for _ in range(repeats if name == UNIT else 1):
                    seconds = in_one_go(self.problem, method, count)
                    self.seconds[name][excess].append(seconds)
        return {e: float(np.median(self.seconds[UNIT][e][-repeats:])) for e in EXCESSES}

    def summary(self) -> list[dict[str, Any]]:
        """One row a method."""
        return [
            {
                "name": name,
                "iterations": {str(e): self.counts[name][e] for e in EXCESSES},
                "seconds": {str(e): float(np.median(self.seconds[name][e])) for e in EXCESSES},
                "curve": self.curves[name],
            }
            for name in METHODS
        ]


def _iterative(
    peer: ModuleType,
    problem: udg.Problem,
    small: Array,
    wanted: dict[float, float],
    ours: _Ours,
    limit: float,
) -> dict[str, Any]:
    option = _tuned(peer, small, limit)
    peer.solve(problem.Y, problem.weights, 2, None, **option)  # compiles for this shape
    before = ours.run()
    watch = _watched(peer, problem, min(wanted.values()), option, limit)
    after = ours.run()
    seconds = {str(e): watch.seconds_to(wanted[e]) for e in EXCESSES}
    unit = {str(e): mean((before[e], after[e])) for e in EXCESSES}
    ratio = {key: None if found is None else found / unit[key] for key, found in seconds.items()}
    last = watch.curve[-1]
    return {
        "options": option,
        "seconds": seconds,
        "ratio": ratio,
        "ended": {"seconds": last[0], "excess": last[1] * 1.001 / wanted[1e-3] - 1},
        "curve": thinned(watch.curve),
    }


def _watched(
    peer: ModuleType, problem: udg.Problem, stop: float, option: dict[str, Any], limit: float
) -> Stopwatch:
    watch = Stopwatch(problem, stop, limit)
    with contextlib.suppress(Enough):
        peer.solve(problem.Y, problem.weights, 1_000_000, watch, **option)
    return watch


def _tuned(peer: ModuleType, small: Array, limit: float) -> dict[str, Any]:
    """The options that are fastest to the smallest excess on a small picture."""
    problem = udg.Problem(small, udg.RAIN_WEIGHTS, "rain")
    stop = reference(problem, None, 1e-5).energy * (1 + min(EXCESSES))
    best, fastest = peer.OPTIONS[len(peer.OPTIONS) // 2], limit
    for option in peer.OPTIONS:
        peer.solve(small, problem.weights, 2, None, **option)  # compiles
        seconds = _watched(peer, problem, stop, option, fastest).seconds_to(stop)
        if seconds is not None and seconds < fastest:
            best, fastest = option, seconds
    return best


def _conic(
    peer: ModuleType, Y: Array, sides: list[int], ours: _Ours, limit: float
) -> dict[str, Any]:
    """Time on small crops, and a power law through them for the whole picture."""
    measured = []
    for side in sides:
        small = np.asarray(crop(Y, side, side), np.float64)
        problem = udg.Problem(small, udg.RAIN_WEIGHTS, "rain")
        minimum = reference(problem, None, 1e-6).energy
        found: dict[str, float] = {}
        for tolerance in peer.TOLERANCES:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "inaccurate" is for the energy to say
                X, R, seconds = peer.solve(small, problem.weights, tolerance)
            excess = energy(problem, X, R) / minimum - 1
            for wanted in EXCESSES:
                if excess <= wanted:
                    found.setdefault(str(wanted), seconds)
            if len(found) == len(EXCESSES) or seconds > limit / 4:
                break
        measured.append({"side": side, "seconds": found})
    unit = ours.run()
    seconds = {str(e): _power_law(measured, str(e), Y.size) for e in EXCESSES}
    ratio = {str(e): s / unit[e] if (s := seconds[str(e)]) else None for e in EXCESSES}
    return {"extrapolated": True, "measured": measured, "seconds": seconds, "ratio": ratio}


def _power_law(measured: list[dict[str, Any]], key: str, pixels: int) -> float | None:
    points = [(m["side"] ** 2, m["seconds"][key]) for m in measured if key in m["seconds"]]
    if len(points) < 2:
        return None
    slope, level = np.polyfit(*np.log(np.asarray(points)).T, 1)
    return math.exp(level + slope * math.log(pixels))


def _destripe(Y: Array, limit: float) -> dict[str, Any]:
    """Its own energy and iterations: seconds a megapixel, and those of `udg.solve`."""
    try:
        from destripe import destripe
    except ImportError as error:
        return {"missing": f"{error}; pip install '.[peers]'"}
    destripe(crop(Y, 64, 64), iterations=2, device="cpu")
    udg.solve(Y, angle=0, max_iter=2)
    ours, theirs = [], []
    for _ in range(3):
        ours.append(clock(lambda: udg.solve(Y, angle=0)))
        theirs.append(clock(lambda: destripe(Y, device="cpu")))
        if sum(theirs) > limit:
            break
    size = Y.size / 1e6
    return {
        "seconds a megapixel": float(np.median(theirs)) / size,
        "udg.solve": float(np.median(ours)) / size,
        "times as long": float(np.median(np.divide(theirs, ours))),
    }


def _report(row: dict[str, Any]) -> None:
    shown = {key: row[key] for key in ("name", "options", "seconds", "ratio") if key in row}
    print(shown, file=sys.stderr, flush=True)
