"""The working scale: the size of a picture at which most of its light is seen to be streaks.

Weights and features are in pixels, and made for streaks one to a few pixels wide. In a picture of
which they are ten, they are edges of two things; in one that is too small, they are lost. So rain
is looked for in a copy that is as much smaller as makes the most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from udg.detection.quick import streak_light
from udg.imaging.illuminant import Illuminant
from udg.imaging.image import PreparedImage

__all__ = ["best_step", "steps_for"]

_SAMPLE = 512  # pixels: longest side of the part that is looked at, in the finer of two copies
_CLEARLY = 1.1  # times the light: of two that are as good the finer keeps more
_LEAST = 256  # pixels: shortest side of a copy, below which there is little to be told from
_STEPS = (1, 2, 4, 8)


def steps_for(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many pixels of a picture of that shape may be one of the copy, along a side."""
    most = max(1, min(shape[:2]) // _LEAST)
    return tuple(step for step in _STEPS if step <= most)


def best_step(
    part: Callable[[int, int], PreparedImage],
    steps: Sequence[int],
    angle: float,
    illuminant: Illuminant | None = None,
) -> int:
    """Choose the step with the most light of streaks: upwards while it clearly grows.

    Parameters
    ----------
    part : callable
        ``part(step, side)`` gives the middle of the copy with a step, at most so many of its pixels
        a side.
    steps : sequence of int
        From small to large, each twice the one before.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    illuminant : Illuminant, optional
        That of the picture.

    Returns
    -------
    int
        One of the steps.
    """
    for step, larger in pairwise(steps):
        # Both of the same part of the picture: rain is not the same everywhere.
        fine, coarse = (
            streak_light(part(one, _SAMPLE * step // one).unit(), angle, illuminant)
            for one in (step, larger)
        )
        if coarse <= _CLEARLY * fine:
            return step
    return steps[-1]
