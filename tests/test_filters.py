"""Compiled filters, splines and classifier agree with SciPy's and NumPy's."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from udg.backend import each_band, in_parts
from udg.detection.parameters import streak_classifier
from udg.detection.statistics import block_sigma, log_local_means
from udg.detection.streaks import StreakFeatures, streak_logit
from udg.imaging import filters
from udg.imaging.geometry import Frame

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 60))
AXES = st.sampled_from([0, 1])


def plane(shape: tuple[int, int], dtype: type = np.float32) -> np.ndarray:
    return np.random.default_rng(sum(shape)).random(shape).astype(dtype)


@given(shape=SIDES, axis=AXES, sigma=st.sampled_from([0.7, 3.0, 10.0]))
def test_gaussian_is_scipys(shape, axis, sigma):
    found = filters.gaussian1d(plane(shape), sigma, axis)
    expected = ndimage.gaussian_filter1d(plane(shape, float), sigma, axis, mode="nearest")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(shape=SIDES, axis=AXES, size=st.sampled_from([1, 3, 9, 61]))
def test_mean_and_extremes_are_scipys(shape, axis, size):
    values = plane(shape)
    for ours, theirs in (
        (filters.mean, ndimage.uniform_filter1d),
        (filters.highest, ndimage.maximum_filter1d),
        (filters.lowest, ndimage.minimum_filter1d),
    ):
        np.testing.assert_allclose(
            ours(values, size, axis), theirs(values, size, axis, mode="nearest"), atol=1e-6
        )


@given(shape=SIDES, axis=AXES, start=st.integers(-4, 0), stop=st.integers(0, 4))
def test_difference_is_that_of_pixels(shape, axis, start, stop):
    values, doubles = plane(shape), plane(shape).astype(float)
    place = np.arange(shape[axis])
    first, last = (values.take(np.clip(place + k, 0, shape[axis] - 1), axis) for k in (start, stop))
    np.testing.assert_array_equal(filters.difference(values, start, stop, axis), last - first)
    found = filters.difference(doubles, start, stop, axis)  # not compiled
    np.testing.assert_allclose(found, last - first, atol=1e-6)


def test_filters_take_what_is_not_contiguous():
    values = plane((50, 31)).T
    np.testing.assert_allclose(
        filters.gaussian(values, 2.0),
        ndimage.gaussian_filter(values, 2.0, mode="nearest"),
        atol=1e-6,
    )


@pytest.mark.parametrize("angle", [-45.0, -8.0, 0.3, 20.0, 100.0, 200.0])
@pytest.mark.parametrize("oversampling", [1, 2])
@pytest.mark.parametrize("convergence", [0.0, 12.0, -7.0])
def test_splines_of_both_precisions_agree(angle, oversampling, convergence):
    """float32 is compiled, float64 is SciPy's: of the whole picture and of a window's frame."""
    windows = None, (slice(0, 60), slice(40, 91))
    for window in windows:
        frame = Frame.of((83, 91), angle, convergence, oversampling, window)
        values = plane(frame.shape)
        there = frame.rotate(values)
        np.testing.assert_allclose(there, frame.rotate(values.astype(float)), atol=2e-5)
        np.testing.assert_allclose(
            frame.unrotate(there), frame.unrotate(there.astype(float)), atol=2e-5
        )


def test_the_classifier_is_the_same_in_both_precisions():
    random = np.random.default_rng(3)
    model = streak_classifier()
    centre, scale = (np.array(u)[:, None, None] for u in (model.centre, model.scale))
    values = centre + 2 * scale * random.normal(size=(len(model.centre), 30, 700))
    whole = streak_logit(StreakFeatures(*values))
    compiled = streak_logit(StreakFeatures(*values.astype(np.float32)))
    assert compiled.dtype == np.float32
    np.testing.assert_allclose(compiled, whole, atol=2e-4)


@given(shape=st.tuples(st.integers(3, 60), st.integers(3, 60)))
def test_local_means_are_those_of_a_gaussian(shape):
    values, seen = plane(shape), (plane(shape[::-1]).T > 0.2).astype(np.float32)
    sigma = block_sigma(seen)
    step = max(1, int(sigma))
    total, part = (ndimage.gaussian_filter(u, sigma)[::step, ::step] for u in (values * seen, seen))
    most = part >= 0.5 * part.max()
    expected = np.log(total[most] / part[most] + 1e-3)
    found = log_local_means(values, seen)
    if found.shape == expected.shape:  # not if one is half seen but for rounding
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_bands_and_parts_cover_everything_once(monkeypatch):
    monkeypatch.setattr("udg.backend._AT_ONCE", 100)
    monkeypatch.setattr("udg.backend._WORTH_A_THREAD", 10)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
    seen = np.zeros((57, 9))

    def work(rows: slice, reached: slice) -> None:
        assert reached.start == max(0, rows.start - 2)
        assert reached.stop == min(57, rows.stop + 2)
        seen[rows] += 1

    each_band(work, seen, reach=2)
    assert (seen == 1).all()
    parts: list[tuple[int, int]] = []
    in_parts(lambda *part: parts.append(part), 57, 9)
    assert sorted(parts) == [(0, 19), (19, 38), (38, 57)]


def test_what_goes_wrong_in_a_band_is_said(monkeypatch):
    monkeypatch.setattr("udg.backend._AT_ONCE", 1)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        each_band(lambda rows, reached: 1 // (rows.start - 1), np.zeros((9, 9)))
