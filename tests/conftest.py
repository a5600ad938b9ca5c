"""Shared fixtures. No test reads anything outside the package and its declared dependencies."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# No time limits: machines are shared. The same examples every time: a red run can be repeated.
settings.register_profile(
    "udg", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("udg")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def rainy() -> np.ndarray:
    """A small grey picture with a textured background and vertical streaks, float32 in [0, 1]."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:48, :56]
    scene = 0.35 + 0.2 * np.sin(rows / 9) * np.cos(columns / 7) + 0.1 * (rows + columns > 60)
    rain = np.zeros(scene.shape)
    for _ in range(25):
        top, column, length = rng.integers(40), rng.integers(56), rng.integers(6, 20)
        rain[top : top + length, column] = rng.uniform(0.1, 0.35)
    return (scene + rain).clip(0, 1).astype(np.float32)
