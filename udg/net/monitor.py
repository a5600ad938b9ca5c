"""What can be seen of a training from outside: the log, learning curve, samples, TensorBoard."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from udg.io.files import write
from udg.io.paths import plain_errors, write_bytes
from udg.io.picture import quantize
from udg.net.checkpoint import TrainState
from udg.net.config import TrainConfig
from udg.net.data import Sampler

__all__ = ["Monitor", "Progress"]

_ABOUT = ("step", "seconds", "lr")  # columns of the log that are no loss
_SAMPLES = 4  # crops


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


class Monitor:
    """Writes what shows the progress of a run into its folder, which goes on after some step."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._board = folder, _board(folder, step)

    def add(self, row: Mapping[str, float]) -> None:
        """Show a new row of the history in TensorBoard."""
        if self._board is not None:
            for name, value in row.items():
                self._board.add_scalar(name, value, int(row["step"]))

    def write(self, state: TrainState, rainy: Sampler, config: TrainConfig) -> None:
        """Write the log, the learning curve, and crops as they are decomposed now."""
        _write_log(self._folder / "log.csv", state.history)
        crops = rainy.batch(0, min(_SAMPLES, config.batch)).to(state.group.device)
        net, frame = state.result(config), (config.crop, config.crop)
        with torch.inference_mode():
            Y, X, R, *_ = net(crops.images, crops.angles, frame, config.streams)
        rows = torch.cat([Y, Y - R, X, R], dim=-1).nan_to_num().clamp(0, 1)
        panel = rows.permute(0, 2, 3, 1).flatten(0, 1).cpu().numpy().squeeze()
        samples = quantize(panel, np.float32, np.uint8)
        write(self._folder / "samples.png", samples, overwrite=True)
        if self._board is not None:
            panel = np.atleast_3d(panel)
            self._board.add_image("crop, crop − R, X, R", panel, state.step, dataformats="HWC")
            self._board.flush()
        curves = _curves(state.history)
        if curves is not None:
            write_bytes(self._folder / "learning.png", curves, overwrite=True)

    def close(self) -> None:
        """Finish TensorBoard's file."""
        if self._board is not None:
            self._board.close()


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer; None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        return None
    with plain_errors(folder, "write"):
        return SummaryWriter(str(folder / "events"), purge_step=step + 1)


def _write_log(path: Path, history: list[dict[str, float]]) -> None:
    names = sorted({name for row in history for name in row})
    text = io.StringIO()
    first = [*_ABOUT, "loss"]
    columns = [*first, *(name for name in names if name not in first)]
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    write_bytes(path, text.getvalue().encode(), overwrite=True)


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
        if name not in _ABOUT:
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
