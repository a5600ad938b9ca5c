"""What an iteration of the primal-dual method holds, and its step sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

from udg.model.duality import Duals

__all__ = ["State", "Steps"]

Array = Any


class State(NamedTuple):
    """The primal variable R and its duals."""

    R: Array
    duals: Duals


class Steps(NamedTuple):
    """Step sizes γ (R), σ_p, σ_q, σ_s (duals) and the relaxation ρ."""

    primal: float
    p: float
    q: float
    s: float
    relaxation: float
