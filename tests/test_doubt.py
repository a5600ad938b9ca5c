"""Where rain is in sparsity_map: crowds, lines that are no streaks, and what is faint."""

import json
from importlib.resources import files

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d, uniform_filter1d

import udg
from udg.detection import doubt
from udg.detection.doubt import (
    RainDensity,
    LocalDensity,
    StreakFeatures,
    _bilinear,
    activity,
    sparsity_maps,
    logit_threshold,
    likeness,
    streak_logit,
    reweighting,
    streak_features,
    expected_density,
)
from udg.imaging.image import prepare
from udg.pipeline.options import find_direction, for_picture, understood


def suspicion(rain, scene, angle=0.0):
    """Doubt of a whole picture."""
    density = RainDensity(rain.shape, angle)
    density.add(0, rain, scene + rain)
    return density.around(slice(0, rain.shape[0]), slice(0, rain.shape[1])).sparsity_factor()


def test_even_rain_is_not_doubted():
    rain = udg.render_streaks((320, 480), density=0.15, seed=3)
    assert (suspicion(rain, np.full_like(rain, 0.5)) < 1.5).mean() > 0.98


def test_what_is_in_one_place_is_doubted():
    rain = np.full((320, 480), 0.02, np.float32)
    rain[200:300, 300:450] = 0.3
    sparsity_map = suspicion(rain, np.full_like(rain, 0.5))
    assert sparsity_map.shape == rain.shape
    assert sparsity_map[250, 375] > 3
    assert (sparsity_map[:120, :200] == 1).all()
    assert (sparsity_map >= 1).all()


def test_little_rain_is_doubted_where_the_scene_is_busy(rng):
    rain = np.full((320, 480), 0.02, np.float32)
    scene = np.full_like(rain, 0.5)
    scene[:, 240:] += 0.4 * rng.random((320, 240), np.float32)
    sparsity_map = suspicion(rain, scene)
    assert (sparsity_map[:, :120] == 1).all()
    assert (sparsity_map[:, 360:] > 1.5).all()
    assert (suspicion(10 * rain, scene) == 1).all()
    upright = np.broadcast_to(scene[:1], scene.shape)
    assert (suspicion(rain, upright) == 1).all()


@pytest.mark.parametrize("shape", [(2, 2), (3, 90), (71, 33)])
def test_small_and_odd_shapes(shape):
    flat = np.full(shape, 0.5, np.float32)
    assert suspicion(np.ones(shape, np.float32), flat) == pytest.approx(1)
    assert (suspicion(np.zeros(shape, np.float32), flat) == 1).all()


def test_more_rain_is_usual_on_dark_ground(rng):
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
    """Most sparsity_map of rain that is four times as dense on the dark half of a picture."""
    scene = np.full((320, 480), air - 0.4, np.float32)
    scene[:, 240:] = air - 0.1
    return suspicion(0.1 * (air - scene), scene).max()


@pytest.mark.parametrize("angle", [-30, 0, 12])
def test_activity_is_that_in_the_streaks_direction(angle):
    rows, columns = np.mgrid[:60, :80].astype(np.float64)
    theta = np.deg2rad(angle)
    along, across = (
        rows * np.cos(theta) - columns * np.sin(theta),
        rows * np.sin(theta) + columns * np.cos(theta),
    )
    np.testing.assert_allclose(activity(0.01 * along, angle)[:-1, 1:-1], 0.01, rtol=1e-9)
    np.testing.assert_allclose(activity(0.01 * across, angle)[:-1, 1:-1], 0, atol=1e-12)
    streaks = udg.render_streaks((160, 240), angle=angle, density=0.1, seed=1)
    for other in (angle - 15, angle + 15):
        assert activity(streaks, angle).mean() < 0.9 * activity(streaks, other).mean()


def test_crowding_does_not_depend_on_how_rows_come(rng):
    rain = rng.random((160, 240)).astype(np.float32) ** 8
    rain[40:80, 30:110] += 0.5
    light = rain + rng.random((160, 240), np.float32)
    in_strips = RainDensity(rain.shape, 9.0)
    for top in range(0, 160, 50):
        in_strips.add(top, rain[top : top + 50], light[top : top + 50])
    window = slice(20, 90), slice(15, 200)
    expected = suspicion(rain, light - rain, 9.0)
    assert expected.max() > 2
    np.testing.assert_allclose(in_strips.around(*window).sparsity_factor(), expected[window], rtol=1e-4)


def test_reweighting_frees_bright_rain_unless_in_doubt():
    rain = np.array([0.0, 0.01, 0.1, 0.5])
    sure, doubtful = (reweighting(rain, np.full(4, d), 0.01) for d in (1.0, 3.0))
    assert (np.diff(sure) < 0).all()
    assert sure[0] > 1 > sure[2]
    assert (doubtful[2:] > sure[2:]).all()
    assert (doubtful <= np.maximum(sure, 1)).all()


def test_bilinear_interpolation_is_exact_on_a_plane():
    rows, columns = np.mgrid[:4, :5].astype(float)
    at = np.array([0, 0.5, 2.25, 3]), np.array([0.75, 1, 4])
    got = _bilinear(2 * rows - 3 * columns, *at)
    np.testing.assert_allclose(got, 2 * at[0][:, None] - 3 * at[1][None, :])


@pytest.fixture(scope="module")
def street():
    """Illuminant, brightest channel and rain of a scene with a pole, lettering and even rain."""
    rng = np.random.default_rng(4)
    scene = 0.3 + 0.2 * gaussian_filter(rng.random((200, 260)), 12) + np.zeros((200, 260))
    scene[:, 130:] += 0.25  # the edge of a wall
    rain = udg.render_streaks(scene.shape, density=0.06, length=40, intensity=0.2, seed=2)
    return scene.astype(np.float32), rain


def around(shape, density=0.02, busy=0.01, usual=0.02, streak=0.08):
    planes = (np.full(shape, value, np.float32) for value in (density, busy, usual))
    return LocalDensity(*planes, streak)


def test_traits_are_as_their_definition(rng):
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
        return StreakFeatures(*(float(np.median(trait[inner])) for trait in streak_features(Y, R, Y, here)))

    streaks = medians(ground + rain, rain)
    bars = np.where(np.arange(200) % 12 < 6, 0.2, -0.2).astype(np.float32) + 0 * rain
    railing = medians(ground + bars, np.maximum(bars, 0))
    assert streaks.balance > 0.8 > railing.balance + 0.5
    mesh = medians(ground + bars + bars.T, np.maximum(bars, 0))
    assert mesh.prevailing < 0.5 < railing.prevailing - 2
    lamps = medians(ground + np.maximum(rain.T, rain), rain)
    assert lamps.level > streaks.level + 1
    leaning = udg.render_streaks(rain.shape, angle=6, density=0.1, length=50, seed=1)
    assert medians(ground + leaning, leaning).askew > streaks.askew + 1
    wet_step = ground.copy()
    wet_step[:, ::10] += 0.2
    wet_step[:, 5::10] -= 0.2
    darker = medians(wet_step, np.where(wet_step > 0.5, np.float32(0.2), np.float32(0)))
    assert darker.falling > streaks.falling + 1


def test_log_odds_are_the_regression_in_the_file(rng):
    model = json.loads((files("udg.detection") / "streak_classifier.json").read_text(encoding="utf-8"))
    assert tuple(model["streak_features"]) == StreakFeatures._fields
    x = rng.normal(size=(50, len(StreakFeatures._fields)))
    scaled = np.clip((x - model["centre"]) / model["scale"], -3, 3)
    inner = np.tanh(scaled @ np.transpose(model["inner"]) + model["inner_bias"])
    expected = inner @ model["outer"] + model["bias"]
    got = streak_logit(StreakFeatures(*(x.T.reshape(-1, 5, 10).astype(np.float32))))
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-4, atol=1e-4)


def test_the_surer_the_less_doubt():
    doubt_of = likeness(np.linspace(-8, 8, 33))
    assert (np.diff(doubt_of) <= 0).all()
    assert doubt_of[[0, -1]] == pytest.approx([30, 0.1])
    assert likeness(np.array(logit_threshold())) == pytest.approx(1)
    assert likeness(np.array(0.25), even=0.25) == pytest.approx(1)
    one = np.array(-0.5)
    faint = [likeness(one, lam_r) for lam_r in (0.0, 1e-3, 5e-3, 1e-2, 1.0)]
    assert (np.diff(faint) >= 0).all()
    assert faint[0] < 1 < faint[-1] == likeness(one)


def test_where_all_lines_surely_are_rain_a_line_has_to_be_surer():
    looks = [logit_threshold(looks) for looks in (-3, 0, 0.2, 0.4, 3)]
    assert looks == sorted(looks)
    assert looks[0] == pytest.approx(-0.3)
    assert looks[-1] == pytest.approx(0.4)
    assert looks[1] < looks[2] < looks[3]
    levels = [logit_threshold(0.0, level) for level in (1, 0.9, 0.7, 0.5, 0.1)]
    assert levels == sorted(levels)
    assert levels[-2] == levels[-1] == 0.4


def test_pictures_and_tiles_are_judged_by_their_lines(monkeypatch):
    """Every sparsity_map has the even odds of the whole picture's looks, unless it was not looked at."""
    y, x = np.mgrid[:240, :320] / np.float32(320)
    clean = np.stack([0.3 + 0.2 * x, 0.3 + 0.2 * y, 0.3 + 0.1 * x], axis=2)
    rainy = udg.synthesize(clean, angle=8, density=0.06, seed=1).rainy
    image = prepare(rainy)
    settings = understood(dict.fromkeys(("tau", "lam_x", "lam_y", "lam_r"))).settings
    direction = find_direction(image, for_picture(settings, image), "auto")
    expected = logit_threshold(direction.looks, direction.level)
    assert abs(expected - logit_threshold()) > 0.05
    seen = []

    def record(*given):
        seen.append(given[5])
        return doubts(*given)

    for module in ("solver", "tiles"):
        monkeypatch.setattr(f"udg.{module}.sparsity_maps", record)
    udg.solve(rainy, n_layers=1)
    assert seen == pytest.approx([expected] * 2)
    seen.clear()
    udg.solve_tiles(rainy, tile=200, overlap=48, n_layers=1)
    assert len(seen) > 2
    assert seen == pytest.approx([expected] * len(seen), abs=0.02)
    seen.clear()
    udg.solve(rainy, angle=8)
    assert seen == pytest.approx([logit_threshold()] * 2)


def test_streaks_are_likelier_than_lines_that_are_none(street):
    """A line on the edge of a wall, and one much brighter than the rain, among streaks."""
    scene, rain = street
    shape = scene.shape
    edge, bright = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    edge[40:160, 129:131] = 0.12
    bright[60:140, 60:62] = 0.6
    found = np.maximum(rain, np.maximum(edge, bright))
    Y = np.minimum(1, scene + found)
    odds = streak_logit(streak_features(Y, found, Y, around(shape, found.mean(), 0.004, found.mean())))
    streaks = (rain > 0.05) & (edge + bright == 0)
    streaks[:, 110:150] = False
    assert np.median(odds[streaks]) > np.median(odds[edge > 0]) + 1
    assert np.median(odds[streaks]) > np.median(odds[bright > 0]) + 1


def test_doubts_do_not_depend_on_bands(street, monkeypatch):
    scene, rain = street
    scene, rain = (np.tile(u, (2, 1)) for u in (scene, rain))
    Y = np.minimum(1, scene + rain)
    given = Y, rain, Y, around(Y.shape), 0.01
    whole = doubts(*given)
    monkeypatch.setattr("udg.backend._AT_ONCE", 1)
    np.testing.assert_allclose(doubts(*given), whole, rtol=1e-3)
    assert (whole > 0).all()


def test_lettering_is_spared():
    """The word keeps more of its light than a solver has that never sparsity_maps lines' looks."""
    from PIL import Image, ImageDraw, ImageFont

    clean = np.full((180, 320), 0.35, np.float32)
    mask = Image.new("L", (320, 180))
    font = ImageFont.load_default(48)
    ImageDraw.Draw(mask).text((40, 60), "HILLTIME", fill=255, font=font)
    word = np.asarray(mask, np.float32) / 255
    clean = clean + 0.5 * word
    rainy = udg.synthesize(clean, angle=0, length=40, density=0.1, intensity=0.2, seed=3).rainy
    lost = {}
    with pytest.MonkeyPatch.context() as patch:
        lost["doubting"] = udg.solve(rainy, angle=0).rain[word > 0.9].mean()
        patch.setattr(sparsity_map, "likeness", lambda odds, *_: np.ones_like(odds))
        lost["trusting"] = udg.solve(rainy, angle=0).rain[word > 0.9].mean()
    assert lost["doubting"] < 0.7 * lost["trusting"]
