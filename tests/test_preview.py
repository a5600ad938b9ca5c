"""What a result looks like in a notebook and in a terminal."""

import base64
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import udg
from udg.imaging.image import prepare
from udg.viz.preview import Preview, percent, picture_of, rain_gain


@pytest.fixture(scope="module")
def scene():
    """A smooth colour picture in the rain, uint8."""
    rows, columns = np.mgrid[:60, :90]
    clean = np.stack([60 + rows, 40 + columns, 90 + 0 * rows], axis=2).astype(np.uint8)
    return udg.synthesize(clean, angle=8, density=0.1, seed=4).rainy.round().astype(np.uint8)


@pytest.fixture(scope="module")
def result(scene):
    return udg.solve(scene, angle=8)


def decoded(data):
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def panels(data):
    """The three pictures of a PNG with 6 white pixels between them."""
    pixels = decoded(data)
    width = (pixels.shape[1] - 12) // 3
    for gap in (width, 2 * width + 6):
        assert (pixels[:, gap : gap + 6] == 255).all()
    return [pixels[:, k * (width + 6) : k * (width + 6) + width] for k in range(3)]


def test_png_is_before_derained_and_rain(scene, result):
    before, after, rain = panels(result._repr_png_())
    np.testing.assert_array_equal(before, scene)
    np.testing.assert_array_equal(after, np.rint(result.derained).astype(np.uint8))
    light = np.clip(rain_gain(result.rain) * result.rain, 0, 1)
    np.testing.assert_allclose(rain, np.repeat(255 * light[..., None], 3, axis=2), atol=0.51)
    assert rain.max() > 200  # bright enough to be seen


def test_html_has_the_same_pictures_and_says_how_bright_the_rain_is(scene, result):
    page = result._repr_html_()
    addresses = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    pictures = [decoded(base64.b64decode(text)).astype(float) for text in addresses]
    assert len(pictures) == 3
    for picture, expected in zip(pictures, panels(result._repr_png_()), strict=True):
        assert abs(picture - expected).mean() < 6  # JPEG
    assert f"shown {rain_gain(result.rain):.1f}× brighter" in page
    assert "http" not in page


def test_large_pictures_are_shrunk_and_keep_their_mean():
    pixels = np.random.default_rng(0).integers(0, 255, (700, 1000, 3), np.uint8)
    shown = picture_of(prepare(pixels), 320)
    assert shown.shape == (224, 320, 3)
    np.testing.assert_allclose(shown.mean(axis=(0, 1)), pixels.mean(axis=(0, 1)), atol=1)


@pytest.mark.parametrize(
    ("shape", "dtype", "full"),
    [
        ((40, 50), np.float32, 1),
        ((40, 50, 2), np.uint8, 255),
        ((40, 50, 4), np.uint16, 65535),
        ((40, 50, 5), np.float64, 1),
    ],
)
def test_images_of_every_kind_are_shown(shape, dtype, full):
    image = np.full(shape, 0.6 * full).astype(dtype)
    image[:, 25] = full
    result = udg.solve(image, angle=0)
    before, after, _ = panels(result._repr_png_())
    np.testing.assert_allclose(before[:, 5], 153, atol=1)
    assert before.max() == 255
    assert after.max() <= 255


def test_deep_images_that_use_a_part_of_their_range_are_shown_brighter():
    image = np.linspace(100, 900, 40 * 50).reshape(40, 50).astype(np.uint16)
    result = udg.solve(image, angle=0)
    preview = result._preview(320)
    assert preview.before.max() == 255
    assert preview.exposure == pytest.approx(65535 / 896, rel=0.01)
    assert f"before, shown {preview.exposure:.1f}× brighter" in result._repr_html_()
    night = udg.solve((image // 8).astype(np.uint8), angle=0)  # 8 bits are what was meant
    assert night._preview(320).exposure == 1


def test_no_rain_in_stripes_is_middle_grey():
    unit = np.full((20, 30), 0.5, np.float32)
    rain = np.zeros((20, 30), np.float32)
    rain[:, 3], rain[:, 9] = 0.1, -0.1
    preview = Preview.of(prepare(unit), unit - rain, rain, signed=True, side=100)
    columns = preview.rain[0, :, 0]
    assert columns[0] == 128
    assert columns[3] > 200 > 60 > columns[9]
    assert preview.gain == pytest.approx(9)


def test_tiles_keep_a_thumbnail_of_the_same_pictures(scene):
    whole = udg.solve(scene, angle=8)
    tiled = udg.solve_tiles(scene, np.empty_like(scene), tile=100, angle=8)  # a single one
    for ours, theirs in zip(panels(tiled._repr_png_()), panels(whole._repr_png_()), strict=True):
        assert abs(ours.astype(float) - theirs).mean() < 1.5
    several = udg.solve_tiles(scene, tile=48, angle=[8, -10])
    layers = several.thumbnail
    assert layers.before.shape == (60, 90, 3)
    assert 0 <= layers.after.min() < layers.after.max() <= 1
    np.testing.assert_allclose(
        255 * layers.after.mean(), np.asarray(several.derained).mean(), atol=0.05
    )
    assert several.layers[0]._repr_png_() is None
    assert several.layers[0]._repr_html_() is None


def test_thumbnail_of_a_large_picture_is_small():
    picture = np.random.default_rng(1).integers(0, 255, (30, 1500), np.uint8)
    result = udg.solve_tiles(picture, tile=800, rain_level=0)
    assert result.thumbnail.before.shape[:2] == result.thumbnail.rain.shape == (14, 720)
    assert result.rain_level == 0


def test_network_results_show_themselves(scene):
    pytest.importorskip("torch")
    result = udg.net.derain(scene, angle=8)
    before, after, rain = panels(result._repr_png_())
    np.testing.assert_array_equal(before, scene)
    np.testing.assert_array_equal(after, np.rint(result.derained).astype(np.uint8))
    assert rain.shape == before.shape
    assert repr(result).startswith("<NetResult 60×90×3: rain at 8.0°; ")


def test_reprs_say_what_matters_and_no_arrays(scene, result):
    assert re.fullmatch(
        r"<Result 60×90×3: rain 1\.00 at 8\.0°; gap [\d.e-]+ %, \d+ iterations, [\d.e-]+ s>",
        repr(result),
    )
    assert "rain 1.00 at 8.0°, rain 1.00 at -10.0°" in repr(udg.solve(scene, angle=[8, -10]))
    assert "no rain found" in repr(udg.solve(scene, rain_level=0))
    assert "(confidence 0." in repr(udg.solve(scene, rain_level=1))
    assert "stripes at 8.0°" in repr(udg.solve(scene, angle=8, model="signed"))
    tiled = udg.solve_tiles(scene, tile=48, angle=[8, -10])
    assert repr(tiled).endswith("6 tiles>")
    assert repr(tiled.layers[1]).startswith("<TiledResult of one layer: rain 1.00 at -10.0°; gap")
    height, width = result.solved.Y.shape
    assert repr(result.solved) == f"<Solved {height}×{width}: problem, X, R, duals, frame>"
    assert repr(udg.synthesize(scene)) == "<Synthetic 60×90×3: rainy, rain>"


@pytest.mark.parametrize(
    ("part", "text"),
    [(0.008342, "0.83 %"), (0, "0 %"), (1.0, "100 %"), (1.26, "130 %"), (1e-7, "1e-05 %")],
)
def test_parts_are_read_in_per_cent(part, text):
    assert percent(part) == text


def test_result_holds_the_image_that_was_given(scene, result):
    assert result.image.pixels is scene
    assert (result.image.low, result.image.high) == (0, 255)
