"""Pictures and crops for training."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import udg
from udg import FileError, InvalidImage, InvalidInput
from udg.io import files
from udg.net.data import (
    Sampler,
    find,
    fingerprint,
    load,
    read_angles,
    solver_targets,
    write_angles,
)


@pytest.fixture
def pixels(rng) -> np.ndarray:
    return rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)


def test_pictures_are_a_folder_a_file_or_arrays(tmp_path, pixels):
    for name in ("b.png", "a.tif"):
        files.write(tmp_path / name, pixels)
    (tmp_path / "notes.txt").write_text("no picture")
    folder = load(tmp_path, angles=0)
    assert [picture.name for picture in folder] == ["a.tif", "b.png"]
    for images in (tmp_path / "a.tif", str(tmp_path / "b.png"), pixels, [pixels], [pixels] * 3):
        for picture in load(images, angles=0):
            assert torch.equal(picture.light, folder[0].light)
    assert [name for name, _ in find([pixels, tmp_path])] == ["0", "a.tif", "b.png"]
    with pytest.raises(InvalidInput, match="no images"):
        find([])


def test_light_is_the_pictures_own_or_its_darkest_channel(pixels):
    colours, darkest = (load(pixels, channels, angles=0)[0].light for channels in (3, 1))
    assert colours.dtype == darkest.dtype == torch.uint8
    np.testing.assert_array_equal(colours.permute(1, 2, 0), pixels)
    np.testing.assert_array_equal(darkest[0], pixels.min(axis=2))
    wide = load(pixels.astype(np.uint16) * 257, 1, angles=0)[0].light
    assert wide.dtype == torch.float32
    np.testing.assert_allclose(wide, darkest / 255, rtol=1e-6)
    grey = load(pixels[..., 0], 3, angles=0)[0].light
    np.testing.assert_array_equal(grey, np.stack([pixels[..., 0]] * 3))
    alpha = np.concatenate([pixels, pixels[..., :1]], axis=2)
    assert torch.equal(load(alpha, 3, angles=0)[0].light, colours)


def test_what_cannot_be_used_is_named(pixels):
    with pytest.raises(InvalidImage, match=r"^1: .*5 bands"):
        load([pixels, pixels[..., [0, 1, 2, 0, 1]]], 3, angles=0)
    with pytest.raises(InvalidImage, match=r"^0: "):
        load([np.full((9, 9), np.nan)], angles=0)


def test_angles_are_given_or_estimated(tmp_path):
    clean = np.full((96, 96), 0.4, np.float32)
    rainy = [udg.synthesize(clean, angle=angle, seed=1).rainy for angle in (12, -20)]
    found = [picture.angle for picture in load(rainy)]
    assert found == [udg.estimate_angle(image).degrees for image in rainy]
    assert found == pytest.approx([12, -20], abs=2)
    for given in ([3, -4], {"0": 3, "1": -4}, np.array([3.0, -4.0])):
        assert [picture.angle for picture in load(rainy, angles=given)] == [3, -4]
    assert [picture.angle for picture in load(rainy, angles=7)] == [7, 7]
    write_angles(tmp_path / "angles.csv", load(rainy))
    assert [p.angle for p in load(rainy, angles=tmp_path / "angles.csv")] == found
    for wrong, message in (([1, 2, 3], "3 angles"), ({"0": 1}, "no angle for 1"), (50, "±45")):
        with pytest.raises(InvalidInput, match=message):
            load(rainy, angles=wrong)


def test_angles_from_a_file(tmp_path):
    path = tmp_path / "angles.csv"
    for text in ("name,angle_deg\n008_2,1.5\n\nb.png,-3\n", "008_2,1.5\nb.png,-3\n"):
        path.write_text(text)
        assert read_angles(path) == {"008_2": 1.5, "b.png": -3}
    path.write_text("a,1\nb,left\n")
    with pytest.raises(FileError, match="line 2"):
        read_angles(path)
    with pytest.raises(FileError, match="does not exist"):
        read_angles(tmp_path / "none.csv")


def numbered(height: int, width: int) -> np.ndarray:
    """A picture that tells where each pixel was, exactly in float32."""
    return (np.arange(height * width, dtype=np.float32) / 2**12).reshape(height, width)


def test_crops_are_parts_of_pictures():
    sampler = Sampler(load(numbered(60, 64), 1, 9.0), 16, flips=False)
    crops = sampler.batch(0, 20)
    assert crops.images.shape == (20, 1, 24, 24)
    assert crops.angles.tolist() == [9] * 20
    assert crops.targets is None
    corners = set()
    for image in crops.images[:, 0].numpy():
        top, left = divmod(round(float(image[0, 0]) * 2**12), 64)
        np.testing.assert_array_equal(image, numbered(60, 64)[top : top + 24, left : left + 24])
        corners.add((top, left))
    assert len(corners) > 15


def test_flips_take_the_angle_along():
    pictures = load(numbered(24, 24), 1, 9.0)
    crops = Sampler(pictures, 16).batch(0, 40)
    whole, seen = numbered(24, 24), set()
    turned = {
        (1, 1): (whole, 9),
        (-1, 1): (whole[::-1], -9),
        (1, -1): (whole[:, ::-1], -9),
        (-1, -1): (whole[::-1, ::-1], 9),
    }
    for image, angle in zip(crops.images[:, 0].numpy(), crops.angles.tolist(), strict=True):
        (kind,) = [k for k, (expected, _) in turned.items() if np.array_equal(expected, image)]
        assert angle == turned[kind][1]
        seen.add(kind)
    assert seen == set(turned)


def test_a_streak_stays_a_streak_of_its_angle():
    """A mirrored crop turned by its own angle has vertical streaks, as the crop itself."""
    from udg.net import rotate

    rainy = udg.synthesize(np.full((120, 120), 0.4, np.float32), angle=25, seed=3).rainy
    crops = Sampler(load(rainy, 1, 25.0), 64).batch(0, 12)
    assert len(set(crops.angles.tolist())) == 2
    for upright in rotate(crops.images, crops.angles, (64, 64)).numpy()[:, 0]:
        along, across = (np.abs(np.diff(upright, axis=axis)).mean() for axis in (0, 1))
        assert along < 0.5 * across


def test_every_picture_once_before_any_again():
    pictures = load([np.full((24, 24), n / 10, np.float32) for n in range(7)], 1, 0.0)
    values = Sampler(pictures, 16).batch(0, 21).images[:, 0, 0, 0].numpy()
    orders = [tuple(np.rint(values[n : n + 7] * 10).astype(int)) for n in (0, 7, 14)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(orders)) == 3


def test_a_crop_depends_on_its_number_and_the_seed_alone():
    pictures = load([numbered(40, 40), numbered(44, 41)], 1, [3.0, 5.0])
    whole = Sampler(pictures, 16, seed=4).batch(0, 8)
    parts = Sampler(pictures, 16, seed=4)
    later, sooner = parts.batch(5, 3), parts.batch(0, 5)
    assert torch.equal(torch.cat([sooner.images, later.images]), whole.images)
    assert torch.equal(torch.cat([sooner.angles, later.angles]), whole.angles)
    for other in ({"seed": 5}, {"seed": 4, "stream": 1}):
        assert not torch.equal(Sampler(pictures, 16, **other).batch(0, 8).images, whole.images)


def test_sizes_of_crops(caplog):
    large, small, tiny = (load(numbered(side, 60), 1, 0.0) for side in (50, 20, 15))
    assert Sampler(large, 16).shape == (24, 24)
    assert not caplog.messages
    assert Sampler(large + small, 16).batch(0, 4).images.shape == (4, 1, 20, 24)
    assert "less than 24 pixels" in caplog.text
    with pytest.raises(InvalidInput, match="60×15 pixels, smaller than crop=16"):
        Sampler(large + tiny, 16)


def test_targets_are_the_solvers_and_computed_once(tmp_path, monkeypatch):
    rainy, solved = numbered(48, 50), []

    def solve(image: np.ndarray, angle: float) -> SimpleNamespace:
        solved.append(angle)
        return SimpleNamespace(rain=image / 8)

    monkeypatch.setattr("udg.pipeline.whole.solve", solve)
    targets = solver_targets(tmp_path / "targets")
    first = load(rainy, 1, 10.0, targets=targets)[0].target
    assert first.dtype == torch.float16
    np.testing.assert_allclose(first[0], rainy / 8, rtol=1e-3)
    (again,) = load(rainy, 1, 10.0, targets=targets)
    assert torch.equal(again.target, first)
    assert solved == [10]
    load(rainy, 1, 11.0, targets=targets)
    load(rainy + 0.1, 1, 10.0, targets=targets)
    assert solved == [10, 11, 10]
    crops = Sampler([again], 16).batch(0, 5)  # cut and mirrored with the image
    torch.testing.assert_close(crops.targets, crops.images / 8, rtol=1e-3, atol=1e-4)


def test_fingerprint_tells_pictures_apart(pixels):
    def mark(image: np.ndarray, angle: float = 1.0) -> str:
        return fingerprint(load(image, 3, angle))

    other = pixels.copy()
    other[3, 4, 1] ^= 1
    assert mark(pixels) == mark(pixels.copy())
    assert len({mark(pixels), mark(other), mark(pixels, 2.0), mark(pixels[:, :-1])}) == 4


def test_find_takes_paths_of_any_kind(tmp_path: Path, pixels):
    files.write(tmp_path / "a.png", pixels)
    assert find(str(tmp_path / "a.png")) == find([tmp_path / "a.png"])
