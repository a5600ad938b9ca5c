"""How close an image is to a reference, or to good pictures where there is none.

PSNR and SSIM are as the field of deraining reports them; NIQE needs no reference. In names "Y" is
the luma of MATLAB's ``rgb2ycbcr``, which runs from 16/255 (black) to 235/255 (white). Full-range
luma reads about 1.3 dB lower, so numbers compare only when both are on the same one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from udg.errors import InvalidInput
from udg.imaging.image import Array, DataRange, prepare
from udg.quality.niqe import niqe

__all__ = ["niqe", "psnr_rgb", "psnr_y", "ssim_y"]

_OFFSET = 16.0
_WEIGHTS = np.array([65.481, 128.553, 24.966])
_SIGMA = 1.5
_WINDOW = 11


def psnr_y(image: Array, reference: Array, *, data_range: DataRange | None = None) -> float:
    """Peak signal-to-noise ratio on luma 16–235, in dB; higher is closer.

    The luma is MATLAB's ``rgb2ycbcr``, ``(16 + 65.481 R + 128.553 G + 24.966 B) / 255`` for R, G
    and B in [0, 1], not rounded; the peak is 1. Full-range luma would read 1.3 dB lower.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        The image to judge: grey or RGB, with or without alpha, which is ignored. Grey is taken
        as R = G = B. uint8, uint16 or float.
    reference : array_like, same shape as ``image``
        The true image. It may have another type: each is scaled by its own range.
    data_range : float or (float, float), optional
        Value of full light, or of no light and full light, in both images; by default that of
        each image's type, and [0, 1] for floats.

    Returns
    -------
    float
        ``inf`` for identical images.

    Raises
    ------
    InvalidImage
        One of the two is not an image, or its values are outside its range.
    InvalidInput
        The shapes differ, or the images are neither grey nor RGB.

    Examples
    --------
    >>> import numpy as np, udg
    >>> black = np.zeros((16, 16, 3))
    >>> round(udg.psnr_y(black + 0.1, black), 2)  # 0.1 × 219 / 255 on luma
    21.32
    """
    first, second = _pair(image, reference, data_range)
    return _psnr(_luma(first), _luma(second))


def ssim_y(image: Array, reference: Array, *, data_range: DataRange | None = None) -> float:
    """Mean structural similarity on luma 16–235, at most 1; higher is closer.

    The luma is that of `psnr_y`. The window is an 11×11 Gaussian of σ 1.5, with population
    covariance, K1 0.01, K2 0.03 and a data range of 1; the mean leaves out 5 pixels at each border,
    where the window would stick out.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        The image to judge, at least 11×11: grey or RGB, with or without alpha, which is ignored.
        Grey is taken as R = G = B. uint8, uint16 or float.
    reference : array_like, same shape as ``image``
        The true image. It may have another type: each is scaled by its own range.
    data_range : float or (float, float), optional
        Value of full light, or of no light and full light, in both images; by default that of
        each image's type, and [0, 1] for floats.

    Returns
    -------
    float
        1 for identical images.

    Raises
    ------
    InvalidImage
        One of the two is not an image, or its values are outside its range.
    InvalidInput
        The shapes differ, the images are neither grey nor RGB, or smaller than 11×11.

    Notes
    -----
    Z. Wang, A. C. Bovik, H. R. Sheikh and E. P. Simoncelli, "Image quality assessment: from error
    visibility to structural similarity", IEEE Transactions on Image Processing 13(4), 2004.

    Examples
    --------
    >>> import numpy as np, udg
    >>> ramp = np.tile(np.linspace(0, 1, 32), (32, 1))
    >>> udg.ssim_y(ramp, ramp)
    1.0
    """
    from skimage.metrics import structural_similarity  # slow to import, so only when used

    first, second = _pair(image, reference, data_range)
    height, width = first.shape[:2]
    if min(height, width) < _WINDOW:
        raise InvalidInput(
            f"the images are {height}×{width} pixels; SSIM needs at least {_WINDOW}×{_WINDOW}, "
            "the size of its window"
        )
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            _luma(first),
            _luma(second),
            gaussian_weights=True,
            sigma=_SIGMA,
            use_sample_covariance=False,
            data_range=1.0,
        )
    )


def psnr_rgb(image: Array, reference: Array, *, data_range: DataRange | None = None) -> float:
    """Peak signal-to-noise ratio over all colour channels together, in dB; higher is closer.

    The squared error is averaged over pixels and channels in [0, 1], full range, and the peak is 1.
    A grey image counts as R = G = B.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        The image to judge: grey or RGB, with or without alpha, which is ignored. uint8, uint16
        or float.
    reference : array_like, same shape as ``image``
        The true image. It may have another type: each is scaled by its own range.
    data_range : float or (float, float), optional
        Value of full light, or of no light and full light, in both images; by default that of
        each image's type, and [0, 1] for floats.

    Returns
    -------
    float
        ``inf`` for identical images.

    Raises
    ------
    InvalidImage
        One of the two is not an image, or its values are outside its range.
    InvalidInput
        The shapes differ, or the images are neither grey nor RGB.

    Examples
    --------
    >>> import numpy as np, udg
    >>> black = np.zeros((16, 16, 3))
    >>> round(udg.psnr_rgb(black + 0.1, black), 2)
    20.0
    """
    return _psnr(*_pair(image, reference, data_range))


def _pair(
    image: Array, reference: Array, data_range: DataRange | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Colours of both in [0, 1], shape ``(H, W, 1 or 3)``; alpha is dropped."""
    first, second = prepare(image, data_range), prepare(reference, data_range)
    light, true = (np.asarray(each.unit(), np.float64) for each in (first, second))
    if light.shape != true.shape:
        raise InvalidInput(
            f"the image's shape is {tuple(first.pixels.shape)} and the reference's is "
            f"{tuple(second.pixels.shape)}; crop or convert one so that they match"
        )
    if light.shape[2] not in (1, 3):
        raise InvalidInput(
            f"the images have {light.shape[2]} bands, and only grey and RGB have a luma; "
            "choose one or three of them"
        )
    return light, true


def _luma(colours: NDArray[np.float64]) -> NDArray[np.float64]:
    rgb = np.broadcast_to(colours, (*colours.shape[:2], 3))
    luma: NDArray[np.float64] = (_OFFSET + rgb @ _WEIGHTS) / 255
    return luma


def _psnr(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    error = float(np.mean((first - second) ** 2))
    return math.inf if error == 0 else -10 * math.log10(error)
