"""What every method of minimisation offers to the loop in `udg.optim.loop`."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from udg.model.duality import Duals
from udg.model.energy import Problem

__all__ = ["Estimate", "Method"]

Array = Any


class Estimate(NamedTuple):
    """A method's present answer: feasible X and R, and duals for the certificate."""

    X: Array
    R: Array
    duals: Duals


class Method(Protocol):
    """A way to minimise a `Problem`. States belong to the method; the loop only hands them on."""

    @property
    def default_max_iter(self) -> int:
        """Iterations after which the loop gives up unless told otherwise."""

    @property
    def check_every(self) -> int:
        """Iterations between two looks at the certificate."""

    def start(self, problem: Problem, warm: Estimate | None) -> Any:
        """The first state, from zero or from an earlier estimate, whose arrays may be used up."""

    def advance(self, problem: Problem, state: Any, iterations: int) -> Any:
        """The state after some iterations; the one given may be used up."""

    def estimate(self, problem: Problem, state: Any) -> Estimate:
        """The answer that a state stands for."""
