"""What the network is trained with (Eq. 12–16): the energy's own terms, on tensors.

Every loss is one number an image, summed over its pixels and colours in float64; take their mean
(or, as in the paper's released training, their sum) over the batch. Only pixels that the rotation
did not make up are counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from udg.errors import InvalidInput
from udg.model.energy import (
    RAIN_WEIGHTS,
    Weights,
    check_weights,
    fidelity,
    magnitude,
    variation,
    variation_across,
    variation_along,
)
from udg.net.discriminator import generator_loss
from udg.net.network import Layers

__all__ = [
    "AUTHORS_LOSS",
    "ENERGY_LOSS",
    "PAPER_LOSS",
    "TABLE_5",
    "Case",
    "Loss",
    "LossWeights",
    "angle_loss",
    "image_loss",
    "named_loss",
    "overall_loss",
    "rain_loss",
    "self_loss",
]


@dataclass(frozen=True)
class LossWeights:
    """A factor for each term of the loss, for values in [0, 1]; 0 leaves a term out.

    Attributes
    ----------
    data : float
        ‖X + R − Y‖² (Eq. 15). Eq. 3 has ½, Eq. 15 has 1. Higher ties the two layers to the image.
    tau : float
        ‖∇X‖₁ (Eq. 13); higher smooths the background.
    lam_x : float
        ‖∇x R‖₁ along the streak (Eq. 14); higher keeps short structures out of the rain.
    lam_y : float
        ‖∇y(R − Y)‖₁ across the streak (Eq. 14); higher takes more into the rain.
    lam_r : float
        ‖R‖₁; higher keeps wide and faint structures out of the rain. Not in the paper.
    sign : float
        ‖max(−R, 0)‖₁ + ‖max(R − Y, 0)‖₁; higher pushes R to where rain is light: 0 ≤ R ≤ Y.
        Not in the paper.
    tau_squared : float
        ‖∇X‖₂², which the authors train with where the paper prints ‖∇X‖₁.
    identity : float
        ‖X − Y‖²; higher keeps the background near the image. Not in the paper.
    mu : float
        LSGAN (Eq. 13), a mean over patches; higher makes the background look like clean images.
    angle : float
        (θ − prediction)², squared degrees (Eq. 12), the angle network's only teacher unless the
        images are rotated by its prediction.

    Raises
    ------
    InvalidInput
        A weight is negative or not finite.
    """

    data: float = 0.0
    tau: float = 0.0
    lam_x: float = 0.0
    lam_y: float = 0.0
    lam_r: float = 0.0
    sign: float = 0.0
    tau_squared: float = 0.0
    identity: float = 0.0
    mu: float = 0.0
    angle: float = 0.0

    def __post_init__(self) -> None:
        check_weights(asdict(self))

    @classmethod
    def from_energy(cls, weights: Weights) -> LossWeights:
        """Those with which the loss is the solver's energy, Eq. 3 with its ½.

        Parameters
        ----------
        weights : Weights
            Of the energy. `udg.objective` is infinite where 0 ≤ R ≤ Y does not hold; here `sign`
            may take that place.

        Returns
        -------
        LossWeights
        """
        return cls(data=0.5, **asdict(weights))


#: The paper's weights (its section 4.1) and Eq. 15's factor 1.
PAPER_LOSS = LossWeights(data=1.0, tau=0.01, lam_x=1.5, lam_y=1.0, mu=400.0, angle=1.0)

#: The loss of the authors' published training. Its energy is summed over a batch of 8, its LSGAN
#: term is one mean for the batch: hence the eighth. For use with a sum over the batch.
AUTHORS_LOSS = LossWeights(
    data=0.1,
    lam_x=0.15,
    lam_y=0.1,
    lam_r=0.01,
    tau_squared=0.002,
    identity=0.001,
    mu=400.0 / 8,
    angle=1.0,
)


#: The energy that `udg.solve` minimises; R outside 0 ≤ R ≤ Y costs as much as light in X − Y.
ENERGY_LOSS = replace(LossWeights.from_energy(RAIN_WEIGHTS), sign=0.1, angle=1.0)


class Case(NamedTuple):
    """A row of the paper's Table 5.

    Attributes
    ----------
    name : str
        The terms that it has.
    weights : LossWeights
    output : {"rain", "background"}
        For `derain`: which stream was trained to give the derained image. Where both were, the
        rain stream, which leaves the image unresampled.
    """

    name: str
    weights: LossWeights
    output: Literal["rain", "background"]


_TERMS = {
    "tv": ("tau",),
    "adv": ("mu",),
    "rain": ("lam_x", "lam_y"),
    "self": ("data",),
}


def _case(*terms: str) -> Case:
    """PAPER_LOSS with these terms only; the angle is always learned."""
    kept = {"angle", *(weight for term in terms for weight in _TERMS[term])}
    off = {field.name: 0.0 for field in fields(LossWeights) if field.name not in kept}
    return Case(
        "+".join(terms), replace(PAPER_LOSS, **off), "rain" if "rain" in terms else "background"
    )


#: The paper's Table 5, by its row numbers.
TABLE_5: Mapping[int, Case] = MappingProxyType(
    {
        1: _case("tv"),
        2: _case("adv"),
        3: _case("tv", "adv"),
        4: _case("rain"),
        5: _case("adv", "rain", "self"),
        6: _case("tv", "rain", "self"),
        7: _case("tv", "adv", "rain", "self"),
    }
)


def named_loss(name: str) -> Case:
    """Weights by name, for the command line.

    Parameters
    ----------
    name : str
        ``"paper"``, ``"authors"``, ``"energy"``, or ``"table5:N"`` with N from 1 to 7.

    Returns
    -------
    Case

    Raises
    ------
    InvalidInput
        There is no such name.
    """
    whole = {"paper": PAPER_LOSS, "authors": AUTHORS_LOSS, "energy": ENERGY_LOSS}
    if name in whole:
        return Case(name, whole[name], "rain")
    table, _, number = name.partition(":")
    if table == "table5" and number.isdecimal() and int(number) in TABLE_5:
        return TABLE_5[int(number)]
    raise InvalidInput(f"loss is {name!r}; give paper, authors, energy, or table5:1 to table5:7")


class Loss(NamedTuple):
    """A loss and what it is made of.

    Attributes
    ----------
    total : Tensor, shape (B,), float64
    terms : dict of str to Tensor, shape (B,)
        Named like the weights and multiplied by them, so that they add up to `total`. Detached;
        only those with a weight.
    """

    total: Tensor
    terms: dict[str, Tensor]


def angle_loss(predicted: Tensor, angle: Tensor) -> Tensor:
    """Eq. 12: squared error of the angle network.

    Parameters
    ----------
    predicted, angle : Tensor, shape (B,)
        Prediction and truth, in degrees.

    Returns
    -------
    Tensor, shape (B,)
    """
    return (angle - predicted) ** 2


def image_loss(
    X: Tensor,
    Y: Tensor,
    weights: LossWeights,
    inside: Tensor | None = None,
    scores: Tensor | None = None,
) -> Tensor:
    """Eq. 13: smoothness of the background, and the adversarial term.

    Parameters
    ----------
    X, Y : Tensor, shape (B, C, H, W)
        Background and image; Y counts for ``weights.identity`` only.
    weights : LossWeights
    inside : Tensor of bool, shape (B, 1, H, W), optional
        Pixels that count; default all.
    scores : Tensor, shape (B, 1, h, w), optional
        The discriminator's of X; needed if ``weights.mu`` is not 0.

    Returns
    -------
    Tensor, shape (B,), float64

    Raises
    ------
    InvalidInput
        ``weights.mu`` is not 0 and there are no scores.
    """
    return _sum(_image_terms(X, Y, weights, inside, scores), X)


def rain_loss(R: Tensor, Y: Tensor, weights: LossWeights, inside: Tensor | None = None) -> Tensor:
    """Eq. 14, with the sparsity and sign of rain.

    Parameters
    ----------
    R, Y : Tensor, shape (B, C, H, W)
        Rain and image, streaks vertical.
    weights : LossWeights
    inside : Tensor of bool, shape (B, 1, H, W), optional
        Pixels that count; default all.

    Returns
    -------
    Tensor, shape (B,), float64
    """
    return _sum(_rain_terms(R, Y, weights, inside), R)


def self_loss(
    X: Tensor, R: Tensor, Y: Tensor, weights: LossWeights, inside: Tensor | None = None
) -> Tensor:
    """Eq. 15: background and rain make up the image.

    Parameters
    ----------
    X, R, Y : Tensor, shape (B, C, H, W)
        Background, rain and image.
    weights : LossWeights
    inside : Tensor of bool, shape (B, 1, H, W), optional
        Pixels that count; default all.

    Returns
    -------
    Tensor, shape (B,), float64
    """
    return _sum(_self_terms(X, R, Y, weights, inside), X)


def overall_loss(
    layers: Layers,
    weights: LossWeights,
    *,
    angle: Tensor | None = None,
    scores: Tensor | None = None,
) -> Loss:
    """Eq. 16: the sum of Eq. 12 to 15.

    Parameters
    ----------
    layers : Layers
        From `UDGNet`.
    weights : LossWeights
    angle : Tensor, shape (B,), optional
        True angles in degrees; needed if ``weights.angle`` is not 0.
    scores : Tensor, shape (B, 1, h, w), optional
        The discriminator's of ``layers.X``; needed if ``weights.mu`` is not 0.

    Returns
    -------
    Loss
        One number an image.

    Raises
    ------
    InvalidInput
        A term has a weight but lacks angles or scores.

    Examples
    --------
    >>> import torch, udg
    >>> Y = torch.rand(2, 1, 8, 8, dtype=torch.float64)
    >>> layers = udg.net.Layers(Y, 0.7 * Y, 0.2 * Y, torch.ones_like(Y) > 0, None, None)
    >>> weights = udg.net.LossWeights.from_energy(udg.RAIN_WEIGHTS)
    >>> loss = udg.net.overall_loss(layers, weights)
    >>> expected = udg.objective(layers.X, layers.R, Y, udg.RAIN_WEIGHTS)
    >>> bool(torch.isclose(loss.total.sum(), expected))
    True
    """
    Y, X, R, inside = layers.Y, layers.X, layers.R, layers.inside
    terms = {
        **_self_terms(X, R, Y, weights, inside),
        **_image_terms(X, Y, weights, inside, scores),
        **_rain_terms(R, Y, weights, inside),
    }
    if weights.angle:
        if angle is None:
            raise InvalidInput("the angle's weight is not 0: give angle=, or set that weight to 0")
        terms["angle"] = weights.angle * angle_loss(layers.predicted, angle)
    return Loss(_sum(terms, X), {name: term.detach() for name, term in terms.items()})


def _self_terms(
    X: Tensor, R: Tensor, Y: Tensor, weights: LossWeights, inside: Tensor | None
) -> dict[str, Tensor]:
    if not weights.data:
        return {}
    return {"data": weights.data * _colours(fidelity(X, R, Y, inside))}


def _image_terms(
    X: Tensor,
    Y: Tensor,
    weights: LossWeights,
    inside: Tensor | None,
    scores: Tensor | None,
) -> dict[str, Tensor]:
    terms = {}
    if weights.tau:
        terms["tau"] = weights.tau * _colours(variation(X, inside=inside))
    if weights.tau_squared:
        squared = variation(X, inside=inside, power=2)
        terms["tau_squared"] = weights.tau_squared * _colours(squared)
    if weights.identity:
        distance = fidelity(X, torch.zeros_like(X), Y, inside)
        terms["identity"] = weights.identity * _colours(distance)
    if weights.mu:
        if scores is None:
            raise InvalidInput("mu is not 0: give the discriminator's scores=, or set mu to 0")
        terms["mu"] = weights.mu * generator_loss(scores)
    return terms


def _rain_terms(
    R: Tensor, Y: Tensor, weights: LossWeights, inside: Tensor | None
) -> dict[str, Tensor]:
    terms = {}
    if weights.lam_x:
        terms["lam_x"] = weights.lam_x * _colours(variation_along(R, inside=inside))
    if weights.lam_y:
        terms["lam_y"] = weights.lam_y * _colours(variation_across(R, Y, inside=inside))
    if weights.lam_r:
        terms["lam_r"] = weights.lam_r * _colours(magnitude(R, inside))
    if weights.sign:
        wrong = torch.relu(-R) + torch.relu(R - Y)
        terms["sign"] = weights.sign * _colours(magnitude(wrong, inside))
    return terms


def _colours(planes: Tensor) -> Tensor:
    """From one number a plane, (B, C), to one an image."""
    return planes.sum(dim=-1)


def _sum(terms: dict[str, Tensor], like: Tensor) -> Tensor:
    total = torch.zeros(len(like), dtype=torch.float64, device=like.device)
    for term in terms.values():
        total = total + term
    return total
