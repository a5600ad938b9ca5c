"""What scico's two solvers share: the functionals of the energy, on x = stack([X, R]), and JAX."""

from __future__ import annotations

from typing import Any

import jax
import scico.numpy as snp
from scico import functional

Array = Any

# Iteration statistics would evaluate the objective in every iteration.
QUIET = {"fields": {"Iter": "%d"}, "itstat_func": lambda solver: (solver.itnum,)}


class Absolute(functional.Functional):
    """Σ scale·|z − shift|; `scale` broadcasts."""

    has_eval = has_prox = True

    def __init__(self, scale: Array, shift: Array) -> None:
        self.scale, self.shift = scale, shift
        self._prox = jax.jit(
            lambda v, lam: shift + functional.L1Norm().prox(v - shift, lam * scale)
        )

    def __call__(self, z: Array) -> float:
        return snp.sum(self.scale * snp.abs(z - self.shift))

    def prox(self, v: Array, lam: float = 1.0, **kwargs: Any) -> Array:
        return self._prox(v, lam)


class BoundedSum(functional.Functional):
    """λr ΣR with 0 ≤ R ≤ Y."""

    has_eval = has_prox = True

    def __init__(self, Y: Array, lam_r: float) -> None:
        self.Y, self.lam_r = Y, lam_r
        self._prox = jax.jit(lambda v, lam: snp.clip(v - lam * lam_r, 0, Y))

    def __call__(self, R: Array) -> float:
        inside = snp.all((R >= 0) & (R <= self.Y))
        return snp.where(inside, self.lam_r * snp.sum(R), snp.inf)

    def prox(self, v: Array, lam: float = 1.0, **kwargs: Any) -> Array:
        return self._prox(v, lam)


class Data(functional.Functional):
    """½‖X + R − Y‖² + λr ΣR with 0 ≤ R ≤ Y; its proximal map in closed form."""

    has_eval = has_prox = True

    def __init__(self, Y: Array, lam_r: float) -> None:
        self.Y, self.light = Y, BoundedSum(Y, lam_r)
        self._prox = jax.jit(self._closed_form)

    def __call__(self, x: Array) -> float:
        return 0.5 * snp.sum((x[0] + x[1] - self.Y) ** 2) + self.light(x[1])

    def _closed_form(self, x: Array, t: float) -> Array:
        X, R, Y = x[0], x[1], self.Y
        R = ((1 + t) * (R - t * self.light.lam_r) + t * (Y - X)) / (1 + 2 * t)
        R = snp.clip(R, 0, Y)
        return snp.stack([(X + t * (Y - R)) / (1 + t), R])

    def prox(self, v: Array, lam: float = 1.0, **kwargs: Any) -> Array:
        return self._prox(v, lam)
