"""The rotation θ∘ as a network sees it: differentiable, its only parameter an angle.

The same as `udg.imaging.geometry` (clockwise from vertical is positive, and turning by it makes
streaks vertical; cubic B-splines; a picture surrounded by its reflection), for batches with an
angle each and with a gradient with respect to both pixels and angle. This is the paper's "modified
spatial transform": a spatial transformer whose affine map can only be a rotation.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from udg.errors import InvalidInput
from udg.imaging.geometry import rotated_shape

__all__ = ["inside", "rotate", "unrotate"]

_POLE = math.sqrt(3) - 2  # of the cubic B-spline's inverse filter
_TAPS = 20  # to each side; what is cut off is below 1e-11


def rotate(images: Tensor, angle: Tensor | float, shape: tuple[int, int] | None = None) -> Tensor:
    """Turn images so that streaks at ``angle`` become vertical (θ∘ in Eq. 1).

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        Any range. Half precision is computed in, and returned as, float32.
    angle : Tensor of shape () or (B,), or float
        Degrees clockwise from vertical, one for all or one an image. Receives a gradient.
    shape : (int, int), optional
        Height and width of the result, centre on centre. Default: the smallest frame that holds
        every image; on a GPU that waits for the angles, so give a shape in a training loop. A
        frame of side s holds nothing but picture if the images' sides are at least s·√2.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        Beyond the picture lies its reflection (see `inside`). Each plane keeps its range.

    Raises
    ------
    InvalidInput
        `images` or `angle` has another shape, or an integer type.
    """
    images = _images(images)
    degrees = _degrees(angle, images)
    return _resample(images, degrees, shape or _frame(images, degrees))


def unrotate(layers: Tensor, angle: Tensor | float, shape: tuple[int, int]) -> Tensor:
    """Turn layers of the rotated frame back into the pictures' frame: the inverse of `rotate`.

    Parameters
    ----------
    layers : Tensor, shape (B, C, h, w)
        What was found in the rotated frame, such as the rain R.
    angle : Tensor of shape () or (B,), or float
        What was given to `rotate`, in degrees.
    shape : (int, int)
        Height and width of the pictures that were rotated.

    Returns
    -------
    Tensor, shape (B, C, H, W)
        Each pixel on the place it came from. Each plane keeps its range, so that R ≥ 0 remains
        true.

    Raises
    ------
    InvalidInput
        `layers` or `angle` has another shape, or an integer type.
    """
    layers = _images(layers)
    return _resample(layers, -_degrees(angle, layers), shape)


def inside(images: Tensor, angle: Tensor | float, shape: tuple[int, int] | None = None) -> Tensor:
    """Tell the picture from its surroundings in the rotated frame.

    Parameters
    ----------
    images : Tensor, shape (B, C, H, W)
        What is given to `rotate`; only its shape counts.
    angle : Tensor of shape () or (B,), or float
        Degrees, as for `rotate`.
    shape : (int, int), optional
        As for `rotate`.

    Returns
    -------
    Tensor of bool, shape (B, 1, H, W)
        True where `rotate` reads from within the picture. Elsewhere lies its reflection, whose
        streaks have the mirrored angle: no loss should look there.

    Raises
    ------
    InvalidInput
        `images` or `angle` has another shape, or an integer type.
    """
    images = _images(images)
    with torch.no_grad():
        degrees = _degrees(angle, images)
        row, column = _positions(images, degrees, shape or _frame(images, degrees))
        # A hair's breadth of tolerance: at 0° rounding must not cut off pixels.
        within = [
            (position > -0.501) & (position < size - 0.499)
            for position, size in zip((row, column), images.shape[-2:], strict=True)
        ]
        return (within[0] & within[1])[:, None]


def _images(images: Tensor) -> Tensor:
    if images.ndim != 4 or 0 in images.shape or not images.is_floating_point():
        raise InvalidInput(
            f"images have shape {tuple(images.shape)} and type {images.dtype}; "
            "give a float tensor of shape (B, C, H, W)"
        )
    return images if images.dtype == torch.float64 else images.float()


def _degrees(angle: Tensor | float, images: Tensor) -> Tensor:
    degrees = torch.as_tensor(angle, dtype=images.dtype, device=images.device)
    if degrees.ndim > 1 or (degrees.ndim == 1 and len(degrees) != len(images)):
        raise InvalidInput(
            f"angle has shape {tuple(degrees.shape)} for {len(images)} images; "
            "give one angle, or one an image"
        )
    return degrees.expand(len(images))


def _frame(images: Tensor, degrees: Tensor) -> tuple[int, int]:
    height, width = images.shape[-2:]
    frames = [rotated_shape((height, width), angle) for angle in degrees.tolist()]
    heights, widths = zip(*frames, strict=True)
    return max(heights), max(widths)


def _positions(images: Tensor, degrees: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Rows and columns of the images at which the rotated frame's pixels lie, (B, h, w) each."""
    along, across = (
        torch.arange(size, dtype=images.dtype, device=images.device) - (size - 1) / 2
        for size in shape
    )
    along, across = along[:, None], across[None, :]
    theta = torch.deg2rad(degrees)[:, None, None]
    cos, sin = theta.cos(), theta.sin()
    height, width = images.shape[-2:]
    return (
        cos * along + sin * across + (height - 1) / 2,
        cos * across - sin * along + (width - 1) / 2,
    )


def _resample(images: Tensor, degrees: Tensor, shape: tuple[int, int]) -> Tensor:
    """Cubic B-spline through the images' pixels, read at the rotated positions.

    A cubic B-spline is the sum of two linear interpolations along each axis, at positions and with
    weights that depend on the fraction (Sigg and Hadwiger, GPU Gems 2, chapter 20): four bilinear
    readings, each of which is a `grid_sample`.
    """
    with torch.autocast(images.device.type, enabled=False):
        coefficients = _spline_coefficients(images)
        rows, columns = (_pair(p) for p in _positions(images, degrees, shape))
        height, width = images.shape[-2:]
        result = images.new_zeros(())
        for row_weight, row in rows:
            for column_weight, column in columns:
                grid = torch.stack(
                    [(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], dim=-1
                )
                value = F.grid_sample(
                    coefficients, grid, "bilinear", "reflection", align_corners=False
                )
                result = result + (row_weight * column_weight)[:, None] * value
        # A spline overshoots beside edges; light below none or above full does not exist.
        planes = images.flatten(2)
        low, high = planes.amin(-1)[..., None, None], planes.amax(-1)[..., None, None]
        return torch.clamp(result, low, high)


def _pair(position: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Weight and position of each of the two linear readings along one axis."""
    pixel = position.detach().floor()
    t = position - pixel
    s = 1 - t
    first, second = s**3 / 6, (4 - 6 * t**2 + 3 * t**3) / 6
    third, fourth = (4 - 6 * s**2 + 3 * s**3) / 6, t**3 / 6
    before, after = first + second, third + fourth
    return (before, pixel - 1 + second / before), (after, pixel + 1 + fourth / after)


def _spline_coefficients(images: Tensor) -> Tensor:
    """Coefficients of the spline that passes through the pixels, the picture mirrored beyond."""
    # As matrices: convolutions would run in TF32 on GPUs, whose 10 bits show in a picture.
    rows, columns = (_inverse_filter(size, images) for size in images.shape[-2:])
    return rows @ images @ columns.mT


def _inverse_filter(size: int, like: Tensor) -> Tensor:
    """The B-spline's inverse filter √3 z^|k| along one axis, as a matrix."""
    offset = torch.arange(-_TAPS, _TAPS + 1, device=like.device)
    taps = math.sqrt(3) * _POLE ** offset.abs().to(like.dtype)
    pixel = (torch.arange(size, device=like.device)[:, None] + offset) % (2 * size)
    pixel = torch.minimum(pixel, 2 * size - 1 - pixel)  # d c b a | a b c d | d c b a
    return like.new_zeros(size, size).scatter_add(1, pixel, taps.expand(size, -1))
