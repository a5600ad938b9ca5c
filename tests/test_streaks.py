"""The streak classifier: its features, its regression, what it says of drawn lines."""

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d, uniform_filter1d

import udg
from udg.detection.density import LocalDensity
from udg.detection.streaks import StreakFeatures, streak_features, streak_logit


@pytest.fixture(scope="module")
def street():
    """Light and rain of a scene with a pole, lettering and even rain."""
    rng = np.random.default_rng(4)
    scene = 0.3 + 0.2 * gaussian_filter(rng.random((200, 260)), 12) + np.zeros((200, 260))
    scene[:, 130:] += 0.25  # the edge of a wall
    rain = udg.render_streaks(scene.shape, density=0.06, length=40, intensity=0.2, seed=2)
    return scene.astype(np.float32), rain


def around(shape, density=0.02, texture=0.01, expected=0.02, streak=0.08):
    planes = (np.full(shape, value, np.float32) for value in (density, texture, expected))
    return LocalDensity(*planes, streak)


def test_features_are_as_their_definition(rng):
    """The readable twin at one pixel after the other, far from the border."""
    Y = rng.random((140, 60)).astype(np.float32)
    R = (Y * rng.random(Y.shape) ** 4).astype(np.float32)
    brightest = np.minimum(1, Y + 0.2 * rng.random(Y.shape)).astype(np.float32)
    here = around(Y.shape, 0.03, 0.05, 0.02, 0.09)
    got = streak_features(Y, R, brightest, here)
    grey, X = 2 / 255, Y - R

    def ratio(a, b):
        return np.log((a + grey) / (b + grey))

    def along(plane, sigma):
        return gaussian_filter1d(plane.astype(np.float64), sigma, axis=0, mode="nearest")

    def mean(plane, size, axis):
        return uniform_filter1d(plane.astype(np.float64), size, axis=axis, mode="nearest")

    sides, flank, steep = np.zeros(Y.shape), np.zeros(Y.shape), np.zeros(Y.shape)
    peak, top = np.zeros(Y.shape), np.zeros(Y.shape)
    steep[:, 1:] = np.abs(np.diff(R, axis=1))
    thin = along(R, 3)
    for x in range(8, 52):
        sides[:, x] = np.abs(X[:, x + 3] - X[:, x - 3])
        flank[:, x] = steep[:, x - 1 : x + 2].max(axis=1)
        peak[:, x] = R[:, x - 2 : x + 3].max(axis=1)
        top[:, x] = thin[:, x - 4 : x + 5].max(axis=1)
    falls = np.zeros(Y.shape)
    falls[1:] = np.abs(np.diff(R, axis=0))
    falls[1:-1] = np.maximum(np.maximum(falls[:-2], falls[1:-1]), falls[2:])
    first, second, third = (mean(mean(R.astype(float) ** k, 41, 0), 41, 1) for k in (1, 2, 3))
    followed, itself = (mean((u - mean(u, 9, 1)) * R, 15, 0) for u in (brightest, Y))
    upright, level = along(Y - mean(Y, 9, 1), 3), along((Y - mean(Y, 9, 0)).T, 3).T
    bright, dark, bright_level, dark_level = (
        mean(mean(np.maximum(lines, 0) ** 2, 61, 0), 61, 1) + 1e-6
        for lines in (upright, -upright, level, -level)
    )
    details, slopes = Y.astype(float) - mean(Y, 9, 1), [np.zeros(Y.shape), np.zeros(Y.shape)]
    slopes[0][1:-1] = (details[2:] - details[:-2]) / 2
    slopes[1][:, 1:-1] = (details[:, 2:] - details[:, :-2]) / 2
    leaning, steepness = (
        mean(mean((R + 1e-4) * slopes[1] * slope, 31, 0), 3, 1) for slope in slopes
    )
    ground, lowest = along(X, 5), np.zeros(Y.shape)
    for x in range(8, 52):
        lowest[:, x] = ground[:, x - 8 : x + 9].min(axis=1)
    expected = StreakFeatures(
        np.full(Y.shape, ratio(0.03, 0.02)),
        np.full(Y.shape, ratio(0.05, 0.03)),
        ratio(R, 0.09),
        ratio(along(sides, 4), along(R, 5)),
        np.clip(followed / (itself + 1e-5), -1, 2),
        ratio(mean(R, 61, 0), mean(R, 9, 0)),
        ratio(along(flank, 3), along(peak, 3)),
        ratio(9 * mean(thin, 9, 1), top),
        np.log((third * first + 1e-12) / (second**2 + 1e-12)),
        ratio(mean(falls, 31, 0), along(R, 5)),
        np.log(bright / dark),
        np.log(bright_level / dark_level),
        np.log((bright + dark) / (bright_level + dark_level)),
        np.log(abs(leaning) / (steepness + 1e-6) + 0.01),
        ratio(ground - lowest, along(R, 5)),
    )
    inner = slice(40, 100), slice(15, 45)
    for name, one, other in zip(StreakFeatures._fields, got, expected, strict=True):
        np.testing.assert_allclose(one[inner], other[inner], rtol=2e-3, atol=2e-3, err_msg=name)


def test_what_is_around_a_line_tells_rain_from_a_scene():
    """Bright lines only, upright ones only, and all of one direction: what rain looks like."""
    rain = udg.render_streaks((200, 200), density=0.1, length=50, intensity=0.3, seed=1)
    here, inner = around(rain.shape), np.s_[60:140, 60:140]
    ground = np.full(rain.shape, 0.4, np.float32)

    def medians(Y, R):
        return StreakFeatures(
            *(float(np.median(feature[inner])) for feature in streak_features(Y, R, Y, here))
        )

    streaks = medians(ground + rain, rain)
    bars = np.where(np.arange(200) % 12 < 6, 0.2, -0.2).astype(np.float32) + 0 * rain
    railing = medians(ground + bars, np.maximum(bars, 0))
    assert streaks.balance > 0.8 > railing.balance + 0.5
    mesh = medians(ground + bars + bars.T, np.maximum(bars, 0))
    assert mesh.orientation < 0.5 < railing.orientation - 2
    lamps = medians(ground + np.maximum(rain.T, rain), rain)
    assert lamps.across > streaks.across + 1
    leaning = udg.render_streaks(rain.shape, angle=6, density=0.1, length=50, seed=1)
    assert medians(ground + leaning, leaning).lean > streaks.lean + 1
    wet_step = ground.copy()
    wet_step[:, ::10] += 0.2
    wet_step[:, 5::10] -= 0.2
    darker = medians(wet_step, np.where(wet_step > 0.5, np.float32(0.2), np.float32(0)))
    assert darker.falloff > streaks.falloff + 1


def test_the_logit_is_the_regression_in_the_file(rng):
    model = json.loads(
        (files("udg.detection") / "streak_classifier.json").read_text(encoding="utf-8")
    )
    assert tuple(model["features"]) == StreakFeatures._fields
    x = rng.normal(size=(50, len(StreakFeatures._fields)))
    scaled = np.clip((x - model["centre"]) / model["scale"], -3, 3)
    inner = np.tanh(scaled @ np.transpose(model["inner"]) + model["inner_bias"])
    expected = inner @ model["outer"] + model["bias"]
    got = streak_logit(StreakFeatures(*(x.T.reshape(-1, 5, 10).astype(np.float32))))
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-4, atol=1e-4)


def test_streaks_are_likelier_than_lines_that_are_none(street):
    """A line on the edge of a wall, and one much brighter than the rain, among streaks."""
    scene, rain = street
    shape = scene.shape
    edge, bright = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    edge[40:160, 129:131] = 0.12
    bright[60:140, 60:62] = 0.6
    found = np.maximum(rain, np.maximum(edge, bright))
    Y = np.minimum(1, scene + found)
    logit = streak_logit(
        streak_features(Y, found, Y, around(shape, found.mean(), 0.004, found.mean()))
    )
    streaks = (rain > 0.05) & (edge + bright == 0)
    streaks[:, 110:150] = False
    assert np.median(logit[streaks]) > np.median(logit[edge > 0]) + 1
    assert np.median(logit[streaks]) > np.median(logit[bright > 0]) + 1
