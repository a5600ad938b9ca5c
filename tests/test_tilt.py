from __future__ import annotations

import math

import numpy as np
import pytest

from udg.detection.tilt import recover, tilt_angle


def low_rank_and_sparse(shape: tuple[int, int], rank: int, part: float, seed: int = 0):
    rng = np.random.default_rng(seed)
    low_rank = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    sparse = np.where(rng.random(shape) < part, rng.choice([-5.0, 5.0], shape), 0.0)
    return low_rank, sparse


@pytest.mark.parametrize("shape", [(60, 60), (45, 80), (80, 45)])
def test_recovers_low_rank_and_sparse_exactly(shape: tuple[int, int]) -> None:
    low_rank, sparse = low_rank_and_sparse(shape, rank=2, part=0.05)
    found = recover(low_rank + sparse)
    size = np.linalg.norm(low_rank)
    assert np.linalg.norm(found.low_rank - low_rank) < 1e-3 * size
    assert np.linalg.norm(found.sparse - sparse) < 1e-3 * size
    assert found.delta == 0.0
    assert np.linalg.matrix_rank(found.low_rank, tol=1e-6 * size) == 2


def test_recovers_the_shift_along_the_slope() -> None:
    low_rank, sparse = low_rank_and_sparse((50, 50), rank=2, part=0.04)
    slope = np.random.default_rng(9).standard_normal((50, 50))
    found = recover(low_rank + sparse - 0.7 * slope, slope)
    assert found.delta == pytest.approx(0.7, abs=1e-3)
    assert np.linalg.norm(found.low_rank - low_rank) < 2e-3 * np.linalg.norm(low_rank)


def test_constraint_and_objective_hold() -> None:
    rng = np.random.default_rng(2)
    matrix, slope = rng.random((30, 40)), rng.random((30, 40))
    found = recover(matrix, slope, weight=0.2)
    residual = matrix + slope * found.delta - found.low_rank - found.sparse
    assert np.linalg.norm(residual) <= 1e-4 * np.linalg.norm(matrix)
    expected = np.linalg.norm(found.low_rank, "nuc") + 0.2 * np.abs(found.sparse).sum()
    assert found.objective == pytest.approx(expected, rel=1e-6)


def test_objective_reaches_its_lower_bound() -> None:
    # Weak duality: with ‖Z‖₂ ≤ 1, |Z| ≤ λ and ⟨Z, J⟩ = 0, ⟨Z, D⟩ bounds the minimum from below.
    # For J = 0, D = t·uvᵀ and flat u, v, Z = uvᵀ is such a certificate if λ ≥ 1/20; the bound is t.
    flat = np.full((20, 20), 1 / 20)
    found = recover(3.0 * flat, weight=0.06)
    assert found.objective == pytest.approx(3.0, rel=1e-3)


def test_scale_does_not_matter() -> None:
    low_rank, sparse = low_rank_and_sparse((40, 40), rank=3, part=0.05)
    one, thousand = recover(low_rank + sparse), recover(1000 * (low_rank + sparse))
    assert thousand.objective == pytest.approx(1000 * one.objective, rel=1e-3)


def lines(angle: float, shape: tuple[int, int] = (120, 110)) -> np.ndarray:
    """Long lines like ``/`` for positive angles, unevenly spaced, broken here and there."""
    row, column = np.indices(shape)
    theta = math.radians(angle)
    along = row * math.cos(theta) - column * math.sin(theta)
    across = row * math.sin(theta) + column * math.cos(theta)
    picture = np.zeros(shape)
    rng = np.random.default_rng(5)
    for place in np.arange(-200.0, 400.0, 9.0) + rng.uniform(-3, 3, 67):
        gaps = np.sin(along / 11 + rng.uniform(0, 6)) > -0.7
        picture += gaps * rng.uniform(0.4, 1) * np.exp(-((across - place) ** 2))
    return picture.astype(np.float32)


@pytest.mark.parametrize("angle", [-38.0, 0.0, 7.0, 26.0])
def test_finds_the_direction_of_lines(angle: float) -> None:
    degrees, confidence = tilt_angle(lines(angle))
    assert degrees == pytest.approx(angle, abs=1.0)
    assert confidence > 0.8


def test_texture_is_unharmed_and_nothing_is_nothing() -> None:
    texture = lines(10.0, (40, 50))
    before = texture.copy()
    texture.flags.writeable = False
    tilt_angle(texture)
    np.testing.assert_array_equal(texture, before)
    assert tilt_angle(np.zeros((40, 50), np.float32)) == (0.0, 0.0)


def test_limit_holds() -> None:
    assert abs(tilt_angle(lines(30.0, (60, 70)), limit=12.0)[0]) <= 12.0
