"""Energy and dual bound of the rain model in one pass on all cores, as `udg.model.duality`'s.

All arithmetic is float64, whatever the arrays' type. Boundaries as in `udg.primal_dual._numba`:
rows and columns wrap, and a reflecting boundary ignores the differences over the seam.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from udg import _compiling
from udg.backend import in_parts, threads
from udg.model.energy import Problem

__all__ = ["blocks_for", "energy_and_bound", "sparsity_rows"]

Array = Any

# Blocks smaller than this, in pixels, gain little from threads.
_MIN_BLOCK = 1 << 16

_compiling.watch()  # the other module with kernels imports this one


def blocks_for(Y: Array) -> int:
    """How many blocks of rows are worth a thread each; 1 or less is none."""
    return int(min(threads(), Y.size // _MIN_BLOCK))


def sparsity_rows(problem: Problem) -> Array:
    """`Problem.sparsity` as rows for the kernels: of every row, or one that stands for all."""
    Y = problem.Y
    if problem.sparsity_map is None:
        return np.full((1, Y.shape[1]), problem.sparsity, Y.dtype)
    return np.ascontiguousarray(problem.sparsity, Y.dtype)


def energy_and_bound(
    problem: Problem, X: Array, R: Array, duals: tuple[Array, Array, Array, Array]
) -> tuple[float, float]:
    """E(X, R) and D(duals) for ``model="rain"``; R must be feasible."""
    weights = problem.weights
    rows = np.empty((problem.Y.shape[0], 2))
    arguments = (
        problem.Y, problem.upper, sparsity_rows(problem), X, R, *duals,
        weights.tau, weights.lam_x, weights.lam_y,
        problem.boundary == "periodic", rows,
    )  # fmt: skip
    in_parts(lambda *part: _rows(*arguments, *part), *problem.Y.shape)
    energy, bound = rows.sum(axis=0)
    return float(energy), float(bound)


@njit(cache=True, fastmath=True, inline="always")
def _clip(value, bound):  # type: ignore[no-untyped-def]
    return min(max(np.float64(value), -bound), bound)


@njit(cache=True, fastmath=True)
def _energy_row(Y, L, X, R, i, below, tau, lam_x, lam_y, along):  # type: ignore[no-untyped-def]
    y, x, r, x_next, r_next = Y[i], X[i], R[i], X[below], R[below]
    weight = L[i % L.shape[0]]
    fidelity = sparsity = 0.0
    for j in range(y.size):
        rain = np.float64(r[j])
        fidelity += (np.float64(x[j]) + rain - np.float64(y[j])) ** 2
        sparsity += np.float64(weight[j]) * abs(rain)
    across_x = across_w = 0.0
    for j in range(y.size - 1):
        across_x += abs(np.float64(x[j + 1]) - np.float64(x[j]))
        left = np.float64(r[j]) - np.float64(y[j])
        across_w += abs(np.float64(r[j + 1]) - np.float64(y[j + 1]) - left)
    along_x = along_r = 0.0
    for j in range(y.size):
        along_x += abs(np.float64(x_next[j]) - np.float64(x[j]))
        along_r += abs(np.float64(r_next[j]) - np.float64(r[j]))
    return (
        0.5 * fidelity
        + tau * (across_x + along * along_x)
        + lam_x * along * along_r
        + lam_y * across_w
        + sparsity
    )


@njit(cache=True, fastmath=True)
def _bound_row(  # type: ignore[no-untyped-def]
    Y, U, L, pa, pc, q, s, i, above, tau, lam_x, lam_y, here, back, wrap
):
    """Row of D; `here`, `back`, `wrap` are 0 for differences over a reflecting seam, else 1."""
    y, u, p, p_above, c = Y[i], U[i], pa[i], pa[above], pc[i]
    qi, q_above, si = q[i], q[above], s[i]
    last, weight = y.size - 1, L[i % L.shape[0]]
    total = 0.0
    c_left, s_left = wrap * _clip(c[last], tau), wrap * _clip(si[last], lam_y)
    for j in range(y.size):
        kept = 1.0 if j < last else wrap
        c_here, s_here = kept * _clip(c[j], tau), kept * _clip(si[j], lam_y)
        turn = s_left - s_here
        divergence = back * _clip(p_above[j], tau) - here * _clip(p[j], tau) + c_left - c_here
        slope = back * _clip(q_above[j], lam_x) - here * _clip(qi[j], lam_x) + turn - divergence
        gain = min(0.0, np.float64(weight[j]) + slope)
        total += np.float64(y[j]) * (divergence - turn) - 0.5 * divergence**2
        total += np.float64(u[j]) * gain
        c_left, s_left = c_here, s_here
    return total


@njit(cache=True, fastmath=True, nogil=True)
def _rows(  # type: ignore[no-untyped-def]
    Y, U, L, X, R, pa, pc, q, s, tau, lam_x, lam_y, periodic, result, first, stop
):
    """Shares of rows `first` to `stop` in E and D."""
    height, width = Y.shape
    wrap = 1.0 if periodic else 0.0
    for i in range(first, stop):
        here = 1.0 if i < height - 1 else wrap
        back = 1.0 if i > 0 else wrap
        below, above = (i + 1) % height, (i - 1) % height
        energy = _energy_row(Y, L, X, R, i, below, tau, lam_x, lam_y, here)
        if periodic:
            energy += tau * abs(np.float64(X[i, 0]) - np.float64(X[i, width - 1]))
            left = np.float64(R[i, width - 1]) - np.float64(Y[i, width - 1])
            energy += lam_y * abs(np.float64(R[i, 0]) - np.float64(Y[i, 0]) - left)
        result[i, 0] = energy
        result[i, 1] = _bound_row(
            Y, U, L, pa, pc, q, s, i, above, tau, lam_x, lam_y, here, back, wrap
        )
