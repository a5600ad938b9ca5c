from __future__ import annotations

import errno
import io
import logging
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from udg.errors import FileError
from udg.io import files
from udg.io.paths import write_bytes
from udg.io.picture import Picture, quantize

SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "TIFF": ".tif", "WebP": ".webp", "BMP": ".bmp"}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def noise(shape=(9, 14, 3), dtype=np.uint8, seed=0):
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.random(shape, dtype=np.float32)
    return rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def exif_blob(orientation=1):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
    exif.get_ifd(0x8769)[0x927C] = b"private note of the maker"
    exif.get_ifd(0x8825)[0x0001] = "N"
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.fixture
def folder(tmp_path):
    """A folder in which no temporary file may be left."""
    yield tmp_path
    assert not [path.name for path in tmp_path.rglob(".*")]


@pytest.mark.parametrize(
    ("suffix", "dtype", "channels"),
    [
        *((".png", dtype, c) for dtype in (np.uint8, np.uint16) for c in (0, 2, 3, 4)),
        *((".tif", dtype, c) for dtype in (np.uint8, np.uint16, "f4") for c in (0, 2, 3, 4, 6)),
        *((".webp", np.uint8, c) for c in (3, 4)),
        *((".bmp", np.uint8, c) for c in (0, 3)),
    ],
)
def test_round_trip_is_exact(folder, suffix, dtype, channels):
    pixels = noise((9, 14, channels) if channels else (9, 14), dtype)
    path = folder / f"picture{suffix}"
    files.write(path, pixels)
    picture = files.read(path)
    assert picture.pixels.dtype == pixels.dtype
    assert picture.lossless
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_float_result_of_the_input_itself_is_written_bit_for_bit(folder, dtype):
    picture = Picture(noise(dtype=dtype), "PNG")
    files.write(folder / "a.png", picture.pixels.astype(np.float32), picture)
    np.testing.assert_array_equal(files.read(folder / "a.png").pixels, picture.pixels)


def test_values_are_rounded_and_clipped(folder):
    picture = Picture(np.zeros((1, 5), np.uint8), "PNG")
    files.write(folder / "a.png", np.array([[-3, 0.4, 0.6, 254.6, 300]], np.float32), picture)
    assert files.read(folder / "a.png").pixels.tolist() == [[0, 0, 1, 255, 255]]


def test_quantize_between_depths():
    deep = np.array([0, 128, 129, 65535], np.uint16)
    assert quantize(deep, np.uint16, np.uint8).tolist() == [0, 0, 1, 255]
    every = np.arange(65536, dtype=np.float32)
    nearest = np.floor(np.arange(65536) / 257 + 0.5)
    np.testing.assert_array_equal(quantize(every, np.uint16, np.uint8), nearest)
    unit = np.array([0, 0.5, 1], np.float32)
    assert quantize(unit, np.float32, np.uint16).tolist() == [0, 32768, 65535]
    beyond = np.array([-0.5, 1.5], np.float32)
    np.testing.assert_array_equal(quantize(beyond, np.float32, np.float32), beyond)


@pytest.mark.parametrize(
    ("source", "suffix", "expected"),
    [
        (np.uint16, ".jpg", np.uint8),
        (np.uint16, ".webp", np.uint8),
        (np.uint16, ".tif", np.uint16),
        (np.float32, ".png", np.uint16),
        (np.float32, ".tiff", np.float32),
        (np.float32, ".JPG", np.uint8),
    ],
)
def test_depth_follows_what_the_format_can_hold(folder, source, suffix, expected):
    path = folder / f"a{suffix}"
    pixels = np.full((16, 16, 3), 0.25 if source == np.float32 else 16448, source)
    files.write(path, pixels)
    picture = files.read(path)
    assert picture.pixels.dtype == expected
    full = np.iinfo(expected).max if expected != np.float32 else 1
    assert picture.pixels.mean() / full == pytest.approx(0.25, abs=0.004)


def test_jpeg_is_nearly_lossless_and_keeps_full_colour_resolution(folder):
    # One-pixel stripes of colour: 4:2:0 would blend them into grey.
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:, ::2], pixels[:, 1::2] = (200, 60, 60), (60, 60, 200)
    files.write(folder / "a.jpg", pixels)
    picture = files.read(folder / "a.jpg")
    assert not picture.lossless
    assert np.abs(picture.pixels.astype(int) - pixels).max() < 20


@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_alpha_is_dropped_with_a_warning_where_it_has_no_place(folder, suffix, caplog):
    with caplog.at_level(logging.WARNING, "udg"):
        files.write(folder / f"a{suffix}", noise((8, 8, 4)))
    assert files.read(folder / f"a{suffix}").pixels.shape == (8, 8, 3)
    assert "transparency" in caplog.text


def test_webp_follows_the_source(folder):
    pixels = noise((32, 32, 3))
    files.write(folder / "exact.webp", pixels, Picture(pixels, "PNG"))
    files.write(folder / "lossy.webp", pixels, Picture(pixels, "JPEG", lossless=False))
    np.testing.assert_array_equal(files.read(folder / "exact.webp").pixels, pixels)
    assert not files.read(folder / "lossy.webp").lossless


def test_colour_under_full_transparency_survives(folder):
    pixels = noise((8, 8, 4))
    pixels[:, :, 3] = 0
    for suffix in (".png", ".webp", ".tif"):
        files.write(folder / f"a{suffix}", pixels)
        np.testing.assert_array_equal(files.read(folder / f"a{suffix}").pixels, pixels)


@pytest.mark.parametrize("target", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("source", [".png", ".jpg", ".tif", ".webp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_profile_exif_and_resolution_are_carried(folder, source, target, dtype):
    pixels = noise(dtype=dtype)
    given = Picture(pixels, "PNG", icc=PROFILE, exif=exif_blob(), dpi=(300, 150))
    files.write(folder / f"a{source}", pixels, given)
    first = files.read(folder / f"a{source}")
    files.write(folder / f"b{target}", first.pixels, first)
    second = files.read(folder / f"b{target}")
    assert second.icc == PROFILE
    exif = Image.Exif()
    exif.load(second.exif)
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8769)[0x927C] == b"private note of the maker"
    assert exif.get_ifd(0x8825)[0x0001] == "N"
    if ".webp" not in (source, target):
        assert second.dpi == pytest.approx((300, 150), rel=1e-3)


@pytest.mark.parametrize("order", ["little", "big"])
def test_exif_of_either_byte_order_is_carried_into_tiff_and_back(folder, order):
    exif = Image.Exif()
    exif.endian = "<" if order == "little" else ">"
    exif[0x013B] = "Somebody"
    exif.get_ifd(0x8769)[0x829A] = (1, 250)
    pixels = noise(dtype=np.uint16)
    given = Picture(pixels, "JPEG", exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    files.write(folder / "a.tif", pixels, given)
    with tifffile.TiffFile(folder / "a.tif") as tif:
        assert tif.pages[0].tags["ExifTag"].value["ExposureTime"] == (1, 250)
    picture = files.read(folder / "a.tif")
    np.testing.assert_array_equal(picture.pixels, pixels)
    back = Image.Exif()
    back.load(picture.exif)
    assert back[0x013B] == "Somebody"
    assert back.get_ifd(0x8769)[0x829A] == (1, 250)


def test_text_in_a_tiff_stays_as_its_bytes_are(folder):
    artist = "Jörg Große".encode() + b"\0"
    tags = [(315, 2, len(artist), artist, True)]
    tifffile.imwrite(folder / "a.tif", noise(), metadata=None, extratags=tags)
    picture = files.read(folder / "a.tif")
    files.write(folder / "b.tif", picture.pixels, picture)
    assert artist in (folder / "b.tif").read_bytes()


def test_a_colour_profile_is_not_put_on_grey_pixels(folder):
    like = Picture(noise(), "PNG", icc=PROFILE)
    files.write(folder / "a.png", noise((9, 14)), like)
    assert files.read(folder / "a.png").icc is None


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_orientation_is_applied_and_reset(folder, orientation, suffix, dtype):
    upright = noise((5, 8, 3), dtype)
    stored = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: np.swapaxes(upright, 0, 1),
        6: np.rot90(upright),  # must be turned clockwise to be seen upright
        7: np.rot90(np.swapaxes(upright, 0, 1), 2),
        8: np.rot90(upright, -1),
    }[orientation]
    path = folder / f"a{suffix}"
    if suffix == ".png":
        like = Picture(stored, "PNG", exif=exif_blob(orientation), dpi=(72, 144))
        files.write(path, stored, like)
    else:
        tags = [(0x0112, 3, 1, orientation, True)]
        tifffile.imwrite(
            path, stored, photometric="rgb", metadata=None, extratags=tags, resolution=(72, 144)
        )
    picture = files.read(path)
    np.testing.assert_array_equal(picture.pixels, upright)
    assert picture.dpi == pytest.approx((144, 72) if orientation >= 5 else (72, 144), rel=1e-3)
    files.write(folder / f"b{suffix}", picture.pixels, picture)
    np.testing.assert_array_equal(files.read(folder / f"b{suffix}").pixels, upright)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_jpeg_agrees_with_pillow(folder, orientation):
    from PIL import ImageOps

    image = Image.fromarray(noise((24, 40, 3)))
    image.save(folder / "a.jpg", exif=b"Exif\0\0" + exif_blob(orientation))
    with Image.open(folder / "a.jpg") as opened:
        expected = np.asarray(ImageOps.exif_transpose(opened))
    np.testing.assert_array_equal(files.read(folder / "a.jpg").pixels, expected)


def test_the_thumbnail_in_the_rain_is_unlinked(folder):
    blob = bytearray(exif_blob())
    (start,) = struct.unpack_from(">I", blob, 4)
    (count,) = struct.unpack_from(">H", blob, start)
    assert blob[:2] == b"MM"
    struct.pack_into(">I", blob, start + 2 + 12 * count, start)
    Image.fromarray(noise()).save(folder / "a.jpg", exif=b"Exif\0\0" + bytes(blob))
    assert files.read(folder / "a.jpg").exif == exif_blob()


@pytest.mark.parametrize("exif", [b"II", b"nonsense", b"II*\0\xff\xff\xff\xff", b"\0" * 40])
def test_broken_exif_does_not_cost_the_picture(folder, exif):
    Image.fromarray(noise()).save(folder / "a.png", exif=exif)
    picture = files.read(folder / "a.png")
    np.testing.assert_array_equal(picture.pixels, noise())
    files.write(folder / "b.tif", picture.pixels, picture)


def test_palette_one_bit_and_transparent_colour(folder):
    palette = Image.fromarray(noise((8, 8, 3))).quantize(5)
    palette.save(folder / "palette.png")
    expected = np.asarray(palette.convert("RGB"))
    np.testing.assert_array_equal(files.read(folder / "palette.png").pixels, expected)

    palette.save(folder / "clear.png", transparency=2)
    clear = files.read(folder / "clear.png").pixels
    assert clear.shape == (8, 8, 4)
    np.testing.assert_array_equal(clear[..., 3] == 0, np.asarray(palette) == 2)

    bits = noise((8, 8)) > 127
    for suffix in (".png", ".tif", ".bmp"):
        Image.fromarray(bits).save(folder / f"bits{suffix}")
        picture = files.read(folder / f"bits{suffix}")
        np.testing.assert_array_equal(picture.pixels, bits * np.uint8(255))


def test_tiff_palette_planes_white_is_zero_and_tiles(folder):
    indices = noise((16, 16)) % 7
    colours = noise((3, 256), np.uint16)
    path = folder / "a.tif"
    tifffile.imwrite(path, indices, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(files.read(path).pixels, (colours.T >> 8)[indices])

    planes = noise((3, 16, 16), np.uint16)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(files.read(path).pixels, np.moveaxis(planes, 0, -1))

    tifffile.imwrite(path, indices, photometric="miniswhite")
    np.testing.assert_array_equal(files.read(path).pixels, 255 - indices)

    for compression in ("lzw", "zlib", "zstd", "packbits", "lzma"):
        tifffile.imwrite(path, planes[0], compression=compression, tile=(16, 16), bigtiff=True)
        np.testing.assert_array_equal(files.read(path).pixels, planes[0])

    tifffile.imwrite(path, planes[0] / 65535.0)
    assert files.read(path).pixels.dtype == np.float32


def test_cmyk_becomes_rgb(folder):
    image = Image.new("RGB", (16, 16), (200, 100, 50)).convert("CMYK")
    for name in ("a.jpg", "a.tif"):
        image.save(folder / name)
        pixels = files.read(folder / name).pixels
        assert np.abs(pixels.reshape(-1, 3).astype(int) - (200, 100, 50)).max() <= 6


def test_main_picture_of_an_mpo_is_read(folder):
    first, second = (Image.fromarray(noise((16, 16, 3), seed=seed)) for seed in (0, 1))
    first.save(folder / "a.jpg", "MPO", save_all=True, append_images=[second])
    picture = files.read(folder / "a.jpg")
    assert picture.format == "JPEG"
    assert np.abs(picture.pixels.astype(int) - np.asarray(first)).mean() < 60


def interlaced_png(pixels):
    """Adam7, which no encoder at hand writes with 16 bits."""
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2)]
    rows = b""
    for top, left, down, right in [*passes, (1, 0, 2, 1)]:
        part = pixels[top::down, left::right]
        if part.size:
            rows += b"".join(b"\0" + row.astype(">u2").tobytes() for row in part)
    height, width = pixels.shape[:2]
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 1)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def test_interlaced_16_bit_png(folder):
    pixels = noise((13, 11, 3), np.uint16)
    (folder / "a.png").write_bytes(interlaced_png(pixels))
    np.testing.assert_array_equal(files.read(folder / "a.png").pixels, pixels)


def test_content_decides_the_format_not_the_name(folder):
    Image.fromarray(noise()).save(folder / "a.png", "JPEG")
    assert files.read(folder / "a.png").format == "JPEG"


# What cannot be read


def encoded(suffix, tmp_path, dtype=np.uint8):
    path = tmp_path / f"whole{suffix}"
    files.write(path, noise((64, 64, 3), dtype))
    return path.read_bytes()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("suffix", SUFFIXES.values())
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_truncated(folder, suffix, part, dtype):
    data = encoded(suffix, folder, dtype)
    path = folder / f"cut{suffix}"
    path.write_bytes(data[: max(int(len(data) * part), 9)])
    with pytest.raises(FileError, match=r"cut.* is damaged or incomplete .*copy it again"):
        files.read(path)


def test_flipped_bits_in_png_are_noticed(folder):
    for dtype in (np.uint8, np.uint16):
        data = bytearray(encoded(".png", folder, dtype))
        (folder / "whole.png").unlink()
        data[len(data) // 2] ^= 255
        (folder / "a.png").write_bytes(data)
        with pytest.raises(FileError, match="damaged"):
            files.read(folder / "a.png")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"Dear diary, today it rained.", "not a picture"),
        (b"GIF89a" + b"\0" * 50, "not a picture"),
        (b"BM", "damaged"),
    ],
)
def test_not_a_picture(folder, content, message):
    (folder / "a.png").write_bytes(content)
    with pytest.raises(FileError, match=message):
        files.read(folder / "a.png")


def test_missing_file_folder_and_file_within_a_file(folder):
    with pytest.raises(FileError, match="it does not exist"):
        files.read(folder / "missing.png")
    with pytest.raises(FileError, match="it is a folder"):
        files.read(folder)
    (folder / "file").touch()
    with pytest.raises(FileError, match="part of its path is a file"):
        files.read(folder / "file" / "a.png")


def test_no_permission(folder, monkeypatch):
    def refuse(self):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(FileError, match=r"a\.png: you have no permission"):
        files.read(folder / "a.png")


def test_several_pictures(folder):
    stack = noise((4, 9, 14))
    tifffile.imwrite(folder / "pages.tif", stack, photometric="minisblack")
    tifffile.imwrite(folder / "imagej.tif", stack, imagej=True)
    options = {"photometric": "minisblack", "volumetric": True, "tile": (16, 16, 16)}
    tifffile.imwrite(folder / "volume.tif", stack, **options)
    for name in ("pages", "imagej", "volume"):
        with pytest.raises(FileError, match=f"{name}.tif holds several pictures"):
            files.read(folder / f"{name}.tif")
    frames = [Image.fromarray(frame) for frame in stack]
    for name in ("film.png", "film.webp"):
        frames[0].save(folder / name, save_all=True, append_images=frames[1:])
        with pytest.raises(FileError, match="is an animation"):
            files.read(folder / name)


def test_a_reduced_copy_in_a_tiff_is_not_a_second_picture(folder):
    with tifffile.TiffWriter(folder / "a.tif") as tif:
        tif.write(noise(), photometric="rgb")
        tif.write(noise()[::2, ::2], photometric="rgb", subfiletype=1)
    np.testing.assert_array_equal(files.read(folder / "a.tif").pixels, noise())


@pytest.mark.parametrize(
    ("pixels", "options", "message"),
    [
        (noise((9, 14), np.uint32), {}, "holds 32-bit values"),
        (noise((9, 14, 3)), {"photometric": "cielab"}, "stores colours as CIELAB"),
        (noise((9, 14, 4)), {"photometric": "rgb", "extrasamples": ["assocalpha"]}, "premult"),
    ],
)
def test_tiff_that_has_no_clear_meaning(folder, pixels, options, message):
    tifffile.imwrite(folder / "a.tif", pixels, **options)
    with pytest.raises(FileError, match=message):
        files.read(folder / "a.tif")


def test_200_megapixels_pass_without_a_warning_and_more_than_the_limit_do_not(folder, monkeypatch):
    Image.new("1", (20_000, 10_000)).save(folder / "large.png")
    assert files.read(folder / "large.png").pixels.shape == (10_000, 20_000)
    monkeypatch.setattr("udg.io.picture._MAX_PIXELS", 100)
    for suffix in (".png", ".tif"):
        files.write(folder / f"a{suffix}", noise())
        with pytest.raises(FileError, match=r"is 14×9 pixels"):
            files.read(folder / f"a{suffix}")


# Writing: all or nothing


def test_existing_file_is_kept_unless_overwriting(folder):
    path = folder / "a.png"
    path.write_bytes(b"precious")
    with pytest.raises(FileError, match="already exists"):
        files.write(path, noise())
    with pytest.raises(FileError, match="already exists"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"precious"
    path.chmod(0o640)
    files.write(path, noise(), overwrite=True)
    np.testing.assert_array_equal(files.read(path).pixels, noise())
    assert path.stat().st_mode & 0o777 == 0o640


class FailingFile(io.RawIOBase):
    """Takes half of what it is given and then fails as told."""

    def __init__(self, path, error):
        self.file = path.open("xb", buffering=0)
        self.error = error

    def write(self, data):
        self.file.write(data[: len(data) // 2])
        raise self.error

    def close(self):
        self.file.close()
        super().close()


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), FileError, "the disk is full"),
        (KeyboardInterrupt(), KeyboardInterrupt, None),
    ],
)
def test_failure_while_writing_leaves_nothing(folder, monkeypatch, error, raised, message, exists):
    from pathlib import Path

    path = folder / "a.png"
    if exists:
        path.write_bytes(b"precious")
    real = Path.open
    broken = []

    def fail(self, mode="r", *rest, **options):
        if mode != "x+b" or self in broken:
            return real(self, mode, *rest, **options)
        broken.append(self)
        return FailingFile(self, error)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", fail)
        with pytest.raises(raised, match=message):
            files.write(path, noise(), overwrite=True)
    assert broken
    assert [item.name for item in folder.iterdir()] == (["a.png"] if exists else [])
    assert not exists or path.read_bytes() == b"precious"


def test_folder_that_cannot_be_written_to(folder):
    (folder / "file").touch()
    with pytest.raises(FileError, match="part of its path is a file"):
        files.write(folder / "file" / "a.png", noise())
    with pytest.raises(FileError, match="its folder does not exist"):
        files.write(folder / "none" / "a.png", noise())


@pytest.mark.parametrize("name", ["a.gif", "a"])
def test_unknown_suffix(folder, name):
    with pytest.raises(FileError, match=r"suffix.*use one of \.png"):
        files.write(folder / name, noise())


def test_what_a_format_cannot_hold(folder):
    with pytest.raises(FileError, match="cannot hold 6 channels"):
        files.write(folder / "a.png", noise((8, 8, 6)))
    with pytest.raises(FileError, match="WebP cannot be wider"):
        files.write(folder / "a.webp", np.zeros((1, 16_384, 3), np.uint8))


def test_exif_too_long_for_jpeg_is_left_out(folder):
    like = Picture(noise(), "PNG", exif=exif_blob() + b"\0" * 70_000)
    files.write(folder / "a.jpg", noise(), like)
    assert files.read(folder / "a.jpg").exif is None


@pytest.mark.parametrize("suffix", SUFFIXES.values())
def test_dimensions_are_known_without_decoding(folder, suffix, monkeypatch):
    path = folder / f"picture{suffix}"
    files.write(path, noise((9, 14, 3)))
    monkeypatch.setattr(Image.Image, "load", None)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", None)
    assert files.dimensions(path) == (14, 9)


def test_dimensions_of_what_is_no_picture(folder):
    (folder / "notes.png").write_text("rain")
    with pytest.raises(FileError, match="not a picture"):
        files.dimensions(folder / "notes.png")
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 9)
    with pytest.raises(FileError, match="damaged"):
        files.dimensions(folder / "cut.png")
