"""The angle regression network (Eq. 12)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udg.errors import InvalidInput

__all__ = ["AngleNet", "average_angle"]

_BATCH = 32  # patches at once; bounds memory on large pictures
_HALF_BOX = 7  # pixels
_FAINTEST = 1e-3  # details below this part of full light are not enlarged to full contrast
_DISAGREEMENT = 8.0  # degrees between a patch and its mirrored copy that halve its weight
_HIGHLIGHT = 3.0  # details are cut off here, in units of their root mean square


class AngleNet(nn.Module):
    """From patches of an image to the angle of its streaks.

    What the convolutions see is not the image but its bright details, as in `udg.estimate_angle`:
    the positive part of what a smooth version leaves, relative to its own size, so that neither
    the scene's light nor its contrast matters. That has no parameters and is not in the paper.

    Then a 1×1 convolution, pairs of 3×3 convolutions with a max-pool between one pair and the next,
    and a 3×3 convolution to one number a in [0, 1]: the angle is 45 − 90a degrees.

    Parameters
    ----------
    channels : int
        Of the images.
    widths : sequence of int
        Channels of each pair of convolutions.
    pools : sequence of int
        Factor of each max-pool, one fewer than pairs. Their product is `patch`.

    Attributes
    ----------
    patch : int
        Side, in pixels, of the patch that becomes one number: 128 by default.
    """

    def __init__(
        self,
        channels: int = 3,
        widths: Sequence[int] = (32, 64, 128, 64, 32),
        pools: Sequence[int] = (2, 4, 4, 4),
    ) -> None:
        super().__init__()
        if len(pools) != len(widths) - 1:
            raise InvalidInput(
                f"{len(widths)} widths and {len(pools)} pools were given; "
                "give one pool between every two widths"
            )
        self.patch = math.prod(pools)
        layers: list[nn.Module] = [nn.Conv2d(channels, channels, 1)]
        previous = channels
        for number, width in enumerate(widths):
            if number > 0:
                layers.append(nn.MaxPool2d(pools[number - 1]))
            for inputs in (previous, width):
                layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            previous = width
        layers.append(nn.Conv2d(previous, 1, 3, padding=1))
        self.body = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """The angle of each image.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            Values in [0, 1], H and W at least `patch`. Larger images give a mean over positions a
            patch apart. In training mode, images of one patch must come at least two at a time:
            batch normalisation has no variance of a single number.

        Returns
        -------
        Tensor, shape (B,), float32 (float64 for such images)
            Degrees clockwise from vertical, in [-45, 45].

        Raises
        ------
        InvalidInput
            The images are smaller than a patch.
        """
        if min(images.shape[-2:]) < self.patch:
            raise InvalidInput(
                f"images of {images.shape[-2]}×{images.shape[-1]} pixels are too small for the "
                f"angle network; give at least {self.patch}×{self.patch}, or give the angle"
            )
        a = self.body(_bright_details(images))
        a = torch.sigmoid(a if a.dtype == torch.float64 else a.float())
        return 45 - 90 * a.mean(dim=(-3, -2, -1))


def _bright_details(images: Tensor) -> Tensor:
    """What is brighter than its surroundings; 1 is the image's root mean square of it."""
    images = images if images.dtype == torch.float64 else images.float()
    smooth = images
    for _ in range(2):  # two boxes of 15 are nearly a Gaussian of σ 6
        padded = F.pad(smooth, (_HALF_BOX,) * 4, mode="replicate")
        smooth = F.avg_pool2d(padded, 2 * _HALF_BOX + 1, stride=1)
    bright = torch.relu(images - smooth)
    scale = bright.square().mean(dim=(1, 2, 3), keepdim=True)
    return torch.clamp(bright / torch.sqrt(scale + _FAINTEST**2), max=_HIGHLIGHT)


def average_angle(net: AngleNet, image: Tensor, stride: int | None = None) -> float:
    """The angle of one image of any size, from overlapping patches.

    The paper takes the mean of the patches. Here each patch is also seen in a mirror, where streaks
    have the opposite angle, and the image's angle is the median of the patches, weighted by how
    well the two answers agree: one without rain gives the same answer to both, or any.

    Parameters
    ----------
    net : AngleNet
        In eval mode, or its batch normalisation learns from the image.
    image : Tensor, shape (C, H, W)
        Values in [0, 1], on the network's device. If a side is smaller than a patch the image is
        enlarged, which keeps angles.
    stride : int, optional
        Pixels from one patch to the next; default half a patch (64). The last of a row or column
        lies at the border.

    Returns
    -------
    float
        Degrees clockwise from vertical.

    Raises
    ------
    InvalidInput
        `stride` is below 1.
    """
    stride = max(1, net.patch // 2) if stride is None else stride
    if stride < 1:
        raise InvalidInput(f"stride is {stride}; give a whole number of pixels that is at least 1")
    factor = net.patch / min(image.shape[-2:])
    if factor > 1:
        size = [math.ceil(side * factor) for side in image.shape[-2:]]
        image = F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]
    with torch.inference_mode():
        return _median_angle(*_both_ways(net, image, _corners(image, net.patch, stride)))


def _both_ways(
    net: AngleNet, image: Tensor, corners: list[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """Each patch's angle as it is seen directly, and as it is seen in a mirror."""
    direct, mirrored = [], []
    for first in range(0, len(corners), _BATCH):
        patches = torch.stack(
            [
                image[:, top : top + net.patch, left : left + net.patch]
                for top, left in corners[first : first + _BATCH]
            ]
        )
        direct.append(net(patches))
        mirrored.append(-net(patches.flip(-1)))
    return torch.cat(direct), torch.cat(mirrored)


def _median_angle(direct: Tensor, mirrored: Tensor) -> float:
    """Median of the patches, those in agreement with their mirrored copies weighing most."""
    angles, order = ((direct + mirrored) / 2).sort()
    weights = 1 / (1 + ((direct - mirrored) / _DISAGREEMENT).square())[order]
    sums = weights.cumsum(0)
    return float(angles[torch.searchsorted(sums, sums[-1:] / 2)])


def _corners(image: Tensor, patch: int, stride: int) -> list[tuple[int, int]]:
    return [
        (top, left)
        for top in _starts(image.shape[-2], patch, stride)
        for left in _starts(image.shape[-1], patch, stride)
    ]


def _starts(size: int, patch: int, stride: int) -> list[int]:
    last = size - patch
    return sorted({*range(0, last + 1, stride), last})
