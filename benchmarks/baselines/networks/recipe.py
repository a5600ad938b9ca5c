"""The form of a training: crops in, a step of every optimizer, named terms of the loss out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from .shared import Network


class Batch(NamedTuple):
    """Crops, each of shape (B, 3, h, w) in [0, 1].

    Attributes
    ----------
    rainy, clean : Tensor
        Of the same scenes, or, for a training that `needs` no pairs, of any.
    real : Tensor, optional
        Rainy ones that have no clean version.
    """

    rainy: Tensor
    clean: Tensor
    real: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Copy to a device."""
        return Batch(*(None if u is None else u.to(device) for u in self))


class Training:
    """A supervised training with one optimizer; subclasses have `loss` and what else differs.

    Parameters
    ----------
    net : Network
        On its device; put into training mode.
    lr : float, optional
        Learning rate at the beginning. Default: the published one.
    seed : int
        Of random numbers that are not torch's.

    Attributes
    ----------
    needs : {"pairs", "pairs and real", "unpaired"}
        Which pictures.
    lr, crop, batch : float, int, int
        As published: learning rate, side of the crops in pixels, crops a step.
    """

    needs: ClassVar[Literal["pairs", "pairs and real", "unpaired"]] = "pairs"
    lr: float
    crop: ClassVar[int]
    batch: ClassVar[int]

    def __init__(self, net: Network, lr: float | None = None, seed: int = 0) -> None:
        self.net = net.train()
        self.lr = self.lr if lr is None else lr
        self.seed = seed
        self.device = next(net.parameters()).device
        self.optimizers = [self.optimizer(net.parameters())]

    def optimizer(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Make an optimizer: Adam, if nothing else was published."""
        return torch.optim.Adam(weights, self.lr)

    def rate(self, done: float) -> float:
        """Part of the learning rate that is left when `done`, in [0, 1), of the training is."""
        return 1.0

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Terms by name; their sum is minimised."""
        raise NotImplementedError

    def step(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """Improve the network on a batch; the terms, detached."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * self.rate(done)
        return self.descend(self.optimizers[0], self.loss(batch))

    @staticmethod
    def descend(optimizer: torch.optim.Optimizer, terms: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make one step against the sum of the terms."""
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
        return {name: term.detach() for name, term in terms.items()}


class Adversarial(Training):
    """A training whose generators play against discriminators, each side with its own Adam.

    Subclasses have `judge`. The second side sees images of the first from before its step.
    """

    lr = 2e-4
    crop = 256
    batch = 1
    critics: nn.Module
    generators: nn.Module

    def prepare(self) -> None:
        """Give each side its optimizer, once `generators` and `critics` are there."""
        self.generators.to(self.device).train()
        self.critics.to(self.device).train()
        sides = (self.generators, self.critics)
        self.optimizers = [self.optimizer(side.parameters()) for side in sides]

    def optimizer(self, weights: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """Adam with a short memory of the gradient."""
        return torch.optim.Adam(weights, self.lr, betas=(0.5, 0.999))

    def rate(self, done: float) -> float:
        """Constant, then falling to zero in the second half."""
        return min(1.0, 2 * (1 - done))

    def judge(self) -> dict[str, Tensor]:
        """Terms of the discriminators' loss, on what `loss` made last."""
        raise NotImplementedError

    def step(self, batch: Batch, done: float = 0.0) -> dict[str, Tensor]:
        """Improve the generators, then the discriminators."""
        self.critics.requires_grad_(False)
        terms = super().step(batch, done)
        self.critics.requires_grad_(True)
        return terms | self.descend(self.optimizers[1], self.judge())
