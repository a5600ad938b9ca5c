"""Training, from top to bottom: settings, `train`, one step, and what is kept on disk.

Supervision is the energy alone (Eq. 12–16); there are no pairs. One picture is enough.
"""

from __future__ import annotations

import contextlib
import copy
import csv
import io
import json
import logging
import math
import os
import pickle
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from udg._version import __version__
from udg.batch import make_folder
from udg.detection.doubt import RainDensity, reweighting
from udg.errors import Diverged, FileError, InvalidInput
from udg.io.raster import plain_errors, quantize, replacing, write, write_bytes
from udg.net.data import (
    Angles,
    Crops,
    Images,
    Sampler,
    TrainingPicture,
    as_light,
    find,
    fingerprint,
    load,
    solver_targets,
    write_angles,
)
from udg.net.discriminator import ImagePool, PatchDiscriminator, discriminator_loss
from udg.net.envelope import check_envelope, envelope_loss
from udg.net.losses import (
    AUTHORS_LOSS,
    ENERGY_LOSS,
    PAPER_LOSS,
    TABLE_5,
    LossWeights,
    angle_loss,
    named_loss,
    overall_loss,
)
from udg.net.network import PARTS, Config, Layers, UDGNet
from udg.net.parallel import Processes, processes
from udg.net.pretrained import from_pretrained, save_pretrained
from udg.net.rotation import rotate, unrotate

__all__ = [
    "AUTHORS_TRAINING",
    "PAPER_TRAINING",
    "PRESETS",
    "SINGLE_IMAGE",
    "Progress",
    "TrainConfig",
    "TrainResult",
    "adapt",
    "learning_rate",
    "train",
]

_log = logging.getLogger(__name__)
_FORMAT = "udg.net.train/1"
_FLOOR = 0.02  # of the learning rate, at the end of the cosine


# Settings


@dataclass(frozen=True)
class TrainConfig:
    """Everything on which the result of a training depends, but the pictures.

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
        In these steps the crops are turned by up to so many degrees to both sides, at random, so
        that the angle network sees more angles than the pictures have.
    envelope : float
        γ of the energy's Moreau envelope (`envelope_loss`), on which the rain stream then descends
        in place of the energy itself: the same minimum, found far sooner. 1 is good for light in
        [0, 1]; 0 takes the energy itself. For ``streams=("rain",)``.
    envelope_iterations : int
        In which a proximal point is found.
    reweight : float
        With `envelope`: the part of the steps after which `lam_r` is weighed, pixel by pixel, as in
        the second pass of `udg.solve`: by where the rain that was found until then is crowded
        (`udg.detection.doubt.RainDensity`), and by the rain that the stream finds in each step
        (`udg.detection.doubt.reweighting`). What lines look like (`udg.detection.doubt.streak_features`) is not asked. 1 never
        does.
    distill : float
        Weight of the distance of the layers from those that `udg.solve` finds, summed over pixels;
        0 does without.
    distill_norm : {"l1", "l2"}
        Which distance: absolute or squared.
    distill_steps : int
        Steps (after `angle_steps`) in which that is the only loss of the streams …
    distill_blend : int
        … and in which it then gives way to the energy, linearly.
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


@dataclass(frozen=True)
class Progress:
    """Where a training is.

    Attributes
    ----------
    step, steps : int
        Done, and altogether.
    latest : dict of str to float
        The latest row of the history; empty before the first.
    """

    step: int
    steps: int
    latest: Mapping[str, float]


@dataclass(frozen=True)
class TrainResult:
    """A trained network.

    Attributes
    ----------
    net : UDGNet
        In eval mode, float32, on the device where it was trained: the moving average of the
        weights, or, with ``ema=0``, the last ones.
    config : TrainConfig
        As used.
    history : list of dict of str to float
        Means over every ``log_every`` steps: ``step``, ``seconds``, ``lr``, ``loss``, and each term
        of the loss by the name of its weight; ``distill`` and ``discriminator`` where they apply.
    steps : int
        Done so far.
    finished : bool
        False if `max_minutes` or the callback ended it early.
    seconds : float
        Spent in training, in all runs together.
    path : Path or None
        The run's folder.
    """

    net: UDGNet
    config: TrainConfig
    history: list[dict[str, float]]
    steps: int
    finished: bool
    seconds: float
    path: Path | None


# Training


def train(
    images: Images,
    out: str | os.PathLike[str] | None = None,
    config: TrainConfig | str | None = None,
    *,
    angles: Angles | None = None,
    clean: Images | None = None,
    start: UDGNet | str | os.PathLike[str] | None = None,
    resume: bool = False,
    device: str | torch.device | None = None,
    threads: int | None = None,
    max_minutes: float | None = None,
    checkpoint_minutes: float = 10.0,
    compile: bool | None = None,
    callback: Callable[[Progress], object] | None = None,
    **changes: Any,
) -> TrainResult:
    """Train a network on rainy pictures, without any clean version of them.

    Random crops are turned so that their streaks are vertical, the streams find background and
    rain, and the loss is their energy (`overall_loss`). One picture is enough; `derain` is then for
    that picture.

    With `out` the run can be killed at any moment and resumed: on a CPU, to bitwise the same result
    (with the same number of threads). The folder gets ``config.json``, ``angles.csv`` and, every
    `checkpoint_minutes`, ``checkpoint.pt`` (what resuming needs), ``weights.safetensors`` (for
    `from_pretrained`), ``log.csv`` (the history), ``samples.png`` (crop, crop − R, X and R), and
    with the extra ``train`` ``learning.png`` and TensorBoard events.

    Started by torchrun, several processes train together, each with a batch of its own: the
    same as one process with a batch as large as all of theirs.

    Parameters
    ----------
    images : path-like, array, or sequence of path-like or array
        A folder of rainy pictures, a picture, or several. They are held in memory.
    out : path-like, optional
        Folder of the run; made if it is not there.
    config : TrainConfig or {"paper", "authors", "single"}, optional
        Default: the paper's; for one picture `SINGLE_IMAGE`; when resuming, that of the run.
    angles : float, sequence, mapping or path-like, optional
        Direction of the streaks, in degrees: one for all, one a picture, by file name, or a CSV of
        file names and degrees. Default: `udg.estimate_angle`.
    clean : path-like, array, or sequence of path-like or array, optional
        Clean pictures, of other scenes, for the adversarial term.
    start : UDGNet, str or path-like, optional
        Begin with these weights, and their sizes in place of the config's.
    resume : bool
        Go on with the run in `out`; begin it if it has no checkpoint yet. Sizes and pictures must
        be the same; other settings may be changed, which is logged.
    device : str or torch.device, optional
        Default: a GPU if there is one.
    threads : int, optional
        Of the CPU. Default: as torch has it.
    max_minutes : float, optional
        Stop, with a checkpoint, so long after the call; at least one step is made.
    checkpoint_minutes : float
        Time between two checkpoints.
    compile : bool, optional
        Use ``torch.compile`` on the streams. Default: on GPUs.
    callback : callable, optional
        Called with `Progress` after each step, in the first process; a true answer stops.
    **changes
        Fields of `TrainConfig` that shall be different, such as ``steps=2000``; also ``channels``,
        ``width`` and ``depth`` of its net, and ``loss`` by name (`named_loss`).

    Returns
    -------
    TrainResult

    Raises
    ------
    InvalidInput
        An argument is outside its range, `out` holds another run, or pictures are too small.
    InvalidImage
        A picture cannot be used.
    FileError
        A file cannot be read or written. The last checkpoint is kept.
    Diverged
        The loss or a weight is NaN or infinite. The last checkpoint is kept, and is from before.
    KeyboardInterrupt
        After Ctrl-C (or SIGTERM), once the step is finished and a checkpoint written.

    Examples
    --------
    >>> import numpy as np, udg
    >>> rainy = udg.synthesize(np.full((96, 96), 0.4, np.float32), angle=10, seed=1).rainy
    >>> result = udg.net.train([rainy], angles=10, width=4, depth=1, crop=48, steps=3)
    >>> udg.net.derain(rainy, result.net, angle=10).derained.shape
    (96, 96)
    """
    folder, called = None if out is None else Path(out), time.monotonic()
    with processes(device) as group, _computing(threads), _Interrupts() as interrupts:
        # Settings
        if not isinstance(images, (str, os.PathLike)) and not hasattr(images, "ndim"):
            images = list(images)
        saved = _saved(folder, resume)
        origin = from_pretrained(start) if isinstance(start, (str, os.PathLike)) else start
        single = len(find(images)) == 1
        config = _settled(
            config, changes, saved, origin, single=single, adversarial=clean is not None
        )
        mixed = config.precision == "bfloat16" or (
            config.precision == "auto" and group.device.type == "cuda"
        )
        shape = (config.crop, config.crop)

        # Pictures: the first process goes ahead, and the others find what it has kept.
        if resume and angles is None and folder is not None and (folder / _ANGLES).exists():
            angles = folder / _ANGLES
        look = None
        if config.distill:
            look = solver_targets(None if folder is None else folder / "targets")
        for turn in (True, False):
            if turn == (group.rank == 0):
                pictures = load(images, config.net.channels, angles, look=look)
            group.wait()
        rainy = Sampler(pictures, config.crop, config.seed, config.flips)
        unpaired = None
        if config.loss.mu:
            others = load(clean, config.net.channels, math.nan)
            unpaired = Sampler(others, config.crop, config.seed, config.flips, stream=1)

        # Networks, optimizers, and where an earlier run left them
        state = _State.begin(config, group, origin)
        state.data = fingerprint(pictures)
        if folder is not None:
            if resume:
                state.load(folder / _CHECKPOINT)
            if group.rank == 0:
                make_folder(folder)
                write_angles(folder / _ANGLES, pictures)
                write_bytes(folder / _CONFIG, config.as_json().encode(), overwrite=True)
        if compile or (compile is None and group.device.type == "cuda"):
            state.net.background.compile()
            state.net.rain.compile()
        board = _board(folder, state.step) if group.rank == 0 else None

        model: nn.Module = state.net
        trained: tuple[str, ...] = ()
        critic = None if state.critic is None else group.averaged(state.critic)
        before = state.seconds
        began = saved_at = time.monotonic()
        stopping = False
        while state.step < config.steps and not stopping:
            parts = _parts(config, state.step)
            if trained != parts:
                trained = parts
                for name in PARTS:
                    getattr(state.net, name).requires_grad_(name in parts)
                model = group.averaged(state.net)
            if _second_pass(config, state.step) and rainy.pictures[0].sparsity_map is None:
                state.crowded = state.crowded or _crowded(state.average, pictures)
                rainy.pictures = _doubted(pictures, state.crowded)
            rate = learning_rate(config, state.step)
            first = (state.step * group.count + group.rank) * config.batch
            crops = rainy.batch(first, config.batch).to(group.device)
            if "rain" not in parts and "background" not in parts:
                crops = _turned(crops, config, first)

            # The streams, and the angle network (Eq. 12–15)
            turn_by = None if config.rotate_by == "network" and "angle" in parts else crops.angles
            with torch.autocast(group.device.type, torch.bfloat16, enabled=mixed):
                layers = model(crops.images, turn_by, shape, parts)
                scores = None
                if state.critic is not None and "background" in parts:
                    state.critic.requires_grad_(False)
                    scores = state.critic(layers.X)
            loss, terms = _loss(config, state.step, layers, crops, scores)
            _descend(state.optimizer, loss * _scale(config, group), rate, config.clip)

            # The discriminator, from clean crops and earlier backgrounds
            if critic is not None and scores is not None:
                assert state.critic is not None
                assert state.critic_optimizer is not None
                assert unpaired is not None
                state.critic.requires_grad_(True)
                clear = unpaired.batch(first, config.batch).to(group.device).images
                with torch.autocast(group.device.type, torch.bfloat16, enabled=mixed):
                    # Turned likewise, or interpolation would tell one from the other.
                    real = critic(rotate(clear, layers.angle.detach(), shape))
                    fake = critic(state.pool.query(layers.X))
                judged = discriminator_loss(real, fake)
                _descend(state.critic_optimizer, judged, rate, config.clip)
                terms["discriminator"] = judged.detach()
            if "rain" in parts or "background" in parts:
                state.follow(config)

            # What it looks like from outside
            state.step += 1
            state.seconds = before + time.monotonic() - began
            state.add(terms, loss.detach())
            logged = state.step % config.log_every == 0 or state.step == config.steps
            if logged:
                _check(state.log(rate, group), folder)
                if board is not None:
                    for name, value in state.history[-1].items():
                        board.add_scalar(name, value, state.step)
            if callback is not None and group.rank == 0:
                latest = state.history[-1] if state.history else {}
                if callback(Progress(state.step, config.steps, latest)):
                    interrupts.stop = True
            if max_minutes is not None and time.monotonic() - called >= 60 * max_minutes:
                interrupts.stop = True
            if group.count == 1 or logged:  # several have to agree, which takes time
                stopping = group.any(interrupts.stop)
            due = (time.monotonic() - saved_at) / 60 >= checkpoint_minutes
            due |= stopping or state.step == config.steps
            if due and folder is not None and group.rank == 0:
                state.save(folder, config)
                _show(folder, state, rainy, config, board)
                saved_at = time.monotonic()

        if board is not None:
            board.close()
        if interrupts.signal is not None:
            where = f"; it is kept in {folder} and can be resumed" if folder is not None else ""
            raise KeyboardInterrupt(f"interrupted after step {state.step} of {config.steps}{where}")
        _check_weights(state.net, state.step, folder)
        return TrainResult(
            net=state.result(config),
            config=config,
            history=state.history,
            steps=state.step,
            finished=state.step == config.steps,
            seconds=state.seconds,
            path=folder,
        )


def adapt(
    net: UDGNet | str | os.PathLike[str],
    image: Any,
    steps: int = 100,
    *,
    angle: float | Literal["auto"] = "auto",
    config: TrainConfig | None = None,
    device: str | torch.device | None = None,
    threads: int | None = None,
    callback: Callable[[Progress], object] | None = None,
) -> UDGNet:
    """Adapt a trained network to the picture at hand: some more steps, on that picture alone.

    Parameters
    ----------
    net : UDGNet, str or path-like
        Not modified.
    image : array or path-like
        The rainy picture.
    steps : int
        How many. Replaces the config's.
    angle : float or "auto"
        Degrees clockwise from vertical; ``"auto"`` asks `udg.estimate_angle`.
    config : TrainConfig, optional
        Default: `SINGLE_IMAGE` with a learning rate of 1e-3 and the second pass from the start. It
        trains the rain stream only.
    device : str or torch.device, optional
        As for `train`.
    threads : int, optional
        As for `train`.
    callback : callable, optional
        As for `train`.

    Returns
    -------
    UDGNet
        For `derain` of this picture.

    Raises
    ------
    InvalidInput
        An argument is outside its range.
    InvalidImage
        The picture cannot be used.
    FileError
        A file cannot be read.
    Diverged
        The loss is NaN or infinite.
    """
    if config is None:
        config = replace(SINGLE_IMAGE, lr=1e-3, reweight=0.0)
    return train(
        image,
        config=replace(config, steps=steps),
        angles=None if angle == "auto" else angle,
        start=net,
        device=device,
        threads=threads,
        callback=callback,
    ).net


# Steps


def _settled(
    config: TrainConfig | str | None,
    changes: dict[str, Any],
    saved: TrainConfig | None,
    start: UDGNet | None,
    *,
    single: bool,
    adversarial: bool,
) -> TrainConfig:
    """The settings as they apply to this start and these pictures."""
    if config is None:
        config = saved or (SINGLE_IMAGE if single else PAPER_TRAINING)
    elif isinstance(config, str):
        if config not in PRESETS:
            raise InvalidInput(f"config is {config!r}; give one of {', '.join(PRESETS)}")
        config = PRESETS[config]
    config = _changed(config, changes)
    if start is not None:
        if not any(isinstance(part, nn.BatchNorm2d) for part in start.modules()):
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
    loss = config.loss
    if loss.mu and "background" not in config.streams:
        raise InvalidInput("mu judges the background, which is not in streams; set mu to 0")
    if loss.angle and config.batch < 2:
        raise InvalidInput("the angle network is trained on two crops at least; give batch >= 2")
    if config.rotate_by == "network" and not (loss.angle or start):
        raise InvalidInput("rotate_by='network' needs a trained angle network; give loss.angle > 0")
    streams = _learning(config)
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
    config = replace(config, streams=streams, output=output)
    if saved is not None and saved != config:
        if saved.net != config.net or bool(saved.loss.mu) != bool(config.loss.mu):
            raise InvalidInput(
                "the run was begun with other sizes, or another choice of clean images; "
                "give the same, or begin another run"
            )
        for entry in fields(config):
            here, there = getattr(config, entry.name), getattr(saved, entry.name)
            if here != there:
                _log.warning("%s was %s until now and is %s from here", entry.name, there, here)
    return config


def _changed(config: TrainConfig, changes: dict[str, Any]) -> TrainConfig:
    """Other values for some fields, those of the net among them; a loss also by its name."""
    changes = dict(changes)
    unknown = set(changes) - {entry.name for entry in fields(config)} - set(_SIZES)
    if unknown:
        raise InvalidInput(f"{', '.join(sorted(unknown))}: there is no such setting of TrainConfig")
    if isinstance(changes.get("loss"), str):
        _, loss, output = named_loss(changes["loss"])
        changes |= {"loss": loss, "output": changes.get("output", output)}
        if loss in (case.weights for case in TABLE_5.values()):
            for name in ("streams", "envelope", "reweight"):  # the terms themselves
                changes.setdefault(name, getattr(TrainConfig, name))
    sizes = {name: changes.pop(name) for name in _SIZES if name in changes}
    if sizes:
        changes["net"] = replace(changes.get("net", config.net), **sizes)
    return replace(config, **changes)


_SIZES = ("channels", "width", "depth")


def _learning(config: TrainConfig) -> tuple[Literal["background", "rain"], ...]:
    """Those of the streams that a term of the loss, or the distillation, says something to."""
    loss, both = config.loss, config.loss.data or config.distill
    told = {
        "background": both or loss.tau or loss.tau_squared or loss.identity or loss.mu,
        "rain": both or loss.lam_x or loss.lam_y or loss.lam_r or loss.sign,
    }
    if len(config.streams) == 1:  # the other layer is what is left, so that all terms count
        told = dict.fromkeys(told, any(told.values()))
    return tuple(name for name in ("background", "rain") if name in config.streams and told[name])


def _parts(config: TrainConfig, step: int) -> tuple[str, ...]:
    """What is trained in this step."""
    if step < config.angle_steps:
        return ("angle",)
    asked = config.loss.angle or config.rotate_by == "network"
    return (*(("angle",) if asked else ()), *config.streams)


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


def _turned(crops: Crops, config: TrainConfig, first: int) -> Crops:
    """Crops at other angles, of the angle network's size where they are larger than that."""
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


def _loss(
    config: TrainConfig, step: int, layers: Layers, crops: Crops, scores: Tensor | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """The mean of the loss over a batch, and those of its terms."""
    since = step - config.angle_steps
    if since < 0:
        weights = LossWeights(angle=config.loss.angle)
        loss = overall_loss(layers, weights, angle=crops.angles)
        return loss.total.mean(), {name: term.mean() for name, term in loss.terms.items()}
    if config.envelope:
        total, terms = _envelope(config, layers, crops)
    else:
        total, terms = overall_loss(layers, config.loss, angle=crops.angles, scores=scores)
    if config.distill:
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
        total = part * (imitation + angle) + (1 - part) * total
        terms = {
            name: term if name == "angle" else (1 - part) * term for name, term in terms.items()
        }
        terms["distill"] = part * imitation.detach()
    return total.mean(), {name: term.mean() for name, term in terms.items()}


def _envelope(
    config: TrainConfig, layers: Layers, crops: Crops
) -> tuple[Tensor, dict[str, Tensor]]:
    """The energy's envelope, and the angle's error; one number an image."""
    R, sparsity_map = layers.R, None
    if crops.sparsity_maps is not None:
        found = R.detach().float().clamp(min=0)
        crowd = rotate(crops.sparsity_maps, layers.angle.detach(), (config.crop, config.crop))
        sparsity_map = crowd * reweighting(found, crowd, config.loss.lam_r)
    settings = (config.loss, config.envelope, config.envelope_iterations)
    total = envelope_loss(R, layers.Y, *settings, inside=layers.inside, sparsity_map=sparsity_map)
    terms = {"envelope": total.detach()}
    if config.loss.angle:
        angle = config.loss.angle * angle_loss(layers.predicted, crops.angles)
        total, terms["angle"] = total + angle, angle.detach()
    return total, terms


def _second_pass(config: TrainConfig, step: int) -> bool:
    since, steps = step - config.angle_steps, config.steps - config.angle_steps
    return config.reweight < 1 and since >= config.reweight * steps


def _crowded(net: UDGNet, pictures: Sequence[TrainingPicture]) -> list[tuple[Tensor, ...]]:
    """Block means of each picture, from the rain that is found now: all that `RainDensity` needs."""
    means = []
    for picture in pictures:
        light = as_light(picture.light)[None].to(next(net.parameters()).device)
        shape = (light.shape[-2], light.shape[-1])
        with torch.inference_mode():
            R = unrotate(net.rain(rotate(light, picture.angle)), picture.angle, shape)
            rain = torch.minimum(R.clamp(min=0), light)
        planes = (u[0].mean(dim=0).cpu().numpy() for u in (rain, light))
        density = RainDensity(shape, picture.angle)
        density.add(0, *planes)
        means.append(tuple(torch.from_numpy(u.copy()) for u in density.means()))
    return means


def _doubted(
    pictures: Sequence[TrainingPicture], means: list[tuple[Tensor, ...]]
) -> list[TrainingPicture]:
    """The pictures, and where rain is reweighted in each."""
    reweighted = []
    for picture, (rain, squared, ground, busy) in zip(pictures, means, strict=True):
        height, width = picture.light.shape[-2:]
        known = rain.numpy(), squared.numpy(), ground.numpy(), busy.numpy()
        density = RainDensity((height, width), picture.angle, known)
        sparsity_map = density.around(slice(0, height), slice(0, width)).sparsity_factor()
        reweighted.append(replace(picture, sparsity_map=torch.from_numpy(sparsity_map)[None]))
    return reweighted


def _distance(found: Tensor, target: Tensor, power: int, inside: Tensor) -> Tensor:
    return ((found - target).abs() ** power * inside).double().sum((1, 2, 3))


def _scale(config: TrainConfig, group: Processes) -> int:
    """From the mean over a batch to what is minimised."""
    return config.batch * group.count if config.reduction == "sum" else 1


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, rate: float, clip: float) -> None:
    for entry in optimizer.param_groups:
        entry["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    if clip:
        for entry in optimizer.param_groups:
            nn.utils.clip_grad_norm_(entry["params"], clip)
    optimizer.step()


def _check(row: dict[str, float], folder: Path | None) -> None:
    wrong = [name for name, value in row.items() if not math.isfinite(value)]
    if wrong:
        raise _diverged(f"{', '.join(wrong)} is {row[wrong[0]]}", int(row["step"]), folder)


def _check_weights(net: nn.Module, step: int, folder: Path | None) -> None:
    if not all(bool(torch.isfinite(u).all()) for u in net.state_dict().values()):
        raise _diverged("a weight is not finite", step, folder)


def _diverged(what: str, step: int, folder: Path | None) -> Diverged:
    kept = ""
    if folder is not None and (folder / _CHECKPOINT).exists():
        kept = f", resuming from the last checkpoint, which is kept in {folder}"
    return Diverged(f"{what} at step {step}; use a lower lr, or clip=1{kept}")


# State


@dataclass
class _State:
    """All that changes, and its way to disk and back."""

    net: UDGNet
    average: UDGNet
    optimizer: torch.optim.Optimizer
    critic: PatchDiscriminator | None
    critic_optimizer: torch.optim.Optimizer | None
    pool: ImagePool
    group: Processes
    data: str = ""
    step: int = 0
    seconds: float = 0.0
    crowded: list[tuple[Tensor, ...]] = field(default_factory=list)  # of each picture
    history: list[dict[str, float]] = field(default_factory=list)
    pending: dict[str, Tensor] = field(default_factory=dict)  # sums since the last row …
    counted: int = 0  # … over so many steps

    @classmethod
    def begin(cls, config: TrainConfig, group: Processes, start: UDGNet | None) -> _State:
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
        )

    def follow(self, config: TrainConfig) -> None:
        """Let the average follow the weights; at first quickly, for it starts from noise."""
        since = self.step - config.angle_steps
        factor = min(config.ema, (1 + since) / (10 + since))
        there, here = list(self.average.state_dict().values()), list(self.net.state_dict().values())
        real = [number for number, u in enumerate(here) if u.is_floating_point()]
        with torch.no_grad():
            follow = get_ema_multi_avg_fn(factor)  # type: ignore[no-untyped-call]
            follow([there[n] for n in real], [here[n] for n in real], None)

    def add(self, terms: dict[str, Tensor], loss: Tensor) -> None:
        for name, value in {"loss": loss, **terms}.items():
            value = value.double()
            self.pending[name] = self.pending[name] + value if name in self.pending else value
        self.counted += 1

    def log(self, rate: float, group: Processes) -> dict[str, float]:
        """Make a row of what was added."""
        names = list(self.pending)
        means = group.mean(torch.stack([self.pending[name] for name in names])) / self.counted
        row = {"step": float(self.step), "seconds": self.seconds, "lr": rate}
        row |= dict(zip(names, means.tolist(), strict=True))
        self.history.append(row)
        self.pending, self.counted = {}, 0
        return row

    def result(self, config: TrainConfig) -> UDGNet:
        net = copy.deepcopy(self.average).requires_grad_(True)
        if not config.ema:
            net.load_state_dict(self.net.state_dict())
        return net

    def save(self, folder: Path, config: TrainConfig) -> None:
        """Write the checkpoint, then what is made of it; each file whole or not at all."""
        _check_weights(self.net, self.step, folder)
        critic, its = self.critic, self.critic_optimizer
        names = sorted({name for row in self.history for name in row})
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
            "crowded": self.crowded,
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
        text = io.StringIO()
        order = ["step", "seconds", "lr", "loss"]
        columns = [*order, *(name for name in names if name not in order)]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.history)
        write_bytes(folder / "log.csv", text.getvalue().encode(), overwrite=True)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if not path.exists():
            return
        content = _read_checkpoint(path)
        if content["data"] != self.data:
            raise InvalidInput(
                f"the run in {path.parent} was begun with other pictures or angles; give the same, "
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
        crowded = content.get("crowded", [])
        known = all(len(means) == 4 for means in crowded)  # of older checkpoints the ground is not
        self.crowded = crowded if known else []
        self.history, self.counted = content["history"], content["counted"]
        self.pending = {name: u.to(self.group.device) for name, u in content["pending"].items()}


def _adam(net: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(net.parameters(), config.lr, eps=config.eps, amsgrad=config.amsgrad)


_CHECKPOINT = "checkpoint.pt"
_WEIGHTS = "weights.safetensors"
_CONFIG = "config.json"
_ANGLES = "angles.csv"


def _read_checkpoint(path: Path) -> dict[str, Any]:
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


def _saved(folder: Path | None, resume: bool) -> TrainConfig | None:
    """The settings of the run that is to be resumed."""
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
    return TrainConfig.from_json(_read_checkpoint(path)["config"])


# Pictures of the progress


def _board(folder: Path | None, step: int) -> Any:
    """TensorBoard, if it is there."""
    if folder is None:
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return None
    with plain_errors(folder, "write"):
        return SummaryWriter(str(folder / "events"), purge_step=step + 1)


def _show(folder: Path, state: _State, rainy: Sampler, config: TrainConfig, board: Any) -> None:
    """A few crops as they are decomposed now, and the learning curve."""
    crops = rainy.batch(0, min(4, config.batch)).to(state.group.device)
    net = state.result(config)
    with torch.inference_mode():
        Y, X, R, *_ = net(crops.images, crops.angles, (config.crop,) * 2, config.streams)
    rows = torch.cat([Y, Y - R, X, R], dim=-1).nan_to_num().clamp(0, 1)
    panel = rows.permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy().squeeze()
    write(folder / "samples.png", quantize(panel, np.float32, np.uint8), overwrite=True)
    if board is not None:
        board.add_image("crop, crop − R, X, R", np.atleast_3d(panel), state.step, dataformats="HWC")
        board.flush()
    curves = _curves(state.history)
    if curves is not None:
        write_bytes(folder / "learning.png", curves, overwrite=True)


def _curves(history: list[dict[str, float]]) -> bytes | None:
    """The loss and its terms as a picture, PNG; None without matplotlib."""
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import LogLocator, NullFormatter
    except ModuleNotFoundError:
        return None
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    names = {name: None for row in history for name in row}  # in order
    positive = bool(history)
    for name in names:
        if name not in ("step", "seconds", "lr"):
            points = [(row["step"], row[name]) for row in history if name in row]
            axes.plot(*zip(*points, strict=True), label=name, lw=3 if name == "loss" else 1)
            positive &= all(value > 0 for _, value in points)
    axes.set(xlabel="step", ylabel="mean an image", yscale="log" if positive else "symlog")
    if positive:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    if history:
        axes.legend(fontsize="small")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


# The process


class _Interrupts:
    """Ctrl-C and SIGTERM end the training after the present step; a second one ends it at once."""

    def __init__(self) -> None:
        self.stop = False
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.stop, self.signal = True, number


@contextlib.contextmanager
def _computing(threads: int | None) -> Iterator[None]:
    """Settings of torch that are those of the whole process, for a while."""
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    if threads is not None:
        if threads < 1:
            raise InvalidInput(f"threads is {threads}; give a number that is at least 1")
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.benchmark = before[1]
