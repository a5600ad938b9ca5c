"""`udg.primal_dual.method.step` fused into sweeps over the rows, several iterations in each.

Row i of R̃ needs the duals of rows i − 1 and i; the vertical duals of row i − 1 need R̄ of rows i − 1
and i. So one sweep down the rows does an iteration in place, and the next may follow one row behind
it: memory is read and written once for all of them, while what they share stays in the cache.

For threads the rows are split into blocks. A block starts with copies of as many rows of its
neighbours as it does iterations, and takes those rows along for as long as they are right: one row
less at either end with every iteration.

Rows and columns wrap around. A reflecting boundary is the same with the duals of the last row
(along) and last column (across) held at zero, for every difference over the seam is multiplied by
them.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

import numpy as np
from numba import njit
from numba.core.compiler import Compiler

from udg.backend import crew, in_parts
from udg.model._duality_numba import blocks_for, sparsity_rows
from udg.model.energy import Problem
from udg.primal_dual.state import State, Steps

__all__ = ["advance", "estimate"]

Array = Any

# Bytes of the second-level cache that a sweep may fill, and the most iterations that it does.
_CACHE = 1 << 19
_MAX_DEPTH = 16


def advance(
    problem: Problem,
    steps: Steps,
    state: State,
    iterations: int,
    *,
    depth: int | None = None,
    blocks: int | None = None,
) -> None:
    """Do `iterations` steps on `state`, in place: `depth` a sweep, in so many blocks of rows."""
    Y, weights = np.ascontiguousarray(problem.Y), problem.weights
    height, width = Y.shape
    if blocks is None:
        blocks = max(1, blocks_for(Y))
    if depth is None:
        # A row takes five lines of the state, three of data and two of scratch.
        fits = _CACHE // (10 * width * Y.itemsize)
        depth = max(1, min(fits, _MAX_DEPTH, height // (16 * blocks)))
    planes = (state.R, *state.duals)
    arguments = (
        Y,
        np.ascontiguousarray(problem.upper),
        sparsity_rows(problem),
        planes,
        tuple(map(Y.dtype.type, (weights.tau, weights.lam_x, weights.lam_y))),
        tuple(map(Y.dtype.type, steps)),
        problem.model == "rain",
        problem.boundary == "periodic",
    )
    ends = [b * height // blocks for b in range(blocks + 1)]
    ghosts = np.empty((blocks, 5, 2 * depth, width), Y.dtype)
    bars = np.zeros((blocks, depth, 2, width), Y.dtype)
    with crew(blocks) as each:
        for begun in range(0, iterations, depth):
            count = min(depth, iterations - begun)
            # Two rounds: rows are borrowed before a neighbour changes them.
            each(partial(_borrowed, planes, ghosts, ends, count))
            each(partial(_swept, arguments, ghosts, bars, ends, count))


def _borrowed(planes: Array, ghosts: Array, ends: list[int], count: int, b: int) -> None:
    _borrow(planes, ghosts[b], ends[b], ends[b + 1], count)


def _swept(
    arguments: Array, ghosts: Array, bars: Array, ends: list[int], count: int, b: int
) -> None:
    _block(*arguments, ends[b], ends[b + 1], count, ghosts[b], bars[b])  # type: ignore[call-arg]


def estimate(problem: Problem, R: Array, p_along: Array, p_across: Array) -> tuple[Array, Array]:
    """Background Y − R − ∇ᵀp and R, made feasible first."""
    X, feasible = np.empty_like(R), np.empty_like(R)
    rain = problem.model == "rain"
    arguments = (problem.Y, problem.upper, R, p_along, p_across, rain, X, feasible)
    in_parts(lambda *rows: _estimate_rows(*arguments, *rows), *R.shape)
    return X, feasible


class _NoAlias(Compiler):
    """Tells LLVM that no two arguments overlap in memory, so that long loops become vector code."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)  # type: ignore[no-untyped-call]
        with contextlib.suppress(AttributeError):  # only speed depends on it
            self.state.flags.noalias = True


@njit(cache=True, fastmath=True, inline="always")
def _clamp(value, bound):  # type: ignore[no-untyped-def]
    return min(max(value, -bound), bound)


@njit(cache=True, fastmath=True, inline="always")
def _climb(dual, slope, step, bound, rho):  # type: ignore[no-untyped-def]
    """A dual after its clipped, relaxed step."""
    return dual + rho * (_clamp(dual + step * slope, bound) - dual)


@njit(cache=True, fastmath=True, nogil=True, pipeline_class=_NoAlias)
def _step_row(  # type: ignore[no-untyped-def]
    y, u, weight, r, pa_above, pa, pc, q_above, q, s, R_bar, X_bar,
    steps, tau, lam_x, lam_y, tau_above, lam_above, rain, periodic,
):  # fmt: skip
    """R̃ of a row, relaxed into r; then the duals towards the row above and along the columns.

    R̄ and X̄ = Y − R̄ − ∇ᵀp of the row above are replaced by those of this one.
    """
    gamma, sp, sq, ss, rho = steps
    last, zero = y.size - 1, gamma - gamma
    pc_left, s_left = pc[last], s[last]
    for j in range(y.size):
        divergence = pa_above[j] - pa[j] + pc_left - pc[j]
        slope = q_above[j] - q[j] + s_left - s[j] - divergence
        pc_left, s_left = pc[j], s[j]
        old = r[j]
        if rain:
            new = min(max(old - gamma * (slope + weight[j]), zero), u[j])
        else:
            new = old - gamma * slope
            new -= _clamp(new, gamma * weight[j])
        r[j] = old + rho * (new - old)
        rain_bar = new + new - old
        background_bar = y[j] - rain_bar - divergence
        pa_above[j] = _climb(pa_above[j], background_bar - X_bar[j], sp, tau_above, rho)
        q_above[j] = _climb(q_above[j], rain_bar - R_bar[j], sq, lam_above, rho)
        R_bar[j] = rain_bar
        X_bar[j] = background_bar
    for j in range(last):
        pc[j] = _climb(pc[j], X_bar[j + 1] - X_bar[j], sp, tau, rho)
        s[j] = _climb(s[j], R_bar[j + 1] - R_bar[j] - (y[j + 1] - y[j]), ss, lam_y, rho)
    if periodic:
        pc[last] = _climb(pc[last], X_bar[0] - X_bar[last], sp, tau, rho)
        s[last] = _climb(s[last], R_bar[0] - R_bar[last] - (y[0] - y[last]), ss, lam_y, rho)


@njit(cache=True, nogil=True)
def _row(plane, ghosts, i, first, stop, depth):  # type: ignore[no-untyped-def]
    """Row i of a block: its own, or a copy of a neighbour's."""
    if i < first:
        return ghosts[i - first + depth]
    if i >= stop:
        return ghosts[i - stop + depth]
    return plane[i]


@njit(cache=True, nogil=True)
def _borrow(planes, ghosts, first, stop, depth):  # type: ignore[no-untyped-def]
    """Copy `depth` rows of either neighbour."""
    height, width = planes[0].shape
    for k in range(5):
        for i in range(depth):
            above, below = planes[k][(first - depth + i) % height], planes[k][(stop + i) % height]
            for j in range(width):  # an assignment of arrays takes seconds to compile
                ghosts[k, i, j] = above[j]
                ghosts[k, depth + i, j] = below[j]


@njit(cache=True, nogil=True)
def _block(  # type: ignore[no-untyped-def]
    Y, U, L, planes, weights, steps, rain, periodic, first, stop, depth, ghosts, bars
):
    """`depth` iterations of the rows from `first` to `stop`."""
    R, PA, PC, Q, S = planes
    r, pa, pc, q, s = ghosts[0], ghosts[1], ghosts[2], ghosts[3], ghosts[4]
    height, kinds = Y.shape[0], L.shape[0]
    tau, lam_x, lam_y = weights
    zero = tau - tau
    for lead in range(first - depth + 1, stop + depth):
        for t in range(depth):
            i = lead - t
            if not first - depth + 1 + t <= i < stop + depth - t:
                continue
            k = i % height
            joined = periodic or k > 0
            tau_above, lam_above = tau if joined else zero, lam_x if joined else zero
            if first < i < stop:  # by far the most rows; plain indices spare reference counts
                _step_row(
                    Y[i], U[i], L[i % kinds], R[i], PA[i - 1], PA[i], PC[i], Q[i - 1], Q[i], S[i],
                    bars[t, 0], bars[t, 1],
                    steps, tau, lam_x, lam_y, tau_above, lam_above, rain, periodic,
                )  # fmt: skip
            else:
                _step_row(
                    Y[k], U[k], L[k % kinds], _row(R, r, i, first, stop, depth),
                    _row(PA, pa, i - 1, first, stop, depth), _row(PA, pa, i, first, stop, depth),
                    _row(PC, pc, i, first, stop, depth),
                    _row(Q, q, i - 1, first, stop, depth), _row(Q, q, i, first, stop, depth),
                    _row(S, s, i, first, stop, depth),
                    bars[t, 0], bars[t, 1],
                    steps, tau, lam_x, lam_y, tau_above, lam_above, rain, periodic,
                )  # fmt: skip


@njit(cache=True, fastmath=True)
def _adjoint_row(v_above, v, w, out):  # type: ignore[no-untyped-def]
    """Row of ∇xᵀv + ∇yᵀw."""
    last = v.size - 1
    out[0] = v_above[0] - v[0] + w[last] - w[0]
    inner, v_above, v, w_left, w = out[1:], v_above[1:], v[1:], w[:-1], w[1:]
    for j in range(last):
        inner[j] = v_above[j] - v[j] + w_left[j] - w[j]


@njit(cache=True, fastmath=True, nogil=True)
def _estimate_rows(Y, U, R, pa, pc, rain, X, feasible, first, stop):  # type: ignore[no-untyped-def]
    height, width = Y.shape
    zero = Y.dtype.type(0)
    for i in range(first, stop):
        y, u, r, x, f = Y[i], U[i], R[i], X[i], feasible[i]
        _adjoint_row(pa[i - 1 if i > 0 else height - 1], pa[i], pc[i], x)
        for j in range(width):
            f[j] = min(max(r[j], zero), u[j]) if rain else r[j]
        for j in range(width):
            x[j] = y[j] - f[j] - x[j]
