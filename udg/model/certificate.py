"""The certificate: the energy of a decomposition and a proven bound on the minimum, side by side.

The mathematics is in `udg.model.duality`; here is decided which of its twins computes it.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import is_cupy_array, is_numpy_array

from udg.model.duality import Duals, dual_bound
from udg.model.energy import Problem

__all__ = ["energy_and_bound"]

Array = Any


def energy_and_bound(problem: Problem, X: Array, R: Array, duals: Duals) -> tuple[float, float]:
    """E(X, R) of a feasible pair and D(duals): what the loop asks for at each check."""
    if problem.model == "rain" and is_numpy_array(problem.Y):
        from udg.model import _duality_numba

        return _duality_numba.energy_and_bound(problem, X, R, duals)
    if is_cupy_array(problem.Y):
        from udg.model import _duality_cupy

        return _duality_cupy.energy_and_bound(problem, X, R, duals)
    return problem.energy(X, R), dual_bound(problem, duals)
