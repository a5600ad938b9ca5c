"""Primal-dual Douglas–Rachford (Boț and Hendrich) with odl, on NumPy."""

from __future__ import annotations

import odl

import udg
from benchmarks.peers.odl_model import model, watching

OPTIONS = [{"tau": tau} for tau in (0.1, 0.2, 0.4)]
EVERY = 5


def solve(Y, weights: udg.Weights, iterations, watch=None, tau=0.2):  # type: ignore[no-untyped-def]
    """X and R; `tau` is the primal step, and the dual ones use up what it leaves."""
    x, data, absolute, operators = model(Y, weights)
    # The method asks for tau Σ sigma ‖L‖² < 4, and each of the four has ‖L‖² ≤ 4.
    sigma = [0.99 * 4 / (4 * 4 * tau)] * 4
    odl.solvers.douglas_rachford_pd(
        x, data, absolute, operators, niter=iterations, tau=tau, sigma=sigma, lam=1.5,
        callback=watching(watch, EVERY),
    )  # fmt: skip
    return tuple(part.asarray() for part in x)
