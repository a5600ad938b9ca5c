"""``udg evaluate``: derain pairs of pictures and measure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from udg.cli import options, settings
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages, under

__all__ = ["evaluate"]


@command(
    short_help="Derain pairs of pictures and measure.",
    epilog="For example: udg evaluate pairs/, which holds pairs/rainy and pairs/clean",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@under(
    "Input and output",
    option("--save", type=options.PATH, metavar="DIR", help="Keep the derained pictures there."),
    options.overwrite,
)
@settings.taken
@settings.solver
@under("Many pictures", options.parallel)
@under(
    "Reports",
    options.json_report,
    options.log,
    options.verbose,
    options.quiet,
    options.debug,
)
@pass_messages
def evaluate(
    messages: Messages,
    /,
    folder: Path,
    save: Path | None,
    report: Path | None,
    jobs: int | None,
    overwrite: bool,
    **asked: Any,
) -> None:
    """Derain FOLDER/rainy and compare with FOLDER/clean; pairs have the same name.

    PSNR and SSIM are measured on luma 16-235 (MATLAB's rgb2ycbcr).
    """
    from udg.batch import Task, usual_jobs
    from udg.batch.evaluation import evaluate, find_pairs
    from udg.cli import output as out
    from udg.cli import progress, running

    with running.plain_exits(messages.debug), running.usage_errors():
        chosen = settings.for_method(asked)
        pairs, unpaired = find_pairs(folder)
        tasks = [Task(rainy, save and save / rainy.name, reference=clean) for rainy, clean in pairs]
        running.check_log(messages.log, [*tasks, *map(Task, unpaired)], report)
        sources = [rainy for rainy, _ in pairs] + unpaired
        if jobs is None:
            jobs = 1 if chosen.get("method") == "net" else usual_jobs(len(pairs))
        in_turn = min(jobs, len(pairs)) == 1
        with (
            running.compiling_said(messages.quiet, report),
            progress.watching(sources, messages, _in_words, in_turn=in_turn) as watch,
        ):
            result = evaluate(
                folder,
                jobs=jobs,
                save=save,
                overwrite=overwrite,
                report=watch.collect,
                callback=watch.callback,
                **chosen,
            )
            for failure in result.failures:
                if failure not in watch.outcomes:
                    watch.collect(failure)
        if report != Path("-"):
            out.print_scores(result, messages.quiet)
        out.write_report(report, result.as_dict())
        outcomes = [*out.succeeded(watch.outcomes), *result.failures]
        running.finish(outcomes, messages, interrupted=False)


def _in_words(facts: dict[str, Any]) -> str:
    before, after = facts["psnr_before"], facts["psnr_after"]
    return f"rain at {facts['angle']:z.1f}°, PSNR {before:.2f} dB before, {after:.2f} dB after"
