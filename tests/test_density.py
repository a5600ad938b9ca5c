"""Rain density: what is suspect because of where it is."""

import numpy as np
import pytest

import udg
from udg.detection.density import RainDensity, _bilinear, expected_density, texture


def suspicion(rain, scene, angle=0.0):
    """Factor on lam_r in a whole picture."""
    density = RainDensity(rain.shape, angle)
    density.add(0, rain, scene + rain)
    return density.window(slice(0, rain.shape[0]), slice(0, rain.shape[1])).sparsity_factor()


def test_even_rain_is_not_suspect():
    rain = udg.render_streaks((320, 480), density=0.15, seed=3)
    assert (suspicion(rain, np.full_like(rain, 0.5)) < 1.5).mean() > 0.98


def test_what_is_in_one_place_is_suspect():
    rain = np.full((320, 480), 0.02, np.float32)
    rain[200:300, 300:450] = 0.3
    factor = suspicion(rain, np.full_like(rain, 0.5))
    assert factor.shape == rain.shape
    assert factor[250, 375] > 3
    assert (factor[:120, :200] == 1).all()
    assert (factor >= 1).all()


def test_little_rain_is_suspect_where_the_scene_has_texture(rng):
    rain = np.full((320, 480), 0.02, np.float32)
    scene = np.full_like(rain, 0.5)
    scene[:, 240:] += 0.4 * rng.random((320, 240), np.float32)
    factor = suspicion(rain, scene)
    assert (factor[:, :120] == 1).all()
    assert (factor[:, 360:] > 1.5).all()
    assert (suspicion(10 * rain, scene) == 1).all()
    upright = np.broadcast_to(scene[:1], scene.shape)
    assert (suspicion(rain, upright) == 1).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 90), (71, 33)])
def test_small_and_odd_shapes(shape):
    flat = np.full(shape, 0.5, np.float32)
    assert suspicion(np.ones(shape, np.float32), flat) == pytest.approx(1)
    assert (suspicion(np.zeros(shape, np.float32), flat) == 1).all()


def test_more_rain_is_expected_on_dark_ground(rng):
    """Screen-blended rain of one strength everywhere is even, and found to be so for any light."""
    ground = rng.uniform(0, 0.5, (12, 18))
    for air in (0.6, 1.0):
        density = 0.1 * (air - ground)
        np.testing.assert_allclose(expected_density(ground, density), density, rtol=0.03)
        assert suspicion_of_dark_half(air) < 1.1
    even = np.full_like(ground, 0.1)
    np.testing.assert_allclose(expected_density(ground, even), even, rtol=0.02)
    brighter = 0.1 + 0.2 * ground  # which no light of the air explains
    np.testing.assert_allclose(expected_density(ground, brighter), brighter.mean(), rtol=0.02)


def suspicion_of_dark_half(air):
    """Largest factor on rain that is four times as dense on the dark half of a picture."""
    scene = np.full((320, 480), air - 0.4, np.float32)
    scene[:, 240:] = air - 0.1
    return suspicion(0.1 * (air - scene), scene).max()


@pytest.mark.parametrize("angle", [-30, 0, 12])
def test_texture_is_that_along_the_streaks(angle):
    rows, columns = np.mgrid[:60, :80].astype(np.float64)
    theta = np.deg2rad(angle)
    along, across = (
        rows * np.cos(theta) - columns * np.sin(theta),
        rows * np.sin(theta) + columns * np.cos(theta),
    )
    np.testing.assert_allclose(texture(0.01 * along, angle)[:-1, 1:-1], 0.01, rtol=1e-9)
    np.testing.assert_allclose(texture(0.01 * across, angle)[:-1, 1:-1], 0, atol=1e-12)
    streaks = udg.render_streaks((160, 240), angle=angle, density=0.1, seed=1)
    for other in (angle - 15, angle + 15):
        assert texture(streaks, angle).mean() < 0.9 * texture(streaks, other).mean()


def test_density_does_not_depend_on_how_rows_come(rng):
    rain = rng.random((160, 240)).astype(np.float32) ** 8
    rain[40:80, 30:110] += 0.5
    light = rain + rng.random((160, 240), np.float32)
    in_strips = RainDensity(rain.shape, 9.0)
    for top in range(0, 160, 50):
        in_strips.add(top, rain[top : top + 50], light[top : top + 50])
    window = slice(20, 90), slice(15, 200)
    expected = suspicion(rain, light - rain, 9.0)
    assert expected.max() > 2
    np.testing.assert_allclose(
        in_strips.window(*window).sparsity_factor(), expected[window], rtol=1e-4
    )


def test_bilinear_interpolation_is_exact_on_a_plane():
    rows, columns = np.mgrid[:4, :5].astype(float)
    at = np.array([0, 0.5, 2.25, 3]), np.array([0.75, 1, 4])
    got = _bilinear(2 * rows - 3 * columns, *at)
    np.testing.assert_allclose(got, 2 * at[0][:, None] - 3 * at[1][None, :])
