"""Primal-dual (Chambolle and Pock) with scico, on JAX."""

from __future__ import annotations

from typing import Any

import numpy as np
import scico.numpy as snp
from scico import linop, optimize

import udg
from benchmarks.peers.scico_model import QUIET, Absolute, Data

Array = Any

OPTIONS = [{"ratio": ratio} for ratio in (0.1, 0.2, 0.4)]
EVERY = 5


def solve(Y, weights: udg.Weights, iterations, watch=None, ratio=0.3):  # type: ignore[no-untyped-def]
    """X and R; `ratio` is that of the primal to the dual step."""
    light = snp.array(Y, dtype=np.float32)
    start = snp.stack([light, snp.zeros_like(light)])
    # Of shape (along or across, X or R, height, width); zero at the far edges.
    C = linop.FiniteDifference(start.shape, input_dtype=np.float32, axes=(1, 2), append=0)
    scale = np.array([[weights.tau, weights.lam_x], [weights.tau, weights.lam_y]], np.float32)
    shift = C(snp.stack([snp.zeros_like(light), light])).at[0].set(0)
    step = 0.99 / np.sqrt(8)
    solver = optimize.PDHG(
        f=Data(light, weights.lam_r), g=Absolute(snp.array(scale[..., None, None]), shift), C=C,
        tau=float(step * ratio), sigma=float(step / ratio), x0=start,
        maxiter=iterations, itstat_options=QUIET,
    )  # fmt: skip

    def callback(solver: optimize.PDHG) -> None:
        if watch and (solver.itnum + 1) % EVERY == 0:
            watch(*solver.x)

    X, R = solver.solve(callback)
    return np.asarray(X), np.asarray(R)
