"""pix2pix: a U-Net that has to please a PatchGAN which sees the rainy image, too.

P. Isola, J.-Y. Zhu, T. Zhou and A. A. Efros, "Image-to-image translation with conditional
adversarial networks", CVPR 2017; the reference behind "PatchGAN" in the UDGNet paper, which trains
without pairs. Eight halvings by 4×4 convolutions and back with skips; the PatchGAN is udg's, of
70×70. The published batch of one makes batch normalisation that of single images, which is what we
use, so that images do not depend on their neighbours. Dropout is off when it derains, so that the
same image always gives the same result; the paper leaves it on.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from udg.errors import InvalidInput
from udg.net import PatchDiscriminator

from .recipe import Adversarial, Batch
from .shared import Network, extend, gaussian

__all__ = ["PUBLISHED", "Pix2Pix", "Training", "build"]

#: The generator, as the authors' code prints it ("54.414 M"); the discriminator has 2.769 M.
PUBLISHED = 54_414_000

_DROPPED = 3  # innermost steps up that have dropout


class Pix2Pix(Network):
    """U-Net-256, the generator.

    Parameters
    ----------
    width : int
        Channels after the first convolution; they double with each further one, up to eight times.
    depth : int
        Halvings; images are mirrored to sides that are multiples of two to this power.
    """

    def __init__(self, width: int = 64, depth: int = 8) -> None:
        super().__init__(width=width, depth=depth)
        if depth < 2:
            raise InvalidInput(f"depth is {depth}; give at least 2")
        channels = [width * min(2**number, 8) for number in range(depth)]
        self.down = nn.ModuleList([nn.Conv2d(3, width, 4, 2, 1, bias=False)])
        self.up = nn.ModuleList()
        for number in range(1, depth):
            outer, inner = channels[number - 1], channels[number]
            innermost = number == depth - 1
            self.down.append(
                nn.Sequential(
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(outer, inner, 4, 2, 1, bias=False),
                    nn.Identity() if innermost else nn.InstanceNorm2d(inner, affine=True),
                )
            )
            self.up.append(
                nn.Sequential(
                    nn.ReLU(),
                    nn.ConvTranspose2d(
                        inner if innermost else 2 * inner, outer, 4, 2, 1, bias=False
                    ),
                    nn.InstanceNorm2d(outer, affine=True),
                    nn.Dropout(0.5) if depth - 1 - number < _DROPPED else nn.Identity(),
                )
            )
        self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh())
        gaussian(self)

    def restore(self, rainy: Tensor) -> Tensor:
        """Translate; the result is in [0, 1]."""
        height, width = rainy.shape[-2:]
        x = 2 * extend(rainy, 2 ** len(self.down)) - 1
        skips = []
        for down in self.down:
            x = down(x)
            skips.append(x)
        x = skips.pop()
        for up in reversed(self.up):
            x = torch.cat([up(x), skips.pop()], dim=1)
        return (self.last(x)[..., :height, :width] + 1) / 2


class Training(Adversarial):
    """Conditional adversarial loss and absolute distance.

    Parameters
    ----------
    net : Network
        The generator.
    lr : float, optional
        Of both networks.
    seed : int
        Not used.
    """

    distance = 100.0

    def __init__(self, net: Network, lr: float | None = None, seed: int = 0) -> None:
        super().__init__(net, lr, seed)
        self.generators = net
        self.critics = PatchDiscriminator(channels=6, width=net.sizes["width"])
        gaussian(self.critics)
        self.prepare()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """−log D(x, G(x)) + 100 |G(x) − y|, D being the logistic function of the scores."""
        made = self.net.restore(batch.rainy)
        self.seen = batch, made.detach()
        scores = self.critics(torch.cat([batch.rainy, made], dim=1))
        return {
            "adversarial": _cross_entropy(scores, 1.0),
            "distance": self.distance * F.l1_loss(made, batch.clean),
        }

    def judge(self) -> dict[str, Tensor]:
        """−½ log D(x, y) − ½ log(1 − D(x, G(x)))."""
        batch, made = self.seen
        real = self.critics(torch.cat([batch.rainy, batch.clean], dim=1))
        fake = self.critics(torch.cat([batch.rainy, made], dim=1))
        return {"discriminator": (_cross_entropy(real, 1.0) + _cross_entropy(fake, 0.0)) / 2}


def _cross_entropy(scores: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(scores, torch.full_like(scores, label))


def build(width: int = 64, depth: int = 8) -> Pix2Pix:
    """Make the generator in eval mode; see `Pix2Pix`."""
    return Pix2Pix(width, depth).eval()
