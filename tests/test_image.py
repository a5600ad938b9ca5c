import numpy as np
import pytest

from udg import InvalidImage
from udg.imaging.illuminant import Illuminant, balanced, estimate_illuminant
from udg.imaging.image import prepare


def test_luma_is_bt601_full_range():
    primaries = np.eye(3, dtype=np.float32).reshape(1, 3, 3).repeat(2, axis=0)
    assert prepare(primaries).luma()[0].tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert prepare(np.ones((2, 2, 3))).luma() == pytest.approx(1)


@pytest.mark.parametrize(
    ("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1), (np.float64, 1)]
)
@pytest.mark.parametrize("channels", [None, 1, 2, 3, 4, 5])
def test_range_and_channels(dtype, full, channels):
    shape = (4, 5) if channels is None else (4, 5, channels)
    image = np.full(shape, full, dtype)
    prepared = prepare(image)
    assert prepared.luma().shape == (4, 5)
    assert prepared.luma().dtype == np.float32
    assert prepared.luma() == pytest.approx(1)
    derained = prepared.subtract(np.full((4, 5), 0.25))
    assert derained.shape == shape
    assert derained.dtype == np.float32
    colours = {None: 1, 2: 1, 4: 3}.get(channels, channels)
    flat = derained.reshape(4, 5, -1)
    assert flat[..., :colours] == pytest.approx(0.75 * full)
    assert (flat[..., colours:] == full).all()  # alpha


def test_bands_that_are_not_colours_count_alike():
    image = np.zeros((2, 2, 5))
    image[..., 3] = 1
    assert prepare(image).luma() == pytest.approx(0.2)


def test_subtraction_is_exact_where_there_is_no_rain_and_stays_in_range(rng):
    image = rng.integers(0, 65536, (6, 7, 3)).astype(np.uint16)
    rain = np.zeros((6, 7))
    rain[2] = 0.9
    derained = prepare(image).subtract(rain)
    np.testing.assert_array_equal(np.delete(derained, 2, 0), np.delete(image, 2, 0))
    assert derained.min() >= 0


def test_each_colour_may_lose_its_own_rain(rng):
    image, rain = rng.random((4, 5, 4)), 0.2 * rng.random((4, 5, 3))
    derained = prepare(image).subtract(rain)
    np.testing.assert_allclose(derained[..., :3], (image[..., :3] - rain).clip(0), atol=1e-6)
    np.testing.assert_array_equal(derained[..., 3], image[..., 3].astype(np.float32))


def test_data_range_shifts_and_scales():
    image = np.array([[-5.0, 0.0], [5.0, 15.0]])
    prepared = prepare(image, data_range=(-5, 15))
    assert prepared.luma().ravel().tolist() == pytest.approx([0, 0.25, 0.5, 1])
    assert prepared.subtract(np.full((2, 2), 0.25))[1, 1] == pytest.approx(10)
    assert prepare(np.full((2, 2), 512, np.int32), data_range=1024).luma() == pytest.approx(0.5)


def test_input_is_not_modified():
    image = np.full((4, 4, 3), 200, np.uint8)
    image.setflags(write=False)
    prepare(image).subtract(np.full((4, 4), 0.5))
    assert (image == 200).all()


def test_lists_are_taken():
    assert prepare([[0.0, 1.0], [1.0, 0.0]]).luma().shape == (2, 2)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((0, 5)), "empty"),
        (np.zeros((5, 5, 0)), "empty"),
        (np.zeros((1, 5)), "at least 2"),
        (np.zeros((5, 1, 3)), "at least 2"),
        (np.zeros(5), "1 dimensions"),
        (np.zeros((2, 3, 4, 5, 3)), "5 dimensions"),
        (np.full((3, 3), np.nan), "NaN"),
        (np.full((3, 3), np.inf), "infinite"),
        (np.full((3, 3), 255.0), "outside"),
        (np.full((3, 3), -0.1), "outside"),
        (np.zeros((3, 3), complex), "complex"),
        (np.full((3, 3), None), "object"),
        (np.zeros((3, 3), bool), "boolean"),
        (np.full((3, 3), "a"), "non-numeric"),
        (np.zeros((3, 3), np.int64), "data_range"),
    ],
)
def test_unusable_images_are_refused_with_the_reason(image, words):
    with pytest.raises(InvalidImage, match=words):
        prepare(image)


@pytest.mark.parametrize("data_range", [0, -1, np.nan, np.inf, (1, 1), (2, 1), (0, np.inf)])
def test_unusable_ranges_are_refused(data_range):
    with pytest.raises(InvalidImage, match="data_range"):
        prepare(np.zeros((3, 3)), data_range=data_range)


def test_values_outside_a_given_range_are_refused():
    with pytest.raises(InvalidImage, match="right data_range"):
        prepare(np.full((3, 3), 300, np.uint16), data_range=255)


def test_a_channel_without_light_is_told_from_coloured_things(rng):
    white = 0.2 + 0.6 * rng.random((40, 60, 3), dtype=np.float32) ** 0.3
    sodium = white * np.float32([1, 0.5, 0.04])
    (red, green, none), (*_, blue) = estimate_illuminant(sodium)
    assert red == 1
    assert 0.4 < green < 0.6
    assert none == 0
    assert 0 < blue < 0.06
    things = white.copy()
    things[:, :35] = sodium[:, :35]  # more than half of the picture
    black = np.zeros_like(white)
    black[:8] = sodium[:8]  # too little to tell
    for usual in (
        white,
        things,
        black,
        white[:, :, :1],
        0.02 * sodium,
        np.repeat(white[..., :1], 3, 2),
    ):
        assert estimate_illuminant(usual) is None


def test_the_light_is_white_again_without_its_colour(rng):
    white = 0.2 + 0.5 * rng.random((20, 30, 3), dtype=np.float32)
    light = Illuminant((1.0, 0.5, 0.0), (1.0, 0.5, 0.04))
    sodium = white * np.float32(light.rain)
    expected = white[:, :, :2].min(axis=2)
    np.testing.assert_allclose(prepare(sodium).darkest(light), expected, rtol=1e-6)
    np.testing.assert_allclose(balanced(sodium, light).min(axis=2), expected, rtol=1e-6)
    rain = np.full((20, 30), 0.1, np.float32)
    np.testing.assert_allclose(
        prepare(sodium).subtract(rain, light), (white - 0.1) * np.float32(light.rain), atol=1e-6
    )
