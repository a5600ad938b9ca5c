"""A Condat–Vũ primal-dual iteration on Eq. 3 with the background eliminated.

Every absolute value gets a dual variable (see `udg.certificate`); given them, the best background
is X = Y − R − ∇ᵀp. What is left is a saddle point in R and (p, q, s), approached by steps of::

    R̃ = prox(R − γ (∇xᵀq + ∇yᵀs − ∇ᵀp))
    R̄ = 2R̃ − R
    p̃ = clip(p + σ_p ∇(Y − R̄ − ∇ᵀp), ±tau)
    q̃ = clip(q + σ_q ∇x R̄, ±lam_x)
    s̃ = clip(s + σ_s ∇y(R̄ − Y), ±lam_y)

after which every variable z becomes z + ρ(z̃ − z). `step` is this, for any array namespace; on
NumPy arrays `udg.primal_dual._numba` does the same in one sweep over the rows.

Condat, "A primal–dual splitting method for convex optimization involving Lipschitzian, proximable
and linear composite terms", JOTA 158 (2013). Vũ, Adv. Comput. Math. 38 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from array_api_compat import array_namespace, is_numpy_array

from udg.certificate import Duals, clip_duals, divergence, slope
from udg.errors import InvalidInput
from udg.method import Estimate
from udg.objective import Problem
from udg.operators import across, along

__all__ = ["PrimalDual", "State", "Steps", "step"]

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


@dataclass(frozen=True)
class PrimalDual:
    """The primal-dual method and its options.

    Attributes
    ----------
    primal_step : float
        γ, the step of R. Larger moves rain faster and the duals slower.
    background_step : float
        σ_p, the step of the background's duals.
    along_share : float
        In (0, 1): the share of the remaining dual step that goes to the differences along the
        streak; the others get the rest.
    relaxation : float
        ρ, in [1, 2): over-relaxation.

    Raises
    ------
    InvalidInput
        The steps cannot converge: they need 8·primal_step·background_step < 1.
    """

    primal_step: float = 0.2
    background_step: float = 0.055
    along_share: float = 0.75
    relaxation: float = 1.7

    default_max_iter = 3000
    check_every = 50

    def __post_init__(self) -> None:
        spent = 8 * self.primal_step * self.background_step
        if not (self.primal_step > 0 and self.background_step > 0 and spent < 1):
            raise InvalidInput(
                "primal_step and background_step must be positive with "
                f"8·primal_step·background_step < 1; it is {spent:g}"
            )
        if not 0 < self.along_share < 1:
            raise InvalidInput(f"along_share is {self.along_share}; give a number between 0 and 1")
        if not 1 <= self.relaxation < 2:
            raise InvalidInput(f"relaxation is {self.relaxation}; give a number in [1, 2)")

    @property
    def steps(self) -> Steps:
        """All step sizes: q and s share what p leaves of γ(4σ_q + 4σ_s + 8σ_p) ≤ 0.995."""
        rest = (0.995 - 8 * self.primal_step * self.background_step) / (4 * self.primal_step)
        q, s = self.along_share * rest, (1 - self.along_share) * rest
        return Steps(self.primal_step, self.background_step, q, s, self.relaxation)

    def start(self, problem: Problem, warm: Estimate | None) -> State:
        """All zeros (R = 0, X = Y), or where an earlier estimate ended."""
        xp = array_namespace(problem.Y)
        if warm is None:
            zero = xp.zeros_like(problem.Y)
            return State(zero, Duals(*(xp.zeros_like(zero) for _ in Duals._fields)))
        duals = clip_duals(problem, warm.duals)
        owned = Duals(*(xp.asarray(dual, copy=True) for dual in duals))
        return State(xp.asarray(problem.feasible(warm.R), copy=True), owned)

    def advance(self, problem: Problem, state: State, iterations: int) -> State:
        """`iterations` steps; NumPy states are updated in place by the fused kernel."""
        if is_numpy_array(problem.Y):
            from udg.primal_dual import _numba

            _numba.advance(problem, self.steps, state, iterations)
            return state
        for _ in range(iterations):
            state = step(problem, self.steps, state)
        return state

    def estimate(self, problem: Problem, state: State) -> Estimate:
        """R made feasible (over-relaxation may overshoot), and the best X for it and p."""
        if is_numpy_array(problem.Y):
            from udg.primal_dual import _numba

            pair = _numba.estimate(problem, state.R, state.duals.p_along, state.duals.p_across)
            return Estimate(*pair, state.duals)
        R = problem.feasible(state.R)
        return Estimate(problem.Y - R - divergence(problem, state.duals), R, state.duals)


def step(problem: Problem, steps: Steps, state: State) -> State:
    """One iteration as the module's docstring has it; readable twin of the fused kernels."""
    xp, b = array_namespace(problem.Y), problem.boundary
    Y, (R, duals) = problem.Y, state
    p_along, p_across, q, s = duals

    R_new = problem.prox(R - steps.primal * slope(problem, duals), steps.primal)
    R_bar = 2 * R_new - R
    X_bar = Y - R_bar - divergence(problem, duals)
    duals_new = clip_duals(
        problem,
        Duals(
            p_along + steps.p * along(X_bar, b),
            p_across + steps.p * across(X_bar, b),
            q + steps.q * along(R_bar, b),
            s + steps.s * across(R_bar - Y, b),
        ),
    )

    def relaxed(old: Array, new: Array) -> Array:
        return old + steps.relaxation * (new - old)

    return State(
        relaxed(R, R_new),
        Duals(*(xp.asarray(relaxed(*pair)) for pair in zip(duals, duals_new, strict=True))),
    )
