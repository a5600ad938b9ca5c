"""ADMM with scico, on JAX: its conjugate gradients solve the quadratic subproblem."""

from __future__ import annotations

from typing import Any

import numpy as np
import scico.numpy as snp
from scico import linop, loss, optimize
from scico.optimize.admm import LinearSubproblemSolver

import udg
from benchmarks.peers.scico_model import QUIET, Absolute, BoundedSum

Array = Any

OPTIONS = [{"cg": cg, "factor": factor} for cg in (5, 15) for factor in (0.5, 1.0)]
EVERY = 2


def solve(Y, weights: udg.Weights, iterations, watch=None, cg=5, factor=1.0):  # type: ignore[no-untyped-def]
    """X and R.

    The penalties of ∇X, ∇x R, ∇y(R − Y) and R are those found for `udg.Joint`, times `factor`;
    `cg` is how many conjugate gradients an iteration takes at most, each from where the last ended.
    """
    light = snp.array(Y, dtype=np.float32)
    start = snp.stack([light, snp.zeros_like(light)])
    layer = [linop.Slice(k, start.shape, input_dtype=np.float32) for k in (0, 1)]

    def difference(axis: int) -> Array:
        return linop.FiniteDifference(light.shape, input_dtype=np.float32, axes=axis, append=0)

    along, across = difference(0), difference(1)
    solver = optimize.ADMM(
        f=loss.SquaredL2Loss(
            y=light, A=linop.Sum(start.shape, input_dtype=np.float32, axis=0), scale=0.5
        ),
        g_list=[
            Absolute(weights.tau, 0.0),
            Absolute(weights.tau, 0.0),
            Absolute(weights.lam_x, 0.0),
            Absolute(weights.lam_y, across(light)),
            BoundedSum(light, weights.lam_r),
        ],
        C_list=[along @ layer[0], across @ layer[0], along @ layer[1], across @ layer[1], layer[1]],
        rho_list=[factor * rho for rho in (1.0, 1.0, 6.0, 3.0, 0.7)],
        alpha=1.7, x0=start, maxiter=iterations, itstat_options=QUIET,
        subproblem_solver=LinearSubproblemSolver(cg_kwargs={"tol": 1e-4, "maxiter": cg}),
    )  # fmt: skip

    def callback(solver: optimize.ADMM) -> None:
        if watch and (solver.itnum + 1) % EVERY == 0:
            watch(*solver.x)

    X, R = solver.solve(callback)
    return np.asarray(X), np.asarray(R)
