"""The energy's Moreau envelope: what the rain stream descends on instead of the energy itself.

The energy of R is a sum of absolute values: its gradient has the same size however near the minimum
is, and ripples along a streak cost as soon as they arise what the streak saves only when it is
whole. From R = 0 networks hardly get away on it. The envelope

    M(R) = min over V in [0, Y] of  E(V) + ‖V − R‖² / 2γ

has the same minimum, is smooth, and its gradient (R − V) / γ, with V the proximal point of R, is an
implicit step: whole streaks at once.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from udg.errors import InvalidInput
from udg.model.energy import both_inside
from udg.model.operators import across, across_adjoint, along, along_adjoint
from udg.net.losses import LossWeights

__all__ = ["envelope_loss", "proximal_rain"]


def proximal_rain(
    R: Tensor,
    Y: Tensor,
    weights: LossWeights,
    gamma: float,
    iterations: int = 30,
    *,
    inside: Tensor | None = None,
    sparsity_map: Tensor | None = None,
) -> Tensor:
    """Minimise the energy of rain, X = Y − R, and the squared distance from R over 2γ.

    By the accelerated primal-dual method (Chambolle and Pock 2011, algorithm 2).

    Parameters
    ----------
    R, Y : Tensor, shape (B, C, H, W)
        Rain and image, streaks vertical.
    weights : LossWeights
        Their `tau`, `lam_x`, `lam_y` and `lam_r`; X = Y − R leaves nothing for `data`, and
        0 ≤ R ≤ Y holds exactly, in place of `sign`.
    gamma : float
        Above 0; the larger, the further the result is from R and the nearer to the minimum.
    iterations : int
        Of the method; 30 leave some per cent of the way.
    inside : Tensor of bool, shape (B, 1, H, W), optional
        Pixels that count; default all.
    sparsity_map : Tensor, shape (B, C, H, W), optional
        Factor on `lam_r`, pixel by pixel.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        Without gradient.
    """
    with torch.no_grad():
        R, Y = R.float(), Y.float()
        most_x, most_tau = weights.lam_x, weights.tau
        most_y = weights.lam_y + weights.tau  # both are of ∇y(R − Y)
        sparsity = weights.lam_r if sparsity_map is None else weights.lam_r * sparsity_map
        edges_x, edges_y = along(Y), across(Y)
        counted_x = both_inside(inside, along)
        counted_y = both_inside(inside, across)

        def bounded(dual: Tensor, most: float, counted: Tensor | None) -> Tensor:
            dual = dual.clamp(-most, most)
            return dual if counted is None else dual * counted

        step = dual_step = 1 / math.sqrt(12)  # ‖∇x‖² + ‖∇x‖² + ‖∇y‖² ≤ 12
        V = ahead = torch.minimum(R.clamp(min=0), Y)
        p, q, s = (torch.zeros_like(Y) for _ in range(3))
        for _ in range(iterations):
            slope = along(ahead)
            p = bounded(p + dual_step * slope, most_x, counted_x)
            q = bounded(q + dual_step * (slope - edges_x), most_tau, counted_x)
            s = bounded(s + dual_step * (across(ahead) - edges_y), most_y, counted_y)
            before, pull = V, step / gamma
            V = V - step * (along_adjoint(p + q) + across_adjoint(s) + sparsity) + pull * R
            V = torch.minimum((V / (1 + pull)).clamp(min=0), Y)
            inertia = 1 / math.sqrt(1 + 2 * pull)
            step, dual_step = inertia * step, dual_step / inertia
            ahead = V + inertia * (V - before)
        return V


def envelope_loss(
    R: Tensor,
    Y: Tensor,
    weights: LossWeights,
    gamma: float,
    iterations: int = 30,
    *,
    inside: Tensor | None = None,
    sparsity_map: Tensor | None = None,
) -> Tensor:
    """‖R − V‖² / 2γ, whose gradient is that of the envelope, with V as `proximal_rain` gives it.

    Parameters
    ----------
    R, Y : Tensor, shape (B, C, H, W)
        Rain and image, streaks vertical. Only R receives a gradient.
    weights, gamma, iterations, inside, sparsity_map
        As for `proximal_rain`.

    Returns
    -------
    Tensor, shape (B,), float64
        Zero where R is at the minimum.

    Raises
    ------
    InvalidInput
        `gamma` is not above 0, or a weight is set that is no part of this energy.
    """
    check_envelope(weights, gamma)
    V = proximal_rain(R, Y, weights, gamma, iterations, inside=inside, sparsity_map=sparsity_map)
    distance = (R - V) ** 2
    if inside is not None:
        distance = distance * inside
    return distance.double().sum((1, 2, 3)) / (2 * gamma)


def check_envelope(weights: LossWeights, gamma: float) -> None:
    """Refuse what has no envelope here."""
    if not gamma > 0 or math.isinf(gamma):
        raise InvalidInput(f"envelope is {gamma}; give a number above 0")
    for name in ("mu", "tau_squared", "identity"):
        if getattr(weights, name):
            raise InvalidInput(
                f"{name} is no part of the energy of which there is an envelope; "
                f"set {name} to 0, or envelope"
            )
