"""The energy that the solver minimises and the network is trained with (Eq. 3).

::

    E(X, R) = ½‖X + R − Y‖² + tau‖∇X‖₁ + lam_x‖∇x R‖₁ + lam_y‖∇y(R − Y)‖₁ + lam_r‖R‖₁

X is the background, R the rain, Y the image turned so that streaks are vertical; ∇x is *along*
the streaks and ∇y *across* them. ‖∇X‖₁ is the sum of both directions' absolute differences.
All sums are over pixels, for values in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from array_api_compat import array_namespace

from udg.backend import clip
from udg.errors import InvalidInput
from udg.model.operators import Boundary, across, along
from udg.model.transforms import Transform

__all__ = [
    "PAPER_WEIGHTS",
    "RAIN_WEIGHTS",
    "STRIPE_WEIGHTS",
    "Model",
    "Problem",
    "Weights",
    "both_inside",
    "check_weights",
    "fidelity",
    "magnitude",
    "objective",
    "shrink",
    "variation",
    "variation_across",
    "variation_along",
]

Array = Any
Model = Literal["rain", "signed"]


def check_weights(weights: dict[str, float]) -> None:
    """Raise InvalidInput naming the first weight that is negative or not a finite number."""
    for name, value in weights.items():
        if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
            raise InvalidInput(f"{name} is {value!r}; give a finite number that is at least 0")


@dataclass(frozen=True)
class Weights:
    """The weights of Eq. 3, for images in [0, 1]. None may be negative.

    Attributes
    ----------
    tau : float
        Smoothness of the background; higher moves fine texture out of ``background``.
    lam_x : float
        Constancy of rain along the streak; higher leaves short structures in the background.
    lam_y : float
        Constancy of ``Y − R`` across the streak; higher takes more into the rain.
    lam_r : float
        Sparsity of rain; higher leaves wide and faint structures in the background.
        Not in the paper's Eq. 3, where it is 0.

    Raises
    ------
    InvalidInput
        A weight is negative or not finite, or `lam_x` and `lam_y` are both zero.

    Notes
    -----
    A bright line of width w and length L pixels (and no other structure) moves to the rain layer
    when ``w < 2 lam_y / lam_r`` and ``L > 2 lam_x w / (2 lam_y − lam_r w)``.
    """

    tau: float
    lam_x: float
    lam_y: float
    lam_r: float = 0.0

    def __post_init__(self) -> None:
        check_weights(asdict(self))
        if self.lam_x == self.lam_y == 0:
            raise InvalidInput(
                "lam_x and lam_y are both 0: nothing then tells rain from background; "
                "give at least one of them"
            )

    def scaled(self, factor: float) -> Weights:
        """All weights times a factor: those for a picture of so much contrast."""
        return Weights(*(factor * value for value in asdict(self).values()))

    def with_strength(self, strength: float) -> Weights:
        """The same weights with another ratio lam_x : lam_y (the paper's Fig. 8).

        Parameters
        ----------
        strength : float
            In [0, 1]. 0.5 changes nothing; higher takes more for rain, streaks and details alike.
            At 0 and 1 `lam_x` is twice and half itself, `lam_y` 0.71 and 1.41 times.

        Returns
        -------
        Weights

        Raises
        ------
        InvalidInput
            `strength` is outside [0, 1].
        """
        if isinstance(strength, (str, bool)) or not 0 <= strength <= 1:
            raise InvalidInput(f"strength is {strength!r}; give a number in [0, 1]")
        factor = 2 ** (1 - 2 * strength)
        return replace(self, lam_x=self.lam_x * factor, lam_y=self.lam_y * factor**-0.5)


#: For photographs of rain, with ``model="rain"``.
RAIN_WEIGHTS = Weights(tau=0.002, lam_x=0.15, lam_y=0.05, lam_r=0.01)

#: For stripes of either sign, with ``model="signed"``: they run through the whole picture, so
#: `lam_x` is large beside `lam_y`; `lam_r` keeps wide structures of the scene out of R.
STRIPE_WEIGHTS = Weights(tau=0.003, lam_x=0.15, lam_y=0.005, lam_r=0.0005)

#: The paper's own (its section 4.1).
PAPER_WEIGHTS = Weights(tau=0.01, lam_x=1.5, lam_y=1.0)


@dataclass(frozen=True)
class Problem:
    """One image to decompose: all that defines the minimum.

    Attributes
    ----------
    Y : array, shape (H, W)
        Streaks vertical, values in [0, 1].
    weights : Weights
    model : {"rain", "signed"}
        ``"rain"`` adds 0 ≤ R ≤ Y: rain and background are both light. ``"signed"`` leaves R free.
    boundary : {"reflecting", "periodic"}
    upper_bound : array, shape (H, W), optional
        Rain model: a tighter bound, 0 ≤ R ≤ upper_bound ≤ Y, where less can be rain. Default Y.
    sparsity_map : array, shape (H, W), optional
        Factor ≥ 0 on `lam_r`, pixel by pixel: larger where a structure is less likely rain.
        Default 1.
    """

    Y: Array
    weights: Weights
    model: Model = "rain"
    boundary: Boundary = "reflecting"
    upper_bound: Array | None = None
    sparsity_map: Array | None = None

    @cached_property
    def sparsity(self) -> Array:
        """Weight of ``|R|``: `lam_r`, or an array if there is a sparsity map."""
        return self.weights.lam_r * (1.0 if self.sparsity_map is None else self.sparsity_map)

    @property
    def upper(self) -> Array:
        """The largest R that the rain model allows."""
        return self.Y if self.upper_bound is None else self.upper_bound

    def energy(self, X: Array, R: Array) -> float:
        """`objective` of this problem."""
        weights, xp = self.weights, array_namespace(R)
        bounded = self.model == "rain" and self.upper_bound is not None
        if bounded and not bool(xp.all(self.upper_bound >= R)):
            return math.inf
        energy = float(objective(X, R, self.Y, weights, self.model, self.boundary))
        if self.sparsity_map is None:
            return energy
        extra = xp.sum((self.sparsity_map - 1) * xp.abs(R), dtype=xp.float64)
        return energy + weights.lam_r * float(extra)

    def prox(self, R: Array, step: float) -> Array:
        """Proximal map of ``step · sparsity · |R|`` and the model's bounds."""
        shift = step * self.sparsity
        if self.model == "rain":
            return clip(R - shift, 0, self.upper)
        return shrink(R, shift) if self.weights.lam_r > 0 else R

    def feasible(self, R: Array, *, in_place: bool = False) -> Array:
        """The nearest R that the model allows; on NumPy, if asked, in the same array."""
        return clip(R, 0, self.upper, in_place=in_place) if self.model == "rain" else R

    @cached_property
    def transform(self) -> Transform:
        """The transform that diagonalises the differences; planned once."""
        return Transform(self.Y, self.boundary)


def objective(
    X: Array,
    R: Array,
    Y: Array,
    weights: Weights,
    model: Model = "rain",
    boundary: Boundary = "reflecting",
) -> Array:
    """The energy of a decomposition (Eq. 3, with `lam_r`), summed in float64.

    Parameters
    ----------
    X, R, Y : arrays, shape (..., H, W)
        Background, rain and image, streaks vertical. NumPy, CuPy or torch; torch can
        differentiate the result. Leading axes are summed over.
    weights : Weights
    model : {"rain", "signed"}
        ``"rain"`` is infinite unless 0 ≤ R ≤ Y everywhere; ``"signed"`` is Eq. 3 for any R.
    boundary : {"reflecting", "periodic"}

    Returns
    -------
    scalar array, float64
    """
    xp = array_namespace(X, R, Y)
    energy = xp.sum(
        0.5 * fidelity(X, R, Y)
        + weights.tau * variation(X, boundary)
        + weights.lam_x * variation_along(R, boundary)
        + weights.lam_y * variation_across(R, Y, boundary)
        + weights.lam_r * magnitude(R)
    )
    if model == "rain" and not bool(xp.all((R >= 0) & (R <= Y))):
        return energy + math.inf
    return energy


def fidelity(X: Array, R: Array, Y: Array, inside: Array | None = None) -> Array:
    """‖X + R − Y‖², without Eq. 3's ½.

    Parameters
    ----------
    X, R, Y : arrays, shape (..., H, W)
    inside : boolean array, broadcastable to (..., H, W), optional
        Pixels that count; by default all.

    Returns
    -------
    array, shape (...), float64
        One sum a plane, here and in the other terms.
    """
    return _sum((X + R - Y) ** 2, inside)


def variation(
    X: Array, boundary: Boundary = "reflecting", inside: Array | None = None, power: int = 1
) -> Array:
    """‖∇X‖₁, both directions' absolute differences.

    Parameters
    ----------
    X : array, shape (..., H, W)
    boundary : {"reflecting", "periodic"}
    inside : boolean array, broadcastable to (..., H, W), optional
        A difference counts if both its pixels do.
    power : {1, 2}
        2 sums squares: ‖∇X‖₂².

    Returns
    -------
    array, shape (...), float64
    """
    xp = array_namespace(X)

    def size(u: Array) -> Array:
        return u**2 if power == 2 else xp.abs(u)

    return _sum(size(along(X, boundary)), both_inside(inside, along, boundary)) + _sum(
        size(across(X, boundary)), both_inside(inside, across, boundary)
    )


def variation_along(
    R: Array, boundary: Boundary = "reflecting", inside: Array | None = None
) -> Array:
    """‖∇x R‖₁; arguments and result as in `variation`."""
    u = along(R, boundary)
    return _sum(array_namespace(R).abs(u), both_inside(inside, along, boundary))


def variation_across(
    R: Array, Y: Array, boundary: Boundary = "reflecting", inside: Array | None = None
) -> Array:
    """‖∇y(R − Y)‖₁; arguments and result as in `variation`."""
    u = across(R - Y, boundary)
    return _sum(array_namespace(R, Y).abs(u), both_inside(inside, across, boundary))


def magnitude(R: Array, inside: Array | None = None) -> Array:
    """‖R‖₁; arguments and result as in `fidelity`."""
    return _sum(array_namespace(R).abs(R), inside)


def shrink(r: Array, xi: float) -> Array:
    """Soft shrinkage ``sign(r)·max(|r| − ξ, 0)``: Eq. 9, with the sign that its print lost."""
    return r - clip(r, -xi, xi)


def _sum(u: Array, inside: Array | None) -> Array:
    xp = array_namespace(u)
    if inside is not None:
        u = xp.where(inside, u, xp.zeros_like(u))
    return xp.sum(u, axis=(-2, -1), dtype=xp.float64)


def both_inside(
    inside: Array | None,
    difference: Callable[[Array, Boundary], Array],
    boundary: Boundary = "reflecting",
) -> Array | None:
    """Where a difference has both its pixels inside.

    Parameters
    ----------
    inside : boolean array, shape (..., H, W), or None
        Pixels that count; None where all do.
    difference : callable
        `udg.model.operators.along` or `udg.model.operators.across`.
    boundary : {"reflecting", "periodic"}

    Returns
    -------
    boolean array, shape (..., H, W), or None
    """
    if inside is None:
        return None
    xp = array_namespace(inside)
    return inside & (difference(xp.astype(inside, xp.int8), boundary) == 0)
