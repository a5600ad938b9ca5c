"""CVXPY with SCS, a first-order method for cones: one factorisation in all."""

from __future__ import annotations

from typing import Any

import udg
from benchmarks.peers import cvxpy_model

Array = Any

#: Tolerances to try, loosest first.
TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 1e-5)


def solve(Y: Array, weights: udg.Weights, tolerance: float) -> tuple[Array, Array, float]:
    """X, R and the solver's own seconds."""
    return cvxpy_model.solve(
        Y, weights, solver="SCS", eps_abs=tolerance, eps_rel=tolerance, max_iters=100_000,
    )  # fmt: skip
