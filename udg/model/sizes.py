"""Weights by what they mean in pixels: the widest and the shortest streak that is taken.

A bright line of width w and length L, alone in the picture, moves to the rain when that costs less:
λr w L + 2 λx w < 2 λy L.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeGuard

from udg.errors import InvalidInput
from udg.model.energy import Weights

__all__ = ["is_number", "shortest_streak", "weights_for_streaks", "widest_streak"]


def widest_streak(weights: Weights) -> float:
    """Width in pixels from which on a line stays in the picture, however long it is.

    Parameters
    ----------
    weights : Weights

    Returns
    -------
    float
        ``2 lam_y / lam_r``; infinite where `lam_r` is 0.
    """
    return 2 * weights.lam_y / weights.lam_r if weights.lam_r else math.inf


def shortest_streak(weights: Weights, width: float = 1.0) -> float:
    """Length in pixels that a line of that width must exceed to move to the rain.

    Parameters
    ----------
    weights : Weights
    width : float
        In pixels.

    Returns
    -------
    float
        ``2 lam_x width / (2 lam_y − lam_r width)``; infinite from `widest_streak` on.
    """
    left = 2 * weights.lam_y - weights.lam_r * width
    return 2 * weights.lam_x * width / left if left > 0 else math.inf


def weights_for_streaks(
    weights: Weights, widest: float | None = None, shortest: float | None = None
) -> Weights:
    """Choose `lam_r` and `lam_x` by the streaks that are taken, in pixels.

    Parameters
    ----------
    weights : Weights
        `tau` and `lam_y` remain, and what is not asked for.
    widest : float, optional
        What `widest_streak` shall be: `lam_r` follows from it. More than 1; infinity makes `lam_r`
        zero.
    shortest : float, optional
        What `shortest_streak` of a line one pixel wide shall be: `lam_x` follows from it. By
        default it stays as it is if `widest` is given.

    Returns
    -------
    Weights

    Raises
    ------
    InvalidInput
        `widest` or `shortest` is outside its range, or no line of one pixel would be taken.

    Examples
    --------
    >>> from udg import RAIN_WEIGHTS
    >>> weights_for_streaks(RAIN_WEIGHTS, widest=20, shortest=6).lam_r
    0.005
    """
    if shortest is None:
        shortest = shortest_streak(weights)
    elif not is_number(shortest) or not 0 <= shortest < math.inf:
        raise InvalidInput(f"shortest is {shortest!r}; give pixels, a number that is at least 0")
    if widest is None:
        widest = widest_streak(weights)
    elif not is_number(widest) or not widest > 1:
        raise InvalidInput(f"widest is {widest!r}; give pixels, a number above 1")
    if widest <= 1 or shortest == math.inf or weights.lam_y == 0:
        raise InvalidInput(
            "with these weights no line of one pixel is taken, whatever its length; "
            "raise lam_y, or lower lam_r"
        )
    lam_r = 2 * weights.lam_y / widest
    return replace(weights, lam_r=lam_r, lam_x=shortest * (weights.lam_y - lam_r / 2))


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is an int or a float, and not a bool."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)
