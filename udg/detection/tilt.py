"""TILT restricted to a rotation: the turn that makes a texture low-rank.

Zhang, Ganesh, Liang, Ma: TILT: Transform Invariant Low-Rank Textures. IJCV 99 (2012).

With D(θ) the window of the picture turned by θ, scaled to Frobenius norm 1,

    min over A, E, θ:  ‖A‖* + λ‖E‖₁   subject to   D(θ) = A + E,        λ = 1/√m.

Each outer step linearises D(θ + δ) ≈ D + Jδ, with J = dD/dθ, and solves the convex problem

    min over A, E, δ:  ‖A‖* + λ‖E‖₁   subject to   D + Jδ = A + E

by the alternating direction method of multipliers, with multiplier Z and a growing penalty μ:

    A ← U · shrink(S, 1/μ) · Vᵀ                  where U S Vᵀ = D + Jδ − E + Z/μ
    E ← shrink(D + Jδ − A + Z/μ, λ/μ)
    δ ← ⟨J, A + E − D − Z/μ⟩ / ⟨J, J⟩
    Z ← Z + μ(D + Jδ − A − E),    μ ← 1.25 μ.

As in the paper, the growing penalty ends the steps close to the minimum, not at it.

One window is ruled by the scene in it: a roof is of low rank, too. So the method is run in windows
all over the image, from the best of a coarse scan in each, and the median of their angles taken.

Vertical streaks are a window whose rows are alike, hence of low rank.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Recovery", "recover", "tilt_angle"]

Floats = np.ndarray[Any, np.dtype[Any]]

_GROWTH = 1.25  # of the penalty, each inner step
_INNER_TOLERANCE = 1e-4  # of ‖D + Jδ − A − E‖ / ‖D‖
_INNER_STEPS = 200
_OUTER_TOLERANCE = 1e-4  # relative change of the objective; ten times more a pyramid level
_OUTER_STEPS = 50
_WINDOW = 64  # side, pixels
_WINDOWS = 20  # at most
_LEVELS = 2
_SCAN = 3.0  # degrees between starts, and the longest outer step
_AGREE = 6.0  # degrees


class Recovery(NamedTuple):
    """What `recover` found.

    Attributes
    ----------
    low_rank, sparse : array, shape (m, n)
        A and E.
    delta : float
        δ, in units of 1/J.
    objective : float
        ‖A‖* + λ‖E‖₁.
    iterations : int
        Inner steps taken.
    """

    low_rank: Floats
    sparse: Floats
    delta: float
    objective: float
    iterations: int


def recover(data: Floats, slope: Floats | None = None, *, weight: float | None = None) -> Recovery:
    """Split a matrix into low rank and sparse, and move it along a slope: TILT's inner problem.

    Solves ``min ‖A‖* + λ‖E‖₁`` subject to ``D + Jδ = A + E``; the module's docstring has the
    steps. Stops when ``‖D + Jδ − A − E‖ ≤ 1e-4 ‖D‖``, or after 200 steps.

    Parameters
    ----------
    data : array, shape (m, n), float
        D, not zero. Not modified.
    slope : array, shape (m, n), optional
        J. Without it δ is 0 and the problem is robust principal component analysis.
    weight : float, optional
        λ > 0; more makes E sparser. 1/√max(m, n) by default.

    Returns
    -------
    Recovery
    """
    weight = 1 / math.sqrt(max(data.shape)) if weight is None else weight
    slope = np.zeros_like(data) if slope is None else slope
    slope_squared = float(np.vdot(slope, slope)) or 1.0
    size = float(np.linalg.norm(data))
    penalty = 1.25 / float(np.linalg.norm(data, 2))
    sparse, multiplier = np.zeros_like(data), np.zeros_like(data)
    delta = 0.0
    moved = data
    iteration, residual = 0, data
    while iteration < _INNER_STEPS and np.linalg.norm(residual) > _INNER_TOLERANCE * size:
        iteration += 1
        left, values, right = np.linalg.svd(
            moved - sparse + multiplier / penalty, full_matrices=False
        )
        values = np.maximum(values - 1 / penalty, 0)
        low_rank = (left * values) @ right
        sparse = _shrink(moved - low_rank + multiplier / penalty, weight / penalty)
        wanted = low_rank + sparse - data - multiplier / penalty
        delta = float(np.vdot(slope, wanted)) / slope_squared
        moved = data + slope * delta
        residual = moved - low_rank - sparse
        multiplier = multiplier + penalty * residual
        penalty *= _GROWTH
    objective = float(values.sum() + weight * np.abs(sparse).sum())
    return Recovery(low_rank, sparse, delta, objective, iteration)


def tilt_angle(texture: Floats, *, limit: float = 45.0) -> tuple[float, float]:
    """Find the rotation that makes the windows of a texture low-rank.

    TILT runs in up to 20 windows, spread evenly; the median of their angles is the answer.

    Parameters
    ----------
    texture : array, shape (H, W)
        Streaks on a dark ground serve best; both sides at least 12 pixels. Not modified.
    limit : float
        Degrees; the answer lies within ±limit.

    Returns
    -------
    degrees : float
        Clockwise from vertical.
    confidence : float
        In [0, 1]: the part of the windows whose angle is within 6° of the answer. 0 without
        features.
    """
    pyramid = _pyramid(texture)
    found = [
        _search(pyramid, centre, limit) for centre in _centres(texture.shape, _side(texture.shape))
    ]
    angles = np.array([degrees for degrees in found if degrees is not None])
    if angles.size == 0:
        return 0.0, 0.0
    # The middle one of the list, never the mean of two that disagree.
    answer = float(np.sort(angles)[angles.size // 2])
    return answer, float(np.mean(np.abs(angles - answer) <= _AGREE))


def _search(pyramid: list[Floats], centre: Floats, limit: float) -> float | None:
    """TILT in one window, coarse to fine; None if the window is empty."""
    side = _side(pyramid[0].shape)
    starts = np.arange(-limit, limit + _SCAN / 2, _SCAN)
    coarsest = len(pyramid) - 1
    windows = [_turned(pyramid[-1], t, centre, side, coarsest) for t in starts]
    norms = [float(np.linalg.norm(w)) for w in windows]
    if min(norms) < 1e-6:
        return None
    # The linearisation reaches a few degrees only: the lowest ‖D(θ)‖* is the place to start.
    nuclear = [np.linalg.norm(w, "nuc") / n for w, n in zip(windows, norms, strict=True)]
    theta = float(starts[np.argmin(nuclear)])
    for level in range(coarsest, -1, -1):
        tolerance = _OUTER_TOLERANCE * 10**level
        previous = math.inf
        for _ in range(_OUTER_STEPS):
            solved = recover(*_window(pyramid[level], theta, centre, side, level))
            step = math.degrees(solved.delta)
            theta = min(max(theta + min(max(step, -_SCAN), _SCAN), -limit), limit)
            if abs(previous - solved.objective) <= tolerance * solved.objective:
                break
            previous = solved.objective
    return theta


def _pyramid(texture: Floats) -> list[Floats]:
    """The texture, then blurred for a half, a quarter … of the samples; all of its size."""
    from scipy.ndimage import gaussian_filter

    return [texture, *(gaussian_filter(texture, 2.0**k / 2) for k in range(1, _LEVELS))]


def _side(shape: tuple[int, ...]) -> int:
    """Side of a window whose corners stay inside the picture at every angle, if it is large."""
    return max(8, min(_WINDOW, int(min(shape) / math.sqrt(2))))


def _centres(shape: tuple[int, ...], side: int) -> list[Floats]:
    """At most `_WINDOWS` places for windows, spread evenly."""
    radius = side / math.sqrt(2)
    free = [max(n - 1 - 2 * radius, 0) for n in shape]
    spacing = max(side, math.sqrt((free[0] + side) * (free[1] + side) / _WINDOWS))
    rows, columns = (
        (n - 1) / 2
        + (np.linspace(-f, f, int(f / spacing) + 1) / 2 if f >= spacing else np.zeros(1))
        for n, f in zip(shape, free, strict=True)
    )
    return [np.array([row, column]) for row in rows for column in columns]


def _window(
    texture: Floats, theta: float, centre: Floats, side: int, level: int
) -> tuple[Floats, Floats]:
    """D(θ) and J = dD/dθ, per radian."""
    nudge = 0.25
    before, here, after = (
        _turned(texture, theta + d, centre, side, level) for d in (-nudge, 0, nudge)
    )
    size = float(np.linalg.norm(here)) or 1.0
    data = here / size
    slope = (after - before) / (2 * math.radians(nudge)) / size
    # D keeps its norm: the objective must not be lowered by darkening.
    return data, slope - np.vdot(slope, data) * data


def _turned(texture: Floats, theta: float, centre: Floats, side: int, level: int) -> Floats:
    """A window turned by theta about its centre, every ``2**level`` pixels a sample."""
    from scipy.ndimage import affine_transform

    cos, sin = math.cos(math.radians(theta)), math.sin(math.radians(theta))
    matrix = 2**level * np.array([[cos, sin], [-sin, cos]])
    samples = max(side // 2**level, 4)
    offset = centre - matrix @ np.full(2, (samples - 1) / 2)
    return np.asarray(
        affine_transform(texture, matrix, offset, (samples, samples), order=1, mode="reflect")
    )


def _shrink(x: Floats, threshold: float) -> Floats:
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0)
