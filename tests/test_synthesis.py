"""Rain: the rendered streaks match their definitions, and the blend its formula."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter, label
from skimage.transform import rotate

from udg.errors import InvalidImage, InvalidInput
from udg.quality.synthesis import _scatter, render_streaks, synthesize

ANGLES = [-90, -60, -45, -30, -12, -1, 0, 5, 12, 27, 45, 80]
GAUSS = math.sqrt(math.pi / (4 * math.log(2)))  # area of a Gaussian of unit height and FWHM
INFORMATIVE = {"angle": 10.0, "length": 20.0, "width": 2.0, "density": 0.1, "intensity": 0.6}


def fold(degrees):
    """The same undirected angle in [-90, 90)."""
    return (degrees + 90) % 180 - 90


def layer_angle(rain):
    """Angle clockwise from vertical, from the structure tensor away from the borders."""
    rain = rain.astype(np.float64)
    down, right = gaussian_filter(rain, 2, order=(1, 0)), gaussian_filter(rain, 2, order=(0, 1))
    inner = np.s_[16:-16, 16:-16]
    down, right = down[inner], right[inner]
    # The gradient is across the streak: clockwise by `angle` from the rightward axis.
    return np.degrees(np.arctan2(2 * np.sum(right * down), np.sum(right**2 - down**2)) / 2)


def lone_streak(**parameters):
    """A picture of one streak, well inside, cut from a drizzle of identical ones."""
    best = None
    for seed in range(4):
        rain = render_streaks((500, 500), density=0.002, spread=0, seed=seed, **parameters)
        parts = label(rain > 0, np.ones((3, 3)))[0]
        areas = np.bincount(parts.ravel()).astype(float)
        areas[np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]])] = np.inf
        chosen = np.argmin(areas)  # streaks that cross make a larger part
        if best is None or areas[chosen] < best[0]:
            best = areas[chosen], np.where(parts == chosen, rain, 0)
    assert np.isfinite(best[0])
    return best[1].astype(np.float64)


def moments(streak):
    """Angle clockwise from vertical, and standard deviations along and across."""
    row, col = np.indices(streak.shape)
    weight = streak / streak.sum()
    down, right = row - np.sum(weight * row), col - np.sum(weight * col)
    matrix = [
        [np.sum(weight * down**2), np.sum(weight * down * right)],
        [np.sum(weight * down * right), np.sum(weight * right**2)],
    ]
    values, vectors = np.linalg.eigh(matrix)
    return fold(np.degrees(np.arctan2(-vectors[1, 1], vectors[0, 1]))), *np.sqrt(values[::-1])


def full_width(profile):
    """Distance between the points of half the peak, by linear interpolation."""
    half = profile.max() / 2
    above = np.flatnonzero(profile >= half)
    first, last = above[0], above[-1]
    left = first - (profile[first] - half) / (profile[first] - profile[first - 1])
    return last + (profile[last] - half) / (profile[last] - profile[last + 1]) - left


# --- streaks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("angle", ANGLES)
def test_each_streak_has_the_angle_asked_for(angle):
    measured = moments(lone_streak(angle=angle, length=50, width=2))[0]
    assert abs(fold(measured - angle)) < 0.02


@pytest.mark.parametrize("angle", ANGLES)
def test_the_layer_has_the_angle_asked_for(angle):
    rain = render_streaks((512, 512), angle=angle, length=60, density=0.03, spread=0)
    assert abs(fold(layer_angle(rain) - angle)) < 0.3


def test_spread_scatters_angles_evenly_around_the_one_asked_for():
    rng = np.random.default_rng(0)
    blocks = _scatter((500, 500), 20, 10, 1, 1, 1.0, 0.5, rng)
    angles = np.degrees(np.concatenate([block.angle for block in blocks]))
    assert_allclose([angles.min(), angles.mean(), angles.max()], [19, 20, 21], atol=0.01)
    errors = [
        layer_angle(render_streaks((512, 512), angle=20, spread=0.5, seed=seed)) - 20
        for seed in range(16)
    ]
    assert abs(np.mean(errors)) < 0.1


@pytest.mark.parametrize("angle", [-30, 12, 45])
def test_rotation_by_the_angle_makes_streaks_vertical(angle):
    rain = render_streaks((512, 512), angle=angle, length=60, density=0.02, spread=0)
    upright = rotate(rain, angle, order=3)[110:-110, 110:-110]
    assert abs(layer_angle(upright)) < 0.3


def test_positive_angles_lean_like_a_slash():
    streak = lone_streak(angle=30)
    rows, cols = np.nonzero(streak > 0.2)
    assert cols[np.argmin(rows)] > cols[np.argmax(rows)]


@pytest.mark.parametrize(("length", "width"), [(20, 1.5), (40, 3), (60, 5), (12, 6)])
def test_length_and_width_are_measured_at_half_the_peak(length, width):
    streak = lone_streak(length=length, width=width)
    assert_allclose(full_width(streak.sum(axis=1)), length, atol=0.1)
    assert_allclose(moments(streak)[2] * math.sqrt(8 * math.log(2)), width, rtol=0.01)
    assert_allclose(streak.sum(), 0.5 * GAUSS * length * width, rtol=0.01)


@pytest.mark.parametrize("angle", [-70, 17, 45])
def test_length_and_width_do_not_depend_on_the_angle(angle):
    upright = moments(lone_streak(length=40, width=3))
    leaning = moments(lone_streak(length=40, width=3, angle=angle))
    assert_allclose(leaning[1:], upright[1:], rtol=0.01)


def test_streaks_fade_towards_their_ends():
    profile = lone_streak(length=40, width=3).max(axis=1)
    lit = np.flatnonzero(profile > 0.01)
    assert_allclose(profile[lit[0] + 20 : lit[-1] - 19].min(), profile.max(), rtol=0.02)
    assert np.all(np.diff(profile[lit[0] : lit[0] + 15]) >= 0)
    assert np.all(np.diff(profile[lit[-1] - 15 : lit[-1]]) <= 0)
    assert_allclose(lit.size, 1.5 * 40, atol=5)


@pytest.mark.parametrize("intensity", [0.1, 0.5, 1.0])
def test_the_peak_is_the_intensity(intensity):
    rain = render_streaks((400, 400), intensity=intensity, width=3, density=0.2, spread=0)
    assert rain.min() == 0
    assert rain.max() <= np.float32(intensity)
    assert rain.max() > 0.995 * intensity


@pytest.mark.parametrize("spread", [0, 0.5, 0.9])
def test_the_layer_lies_between_zero_and_the_intensity(spread):
    rain = render_streaks((200, 300), density=1.0, intensity=0.7, spread=spread)
    assert rain.dtype == np.float32
    assert rain.shape == (200, 300)
    assert rain.min() >= 0
    assert rain.max() <= np.float32(0.7)


@pytest.mark.parametrize("angle", [0, 33, 90])
@pytest.mark.parametrize("density", [0.01, 0.04])
def test_density_is_the_fraction_covered(density, angle):
    rain = render_streaks(
        (1024, 768), angle=angle, length=10, width=2, density=density, intensity=1.0, spread=0
    )
    # Streaks that overlap show the brighter one, which costs less than density itself.
    assert_allclose(rain.mean(), GAUSS * density * (1 - density / 2), rtol=0.06)


@pytest.mark.parametrize("spread", [0, 0.3, 0.6])
def test_density_counts_streaks_of_every_size(spread):
    shape, length, width, density = (300, 500), 40.0, 5.0, 0.5
    rng = np.random.default_rng(0)
    blocks = list(_scatter(shape, 0, length, width, density, 1.0, spread, rng))
    covered = sum(np.sum(block.length * block.width) for block in blocks)
    cut = 3.5 / math.sqrt(8 * math.log(2)) * width / (1 - spread)
    radius = math.hypot(*shape) / 2
    box = 4 * (radius + 0.75 * length / (1 - spread) + cut) * (radius + cut)
    assert_allclose(covered / box, density, rtol=0.05)


def test_spread_bounds_the_sizes():
    rng = np.random.default_rng(0)
    sizes = np.concatenate(
        [block.length for block in _scatter((500, 500), 0, 1, 1, 1, 1.0, 0.5, rng)]
    )
    assert_allclose([sizes.min(), sizes.max()], [0.5, 2.0], rtol=0.001)
    area = sizes**2
    assert_allclose(area[sizes < 1].sum() / area.sum(), 0.5, atol=0.01)  # 1 halves the area


def test_denser_rain_adds_to_lighter_rain():
    light, heavy = (render_streaks((200, 200), density=density) for density in (0.05, 0.15))
    assert np.all(heavy >= light)
    assert heavy.mean() > 2 * light.mean()


def test_the_mean_grows_with_every_parameter_that_says_so():
    base = render_streaks((300, 300), **INFORMATIVE).mean()
    assert render_streaks((300, 300), **INFORMATIVE | {"density": 0.2}).mean() > 1.5 * base
    brighter = render_streaks((300, 300), **INFORMATIVE | {"intensity": 0.9}).mean()
    assert_allclose(brighter, 1.5 * base, rtol=1e-4)


@pytest.mark.parametrize("parameters", [{"density": 0}, {"intensity": 0}])
def test_no_density_or_intensity_is_no_rain(parameters):
    assert not render_streaks((40, 50), **parameters).any()


@pytest.mark.parametrize("angle", [0, 35])
def test_rain_is_as_dense_at_the_borders_as_inside(angle):
    total = np.zeros((80, 80))
    for seed in range(150):
        total += render_streaks(
            (80, 80), angle=angle, length=50, width=2, density=0.2, spread=0.4, seed=seed
        )
    inside = total[20:-20, 20:-20].mean()
    for border in (total[:8], total[-8:], total[:, :8], total[:, -8:]):
        assert_allclose(border.mean(), inside, rtol=0.1)


def test_streaks_far_longer_than_the_picture_are_stripes():
    rain = render_streaks((100, 120), length=1e9, density=0.2, spread=0).astype(np.float64)
    assert rain.max() > 0.4
    assert_allclose(rain, np.broadcast_to(rain[0], rain.shape), atol=1e-6)


# --- seeds ------------------------------------------------------------------------------------


def test_a_seed_gives_the_same_rain_bit_for_bit():
    assert_array_equal(render_streaks((90, 110), seed=5), render_streaks((90, 110), seed=5))
    from_generator = render_streaks((90, 110), seed=np.random.default_rng(5))
    assert_array_equal(from_generator, render_streaks((90, 110), seed=5))


def test_other_seeds_give_other_rain():
    first, second = (render_streaks((200, 200), seed=seed) for seed in (0, 1))
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


def test_a_generator_moves_on():
    rng = np.random.default_rng(0)
    first, second = (render_streaks((90, 110), seed=rng) for _ in range(2))
    assert not np.array_equal(first, second)


# --- blending ---------------------------------------------------------------------------------


@pytest.fixture
def scene():
    return np.random.default_rng(3).random((60, 80, 3), dtype=np.float32)


def test_screen_is_its_formula(scene):
    rainy, rain = synthesize(scene, **INFORMATIVE)
    assert rainy.dtype == rain.dtype == np.float32
    expected = 1 - (1 - scene.astype(np.float64)) * (1 - rain[:, :, None].astype(np.float64))
    assert_allclose(rainy, expected, rtol=0, atol=2e-7)


def test_add_is_its_formula(scene):
    rainy, rain = synthesize(scene, **INFORMATIVE, blend="add")
    assert_array_equal(rainy, np.minimum(scene + rain[:, :, None], 1))
    assert np.any(rainy == 1)


@pytest.mark.parametrize("blend", ["screen", "add"])
def test_the_layer_is_the_one_rendered_alone(scene, blend):
    rain = synthesize(scene, **INFORMATIVE, blend=blend, seed=9).rain
    assert_array_equal(rain, render_streaks((60, 80), **INFORMATIVE, seed=9))


@pytest.mark.parametrize("blend", ["screen", "add"])
def test_dry_pixels_stay_exactly_as_they_were(scene, blend):
    rainy, rain = synthesize(scene, blend=blend)
    dry = rain == 0
    assert 0.2 < dry.mean() < 0.95
    assert_array_equal(rainy[dry], scene[dry])
    assert np.all(rainy >= scene)
    assert np.all(rainy <= 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [(), (1,), (2,), (3,), (4,), (6,)])
def test_every_kind_of_image(dtype, channels):
    shape = (40, 50, *channels)
    high = 1 if np.dtype(dtype).kind == "f" else np.iinfo(dtype).max
    clean = (np.random.default_rng(0).random(shape) * high).astype(dtype)
    clean.flags.writeable = False
    rainy, rain = synthesize(clean, **INFORMATIVE)
    assert rainy.shape == shape
    assert rainy.dtype == np.float32
    assert rain.shape == (40, 50)
    light = {(2,): 1, (4,): 3}.get(channels)
    scene = clean.astype(np.float64).reshape(40, 50, -1)[:, :, :light]
    result = rainy.reshape(40, 50, -1)
    expected = high - (high - scene) * (1 - rain.astype(np.float64))[:, :, None]
    assert_allclose(result[:, :, :light], expected, rtol=0, atol=3e-7 * high)
    if light is not None:
        assert_array_equal(result[:, :, light:], clean.astype(np.float32)[:, :, light:])


def test_data_range_gives_the_value_of_full_light():
    clean = np.random.default_rng(0).random((40, 50))
    unit, rain = synthesize(clean, **INFORMATIVE)
    scaled, same = synthesize(clean * 200 - 100, **INFORMATIVE, data_range=(-100, 100))
    assert_array_equal(rain, same)
    assert_allclose(scaled, unit * 200 - 100, atol=1e-4)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"angle": math.nan}, "angle is nan"),
        ({"angle": "12"}, "angle is '12'"),
        ({"length": 1}, "length is 1; .* at least the width"),
        ({"length": math.inf}, "length is inf"),
        ({"width": 0.5}, "width is 0.5; .* at least 1"),
        ({"density": -0.1}, "density is -0.1; .* from 0 to 1"),
        ({"density": 2}, "density is 2"),
        ({"intensity": 128}, "intensity is 128; .* from 0 to 1"),
        ({"spread": 1}, "spread is 1; .* from 0 to 0.9"),
        ({"seed": -1}, "seed is -1; .* non-negative"),
        ({"seed": "rain"}, "seed is 'rain'"),
    ],
)
def test_bad_parameters_are_named(parameters, message):
    with pytest.raises(InvalidInput, match=message):
        render_streaks((20, 20), **parameters)
    with pytest.raises(InvalidInput, match=message):
        synthesize(np.zeros((20, 20)), **parameters)


@pytest.mark.parametrize("shape", [(20,), (20, 20, 3), (0, 5), (2.5, 5), 20, "ab"])
def test_bad_shapes_are_named(shape):
    with pytest.raises(InvalidInput, match=r"shape is .* give \(height, width\)"):
        render_streaks(shape)


def test_an_unknown_blend_is_named():
    with pytest.raises(InvalidInput, match="blend is 'multiply'; give 'screen' or 'add'"):
        synthesize(np.zeros((20, 20)), blend="multiply")


def test_bad_images_are_refused():
    with pytest.raises(InvalidImage, match="outside"):
        synthesize(np.full((20, 20), 255.0))
