"""Shared fixtures. No test reads anything outside the package and its declared dependencies."""

import shutil
from collections.abc import Iterator
from typing import Any

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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, through Playwright; where it is missing tests skip and say so."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if path is None:
        pytest.skip("no browser: install chromium (on Debian: apt-get install chromium)")
    # Without these it calls home, and waits for an answer where there is no network.
    options = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=options)
        yield opened
        opened.close()
