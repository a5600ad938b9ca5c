"""The energy in CVXPY, for whichever solver."""

from __future__ import annotations

from typing import Any

import cvxpy as cp
import numpy as np

import udg

Array = Any


def solve(Y: Array, weights: udg.Weights, **solver: Any) -> tuple[Array, Array, float]:
    """X, R, and the seconds that the solver took, without CVXPY's own compilation."""
    Y = np.asarray(Y, np.float64)
    X, R = cp.Variable(Y.shape), cp.Variable(Y.shape)

    def total(u: Any) -> Any:
        return cp.sum(cp.abs(u))

    energy = (
        0.5 * cp.sum_squares(X + R - Y)
        + weights.tau * (total(cp.diff(X, axis=0)) + total(cp.diff(X, axis=1)))
        + weights.lam_x * total(cp.diff(R, axis=0))
        + weights.lam_y * total(cp.diff(R - Y, axis=1))
        + weights.lam_r * cp.sum(R)
    )
    problem = cp.Problem(cp.Minimize(energy), [R >= 0, R <= Y])
    problem.solve(**solver)
    stats = problem.solver_stats
    if R.value is None:
        raise RuntimeError(f"the solver ended with {problem.status}")
    return X.value, R.value, (stats.setup_time or 0.0) + stats.solve_time
