"""Energy and dual bound of `udg.model.duality` on a CUDA device: one pass, one copy to the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from udg.model._cuda import Kernel, Launcher, Stack, cupy_launcher
from udg.model.duality import Duals, clip_duals, repair, shrunk_bound
from udg.model.energy import Problem

__all__ = ["certify", "energy_and_bound"]

Array = Any

_SOURCE = "model/duality.cu"
_THREADS = 256
_BLOCKS = 1024  # sums of an image that are left to the second kernel, at most
_TERMS = 4  # doubles of the kernels' `Terms`
_SHARED = _THREADS * _TERMS * 8  # bytes


def energy_and_bound(
    problem: Problem, X: Array, R: Array, duals: Duals, launcher: Launcher | None = None
) -> tuple[float, float]:
    """E(X, R) and D(duals), both models; R must be feasible."""
    launcher = launcher or cupy_launcher()
    stack = Stack.of((problem,), launcher.xp)
    one = Duals(*(dual[None] for dual in duals))
    return certify(stack, X[None], R[None], one, launcher)[0]


def certify(
    stack: Stack, X: Array, R: Array, duals: Duals, launcher: Launcher
) -> list[tuple[float, float]]:
    """Energy and bound of each problem; arrays are (B, H, W)."""
    xp = launcher.xp
    if not stack.rain:
        duals = _repaired(stack, duals, xp)
    X, R = stack.like((X, R), xp)
    images, height, _ = stack.Y.shape
    blocks = min(height, _BLOCKS)
    double = any(dual.dtype == np.float64 for dual in duals)
    kind = np.float64 if double else np.float32
    variables = (xp.ascontiguousarray(xp.asarray(dual, dtype=kind)) for dual in duals)
    dual_type = "double" if double else "float"
    macros = (*stack.macros, ("DUAL", dual_type), ("THREADS", _THREADS))
    partial = xp.empty((images, blocks, _TERMS), dtype=xp.float64)
    total = xp.empty((images, _TERMS), dtype=xp.float64)
    launcher.launch(
        Kernel(_SOURCE, "certificate", macros),
        (blocks, 1, images),
        (_THREADS, 1, 1),
        (*stack.arrays, _weights(stack, xp), X, R, *variables, partial, *stack.extent),
        _SHARED,
    )
    launcher.launch(
        Kernel(_SOURCE, "finish", macros),
        (images, 1, 1),
        (_THREADS, 1, 1),
        (partial, total, np.int32(blocks)),
        _SHARED,
    )
    return [_bound(stack.rain, *terms) for terms in launcher.to_host(total).tolist()]


def _bound(
    rain: bool, energy: float, linear: float, quadratic: float, rest: float
) -> tuple[float, float]:
    if rain:
        return energy, linear - quadratic + rest
    return energy, shrunk_bound(linear, quadratic, rest)


def _weights(stack: Stack, xp: Any) -> Array:
    """One row an image: tau, lam_x, lam_y, lam_r."""
    weights = [p.weights for p in stack.problems]
    return xp.asarray(np.array([(w.tau, w.lam_x, w.lam_y, w.lam_r) for w in weights]))


def _repaired(stack: Stack, duals: Duals, xp: Any) -> Duals:
    """Duals in double, made to satisfy the signed model's constraint, image by image."""
    done = []
    for index, problem in enumerate(stack.problems):
        double = Duals(*(dual[index].astype(xp.float64) for dual in duals))
        done.append(repair(problem, clip_duals(problem, double)))
    return Duals(*(xp.stack(planes) for planes in zip(*done, strict=True)))
