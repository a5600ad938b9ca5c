"""`udg.primal_dual.method.step` fused into one parallel sweep over the rows.

Row i of R̃ needs duals of rows i − 1 and i; the duals of row i need R̄ of rows i and i + 1. So a
block of rows is swept once, in place: R̄ of row i + 1 first, then the duals of row i. Only a block's
first row is needed by its neighbour above as well; those rows are done before all else ("edges").

Rows and columns wrap around. A reflecting boundary is the same with the duals of the last row
(along) and last column (across) held at zero by their bounds, for every difference over the seam
is multiplied by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import get_num_threads, njit, prange

from udg._certificate_numba import sparsity_rows
from udg.objective import Problem

if TYPE_CHECKING:
    from udg.primal_dual.method import State, Steps

__all__ = ["advance", "estimate"]

Array = Any

# Blocks smaller than this, in pixels, gain little from threads, and lose much where other programs
# keep the cores busy: every iteration waits for the slowest.
_MIN_BLOCK = 1 << 18


def advance(problem: Problem, steps: Steps, state: State, iterations: int) -> None:
    """Do `iterations` steps on `state`, in place."""
    Y, weights = np.ascontiguousarray(problem.Y), problem.weights
    arguments = (
        Y,
        np.ascontiguousarray(problem.upper),
        sparsity_rows(problem),
        state.R,
        *state.duals,
        np.array([weights.tau, weights.lam_x, weights.lam_y], Y.dtype),
        np.array(steps, Y.dtype),
        problem.model == "rain",
        problem.boundary == "periodic",
        iterations,
    )
    blocks = min(get_num_threads(), Y.size // _MIN_BLOCK)
    if blocks > 1:
        _sweeps_parallel(*arguments, blocks)
    else:
        _sweeps_serial(*arguments)


def estimate(problem: Problem, R: Array, p_along: Array, p_across: Array) -> tuple[Array, Array]:
    """Background Y − R − ∇ᵀp and R, made feasible first."""
    X, feasible = np.empty_like(R), np.empty_like(R)
    _estimate(problem.Y, problem.upper, R, p_along, p_across, problem.model == "rain", X, feasible)
    return X, feasible


# LLVM vectorises a loop only when few pairs of its arrays might overlap, so each row is done in
# several short loops over rows that stay in the first-level cache.


@njit(cache=True, fastmath=True, inline="always")
def _clamp(value, bound):  # type: ignore[no-untyped-def]
    return min(max(value, -bound), bound)


@njit(cache=True, fastmath=True)
def _adjoint_row(v_above, v, w, out):  # type: ignore[no-untyped-def]
    """Row of ∇xᵀv + ∇yᵀw."""
    last = v.size - 1
    out[0] = v_above[0] - v[0] + w[last] - w[0]
    inner, v_above, v, w_left, w = out[1:], v_above[1:], v[1:], w[:-1], w[1:]
    for j in range(last):
        inner[j] = v_above[j] - v[j] + w_left[j] - w[j]


@njit(cache=True, fastmath=True)
def _primal_row(  # type: ignore[no-untyped-def]
    Y, U, L, R, pa, pc, q, s, i, gamma, rho, rain, divergence, R_bar, X_bar
):
    """Row i of R̃, relaxed into R; leaves R̄ and X̄ = Y − R̄ − ∇ᵀp."""
    above = i - 1 if i > 0 else Y.shape[0] - 1
    y, u, r, weight = Y[i], U[i], R[i], L[i % L.shape[0]]
    zero = Y.dtype.type(0)
    _adjoint_row(pa[above], pa[i], pc[i], divergence)
    _adjoint_row(q[above], q[i], s[i], R_bar)
    if rain:
        for j in range(y.size):
            old = r[j]
            new = min(max(old - gamma * (R_bar[j] - divergence[j] + weight[j]), zero), u[j])
            r[j] = old + rho * (new - old)
            R_bar[j] = new + new - old
    else:
        for j in range(y.size):
            old = r[j]
            moved = old - gamma * (R_bar[j] - divergence[j])
            new = moved - _clamp(moved, gamma * weight[j])
            r[j] = old + rho * (new - old)
            R_bar[j] = new + new - old
    for j in range(y.size):
        X_bar[j] = y[j] - R_bar[j] - divergence[j]


@njit(cache=True, fastmath=True)
def _climb(dual, here, there, step, bound, rho):  # type: ignore[no-untyped-def]
    """A row of a dual after its clipped, relaxed step by the difference of two rows."""
    for j in range(dual.size):
        new = _clamp(dual[j] + step * (there[j] - here[j]), bound)
        dual[j] += rho * (new - dual[j])


@njit(cache=True, fastmath=True)
def _dual_row(  # type: ignore[no-untyped-def]
    Y, pa, pc, q, s, i, weights, steps, periodic, W_bar, R_bar, X_bar, R_next, X_next
):
    """Row i of all duals."""
    tau, lam_x, lam_y = weights[0], weights[1], weights[2]
    sp, sq, ss, rho = steps[1], steps[2], steps[3], steps[4]
    height, width = Y.shape
    y, c, si = Y[i], pc[i], s[i]
    inside = periodic or i < height - 1
    if inside:
        _climb(pa[i], X_bar, X_next, sp, tau, rho)
        _climb(q[i], R_bar, R_next, sq, lam_x, rho)
    _climb(c[:-1], X_bar[:-1], X_bar[1:], sp, tau, rho)
    for j in range(width):
        W_bar[j] = R_bar[j] - y[j]
    _climb(si[:-1], W_bar[:-1], W_bar[1:], ss, lam_y, rho)
    if periodic:
        _climb(c[-1:], X_bar[-1:], X_bar[:1], sp, tau, rho)
        _climb(si[-1:], W_bar[-1:], W_bar[:1], ss, lam_y, rho)


@njit(cache=True, fastmath=True, nogil=True)
def _edge(Y, U, L, R, pa, pc, q, s, weights, steps, rain, first, edge, scratch):  # type: ignore[no-untyped-def]
    """Do a block's first row of R̃, for the block itself and for the one above it."""
    _primal_row(
        Y,
        U,
        L,
        R,
        pa,
        pc,
        q,
        s,
        first,
        steps[0],
        steps[4],
        rain,
        scratch,
        edge[0],
        edge[1],
    )


@njit(cache=True, fastmath=True, nogil=True)
def _block(  # type: ignore[no-untyped-def]
    Y, U, L, R, pa, pc, q, s, weights, steps, rain, periodic, first, stop, edge, edge_below, rows
):
    """Sweep rows `first` to `stop` once."""
    R_bar, X_bar = edge[0], edge[1]
    for i in range(first, stop):
        if i + 1 < stop:
            k = 1 + 2 * (i % 2)
            R_next, X_next = rows[k], rows[k + 1]
            _primal_row(
                Y, U, L, R, pa, pc, q, s, i + 1, steps[0], steps[4], rain,
                rows[0], R_next, X_next,
            )  # fmt: skip
        else:
            R_next, X_next = edge_below[0], edge_below[1]
        _dual_row(
            Y, pa, pc, q, s, i, weights, steps, periodic, rows[0], R_bar, X_bar, R_next, X_next
        )
        R_bar, X_bar = R_next, X_next


@njit(cache=True, fastmath=True, nogil=True)
def _sweeps_serial(  # type: ignore[no-untyped-def]
    Y, U, L, R, pa, pc, q, s, weights, steps, rain, periodic, iterations
):
    edge = np.empty((2, Y.shape[1]), Y.dtype)
    rows = np.empty((5, Y.shape[1]), Y.dtype)
    for _ in range(iterations):
        _edge(Y, U, L, R, pa, pc, q, s, weights, steps, rain, 0, edge, rows[0])
        _block(
            Y,
            U,
            L,
            R,
            pa,
            pc,
            q,
            s,
            weights,
            steps,
            rain,
            periodic,
            0,
            Y.shape[0],
            edge,
            edge,
            rows,
        )


@njit(cache=True, fastmath=True, parallel=True, nogil=True)
def _sweeps_parallel(  # type: ignore[no-untyped-def]
    Y, U, L, R, pa, pc, q, s, weights, steps, rain, periodic, iterations, blocks
):
    height, width = Y.shape
    edges = np.empty((blocks, 2, width), Y.dtype)
    rows = np.empty((blocks, 5, width), Y.dtype)
    for _ in range(iterations):
        for b in range(blocks):
            first = b * height // blocks
            _edge(Y, U, L, R, pa, pc, q, s, weights, steps, rain, first, edges[b], rows[b, 0])
        for b in prange(blocks):
            first, stop = b * height // blocks, (b + 1) * height // blocks
            _block(
                Y, U, L, R, pa, pc, q, s, weights, steps, rain, periodic, first, stop,
                edges[b], edges[(b + 1) % blocks], rows[b],
            )  # fmt: skip


@njit(cache=True, fastmath=True, parallel=True, nogil=True)
def _estimate(Y, U, R, pa, pc, rain, X, feasible):  # type: ignore[no-untyped-def]
    height, width = Y.shape
    zero = Y.dtype.type(0)
    for i in prange(height):
        y, u, r, x, f = Y[i], U[i], R[i], X[i], feasible[i]
        _adjoint_row(pa[i - 1 if i > 0 else height - 1], pa[i], pc[i], x)
        for j in range(width):
            f[j] = min(max(r[j], zero), u[j]) if rain else r[j]
        for j in range(width):
            x[j] = y[j] - f[j] - x[j]
