"""RCDNet: rain as a sum of streaks times maps, found by proximal gradient steps that are learnt.

H. Wang, Q. Xie, Q. Zhao and D. Meng, "A model-driven deep neural network for single image rain
removal", CVPR 2020. The image is Y = X + R, and its rain R = C M = Σₙ Cₙ ⊗ Mₙ. In 17 stages

    M ← proxM(M − η Cᵀ(C M − (Y − X))),    X ← proxX(X − η (X − (Y − C M))),

where both proximal maps are four residual blocks; that of M ends in max(0, · − τ), and that of X
has 32 more channels, which it hands on to the next one. All stages share the 32 kernels C of 9×9×3.
Steps, kernels and thresholds belong to values up to 255, so that is what stages see.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .recipe import Batch
from .recipe import Training as Base
from .shared import Network

__all__ = ["PUBLISHED", "UNUSED", "RCDNet", "Training", "build"]

#: Layers of the authors' published code ("3.17 M"): 12.7 MB; the UDGNet paper's Table 3 has 13.1.
PUBLISHED = 3_166_355

#: What of that ours does without: the paper's kernels are shared by all stages.
UNUSED = {
    "a proximal network of M that is never called": 74_528,
    "16 more copies of the 32 kernels, one of which the first stage uses": 16 * 7_776,
    "a step size that is never used": 1,
}

_RANGE = 255
_PACE = 10  # kernels and step sizes are learnt so many times as large as they act
_KERNEL = 9


class Stages(NamedTuple):
    """What all stages find, in [0, 1].

    Attributes
    ----------
    backgrounds : list of Tensor, shape (N, 3, H, W)
        The first guess, one of each stage, and the refined last one.
    rains : list of Tensor, shape (N, 3, H, W)
        One of each stage.
    """

    backgrounds: list[Tensor]
    rains: list[Tensor]


class RCDNet(Network):
    """Rain convolutional dictionary network.

    Parameters
    ----------
    stages : int
        Turns of M and X.
    maps : int
        Kernels and their rain maps.
    extra : int
        Channels beside the background that its proximal maps work with.
    """

    def __init__(self, stages: int = 17, maps: int = 32, extra: int = 32) -> None:
        super().__init__(stages=stages, maps=maps, extra=extra)
        self.kernels = nn.Parameter(_streaks(maps))
        self.start = nn.Conv2d(3, extra, 3, padding=1, bias=False)
        nn.init.constant_(self.start.weight, 1 / 9)
        self.guess = _Proximal(3 + extra)
        self.of_maps = nn.ModuleList(_Maps(maps) for _ in range(stages))
        self.of_background = nn.ModuleList(_Proximal(3 + extra) for _ in range(stages))
        self.refine = _Proximal(3 + extra)
        self.map_steps = nn.Parameter(torch.full((stages - 1,), 1.0))
        self.background_steps = nn.Parameter(torch.full((stages,), 5.0))
        self.threshold = nn.Parameter(torch.ones(1))

    def stages(self, rainy: Tensor) -> Stages:
        """All stages' backgrounds and rain, for the loss."""
        Y = _RANGE * rainy
        C = self.kernels / _PACE
        both = self.guess(torch.cat([Y, self.start(Y)], dim=1))
        X = both[:, :3]
        backgrounds, rains = [X], []
        # M is zero: its first estimate is what surely is rain.
        M = _adjoint(F.relu(Y - X - self.threshold), C)
        for number, (proximal_M, proximal_X) in enumerate(
            zip(self.of_maps, self.of_background, strict=True)
        ):
            M = proximal_M(M)
            R = F.conv2d(M, C, padding=_KERNEL // 2)
            step = self.background_steps[number] / _PACE
            both = proximal_X(torch.cat([X - step * (X - (Y - R)), both[:, 3:]], dim=1))
            X = both[:, :3]
            backgrounds.append(X)
            rains.append(R)
            if number < len(self.map_steps):
                M = M - self.map_steps[number] / _PACE * _adjoint(R - (Y - X), C)
        backgrounds.append(self.refine(both)[:, :3])
        return Stages([X / _RANGE for X in backgrounds], [R / _RANGE for R in rains])

    def restore(self, rainy: Tensor) -> Tensor:
        """The refined background."""
        return self.stages(rainy).backgrounds[-1]


def _adjoint(rain: Tensor, kernels: Tensor) -> Tensor:
    return F.conv_transpose2d(rain, kernels, padding=_KERNEL // 2)


class _Proximal(nn.Module):
    """Four residual blocks; each ends in a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.BatchNorm2d(channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(channels, channels, 3, padding=1),
                nn.BatchNorm2d(channels),
            )
            for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = F.relu(x + block(x))
        return x


class _Maps(_Proximal):
    """What is weak in a rain map becomes zero."""

    def __init__(self, maps: int) -> None:
        super().__init__(maps)
        self.threshold = nn.Parameter(torch.full((1, maps, 1, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x) - self.threshold)


def _streaks(count: int) -> Tensor:
    """Kernels to begin with: lines within 60° of vertical, thin and thick, of sum 1; ours."""
    half = _KERNEL // 2
    row, column = torch.meshgrid(*[torch.arange(-half, half + 1.0)] * 2, indexing="ij")
    kernels = []
    for number in range(count):
        angle = math.radians(60) * (2 * (number + 0.5) / count - 1)
        across = column * math.cos(angle) + row * math.sin(angle)
        along = row * math.cos(angle) - column * math.sin(angle)
        width = (0.4, 0.8)[number % 2]
        line = torch.exp(-((across / width) ** 2 + (along / 3) ** 2) / 2)
        kernels.append(line / line.sum())
    return torch.stack(kernels).expand(3, -1, -1, -1).contiguous()


class Training(Base):
    """Every stage counts, the last one ten times."""

    lr = 1e-3
    crop = 64
    batch = 16

    def rate(self, done: float) -> float:
        """A fifth after each quarter."""
        return 0.2 ** int(4 * done)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Σ λ ‖B⁽ˢ⁾ − clean‖² + Σ λ ‖R⁽ˢ⁾ − rain‖², λ = 1 for the last ones and 0.1 else."""
        found = self.net.stages(batch.rainy)
        return {
            "background": _weighed(found.backgrounds, batch.clean),
            "rain": _weighed(found.rains, batch.rainy - batch.clean),
        }


def _weighed(found: list[Tensor], target: Tensor) -> Tensor:
    distances = torch.stack([F.mse_loss(one, target) for one in found])
    return 0.1 * distances[:-1].sum() + distances[-1]


def build(stages: int = 17, maps: int = 32, extra: int = 32) -> RCDNet:
    """Make the network in eval mode; see `RCDNet`."""
    return RCDNet(stages, maps, extra).eval()
