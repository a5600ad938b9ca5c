import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import udg
from udg.imaging.compositing import estimate_screen_fraction
from udg.imaging.image import prepare


def scene(rng, shape=(160, 200)):
    """Coloured ground with texture: colours vary slowly, brightness quickly."""
    colour = gaussian_filter(rng.random((*shape, 3), dtype=np.float32), (20, 20, 0))
    colour = (colour - colour.min()) / (colour.max() - colour.min())
    texture = gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 1.0)
    return 0.05 + 0.75 * colour * np.exp(0.15 * texture)[:, :, None].clip(0.7, 1.2)


def fallen(clean, blend):
    """A rainy picture, and what the rain added to its darkest channel."""
    rainy = udg.synthesize(clean, angle=12, intensity=0.4, blend=blend, seed=3).rainy
    return rainy, prepare(rainy).darkest() - prepare(clean).darkest()


def test_screen_blended_rain_is_told_from_added_rain(rng):
    clean = scene(rng)
    assert estimate_screen_fraction(*fallen(clean, "screen")) > 0.95
    assert estimate_screen_fraction(*fallen(clean, "add")) == 0


def test_added_rain_that_is_cut_off_at_full_light_is_not_taken_for_blended(rng):
    bright = (scene(rng) + np.float32([0.45, 0.05, 0])).clip(0, 1)
    rainy = udg.synthesize(bright, intensity=0.8, density=0.15, blend="add").rainy
    assert (rainy.max(axis=2) == 1).mean() > 0.1
    assert (
        estimate_screen_fraction(rainy, prepare(rainy).darkest() - prepare(bright).darkest()) == 0
    )


def test_the_blend_is_found_although_rain_is_not_quite_known(rng):
    clean = scene(rng)
    for blend, (least, most) in {"screen": (0.8, 1), "add": (0, 0)}.items():
        rainy, rain = fallen(clean, blend)
        details = (clean.min(axis=2) - gaussian_filter(clean.min(axis=2), 3)).clip(0)
        assert least <= estimate_screen_fraction(rainy, 0.8 * rain + 0.3 * details) <= most


@pytest.mark.parametrize("blend", ["screen", "add"])
def test_what_cannot_be_told_is_taken_for_added(rng, blend):
    clean = scene(rng)
    grey = clean[:, :, :1].repeat(3, axis=2)
    assert estimate_screen_fraction(*fallen(grey, blend)) == 0
    assert estimate_screen_fraction(*fallen(grey[:, :, :1], blend)) == 0
    rainy, rain = fallen(clean, blend)
    assert estimate_screen_fraction(rainy, np.zeros_like(rain)) == 0
    assert estimate_screen_fraction(rainy[:20, :20], rain[:20, :20]) == 0  # too small
    assert estimate_screen_fraction(np.ones_like(rainy), rain) == 0
    assert estimate_screen_fraction(np.zeros_like(rainy), rain) == 0


def test_channels_lose_what_a_loop_says(rng):
    image, rain, blend = rng.random((5, 6, 4), dtype=np.float32), 0.3 * rng.random((5, 6)), 0.7
    image[0, 0, :3] = 1  # full light
    expected = image.copy()
    for row, column in np.ndindex(5, 6):
        light = image[row, column, :3]
        for channel in range(3):
            q = (1 - light[channel]) / (1 - light.min()) if light.min() < 1 else 1
            lost = rain[row, column] * (1 - blend * (1 - q))
            expected[row, column, channel] = max(0, light[channel] - lost)
    np.testing.assert_allclose(
        prepare(image).subtract(rain, screen_fraction=blend), expected, atol=1e-6
    )


def test_a_screen_blend_is_undone(rng):
    clean = rng.random((8, 9, 3), dtype=np.float32)
    rain = 0.8 * rng.random((8, 9), dtype=np.float32)
    rainy = prepare((200 * (clean + rain[:, :, None] * (1 - clean)) - 50), data_range=(-50, 150))
    lost = rainy.darkest() - clean.min(axis=2)
    np.testing.assert_allclose(rainy.subtract(lost, screen_fraction=1), 200 * clean - 50, atol=1e-3)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 5])
def test_only_wet_pixels_of_colours_are_changed_by_the_blend(rng, channels):
    image = rng.integers(0, 65536, (6, 7) if channels is None else (6, 7, channels), np.uint16)
    rain = np.zeros((6, 7), np.float32)
    rain[2] = 0.2
    image = prepare(image)
    blended, equal = image.subtract(rain, screen_fraction=1), image.subtract(rain)
    np.testing.assert_array_equal(np.delete(blended, 2, 0), np.delete(image.pixels, 2, 0))
    np.testing.assert_array_equal(image.subtract(rain, screen_fraction=0), equal)
    assert (blended >= equal).all()
    assert (blended != equal).any() == (channels in (3, 5))


@pytest.mark.parametrize("parts", ["one piece", "tiles", "chunks"])
def test_solvers_take_blended_rain_as_it_was_added(rng, parts):
    clean = scene(rng)
    rainy, _ = fallen(clean, "screen")
    whole = udg.solve(rainy, angle=12)
    assert whole.screen_fraction > 0.9
    alike = prepare(rainy).subtract(whole.rain)
    assert udg.psnr_rgb(whole.derained, clean) > udg.psnr_rgb(alike, clean) + 1
    if parts == "tiles":
        tiled = udg.solve_tiles(rainy, angle=12)
        assert tiled.screen_fraction == pytest.approx(whole.screen_fraction, abs=0.02)
        np.testing.assert_allclose(tiled.thumbnail.after, tiled.derained, atol=1e-5)
        result = tiled.derained
    elif parts == "chunks":
        da = pytest.importorskip("dask.array")
        result = np.asarray(udg.solve_blocks(da.from_array(rainy, chunks=-1), angle=12).derained)
    else:
        result = prepare(rainy).subtract(whole.rain, screen_fraction=whole.screen_fraction)
    assert np.quantile(np.abs(result - whole.derained), 0.98) < 1 / 255
    added, _ = fallen(clean, "add")
    assert udg.solve(added, angle=12).screen_fraction == 0
