"""JORDER-E: where it rains, how much, and what is behind, estimated together and then once more.

W. Yang, R. T. Tan, J. Feng, Z. Guo, S. Yan and J. Liu, "Joint rain detection and removal from a
single image with contextualized deep networks", TPAMI 2019. Each recurrence has its own weights: 9
blocks, each of three pairs of 3×3 convolutions (dilations 1 1, 2 2, 2 4) beside a shortcut; heads
for the mask and the level of rain, which then scale and shift the features; and a decoder whose
output is added to the image. The second recurrence sees the first one's background and adds to its
features, mask and level.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .recipe import Batch
from .recipe import Training as Base
from .shared import Network

__all__ = ["JORDERE", "PUBLISHED", "Training", "build"]

#: Layers of the authors' published code; 16.7 MB, as in the UDGNet paper's Table 3.
PUBLISHED = 4_169_024

_DILATIONS = ((1, 1), (2, 2), (2, 4))
_SHARES = (1.0, 0.1, 0.1)  # of the paths with these dilations


class Estimate(NamedTuple):
    """What one recurrence finds.

    Attributes
    ----------
    background : Tensor, shape (N, 3, H, W)
        The derained image.
    mask : Tensor, shape (N, 2, H, W)
        Logits of dry and rainy.
    level : Tensor, shape (N, 3, H, W)
        The rain.
    features : list of Tensor, shape (N, width, H, W)
        After each block.
    """

    background: Tensor
    mask: Tensor
    level: Tensor
    features: list[Tensor]


class JORDERE(Network):
    """Joint rain detection and removal, enhanced.

    Parameters
    ----------
    width : int
        Channels of the features.
    blocks : int
        Blocks of a recurrence.
    recurrences : int
        How often.
    """

    def __init__(self, width: int = 64, blocks: int = 9, recurrences: int = 2) -> None:
        super().__init__(width=width, blocks=blocks, recurrences=recurrences)
        self.recurrences = nn.ModuleList(_Recurrence(width, blocks) for _ in range(recurrences))

    def stages(self, rainy: Tensor) -> list[Estimate]:
        """Estimates of all recurrences, the last one being the best."""
        found: list[Estimate] = []
        for recurrence in self.recurrences:
            found.append(recurrence(rainy, found[-1] if found else None))
        return found

    def restore(self, rainy: Tensor) -> Tensor:
        """The last background."""
        return self.stages(rainy)[-1].background


class _Block(nn.Module):
    """x plus three paths that see more and more of the surroundings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.paths = nn.ModuleList(
            nn.Sequential(
                _conv(width, width, one), nn.ReLU(True), _conv(width, width, two), nn.ReLU(True)
            )
            for one, two in _DILATIONS
        )

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for share, path in zip(_SHARES, self.paths, strict=True):
            y = y + share * path(x)
        return y


class _Recurrence(nn.Module):
    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        self.encoder = _conv(6, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(blocks))
        self.mask = nn.Sequential(_conv(width, 8), _conv(8, 2))
        self.level = nn.Sequential(_conv(width, 8), _conv(8, 3))
        self.scales = nn.ModuleList(_modulation(kind, width) for kind in (2, 3))
        self.shifts = nn.ModuleList(_modulation(kind, width) for kind in (2, 3))
        for scale in self.scales:  # begins as a factor of one
            nn.init.zeros_(scale[-1].weight)
            nn.init.ones_(scale[-1].bias)
        self.decoder = nn.Sequential(_conv(width, width), _conv(width, 3))

    def forward(self, rainy: Tensor, before: Estimate | None) -> Estimate:
        x = self.encoder(torch.cat([rainy, before.background if before else rainy], dim=1))
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x) + before.features[number] if before else block(x)
            features.append(x)
        mask, level = self.mask(x), self.level(x)
        if before:
            mask, level = mask + before.mask, level + before.level
        shifted = x + self.shifts[0](mask) + self.shifts[1](level)
        scaled = x * self.scales[0](mask) * self.scales[1](level)
        return Estimate(rainy + self.decoder(shifted + scaled), mask, level, features)


def _conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def _modulation(kind: int, width: int) -> nn.Sequential:
    return nn.Sequential(_conv(kind, 16), nn.ReLU(inplace=True), _conv(16, width))


class Training(Base):
    """Background, mask and level at once.

    The published weight of the mask is 0.001 for the sum over a batch of 8 patches of 64×64 with
    values up to 255: 0.13 for a mean over pixels with values up to 1.
    """

    lr = 1e-4
    crop = 64
    batch = 8
    mask = 0.13
    level = 0.01

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Σ|Bₜ − clean| + `mask` · cross entropy(mask, rain > 0) + `level` · |level − rain|."""
        stages = self.net.stages(batch.rainy)
        last, rain = stages[-1], batch.rainy - batch.clean
        wet = (rain.mean(1) > 0).long()
        distance = torch.stack([F.l1_loss(one.background, batch.clean) for one in stages]).sum()
        return {
            "distance": distance,
            "mask": self.mask * F.cross_entropy(last.mask, wet),
            "level": self.level * F.l1_loss(last.level, rain),
        }


def build(width: int = 64, blocks: int = 9, recurrences: int = 2) -> JORDERE:
    """Make the network in eval mode; see `JORDERE`."""
    return JORDERE(width, blocks, recurrences).eval()
