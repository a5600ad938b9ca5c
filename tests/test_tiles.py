"""Tiles: a partition of unity, decisions of the whole picture, the same answer as in one piece."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import udg
from udg import InvalidImage, InvalidInput
from udg.detection import rain_level, weights
from udg.detection.angle import estimate_angle
from udg.imaging.image import BlockMeans, prepare
from udg.pipeline import planning, survey
from udg.pipeline.options import resolve
from udg.pipeline.stages import decide, schedule, solve_window

STEP = 1 / 255


@pytest.fixture(scope="module")
def street() -> np.ndarray:
    """A grey picture with a soft scene and rain at 15°, uint8, larger than the tiles below."""
    rows, columns = np.mgrid[:150, :210]
    scene = 0.35 + 0.2 * np.sin(rows / 19) * np.cos(columns / 23) + 0.15 * (rows + columns > 160)
    rainy = udg.synthesize(scene.astype(np.float32), angle=15, seed=2, length=12).rainy
    return (255 * rainy).round().astype(np.uint8)


def rain_of(image: np.ndarray, **options) -> np.ndarray:
    rain = np.empty(image.shape[:2], np.float32)
    udg.solve_tiles(image, rain=rain, **options)
    return rain


# Planning


@given(
    height=st.integers(2, 400),
    width=st.integers(2, 400),
    tile=st.integers(16, 150),
    part=st.floats(0, 1 / 3),
)
def test_weights_sum_to_one_everywhere(height, width, tile, part):
    total = np.zeros((height, width))
    plan = planning.plan((height, width), tile, int(part * tile))
    for number, one in enumerate(plan):
        assert one.number == number
        assert max(one.shape) <= tile
        assert one.weights().shape == one.shape
        assert one.weights().min() >= 0
        total[one.window] += one.weights()
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_picture_that_fits_is_one_tile():
    (only,) = planning.plan((64, 50, 3), 64, 20)
    assert only.window == (slice(0, 64), slice(0, 50))
    assert (only.weights() == 1).all()


def test_tiles_are_of_nearly_one_size():
    sides = {side for one in planning.plan((1000, 1700), 300, 60) for side in one.shape}
    assert max(sides) - min(sides) < 30


@pytest.mark.parametrize(
    ("tile", "overlap", "message"),
    [(8, 0, "tile is 8"), (64, -1, "overlap is -1"), (64, 30, "third"), (64.0, 8, "tile is 64.0")],
)
def test_a_plan_that_makes_no_sense_is_refused(tile, overlap, message):
    with pytest.raises(InvalidInput, match=message):
        planning.plan((100, 100), tile, overlap)


# What the whole picture decides


@given(height=st.integers(5, 60), width=st.integers(5, 60), step=st.integers(1, 7))
def test_block_means_of_strips_are_those_of_the_whole(height, width, step):
    step = min(step, height, width)
    picture = np.random.default_rng(height * width).random((height, width, 3), np.float32)
    means = BlockMeans(picture.shape, step)
    for top in range(0, height, 3):
        means.add(top, picture[top : top + 3])
    rows, columns = height // step, width // step
    blocks = picture[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    np.testing.assert_allclose(means.result(), blocks.mean(axis=(1, 3)), atol=1e-5)


@pytest.mark.parametrize("shape", [(300, 400), (1000, 1600)])
def test_a_survey_by_strips_decides_as_the_whole_picture_does(shape, monkeypatch):
    monkeypatch.setattr(survey, "_AT_ONCE", 70 * shape[1])
    rng = np.random.default_rng(5)
    scene = np.kron(rng.random((shape[0] // 20, shape[1] // 20, 3)), np.ones((20, 20, 1)))
    image = udg.synthesize((0.6 * scene).astype(np.float32), angle=-12, seed=1).rainy
    overview, whole = survey.survey(image), prepare(image)
    np.testing.assert_allclose(overview.thumbnail, whole.thumbnail, atol=1e-5)
    assert weights.contrast(overview) == pytest.approx(weights.contrast(whole), rel=1e-4)
    there, here = estimate_angle(overview.luma()), estimate_angle(whole.luma())
    assert there == pytest.approx(here, abs=1e-3)
    found = rain_level.evidence(overview, *there).logit
    assert found == pytest.approx(rain_level.evidence(whole, *here).logit, abs=1e-2)


# The same as in one piece


@pytest.mark.parametrize(("angle", "percent"), [(0, 100), (15, 99.8)])
def test_tiles_and_the_whole_agree_within_a_grey_level(street, angle, percent):
    """Where streaks are oblique, tiles as small as these end beside a reflection that bends."""
    options = {"angle": angle, "stages": 1, "tol": 1e-4, "lam_r": 0.01}
    whole = udg.solve(street, **options).rain
    assert whole.max() > 0.1
    tiled = rain_of(street, tile=144, overlap=48, **options)
    assert np.percentile(np.abs(tiled - whole), percent) < STEP


def test_stages_agree_but_for_single_streaks(street):
    options = {"angle": 0, "tol": 1e-4}
    difference = np.abs(
        rain_of(street, tile=120, overlap=40, **options) - udg.solve(street, **options).rain
    )
    # Lines are looked at further than these overlap.
    assert np.percentile(difference, 98) < 1.25 * STEP


def test_stripes_agree(street):
    stripes = (np.arange(street.shape[1]) % 9 < 2) * 0.08
    image = np.clip(street / 255 * 0.8 + stripes, 0, 1).astype(np.float32)
    options = {"angle": 0, "model": "signed", "tol": 1e-3}
    whole = udg.solve(image, **options).rain
    tiled = rain_of(image, tile=96, overlap=32, **options)
    assert np.abs(tiled - whole).mean() < 0.1 * np.abs(whole).mean()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": "stripes"},
        {"model": "stripes", "lam_r": 0.0},
        {"convergence": 8.0, "angle": 5},
    ],
    ids=["rain", "stripes", "without sparsity", "convergence"],
)
@pytest.mark.parametrize("shape", [(150, 210), (200, 300, 3)])
def test_one_tile_is_the_picture_at_default_options(shape, options):
    scene = np.full(shape, 0.35, np.float32)
    scene[20:90, 50:120] += 0.2
    image = udg.synthesize(scene, angle=30, seed=2, density=0.1).rainy
    result, whole = udg.solve_tiles(image, **options), udg.solve(image, **options)
    assert result.tiles == 1
    assert len(result.stages) == len(whole.stages)
    assert np.abs(result.derained - whole.derained).max() <= 1e-4


def test_many_tiles_are_the_picture_at_default_options():
    """What differs is what a tile cannot see; the borders are the whole picture's."""
    rows, columns = np.mgrid[:400, :520]
    scene = (0.35 + 0.1 * np.sin(rows / 31) * np.cos(columns / 23)).astype(np.float32)
    scene[100:220, 150:330] += 0.2
    image = udg.synthesize(scene, angle=12, seed=2, density=0.08).rainy
    whole, tiled = udg.solve(image), udg.solve_tiles(image, tile=300, overlap=100)
    assert tiled.tiles == 6
    difference = np.abs(tiled.derained - whole.derained)
    assert np.percentile(difference, 99.5) < STEP
    # A single stage, where reweighting does not amplify anything: 2 grey levels if tiles' frames
    # ended with the tiles.
    border = np.ones(difference.shape, bool)
    border[12:-12, 12:-12] = False
    options = {"stages": 1, "angle": 12}
    whole, tiled = udg.solve(image, **options), udg.solve_tiles(image, tile=300, **options)
    assert np.abs(tiled.derained - whole.derained)[border].max() < 0.5 * STEP


@pytest.mark.parametrize("gauge", ["median", "mean"])
def test_stripes_have_one_gauge_in_all_tiles(gauge):
    """Tiles on their own would each have their own constant."""
    rows, columns = np.indices((200, 300))
    scene = 0.3 + 0.3 * (columns > 140) + 0.1 * np.sin(rows / 30)
    image = (scene + 0.03 * np.random.default_rng(1).normal(size=200)[:, None]).astype(np.float32)
    options = {"model": "stripes", "angle": 90, "lam_r": 0.0, "gauge": gauge, "tol": 1e-3}
    whole = udg.solve(image, **options).rain
    tiled = rain_of(image, tile=120, overlap=40, **options)
    statistic = {"median": np.median, "mean": np.mean}[gauge]
    assert statistic(tiled) == pytest.approx(0, abs=2e-4)  # 200 stripes: medians are that far apart
    blocks = [(tiled - whole)[top : top + 50, left : left + 50].mean()
              for top in (0, 75, 150) for left in (0, 125, 250)]  # fmt: skip
    assert np.ptp(blocks) < 2 * STEP


def test_facts_are_those_of_the_whole_picture(street):
    result = udg.solve_tiles(street, tile=96, overlap=32)
    whole = udg.solve(street)
    assert result.weights.lam_x == pytest.approx(whole.weights.lam_x, rel=1e-4)
    assert result.tiles == len(result.angles) == 6
    assert set(result.angles) == {result.angle}
    assert result.reason == "gap"
    assert 0 < result.gap <= 1e-2
    assert max(result.tile_shape) <= 96


def test_layers_are_taken_out_one_after_the_other(street):
    second = udg.synthesize(street, angle=-25, seed=4, length=12).rainy.round().astype(np.uint8)
    options = {"angle": [15, -25], "tol": 1e-3, "stages": 1}
    rain = np.empty(second.shape, np.float32)
    result = udg.solve_tiles(second, rain=rain, tile=144, overlap=48, **options)
    whole = udg.solve(second, **options)
    assert [layer.angle for layer in result.layers] == [15, -25]
    assert np.percentile(np.abs(rain - whole.rain), 99) < STEP
    assert np.percentile(np.abs(result.derained - whole.derained), 99) < 1


def test_layers_are_looked_for_until_none_is_new(street):
    result = udg.solve_tiles(street, tile=96, overlap=32, n_layers="auto", tol=0.1)
    assert len(result.layers) == len(udg.solve(street, n_layers="auto", tol=0.1).layers)


def test_each_tile_may_have_its_own_angle():
    scene = np.full((128, 256), 0.3, np.float32)
    left = udg.synthesize(scene, angle=-25, seed=1).rainy
    right = udg.synthesize(scene, angle=25, seed=1).rainy
    image = np.concatenate([left[:, :128], right[:, 128:]], axis=1)
    result = udg.solve_tiles(image, tile=144, overlap=16, angle_per_tile=True, rain_level=1)
    assert result.angles == pytest.approx((-25, 25), abs=3)


# Types


def test_integers_are_rounded_and_alpha_is_not_touched(street, rng):
    alpha = rng.integers(0, 256, street.shape, dtype=np.uint8)
    image = np.dstack([street, street // 2 + 40, 255 - street // 3, alpha])
    options = {"tile": 96, "overlap": 32, "angle": 15, "rain_level": 1, "tol": 0.1}
    exact = udg.solve_tiles(image, **options).derained
    assert exact.dtype == np.float32
    for dtype, scale in ((np.uint8, 1), (np.uint16, 257)):
        target = udg.solve_tiles(image, np.empty(image.shape, dtype), **options).derained
        np.testing.assert_array_equal(target, np.rint(exact * np.float32(scale)).astype(dtype))
        np.testing.assert_array_equal(target[..., 3], alpha * np.uint16(scale))


def test_sixteen_bits_with_a_range_of_their_own(street):
    image = street.astype(np.uint16) * 16
    options = {"tile": 96, "overlap": 32, "angle": 15, "tol": 0.1}
    target = np.empty_like(image)
    udg.solve_tiles(image, target, data_range=4080, **options)
    eight = udg.solve_tiles(street, **options).derained
    np.testing.assert_allclose(target, eight * 16, atol=0.6)


def test_rain_of_both_signs_is_stored_around_the_middle(street):
    options = {"tile": 96, "overlap": 32, "angle": 0, "model": "signed", "tol": 0.1}
    exact = rain_of(street, **options)
    layer = np.empty(street.shape, np.uint16)
    udg.solve_tiles(street, rain=layer, **options)
    assert exact.min() < 0
    np.testing.assert_allclose(layer / 65535, exact / 2 + 0.5, atol=1e-5)


def test_without_rain_the_picture_comes_back(street):
    result = udg.solve_tiles(street, np.empty_like(street), tile=96, overlap=32, rain_level=0)
    np.testing.assert_array_equal(result.derained, street)
    assert (result.iterations, result.gap) == (0, 0)


def test_a_list_and_a_memory_map_are_pictures(street, tmp_path):
    options = {"tile": 96, "overlap": 32, "angle": 15, "tol": 0.1}
    mapped = np.memmap(tmp_path / "pixels", np.uint8, "w+", shape=street.shape)
    mapped[:] = street
    expected = rain_of(street, **options)
    np.testing.assert_array_equal(rain_of(mapped, **options), expected)
    listed = udg.solve_tiles((street / 255).tolist(), **options)
    np.testing.assert_allclose(listed.derained, street / 255 - expected, atol=2e-3)


def test_progress_tells_stage_and_part(street):
    seen = []
    options = {"tile": 96, "overlap": 32, "angle": 0, "tol": 0.1}
    udg.solve_tiles(street, **options, callback=seen.append)
    assert [now.step for now in seen] == ["deciding", *["solving"] * 14, "finishing"]
    assert [now.stage for now in seen[1:-1]] == [stage for stage in (1, 2) for _ in range(7)]
    assert {now.stages for now in seen[1:]} == {2}
    fractions = [now.fraction for now in seen]
    assert fractions == sorted(fractions)
    assert (fractions[0], fractions[-1]) == (0, 1)


def test_running_out_of_iterations_is_said(street):
    result = udg.solve_tiles(street, tile=96, overlap=32, angle=0, tol=1e-6, max_iter=60, stages=4)
    assert result.reason == "max_iter"
    assert result.iterations == pytest.approx(120)  # 60 for each round


def test_heavy_rain_changes_the_weights_as_in_one_piece():
    clean = np.full((144, 192), 0.2, np.float32)
    pouring = udg.synthesize(clean, angle=8, density=0.4, intensity=0.6, seed=2, blend="add").rainy
    whole, tiled = udg.solve(pouring), udg.solve_tiles(pouring, tile=96, overlap=32)
    assert whole.weights.lam_r < 0.9 * udg.solve(pouring, angle=whole.angle).weights.lam_r
    assert tiled.weights.lam_r == pytest.approx(whole.weights.lam_r, rel=1e-3)
    assert np.abs(tiled.derained - whole.derained).mean() < 0.01
    sizes = udg.solve(pouring, widest=10).weights
    assert udg.model.sizes.widest_streak(sizes) == pytest.approx(10)  # what was asked for stays


def test_decisions_can_be_sent_to_another_process(street):
    request = resolve(15.0, lam_x=0.1)
    decision = decide(prepare(street), request, 15.0)
    stage = schedule(request.options, decision)[0]
    window = slice(0, 60), slice(10, 80)
    here, there = (
        solve_window(street[window], window, known, stage)
        for known in (decision, pickle.loads(pickle.dumps(decision)))
    )
    np.testing.assert_array_equal(here.rain, there.rain)


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": True}, "history is for udg.solve"),
        ({"angle_per_tile": True, "angle": 3}, "angle_per_tile is for"),
        ({"target": np.empty((3, 3))}, "target has shape"),
        ({"rain": np.empty((3, 3))}, "rain has shape"),
        ({"angle": 60}, "within ±45"),
        ({"stages": 0}, "stages is 0"),
    ],
)
def test_wrong_arguments_are_refused(street, options, message):
    with pytest.raises(InvalidInput, match=message):
        udg.solve_tiles(street, **options)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros(5), "1 dimensions"),
        (np.full((40, 40), np.nan), "NaN"),
        (np.full((40, 40), 3.0), "outside"),
        (np.zeros((40, 40), np.int32), "int32"),
    ],
)
def test_wrong_pictures_are_refused(image, message):
    with pytest.raises(InvalidImage, match=message):
        udg.solve_tiles(image)


def test_reduced_is_the_picture_shrunk(street, monkeypatch):
    monkeypatch.setattr(survey, "_AT_ONCE", 1000)  # in many strips
    colours = np.stack([street, street // 2, street // 3, street], axis=2)
    small = survey.reduced(colours, 100)
    assert small.shape == (71, 100, 3)
    np.testing.assert_allclose(small[..., 1].mean(), (street // 2).mean() / 255, rtol=0.01)
    same = survey.reduced(colours, 1000)
    np.testing.assert_allclose(same, colours[..., :3] / np.float32(255), rtol=1e-6)


def test_coloured_light_is_decided_for_the_whole_picture(street):
    sodium = street[:, :, None] / np.float32(255) * np.float32([1, 0.5, 0.04])
    options = {"angle": 10, "stages": 1, "tol": 1e-3}
    whole = udg.solve(sodium, **options)
    one = udg.solve_tiles(sodium, **options)
    np.testing.assert_allclose(one.derained, whole.derained, atol=1e-5)
    tiled = udg.solve_tiles(sodium, tile=120, overlap=40, **options)
    assert np.percentile(np.abs(tiled.derained - whole.derained), 99) < 1 / 255
    np.testing.assert_allclose(tiled.thumbnail.after, tiled.derained, atol=1e-5)
    layers = udg.solve_tiles(sodium, **{**options, "angle": [10, -20]})
    expected = udg.solve(sodium, **{**options, "angle": [10, -20]})
    np.testing.assert_allclose(layers.derained, expected.derained, atol=1e-3)
