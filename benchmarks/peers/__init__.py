"""The rain model's energy in other libraries, each written as its own users would.

Every module has ``solve(Y, weights, iterations, watch=None, …)``, which returns X and R, and
``OPTIONS``: the step sizes among which `solver/speed.py` lets it choose before the clock runs.
`watch` is called with X and R every few iterations; it may raise `Enough`. The boundary reflects.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import numpy as np

import udg

Array = Any
Watch = Callable[[Array, Array], None]

#: Name, and module of this folder. Those of the second kind take a tolerance, not a watch.
ITERATIVE: Mapping[str, str] = {
    "pyproximal PDHG": "pyproximal_pdhg",
    "scico ADMM": "scico_admm",
    "scico PDHG": "scico_pdhg",
    "odl Douglas-Rachford": "odl_douglas_rachford",
    "odl PDHG": "odl_pdhg",
}
CONIC: Mapping[str, str] = {"CVXPY Clarabel": "cvxpy_clarabel", "CVXPY SCS": "cvxpy_scs"}


class Enough(Exception):
    """Raised by a watch to end a solver that it has seen enough of."""


class MissingPeer(Exception):
    """A peer's library cannot be imported; the text says why."""


def load(name: str) -> ModuleType:
    """The module of a peer; raises MissingPeer with a reason."""
    try:
        return importlib.import_module(f"{__name__}.{(ITERATIVE | CONIC)[name]}")
    except ImportError as error:
        raise MissingPeer(f"{error}; pip install '.[peers]'") from error


class Stopwatch:
    """A watch that keeps (seconds, energy) of feasible answers, and whose own time is not counted.

    Parameters
    ----------
    problem : udg.Problem
    stop : float
        Energy at which it has seen enough.
    limit : float
        Seconds after which it has seen enough anyway.
    """

    def __init__(self, problem: udg.Problem, stop: float, limit: float) -> None:
        self.problem, self.stop, self.limit = problem, stop, limit
        self.curve: list[tuple[float, float]] = []
        self._paused = 0.0
        self._began = time.perf_counter()

    def __call__(self, X: Array, R: Array) -> None:
        # Reading the arrays waits for whatever has not been computed yet.
        X, R = np.asarray(X), np.asarray(R)
        now = time.perf_counter()
        seconds = now - self._began - self._paused
        self.curve.append((seconds, energy(self.problem, X, R)))
        self._paused += time.perf_counter() - now
        if self.curve[-1][1] <= self.stop or seconds > self.limit:
            raise Enough

    def seconds_to(self, energy: float) -> float | None:
        """Seconds until the energy was first reached, or None."""
        return next((seconds for seconds, found in self.curve if found <= energy), None)


def energy(problem: udg.Problem, X: Array, R: Array) -> float:
    """The energy of an answer, R made feasible."""
    shape, dtype = problem.Y.shape, problem.Y.dtype
    X, R = (np.asarray(u, dtype).reshape(shape) for u in (X, R))
    return problem.energy(X, problem.feasible(R))
