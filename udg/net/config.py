"""What a training depends on: `TrainConfig`, presets, checks, and its JSON."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from udg.errors import InvalidInput
from udg.net.envelope import check_envelope
from udg.net.folding import is_folded
from udg.net.losses import (
    AUTHORS_LOSS,
    ENERGY_LOSS,
    PAPER_LOSS,
    TABLE_5,
    LossWeights,
    named_loss,
)
from udg.net.network import Config, UDGNet

__all__ = [
    "AUTHORS_TRAINING",
    "PAPER_TRAINING",
    "PRESETS",
    "SINGLE_IMAGE",
    "TrainConfig",
    "resolve",
]

_log = logging.getLogger(__name__)

Streams = tuple[Literal["background", "rain"], ...]


@dataclass(frozen=True)
class TrainConfig:
    """Everything that a training's result depends on, except the pictures.

    The defaults are the paper's where it says something (section 4.1).

    Attributes
    ----------
    net : Config
        Sizes of the network.
    loss : LossWeights
        Without clean images `mu` counts as 0; with a single picture whose angle is known, so does
        `angle`.
    output : {"rain", "background"}
        For `derain`: which stream gives the derained image.
    reduction : {"mean", "sum"}
        Of the loss over a batch.
    streams : tuple of {"background", "rain"}
        Those that are trained. Alone, one leaves the rest of the image to the other layer, which
        then costs nothing: ``("rain",)`` sets X = Y − R.
    rotate_by : {"given", "network"}
        Whose angle makes streaks vertical; with ``"network"`` the loss teaches the angle, too.
    steps : int
        Batches. The paper does not say how many; 90 epochs of 2,000, as the authors count them.
    batch : int
        Crops a step, in each process.
    crop : int
        Side of the frame in which the streams work, in pixels.
    flips : bool
        Mirror half of the crops in each direction, and their angle with them.
    lr : float
        Learning rate of Adam, for the discriminator as well.
    schedule : {"steps", "cosine", "constant"}
        ``"steps"`` multiplies `lr` by `decay` after every `decay_every` steps; ``"cosine"`` ends
        at 2 % of it.
    decay : float
        See `schedule`.
    decay_every : int
        See `schedule`; 30 epochs.
    lr_warmup : int
        Steps in which the learning rate rises from 0.
    amsgrad : bool
        Of Adam.
    eps : float
        Of Adam.
    norm : {"batch", "fixed"}
        ``"fixed"``: in the streams batch normalisation keeps the statistics it begins with, so that
        it is a scale and a shift a channel; without other weights to start from, the streams begin
        as X = Y and R = 0. A stream has to give the image's brightness back, which the statistics
        of a small batch of different pictures take away. ``"batch"`` is the paper's.
    clip : float
        Norm to which the gradient is cut; 0 leaves it.
    angle_steps : int
        Steps in which the angle network is trained alone, before the streams.
    angle_turn : float
        In these steps crops are rotated at random by up to so many degrees to either side, so that
        the angle network sees more angles than the pictures have.
    envelope : float
        γ of the energy's Moreau envelope (`envelope_loss`), on which the rain stream then descends
        in place of the energy itself: the same minimum, found far sooner. 1 is good for light in
        [0, 1]; 0 takes the energy itself. For ``streams=("rain",)``.
    envelope_iterations : int
        Iterations in which a proximal point is found.
    reweight : float
        With `envelope`: the part of the steps after which the ℓ1 norm is reweighted, as in the
        second stage of `udg.solve`: by the local density of the rain that was found until then
        (`udg.detection.density.RainDensity`) and by the magnitude of the rain in each step
        (`udg.detection.reweighting.magnitude_factor`), but not by the streak classifier. 1 never
        does.
    distill : float
        Weight of the distance of the layers from those that `udg.solve` finds (its targets),
        summed over pixels; 0 does without.
    distill_norm : {"l1", "l2"}
        Which distance: absolute or squared.
    distill_steps : int
        Steps (after `angle_steps`) in which that is the only loss of the streams.
    distill_blend : int
        Steps after these in which it gives way to the energy, linearly.
    ema : float
        The result is a moving average of the weights, with this factor; 0 takes the last ones.
    pool : int
        Earlier estimates that the discriminator sees again (`ImagePool`).
    critic_width, critic_layers : int
        Sizes of `PatchDiscriminator`.
    precision : {"auto", "float32", "bfloat16"}
        In which the networks compute; losses are in float32 and float64. ``"auto"`` is bfloat16 on
        GPUs.
    log_every : int
        Steps of which a row of the history is the mean.
    seed : int
        Of weights, crops and pool.

    Raises
    ------
    InvalidInput
        A value is outside its range.
    """

    net: Config = field(default_factory=Config)
    loss: LossWeights = PAPER_LOSS
    output: Literal["rain", "background"] = "rain"
    reduction: Literal["mean", "sum"] = "mean"
    streams: tuple[str, ...] = ("background", "rain")
    rotate_by: Literal["given", "network"] = "given"
    steps: int = 180_000
    batch: int = 8
    crop: int = 128
    flips: bool = True
    lr: float = 1e-3
    schedule: Literal["steps", "cosine", "constant"] = "steps"
    decay: float = 0.1
    decay_every: int = 60_000
    lr_warmup: int = 0
    amsgrad: bool = False
    eps: float = 1e-8
    norm: Literal["batch", "fixed"] = "batch"
    clip: float = 0.0
    angle_steps: int = 0
    angle_turn: float = 0.0
    envelope: float = 0.0
    envelope_iterations: int = 30
    reweight: float = 1.0
    distill: float = 0.0
    distill_norm: Literal["l1", "l2"] = "l1"
    distill_steps: int = 0
    distill_blend: int = 0
    ema: float = 0.999
    pool: int = 50
    critic_width: int = 64
    critic_layers: int = 3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    log_every: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "streams", tuple(self.streams))  # JSON gives lists
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InvalidInput(
                    f"{name} is {getattr(self, name)!r}; give one of {', '.join(map(str, allowed))}"
                )
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.type not in ("int", "float"):
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise InvalidInput(f"{entry.name} is {value!r}; give a number")
            least = 1 if entry.name in _POSITIVE else 0
            if not math.isfinite(value) or value < least:
                raise InvalidInput(
                    f"{entry.name} is {value}; give a number that is at least {least}"
                )
            if entry.type == "int" and not isinstance(value, int):
                raise InvalidInput(f"{entry.name} is {value}; give a whole number")
        if self.ema >= 1 or self.lr == 0:
            raise InvalidInput(f"ema is {self.ema} and lr {self.lr}; give ema < 1 and lr > 0")
        if self.reweight > 1 or (self.reweight < 1 and not self.envelope):
            raise InvalidInput(
                f"reweight is {self.reweight} and envelope {self.envelope}; "
                "give reweight within [0, 1], and below 1 with an envelope only"
            )
        if self.angle_steps and not self.loss.angle:
            raise InvalidInput("angle_steps trains the angle network, but loss.angle is 0")
        if (self.distill_steps or self.distill_blend) and not self.distill:
            raise InvalidInput("distill_steps and distill_blend need a weight; give distill > 0")

    def as_json(self) -> str:
        """The text of ``config.json``."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> TrainConfig:
        """The settings that `as_json` wrote.

        Parameters
        ----------
        text : str

        Returns
        -------
        TrainConfig

        Raises
        ------
        InvalidInput
            The text holds no such settings.
        """
        try:
            values = json.loads(text)
            values |= {"net": Config(**values["net"]), "loss": LossWeights(**values["loss"])}
            return cls(**values)
        except (ValueError, TypeError, KeyError) as error:
            raise InvalidInput(f"these are no settings of a training: {error}") from error


_CHOICES: dict[str, tuple[Any, ...]] = {
    "output": ("rain", "background"),
    "reduction": ("mean", "sum"),
    "streams": (("background", "rain"), ("rain",), ("background",), ("rain", "background")),
    "rotate_by": ("given", "network"),
    "schedule": ("steps", "cosine", "constant"),
    "norm": ("batch", "fixed"),
    "distill_norm": ("l1", "l2"),
    "precision": ("auto", "float32", "bfloat16"),
}
_POSITIVE = {"steps", "batch", "crop", "decay_every", "log_every", "critic_width", "critic_layers"}
_POSITIVE |= {"envelope_iterations"}

#: The paper's training.
PAPER_TRAINING = TrainConfig()

#: That of the authors' published code: 150 epochs of 2,000 batches, the first 20 for the angle.
AUTHORS_TRAINING = TrainConfig(
    loss=AUTHORS_LOSS,
    reduction="sum",
    steps=300_000,
    lr=1e-4,
    schedule="constant",
    amsgrad=True,
    eps=1e-4,
    angle_steps=40_000,
    ema=0.0,
)

#: For one picture on a CPU: a small network of one channel, on the energy's envelope.
SINGLE_IMAGE = TrainConfig(
    net=Config(channels=1, width=16, depth=4),
    loss=replace(ENERGY_LOSS, angle=0.0),
    streams=("rain",),
    steps=1000,
    batch=2,
    lr=3e-3,
    schedule="cosine",
    lr_warmup=10,
    norm="fixed",
    envelope=1.0,
    reweight=0.4,
    ema=0.99,
)

#: Settings by name.
PRESETS = {"paper": PAPER_TRAINING, "authors": AUTHORS_TRAINING, "single": SINGLE_IMAGE}


def resolve(
    config: TrainConfig | str | None,
    changes: dict[str, Any],
    saved: TrainConfig | None,
    start: UDGNet | None,
    *,
    single: bool,
    adversarial: bool,
) -> TrainConfig:
    """Check the settings that `udg.net.train` was given, and complete them.

    Terms of the loss for which the pictures are no use are left out: whether there is a ``single``
    one, and clean ones (``adversarial``). ``saved`` are the settings of a run that is resumed.
    """
    if config is None:
        config = saved or (SINGLE_IMAGE if single else PAPER_TRAINING)
    elif isinstance(config, str):
        if config not in PRESETS:
            raise InvalidInput(f"config is {config!r}; give one of {', '.join(PRESETS)}")
        config = PRESETS[config]
    config = _changed(config, changes)
    if start is not None:
        if is_folded(start):
            raise InvalidInput("the network is folded for inference; give the one that was trained")
        config = replace(config, net=start.config)
    if adversarial and not config.loss.mu:
        raise InvalidInput("clean images are for the adversarial term; give loss.mu > 0")
    if config.loss.mu and not adversarial:
        _log.info("no clean images: training without the adversarial term")
        config = replace(config, loss=replace(config.loss, mu=0.0))
    if single and config.rotate_by == "given" and config.loss.angle:
        _log.info("one picture of known angle: the angle network is not trained")
        config = replace(config, loss=replace(config.loss, angle=0.0), angle_steps=0)
    config = _checked_streams(config, start, adversarial)
    if saved is not None and saved != config:
        _compare(config, saved)
    return config


def _checked_streams(config: TrainConfig, start: UDGNet | None, adversarial: bool) -> TrainConfig:
    """The settings with those streams only that the loss trains."""
    loss, streams = config.loss, _trained_streams(config)
    if loss.mu and "background" not in config.streams:
        raise InvalidInput("mu judges the background, which is not in streams; set mu to 0")
    if loss.angle and config.batch < 2:
        raise InvalidInput("the angle network is trained on two crops at least; give batch >= 2")
    if config.rotate_by == "network" and not (loss.angle or start):
        raise InvalidInput("rotate_by='network' needs a trained angle network; give loss.angle > 0")
    if not streams:
        raise InvalidInput(
            "the loss has no term for background or rain"
            + ("" if adversarial else "; is a folder of clean images missing?")
        )
    if config.envelope:
        if streams != ("rain",):
            raise InvalidInput("envelope is for streams=('rain',); give that, or envelope=0")
        check_envelope(loss, config.envelope)
    output = config.output if config.output in streams else streams[0]
    return replace(config, streams=streams, output=output)


def _compare(config: TrainConfig, saved: TrainConfig) -> None:
    """Log what is different from the run that is resumed, and refuse what may not be."""
    if saved.net != config.net or bool(saved.loss.mu) != bool(config.loss.mu):
        raise InvalidInput(
            "the run was begun with other sizes, or another choice of clean images; "
            "give the same, or begin another run"
        )
    for entry in fields(config):
        here, there = getattr(config, entry.name), getattr(saved, entry.name)
        if here != there:
            _log.warning("%s was %s until now and is %s from here", entry.name, there, here)


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    """Apply ``**changes``: fields, sizes of the net, and the loss by name."""
    changes = dict(changes)
    unknown = set(changes) - {entry.name for entry in fields(config)} - set(_SIZES)
    if unknown:
        raise InvalidInput(f"{', '.join(sorted(unknown))}: there is no such setting of TrainConfig")
    if isinstance(changes.get("loss"), str):
        _, loss, output = named_loss(changes["loss"])
        changes |= {"loss": loss, "output": changes.get("output", output)}
        if loss in (case.weights for case in TABLE_5.values()):
            # Table 5 is about the terms themselves, not about ways to minimise them.
            for name in ("streams", "envelope", "reweight"):
                changes.setdefault(name, getattr(TrainConfig, name))
    sizes = {name: changes.pop(name) for name in _SIZES if name in changes}
    if sizes:
        changes["net"] = replace(changes.get("net", config.net), **sizes)
    return replace(config, **changes)


_SIZES = ("channels", "width", "depth")


def _trained_streams(config: TrainConfig) -> Streams:
    """Those of the streams that the distillation or a term of the loss depends on."""
    loss, both = config.loss, config.loss.data or config.distill
    told = {
        "background": both or loss.tau or loss.tau_squared or loss.identity or loss.mu,
        "rain": both or loss.lam_x or loss.lam_y or loss.lam_r or loss.sign,
    }
    if len(config.streams) == 1:  # the other layer is what is left, so that all terms count
        told = dict.fromkeys(told, any(told.values()))
    return tuple(name for name in ("background", "rain") if name in config.streams and told[name])
