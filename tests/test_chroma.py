"""`udg.imaging.chroma`: pixels that had rain take their neighbours' colour and keep their luma."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import udg
from udg import backend
from udg.imaging.chroma import REACH, restore_chroma
from udg.imaging.image import prepare

LUMA = np.array([0.299, 0.587, 0.114])


def slowly(derained, rain):
    """The formula, pixel by pixel: a weighted straight line of luma through the neighbours."""
    Y = derained @ LUMA
    height, width = Y.shape
    offsets = np.arange(-REACH, REACH + 1)
    bell = np.exp(-(offsets**2) / (2 * 2.5**2))
    bell /= bell.sum()
    dry = 1 / (1 + (rain / 0.06) ** 2) ** 2
    result = derained.copy()
    for i in range(height):
        for j in range(width):
            rows, columns = _mirrored(i + offsets, height), _mirrored(j + offsets, width)
            near = np.ix_(rows, columns)
            weight = np.outer(bell, bell) * dry[near]
            weight /= weight.sum() + 1e-6
            centre = (weight * Y[near]).sum()
            variance = (weight * Y[near] ** 2).sum() - centre**2
            lines, strays = [], []
            for channel in (0, 2):
                own = derained[..., channel] - Y
                level = (weight * own[near]).sum()
                shared = (weight * Y[near] * own[near]).sum() - centre * level
                slope = shared / (variance + 1e-4)
                lines.append(level + slope * (Y[i, j] - centre) - own[i, j])
                strays.append((weight * own[near] ** 2).sum() - level**2 - slope * shared)
            error = (0.1 * rain[i, j]) ** 2
            red, blue = np.array(lines) * error / (error + np.mean(strays))
            green = -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1]
            result[i, j] += red, green, blue
    return result.clip(0, 1)


def _mirrored(index, size):
    return np.clip(index, 0, size - 1)  # gaussian_filter's "nearest"


@pytest.fixture
def wet(rng):
    """Colours that need not be cut off, and rain on half of the pixels."""
    colours = 0.4 + 0.2 * rng.random((14, 17, 3), dtype=np.float32)
    rain = 0.3 * rng.random((14, 17), dtype=np.float32)
    return colours, np.where(rain > 0.15, rain, 0).astype(np.float32)


def test_equals_the_formula(wet):
    np.testing.assert_allclose(restore_chroma(*wet), slowly(*wet), atol=2e-6)


def test_keeps_dry_pixels_and_luma_and_what_it_was_given(wet):
    colours, rain = wet
    before = colours.copy()
    result = restore_chroma(colours, rain)
    np.testing.assert_array_equal(colours, before)
    np.testing.assert_array_equal(result[rain == 0], colours[rain == 0])
    np.testing.assert_allclose(result @ LUMA, colours @ LUMA, atol=1e-6)
    assert np.abs(result - colours)[rain > 0].max() > 0.02
    np.testing.assert_array_equal(restore_chroma(colours, np.zeros_like(rain)), colours)


def test_any_range(wet):
    colours, rain = wet
    expected = restore_chroma(colours, rain) * 250 - 50
    np.testing.assert_allclose(
        restore_chroma(colours * 250 - 50, rain, -50, 200), expected, atol=1e-3
    )


@pytest.mark.parametrize("channels", [None, 1, 2, 5])
def test_nothing_to_do_without_red_green_and_blue(rng, wet, channels):
    shape = (14, 17) if channels is None else (14, 17, channels)
    plane = rng.random(shape, dtype=np.float32)
    np.testing.assert_array_equal(restore_chroma(plane, wet[1]), plane)


def test_leaves_alpha(rng, wet):
    colours, rain = wet
    alpha = rng.random((14, 17, 1), dtype=np.float32)
    result = restore_chroma(np.concatenate([colours, alpha], axis=2), rain)
    np.testing.assert_array_equal(result[..., 3:], alpha)
    np.testing.assert_array_equal(result[..., :3], restore_chroma(colours, rain))


def test_parts_make_the_whole(rng, monkeypatch):
    colours = rng.random((60, 20, 3), dtype=np.float32)
    rain = 0.3 * rng.random((60, 20), dtype=np.float32)
    whole = restore_chroma(colours, rain)
    monkeypatch.setattr(backend, "_AT_ONCE", 20 * 12)
    np.testing.assert_allclose(restore_chroma(colours, rain), whole, atol=1e-6)


def test_lines_in_another_colour_vanish_and_edges_of_colours_stay():
    """A red wall beside a darker blue one, and grey lines as light as their ground on both."""
    red, blue = np.array([0.7, 0.3, 0.25]), np.array([0.1, 0.2, 0.6])
    wall = np.empty((40, 60, 3))
    wall[:, :30], wall[:, 30:] = red, blue
    rain = np.zeros((40, 60))
    rain[:, 7::9] = rain[:, 8::9] = 0.2
    lines = rain > 0
    grey = (wall @ LUMA)[..., None]
    faded = np.where(lines[..., None], 0.5 * wall + 0.5 * grey, wall)
    result = restore_chroma(faded, rain)
    before, after = (np.abs(picture - wall).max(axis=2)[lines] for picture in (faded, result))
    assert before.min() > 0.14
    assert (after < before).all()  # also where one of the walls is beside a line on the other
    assert np.median(after) < 0.03
    np.testing.assert_array_equal(result[~lines], wall[~lines].astype(np.float32))


def test_solvers_restore_the_colour_under_blended_rain(rng):
    """Rain that hides part of a coloured ground, with colours at half resolution as in a JPEG."""
    clean = np.empty((120, 160, 3), np.float32)
    clean[:] = (0.2, 0.55, 0.15)
    clean *= 0.9 + 0.2 * gaussian_filter(rng.random((120, 160, 1), dtype=np.float32), (3, 3, 0))
    rainy = _half_colours(udg.synthesize(clean, angle=8, intensity=0.8, seed=4).rainy)
    result = udg.solve(rainy, angle=8)
    taken = prepare(rainy).subtract(result.rain, screen_fraction=result.screen_fraction)
    assert _colour_error(result.derained, clean) < 0.6 * _colour_error(taken, clean)
    pieces = udg.solve_tiles(rainy, angle=8, tile=96, overlap=32)
    assert _colour_error(pieces.derained, clean) < 0.6 * _colour_error(taken, clean)


def _half_colours(image):
    Y = (image @ LUMA.astype(np.float32))[..., None]
    colour = image - Y
    small = colour.reshape(60, 2, 80, 2, 3).mean(axis=(1, 3))
    return np.clip(Y + small.repeat(2, axis=0).repeat(2, axis=1), 0, 1).astype(np.float32)


def _colour_error(image, clean):
    difference = image - clean
    return np.sqrt(np.mean((difference - (difference @ LUMA)[..., None]) ** 2))
