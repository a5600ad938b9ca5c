"""CycleGAN: rainy to clean and back, learnt without pairs.

J.-Y. Zhu, T. Park, P. Isola and A. A. Efros, "Unpaired image-to-image translation using
cycle-consistent adversarial networks", ICCV 2017. Two generators (a 7×7 convolution, two of stride
2, nine residual blocks, two transposed ones, a 7×7 one and tanh; reflection at borders, instance
normalisation) and two PatchGANs of 70×70, here udg's with batch normalisation, which for the
published batch of one is instance normalisation with a scale. `build` gives the generator that
derains.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from udg.net import ImagePool, PatchDiscriminator
from udg.net.discriminator import discriminator_loss, generator_loss

from .recipe import Adversarial, Batch
from .shared import Network, extend, gaussian

__all__ = ["PUBLISHED", "CycleGAN", "Training", "build"]

#: One generator, as the authors' code prints it ("11.378 M"). The UDGNet paper's Table 3 has 11.7.
PUBLISHED = 11_378_179


class CycleGAN(Network):
    """A generator.

    Parameters
    ----------
    width : int
        Channels after the first convolution; four times as many within the blocks.
    blocks : int
        Residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 9) -> None:
        super().__init__(width=width, blocks=blocks)
        two, four = 2 * width, 4 * width
        self.body = nn.Sequential(
            *_layer(nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect")),
            *_layer(nn.Conv2d(width, two, 3, stride=2, padding=1)),
            *_layer(nn.Conv2d(two, four, 3, stride=2, padding=1)),
            *(_Residual(four) for _ in range(blocks)),
            *_layer(nn.ConvTranspose2d(four, two, 3, 2, padding=1, output_padding=1)),
            *_layer(nn.ConvTranspose2d(two, width, 3, 2, padding=1, output_padding=1)),
            nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect"),
            nn.Tanh(),
        )
        gaussian(self)

    def restore(self, rainy: Tensor) -> Tensor:
        """Translate; the result is in [0, 1]. Sides below 8 pixels are mirrored up to that."""
        height, width = rainy.shape[-2:]
        multiple = 4 if min(height, width) > 4 else 8  # reflection needs two pixels at a quarter
        made = self.body(2 * extend(rainy, multiple) - 1)
        return (made[..., :height, :width] + 1) / 2


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        convolutions = (
            nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect") for _ in range(2)
        )
        one, two = convolutions
        self.body = nn.Sequential(*_layer(one), two, nn.InstanceNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _layer(convolution: nn.Module) -> tuple[nn.Module, ...]:
    return convolution, nn.InstanceNorm2d(convolution.out_channels), nn.ReLU(inplace=True)


class Training(Adversarial):
    """Adversarial (least squares), cycle and identity losses.

    Parameters
    ----------
    net : Network
        The generator that derains; another of its sizes learns to rain.
    lr : float, optional
        Of all four networks.
    seed : int
        Of the pools.
    """

    needs = "unpaired"
    cycle = 10.0
    identity = 5.0
    pool = 50

    def __init__(self, net: Network, lr: float | None = None, seed: int = 0) -> None:
        super().__init__(net, lr, seed)
        back = build(**net.sizes)
        self.generators = nn.ModuleDict({"clean": net, "rainy": back})
        width = net.sizes["width"]
        self.critics = nn.ModuleDict(
            {kind: PatchDiscriminator(width=width) for kind in ("clean", "rainy")}
        )
        gaussian(self.critics)
        self.pools = {kind: ImagePool(self.pool, seed) for kind in ("clean", "rainy")}
        self.prepare()

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """(D(G(x)) − 1)² + 10 |F(G(x)) − x| + 5 |G(y) − y|, and the same the other way round."""
        real = {"rainy": batch.rainy, "clean": batch.clean}
        made, terms = {}, {}
        for kind, other in (("clean", "rainy"), ("rainy", "clean")):
            forth, back = (self.generators[one].restore for one in (kind, other))
            made[kind] = forth(real[other])
            scores = self.critics[kind](made[kind])
            terms |= {
                f"adversarial, {kind}": generator_loss(scores).mean(),
                f"cycle, {other}": self.cycle * F.l1_loss(back(made[kind]), real[other]),
                f"identity, {kind}": self.identity * F.l1_loss(forth(real[kind]), real[kind]),
            }
        self.seen = real, {kind: image.detach() for kind, image in made.items()}
        return terms

    def judge(self) -> dict[str, Tensor]:
        """Least squares on real images and on earlier translations from a pool of 50."""
        real, made = self.seen
        return {
            f"discriminator, {kind}": discriminator_loss(
                critic(real[kind]), critic(self.pools[kind].query(made[kind]))
            )
            for kind, critic in self.critics.items()
        }


def build(width: int = 64, blocks: int = 9) -> CycleGAN:
    """Make the generator in eval mode; see `CycleGAN`."""
    return CycleGAN(width, blocks).eval()
