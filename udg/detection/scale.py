"""The working scale: the size of a picture at which most of its light is seen to be streaks.

Weights and features are in pixels, and made for streaks one to a few pixels wide. In a picture of
which they are ten, they are edges of two things; in one that is too small, they are lost. So rain
is looked for in a copy that is as much smaller as makes the most of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udg.detection.quick import streak_light
from udg.imaging.illuminant import Illuminant
from udg.imaging.image import PreparedImage

__all__ = ["SAMPLE", "best_step", "steps_for"]

SAMPLE = 384  # pixels: longest side of the part that is looked at
_LEAST = 256  # pixels: shortest side of a copy, below which there is little to be told from
_STEPS = (1, 2, 4, 8)


def steps_for(shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many pixels of a picture of that shape may be one of the copy, along a side."""
    most = max(1, min(shape[:2]) // _LEAST)
    return tuple(step for step in _STEPS if step <= most)


def best_step(
    part: Callable[[int], PreparedImage],
    steps: Sequence[int],
    angle: float,
    illuminant: Illuminant | None = None,
) -> int:
    """Choose the step with the most light of streaks: upwards while it grows.

    Parameters
    ----------
    part : callable
        Gives part of the copy with a step, at most `SAMPLE` pixels a side.
    steps : sequence of int
        From small to large.
    angle : float
        Of the streaks, degrees clockwise from vertical.
    illuminant : Illuminant, optional
        That of the picture.

    Returns
    -------
    int
        One of the steps.
    """
    best, most = steps[0], -1.0
    if len(steps) == 1:
        return best
    for step in steps:
        light = streak_light(part(step).unit(), angle, illuminant)
        if light <= most:
            break
        best, most = step, light
    return best
