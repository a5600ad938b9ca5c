"""Dask arrays: the graph gives what tiles give, and nothing is computed before it is asked for."""

import sys

import dask
import dask.array as da
import numpy as np
import pytest

import udg
from udg.errors import InvalidImage, InvalidInput, MissingExtra
from udg.imaging.image import prepare
from udg.pipeline import dask as blocks
from udg.pipeline.planning import Span, plan
from udg.pipeline.tiles import solve_tiles

TILE, OVERLAP = 72, 16


def picture(shape=(120, 150, 3), dtype=np.uint8, angle=8.0, seed=2):
    """A rainy picture; a fourth channel is an alpha that is not even."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    scene = 0.35 + 0.15 * np.sin(y / 11) * np.cos(x / 13) + 0.1 * (y + x > 150)
    rainy = udg.synthesize(scene.astype(np.float32), angle=angle, seed=seed).rainy
    if len(shape) == 3:
        rainy = np.stack([rainy, 0.9 * rainy, 0.8 * rainy, (x + y) % 7 / 6][: shape[2]], axis=2)
    if np.dtype(dtype).kind == "f":
        return rainy.astype(dtype)
    return np.rint(rainy * np.iinfo(dtype).max).astype(dtype)


def as_tiles_are(array):
    """A Dask array whose chunks, with their overlap, are the tiles that `plan` cuts."""
    sides = []
    for axis in ("rows", "columns"):
        spans = sorted({getattr(tile, axis) for tile in plan(array.shape, TILE, OVERLAP)})
        borders = [0, *(span.start + OVERLAP // 2 for span in spans[1:]), spans[-1].stop]
        sides.append(tuple(np.diff(borders).tolist()))
    return da.from_array(array, chunks=(*sides, *(1,) * (array.ndim - 2)))


def computed(result, scheduler="sync"):
    return dask.compute(result, scheduler=scheduler)[0]


def assert_like_tiles(array, scheduler="sync", **options):
    """Everything that `solve_blocks` gives is what `solve_tiles` gives."""
    rain = np.empty(array.shape[:2], np.float32)
    there = solve_tiles(array, rain=rain, tile=TILE, overlap=OVERLAP, **options)
    here = computed(udg.solve_blocks(as_tiles_are(array), overlap=OVERLAP, **options), scheduler)
    low, high = options.get("data_range", (0, 1))
    full = high - low if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    # What differs is reweighted anew by every further round and direction.
    further = options.get("stages", 4) > 4 or isinstance(options.get("angle"), list)
    close = 5e-4 if further else 1e-4
    np.testing.assert_allclose(here.rain, rain, atol=close)
    np.testing.assert_allclose(here.derained / full, there.derained / full, atol=close)
    assert here.angle == pytest.approx(there.angle, abs=1e-3)
    assert here.rain_level == pytest.approx(there.rain_level, abs=1e-3)
    assert here.gap == pytest.approx(there.gap, rel=1e-2, abs=1e-9)
    assert rain.max() > 0.05
    return here, there


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_equals_tiles(scheduler):
    here, there = assert_like_tiles(picture(), scheduler)
    assert there.tiles == 6
    assert here.derained.dtype == np.float32
    assert here.layers == ()


@pytest.mark.parametrize(
    ("array", "options"),
    [
        (picture((120, 150), np.float32), {"angle": 0, "stages": 1}),
        (picture((90, 150, 1), np.float64), {"angle": 8, "rain_level": 0.5}),
        (picture((120, 100, 4), np.uint16), {"angle": 8.0, "strength": 0.7}),
        (picture((120, 100, 2), np.uint8), {"angle": 8.0, "max_iter": 100}),
        (picture((120, 100, 3), np.float32) * 50 + 10, {"data_range": (10.0, 60.0)}),
        (picture((120, 100)), {"model": "signed", "angle": 8, "max_iter": 200, "tol": 0.1}),
        (picture(), {"angle_per_tile": True, "stages": 6}),
        (picture(dtype=np.float32) * np.float32([1, 0.5, 0.04]), {"angle": [8.0, -20.0]}),
    ],
)
def test_equals_tiles_for_every_kind_of_picture_and_option(array, options):
    assert_like_tiles(array, **options)


def test_several_directions_equal_tiles():
    array = picture((120, 100, 3), np.uint8)
    here, there = assert_like_tiles(array, angle=[8, -20])
    assert [float(layer.angle) for layer in here.layers] == [8, -20]
    assert len(there.layers) == 2
    last, together = (prepare(one.derained, 255).luma() for one in (here.layers[1], here))
    assert np.quantile(np.abs(last - together), 0.99) < 1 / 255  # colours out of range are cut off
    np.testing.assert_allclose(sum(layer.rain for layer in here.layers), here.rain)


def test_layers_that_are_not_found_are_empty():
    array = picture((120, 100, 3), np.uint8)
    here, there = assert_like_tiles(array, n_layers="auto")
    levels = [float(layer.rain_level) for layer in here.layers]
    found = there.layers or (there,)
    assert levels == pytest.approx([layer.rain_level for layer in found] + [0] * (4 - len(found)))
    assert not here.layers[-1].rain.any()


@pytest.mark.parametrize(("angle", "part"), [(0, 1.0), (8, 0.999)])
def test_near_the_whole(angle, part):
    """With one pass only seams can differ, and interpolation beside the brightest pixels."""
    array = picture((180, 200, 3))
    options = {"angle": angle, "stages": 1, "tol": 1e-3, "lam_r": 0.01}
    whole = udg.solve(array, **options)
    chunked = da.from_array(array, chunks=(90, 100, 3))
    here = computed(udg.solve_blocks(chunked, overlap=40, **options))
    difference = np.abs(here.derained - whole.derained)  # in grey levels
    assert np.quantile(difference, part) < 1
    assert np.abs(array - whole.derained).max() > 40
    assert here.gap <= 1e-3


def test_one_chunk_is_the_whole():
    array = picture((60, 70, 3))
    options = {"angle": 8, "tol": 1e-4}  # they start their second pass at different duals
    result = computed(udg.solve_blocks(da.from_array(array, chunks=-1), **options))
    difference = np.abs(result.derained - udg.solve(array, **options).derained)  # in grey levels
    assert np.quantile(difference, 0.99) < 0.25
    assert difference.max() < 3  # each round sparsity_maps anew what differs


def test_a_dry_picture_comes_back_untouched():
    y, x = np.mgrid[:96, :128]
    smooth = np.stack([60 + x, 80 + y, 200 - x], axis=2).astype(np.uint8)
    result = computed(udg.solve_blocks(da.from_array(smooth, chunks=48), overlap=8))
    assert result.rain_level == 0
    assert result.gap == 0
    np.testing.assert_array_equal(result.derained, smooth)


# Lazily


def fails(block):
    raise AssertionError("computed")


def test_nothing_is_computed_before_it_is_asked_for():
    array = da.zeros((100, 120, 3), chunks=50, dtype=np.uint8)
    array = array.map_blocks(fails, dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))
    result = udg.solve_blocks(array, overlap=8, n_layers=2)
    for pixels, shape in ((result.derained, (100, 120, 3)), (result.rain, (100, 120))):
        assert isinstance(pixels, da.Array)
        assert (pixels.shape, pixels.dtype, pixels._meta.dtype) == (shape, np.float32, np.float32)
        assert pixels._meta.ndim == len(shape)
    for number in (result.angle, result.rain_level, result.gap):
        assert (number.shape, number.dtype) == ((), np.float64)
    with pytest.raises(AssertionError, match="computed"):
        result.angle.compute(scheduler="sync")


def test_a_given_angle_needs_no_rain_and_a_chunk_only_its_tiles(monkeypatch):
    array = da.from_array(picture((120, 480)), chunks=120)
    result = udg.solve_blocks(array, overlap=8, stages=1)
    solved = []
    real = blocks.solve_window
    monkeypatch.setattr(
        blocks, "solve_window", lambda *given: (solved.append(given[1][1].start), real(*given))[1]
    )
    assert abs(float(result.angle.compute(scheduler="sync")) - 8) < 2
    assert solved == []
    result.derained[:, :50].compute(scheduler="sync")
    assert sorted(solved) == [0, 116]


def test_values_that_cannot_be_used_are_found_when_computed():
    array = picture((60, 70), np.float32)
    array[40, 50] = np.nan
    result = udg.solve_blocks(da.from_array(array, chunks=30), overlap=8)
    with pytest.raises(InvalidImage, match="NaN"):
        result.derained.compute(scheduler="sync")


def test_names_are_those_of_the_same_question():
    array = da.from_array(picture((60, 70)), chunks=40)

    def names(**options):
        result = udg.solve_blocks(array, overlap=8, **options)
        return {result.derained.name, result.rain.name, result.gap.name, result.angle.name}

    assert names(angle=3) == names(angle=3)
    assert not names(angle=3) & names(angle=4)
    assert not names(angle=3) & names(angle=3, tau=0.01)


# Chunks


def test_uneven_and_small_chunks():
    array = picture((100, 131, 3))
    chunks = ((1, 47, 2, 50), (60, 5, 66), (1, 2))
    result = udg.solve_blocks(da.from_array(array, chunks=chunks), overlap=9, angle=8)
    assert result.derained.chunks == chunks
    assert result.rain.chunks == chunks[:2]
    joined = ((48, 52), (60, 71), (3,))
    same = udg.solve_blocks(da.from_array(array, chunks=joined), overlap=9, angle=8)
    np.testing.assert_array_equal(computed(result).derained, computed(same).derained)


@pytest.mark.parametrize(
    ("chunks", "least", "expected"),
    [
        ((10, 10, 10), 10, (10, 10, 10)),
        ((3, 3, 3, 20, 2), 6, (6, 23 + 2)),
        ((1, 1), 6, (2,)),
        ((4, 9, 1), 5, (13 + 1,)),
        ((7,), 5, (7,)),
    ],
)
def test_joined(chunks, least, expected):
    assert blocks._joined(chunks, least) == expected


def test_spans_overlap_around_the_borders():
    assert blocks._spans((30, 40, 20), 9) == [
        (Span(0, 35, 0, 9), slice(0, 30)),
        (Span(26, 75, 9, 9), slice(30, 70)),
        (Span(66, 90, 9, 0), slice(70, 90)),
    ]


@pytest.mark.parametrize("step", [1, 3, 7, 50])
def test_block_means_of_chunks(step, rng):
    array = rng.random((57, 64, 2), dtype=np.float32)
    means = blocks._means(da.from_array(array, chunks=((20, 3, 34), (33, 31), 2)), step)
    rows, columns = 57 // step, 64 // step
    expected = array[: rows * step, : columns * step].reshape(rows, step, columns, step, 2)
    assert means.shape == (rows, columns, 2)
    np.testing.assert_allclose(means.compute(scheduler="sync"), expected.mean((1, 3)), rtol=1e-5)


# Errors


@pytest.mark.parametrize(
    ("array", "options", "error", "message"),
    [
        (np.zeros((20, 20)), {}, InvalidInput, "this is ndarray; make it one with"),
        (da.zeros(9), {}, InvalidImage, "1 dimensions"),
        (da.zeros((1, 9)), {}, InvalidImage, "at least 2"),
        (da.zeros((20, 20), dtype=complex), {}, InvalidImage, "complex"),
        (da.zeros((20, 20), dtype=np.int32), {}, InvalidImage, "data_range"),
        (da.zeros((20, 20)), {"data_range": (1.0, 1.0)}, InvalidImage, "low < high"),
        (da.zeros((20, 20)), {"overlap": -1}, InvalidInput, "overlap is -1"),
        (da.zeros((20, 20)), {"overlap": 2.5}, InvalidInput, "overlap is 2.5"),
        (da.zeros((20, 20)), {"angle": 60}, InvalidInput, "within ±45"),
        (da.zeros((20, 20)), {"rain_level": 2}, InvalidInput, "rain_level is 2"),
        (da.zeros((20, 20)), {"tol": -1}, InvalidInput, "tol is -1"),
        (da.zeros((20, 20)), {"history": True}, InvalidInput, "history is for udg.solve"),
        (da.zeros((20, 20)), {"n_layers": 2, "angle_per_tile": True}, InvalidInput, "one layer"),
    ],
)
def test_errors_come_with_the_call(array, options, error, message):
    with pytest.raises(error, match=message):
        udg.solve_blocks(array, **options)


def test_unknown_shape():
    array = da.ones((20, 20), chunks=10)
    with pytest.raises(InvalidInput, match="compute_chunk_sizes"):
        udg.solve_blocks(array[array[:, 0] > 0])


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.array", None)
    monkeypatch.setitem(sys.modules, "dask", None)
    with pytest.raises(MissingExtra, match=r"udg\[dask\]"):
        udg.solve_blocks(np.zeros((20, 20)))
