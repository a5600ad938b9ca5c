import numpy as np
import pytest
from skimage import data

import udg
from udg.detection.rain_level import Evidence, evidence, level_from_logit
from udg.detection.weights import contrast, for_contrast, for_heavy_rain, uncertainty
from udg.imaging.image import prepare


def test_level_runs_from_dry_to_wet():
    levels = [level_from_logit(logit) for logit in (-100, -2.1, 0, 2.5, 100)]
    assert levels[:2] == [0, 0]
    assert 0 < levels[2] < 1
    assert levels[3:] == [1, 1]


def test_level_falls_with_what_is_at_stake():
    levels = [level_from_logit(0.0, rain) for rain in (4e-3, 7e-3, 9e-3)]
    assert levels[0] > levels[1] == level_from_logit(0.0) > levels[2]
    assert level_from_logit(0.0, 4e-3) == pytest.approx(
        level_from_logit(np.log(2), 8e-3)
    )  # odds against cost
    assert level_from_logit(0.0, 1e-3) == level_from_logit(0.0, 2e-3)
    assert level_from_logit(0.0, 2e-2) == level_from_logit(0.0, 4e-2)
    assert level_from_logit(-np.inf, 1e-5) == 0


def test_logit_grows_with_what_speaks_for_rain():
    base = Evidence(0.5, 0.1, 0.5, -1.5, 0.2, 3.0, 0.1, 1.0, 0.2, 0.0)
    for name in set(base._fields) - {"mean_rain"}:
        step = -0.1 if name in ("spread", "width", "variability") else 0.1
        assert base._replace(**{name: getattr(base, name) + step}).logit > base.logit


def test_evidence_in_rain_and_in_its_negative():
    """Dark streaks on the same scene are not rain."""
    rows, columns = np.mgrid[:120, :160].astype(np.float32)
    clean = 0.5 + 0.05 * np.sin(columns / 19) * np.cos(rows / 23)
    rainy = udg.synthesize(clean, angle=0, density=0.04, intensity=0.3, seed=0, blend="add").rainy
    bright, dark = (evidence(prepare(u), 0.0, 0.5) for u in (rainy, 1 - rainy))
    assert bright.brightness > 0.5
    assert dark.brightness < -0.5
    assert bright.logit > dark.logit + 5


def test_evidence_of_shade_and_smoothness():
    """The same lines: on the dark half or on the bright one, in a calm scene or a busy one."""
    rows, columns = np.mgrid[:120, :160].astype(np.float32)
    halves = np.where(rows < 60, 0.2, 0.6).astype(np.float32)
    lines = 0.2 * udg.render_streaks((120, 160), angle=0, density=0.1, seed=1)
    below, above = (
        evidence(prepare(halves + lines * where), 0.0, 0.5) for where in (rows > 60, rows < 60)
    )
    assert above.shade > 0.5
    assert below.shade < -0.5
    busy = halves + 0.1 * np.sin(rows) * np.sin(columns)
    busier = evidence(prepare(np.clip(busy + lines, 0, 1)), 0.0, 0.5)
    assert busier.smoothness < above.smoothness
    assert busier.excess < above.excess


def test_evidence_of_width_and_variability():
    """Lines of one pixel or of five, all alike or one of them much brighter."""
    fine, broad, uneven = (np.full((120, 160), 0.3, np.float32) for _ in range(3))
    fine[:, 8::16] += 0.1
    for beside in range(5):
        broad[:, 8 + beside :: 16] += 0.1
    uneven[:, 8::16] += 0.03
    uneven[:, 88] += 0.4
    thin, wide, single = (evidence(prepare(u), 0.0, 0.5) for u in (fine, broad, uneven))
    assert thin.width < 0.1 < 0.3 < wide.width
    assert single.variability > thin.variability + 0.5


def test_evidence_of_classified_lines_and_convergence():
    """Streaks are classified as streaks, strokes of letters are not; convergence counts."""
    ground = np.full((160, 240), 0.3, np.float32)
    rain = udg.render_streaks(ground.shape, angle=0, density=0.08, length=30, spread=0.6, seed=4)
    page = (data.page() / 255).astype(np.float32)
    rainy, printed = (prepare(u) for u in (np.clip(ground + 0.4 * rain, 0, 1), page))
    assert evidence(rainy, 0.0, 0.5).streak_logit > evidence(printed, 0.0, 0.5).streak_logit + 2
    assert [evidence(rainy, 0.0, 0.5, convergence=by).converges for by in (0.0, -4.0)] == [0, 1]


def test_weights_follow_how_much_rain_there_is():
    usual = udg.RAIN_WEIGHTS
    assert for_heavy_rain(usual, 0.0) == for_heavy_rain(usual, 0.03) == usual
    more, most = for_heavy_rain(usual, 0.04), for_heavy_rain(usual, 0.5)
    assert (more.tau, more.lam_y) == (usual.tau, usual.lam_y)
    assert more.lam_x == pytest.approx(0.75 * usual.lam_x)
    assert more.lam_r == pytest.approx(0.75 * usual.lam_r)
    assert most.lam_x == pytest.approx(0.5 * usual.lam_x)


@pytest.mark.parametrize("shape", [(2, 2), (3, 40)])
def test_evidence_is_finite_without_features(shape):
    found = evidence(prepare(np.full(shape, 0.5, np.float32)), 0.0, 0.0)
    assert np.isfinite(found).all()
    assert found.logit == -np.inf  # nothing that could be rain
    assert found.shade == pytest.approx(0, abs=1e-3)


def test_uncertainty_falls_to_none_with_certainty():
    assert uncertainty(1.0) == 1.0
    assert uncertainty(0.5) > uncertainty(0.9) > 1


def test_contrast_scales_with_the_picture(rng):
    noise = rng.random((90, 110, 3)).astype(np.float32)
    assert contrast(prepare(noise)) > 1
    faint = contrast(prepare(0.4 + 0.2 * noise))
    assert contrast(prepare(0.4 + 0.15 * noise)) == pytest.approx(0.75 * faint, rel=0.02)
    assert 0 < contrast(prepare(np.full((30, 30), 0.5))) < 0.01


def test_weights_fall_with_the_contrast_and_lam_r_the_most(rng):
    noise, clear = rng.random((90, 110)).astype(np.float32), udg.RAIN_WEIGHTS
    assert for_contrast(clear, contrast(prepare(noise))) == clear
    for part in (0.12, 0.07, 0.03, 0.01):
        image = prepare(0.4 + part * noise)
        factor = contrast(image)
        assert factor < 1
        found = for_contrast(clear, factor)
        assert found.lam_y / clear.lam_y == pytest.approx(max(0.25, factor))
        assert found.tau / found.lam_y == pytest.approx(clear.tau / clear.lam_y)
        wider = (found.lam_y / found.lam_r) / (clear.lam_y / clear.lam_r)
        assert wider == pytest.approx(min(4, max(1, 0.4 / factor)))
        longer = (found.lam_x / found.lam_y) / (clear.lam_x / clear.lam_y)
        assert longer == pytest.approx(wider**0.25)
        assert for_contrast(clear, factor, widen=False) == clear.scaled(max(0.25, factor))


def test_rain_out_of_focus_is_taken():
    """Wide, faint streaks on a hazy scene; a short stroke as wide stays."""
    from scipy.ndimage import gaussian_filter1d

    streaks = udg.render_streaks((160, 240), density=0.05, length=80, seed=2)
    rain = gaussian_filter1d(0.06 * streaks, 3, axis=1)
    rows = np.arange(160)[:, None] + np.zeros((1, 240))
    scene = (0.3 + 0.05 * np.sin(rows / 25)).astype(np.float32)
    scene[70:85, 110:114] += 0.1
    image, weights = scene + rain, udg.RAIN_WEIGHTS
    found = for_contrast(weights, contrast(prepare(image)))
    same, wide = (
        udg.solve(image, w.tau, w.lam_x, w.lam_y, lam_r=w.lam_r, angle=0, stages=4).rain
        for w in (weights.scaled(found.lam_y / weights.lam_y), found)
    )
    default = udg.solve(image, angle=0)
    assert default.weights == found
    assert np.corrcoef(wide.ravel(), rain.ravel())[0, 1] > 0.8
    assert wide.sum() > 1.3 * same.sum()
    assert wide[70:85, 110:114].mean() < 0.03


def test_faint_picture_is_decomposed_like_a_contrasty_one(rainy):
    """Half the light in and half the weights: half of everything out."""
    weights = udg.RAIN_WEIGHTS
    full, half = (
        udg.minimize(udg.Problem(c * rainy, weights.scaled(c)), udg.PrimalDual(), tol=1e-4)
        for c in (1.0, 0.5)
    )
    assert half.objective == pytest.approx(full.objective / 4, rel=1e-3)
    np.testing.assert_allclose(half.estimate.R, full.estimate.R / 2, atol=0.01)


def test_black_bars_do_not_count():
    """A film's frame in a screenshot is judged as by itself."""
    clean = (data.camera()[::2, ::2] / 255).astype(np.float32)
    rainy = udg.synthesize(clean, angle=0, density=0.04, intensity=0.3, seed=0).rainy
    bars = np.zeros((256, 80), np.float32)
    barred = np.concatenate([bars, rainy, bars], axis=1)
    alone, framed = (prepare(picture) for picture in (rainy, barred))
    inside, outside = (evidence(picture, 0.0, 0.5) for picture in (alone, framed))
    assert outside.logit == pytest.approx(inside.logit, abs=1.5)
    # What lines look like is compared with the whole picture's, bars and all.
    np.testing.assert_allclose(outside.streak_logit, inside.streak_logit, atol=0.5)
    np.testing.assert_allclose(
        outside._replace(streak_logit=0), inside._replace(streak_logit=0), atol=0.2
    )
