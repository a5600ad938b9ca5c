"""The working scale: smaller copies, what comes back from them, and which one is solved."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import udg
from udg.detection.scale import best_step, steps_for
from udg.errors import InvalidInput
from udg.imaging import scale
from udg.imaging.image import PreparedImage, prepare


def enlarge(picture: np.ndarray, step: int) -> np.ndarray:
    """A larger photo of the same scene: smooth between pixels."""
    from skimage.transform import resize

    size = (step * picture.shape[0], step * picture.shape[1], *picture.shape[2:])
    return np.clip(resize(picture, size, order=3), 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def rainy() -> np.ndarray:
    """260 × 300, float32, RGB: a soft scene with an edge, and rain at 12°."""
    y, x = np.mgrid[:260, :300] / np.float32(300)
    scene = 0.3 + 0.2 * np.sin(9 * x) * np.cos(7 * y) + 0.2 * (x + y > 0.9)
    clean = np.stack([scene, 0.9 * scene, 0.8 * scene + 0.05], axis=2).astype(np.float32)
    return udg.synthesize(clean, angle=12, seed=4, length=20).rainy


@given(
    height=st.integers(2, 20),
    width=st.integers(2, 20),
    step=st.integers(1, 7),
    colours=st.sampled_from([(), (3,)]),
)
def test_a_copy_has_the_means_of_squares(height, width, step, colours):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, *colours)).astype(np.uint8)
    small = scale.reduced(pixels, step)
    missing = [(0, -side % step) for side in (height, width)] + [(0, 0)] * len(colours)
    whole = np.pad(pixels.astype(float), missing, mode="edge")
    assert small.dtype == np.float32
    assert small.shape == scale.reduced_shape(pixels.shape, step)
    for i, j in np.ndindex(small.shape[:2]):
        square = whole[i * step : (i + 1) * step, j * step : (j + 1) * step]
        np.testing.assert_allclose(small[i, j], square.mean(axis=(0, 1)), rtol=1e-5)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 8])
def test_what_comes_back_has_the_means(step):
    """Cubic convolution reproduces parabolas, and the correction for means is exact for them."""
    y, x = np.mgrid[: 12 * step, : 14 * step] / np.float32(step)
    plane = (0.2 + 0.03 * x - 0.02 * y + 0.004 * x**2 - 0.003 * y**2).astype(np.float32)
    again = scale.enlarged(scale.reduced(plane, step), step, plane.shape)
    inner = slice(3 * step, -3 * step)
    np.testing.assert_allclose(again[inner, inner], plane[inner, inner], atol=2e-6)


@pytest.mark.parametrize(("step", "size"), [(2, (31, 45)), (3, (50, 41)), (8, (9, 70))])
def test_part_of_a_picture_comes_back_as_in_the_whole(step, size):
    plane = np.random.default_rng(1).random(size).astype(np.float32)
    small = scale.reduced(plane, step)
    whole = scale.enlarged(small, step, size)
    assert whole.shape == size
    top = step * (small.shape[0] // 2)
    part = scale.enlarged(small, step, (size[0] - top, size[1]), top)
    np.testing.assert_array_equal(part, whole[top:])


def test_rain_comes_back_as_sharp_as_the_light():
    """A line of light that all is rain ends where it does in the picture, not in the squares."""
    light = np.full((96, 96), 0.3, np.float32)
    light[:, 41:46] += 0.4  # no edge of a square of 4
    small = scale.reduced(light, 4)
    rain = scale.line_of(small - 0.3, small).at(light, 4)
    np.testing.assert_allclose(rain[8:-8, 20:-20], (light - 0.3)[8:-8, 20:-20], atol=2e-3)
    plain = scale.enlarged(small - 0.3, 4, light.shape)
    assert np.abs(plain - (light - 0.3)).max() > 0.05  # what the line is for


def test_no_more_is_taken_than_there_is():
    random = np.random.default_rng(2)
    light = random.random((40, 52)).astype(np.float32)
    small = scale.reduced(light, 2)
    rain = scale.line_of(small * random.random(small.shape).astype(np.float32), small).at(light, 2)
    assert rain.min() >= 0
    assert np.all(rain <= light)


def test_copies_are_not_smaller_than_statistics_need():
    assert steps_for((320, 480, 3)) == (1,)
    assert steps_for((512, 900)) == (1, 2)
    assert steps_for((3000, 4000, 3)) == (1, 2, 4, 8)


def test_the_best_step_is_the_first_peak(monkeypatch):
    """Of the same part of the picture, whatever the step."""
    light = {1: 0.1, 2: 0.3, 4: 0.2, 8: 0.9}
    name = "udg.detection.scale.streak_light"
    monkeypatch.setattr(name, lambda unit, *given: light[len(unit) - 1])
    asked = []

    def part(step: int, side: int) -> PreparedImage:
        asked.append((step, step * side))
        return prepare(np.zeros((step + 1, 4, 3), np.float32))

    assert best_step(part, (1, 2, 4, 8), 0.0) == 2
    assert asked == [(1, 512), (2, 512), (2, 1024), (4, 1024)]
    light[4] = 0.4
    assert best_step(part, (1, 2, 4, 8), 0.0) == 8
    asked.clear()
    assert best_step(part, (1,), 0.0) == 1
    assert asked == []


def test_an_enlarged_photo_is_solved_as_the_photo_is(rainy):
    small, large = udg.solve(rainy), udg.solve(enlarge(rainy, 2))
    assert (small.working_scale, large.working_scale) == (1, 0.5)
    assert large.derained.shape == large.image.shape == (520, 600, 3)
    assert large.rain.shape == large.background.shape == (520, 600)
    np.testing.assert_allclose(large.solved.Y.shape, small.solved.Y.shape, atol=4)  # the angle
    error = scale.reduced(large.derained, 2) - small.derained
    assert 10 * np.log10(1 / np.mean(error**2)) > 38


def test_pixels_without_rain_keep_their_values(rainy):
    image = (255 * enlarge(rainy, 2)).round().astype(np.uint8)
    result = udg.solve(image, working_scale=1 / 2, angle=12)
    dry = result.rain == 0
    assert 0.05 < dry.mean() < 0.95
    np.testing.assert_array_equal(result.derained[dry], image[dry])
    assert np.all(result.rain <= prepare(image).darkest())


def test_tiles_bring_back_what_the_whole_does(rainy):
    image = (255 * enlarge(rainy, 2)).round().astype(np.uint8)[:519, :597]
    whole = udg.solve(image)
    rain = np.empty(image.shape[:2], np.float32)
    one = udg.solve_tiles(image, rain=rain)
    assert one.working_scale == whole.working_scale == 0.5
    assert one.tiles == 1
    np.testing.assert_allclose(one.derained, whole.derained, atol=0.02)
    np.testing.assert_allclose(rain, whole.rain, atol=1e-4)
    several = udg.solve_tiles(image, tile=160, overlap=48)
    assert several.tiles == 6
    assert np.abs(several.derained - whole.derained).mean() < 0.5


def test_several_directions_are_all_at_full_size(rainy):
    image = enlarge(udg.synthesize(rainy, angle=-20, seed=5, length=20).rainy, 2)
    result = udg.solve(image, angle=[12, -20], working_scale=0.5)
    assert [layer.rain.shape for layer in result.layers] == [(520, 600)] * 2
    total = sum(layer.rain for layer in result.layers)
    assert np.abs(total - result.rain).mean() < 0.1 * result.rain.mean()
    first, second = result.layers
    np.testing.assert_allclose(second.image.pixels, first.derained, atol=1e-6)


def test_weights_and_sizes_in_pixels_are_the_pictures_own(rainy):
    image = enlarge(rainy, 2)
    for given_ in ({"lam_x": 0.1}, {"widest": 5}, {"model": "signed", "angle": 12}):
        assert udg.solve(image, max_iter=5, **given_).working_scale == 1
    assert udg.solve(image, widest=5, working_scale=0.5, max_iter=5).working_scale == 0.5


@pytest.mark.parametrize("working_scale", [0, 2, 0.4, "half", -0.5, float("nan"), 1 / 32])
def test_scales_that_cannot_be_are_refused(rainy, working_scale):
    with pytest.raises(InvalidInput, match="working_scale"):
        udg.solve(rainy, working_scale=working_scale)


def test_stripes_are_solved_at_full_size(rainy):
    with pytest.raises(InvalidInput, match="full size"):
        udg.solve(rainy, model="stripes", working_scale=0.5)


def test_results_of_one_photo_at_two_sizes_agree(rainy):
    """`benchmarks.solver.agreement` on a small picture."""
    agreement = pytest.importorskip("benchmarks.solver.agreement").agreement
    image = (255 * rainy).round().astype(np.uint8)
    once, twice = agreement(image, image, [1.0, 2.0])
    assert (once["scale"], twice["scale"]) == (1, 0.5)
    assert twice["beside 1"] > 38
    assert twice["rain"] == pytest.approx(once["rain"], rel=0.15)
