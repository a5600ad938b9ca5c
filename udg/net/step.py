"""One step of a training: what is trained, on which crops, at which rate and by which loss."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from udg.net.checkpoint import TrainState
from udg.net.config import TrainConfig
from udg.net.data import Crops, Sampler
from udg.net.discriminator import discriminator_loss
from udg.net.envelope import envelope_loss
from udg.net.losses import LossWeights, angle_loss, overall_loss
from udg.net.network import PARTS, Layers
from udg.net.reweighting import measure_density, reweighted, with_sparsity_maps
from udg.net.rotation import rotate

__all__ = ["Trainer", "learning_rate"]

_FLOOR = 0.02  # of the learning rate, at the end of the cosine

Terms = dict[str, Tensor]


class Trainer:
    """Makes the steps of a training, from crops of the pictures and, for the critic, clean ones."""

    def __init__(
        self, config: TrainConfig, state: TrainState, rainy: Sampler, clean: Sampler | None
    ) -> None:
        self.config, self.state, self.rainy, self.clean = config, state, rainy, clean
        device = state.group.device
        half = config.precision == "bfloat16" or (
            config.precision == "auto" and device.type == "cuda"
        )
        self._mixed = torch.autocast(device.type, torch.bfloat16, enabled=half)
        self._frame = (config.crop, config.crop)
        self._parts: tuple[str, ...] = ()
        self._model: nn.Module = state.net
        self._critic = None if state.critic is None else state.group.averaged(state.critic)

    def step(self) -> float:
        """Make one step; its learning rate."""
        config, state, group = self.config, self.state, self.state.group
        parts = trained_parts(config, state.step)
        self._train_only(parts)
        if is_reweighted(config, state.step) and self.rainy.pictures[0].sparsity_map is None:
            pictures = self.rainy.pictures
            state.density = state.density or measure_density(state.average, pictures)
            self.rainy.pictures = with_sparsity_maps(pictures, state.density)
        rate = learning_rate(config, state.step)
        first = (state.step * group.count + group.rank) * config.batch
        crops = self.rainy.batch(first, config.batch).to(group.device)
        if parts == ("angle",):
            crops = turned(crops, config, first)

        # The streams, and the angle network (Eq. 12–15)
        turn = None if config.rotate_by == "network" and "angle" in parts else crops.angles
        with self._mixed:
            layers = self._model(crops.images, turn, self._frame, parts)
            scores = None
            if state.critic is not None and "background" in parts:
                state.critic.requires_grad_(False)
                scores = state.critic(layers.X)
        loss, terms = training_loss(config, state.step, layers, crops, scores)
        scale = config.batch * group.count if config.reduction == "sum" else 1
        _descend(state.optimizer, loss * scale, rate, config.clip)
        if scores is not None:
            terms["discriminator"] = self._train_critic(layers, first, rate)
        if parts != ("angle",):
            state.update_average(config)
        state.step += 1
        state.add(loss.detach(), terms)
        return rate

    def _train_only(self, parts: tuple[str, ...]) -> None:
        if self._parts == parts:
            return
        self._parts = parts
        for name in PARTS:
            getattr(self.state.net, name).requires_grad_(name in parts)
        self._model = self.state.group.averaged(self.state.net)

    def _train_critic(self, layers: Layers, first: int, rate: float) -> Tensor:
        """Train the discriminator on clean crops and earlier backgrounds; its loss."""
        state = self.state
        assert self._critic is not None
        assert self.clean is not None
        assert state.critic is not None
        assert state.critic_optimizer is not None
        state.critic.requires_grad_(True)
        clean = self.clean.batch(first, self.config.batch).to(state.group.device).images
        with self._mixed:
            # Rotated as well, or interpolation would tell one from the other.
            real = self._critic(rotate(clean, layers.angle.detach(), self._frame))
            fake = self._critic(state.pool.query(layers.X))
        loss = discriminator_loss(real, fake)
        _descend(state.critic_optimizer, loss, rate, self.config.clip)
        return loss.detach()


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip: float) -> None:
    for entry in optimizer.param_groups:
        entry["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        for entry in optimizer.param_groups:
            nn.utils.clip_grad_norm_(entry["params"], clip)
    optimizer.step()


# What a step is for


def trained_parts(config: TrainConfig, step: int) -> tuple[str, ...]:
    """Those of `PARTS` that are trained in a step."""
    if step < config.angle_steps:
        return ("angle",)
    asked = config.loss.angle or config.rotate_by == "network"
    return (*(("angle",) if asked else ()), *config.streams)


def is_reweighted(config: TrainConfig, step: int) -> bool:
    """Whether the ℓ1 norm is reweighted in a step."""
    since, steps = step - config.angle_steps, config.steps - config.angle_steps
    return config.reweight < 1 and since >= config.reweight * steps


def learning_rate(config: TrainConfig, step: int) -> float:
    """Adam's learning rate in a step.

    Parameters
    ----------
    config : TrainConfig
        Its `lr`, `lr_warmup`, `schedule`, `decay`, `decay_every` and `steps`.
    step : int
        From 0.

    Returns
    -------
    float
    """
    rate = config.lr * min(1.0, (step + 1) / (config.lr_warmup + 1))
    if config.schedule == "steps":
        rate *= config.decay ** (step // config.decay_every)
    elif config.schedule == "cosine":
        rate *= _FLOOR + (1 - _FLOOR) * (1 + math.cos(math.pi * step / config.steps)) / 2
    return rate


def turned(crops: Crops, config: TrainConfig, first: int) -> Crops:
    """Rotate crops at random for the angle network, and cut them to its size if they are larger."""
    if not config.angle_turn:
        return crops
    random = np.random.default_rng([config.seed, 2, first])
    drawn = random.uniform(-config.angle_turn, config.angle_turn, len(crops.images))
    turns = torch.from_numpy(drawn).to(crops.angles)
    turns = torch.clamp(crops.angles + turns, -45, 45) - crops.angles
    side = int(min(crops.images.shape[-2:]) / math.sqrt(2))
    patch = math.prod(config.net.angle_pools)
    frame = (max(side, patch),) * 2
    return Crops(rotate(crops.images, -turns, frame), crops.angles + turns, None)


# The loss


def training_loss(
    config: TrainConfig, step: int, layers: Layers, crops: Crops, scores: Tensor | None
) -> tuple[Tensor, Terms]:
    """The mean of the loss over a batch, and those of its terms."""
    since = step - config.angle_steps
    if since < 0:
        total, terms = overall_loss(
            layers, LossWeights(angle=config.loss.angle), angle=crops.angles
        )
    elif config.envelope:
        total, terms = _envelope(config, layers, crops)
    else:
        total, terms = overall_loss(layers, config.loss, angle=crops.angles, scores=scores)
    if config.distill and since >= 0:
        total, terms = _distilled(config, since, layers, crops, total, terms)
    return total.mean(), {name: term.mean() for name, term in terms.items()}


def _distilled(
    config: TrainConfig, since: int, layers: Layers, crops: Crops, energy: Tensor, terms: Terms
) -> tuple[Tensor, Terms]:
    """Blend the energy with the distance from the solver's layers, which comes first."""
    left = config.distill_steps + config.distill_blend - since
    part = min(1.0, max(0.0, left / (config.distill_blend + 1)))
    assert crops.targets is not None
    R = rotate(crops.targets, layers.angle.detach(), (config.crop, config.crop))
    power = 1 if config.distill_norm == "l1" else 2
    distance = _distance(layers.R, R, power, layers.inside)
    if "background" in config.streams:
        distance = distance + _distance(layers.X, layers.Y - R, power, layers.inside)
    imitation = config.distill * distance
    # The angle is learned all along.
    angle = config.loss.angle * (layers.predicted - crops.angles) ** 2
    total = part * (imitation + angle) + (1 - part) * energy
    terms = {name: term if name == "angle" else (1 - part) * term for name, term in terms.items()}
    return total, {**terms, "distill": part * imitation.detach()}


def _distance(found: Tensor, target: Tensor, power: int, inside: Tensor) -> Tensor:
    return ((found - target).abs() ** power * inside).double().sum((1, 2, 3))


def _envelope(config: TrainConfig, layers: Layers, crops: Crops) -> tuple[Tensor, Terms]:
    """The energy's envelope and the angle's error, one number an image."""
    loss, sparsity_map = config.loss, None
    if crops.sparsity_maps is not None:
        frame = (config.crop, config.crop)
        suspicion = rotate(crops.sparsity_maps, layers.angle.detach(), frame)
        sparsity_map = reweighted(layers.R, suspicion, loss.lam_r)
    total = envelope_loss(
        layers.R,
        layers.Y,
        loss,
        config.envelope,
        config.envelope_iterations,
        inside=layers.inside,
        sparsity_map=sparsity_map,
    )
    terms = {"envelope": total.detach()}
    if loss.angle:
        angle = loss.angle * angle_loss(layers.predicted, crops.angles)
        total, terms["angle"] = total + angle, angle.detach()
    return total, terms
