"""Reweighting: which lines the next stage is to leave, and which it is to take in full."""

from dataclasses import replace

import numpy as np
import pytest
from test_streaks import around, street  # noqa: F401  (a fixture)

import udg
from udg.detection.parameters import reweighting_parameters
from udg.detection.reweighting import (
    classifier_factor,
    draft_sparsity,
    logit_threshold,
    magnitude_factor,
    sparsity_map,
)
from udg.imaging.image import prepare
from udg.pipeline.options import resolve
from udg.pipeline.stages import decide
from udg.pipeline.whole import solve_request


def test_a_draft_over_detects():
    assert draft_sparsity(2.0, draft=True) == pytest.approx(1.0)
    assert draft_sparsity(2.0, draft=False) == 2.0


def test_bright_rain_is_freed_unless_it_is_suspect():
    rain = np.array([0.0, 0.01, 0.1, 0.5])
    sure, suspect = (magnitude_factor(rain, np.full(4, d), 0.01) for d in (1.0, 3.0))
    assert (np.diff(sure) < 0).all()
    assert sure[0] > 1 > sure[2]
    assert (suspect[2:] > sure[2:]).all()
    assert (suspect <= np.maximum(sure, 1)).all()


def test_the_likelier_a_streak_the_smaller_its_factor():
    factor = classifier_factor(np.linspace(-8, 8, 33))
    assert (np.diff(factor) <= 0).all()
    assert factor[[0, -1]] == pytest.approx([30, 0.1])
    assert classifier_factor(np.array(logit_threshold())) == pytest.approx(1)
    assert classifier_factor(np.array(0.25), threshold=0.25) == pytest.approx(1)
    one = np.array(-0.5)
    faint = [classifier_factor(one, lam_r) for lam_r in (0.0, 1e-3, 5e-3, 1e-2, 1.0)]
    assert (np.diff(faint) >= 0).all()
    assert faint[0] < 1 < faint[-1] == classifier_factor(one)


def test_where_all_lines_surely_are_rain_the_threshold_is_higher():
    found = [logit_threshold(mean) for mean in (-3, 0, 0.2, 0.4, 3)]
    assert found == sorted(found)
    assert found[0] == pytest.approx(-0.3)
    assert found[-1] == pytest.approx(0.4)
    assert found[1] < found[2] < found[3]
    levels = [logit_threshold(0.0, level) for level in (1, 0.9, 0.7, 0.5, 0.1)]
    assert levels == sorted(levels)
    assert levels[-2] == levels[-1] == 0.4


def test_pictures_and_tiles_are_classified_by_the_picture(monkeypatch):
    """Every window has the whole picture's threshold, or the usual one if none was measured."""
    y, x = np.mgrid[:240, :320] / np.float32(320)
    clean = np.stack([0.3 + 0.2 * x, 0.3 + 0.2 * y, 0.3 + 0.1 * x], axis=2)
    rainy = udg.synthesize(clean, angle=8, density=0.06, seed=1).rainy
    image = prepare(rainy)
    decision = decide(image, resolve(), "auto")
    expected = logit_threshold(decision.streak_logit, decision.rain_level)
    assert decision.threshold == expected
    assert abs(expected - logit_threshold()) > 0.05
    seen = []

    def record(*given):
        seen.append(given[5])
        return sparsity_map(*given)

    monkeypatch.setattr("udg.pipeline.stages.sparsity_map", record)
    udg.solve(rainy, n_layers=1, stages=4)
    assert seen == pytest.approx([expected] * 2)
    seen.clear()
    udg.solve_tiles(rainy, tile=200, overlap=48, n_layers=1)
    assert len(seen) >= 2
    assert seen == pytest.approx([expected] * len(seen), abs=0.02)
    seen.clear()
    udg.solve(rainy, angle=8)
    assert seen == pytest.approx([logit_threshold()])


def test_the_map_does_not_depend_on_bands(street, monkeypatch):  # noqa: F811
    scene, rain = street
    scene, rain = (np.tile(u, (2, 1)) for u in (scene, rain))
    Y = np.minimum(1, scene + rain)
    given = Y, rain, Y, around(Y.shape), 0.01
    whole = sparsity_map(*given)
    monkeypatch.setattr("udg.backend._AT_ONCE", 1)
    np.testing.assert_allclose(sparsity_map(*given), whole, rtol=1e-3)
    assert (whole > 0).all()


def test_lettering_is_spared():
    """The word keeps more of its light than without the classifier."""
    from PIL import Image, ImageDraw, ImageFont

    clean = np.full((180, 320), 0.35, np.float32)
    mask = Image.new("L", (320, 180))
    font = ImageFont.load_default(48)
    ImageDraw.Draw(mask).text((40, 60), "HILLTIME", fill=255, font=font)
    word = np.asarray(mask, np.float32) / 255
    clean = clean + 0.5 * word
    rainy = udg.synthesize(clean, angle=0, length=40, density=0.1, intensity=0.2, seed=3).rainy
    without = replace(reweighting_parameters(), classifier_power=0.0)
    lost = []
    for parameters in (None, without):
        request = resolve(angle=0, reweighting=parameters)
        result = solve_request(rainy, request)
        lost.append(result.rain[word > 0.9].mean())
    assert lost[0] < 0.7 * lost[1]
