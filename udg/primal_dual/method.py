"""A Condat–Vũ primal-dual iteration on Eq. 3 with the background eliminated.

Every absolute value gets a dual variable (see `udg.model.duality`); given them, the best background
is X = Y − R − ∇ᵀp. What is left is a saddle point in R and (p, q, s), approached by steps of::

    R̃ = prox(R − γ (∇xᵀq + ∇yᵀs − ∇ᵀp))
    R̄ = 2R̃ − R
    p̃ = clip(p + σ_p ∇(Y − R̄ − ∇ᵀp), ±tau)
    q̃ = clip(q + σ_q ∇x R̄, ±lam_x)
    s̃ = clip(s + σ_s ∇y(R̄ − Y), ±lam_y)

after which every variable z becomes z + ρ(z̃ − z). `step` is this, for any array namespace; on
NumPy arrays `udg.primal_dual._numba` does the same in fused sweeps over the rows, on CuPy's
`udg.primal_dual._cupy` on tiles.

Condat, "A primal–dual splitting method for convex optimization involving Lipschitzian, proximable
and linear composite terms", JOTA 158 (2013). Vũ, Adv. Comput. Math. 38 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace, is_cupy_array, is_numpy_array

from udg.errors import InvalidInput
from udg.model.duality import Duals, clip_duals, divergence, slope
from udg.model.energy import Problem, Weights
from udg.model.operators import across, along
from udg.optim.method import Estimate
from udg.primal_dual.state import State, Steps

__all__ = ["PrimalDual", "step"]

Array = Any


@dataclass(frozen=True)
class PrimalDual:
    """The primal-dual method and its options.

    Attributes
    ----------
    primal_step : float, optional
        γ, the step of R. Larger moves R faster and the duals slower. Default
        ``0.015 / max(lam_x, lam_y)``: the duals must travel as far as the weights are large.
    background_share : float
        In (0, 1): share of the dual step that goes to the background's duals p.
    along_share : float
        In (0, 1): share of what is left that goes to q (along the streak); s gets the rest.
    relaxation : float
        ρ, in [1, 2): over-relaxation.

    Raises
    ------
    InvalidInput
        An option is outside its range.

    Notes
    -----
    Whatever the options, the steps satisfy the condition under which the iteration is proven to
    converge (Condat 2013, theorem 3.1, with ½‖∇ᵀp‖² as the smooth term, of Lipschitz constant 8)::

        γ(8σ' + 4σ_q + 4σ_s) ≤ 1   with   1/σ' = 1/σ_p − 4/(2 − ρ)
    """

    primal_step: float | None = None
    background_share: float = 0.15
    along_share: float = 0.8
    relaxation: float = 1.65

    default_max_iter = 5000
    check_every = 50

    def __post_init__(self) -> None:
        if self.primal_step is not None and not self.primal_step > 0:
            raise InvalidInput(f"primal_step is {self.primal_step}; it must be positive")
        for name in ("background_share", "along_share"):
            if not 0 < getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; give a number in (0, 1)")
        if not 1 <= self.relaxation < 2:
            raise InvalidInput(f"relaxation is {self.relaxation}; give a number in [1, 2)")

    def steps(self, weights: Weights) -> Steps:
        """All step sizes for a problem's weights."""
        gamma = self.primal_step or 0.015 / max(weights.lam_x, weights.lam_y)
        rest = (1 - self.background_share) / (4 * gamma)
        return Steps(
            gamma,
            1 / (8 * gamma / self.background_share + 4 / (2 - self.relaxation)),
            self.along_share * rest,
            (1 - self.along_share) * rest,
            self.relaxation,
        )

    def start(self, problem: Problem, warm: Estimate | None) -> State:
        """All zeros (R = 0, X = Y), or where an earlier estimate ended."""
        xp = array_namespace(problem.Y)
        if warm is None:
            zero = xp.zeros_like(problem.Y)
            return State(zero, Duals(*(xp.zeros_like(zero) for _ in Duals._fields)))
        duals = clip_duals(problem, warm.duals, in_place=True)
        return State(problem.feasible(warm.R, in_place=True), duals)

    def advance(self, problem: Problem, state: State, iterations: int) -> State:
        """`iterations` steps; the fused kernels for NumPy and CuPy use up the state given."""
        if is_numpy_array(problem.Y):
            from udg.primal_dual import _numba

            _numba.advance(problem, self.steps(problem.weights), state, iterations)
            return state
        if is_cupy_array(problem.Y):
            from udg.primal_dual import _cupy

            return _cupy.advance(problem, self.steps(problem.weights), state, iterations)
        for _ in range(iterations):
            state = step(problem, self.steps(problem.weights), state)
        return state

    def estimate(self, problem: Problem, state: State) -> Estimate:
        """R made feasible (over-relaxation may overshoot), and the best X for it and p."""
        if is_numpy_array(problem.Y):
            from udg.primal_dual import _numba

            pair = _numba.estimate(problem, state.R, state.duals.p_along, state.duals.p_across)
            return Estimate(*pair, state.duals)
        if is_cupy_array(problem.Y):
            from udg.primal_dual import _cupy

            return _cupy.estimate(problem, state)
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
