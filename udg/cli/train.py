"""``udg train``: train a network on rainy pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from udg.cli import options
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages, under
from udg.cli.running import compiling_said, plain_exits, usage_errors

if TYPE_CHECKING:
    from udg.net import Progress

__all__ = ["train"]


def _either(*kinds: click.ParamType[Any]) -> Callable[..., Any]:
    """Take the first kind of value that fits."""

    def convert(context: click.Context, option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        for kind in kinds[:-1]:
            try:
                return kind(value, option, context)
            except click.BadParameter:
                continue
        return kinds[-1](value, option, context)

    return convert


_some = click.IntRange(min=0)


@command(
    short_help="Train a network on rainy pictures.",
    epilog="For example: udg train photos/ -o run/",
)
@options.inputs
@under(
    "Input and output",
    option("-o", "--output", "run", required=True, type=options.PATH, help="Folder of the run."),
    options.recursive,
    option(
        "--angles",
        callback=_either(click.FLOAT, options.PATH),
        metavar="DEG|FILE",
        show_default="estimated",
        help="Direction of the streaks, or a CSV of file names and directions.",
    ),
    option(
        "--clean",
        type=options.PATH,
        metavar="DIR",
        help="Folder of clean pictures of other scenes (adversarial).",
    ),
    option("--resume", is_flag=True, help="Go on with the run in RUN; begin it if there is none."),
)
@under(
    "Where to begin",
    option(
        "--config",
        metavar="paper|authors|single|FILE",
        show_default="paper; single for one picture",
        help="Settings to begin with, by name or from a config.json: the defaults of what is "
        "below, down to --seed.",
    ),
    option("--start", metavar="NAME|FILE", help="Weights to begin with."),
)
@under(
    "Network",
    option(
        "--channels",
        type=click.IntRange(1, 3),
        metavar="N",
        help="3: colours; 1: the darkest channel.",
    ),
    option("--width", type=options.COUNT, metavar="N", help="Channels within the streams."),
    option("--depth", type=options.COUNT, metavar="N", help="Residual blocks of each stream."),
    option(
        "--streams",
        type=click.Choice(["both", "rain", "background"]),
        help="Which of them to train.",
    ),
    option(
        "--norm",
        type=click.Choice(["batch", "fixed"]),
        help="Batch normalisation by each batch's statistics (the paper's), or without; use fixed "
        "for small batches of different pictures.",
    ),
)
@under(
    "Loss",
    option(
        "--loss",
        metavar="paper|authors|energy|table5:N",
        help="Terms of the loss and their weights.",
    ),
    option(
        "--envelope",
        type=options.WEIGHT,
        metavar="γ",
        help="Descend on the energy's envelope of this γ; 0: on the energy itself.",
    ),
    option(
        "--envelope-iterations", type=options.COUNT, metavar="N", help="For each proximal point."
    ),
    option(
        "--reweight",
        type=options.PART,
        metavar="PART",
        help="Part of the steps before found rain is freed.",
    ),
    option(
        "--distill",
        type=options.WEIGHT,
        metavar="W",
        help="Weight of the distance from the solver's result.",
    ),
    option("--distill-norm", type=click.Choice(["l1", "l2"]), help="How it is measured."),
    option("--distill-steps", type=_some, metavar="N", help="Steps with that loss alone."),
    option(
        "--distill-blend",
        type=_some,
        metavar="N",
        help="Steps in which the energy takes its place.",
    ),
)
@under(
    "Steps",
    option("--steps", type=options.COUNT, metavar="N", help="Batches to train on."),
    option("--batch", type=options.COUNT, metavar="N", help="Crops in each."),
    option("--crop", type=options.COUNT, metavar="PIXELS", help="Their side."),
    option("--lr", type=options.WEIGHT, metavar="RATE", help="Learning rate."),
    option(
        "--schedule",
        type=click.Choice(["steps", "cosine", "constant"]),
        help="How the learning rate falls.",
    ),
    option(
        "--clip",
        type=options.WEIGHT,
        metavar="NORM",
        help="Norm to which the gradient is cut; 0 leaves it.",
    ),
    option(
        "--ema",
        type=options.WEIGHT,
        metavar="FACTOR",
        help="Factor of the weights' moving average; 0: none.",
    ),
    option(
        "--angle-steps", type=_some, metavar="N", help="Steps for the angle network alone, first."
    ),
    option(
        "--angle-turn",
        type=options.WEIGHT,
        metavar="DEG",
        help="Degrees by which crops are turned for it.",
    ),
    option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        help="Of the streams; auto: bfloat16 on GPUs, else float32.",
    ),
    option("--seed", type=_some, metavar="N", help="Of the weights and the crops."),
)
@under(
    "Machine and time",
    option("--device", metavar="cpu|cuda", show_default="a GPU if any", help="Where to compute."),
    option(
        "--threads", type=options.COUNT, metavar="N", show_default="all cores", help="Of the CPU."
    ),
    option(
        "--compile/--no-compile",
        default=None,
        show_default="on GPUs",
        help="Whether to use torch.compile.",
    ),
    option(
        "--max-minutes",
        type=options.WEIGHT,
        metavar="N",
        show_default="no limit",
        help="Stop after so long, to be resumed.",
    ),
    option(
        "--checkpoint-minutes",
        type=options.WEIGHT,
        metavar="N",
        default=10,
        show_default=True,
        help="Time between two checkpoints.",
    ),
)
@under("Messages", options.quiet, options.debug)
@pass_messages
def train(
    messages: Messages,
    /,
    inputs: tuple[Path, ...],
    run: Path,
    recursive: bool,
    config: str | None,
    angles: float | Path | None,
    clean: Path | None,
    start: str | None,
    device: str | None,
    threads: int | None,
    compile: bool | None,
    max_minutes: float | None,
    checkpoint_minutes: float,
    resume: bool,
    **changes: Any,
) -> None:
    """Train a network on rainy pictures; no clean versions of them are needed.

    IN are files, folders and patterns; one picture is enough. RUN gets weights.safetensors, for
    udg derain --method net, a checkpoint, log.csv and pictures. Ctrl-C stops with a checkpoint;
    the same command with --resume goes on. Several GPUs: torchrun --nproc-per-node N -m udg train …
    """
    first = os.environ.get("RANK", "0") == "0"  # of several processes
    hint = "udg: the same command with --resume goes on from there"
    with plain_exits(messages.debug, hint), usage_errors():
        from udg import batch, net
        from udg.cli.settings import given

        if changes["streams"] is not None:
            both = changes["streams"] == "both"
            changes["streams"] = ("background", "rain") if both else (changes["streams"],)
        begin: Any = config
        if config is not None and config not in net.PRESETS:
            begin = net.TrainConfig.from_json(_read_text(Path(config)))
        pictures = [one.path for one in batch.expand(inputs, recursive=recursive, outside=run)]
        silent = messages.quiet or not first
        with compiling_said(silent), _steps(silent) as advance:
            result = net.train(
                pictures,
                run,
                begin,
                angles=angles,
                clean=clean,
                start=start,
                resume=resume,
                device=device,
                threads=threads,
                max_minutes=max_minutes,
                checkpoint_minutes=checkpoint_minutes,
                compile=compile,
                callback=advance,
                **given(changes),
            )
    if first and not messages.quiet:
        loss = f", loss {result.history[-1]['loss']:.4g}" if result.history else ""
        click.echo(f"{run / 'weights.safetensors'}: {result.steps} steps{loss}")
        if not result.finished:
            click.echo(f"udg: stopped before step {result.config.steps}", err=True)
            click.echo(hint, err=True)


def _read_text(path: Path) -> str:
    from udg.io.paths import plain_errors

    with plain_errors(path, "read"):
        return path.read_text(encoding="utf-8", errors="replace")


@contextmanager
def _steps(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show steps, loss and time left on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def advance(now: Progress) -> None:
            loss = f"loss {now.latest['loss']:.4g}" if now.latest else ""
            bar.update(task, completed=now.step, total=now.steps, description=loss)

        yield advance
