"""Running a batch: what is checked before it, the work behind a display, and how it ends."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from udg import _compiling
from udg.cli.options import Messages
from udg.cli.progress import tell, watching
from udg.errors import InvalidInput, UdgError

if TYPE_CHECKING:
    from udg.batch import Outcome, Task

__all__ = [
    "check_log",
    "compiling_said",
    "finish",
    "plain_exits",
    "plan",
    "run",
    "usage_errors",
]


@contextmanager
def plain_exits(debug: bool, hint: str | None = None) -> Iterator[None]:
    """Print errors that were foreseen as a sentence, not as a traceback; after Ctrl-C a hint."""
    try:
        yield
    except UdgError as error:
        if debug:
            raise
        click.echo(f"udg: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt as error:
        click.echo(f"udg: {error}" if str(error) else "udg: interrupted", err=True)
        if hint is not None and str(error):
            click.echo(hint, err=True)
        sys.exit(130)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Treat what the library refuses as a wrong command."""
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def compiling_said(quiet: bool, report: Path | None = None) -> Iterator[None]:
    """Say why the first picture takes so long, if kernels have to be compiled for it."""

    def say() -> None:
        if not quiet and report != Path("-"):
            tell("compiling, once on this machine; some 15 s …")

    with _compiling.told(say):
        yield


def plan(
    inputs: Sequence[Path],
    output: Path,
    rain: bool,
    recursive: bool,
    overwrite: bool,
    resume: bool,
) -> tuple[list[Task], list[Task]]:
    """Say what to do and what is done, before anything is touched."""
    from udg import batch

    if overwrite and resume:
        raise click.UsageError("--resume skips what --overwrite would replace; give one of them")
    with usage_errors():
        found = batch.expand(inputs, recursive=recursive, outside=output)
        tasks = batch.plan(found, output, rain=rain)
        return batch.pending(tasks, overwrite=overwrite, resume=resume)


def check_log(log: Path | None, tasks: Iterable[Task], *reports: Path | None) -> None:
    """Refuse a log that cannot be written, or that would be written into another file.

    Parameters
    ----------
    log : Path or None
        File of ``--log``.
    tasks : iterable of Task
        All of them, also those done before.
    *reports : Path or None
        Other files that the command writes.
    """
    if log is None:
        return
    if log.is_dir():
        raise click.UsageError(f"--log: {log} is a folder; give a file")
    if not log.parent.is_dir():
        raise click.UsageError(f"--log: there is no folder {log.parent}; make it first")
    here = log.resolve()
    places = {here, *here.parents}  # a zarr picture is a folder
    used = [path for path in reports if path is not None]
    for task in tasks:
        used += [path for path in (task.source, task.reference, *task.outputs) if path is not None]
    for path in used:
        linked = log.exists() and path.exists() and log.samefile(path)
        if linked or path.resolve() in places:
            raise click.UsageError(f"--log: {log} is an input or output; give a file of its own")


def run(
    tasks: Sequence[Task],
    work: Callable[..., Any],
    messages: Messages,
    describe: Callable[[dict[str, Any]], str],
    jobs: int | None = 1,
    dask: str | None = None,
    *,
    follow: bool = False,
) -> tuple[list[Outcome], bool]:
    """Run a batch, and tell how far it is; after Ctrl-C return what was finished.

    Parameters
    ----------
    tasks : sequence of Task
        What to do.
    work : callable
        As in `udg.batch.run`; with ``follow`` it takes a ``callback`` for `udg.Progress`, which is
        shown if the work is done in this process.
    messages : Messages
    describe : callable
        Says in words what is known of a picture, from its facts.
    jobs, dask
        As in `udg.batch.run`; None is `udg.batch.usual_jobs`.
    follow : bool

    Returns
    -------
    (list of Outcome, bool)
        In the order of the tasks, and whether it was interrupted.
    """
    from udg import batch

    if jobs is None:
        jobs = 1 if dask is not None else batch.usual_jobs(len(tasks))
    if dask is not None and jobs > 1:
        raise click.UsageError("--jobs is for this machine, --dask for its workers; give one")
    interrupted = False
    sources, in_turn = [task.source for task in tasks], dask is None and min(jobs, len(tasks)) <= 1
    with watching(sources, messages, describe, in_turn=in_turn) as watch, usage_errors():
        if follow and watch.callback is not None:
            work = functools.partial(work, callback=watch.callback)
        try:
            batch.run(tasks, work, jobs=jobs, dask=dask, report=watch.collect)
        except KeyboardInterrupt:
            interrupted = True
            watch.log("interrupted")
    return sorted(watch.outcomes, key=lambda outcome: outcome.task.number), interrupted


def finish(
    outcomes: Sequence[Outcome],
    messages: Messages,
    interrupted: bool,
    *,
    done: int = 0,
    left: int = 0,
) -> None:
    """Say what was not as it should be, and leave with the code that says it to a script."""
    failures = [outcome for outcome in outcomes if outcome.error is not None]
    for note in (note for outcome in outcomes for note in outcome.notes):
        if not messages.quiet:
            click.echo(f"udg: note: {note}", err=True)
    if done and not messages.quiet:
        click.echo(f"udg: {done} done before and skipped", err=True)
    if failures:
        click.echo(f"udg: {len(failures)} of {len(outcomes)} failed:", err=True)
    for outcome in failures:
        source, error = str(outcome.task.source), str(outcome.error)
        click.echo(f"  {error}" if source in error else f"  {source}: {error}", err=True)
        if messages.debug and outcome.details:
            click.echo(outcome.details, err=True)
    if interrupted:
        click.echo(f"udg: interrupted; {len(outcomes) - len(failures)} finished and kept", err=True)
        if left:
            click.echo("udg: the same command with --resume goes on from there", err=True)
    if interrupted or failures:
        sys.exit(130 if interrupted else 1)
