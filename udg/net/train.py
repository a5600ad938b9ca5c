"""Train a network: what is read, the loop, and what is kept.

Supervision is the energy alone (Eq. 12–16); there are no pairs. One picture is enough.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from udg.io.paths import make_folder, write_bytes
from udg.net.checkpoint import CONFIG, TrainState, saved_config
from udg.net.config import SINGLE_IMAGE, TrainConfig, resolve
from udg.net.data import (
    Angles,
    Images,
    Sampler,
    TrainingPicture,
    find,
    fingerprint,
    load,
    solver_targets,
    write_angles,
)
from udg.net.monitor import Monitor, Progress
from udg.net.network import UDGNet
from udg.net.parallel import Interrupts, Processes, computing, processes
from udg.net.pretrained import from_pretrained
from udg.net.step import Trainer

__all__ = ["TrainResult", "adapt", "train"]

_ANGLES = "angles.csv"


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
    with processes(device) as group, computing(threads), Interrupts() as interrupts:
        # Settings
        if not isinstance(images, (str, os.PathLike)) and not hasattr(images, "ndim"):
            images = list(images)
        saved = saved_config(folder, resume)
        origin = from_pretrained(start) if isinstance(start, (str, os.PathLike)) else start
        single, adversarial = len(find(images)) == 1, clean is not None
        config = resolve(config, changes, saved, origin, single=single, adversarial=adversarial)

        # Pictures
        if resume and angles is None and folder is not None and (folder / _ANGLES).exists():
            angles = folder / _ANGLES
        pictures = _load_together(group, images, angles, folder, config)
        rainy = Sampler(pictures, config.crop, config.seed, config.flips)
        unpaired = None
        if config.loss.mu:
            others = load(clean, config.net.channels, math.nan)
            unpaired = Sampler(others, config.crop, config.seed, config.flips, stream=1)

        # Networks, optimizers, and where an earlier run left them
        state = TrainState.begin(config, group, origin, fingerprint(pictures))
        writes = folder if group.rank == 0 else None
        if folder is not None and resume:
            state.load(folder)
        if writes is not None:
            make_folder(writes)
            write_angles(writes / _ANGLES, pictures)
            write_bytes(writes / CONFIG, config.as_json().encode(), overwrite=True)
        if compile or (compile is None and group.device.type == "cuda"):
            state.net.background.compile()
            state.net.rain.compile()
        monitor = None if writes is None else Monitor(writes, state.step)
        trainer = Trainer(config, state, rainy, unpaired)

        before = state.seconds
        began = saved_at = time.monotonic()
        stopping = False
        while state.step < config.steps and not stopping:
            rate = trainer.step()
            state.seconds = before + time.monotonic() - began
            logged = state.step % config.log_every == 0 or state.step == config.steps
            if logged:
                state.log(rate)
                state.check_log(folder)
                if monitor is not None:
                    monitor.add(state.history[-1])
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
            if due and writes is not None and monitor is not None:
                state.save(writes, config)
                monitor.write(state, rainy, config)
                saved_at = time.monotonic()

        if monitor is not None:
            monitor.close()
        if interrupts.signal is not None:
            where = f"; it is kept in {folder} and can be resumed" if folder is not None else ""
            raise KeyboardInterrupt(f"interrupted after step {state.step} of {config.steps}{where}")
        state.check_weights(folder)
        return TrainResult(
            net=state.result(config),
            config=config,
            history=state.history,
            steps=state.step,
            finished=state.step == config.steps,
            seconds=state.seconds,
            path=folder,
        )


def _load_together(
    group: Processes,
    images: Images,
    angles: Angles | None,
    folder: Path | None,
    config: TrainConfig,
) -> list[TrainingPicture]:
    """Read the pictures; the first process goes ahead, and the others find what it has kept."""
    targets = None
    if config.distill:
        targets = solver_targets(None if folder is None else folder / "targets")
    for turn in (True, False):
        if turn == (group.rank == 0):
            pictures = load(images, config.net.channels, angles, targets=targets)
        group.wait()
    return pictures


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
        Default: `SINGLE_IMAGE` with a learning rate of 1e-3, and reweighted from the start. It
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
