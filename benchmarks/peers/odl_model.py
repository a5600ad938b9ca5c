"""What odl's two solvers share: the energy as functionals and operators on the space of (X, R)."""

from __future__ import annotations

from typing import Any

import numpy as np
import odl

import udg

Array = Any


class Data(odl.functionals.Functional):
    """½‖X + R − Y‖² + λr ΣR with 0 ≤ R ≤ Y; its proximal map in closed form."""

    def __init__(self, space: Any, Y: Array, lam_r: float) -> None:
        super().__init__(space=space, linear=False)
        self.Y, self.lam_r = Y, lam_r

    def _call(self, x: Any) -> float:
        X, R = (part.asarray() for part in x)
        if not np.all((R >= 0) & (R <= self.Y)):
            return np.inf
        return 0.5 * np.sum((X + R - self.Y) ** 2) + self.lam_r * np.sum(R)

    @property
    def proximal(self) -> Any:
        """The factory of proximal maps, by step."""
        data = self

        class Proximal(odl.Operator):
            def __init__(self, t: float) -> None:
                super().__init__(domain=data.domain, range=data.domain, linear=False)
                self.t = float(t)

            def _call(self, x: Any, out: Any) -> None:
                Y, t = data.Y, self.t
                X, R = (part.asarray() for part in x)
                R = ((1 + t) * (R - t * data.lam_r) + t * (Y - X)) / (1 + 2 * t)
                R = np.clip(R, 0, Y)
                out[0].assign(out[0].space.element((X + t * (Y - R)) / (1 + t)))
                out[1].assign(out[1].space.element(R))

        return Proximal


def model(Y: Array, weights: udg.Weights) -> tuple[Any, Data, list[Any], list[Any]]:
    """Start, data term, and the absolute values with their operators."""
    plane = odl.uniform_discr([0, 0], list(Y.shape), Y.shape, dtype=str(Y.dtype))
    pair = plane**2
    X, R = (odl.ComponentProjection(pair, k) for k in (0, 1))
    along, across = (
        odl.PartialDerivative(plane, axis=axis, method="forward", pad_mode="order0")
        for axis in (0, 1)
    )
    norm = odl.functionals.L1Norm(plane)
    light = plane.element(Y.copy())  # odl shares memory, and updates its start in place
    absolute = [
        weights.tau * norm,
        weights.tau * norm,
        weights.lam_x * norm,
        (weights.lam_y * norm).translated(across(light)),
    ]
    operators = [along * X, across * X, along * R, across * R]
    return (
        pair.element([light.copy(), plane.zero()]),
        Data(pair, Y, weights.lam_r),
        absolute,
        operators,
    )


def watching(watch: Any, every: int) -> Any:
    """A callback that shows X and R to `watch` every so many iterations."""
    count = 0

    def callback(x: Any) -> None:
        nonlocal count
        count += 1
        if watch and count % every == 0:
            watch(*(part.asarray() for part in x))

    return callback
