"""The convergence of streaks: a camera that looks up or down sees them meet in a point."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from udg.backend import to_numpy
from udg.detection.angle import Angle, estimate_angle, shrunk_luma
from udg.imaging.image import DataRange, prepare

__all__ = ["Convergence", "estimate_convergence"]

Floats = np.ndarray[Any, np.dtype[Any]]

# Of 60 photos with rain 15 have one; of 63 with rendered, parallel streaks none.
_PARTS = 4  # squares along the longer side in each of which the direction is looked for …
_MIN_SIDE = 128  # … but not smaller ones
_AGREES = 14.0  # degrees from the whole picture's direction within which a square's counts …
_CONFIDENT = 0.3  # … if it is so sure
_STRAY = 0.7  # degrees from the convergence beyond which a square counts less and less
_MAX_STRAY = 0.8  # degrees, the median square's
_MIN_CONVERGENCE = 2.0  # degrees; less is parallel
_MAX_FOUND = 15.0
_SIGNIFICANT = 5.0  # standard errors from 0


class Convergence(NamedTuple):
    """Streaks that converge, as those that a camera sees from below or above.

    Attributes
    ----------
    degrees : float
        Direction in the picture's centre, clockwise from vertical.
    convergence : float
        Degrees by which it changes from there to half the picture's diagonal across. Positive if
        the streaks meet below, negative if above; 0 if they are parallel.
    """

    degrees: float
    convergence: float


def estimate_convergence(
    image: Any, angle: Angle, *, limit: float = 45.0, data_range: DataRange | None = None
) -> Convergence:
    """Find out whether an image's streaks converge.

    The directions of squares a quarter of the image wide are compared to those of lines through one
    point. Few squares see only streaks, so strays count little (Cauchy's loss), and a convergence
    is reported only if it is at least 2° and five standard errors wide and half of the squares are
    within 0.8°.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Rainy; its luma is used. Never modified.
    angle : Angle
        What `estimate_angle` found.
    limit : float
        As in `estimate_angle`.
    data_range : float or (float, float), optional
        As in `udg.imaging.image.prepare`.

    Returns
    -------
    Convergence
        ``Convergence(angle.degrees, 0.0)`` for parallel streaks, and where that cannot be told.

    Raises
    ------
    InvalidImage
        The image cannot be used; see `udg.imaging.image.prepare`.
    InvalidInput
        ``limit`` is outside (0, 90].
    """
    from scipy.optimize import least_squares

    parallel = Convergence(angle.degrees, 0.0)
    small = shrunk_luma(to_numpy(prepare(image, data_range).luma()))
    if min(small.shape) < _MIN_SIDE or angle.confidence == 0:
        return parallel
    squares = _local_angles(small, limit)
    near = np.abs(squares.degrees - angle.degrees) < _AGREES
    sure = near & (squares.confidence > _CONFIDENT)
    if 3 * np.count_nonzero(sure) < len(sure):
        return parallel
    row, column, degrees, weight = (values[sure] for values in squares)
    reach = math.hypot(*small.shape) / 2

    def strays(found: Floats) -> Floats:
        theta, rate = math.radians(found[0]), math.tan(math.radians(found[1])) / reach
        along = row * math.cos(theta) - column * math.sin(theta)
        across = row * math.sin(theta) + column * math.cos(theta)
        turned = np.degrees(np.arctan2(rate * across, 1 - rate * along))
        return np.asarray(weight * (degrees - found[0] - turned))

    ends = [-180.0, -_MAX_FOUND], [180.0, _MAX_FOUND]
    starts = [(angle.degrees, convergence) for convergence in (-5.0, 0.0, 5.0)]
    fits = [
        least_squares(strays, start, bounds=ends, loss="cauchy", f_scale=_STRAY) for start in starts
    ]
    best = min(fits, key=lambda fit: float(fit.cost))
    centre, convergence = (float(value) for value in best.x)
    variance = 2 * best.cost / max(1, len(degrees) - 2)
    slopes = np.asarray(best.jac)
    error = math.sqrt(variance * np.linalg.pinv(slopes.T @ slopes)[1, 1])
    told = (
        _MIN_CONVERGENCE <= abs(convergence) < _MAX_FOUND
        and abs(convergence) > _SIGNIFICANT * error
    )
    if not told or np.median(np.abs(strays(best.x))) > _MAX_STRAY or abs(centre) > limit:
        return parallel
    return Convergence(centre, convergence)


class _Squares(NamedTuple):
    """Directions in squares of a picture, and where the squares' centres are from its centre."""

    row: Floats
    column: Floats
    degrees: Floats
    confidence: Floats


def _local_angles(luma: Floats, limit: float) -> _Squares:
    height, width = luma.shape
    side = min(height, width, max(_MIN_SIDE, round(max(height, width) / _PARTS)))
    rows, columns = (
        np.linspace(0, n - side, -(-2 * (n - side) // side) + 1).round().astype(int)
        for n in luma.shape
    )
    found = []
    for top in rows:
        for left in columns:
            part = estimate_angle(luma[top : top + side, left : left + side], limit=limit)
            found.append((top + (side - height) / 2, left + (side - width) / 2, *part))
    return _Squares(*np.array(found).T)
