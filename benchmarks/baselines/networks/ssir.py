"""SSIR: DDN's network, which also learns from rain that has no clean version.

W. Wei, D. Meng, Q. Zhao, Z. Xu and Y. Wu, "Semi-supervised transfer learning for image rain
removal", CVPR 2019. Pairs are learnt by mean squared error. What the network takes from real rainy
pictures shall be likely under a mixture of three Gaussians of mean zero, which follows by
expectation and maximisation, a step a batch; the result's total variation shall be small. The
distance of the mixture from the rain of the pairs, a divergence with the published weight 1e-9, has
no gradient and is only reported.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .ddn import DDN
from .recipe import Batch
from .recipe import Training as Base
from .shared import Network

__all__ = ["PUBLISHED", "SSIR", "Mixture", "Training", "build"]

#: Layers of the authors' published training code: those of DDN. The mixture is not in the network.
PUBLISHED = 57_369

_FLOOR = 1e-6  # of the variances


class SSIR(DDN):
    """The network of semi-supervised transfer learning, with the sizes of `DDN`."""


class Mixture:
    """Gaussians of mean zero for the rain of single pixels.

    Parameters
    ----------
    variances : tuple of float
        To begin with; they must differ, or they never will.
    device : device
        Where they live.

    Attributes
    ----------
    weights, variances : Tensor, shape (K,)
        Shares and variances.
    """

    def __init__(
        self,
        variances: tuple[float, ...] = (1e-4, 1e-3, 1e-2),
        device: torch.device | str = "cpu",
    ) -> None:
        self.variances = torch.tensor(variances, device=device)
        self.weights = torch.full_like(self.variances, 1 / len(variances))

    def log_densities(self, rain: Tensor) -> Tensor:
        """log(share · density) of each component for each number: shape (K, …)."""
        shape = (-1, *[1] * rain.ndim)
        variances, weights = self.variances.view(shape), self.weights.view(shape)
        return weights.log() - (2 * math.pi * variances).log() / 2 - rain**2 / (2 * variances)

    def surprise(self, rain: Tensor) -> Tensor:
        """−log likelihood, the mean over all numbers. Its gradient is that of the EM bound."""
        return -torch.logsumexp(self.log_densities(rain), dim=0).mean()

    def update(self, rain: Tensor) -> None:
        """One step of expectation and maximisation."""
        rain = rain.detach().flatten()
        shares = torch.softmax(self.log_densities(rain), dim=0)
        totals = shares.sum(1) + 1e-12
        self.weights = totals / totals.sum()
        self.variances = (shares * rain**2).sum(1) / totals + _FLOOR

    def divergence(self, rain: Tensor) -> Tensor:
        """Kullback–Leibler divergence of the rain's own Gaussian from the nearest component."""
        mean, variance = rain.mean(), rain.var(unbiased=False) + _FLOOR
        ratio = variance / self.variances
        return ((ratio + mean**2 / self.variances - 1 - ratio.log()) / 2).min()


class Training(Base):
    """Pairs and real rain together.

    Attributes
    ----------
    mixture : Mixture
        Of the real rain.
    """

    needs = "pairs and real"
    lr = 1e-3
    crop = 64
    batch = 20
    likelihood, variation, gap = 0.5, 1e-5, 1e-9

    def __init__(self, net: Network, lr: float | None = None, seed: int = 0) -> None:
        super().__init__(net, lr, seed)
        self.mixture = Mixture(device=self.device)

    def rate(self, done: float) -> float:
        """A tenth after each third."""
        return 0.1 ** int(3 * done)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """‖f(rainy) − clean‖² − 0.5 log p(real − f(real)) + 1e-5 TV(f(real)) + 1e-9 divergence."""
        derained = self.net.restore(batch.real)
        rain = batch.real - derained
        self.mixture.update(rain)
        return {
            "distance": F.mse_loss(self.net.restore(batch.rainy), batch.clean),
            "likelihood": self.likelihood * self.mixture.surprise(rain),
            "variation": self.variation * total_variation(derained).mean(),
            "divergence": self.gap * self.mixture.divergence(batch.rainy - batch.clean),
        }


def total_variation(images: Tensor) -> Tensor:
    """Sum of absolute differences of neighbours, both ways: (N, C, H, W) to (N,)."""
    return images.diff(dim=-1).abs().sum((1, 2, 3)) + images.diff(dim=-2).abs().sum((1, 2, 3))


def build(width: int = 16, depth: int = 26) -> SSIR:
    """Make the network in eval mode; see `DDN`."""
    return SSIR(width, depth).eval()
