"""Streaks that meet in a point, from the estimate to the result."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

import udg
from udg.detection.angle import Angle, estimate_angle
from udg.detection.convergence import Convergence, estimate_convergence
from udg.errors import InvalidInput
from udg.imaging.geometry import rotated_shape, unrotate


def convergence_of_rain(
    shape: tuple[int, int], angle: float, convergence: float, seed: int = 0
) -> np.ndarray:
    upright = udg.synthesize(
        np.zeros(rotated_shape(shape, angle, convergence=convergence), np.float32),
        angle=0,
        length=30,
        width=1.5,
        density=0.06,
        intensity=0.4,
        seed=seed,
    ).rain
    return unrotate(np.asarray(upright, np.float32), angle, shape, convergence=convergence)


def scene() -> np.ndarray:
    return (data.camera()[:360, 60:500] / 255).astype(np.float32)


def behind(angle: float, convergence: float) -> np.ndarray:
    clean = scene()
    return np.clip(clean + convergence_of_rain(clean.shape, angle, convergence), 0, 1)


@pytest.mark.parametrize(("angle", "convergence"), [(5, 6), (5, -8), (-20, 4), (0, 12)])
def test_converging_streaks_are_found(angle: float, convergence: float) -> None:
    rainy = behind(angle, convergence)
    found = estimate_convergence(rainy, estimate_angle(rainy))
    assert found == pytest.approx((angle, convergence), abs=1)


def test_mirrored_streaks_have_the_other_angle_and_meets_where_it_did() -> None:
    rainy = np.ascontiguousarray(behind(8, 6)[:, ::-1])
    assert estimate_convergence(rainy, estimate_angle(rainy)) == pytest.approx((-8, 6), abs=1)


def test_upside_down_it_meets_above() -> None:
    rainy = np.ascontiguousarray(behind(8, 6)[::-1])
    assert estimate_convergence(rainy, estimate_angle(rainy)) == pytest.approx((-8, -6), abs=1)


@pytest.mark.parametrize("angle", [-15.0, 0.0, 30.0])
def test_parallel_streaks_are_no_convergence(angle: float) -> None:
    rainy = udg.synthesize(scene(), angle=angle, seed=2).rainy
    whole = estimate_angle(rainy)
    assert estimate_convergence(rainy, whole) == Convergence(whole.degrees, 0.0)


def test_nothing_is_told_of_what_has_no_direction(rng) -> None:
    for image in (np.zeros((200, 300)), rng.random((200, 300)), behind(0, 10)[:100, :100]):
        whole = estimate_angle(image)
        assert estimate_convergence(image, whole) == Convergence(whole.degrees, 0.0)
    assert estimate_convergence(np.zeros((200, 200)), Angle(0.0, 0.0)) == Convergence(0.0, 0.0)


def test_converging_rain_is_derained_better_if_it_is_straightened() -> None:
    rainy, clean = behind(5, 8), scene()
    result = udg.solve(rainy)
    assert result.convergence == pytest.approx(8, abs=1)
    assert f"converging by {result.convergence:.1f}°" in repr(result)
    parallel = udg.solve(rainy, convergence=0)
    assert parallel.convergence == 0
    before = udg.psnr_y(rainy, clean)
    gain, other = (udg.psnr_y(one.derained, clean) - before for one in (result, parallel))
    assert gain > other + 0.2
    # What the frame has of the light is in the picture's background and rain together.
    rest = rainy - result.background
    assert (
        np.abs(
            rest - udg.solve(rainy, angle=result.angle, convergence=result.convergence).rain
        ).mean()
        < 0.02
    )


def test_what_is_given_is_what_is_used() -> None:
    rainy = behind(5, 8)
    known = udg.solve(rainy, angle=5, convergence=8, tol=0.05)
    assert (known.angle, known.convergence, known.confidence) == (5, 8, None)
    assert udg.solve(rainy, angle=5, tol=0.05).convergence == 0
    assert udg.solve(rainy, angle=5, convergence="auto", tol=0.05).convergence == 0
    assert udg.solve(rainy, model="signed", tol=0.05).convergence == 0


def test_tiles_follow_the_whole_pictures_convergence() -> None:
    rainy, clean = behind(5, 8), scene()
    whole = udg.solve(rainy, angle=5, convergence=8, rain_level=1)
    tiled = udg.solve_tiles(rainy, tile=200, overlap=48, angle=5, convergence=8, rain_level=1)
    assert tiled.convergence == 8
    assert min(tiled.angles) < 2
    assert max(tiled.angles) > 8
    difference = np.abs(tiled.derained - whole.derained)
    assert np.percentile(difference, 99) < 1 / 255
    parallel = udg.solve_tiles(rainy, tile=200, overlap=48, angle=5, rain_level=1)
    with_convergence, without = (udg.psnr_y(one.derained, clean) for one in (tiled, parallel))
    assert with_convergence > without + 0.25


def test_one_tile_is_the_whole() -> None:
    rainy, options = behind(5, 8), {"angle": 5, "convergence": 8, "rain_level": 1, "stages": 1}
    tiled, whole = udg.solve_tiles(rainy, **options), udg.solve(rainy, **options)
    np.testing.assert_allclose(tiled.derained, whole.derained, atol=1e-6)


def test_chunks_do_what_tiles_do() -> None:
    da = pytest.importorskip("dask.array", reason="dask is not installed")
    rainy = behind(5, 8)
    options = {"angle": 5, "convergence": 8, "rain_level": 1, "stages": 2}
    lazy = udg.solve_blocks(da.from_array(rainy, chunks=(360, 220)), overlap=48, **options)
    # Tiles have the chunks' borders where there is one.
    tiled = udg.solve_tiles(rainy, tile=264, overlap=48, **options)
    chunked = lazy.derained.compute()
    assert np.abs(chunked - tiled.derained).mean() < 3e-3


@pytest.mark.parametrize("convergence", [30, "wide", True, float("nan")])
def test_other_convergence_is_refused(convergence) -> None:
    with pytest.raises(InvalidInput, match="convergence is"):
        udg.solve(np.zeros((20, 20)), convergence=convergence)
