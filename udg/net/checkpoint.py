"""The state of a training, and its way to disk and back.

A run's folder holds ``config.json``, ``checkpoint.pt`` (all that resuming needs) and
``weights.safetensors`` (the result so far). Each file is replaced whole or not at all.
"""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from udg._version import __version__
from udg.errors import Diverged, FileError, InvalidInput
from udg.io.paths import plain_errors, replacing
from udg.net.config import TrainConfig
from udg.net.discriminator import ImagePool, PatchDiscriminator
from udg.net.network import UDGNet
from udg.net.parallel import Processes
from udg.net.pretrained import save_pretrained

__all__ = ["CONFIG", "TrainState", "saved_config"]

CONFIG = "config.json"
_CHECKPOINT = "checkpoint.pt"
_WEIGHTS = "weights.safetensors"
_FORMAT = "udg.net.train/1"


@dataclass
class TrainState:
    """All that changes during a training."""

    net: UDGNet
    average: UDGNet  # of its weights
    optimizer: torch.optim.Optimizer
    critic: PatchDiscriminator | None  # if the loss has an adversarial term
    critic_optimizer: torch.optim.Optimizer | None
    pool: ImagePool  # of the critic
    group: Processes
    data: str  # fingerprint of the pictures
    step: int = 0  # steps done
    seconds: float = 0.0  # in all runs together
    density: list[tuple[Tensor, ...]] = field(default_factory=list)  # of the rain in each picture
    history: list[dict[str, float]] = field(default_factory=list)
    pending: dict[str, Tensor] = field(default_factory=dict)  # sums since the last row
    counted: int = 0  # steps since the last row

    @classmethod
    def begin(
        cls, config: TrainConfig, group: Processes, start: UDGNet | None, data: str
    ) -> TrainState:
        """Make the networks, with random weights or those of ``start``, and their optimizers."""
        torch.default_generator.manual_seed(config.seed)
        net = UDGNet(config.net)
        critic = None
        if config.loss.mu:
            critic = PatchDiscriminator(
                config.net.channels, config.critic_width, config.critic_layers
            )
        if start is not None:
            net.load_state_dict(start.state_dict())
        elif config.norm == "fixed":
            net.background.begin("image")
            net.rain.begin("zero")
        net.to(group.device).train()
        for stream in (net.background, net.rain):
            stream.train(config.norm == "batch")
            stream.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        average = copy.deepcopy(net).requires_grad_(False).eval()
        group.synced(net)
        critic_optimizer = None
        if critic is not None:
            group.synced(critic.to(group.device).train())
            critic_optimizer = _adam(critic, config)
        return cls(
            net=net,
            average=average,
            optimizer=_adam(net, config),
            critic=critic,
            critic_optimizer=critic_optimizer,
            pool=ImagePool(config.pool, config.seed + group.rank),
            group=group,
            data=data,
        )

    def update_average(self, config: TrainConfig) -> None:
        """Let the average follow the weights; at first quickly, for it starts from noise."""
        since = self.step - config.angle_steps
        factor = min(config.ema, (1 + since) / (10 + since))
        there, here = list(self.average.state_dict().values()), list(self.net.state_dict().values())
        real = [number for number, u in enumerate(here) if u.is_floating_point()]
        with torch.no_grad():
            follow = get_ema_multi_avg_fn(factor)  # type: ignore[no-untyped-call]
            follow([there[n] for n in real], [here[n] for n in real], None)

    def add(self, loss: Tensor, terms: dict[str, Tensor]) -> None:
        """Count the loss of a step and its terms towards the next row of the history."""
        for name, value in {"loss": loss, **terms}.items():
            value = value.double()
            self.pending[name] = self.pending[name] + value if name in self.pending else value
        self.counted += 1

    def log(self, rate: float) -> None:
        """Make a row of what was counted; every process must call it."""
        names = list(self.pending)
        sums = self.group.mean(torch.stack([self.pending[name] for name in names]))
        row = {"step": float(self.step), "seconds": self.seconds, "lr": rate}
        row |= dict(zip(names, (sums / self.counted).tolist(), strict=True))
        self.history.append(row)
        self.pending, self.counted = {}, 0

    def result(self, config: TrainConfig) -> UDGNet:
        """A copy of the network as it is handed over: in eval mode, weights averaged or last."""
        net = copy.deepcopy(self.average).requires_grad_(True)
        if not config.ema:
            net.load_state_dict(self.net.state_dict())
        return net

    def check_log(self, folder: Path | None) -> None:
        """Raise `Diverged` if a number in the latest row is not finite."""
        row = self.history[-1]
        wrong = [name for name, value in row.items() if not math.isfinite(value)]
        if wrong:
            raise self._diverged(f"{', '.join(wrong)} is {row[wrong[0]]}", folder)

    def check_weights(self, folder: Path | None) -> None:
        """Raise `Diverged` if a weight is not finite."""
        if not all(bool(torch.isfinite(u).all()) for u in self.net.state_dict().values()):
            raise self._diverged("a weight is not finite", folder)

    def _diverged(self, problem: str, folder: Path | None) -> Diverged:
        kept = ""
        if folder is not None and (folder / _CHECKPOINT).exists():
            kept = f", resuming from the last checkpoint, which is kept in {folder}"
        return Diverged(f"{problem} at step {self.step}; use a lower lr, or clip=1{kept}")

    def save(self, folder: Path, config: TrainConfig) -> None:
        """Write the checkpoint and the weights."""
        self.check_weights(folder)
        critic, its = self.critic, self.critic_optimizer
        content = {
            "format": _FORMAT,
            "config": config.as_json(),
            "data": self.data,
            "step": self.step,
            "seconds": self.seconds,
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "critic": None if critic is None else critic.state_dict(),
            "critic_optimizer": None if its is None else its.state_dict(),
            "pool": self.pool.state_dict(),
            "density": self.density,
            "history": self.history,
            "pending": self.pending,
            "counted": self.counted,
        }
        path = folder / _CHECKPOINT
        with plain_errors(path, "write"), replacing(path) as file:
            torch.save(content, file)
        notes = {
            "made by": f"udg {__version__}",
            "steps": str(self.step),
            "weights": "moving average" if config.ema else "last",
            "training": json.dumps(asdict(config)),
        }
        save_pretrained(self.result(config), folder / _WEIGHTS, notes)

    def load(self, folder: Path) -> None:
        """Go on from the folder's checkpoint, if there is one."""
        path = folder / _CHECKPOINT
        if not path.exists():
            return
        content = _read(path)
        if content["data"] != self.data:
            raise InvalidInput(
                f"the run in {folder} was begun with other pictures or angles; give the same, "
                "or begin another run with its weights as start"
            )
        self.net.load_state_dict(content["net"])
        self.average.load_state_dict(content["average"])
        self.optimizer.load_state_dict(content["optimizer"])
        if self.critic is not None and self.critic_optimizer is not None:
            self.critic.load_state_dict(content["critic"])
            self.critic_optimizer.load_state_dict(content["critic_optimizer"])
        if self.group.rank == 0:  # the pools of others are not kept; theirs begin anew
            self.pool.load_state_dict(content["pool"])
        self.step, self.seconds = content["step"], content["seconds"]
        self.density = content.get("density", [])  # older checkpoints: measured again
        self.history, self.counted = content["history"], content["counted"]
        self.pending = {name: u.to(self.group.device) for name, u in content["pending"].items()}


def saved_config(folder: Path | None, resume: bool) -> TrainConfig | None:
    """Read the settings of the run that is to be resumed; None if there is no run yet.

    Refuses a run that is not to be resumed, and clears away what a killed one left behind.
    """
    if folder is None:
        if resume:
            raise InvalidInput("resume needs the folder of the run; give out")
        return None
    path = folder / _CHECKPOINT
    if not path.exists():
        return None
    if not resume:
        raise InvalidInput(f"{folder} holds a run; resume it, or give another folder")
    for leftover in folder.glob(".udg-*.tmp"):  # of a run that was killed while it wrote
        leftover.unlink(missing_ok=True)
    return TrainConfig.from_json(_read(path)["config"])


def _read(path: Path) -> dict[str, Any]:
    with plain_errors(path, "read"):
        data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles that are not torch's
            content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError) as error:
        reason = [*str(error).splitlines(), type(error).__name__][0]
        raise FileError(f"cannot read {path}: it is damaged, {reason}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise FileError(f"cannot read {path}: it is no checkpoint of udg")
    return content


def _adam(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), config.lr, eps=config.eps, amsgrad=config.amsgrad)
