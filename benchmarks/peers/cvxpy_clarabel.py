"""CVXPY with Clarabel, an interior-point method: one factorisation an iteration."""

from __future__ import annotations

from typing import Any

import udg
from benchmarks.peers import cvxpy_model

Array = Any

#: Tolerances to try, loosest first.
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)


def solve(Y: Array, weights: udg.Weights, tolerance: float) -> tuple[Array, Array, float]:
    """X, R and the solver's own seconds."""
    return cvxpy_model.solve(
        Y, weights, solver="CLARABEL",
        tol_gap_abs=tolerance, tol_gap_rel=tolerance, tol_feas=tolerance,
    )  # fmt: skip
