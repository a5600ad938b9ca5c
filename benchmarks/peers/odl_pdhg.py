"""Primal-dual (Chambolle and Pock) with odl, on NumPy."""

from __future__ import annotations

import numpy as np
import odl

import udg
from benchmarks.peers.odl_model import model, watching

OPTIONS = [{"ratio": ratio} for ratio in (0.1, 0.2, 0.4)]
EVERY = 5


def solve(Y, weights: udg.Weights, iterations, watch=None, ratio=0.3):  # type: ignore[no-untyped-def]
    """X and R; `ratio` is that of the primal to the dual step."""
    x, data, absolute, operators = model(Y, weights)
    step = 0.99 / np.sqrt(8)
    odl.solvers.pdhg(
        x, data, odl.functionals.SeparableSum(*absolute), odl.BroadcastOperator(*operators),
        niter=iterations, tau=step * ratio, sigma=step / ratio,
        callback=watching(watch, EVERY),
    )  # fmt: skip
    return tuple(part.asarray() for part in x)
