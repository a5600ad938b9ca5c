"""The paper's alternating minimisation, Eq. 4–11.

R and X are updated in turn, each by an inner ADMM on its own half of Eq. 3 with closed-form steps
in the transform domain and penalties that grow. Two slips of the print are corrected: the
denominators of Eq. 7 have |F(∇)|², and the shrinkage of Eq. 9 keeps the sign of its argument.
Eq. 11's solution, which the paper leaves out as similar, is written out in `update_image`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from array_api_compat import array_namespace

from udg.errors import InvalidInput
from udg.model.duality import Duals
from udg.model.energy import Problem, shrink
from udg.model.operators import across, across_adjoint, along, along_adjoint
from udg.optim.method import Estimate

__all__ = ["Alternating", "State", "update_image", "update_rain"]

Array = Any


class State(NamedTuple):
    """X, R; auxiliary variables and multipliers of R (P, J) and of X (Z, K)."""

    X: Array
    R: Array
    P_x: Array
    P_y: Array
    J_x: Array
    J_y: Array
    Z_x: Array
    Z_y: Array
    K_x: Array
    K_y: Array


@dataclass(frozen=True)
class Alternating:
    """The paper's method and its schedule.

    Attributes
    ----------
    inner : int
        Steps of the inner ADMM in each update of R, and in each of X.
    outer : int
        Updates of R and X. This is the default of ``max_iter``, which counts them.
    penalty : float
        First value of the penalties α and β of every inner ADMM.
    growth : float
        ρ of Eq. 10, at least 1: factor on the penalties after each inner step.
    cap : float
        Largest penalty.

    Raises
    ------
    InvalidInput
        A count is below 1, a penalty not positive, `growth` below 1 or `cap` below `penalty`.

    Notes
    -----
    Auxiliary variables and multipliers are kept from one update to the next; the penalties start
    again from `penalty`. For ``model="signed"`` with ``lam_r=0`` only, which is the paper's model.
    """

    inner: int = 10
    outer: int = 100
    penalty: float = 5.0
    growth: float = 1.1
    cap: float = 1e3

    check_every = 5

    def __post_init__(self) -> None:
        if self.inner < 1 or self.outer < 1:
            raise InvalidInput(f"inner={self.inner}, outer={self.outer}: both must be at least 1")
        if not (self.penalty > 0 and self.growth >= 1 and self.cap >= self.penalty):
            raise InvalidInput(
                f"penalty={self.penalty}, growth={self.growth}, cap={self.cap}: "
                "give penalty > 0, growth ≥ 1 and cap ≥ penalty"
            )

    @property
    def default_max_iter(self) -> int:
        """The number of outer iterations."""
        return self.outer

    def start(self, problem: Problem, warm: Estimate | None) -> State:
        """R = 0 and X = Y with zero multipliers, or where an earlier estimate ended.

        Raises
        ------
        InvalidInput
            The problem has bounds or `lam_r`, which Eq. 4–11 have not.
        """
        if problem.model != "signed" or problem.weights.lam_r != 0:
            raise InvalidInput(
                "the paper's alternation is defined for model='signed' and lam_r=0 only; "
                "use method='joint' or 'primal-dual' for other models"
            )
        xp, b, Y = array_namespace(problem.Y), problem.boundary, problem.Y
        zero = xp.zeros_like(Y)
        X, R, duals = warm or Estimate(Y, zero, Duals(zero, zero, zero, zero))
        auxiliary = along(R, b), across(R - Y, b), duals.q, duals.s
        return State(X, R, *auxiliary, along(X, b), across(X, b), duals.p_along, duals.p_across)

    def advance(self, problem: Problem, state: State, iterations: int) -> State:
        """`iterations` outer iterations: R by Eq. 4, then X by Eq. 11."""
        for _ in range(iterations):
            state = update_rain(problem, self, state)
            state = update_image(problem, self, state)
        return state

    def estimate(self, problem: Problem, state: State) -> Estimate:
        """X and R, with the multipliers as duals."""
        return Estimate(state.X, state.R, Duals(state.K_x, state.K_y, state.J_x, state.J_y))


def update_rain(problem: Problem, options: Alternating, state: State) -> State:
    """Eq. 4: R given X, by `options.inner` steps of Eq. 7, 9 and 10."""
    Y, b, transform, weights = problem.Y, problem.boundary, problem.transform, problem.weights
    X, R, P_x, P_y, J_x, J_y = state[:6]
    across_Y = across(Y, b)
    alpha = beta = options.penalty
    for _ in range(options.inner):
        # Eq. 7
        numerator = (
            Y
            - X
            + along_adjoint(alpha * P_x - J_x, b)
            + across_adjoint(beta * P_y + beta * across_Y - J_y, b)
        )
        denominator = 1 + alpha * transform.along + beta * transform.across
        R = transform.inverse(transform.forward(numerator) / denominator)
        # Eq. 8, 9
        along_R, across_W = along(R, b), across(R, b) - across_Y
        P_x = shrink(along_R + J_x / alpha, weights.lam_x / alpha)
        P_y = shrink(across_W + J_y / beta, weights.lam_y / beta)
        # Eq. 10
        J_x = J_x + alpha * (along_R - P_x)
        J_y = J_y + beta * (across_W - P_y)
        alpha, beta = _grown(options, alpha), _grown(options, beta)
    return state._replace(R=R, P_x=P_x, P_y=P_y, J_x=J_x, J_y=J_y)


def update_image(problem: Problem, options: Alternating, state: State) -> State:
    """Eq. 11: X given R, by the same kind of inner ADMM with Z = ∇X and multipliers K."""
    Y, b, transform, tau = problem.Y, problem.boundary, problem.transform, problem.weights.tau
    X, R, Z_x, Z_y, K_x, K_y = state.X, state.R, *state[6:]
    alpha = beta = options.penalty
    for _ in range(options.inner):
        # Eq. 7 for X
        numerator = (
            Y - R + along_adjoint(alpha * Z_x - K_x, b) + across_adjoint(beta * Z_y - K_y, b)
        )
        denominator = 1 + alpha * transform.along + beta * transform.across
        X = transform.inverse(transform.forward(numerator) / denominator)
        # Eq. 8, 9 for X
        along_X, across_X = along(X, b), across(X, b)
        Z_x = shrink(along_X + K_x / alpha, tau / alpha)
        Z_y = shrink(across_X + K_y / beta, tau / beta)
        # Eq. 10 for X
        K_x = K_x + alpha * (along_X - Z_x)
        K_y = K_y + beta * (across_X - Z_y)
        alpha, beta = _grown(options, alpha), _grown(options, beta)
    return state._replace(X=X, Z_x=Z_x, Z_y=Z_y, K_x=K_x, K_y=K_y)


def _grown(options: Alternating, penalty: float) -> float:
    return min(options.growth * penalty, options.cap)
