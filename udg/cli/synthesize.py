"""``udg synthesize``: put rain on clean pictures."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import click

from udg.cli import options
from udg.cli.help import command, option
from udg.cli.options import PART, WEIGHT, Messages, pass_messages, under

__all__ = ["synthesize"]


@command(epilog="For example: udg synthesize clean.png -o rainy.png --angle 12")
@options.inputs
@under("Input and output", options.output, options.save_rain, options.recursive, options.overwrite)
@under(
    "Rain",
    option(
        "--angle",
        type=float,
        metavar="DEG",
        show_default="0",
        help="Direction of the streaks, clockwise from vertical.",
    ),
    option(
        "--length",
        type=WEIGHT,
        metavar="PIXELS",
        show_default="30",
        help="Length of a typical streak.",
    ),
    option(
        "--width",
        type=WEIGHT,
        metavar="PIXELS",
        show_default="1.5",
        help="Width of a typical streak.",
    ),
    option(
        "--density",
        type=PART,
        metavar="PART",
        show_default="0.08",
        help="Part of the picture under streaks.",
    ),
    option(
        "--intensity",
        type=PART,
        metavar="LIGHT",
        show_default="0.5",
        help="Brightness of the brightest streaks.",
    ),
    option(
        "--blend",
        type=click.Choice(["screen", "add"]),
        show_default="screen",
        help="How light adds up.",
    ),
    option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        show_default=True,
        help="Of the first picture; the next ones count on.",
    ),
)
@under("Messages", options.log, options.verbose, options.quiet, options.debug)
@pass_messages
def synthesize(
    messages: Messages,
    /,
    inputs: tuple[Path, ...],
    output: Path,
    save_rain: bool,
    recursive: bool,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Put rain on clean pictures."""
    from udg import batch
    from udg.cli import output as out
    from udg.cli import running
    from udg.cli.settings import given

    with running.plain_exits(messages.debug):
        tasks, _ = running.plan(inputs, output, save_rain, recursive, overwrite, resume=False)
        running.check_log(messages.log, tasks)
        work = functools.partial(batch.synthesize_file, settings=given(asked))
        outcomes, interrupted = running.run(
            tasks, work, messages, lambda facts: f"rain of seed {facts['seed']}"
        )
        if not messages.quiet:
            rows = [
                [str(one.task.source), str(one.task.target), str(one.facts["seed"])]
                for one in out.succeeded(outcomes)
            ]
            out.print_table(["picture", "result", "seed"], rows)
        running.finish(outcomes, messages, interrupted)
