"""``udg derain``: remove rain from pictures."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Literal

import click

from udg.cli import options, settings
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages, under

__all__ = ["derain"]


@command(epilog="For example: udg derain rainy.jpg -o derained.jpg")
@options.inputs
@under(
    "Input and output",
    options.output,
    options.save_rain,
    options.recursive,
    option("--resume", is_flag=True, help="Skip pictures whose results exist."),
    options.overwrite,
)
@settings.taken
@settings.solver
@settings.tiles
@under("Many pictures", options.parallel, options.cluster)
@under(
    "Reports",
    options.json_report,
    option(
        "--report",
        "page",
        type=options.PATH,
        metavar="FILE.html",
        help="Write a page with all pictures, before and after: one file, for any browser.",
    ),
    options.log,
    options.verbose,
    options.quiet,
    options.debug,
)
@pass_messages
def derain(
    messages: Messages,
    /,
    inputs: tuple[Path, ...],
    output: Path,
    tile: int | Literal["auto", "off"],
    overlap: int | None,
    angle_per_tile: bool,
    save_rain: bool,
    recursive: bool,
    report: Path | None,
    page: Path | None,
    jobs: int | None,
    dask: str | None,
    resume: bool,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Remove rain from pictures.

    IN are files, folders and patterns such as "*.jpg". Results have the names, format and bit depth
    of their inputs, with colour profile and EXIF, unless --output names a file of another format.
    A picture without rain is written as it is. Large ones are solved by tiles, in less memory;
    TIFF and zarr are then read and written piece by piece.
    """
    from udg import batch
    from udg.cli import output as out
    from udg.cli import running

    quiet = messages.quiet
    with running.plain_exits(messages.debug):
        chosen = settings.for_method(asked)
        tiling = settings.tiling(tile, overlap, angle_per_tile)
        if chosen.get("method") == "net":
            if overlap is not None or angle_per_tile:
                raise click.UsageError("--overlap and --angle-per-tile are not for --method net")
            chosen["tile"] = None if tile == "off" else tile
        one = chosen["angle"] == "auto" and chosen.get("n_layers", 1) == 1
        if angle_per_tile and not one:
            raise click.UsageError("--angle-per-tile is for --angle auto and one layer")
        todo, done = running.plan(inputs, output, save_rain, recursive, overwrite, resume)
        running.check_log(messages.log, [*todo, *done], report, page)
        limit = out.page_budget(page, [*todo, *done])
        if jobs is None and chosen.get("method") == "net":
            jobs = 1  # each would hold a network of its own
        work = functools.partial(batch.derain_file, settings=chosen, tiling=tiling, view=limit)
        found = functools.partial(out.derained_in_words, settings=chosen)
        with running.compiling_said(quiet, report):
            outcomes, interrupted = running.run(
                todo, work, messages, found, jobs, dask, follow=True
            )
        if not quiet and report != Path("-"):
            out.print_derained(outcomes, chosen)
        out.write_report(report, out.as_json(outcomes, done, interrupted))
        left = len(todo) - len(outcomes)
        if page is not None:
            where = {"jobs": jobs or batch.usual_jobs(len(done)), "dask": dask}
            out.write_page(page, outcomes, done, chosen, left, interrupted, quiet, **where)
        running.finish(outcomes, messages, interrupted, done=len(done), left=left)
