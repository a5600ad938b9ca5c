"""Primal-dual (Chambolle and Pock) with pyproximal's and pylops' parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pylops
import pyproximal
from pyproximal.optimization.primaldual import PrimalDual

import udg

Array = Any

OPTIONS = [{"ratio": ratio} for ratio in (0.1, 0.2, 0.4)]
EVERY = 5


class Data(pyproximal.ProxOperator):
    """½‖X + R − Y‖² + λr ΣR with 0 ≤ R ≤ Y, of x = (X, R); its proximal map in closed form."""

    def __init__(self, Y: Array, lam_r: float) -> None:
        super().__init__(None, False)
        self.Y, self.lam_r = Y.ravel(), lam_r

    def __call__(self, x: Array) -> float:
        X, R = np.split(x, 2)
        return 0.5 * np.sum((X + R - self.Y) ** 2) + self.lam_r * np.sum(R)

    def prox(self, x: Array, tau: float) -> Array:
        X, R = np.split(x, 2)
        R = ((1 + tau) * (R - tau * self.lam_r) + tau * (self.Y - X)) / (1 + 2 * tau)
        R = np.clip(R, 0, self.Y)
        return np.concatenate([(X + tau * (self.Y - R)) / (1 + tau), R])


def solve(Y, weights: udg.Weights, iterations, watch=None, ratio=0.3):  # type: ignore[no-untyped-def]
    """X and R; `ratio` is that of the primal to the dual step."""
    n, dtype = Y.size, Y.dtype
    gradient = pylops.Gradient(Y.shape, kind="forward", dtype=dtype)  # along, then across
    A = pylops.BlockDiag([gradient, gradient], dtype=dtype)
    across_Y = np.split(gradient @ Y.ravel(), 2)[1]
    absolute = pyproximal.VStack(
        [
            pyproximal.L1(weights.tau),
            pyproximal.L1(weights.lam_x),
            pyproximal.L1(weights.lam_y, g=across_Y),
        ],
        nn=[2 * n, n, n],
    )
    step = 0.99 / np.sqrt(8)
    count = 0

    def callback(x: Array) -> None:
        nonlocal count
        count += 1
        if watch and count % EVERY == 0:
            watch(*np.split(x, 2))

    x = PrimalDual(
        Data(Y, weights.lam_r), absolute, A,
        x0=np.concatenate([Y.ravel(), np.zeros(n, dtype)]),
        tau=dtype.type(step * ratio), mu=dtype.type(step / ratio),
        niter=iterations, callback=callback,
    )  # fmt: skip
    return tuple(part.reshape(Y.shape) for part in np.split(x, 2))
