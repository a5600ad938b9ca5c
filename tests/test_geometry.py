from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data
from skimage.transform import rotate as skimage_rotate

from udg.errors import InvalidInput
from udg.imaging.geometry import (
    Frame,
    compensate_interpolation,
    rotate,
    rotated_shape,
    unrotate,
)

SHAPES = [(64, 64), (65, 65), (64, 91), (91, 64), (37, 120), (2, 3)]
ANGLES = [-45.0, -30.0, -7.3, 0.1, 10.0, 45.0, 60.0, 89.9, 135.0]


def photo(shape: tuple[int, int], dtype: type = np.float32) -> np.ndarray:
    camera = data.camera()[100:, 100:] / 255
    return camera[: shape[0], : shape[1]].astype(dtype)


def thin_streaks(angle: float, fwhm: float, side: int = 160, fine: int = 4) -> np.ndarray:
    """Lines of a Gaussian profile, integrated over each pixel's area."""
    row, column = (np.mgrid[: side * fine, : side * fine] + 0.5) / fine
    theta = math.radians(angle)
    across = row * math.sin(theta) + column * math.cos(theta)
    distance = (across + 4.7) % 13.37 - 6.685
    picture = 0.5 * np.exp(-4 * math.log(2) * (distance / fwhm) ** 2)
    return picture.reshape(side, fine, side, fine).mean(axis=(1, 3)).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("angle", ANGLES)
def test_frame_comes_back(shape: tuple[int, int], angle: float) -> None:
    picture = photo(shape)
    turned = rotate(picture, angle)
    assert turned.shape == rotated_shape(shape, angle)
    back = unrotate(turned, angle, shape)
    assert back.shape == shape
    assert back.dtype == turned.dtype == np.float32


@pytest.mark.parametrize("shape", SHAPES[:5])
@pytest.mark.parametrize("angle", ANGLES)
def test_round_trip_does_not_drift(shape: tuple[int, int], angle: float) -> None:
    row, column = np.indices(shape)
    peaks = [(shape[0] // 2, shape[1] // 2), (shape[0] // 3, shape[1] // 4), (20, shape[1] - 20)]
    for peak in peaks:
        point = np.exp(-((row - peak[0]) ** 2 + (column - peak[1]) ** 2) / 8)
        back = unrotate(rotate(point, angle), angle, shape)
        centroid = [(back * axis).sum() / back.sum() for axis in (row, column)]
        before = [(point * axis).sum() / point.sum() for axis in (row, column)]
        np.testing.assert_allclose(centroid, before, atol=0.01)


def test_smooth_picture_survives_up_to_its_border() -> None:
    row, column = np.indices((60, 83))
    picture = 0.5 + 0.4 * np.sin(row / 5) * np.cos(column / 7)
    for angle in ANGLES:
        back = unrotate(rotate(picture, angle), angle, picture.shape)
        assert np.abs(back - picture).max() < 0.02
        assert np.abs(back - picture)[4:-4, 4:-4].max() < 2e-3


def test_constant_stays_constant() -> None:
    constant = np.full((40, 31), 0.3, np.float32)
    turned = rotate(constant, 23.0)
    assert (turned == np.float32(0.3)).all()
    assert (unrotate(turned, 23.0, (40, 31)) == np.float32(0.3)).all()


@pytest.mark.parametrize("quarters", [-5, -2, -1, 0, 1, 2, 3, 4])
def test_quarter_turns_are_exact(quarters: int) -> None:
    picture = photo((20, 33))
    turned = rotate(picture, 90.0 * quarters)
    np.testing.assert_array_equal(turned, np.rot90(picture, quarters))
    assert turned.flags.c_contiguous
    assert not np.shares_memory(turned, picture)
    np.testing.assert_array_equal(unrotate(turned, 90.0 * quarters, (20, 33)), picture)


@pytest.mark.parametrize("angle", [-40.0, -12.0, 25.0, 45.0])
def test_direction_is_that_of_scikit_image(angle: float) -> None:
    picture = photo((121, 121), np.float64)
    expected = skimage_rotate(picture, angle, order=3)
    ours = rotate(picture, angle)
    top, left = ((n - 121) // 2 for n in ours.shape)
    # Frames of another parity lie half a pixel apart; a smooth disc decides nonetheless.
    middle = np.hypot(*(np.indices((121, 121)) - 60)) < 50
    difference = (ours[top : top + 121, left : left + 121] - expected)[middle]
    opposite = (rotate(picture, -angle)[top : top + 121, left : left + 121] - expected)[middle]
    assert difference.std() < 0.4 * opposite.std()


@pytest.mark.parametrize("angle", [-45.0, -20.0, 5.0, 33.0])
def test_streaks_become_vertical(angle: float) -> None:
    turned = rotate(thin_streaks(angle, 2.0), angle)
    middle = turned[tuple(slice(n // 2 - 40, n // 2 + 40) for n in turned.shape)]
    assert np.abs(np.diff(middle, axis=0)).mean() < 0.1 * np.abs(np.diff(middle, axis=1)).mean()


def test_slash_is_positive() -> None:
    slash = np.fliplr(np.eye(41, dtype=np.float32))
    right, wrong = (rotate(slash, angle)[20:-20, 20:-20] for angle in (45.0, -45.0))
    assert right.sum(axis=0).max() > 6
    assert wrong.sum(axis=0).max() < 2


@pytest.mark.parametrize(("fwhm", "least"), [(1.0, 0.92), (1.5, 0.97), (2.0, 0.985)])
@pytest.mark.parametrize("angle", [3.0, -10.0, 20.0, 31.0, 45.0])
def test_thin_streaks_keep_their_peaks(fwhm: float, least: float, angle: float) -> None:
    streaks = thin_streaks(angle, fwhm)
    back = unrotate(rotate(streaks, angle), angle, streaks.shape)
    ridge = streaks > 0.5 * streaks.max()
    ridge[:8], ridge[-8:], ridge[:, :8], ridge[:, -8:] = False, False, False, False
    assert (back[ridge] / streaks[ridge]).mean() > least
    assert back.min() >= 0


def test_surrounding_is_reflection_not_black() -> None:
    picture = 0.5 + 0.5 * photo((80, 120))
    turned = rotate(picture, 30.0)
    assert turned.min() >= picture.min()
    # Just outside the top edge's middle lies what is just inside it.
    theta = math.radians(30.0)
    normal = np.array([math.cos(theta), math.sin(theta)])  # picture's "down", in the rotated frame
    edge = (np.array(turned.shape) - 1) / 2 - 40 * normal
    inside, outside = (
        turned[tuple(np.rint(edge + side * 3 * normal).astype(int))] for side in (1, -1)
    )
    assert inside == pytest.approx(outside, abs=0.1)


@pytest.mark.parametrize("angle", [-37.0, 12.0])
def test_values_stay_in_range(angle: float) -> None:
    stripes = np.zeros((50, 70), np.float32)
    stripes[:, ::7] = 1
    turned = rotate(stripes, angle)
    assert turned.min() >= 0
    assert turned.max() <= 1
    back = unrotate(turned, angle, stripes.shape)
    assert back.min() >= 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_type_is_kept_and_input_unharmed(dtype: type) -> None:
    picture = photo((30, 40), dtype)
    before = picture.copy()
    picture.flags.writeable = False
    turned = rotate(picture, 12.0)
    turned.flags.writeable = False
    assert turned.dtype == dtype
    assert unrotate(turned, 12.0, (30, 40)).dtype == dtype
    np.testing.assert_array_equal(picture, before)


def test_frame_holds_the_whole_picture() -> None:
    for shape in SHAPES:
        for angle in ANGLES:
            theta = math.radians(angle)
            corners = np.array([[r, c] for r in (-0.5, 0.5) for c in (-0.5, 0.5)]) * shape
            turn = [[math.cos(theta), -math.sin(theta)], [math.sin(theta), math.cos(theta)]]
            extent = np.ptp(corners @ np.transpose(turn), axis=0)
            frame = np.array(rotated_shape(shape, angle))
            assert (frame >= extent - 1e-9).all()
            assert (frame < extent + 1).all()


@pytest.mark.parametrize("angle", [math.nan, math.inf, -math.inf])
def test_non_finite_angle_is_refused(angle: float) -> None:
    with pytest.raises(InvalidInput, match="finite"):
        rotate(photo((8, 8)), angle)
    with pytest.raises(InvalidInput, match="finite"):
        unrotate(photo((8, 8)), angle, (8, 8))
    with pytest.raises(InvalidInput, match="finite"):
        rotated_shape((8, 8), angle)


def test_unusable_arrays_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2-D"):
        rotate(np.zeros((8, 8, 3), np.float32), 10.0)
    with pytest.raises(InvalidInput, match="float"):
        rotate(np.zeros((8, 8), np.uint8), 10.0)
    with pytest.raises(InvalidInput, match="rotate"):
        unrotate(np.zeros((8, 8), np.float32), 10.0, (8, 8))


@pytest.mark.parametrize("convergence", [0.0, 9.0])
@pytest.mark.parametrize(("angle", "oversampling"), [(15.0, 1), (-33.0, 2), (90.0, 1)])
def test_windows_are_sampled_on_the_grid_of_the_whole_picture(angle, oversampling, convergence):
    """Every sample in the middle of a window's frame is one of the whole picture's frame."""
    image = gaussian_filter(np.random.default_rng(0).random((120, 170)), 1)
    window = slice(31, 100), slice(37, 141)
    frame = Frame.of(image.shape, angle, convergence, oversampling, window)
    whole, part = rotate(image, angle, oversampling, convergence), frame.rotate(image[window])
    middle = part[tuple(slice(side // 2 - 9, side // 2 + 9) for side in part.shape)]
    places = np.lib.stride_tricks.sliding_window_view(whole, middle.shape)
    assert np.abs(places - middle).max(axis=(2, 3)).min() < 1e-6
    back = frame.unrotate(part)
    assert np.abs(back - image[window])[20:-20, 20:-20].max() < 0.02


@pytest.mark.parametrize("convergence", [0.0, -7.0])
@pytest.mark.parametrize(("angle", "oversampling"), [(15.0, 1), (-33.0, 2), (90.0, 1), (0.0, 1)])
def test_a_window_that_is_the_picture_has_its_frame(angle, oversampling, convergence):
    window = slice(0, 120), slice(0, 170)
    whole = Frame.of((120, 170), angle, convergence, oversampling)
    assert Frame.of((120, 170, 3), angle, convergence, oversampling, window) == whole
    assert whole.own_angle == angle


@pytest.mark.parametrize("convergence", [0.0, 6.0])
def test_a_window_at_the_border_goes_on_as_the_whole_picture_does(convergence):
    """Beyond the border both see the picture's reflection, equally far."""
    image = gaussian_filter(np.random.default_rng(1).random((200, 300)), 1)
    window = slice(120, 200), slice(100, 220)
    frame = Frame.of(image.shape, 10.0, convergence, 1, window)
    whole = Frame.of(image.shape, 10.0, convergence)
    # As far as rotating the window alone would go, and on, but not further than the whole.
    assert frame.size[0] > rotated_shape((80, 120), 10.0)[0] + 10
    assert frame.offset[0] + frame.size[0] / 2 <= whole.size[0] / 2
    part, all_of_it = frame.rotate(image[window]), whole.rotate(image)
    top, left = (
        round((size - own) / 2 + offset)
        for size, own, offset in zip(whole.size, frame.size, frame.offset, strict=True)
    )
    there = all_of_it[top : top + part.shape[0], left : left + part.shape[1]]
    middle = slice(40, 80)  # columns that the window's own sides do not reach
    np.testing.assert_allclose(part[20:, middle], there[20:, middle], atol=0.02)


def test_rain_gets_what_interpolation_lost_of_it(monkeypatch) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:120, :130]
    streaks = np.where((x + 0.01 * y).astype(int) % 5 == 0, np.float32(0.4), np.float32(0))
    dark = np.full(x.shape, np.float32(0.2))
    there = rotate(dark + streaks, 0.6)
    seen = unrotate(there, 0.6, x.shape)
    rain = unrotate(there - 0.2, 0.6, x.shape)  # all that the frame has of it
    full = compensate_interpolation(rain, dark + streaks, seen)
    inner = slice(5, -5), slice(5, -5)
    before, after = (np.abs(u - streaks)[inner].mean() for u in (rain, full))
    assert after < 0.1 * before
    assert full.min() >= 0

    light = rng.random(x.shape, dtype=np.float32)  # whose details are not the rain's
    seen = unrotate(rotate(light, 0.6), 0.6, x.shape)
    none = np.zeros_like(light)
    np.testing.assert_array_equal(compensate_interpolation(none, light, seen), none)
    rain = (0.1 * light).astype(np.float32)
    at_once = compensate_interpolation(rain, light, seen)
    assert (at_once <= light).all()
    monkeypatch.setattr("udg.backend._AT_ONCE", 1)
    np.testing.assert_allclose(compensate_interpolation(rain, light, seen), at_once, atol=1e-6)


# Convergence


def convergence_of_lines(shape: tuple[int, int], angle: float, convergence: float) -> np.ndarray:
    """Smooth lines through one point: a wave of the direction from there, in the picture's frame.

    The direction of what goes through a pixel is that of the line to the meeting point, which lies
    on the axis through the centre, ``reach / tan(convergence)`` away.
    """
    height, width = shape
    row, column = np.mgrid[:height, :width]
    theta, distance = (
        math.radians(angle),
        math.hypot(*shape) / 2 / math.tan(math.radians(convergence)),
    )
    point = distance * math.cos(theta), -distance * math.sin(theta)
    down = row - (height - 1) / 2 - point[0]
    right = column - (width - 1) / 2 - point[1]
    direction = np.arctan2(-right * np.sign(down), np.abs(down)) - theta
    return (0.5 + 0.4 * np.sin(distance * np.tan(direction) / 5)).astype(np.float32)


@pytest.mark.parametrize("shape", [(90, 140), (141, 91)])
@pytest.mark.parametrize("angle", [0.0, 12.0, -30.0])
@pytest.mark.parametrize("convergence", [-15.0, -4.0, 8.0])
def test_converging_streaks_become_upright(
    shape: tuple[int, int], angle: float, convergence: float
) -> None:
    lines = convergence_of_lines(shape, angle, convergence)
    frame = rotate(lines, angle, convergence=convergence)
    assert frame.shape == rotated_shape(shape, angle, convergence=convergence)
    inside = rotate(np.ones(shape, np.float32), angle, convergence=convergence) > 0.999
    rows, columns = (slice(n // 2 - 20, n // 2 + 20) for n in frame.shape)
    assert inside[rows, columns].all()
    assert np.ptp(frame[rows, columns], axis=0).max() < 0.005
    assert np.ptp(rotate(lines, angle)[rows, columns], axis=0).max() > 0.02
    back = unrotate(frame, angle, shape, convergence=convergence)
    np.testing.assert_allclose(back[2:-2, 2:-2], lines[2:-2, 2:-2], atol=0.004)


def test_parallel_streaks_are_the_limit_of_a_small_convergence() -> None:
    picture = photo((64, 91))
    for angle in (-33.0, 20.0):
        frame, nearly = rotate(picture, angle), rotate(picture, angle, convergence=1e-7)
        np.testing.assert_allclose(nearly, frame, atol=1e-4)


def test_positive_convergence_meets_below() -> None:
    lines = convergence_of_lines((101, 101), 0.0, 10.0)
    right = lines[:, 60:]
    # What is on the right leans like /: the same further left, further down.
    moved = [np.mean((right[:-10, shift:] - right[10:, : -shift or None]) ** 2) for shift in (0, 1)]
    assert moved[1] < moved[0]


@pytest.mark.parametrize("fine", [1, 2])
def test_frame_of_converging_streaks_holds_the_whole_picture(fine: int) -> None:
    shape, angle, convergence = (61, 97), 25.0, -12.0
    marks = np.zeros(shape, np.float32)
    marks[[0, 0, -1, -1], [0, -1, 0, -1]] = 1
    back = unrotate(
        rotate(marks, angle, fine, convergence=convergence),
        angle,
        shape,
        fine,
        convergence=convergence,
    )
    assert back[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 0.3


def test_a_window_of_converging_streaks_meets_where_the_picture_does() -> None:
    shape, angle, convergence = (150, 200), 10.0, 9.0
    lines, window = (
        convergence_of_lines(shape, angle, convergence),
        (slice(80, 150), slice(100, 200)),
    )
    frame = Frame.of(shape, angle, convergence, window=window)
    upright = frame.rotate(np.ascontiguousarray(lines[window]))
    middle = upright[45:65, 55:85]
    assert np.ptp(middle, axis=0).max() < 0.005
    assert frame.own_angle > angle  # right of the centre of one that meets below
    assert Frame.of(shape, angle, window=window).own_angle == angle


@pytest.mark.parametrize("convergence", [21.0, -40.0, math.nan])
def test_too_much_convergence_is_refused(convergence: float) -> None:
    with pytest.raises(InvalidInput, match="convergence is"):
        rotate(photo((20, 20)), 0.0, convergence=convergence)
