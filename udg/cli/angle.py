"""``udg angle``: find the direction of the streaks."""

from __future__ import annotations

import functools
from pathlib import Path

import click

from udg.cli import options
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages

__all__ = ["angle"]


@command(short_help="Find the direction of the streaks.", epilog="For example: udg angle rainy.jpg")
@options.inputs
@option(
    "--method",
    type=click.Choice(["spectrum", "tilt"]),
    default="spectrum",
    show_default=True,
    help="tilt: the paper's, slower and less exact.",
)
@options.recursive
@options.json_report
@options.parallel
@options.cluster
@options.log
@options.verbose
@options.quiet
@options.debug
@pass_messages
def angle(
    messages: Messages,
    /,
    inputs: tuple[Path, ...],
    method: str,
    recursive: bool,
    report: Path | None,
    jobs: int | None,
    dask: str | None,
) -> None:
    """Estimate the direction of the streaks, in degrees clockwise from vertical."""
    from udg import batch
    from udg.cli import output as out
    from udg.cli import running

    with running.plain_exits(messages.debug):
        with running.usage_errors():
            found = batch.expand(inputs, recursive=recursive)
        tasks = [batch.Task(one.path, number=number) for number, one in enumerate(found)]
        running.check_log(messages.log, tasks, report)
        work = functools.partial(batch.angle_file, settings={"method": method})
        outcomes, interrupted = running.run(
            tasks, work, messages, lambda facts: f"{facts['angle']:z.1f}°", jobs, dask
        )
        if report != Path("-"):
            rows = []
            for outcome in out.succeeded(outcomes):
                degrees, sure = outcome.facts["angle"], outcome.facts["confidence"]
                sure = "" if sure is None else f"{sure:.2f}"
                rows.append([str(outcome.task.source), f"{degrees:z.1f}", sure])
            out.print_table(["picture", "angle", "confidence"], rows)
        out.write_report(report, out.as_json(outcomes, [], interrupted))
        running.finish(outcomes, messages, interrupted)
