from dataclasses import asdict

import numpy as np
import pytest

import udg
from udg import InvalidImage, InvalidInput
from udg.imaging.chroma import restore_chroma
from udg.imaging.geometry import rotated_shape
from udg.imaging.image import prepare


@pytest.fixture(scope="module")
def scene():
    """Clean RGB picture, the same with rain at 12°, and the rain; floats in [0, 1]."""
    rows, columns = np.mgrid[:120, :150]
    grey = 0.35 + 0.15 * np.sin(rows / 23) * np.cos(columns / 19)
    grey[(rows - 60) ** 2 + (columns - 75) ** 2 < 700] += 0.2
    clean = np.stack([grey, 0.9 * grey, 0.8 * grey], axis=-1).astype(np.float32)
    rainy, rain = udg.synthesize(clean, angle=12, density=0.1, intensity=0.35, seed=4, blend="add")
    return clean, rainy, rain


def test_rain_goes_and_the_scene_stays(scene):
    clean, rainy, rain = scene
    result = udg.solve(rainy)
    assert abs(result.angle - 12) < 2
    assert udg.psnr_y(result.derained, clean) > udg.psnr_y(rainy, clean) + 6
    assert np.corrcoef(result.rain.ravel(), rain.ravel())[0, 1] > 0.9
    assert result.gap <= 1e-2
    assert result.reason == "gap"


def test_result_is_what_it_says(scene):
    _, rainy, _ = scene
    result = udg.solve(rainy, angle=12, history=True)
    assert result.derained.shape == rainy.shape
    assert result.rain.shape == result.background.shape == rainy.shape[:2]
    assert {result.derained.dtype, result.rain.dtype, result.background.dtype} == {
        np.dtype(np.float32)
    }
    assert result.confidence is None
    taken = np.clip(rainy - result.rain[..., None], 0, 1)
    np.testing.assert_allclose(result.derained, restore_chroma(taken, result.rain), atol=1e-6)
    luma, kept = (prepare(one).luma() for one in (taken, result.derained))
    np.testing.assert_allclose(kept, luma, atol=1e-6)
    problem, X, R, duals, _ = result.solved
    assert problem.energy(X, R) == pytest.approx(result.objective)
    from udg.model.duality import dual_bound, relative_gap

    proven = relative_gap(problem, result.objective, dual_bound(problem, duals))
    # The best bound on the way may be better than the last one, which is checked here.
    assert proven >= result.gap * (1 - 1e-5)
    assert proven < 2e-2
    assert result.history[-1].gap == result.gap
    assert result.history[-1].iteration < result.iterations  # the first stages' count as well


@pytest.mark.parametrize("boundary", ["reflecting", "periodic"])
@pytest.mark.parametrize("model", ["rain", "signed"])
def test_methods_agree(model, boundary, rainy):
    options = {"model": model, "boundary": boundary, "angle": 0, "tol": 1e-3, "max_iter": 20_000}
    options["stages"] = 1
    results = [
        udg.solve(rainy, 0.02, 0.15, 0.05, method=method, **options)
        for method in ("primal-dual", "joint")
    ]
    assert results[0].objective == pytest.approx(results[1].objective, rel=2e-3)
    assert abs(results[0].derained - results[1].derained).max() < 0.05


def test_paper_preset_is_the_alternation_with_the_papers_model(rainy):
    by_name = udg.solve(rainy, method="alternating", angle=0, max_iter=2)
    preset = udg.solve(rainy, **udg.PAPER, angle=0, max_iter=2)
    assert by_name.model == preset.model == "signed"
    assert by_name.weights == preset.weights == udg.PAPER_WEIGHTS
    assert by_name.objective == preset.objective
    assert np.median(preset.rain) == pytest.approx(0, abs=1e-6)


def test_frame_is_as_fine_as_what_is_looked_for_whatever_the_method(rainy):
    options = {**udg.PAPER, "angle": 10, "max_iter": 2}
    frames = {
        (method, streaks): udg.solve(
            rainy, **{**options, "method": method, "streaks": streaks}
        ).solved.Y.shape
        for method in ("alternating", "joint")
        for streaks in ("rain", "stripes")
    }
    height, width = rotated_shape(rainy.shape, 10)
    for (_, streaks), shape in frames.items():
        assert shape == (height, width * (2 if streaks == "stripes" else 1))
    with pytest.raises(InvalidInput, match="streaks"):
        udg.solve(rainy, model="rain", streaks="stripes")


def test_gauges_of_the_signed_model(rainy):
    for gauge, statistic in (("mean", np.mean), ("median", np.median)):
        result = udg.solve(rainy, model="signed", angle=0, gauge=gauge, max_iter=50)
        assert statistic(result.rain) == pytest.approx(0, abs=1e-6)
        total = result.rain + result.background
        np.testing.assert_allclose(total, result.solved.R + result.solved.X, atol=1e-6)


@pytest.mark.parametrize("angle", [0, 12.0, "auto"])
@pytest.mark.parametrize("method", ["primal-dual", "joint"])
def test_constant_image_has_no_rain(angle, method):
    image = np.full((40, 50, 3), 128, np.uint8)
    result = udg.solve(image, angle=angle, method=method)
    assert not result.rain.any()
    np.testing.assert_array_equal(result.derained, image)
    assert result.gap == 0


def test_black_image():
    assert not udg.solve(np.zeros((20, 30))).rain.any()


@pytest.mark.parametrize("shape", [(2, 2), (2, 40), (40, 2), (3, 5)])
@pytest.mark.parametrize("angle", [0, 20, "auto"])
def test_tiny_images(shape, angle, rng):
    result = udg.solve(rng.random(shape), angle=angle)
    assert result.derained.shape == shape
    assert np.isfinite(result.derained).all()


def test_kinds_of_pixels_agree(scene):
    _, rainy, _ = scene
    reference = udg.solve(rainy, angle=12)
    for dtype, full in ((np.uint8, 255), (np.uint16, 65535), (np.float64, 1)):
        image = (rainy * full).astype(dtype) if dtype == np.float64 else np.rint(rainy * full)
        result = udg.solve(image.astype(dtype), angle=12)
        assert result.derained.dtype == np.float32
        assert abs(result.derained / full - reference.derained).max() < 0.05  # a level is 0.004
        assert abs(result.derained / full - reference.derained).mean() < 0.002
    grey = udg.solve(rainy[..., 1], angle=12)
    assert grey.derained.shape == rainy.shape[:2]
    alpha = np.linspace(0, 1, 120 * 150, dtype=np.float32).reshape(120, 150, 1)
    with_alpha = udg.solve(np.concatenate([rainy, alpha], axis=2), angle=12)
    np.testing.assert_array_equal(with_alpha.derained[..., 3:], alpha)
    np.testing.assert_array_equal(with_alpha.derained[..., :3], reference.derained)


def test_deterministic_and_read_only_input_unharmed(scene):
    rainy = scene[1].copy()
    rainy.setflags(write=False)
    kept = rainy.copy()
    first, second = udg.solve(rainy), udg.solve(rainy)
    np.testing.assert_array_equal(first.derained, second.derained)
    np.testing.assert_array_equal(rainy, kept)


def test_memory_order_does_not_matter(scene):
    _, rainy, _ = scene
    expected = udg.solve(rainy[..., 0], angle=0).derained
    fortran = np.asfortranarray(rainy[..., 0])
    np.testing.assert_allclose(udg.solve(fortran, angle=0).derained, expected, atol=1e-5)


def test_warm_start_saves_iterations(scene):
    _, rainy, _ = scene
    first = udg.solve(rainy, angle=12, tol=2e-3, stages=1)
    again = udg.solve(rainy, angle=12, tol=3e-3, stages=1, warm_start=first)
    assert again.iterations < first.iterations / 2
    for angle in (25, [12, 20]):
        with pytest.raises(InvalidInput, match="warm_start"):
            udg.solve(rainy, angle=angle, warm_start=first)


def test_weights_push_where_they_should(scene):
    """Each weight pushes in the direction that its documentation gives."""
    _, rainy, _ = scene

    def amount(**weights):
        return udg.solve(rainy, angle=12, tol=2e-3, **weights).rain.sum()

    base = amount()
    assert amount(lam_y=0.1) > base
    assert amount(lam_x=0.6) < base
    assert amount(lam_r=0.04) < base


def test_stop_reasons(rainy):
    assert udg.solve(rainy, angle=0, max_iter=7).reason == "max_iter"
    assert udg.solve(rainy, angle=0, stages=2, max_iter=7).iterations == 7
    assert udg.solve(rainy, angle=0, max_iter=0).iterations == 0
    seen = []

    def stop(progress):
        if progress.checkpoint is not None:
            seen.append(progress.checkpoint)
        return len(seen) == 2

    assert udg.solve(rainy, angle=0, tol=0, stages=1, callback=stop).reason == "callback"
    assert len(seen) == 2
    assert udg.solve(rainy, angle=0).history == ()


def test_history_counts_only_the_iterations_time(rainy):
    import time

    result = udg.solve(
        rainy,
        angle=0,
        tol=0,
        max_iter=200,
        stages=1,
        history=True,
        callback=lambda c: time.sleep(0.05),
    )
    seconds = [c.seconds for c in result.history]
    assert seconds == sorted(seconds)
    assert len(seconds) > 2
    assert result.iteration_seconds == seconds[-1]
    assert result.seconds > result.iteration_seconds + 0.05 * len(seconds)
    assert seconds[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": -1}, "tau"),
        ({"lam_x": 0, "lam_y": 0}, "both 0"),
        ({"lam_r": float("nan")}, "lam_r"),
        ({"angle": float("nan")}, "angle"),
        ({"angle": float("inf")}, "angle"),
        ({"angle": "left"}, "angle"),
        ({"angle": 60}, "stripes"),
        ({"angle_limit": 0}, "limit"),
        ({"model": "snow"}, "model"),
        ({"method": "magic"}, "method"),
        ({"boundary": "zero"}, "boundary"),
        ({"gauge": "mode", "model": "signed"}, "gauge"),
        ({"tol": -1}, "tol"),
        ({"tol": "small"}, "tol"),
        ({"max_iter": -1}, "max_iter"),
        ({"max_iter": 2.5}, "max_iter"),
        ({"strength": 1.1}, "strength"),
        ({"strength": "high"}, "strength"),
        ({"rain_level": 2}, "rain_level"),
        ({"rain_level": "wet"}, "rain_level"),
        ({"stages": 0}, "stages"),
        ({"stages": 3}, "even number"),
        ({"stages": 2, "model": "signed"}, "stages"),
        ({"n_layers": 0}, "n_layers"),
        ({"n_layers": 2, "angle": 5}, "n_layers"),
        ({"angle": []}, "angle"),
        ({"angle": [0, "x"]}, "angle"),
        ({"method": "alternating", "model": "rain"}, "signed"),
    ],
)
def test_bad_arguments_are_named(options, words, rainy):
    with pytest.raises(InvalidInput, match=words):
        udg.solve(rainy, **options)


def test_bad_image_is_refused_before_any_work():
    with pytest.raises(InvalidImage, match="NaN"):
        udg.solve(np.full((10, 10), np.nan))


def test_stripes_at_any_angle():
    rows, columns = np.mgrid[:90, :100]
    clean = 0.5 + 0.2 * np.exp(-((rows - 40) ** 2 + (columns - 55) ** 2) / 500)
    stripes = np.random.default_rng(0).normal(0, 0.03, 90)[:, None]  # one value a row
    result = udg.solve(clean + stripes, 0.01, 1.5, 1.0, model="signed", angle=90)
    # What is left of the steps from row to row; a slow drift could as well be the scene's.
    left = np.diff(result.derained - clean, axis=0)
    assert abs(left).mean() < 0.2 * abs(np.diff(stripes, axis=0)).mean()


# --- rain or not, and how much -------------------------------------------------------------------


@pytest.fixture(scope="module")
def dry():
    """Free photographs without rain, small."""
    from skimage import data

    return [np.ascontiguousarray(image[::2, ::2]) for image in (data.astronaut(), data.chelsea())]


def test_dry_pictures_stay_as_they_are(dry):
    for picture in dry:
        result = udg.solve(picture)
        assert result.rain_level == 0
        assert not result.rain.any()
        np.testing.assert_array_equal(result.derained, picture)


def test_rain_on_the_same_pictures_is_found_and_taken_out(dry):
    for picture in dry:
        rainy = udg.synthesize(picture, angle=-9, density=0.12, seed=2).rainy / 255
        result = udg.solve(rainy)
        assert result.rain_level > 0.5
        assert udg.psnr_y(result.derained, picture) > 1.5 + udg.psnr_y(rainy, picture)


def test_rain_level_can_be_given(dry):
    rainy = udg.synthesize(dry[0], angle=9, seed=2).rainy
    amounts = [
        udg.solve(rainy, data_range=255, rain_level=level).rain.sum() for level in (0, 0.5, 1)
    ]
    assert amounts[0] == 0
    assert amounts[0] < amounts[1] < amounts[2]


def test_strength_is_monotone(scene):
    _, rainy, _ = scene
    amounts = [
        udg.solve(rainy, angle=12, strength=s, tol=2e-3).rain.sum() for s in np.linspace(0, 1, 6)
    ]
    assert (np.diff(amounts) > 0).all()


def test_coloured_lines_are_not_rain():
    image = np.full((90, 90, 3), 0.3, np.float32)
    image[20:70, 20, 0] += 0.3  # red
    image[20:70, 60] += 0.3  # grey
    result = udg.solve(image, angle=0, stages=1)
    assert result.rain[30:60, 20].max() < 0.02
    assert result.rain[30:60, 60].min() > 0.1


def test_layers_take_out_rain_of_several_directions(scene):
    clean, _, _ = scene
    first = udg.synthesize(clean, angle=20, density=0.08, intensity=0.35, seed=1, blend="add")
    both = udg.synthesize(
        first.rainy, angle=-20, density=0.08, intensity=0.35, seed=2, blend="add"
    ).rainy
    one = udg.solve(both, angle=20)
    two = udg.solve(both, angle=[20, -20])
    assert udg.psnr_y(two.derained, clean) > udg.psnr_y(one.derained, clean) + 2
    assert [layer.angle for layer in two.layers] == [20, -20]
    np.testing.assert_allclose(two.rain, sum(layer.rain for layer in two.layers), atol=1e-6)
    found = udg.solve(both, n_layers=2)
    assert sorted(round(layer.angle / 5) for layer in found.layers) == [-4, 4]
    sure = udg.solve(both)
    assert len(sure.layers) == 2
    np.testing.assert_array_equal(sure.derained, udg.solve(both, n_layers="auto").derained)
    assert udg.solve(both, n_layers=1).layers == udg.solve(both, rain_level=1).layers == ()
    assert udg.solve(first.rainy).layers == ()


def test_more_rounds_go_on_with_what_is_left(rainy, monkeypatch):
    # The third stage is no draft.
    monkeypatch.setattr("udg.pipeline.stages.draft_sparsity", lambda factor, **_: factor)
    options = {"angle": 0, **asdict(udg.RAIN_WEIGHTS)}  # which do not follow the contrast
    two, four = (udg.solve(rainy, **options, stages=count) for count in (2, 4))
    again = udg.solve(two.derained, **options, stages=2)
    np.testing.assert_allclose(four.derained, again.derained, atol=1e-6)
    np.testing.assert_allclose(four.rain, two.rain + again.rain, atol=1e-6)
    np.testing.assert_array_equal(four.background, again.background)
    assert four.iterations == two.iterations + again.iterations
    assert four.gap == again.gap
    assert four.solved.problem.energy(*four.solved[1:3]) == pytest.approx(four.objective)
    assert udg.solve(rainy, angle=0, stages=2, max_iter=3).reason == "max_iter"

    def stop(now):
        return now.checkpoint is not None and now.checkpoint.iteration > 0

    stopped = udg.solve(rainy, angle=0, callback=stop)
    assert stopped.reason == "callback"
    assert stopped.iterations < two.iterations
    several = udg.solve(rainy, angle=[0, 20], callback=stop)
    assert several.layers == ()  # none after the one that was stopped


def test_trace_joins_the_histories_of_all_stages(rainy):
    result = udg.solve(rainy, angle=0, history=True)
    assert len(result.trace) == 2
    first, last = before, last = result.trace
    assert first == result.stages[0].history
    assert [point[2:] for point in last] == [point[2:] for point in result.history]
    assert last[0].iteration == before[-1].iteration
    assert last[-1].iteration == result.iterations
    assert last[-1].seconds == pytest.approx(result.iteration_seconds)
    assert udg.solve(rainy, angle=0).trace == ()
    assert len(udg.solve(rainy, angle=0, stages=1, history=True).trace) == 1


def test_rain_in_coloured_light_goes_as_in_white_light():
    y, x = np.mgrid[:160, :160] / np.float32(160)
    clean = np.stack([0.35 + 0.2 * x, 0.4 + 0.2 * y, 0.45 - 0.1 * x * y], axis=2)
    rainy = udg.synthesize(clean, angle=8, seed=3).rainy
    sodium = np.float32([1, 0.5, 0.04])
    usual, coloured = udg.solve(rainy), udg.solve(rainy * sodium)
    assert usual.rain_level == coloured.rain_level == 1
    left, in_light = (
        np.abs(result.derained - truth).mean() / np.abs(given - truth).mean()
        for result, truth, given in (
            (usual, clean, rainy),
            (coloured, clean * sodium, rainy * sodium),
        )
    )
    assert left < 0.5, left
    assert in_light < 1.4 * left
    assert float(coloured.derained.min()) >= 0


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_usual_light_is_taken_as_it_is(channels, rainy, monkeypatch):
    picture = np.repeat(rainy[:, :, None], channels, axis=2)
    found = udg.solve(picture)
    monkeypatch.setattr("udg.pipeline.stages.estimate_illuminant", lambda thumbnail: None)
    np.testing.assert_array_equal(found.derained, udg.solve(picture).derained)
    np.testing.assert_array_equal(found.derained[..., 0], (picture[..., 0] - found.rain).clip(0, 1))


def test_a_lamp_at_full_light_stays_and_a_bright_streak_goes():
    scene = np.full((120, 140), 0.25, np.float32)
    scene[40:80, 50:90] = 1  # a lamp
    rain = udg.render_streaks(scene.shape, angle=0, density=0.1, intensity=0.4, seed=2)
    rainy = np.clip(scene + rain, 0, 1)
    rainy[20:100, 20:22] = 1  # a streak as bright
    found = udg.solve(rainy, angle=0)
    assert (found.rain[40:80, 54:86] == 0).all()
    assert (found.rain[30:90, 20:22] > 0.6).all()
    assert found.gap <= 0.01


def test_a_dry_picture_is_asked_once(rainy, monkeypatch):
    asked = []
    real = udg.detection.rain_level.evidence
    monkeypatch.setattr(
        udg.detection.rain_level, "evidence", lambda *given: (asked.append(given), real(*given))[1]
    )
    dry = np.full_like(rainy, 0.3)
    assert udg.solve(dry).rain_level == udg.solve_tiles(dry, tile=32).rain_level == 0
    assert len(asked) == 2
