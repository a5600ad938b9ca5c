"""Metrics: known values, a slow transcription of SSIM, and what they must not depend on."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from udg.errors import InvalidImage, InvalidInput
from udg.quality.metrics import _luma, psnr_rgb, psnr_y, ssim_y

METRICS = [psnr_y, ssim_y, psnr_rgb]


def slow_luma(rgb):
    """MATLAB's rgb2ycbcr for colours in [0, 1]."""
    red, green, blue = (rgb[:, :, channel].astype(np.float64) for channel in range(3))
    return (16 + 65.481 * red + 128.553 * green + 24.966 * blue) / 255


def slow_ssim(first, second):
    """Wang et al. 2004, Eq. 13–15, window by window."""
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = 0.01**2, 0.03**2
    values = []
    for row in range(5, first.shape[0] - 5):
        for col in range(5, first.shape[1] - 5):
            here = np.s_[row - 5 : row + 6, col - 5 : col + 6]
            x, y = first[here], second[here]
            mean_x, mean_y = np.sum(window * x), np.sum(window * y)
            var_x = np.sum(window * (x - mean_x) ** 2)
            var_y = np.sum(window * (y - mean_y) ** 2)
            cov = np.sum(window * (x - mean_x) * (y - mean_y))
            values.append(
                (2 * mean_x * mean_y + c1)
                * (2 * cov + c2)
                / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
            )
    return np.mean(values)


@pytest.fixture
def pair():
    rng = np.random.default_rng(4)
    reference = rng.random((24, 29, 3))
    return np.clip(reference + rng.normal(0, 0.1, reference.shape), 0, 1), reference


@pytest.mark.parametrize(
    ("colour", "luma"),
    [
        ((0, 0, 0), 16),
        ((1, 1, 1), 235),
        ((1, 0, 0), 81.481),
        ((0, 1, 0), 144.553),
        ((0, 0, 1), 40.966),
        ((0.5, 0.5, 0.5), 125.5),
    ],
)
def test_luma_has_the_published_constants(colour, luma):
    assert_allclose(_luma(np.array([[colour]], dtype=float)), luma / 255, rtol=1e-12)


def test_luma_of_grey_is_that_of_equal_colours():
    grey = np.random.default_rng(0).random((5, 6, 1))
    assert_allclose(_luma(grey), slow_luma(np.repeat(grey, 3, axis=2)), rtol=1e-12)


@pytest.mark.parametrize("offset", [0.5, 0.1, 1 / 255])
def test_a_known_offset_has_a_known_psnr(offset):
    dark = np.full((20, 20, 3), 0.25, np.float32)
    assert_allclose(psnr_rgb(dark + offset, dark), -20 * math.log10(offset), atol=1e-4)
    assert_allclose(psnr_y(dark + offset, dark), -20 * math.log10(offset * 219 / 255), atol=1e-4)


def test_an_offset_of_one_colour_counts_by_its_weight():
    dark = np.zeros((20, 20, 3))
    green = dark + np.array([0, 0.2, 0])
    assert_allclose(psnr_y(green, dark), -20 * math.log10(0.2 * 128.553 / 255), atol=1e-5)
    assert_allclose(psnr_rgb(green, dark), -10 * math.log10(0.2**2 / 3), atol=1e-5)


def test_black_against_white():
    black, white = np.zeros((20, 20), np.uint8), np.full((20, 20), 255, np.uint8)
    assert psnr_rgb(white, black) == 0
    assert_allclose(psnr_y(white, black), 20 * math.log10(255 / 219), rtol=1e-12)


def test_psnr_y_is_its_formula(pair):
    error = np.mean((slow_luma(pair[0]) - slow_luma(pair[1])) ** 2)
    assert_allclose(psnr_y(*pair), 10 * math.log10(1 / error), rtol=1e-6)


def test_luma_16_235_reads_higher_than_full_range():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 30, 30))
    gain = psnr_y(first, second) - psnr_rgb(first, second)
    assert_allclose(gain, 20 * math.log10(255 / 219), atol=1e-9)
    assert 1.3 < gain < 1.35


def test_ssim_is_its_slow_transcription(pair):
    expected = slow_ssim(slow_luma(pair[0]), slow_luma(pair[1]))
    assert 0.5 < expected < 0.999
    assert_allclose(ssim_y(*pair), expected, rtol=1e-6)


def test_ssim_of_the_smallest_image_is_one_window():
    first, second = np.random.default_rng(0).random((2, 11, 11))
    luma = [(16 + 219 * each) / 255 for each in (first, second)]
    assert_allclose(ssim_y(first, second), slow_ssim(*luma), rtol=1e-5)


def test_ssim_of_flat_images_is_the_luminance_term():
    first, second = np.full((15, 15), 0.2), np.full((15, 15), 0.6)
    x, y = ((16 + 219 * grey) / 255 for grey in (0.2, 0.6))
    expected = (2 * x * y + 1e-4) / (x**2 + y**2 + 1e-4)
    assert_allclose(ssim_y(first, second), expected, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_identical_images(dtype):
    image = np.random.default_rng(0).random((16, 18, 3))
    if np.dtype(dtype).kind == "u":
        image *= np.iinfo(dtype).max
    image = image.astype(dtype)
    assert psnr_y(image, image.copy()) == math.inf
    assert psnr_rgb(image, image.copy()) == math.inf
    assert_allclose(ssim_y(image, image.copy()), 1, rtol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_results_are_plain_floats(metric, pair):
    assert type(metric(*pair)) is float


@pytest.mark.parametrize("metric", METRICS)
@given(seed=st.integers(0, 10**6), mirror=st.sampled_from([np.s_[::-1], np.s_[:, ::-1]]))
def test_order_and_mirror_do_not_matter(metric, seed, mirror):
    first, second = np.random.default_rng(seed).random((2, 13, 16, 3))
    assert_allclose(metric(first, second), metric(second, first), rtol=1e-9)
    assert_allclose(metric(first[mirror], second[mirror]), metric(first, second), rtol=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_more_noise_is_worse(metric):
    rng = np.random.default_rng(0)
    clean, noise = rng.uniform(0.4, 0.6, (30, 30, 3)), rng.uniform(-1, 1, (30, 30, 3))
    values = [metric(clean + scale * noise, clean) for scale in (0.01, 0.05, 0.1, 0.4)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("metric", METRICS)
def test_each_type_is_scaled_by_its_own_range(metric, pair):
    image = np.rint(pair[0] * 255).astype(np.uint8)
    reference = np.rint(pair[1] * 255).astype(np.uint8)
    expected = metric(image, reference)
    assert_allclose(metric(image / 255, reference), expected, rtol=1e-5)
    assert_allclose(metric(image, reference.astype(np.uint16) * 257), expected, rtol=1e-5)
    as_float = [each.astype(np.float32) for each in (image, reference)]
    assert_allclose(metric(*as_float, data_range=255), expected, rtol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_alpha_is_ignored(metric, pair):
    expected = metric(*pair)
    rng = np.random.default_rng(0)
    opaque, ghost = (np.concatenate([each, rng.random((24, 29, 1))], axis=2) for each in pair)
    assert metric(opaque, ghost) == expected
    assert metric(opaque, pair[1]) == expected


@pytest.mark.parametrize("metric", METRICS)
def test_grey_is_equal_colours(metric, pair):
    grey = [each[:, :, 0] for each in pair]
    equal = [np.repeat(each[:, :, None], 3, axis=2) for each in grey]
    single = [each[:, :, None] for each in grey]
    assert_allclose(metric(*grey), metric(*equal), rtol=1e-9)
    assert metric(*single) == metric(*grey)


@pytest.mark.parametrize("metric", METRICS)
def test_images_are_not_modified(metric, pair):
    before = [each.copy() for each in pair]
    for each in pair:
        each.flags.writeable = False
    metric(*pair)
    assert all(np.array_equal(*both) for both in zip(pair, before, strict=True))


@pytest.mark.parametrize("metric", METRICS)
def test_shapes_that_differ_are_named(metric):
    with pytest.raises(InvalidInput, match=r"\(20, 30, 3\) .* \(30, 20, 3\)"):
        metric(np.zeros((20, 30, 3)), np.zeros((30, 20, 3)))
    with pytest.raises(InvalidInput, match=r"\(20, 30\) .* \(20, 30, 3\)"):
        metric(np.zeros((20, 30)), np.zeros((20, 30, 3)))


@pytest.mark.parametrize("metric", METRICS)
def test_bands_are_refused(metric):
    with pytest.raises(InvalidInput, match="5 bands"):
        metric(np.zeros((20, 20, 5)), np.zeros((20, 20, 5)))


@pytest.mark.parametrize("metric", METRICS)
def test_bad_values_are_refused(metric):
    with pytest.raises(InvalidImage, match="outside"):
        metric(np.full((20, 20), 255.0), np.zeros((20, 20)))


@pytest.mark.parametrize("shape", [(10, 40), (40, 10, 3)])
def test_ssim_needs_room_for_its_window(shape):
    with pytest.raises(InvalidInput, match="at least 11×11"):
        ssim_y(np.zeros(shape), np.zeros(shape))


def test_scikit_image_is_imported_only_when_used():
    check = "import sys, udg.quality.metrics; sys.exit('skimage' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0
