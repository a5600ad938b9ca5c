"""Windows of TIFF and zarr: the same pixels as in one piece, and nothing half-written."""

import json

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner

import udg
from udg import FileError, MissingExtra
from udg.cli import main
from udg.io import files, tiff
from udg.io.picture import Picture

zarr = pytest.importorskip("zarr")

WINDOWS = [
    (slice(0, 2), slice(0, 2)),
    (slice(10, 70), slice(33, 71)),
    (slice(None), slice(40, None)),
]
LAYOUTS = {
    "one strip": {},
    "strips": {"rowsperstrip": 7, "compression": "lzw"},
    "tiles": {"tile": (64, 32), "compression": "zlib", "predictor": True},
    "BigTIFF": {"bigtiff": True, "byteorder": ">", "tile": (32, 32)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 16, "compression": "zlib"},
}


def noise(dtype: str, *shape: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    if dtype == "float32":
        return rng.random(shape, np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def save(path, pixels, **layout):
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if channels > 1:
        layout = {"planarconfig": "contig"} | layout
    if channels == 4:
        layout["extrasamples"] = ["unassalpha"]
    if layout.get("planarconfig") == "separate":
        pixels = np.moveaxis(pixels, -1, 0)
    photometric = "rgb" if channels >= 3 else "minisblack"
    tifffile.imwrite(path, pixels, photometric=photometric, metadata=None, **layout)


# TIFF


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        ("uint8", (101, 77)),
        ("uint8", (101, 77, 3)),
        ("uint16", (101, 77, 4)),
        ("float32", (101, 77)),
    ],
)
def test_tiff_is_read_by_windows(tmp_path, layout, dtype, shape):
    if len(shape) == 2 and layout == "planes":
        pytest.skip("a single channel has no planes")
    pixels, path = noise(dtype, *shape), tmp_path / "a.tif"
    save(path, pixels, **LAYOUTS[layout])
    with files.opened(path) as picture:
        there = picture.pixels
        assert (there.shape, there.ndim, there.dtype) == (shape, len(shape), pixels.dtype)
        for window in WINDOWS:
            np.testing.assert_array_equal(there[window], pixels[window])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_windows_are_upright(tmp_path, orientation):
    path = tmp_path / "a.tif"
    tag = [(274, 3, 1, orientation, True)]
    save(path, noise("uint8", 101, 87, 3), extratags=tag, tile=(32, 16))
    upright = files.read(path).pixels
    with files.opened(path) as picture:
        for window in WINDOWS:
            np.testing.assert_array_equal(picture.pixels[window], upright[window])


def test_decoded_parts_are_kept_within_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "_CACHED", 10_000)
    pixels = noise("uint8", 200, 90)
    save(tmp_path / "a.tif", pixels, tile=(32, 32))
    with files.opened(tmp_path / "a.tif") as picture:
        for top in range(0, 200, 11):
            np.testing.assert_array_equal(picture.pixels[top : top + 40], pixels[top : top + 40])
        assert sum(part.nbytes for part in picture.pixels._cache.values()) <= 10_000


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 3), ("uint16", 1), ("float32", 6)])
def test_tiff_is_written_by_rows(tmp_path, monkeypatch, dtype, channels, big):
    monkeypatch.setattr(tiff, "_CLASSIC", 0 if big else 10**9)
    pixels = noise(dtype, 300, 530, channels) if channels > 1 else noise(dtype, 300, 530)
    like = Picture(pixels, "TIFF", icc=b"profile" * 9, dpi=(300.0, 200.0))
    path = tmp_path / "a.tif"
    with files.created(path, pixels.shape, like) as target:
        for top in range(0, 300, 37):
            target[top : top + 37] = pixels[top : top + 37]
    found = files.read(path)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert (found.icc, found.dpi) == (like.icc, like.dpi)
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff == big
        assert tif.pages[0].is_tiled
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_is_carried(tmp_path, monkeypatch, order, big):
    from udg.io import exif

    monkeypatch.setattr(tiff, "_CLASSIC", 0 if big else 10**9)
    exposure = (5, np.array([1, 250], f"{order}u4").tobytes())
    directory = {271: (2, b"Maker of cameras\0"), 0x8769: {0x829A: exposure}}
    mark = b"II*\0" if order == "<" else b"MM\0*"
    blob = mark + np.array([8], f"{order}u4").tobytes() + exif.pack(directory, order, 8)
    pixels = noise("uint16", 40, 50, 3)
    path = tmp_path / "a.tif"
    with files.created(path, pixels.shape, Picture(pixels, "TIFF", exif=blob)) as target:
        target[:] = pixels
    found = files.read(path)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert exif.parse(found.exif) == (order, directory)
    with files.opened(path) as picture:
        assert picture.exif == found.exif


def test_a_damaged_tiff_is_said_to_be(tmp_path):
    path = tmp_path / "a.tif"
    save(path, noise("uint8", 200, 90), rowsperstrip=16, compression="zlib")
    path.write_bytes(path.read_bytes()[:-6000])
    with files.opened(path) as picture, pytest.raises(FileError, match="damaged or incomplete"):
        picture.pixels[150:200]


def test_several_pictures_in_a_file_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", noise("uint8", 5, 40, 50), photometric="minisblack")
    with (
        pytest.raises(FileError, match=r"a\.tif holds several"),
        files.opened(tmp_path / "a.tif"),
    ):
        pass


# Zarr


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 3)])
@pytest.mark.parametrize("version", [2, 3])
def test_zarr_is_read_and_written(tmp_path, shape, version):
    pixels, path = noise("uint16", *shape), tmp_path / "a.zarr"
    source = zarr.create_array(
        store=path, data=pixels, chunks=(32, 40, *shape[2:]), zarr_format=version
    )
    source.attrs["instrument"] = "microscope"
    copy = tmp_path / "b.zarr"
    with files.opened(path) as picture, files.created(copy, shape, picture) as target:
        for window in WINDOWS:
            np.testing.assert_array_equal(picture.pixels[window], pixels[window])
        for top in range(0, 90, 25):
            target[top : top + 25] = pixels[top : top + 25]
    written = zarr.open(copy, mode="r")
    np.testing.assert_array_equal(written[:], pixels)
    assert written.chunks == (32, 40, *shape[2:])
    assert written.metadata.zarr_format == version
    assert dict(written.attrs) == {"instrument": "microscope"}
    np.testing.assert_array_equal(files.read(copy).pixels, pixels)


def test_a_group_of_one_array_is_that_array(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    group.create_array("image", data=noise("uint8", 30, 40))
    np.testing.assert_array_equal(files.read(tmp_path / "a.zarr").pixels, noise("uint8", 30, 40))
    group.create_array("mask", data=noise("uint8", 30, 40))
    with pytest.raises(FileError, match="group of 2 arrays"):
        files.read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(
        files.read(tmp_path / "a.zarr" / "mask").pixels, noise("uint8", 30, 40)
    )


def test_zarr_of_other_dimensions_is_refused(tmp_path):
    zarr.create_array(store=tmp_path / "a.zarr", data=noise("uint8", 2, 3, 30, 40))
    with pytest.raises(FileError, match="channels last"):
        files.read(tmp_path / "a.zarr")


def test_without_zarr_its_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(MissingExtra, match=r"udg\[zarr\]"):
        files.write(tmp_path / "a.zarr", noise("uint8", 30, 40))
    assert not list(tmp_path.iterdir())


# Completely or not at all


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.png"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_nothing_is_left_of_what_was_broken_off(tmp_path, name, error):
    pixels = noise("uint8", 600, 300)
    like = Picture(pixels, "TIFF")

    def broken_off():
        with files.created(tmp_path / name, pixels.shape, like) as target:
            target[:300] = pixels[:300]
            raise error

    with pytest.raises(error):
        broken_off()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.tif", "a.zarr"])
def test_an_older_result_stays_until_the_new_one_is_complete(tmp_path, name):
    path, pixels = tmp_path / name, noise("uint8", 60, 70)
    like = Picture(pixels, "TIFF")
    files.write(path, 255 - pixels)
    with pytest.raises(FileError, match="already exists"), files.created(path, (60, 70), like):
        pass
    with files.created(path, pixels.shape, like, overwrite=True) as target:
        target[:] = pixels
        np.testing.assert_array_equal(files.read(path).pixels, 255 - pixels)
    np.testing.assert_array_equal(files.read(path).pixels, pixels)
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_rows_of_a_tiff_must_come_in_order(tmp_path):
    pixels = noise("uint8", 60, 70)
    like = Picture(pixels, "TIFF")
    for rows, message in ((slice(10, 20), "out of order"), (slice(0, 20), "only 20 of 60 rows")):
        with (
            pytest.raises(FileError, match=message),
            files.created(tmp_path / "a.tif", pixels.shape, like) as target,
        ):
            target[rows] = pixels[rows]
    assert not list(tmp_path.iterdir())


# The command


@pytest.fixture(scope="module")
def rainy_colours() -> np.ndarray:
    scene = np.full((150, 200, 3), (60, 90, 120), np.uint8)
    scene[70:, :, 1] += 40
    return udg.synthesize(scene, angle=10, seed=1, length=12).rainy.round().astype(np.uint8)


@pytest.mark.parametrize("name", ["a.tif", "a.zarr", "a.png"])
def test_derain_by_tiles(tmp_path, rainy_colours, name):
    source, out = tmp_path / name, tmp_path / "out"
    files.write(source, rainy_colours)
    command = ["derain", str(source), "-o", str(out), "--tile", "96", "--overlap", "32"]
    options = ["--angle", "10", "--tol", "0.1", "--save-rain", "--json", "-"]
    result = CliRunner().invoke(main, [*command, *options])
    assert result.exit_code == 0, result.output
    (facts,) = json.loads(result.stdout)["files"]
    assert facts["tiles"] == {"count": 6, "shape": [91, 88], "overlap": 32}
    assert facts["angle"] == 10
    layer = np.empty(rainy_colours.shape[:2], np.uint16)
    expected = udg.solve_tiles(
        rainy_colours,
        np.empty_like(rainy_colours),
        rain=layer,
        tile=96,
        overlap=32,
        angle=10,
        tol=0.1,
    )
    np.testing.assert_array_equal(files.read(out / name).pixels, expected.derained)
    np.testing.assert_array_equal(files.read(out / "a_rain.png").pixels, layer)
    assert sorted(item.name for item in out.iterdir()) == sorted([name, "a_rain.png"])


def test_a_folder_may_hold_zarr_pictures(tmp_path, rainy_colours):
    files.write(tmp_path / "a.png", rainy_colours)
    files.write(tmp_path / "b.zarr", rainy_colours)
    out = tmp_path / "out"
    command = ["derain", str(tmp_path), "-o", str(out), "--angle", "10", "--tol", "0.1"]
    assert CliRunner().invoke(main, command).exit_code == 0
    np.testing.assert_array_equal(
        files.read(out / "a.png").pixels, files.read(out / "b.zarr").pixels
    )
    again = CliRunner().invoke(main, [*command, "--resume"])
    assert "2 done before and skipped" in again.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tile", "many"], "not a number of pixels, auto or off"),
        (["--tile", "4"], "tile is 4"),
        (["--tile", "90", "--overlap", "60"], "at most a third"),
        (["--tile", "off", "--overlap", "60"], "need tiles"),
        (["--angle-per-tile", "--angle", "3"], "--angle auto and one layer"),
    ],
)
def test_wrong_tiles_are_refused_before_anything_is_read(tmp_path, options, message):
    files.write(tmp_path / "a.png", noise("uint8", 40, 40))
    command = ["derain", str(tmp_path / "a.png"), "-o", str(tmp_path / "b.png"), *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2
    assert message in result.output


def test_an_interrupted_picture_leaves_nothing(tmp_path, rainy_colours, monkeypatch):
    files.write(tmp_path / "a.tif", rainy_colours)
    real, calls = udg.pipeline.tiles.solve_window, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(udg.pipeline.tiles, "solve_window", interrupted)
    out = tmp_path / "out"
    command = ["derain", str(tmp_path / "a.tif"), "-o", str(out), "--tile", "96", "--tol", "0.1"]
    result = CliRunner().invoke(main, [*command, "--angle", "10"])
    assert result.exit_code == 130
    assert not list(out.iterdir())
