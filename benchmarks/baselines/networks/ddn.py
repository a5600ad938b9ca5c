"""DDN: a residual network that sees and corrects details only.

X. Fu, J. Huang, D. Zeng, Y. Huang, X. Ding and J. Paisley, "Removing rain from single images via a
deep detail network", CVPR 2017. The detail layer is the image less its guided filter (He et al.,
radius 15, ε 1, guided by itself); 26 convolutions of 3×3 with 16 channels and batch normalisation,
a shortcut around every two, make of it the negative rain, which is added to the image. Momentum, a
learning rate of 0.1 that is divided by ten after each third, and 20 patches of 64×64 are those of
the authors' published code.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udg.errors import InvalidInput

from .recipe import Batch
from .recipe import Training as Base
from .shared import Network

__all__ = ["DDN", "PUBLISHED", "Training", "build", "guided_filter"]

#: Layers of the authors' published training code. With running statistics these are 58,175 numbers,
#: the 0.233 MB of the UDGNet paper's Table 3.
PUBLISHED = 57_369

RADIUS = 15
EPSILON = 1.0


class DDN(Network):
    """Deep detail network.

    Parameters
    ----------
    width : int
        Channels.
    depth : int
        Convolutions; even, at least 4.
    """

    def __init__(self, width: int = 16, depth: int = 26) -> None:
        super().__init__(width=width, depth=depth)
        if depth % 2 or depth < 4:
            raise InvalidInput(f"depth is {depth}; give an even number that is at least 4")
        self.first = _layer(3, width)
        self.pairs = nn.ModuleList(
            nn.Sequential(_layer(width, width), _layer(width, width)) for _ in range(depth // 2 - 1)
        )
        self.last = _layer(width, 3)[:2]

    def restore(self, rainy: Tensor) -> Tensor:
        """Add the negative rain."""
        x = self.first(rainy - guided_filter(rainy))
        for pair in self.pairs:
            x = x + pair(x)
        return rainy + self.last(x)


def _layer(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def guided_filter(images: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """Smooth images, each channel guided by itself.

    Parameters
    ----------
    images : Tensor, shape (N, C, H, W)
        In [0, 1].
    radius : int
        Of the windows, which have 2 radius + 1 pixels a side and are cut off at the border.
    epsilon : float
        What varies less than this (a variance) is smoothed.
    """

    def mean(u: Tensor) -> Tensor:
        side = 2 * radius + 1
        for window, pad in (((side, 1), (radius, 0)), ((1, side), (0, radius))):
            u = F.avg_pool2d(u, window, stride=1, padding=pad, count_include_pad=False)
        return u

    average = mean(images)
    variance = mean(images * images) - average * average
    slope = variance / (variance + epsilon)
    return mean(slope) * images + mean(average - slope * average)


class Training(Base):
    """Mean squared error."""

    lr = 0.1
    crop = 64
    batch = 20

    def optimizer(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Gradient descent with momentum."""
        return torch.optim.SGD(weights, self.lr, momentum=0.9)

    def rate(self, done: float) -> float:
        """A tenth after each third."""
        return 0.1 ** int(3 * done)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """‖estimate − clean‖², a mean over pixels and channels."""
        return {"distance": F.mse_loss(self.net.restore(batch.rainy), batch.clean)}


def build(width: int = 16, depth: int = 26) -> DDN:
    """Make the network in eval mode; see `DDN`."""
    return DDN(width, depth).eval()
