"""How far a decomposition is from the minimum: a proof, not a guess.

With dual variables ``|p| ≤ tau`` (two directions), ``|q| ≤ lam_x`` and ``|s| ≤ lam_y``, one for
each absolute value in the energy, and X eliminated, every choice gives a lower bound on the
minimum::

    D(p, q, s) = ⟨Y, ∇ᵀp − ∇yᵀs⟩ − ½‖∇ᵀp‖² + min over R of ⟨R, c⟩ + lam_r‖R‖₁
    c          = ∇xᵀq + ∇yᵀs − ∇ᵀp

With 0 ≤ R ≤ U (U = Y, or less) the last minimum is Σ U·min(0, lam_r + c), finite for any duals.
With R of any sign it is −∞ unless ``|c| ≤ lam_r``, so there the duals are first repaired
(``repair``).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import array_namespace

from udg.backend import clip
from udg.model.energy import Problem
from udg.model.operators import across, across_adjoint, along, along_adjoint
from udg.model.transforms import Transform

__all__ = [
    "Duals",
    "clip_duals",
    "divergence",
    "dual_bound",
    "relative_gap",
    "repair",
    "shrunk_bound",
    "slope",
]

Array = Any

# Rounds of projection between c = 0 and the box; a handful brings the loss below the gap itself.
_REPAIR_ROUNDS = 8
# Energy per pixel below which a relative gap has no meaning: a thousandth of a grey level, squared.
_NEGLIGIBLE = 1e-11


class Duals(NamedTuple):
    """Dual variables, each of the image's shape.

    `p_along`, `p_across` belong to ∇X, `q` to ∇x R, `s` to ∇y(R − Y).
    """

    p_along: Array
    p_across: Array
    q: Array
    s: Array


def relative_gap(problem: Problem, objective: float, bound: float) -> float:
    """(E − D) / E, the proven relative distance from the minimum; 0 for a negligible energy."""
    size = problem.Y.shape[-2] * problem.Y.shape[-1]
    return float(max(0.0, objective - bound) / max(objective, _NEGLIGIBLE * size))


def clip_duals(problem: Problem, duals: Duals, *, in_place: bool = False) -> Duals:
    """The nearest duals inside their bounds; on NumPy, if asked, in the same arrays."""
    pairs = zip(duals, _bounds(problem), strict=True)
    return Duals(*(clip(dual, -bound, bound, in_place=in_place) for dual, bound in pairs))


def dual_bound(problem: Problem, duals: Duals) -> float:
    """A lower bound on the problem's minimum from any duals (they are made feasible here).

    Computed in float64 whatever the duals' type.
    """
    xp = array_namespace(problem.Y)
    duals = clip_duals(problem, Duals(*(xp.astype(dual, xp.float64) for dual in duals)))
    if problem.model == "signed":
        if not any(bool(xp.any(dual)) for dual in duals):
            return 0.0  # as at the start
        duals = repair(problem, duals)
    Y = xp.astype(problem.Y, xp.float64)
    p_part, c = divergence(problem, duals), slope(problem, duals)
    linear = float(xp.sum(Y * (p_part - across_adjoint(duals.s, problem.boundary))))
    quadratic = 0.5 * float(xp.sum(p_part**2))
    if problem.model == "rain":
        slack = float(xp.sum(problem.upper * clip(problem.sparsity + c, None, 0)))
        return linear - quadratic + slack
    return shrunk_bound(linear, quadratic, _largest_factor(problem, duals, c))


def shrunk_bound(linear: float, quadratic: float, largest: float) -> float:
    """The best bound of repaired duals that are shrunk together, by `largest` or more.

    They must be, where the repair left one out of its bound; the best factor is where the parabola
    in it peaks.
    """
    factor = min(largest, max(0.0, linear / (2 * quadratic))) if quadratic > 0 else largest
    return factor * linear - factor**2 * quadratic


def repair(problem: Problem, duals: Duals) -> Duals:
    """Move duals so that ``|c| ≤ lam_r``, and nearly into their bounds.

    Alternating projections onto {c = 0} (a Poisson equation, one transform pair) and the box. Each
    dual moves in proportion to its bound squared, so all use the same share of their slack.
    """
    xp, boundary = array_namespace(problem.Y), problem.boundary
    tau, _, lam_x, lam_y = (bound**2 for bound in _bounds(problem))
    # All rounds but the last only have to come near, in half the time; that one makes c zero.
    for dtype, rounds in ((xp.float32, _REPAIR_ROUNDS - 1), (xp.float64, 1)):
        duals = Duals(*(xp.astype(dual, dtype) for dual in duals))
        transform = Transform(duals.q, boundary)
        laplacian = (lam_x + tau) * transform.along + (lam_y + tau) * transform.across
        # The constant has eigenvalue 0, and the residual none of it.
        inverse = xp.where(laplacian > 0, 1 / xp.where(laplacian > 0, laplacian, 1.0), 0.0)
        inverse = xp.astype(inverse, dtype)
        duals = _repaired(problem, duals, transform, inverse, rounds)
    return duals


def _repaired(
    problem: Problem, duals: Duals, transform: Transform, inverse: Array, rounds: int
) -> Duals:
    boundary, limit = problem.boundary, problem.sparsity
    tau, _, lam_x, lam_y = (bound**2 for bound in _bounds(problem))
    for _ in range(rounds):
        duals = clip_duals(problem, duals)
        c = slope(problem, duals)
        excess = c - clip(c, -limit, limit)
        potential = transform.inverse(transform.forward(excess) * inverse)
        slope_along, slope_across = along(potential, boundary), across(potential, boundary)
        duals = Duals(
            duals.p_along + tau * slope_along,
            duals.p_across + tau * slope_across,
            duals.q - lam_x * slope_along,
            duals.s - lam_y * slope_across,
        )
    return duals


def _largest_factor(problem: Problem, duals: Duals, c: Array) -> float:
    """The largest factor ≤ 1 that brings all duals, and c, into their bounds."""
    xp, factor = array_namespace(problem.Y), 1.0
    for dual, bound in zip(duals, _bounds(problem), strict=True):
        peak = float(xp.max(xp.abs(dual)))
        factor = min(factor, bound / peak if peak > 0 else 1.0)
    if problem.weights.lam_r == 0:
        return factor  # the repair has made c zero but for rounding
    excess = float(xp.max(xp.abs(c) - problem.sparsity))
    if excess <= 0:
        return factor
    inside = xp.abs(c) > 0
    ratio = xp.where(inside, problem.sparsity / xp.where(inside, xp.abs(c), 1.0), 1.0)
    return min(factor, float(xp.min(ratio)))


def _bounds(problem: Problem) -> tuple[float, float, float, float]:
    weights = problem.weights
    return weights.tau, weights.tau, weights.lam_x, weights.lam_y


def divergence(problem: Problem, duals: Duals) -> Array:
    """∇ᵀp."""
    return along_adjoint(duals.p_along, problem.boundary) + across_adjoint(
        duals.p_across, problem.boundary
    )


def slope(problem: Problem, duals: Duals) -> Array:
    """c = ∇xᵀq + ∇yᵀs − ∇ᵀp, the slope of the Lagrangian in R."""
    return along_adjoint(duals.q - duals.p_along, problem.boundary) + across_adjoint(
        duals.s - duals.p_across, problem.boundary
    )
