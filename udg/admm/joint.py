"""One ADMM over background and rain together.

The energy's absolute values and bounds are split off with a constraint each::

    P = ∇X,   Q = ∇x R,   S = ∇y(R − Y),   B = R  (rain model: 0 ≤ B ≤ Y and lam_r‖B‖₁)

With penalties ρ (one a constraint), X and R then solve a 2×2 linear system at every frequency::

    (1 + ρ_p|∇|²) X + R                      = Y + ρ_p ∇ᵀ(P − U_p)
    X + (1 + ρ_q|∇x|² + ρ_s|∇y|² + ρ_b) R    = Y + ρ_q ∇xᵀ(Q − U_q) + ρ_s ∇yᵀ(S + ∇yY − U_s)
                                                 + ρ_b(B − U_b)

where U are the scaled multipliers. Constraint and multiplier of each kind are stored as their sum
v: the new constraint is prox(v), the new multiplier v − prox(v).

Boyd et al., "Distributed optimization and statistical learning via ADMM" (2011), sections 3 and
3.4.3 (over-relaxation).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from udg.backend import clip
from udg.errors import InvalidInput
from udg.model.duality import Duals, slope
from udg.model.energy import Problem
from udg.model.operators import across, across_adjoint, along, along_adjoint
from udg.optim.method import Estimate

__all__ = ["Joint", "State", "step"]

Array = Any


class State(NamedTuple):
    """Solution of the linear system, and constraint plus scaled multiplier of each kind."""

    X: Array
    R: Array
    p_along: Array
    p_across: Array
    q: Array
    s: Array
    b: Array


class Penalties(NamedTuple):
    """ρ_p, ρ_q, ρ_s and ρ_b of the module's docstring."""

    p: float
    q: float
    s: float
    b: float


@dataclass(frozen=True)
class Joint:
    """Joint ADMM and its options.

    Attributes
    ----------
    background, along, across, bounds : float
        Penalties of P = ∇X, Q = ∇x R, S = ∇y(R − Y) and B = R. A larger penalty holds its
        constraint tighter and lets the energy fall more slowly. The minimum is always the same.
        Default of `along` and `across`: 40 and 20 times ``max(lam_x, lam_y)``.
    relaxation : float
        In [1, 2): over-relaxation.

    Raises
    ------
    InvalidInput
        A penalty is not positive or the relaxation outside its range.
    """

    background: float = 1.0
    along: float | None = None
    across: float | None = None
    bounds: float = 0.7
    relaxation: float = 1.7

    default_max_iter = 1000
    check_every = 10

    def __post_init__(self) -> None:
        for name in ("background", "along", "across", "bounds"):
            if getattr(self, name) is not None and not getattr(self, name) > 0:
                raise InvalidInput(f"the penalty {name} is {getattr(self, name)}; it must be > 0")
        if not 1 <= self.relaxation < 2:
            raise InvalidInput(f"relaxation is {self.relaxation}; give a number in [1, 2)")

    def penalties(self, problem: Problem) -> Penalties:
        """All penalties for a problem; that of the bounds is 0 where R has no terms of its own."""
        weights = problem.weights
        scale = max(weights.lam_x, weights.lam_y)
        bounded = problem.model == "rain" or weights.lam_r > 0
        return Penalties(
            self.background,
            self.along or 40 * scale,
            self.across or 20 * scale,
            self.bounds if bounded else 0.0,
        )

    def start(self, problem: Problem, warm: Estimate | None) -> State:
        """R = 0 and X = Y with zero multipliers, or where an earlier estimate ended."""
        xp, boundary, Y = array_namespace(problem.Y), problem.boundary, problem.Y
        zero, rho = xp.zeros_like(Y), self.penalties(problem)
        X, R, duals = warm or Estimate(Y, zero, Duals(zero, zero, zero, zero))
        return State(
            X,
            R,
            along(X, boundary) + duals.p_along / rho.p,
            across(X, boundary) + duals.p_across / rho.p,
            along(R, boundary) + duals.q / rho.q,
            across(R - Y, boundary) + duals.s / rho.s,
            # The bounds' multiplier is what makes the Lagrangian flat in R.
            R - slope(problem, duals) / rho.b if rho.b > 0 else R,
        )

    def advance(self, problem: Problem, state: State, iterations: int) -> State:
        """`iterations` steps."""
        for _ in range(iterations):
            state = step(problem, self, state)
        return state

    def estimate(self, problem: Problem, state: State) -> Estimate:
        """X and R of the linear system, R made feasible; duals are the multipliers."""
        _, duals = _split(problem, self, state)
        return Estimate(state.X, problem.feasible(state.R), duals)


def step(problem: Problem, options: Joint, state: State) -> State:
    """One iteration as the module's docstring has it."""
    Y, boundary, transform = problem.Y, problem.boundary, problem.transform
    rho = options.penalties(problem)
    (P_along, P_across, Q, S, B), duals = _split(problem, options, state)

    right_X = (
        Y
        + along_adjoint(rho.p * P_along - duals.p_along, boundary)
        + across_adjoint(rho.p * P_across - duals.p_across, boundary)
    )
    right_R = (
        Y
        + along_adjoint(rho.q * Q - duals.q, boundary)
        + across_adjoint(rho.s * (S + across(Y, boundary)) - duals.s, boundary)
        + rho.b * (2 * B - state.b)
    )
    X, R = _solve(problem, rho, transform.forward(right_X), transform.forward(right_R))

    def relaxed(made: Array, constraint: Array, before: Array) -> Array:
        return options.relaxation * (made - constraint) + before

    return State(
        X,
        R,
        relaxed(along(X, boundary), P_along, state.p_along),
        relaxed(across(X, boundary), P_across, state.p_across),
        relaxed(along(R, boundary), Q, state.q),
        relaxed(across(R - Y, boundary), S, state.s),
        relaxed(R, B, state.b),
    )


def _solve(problem: Problem, rho: Penalties, right_X: Array, right_R: Array) -> tuple[Array, Array]:
    """The 2×2 system at every frequency, by Cramer's rule, and back to pixels."""
    xp, transform = array_namespace(problem.Y), problem.transform
    a = rho.p * (transform.along + transform.across)
    d = rho.q * transform.along + rho.s * transform.across + rho.b
    determinant = a + d + a * d  # (1 + a)(1 + d) − 1 without cancellation
    # Signed model, constant part: only X + R is determined. The gauge here is mean(R) = 0.
    free = determinant == 0
    determinant = xp.where(free, 1.0, determinant)
    X = xp.where(free, right_X, ((1 + d) * right_X - right_R) / determinant)
    R = xp.where(free, 0.0, ((1 + a) * right_R - right_X) / determinant)
    return transform.inverse(X), transform.inverse(R)


def _split(
    problem: Problem, options: Joint, state: State
) -> tuple[tuple[Array, Array, Array, Array, Array], Duals]:
    """Constraints prox(v) and unscaled multipliers ρ(v − prox(v))."""
    weights, rho = problem.weights, options.penalties(problem)

    def clipped(v: Array, bound: float) -> Array:
        return clip(v, -bound, bound)

    u_along = clipped(state.p_along, weights.tau / rho.p)
    u_across = clipped(state.p_across, weights.tau / rho.p)
    u_q = clipped(state.q, weights.lam_x / rho.q)
    u_s = clipped(state.s, weights.lam_y / rho.s)
    constraints = (
        state.p_along - u_along,
        state.p_across - u_across,
        state.q - u_q,
        state.s - u_s,
        problem.prox(state.b, 1 / rho.b) if rho.b > 0 else state.b,
    )
    return constraints, Duals(rho.p * u_along, rho.p * u_across, rho.q * u_q, rho.s * u_s)
