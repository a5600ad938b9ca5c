"""Deep image prior, the reference of `benchmarks/figures/single_image.py`."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'udg[net]'")

from benchmarks.baselines.dip import SkipNet, deep_image_prior  # noqa: E402


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A smooth picture of odd sides."""
    row, column = np.mgrid[:37, :45] / 40
    unit = np.stack([0.5 + 0.3 * np.sin(3 * row), 0.6 * column + 0.1, 0.3 + 0 * row], axis=-1)
    return np.rint(255 * np.clip(unit, 0, 1)).astype(np.uint8)


def test_the_net_gives_a_picture_of_any_size() -> None:
    with torch.no_grad():
        picture = SkipNet(8, 3, 8, 3)(torch.rand(1, 8, 37, 45))
    assert picture.shape == (1, 3, 37, 45)
    assert 0 <= picture.min() < picture.max() <= 1


def test_a_smooth_scene_comes_before_its_streaks(scene: np.ndarray) -> None:
    rainy = scene.astype(float)
    rainy[:, ::6] += 60
    rainy = np.clip(rainy, 0, 255).astype(np.uint8)
    numbers = []
    derained = deep_image_prior(
        rainy, iterations=60, width=8, scales=2, callback=lambda number, _: numbers.append(number)
    )
    assert derained.shape == scene.shape
    assert derained.dtype == np.uint8
    assert numbers == [20, 40, 60]
    wrong = np.abs(derained.astype(float) - scene).mean()
    assert wrong < np.abs(rainy.astype(float) - scene).mean() + 5
    streaks = derained[:, ::6].astype(float).mean() - derained[:, 3::6].mean()
    assert streaks < 0.5 * (rainy[:, ::6].mean() - rainy[:, 3::6].astype(float).mean())


def test_the_seed_decides_and_time_ends_it(scene: np.ndarray) -> None:
    first, again, other = (
        deep_image_prior(scene, iterations=3, width=4, scales=2, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    numbers: list[int] = []
    deep_image_prior(
        scene, seconds=0, width=4, scales=2, callback=lambda number, _: numbers.append(number)
    )
    assert numbers == []
