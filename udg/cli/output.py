"""Results: in words, as tables, as JSON, and as a page for a browser."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from udg._version import __version__

if TYPE_CHECKING:
    from udg.batch import Outcome, Task
    from udg.batch.evaluation import Evaluation

__all__ = [
    "as_json",
    "derained_in_words",
    "page_budget",
    "print_derained",
    "print_scores",
    "print_table",
    "succeeded",
    "write_page",
    "write_report",
]

_WIDE, _LONGEST = 110, 40  # columns: of terminals that have room for results; of a name


def succeeded(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those of which something is known."""
    return [outcome for outcome in outcomes if outcome.error is None]


# What was found


def derained_in_words(facts: dict[str, Any], settings: dict[str, Any]) -> str:
    """What was found in a picture and how long it took, in a few words."""
    layers = _with_rain(facts)
    usual = "signed" if settings.get("method") == "alternating" else "rain"
    what = "rain" if settings.get("model", usual) == "rain" else "stripes"
    angles = [f"{layer['angle']:z.1f}°" for layer in layers]
    found = f"{what} at {' and '.join(angles)}"
    if not layers:
        judged = settings.get("rain_level", "auto") == "auto"
        found = "no rain found" if judged else "left as it is, as asked"
    return f"{found}, {facts['seconds']:.1f} s"


def _with_rain(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """What is known of each direction in which there was rain."""
    return [layer for layer in facts.get("layers") or [facts] if layer["rain_level"] > 0]


def print_derained(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> None:
    """What is known of each picture; how many directions if it was asked, or one has several."""
    done = succeeded(outcomes)
    by_solver = [] if settings.get("method") == "net" else ["gap", "iterations"]
    most = max((len(_with_rain(one.facts)) for one in done), default=0)
    unknown = settings.get("angle") == "auto" and most > 1
    counted = ["directions"] if unknown or settings.get("n_layers", 1) != 1 else []
    asked = settings.get("rain_level", "auto")
    rows = []
    for outcome in done:
        row = [str(outcome.task.source), str(outcome.task.target)]
        row += [str(len(_with_rain(outcome.facts)))] if counted else []
        rows.append([*row, *_in_short(outcome.facts, asked)])
    print_table(["picture", "result", *counted, "angle", "rain level", *by_solver, "seconds"], rows)


def _in_short(facts: dict[str, Any], asked: float | str) -> list[str]:
    """Angle, rain level, of the solver gap and iterations of all layers together, and seconds."""
    from udg.viz.preview import percent

    layers = facts.get("layers") or [facts]
    level = max(layer["rain_level"] for layer in layers)
    if level == 0:
        rain = "no rain found" if asked == "auto" else "0.00 as asked"
    else:
        rain = " ".join(f"{layer['rain_level']:.2f}" for layer in layers)
    angles = " ".join(f"{layer['angle']:z.1f}" for layer in layers)
    by_solver = []
    if facts.get("method") != "net":
        gaps = [layer["gap"] for layer in layers]
        gap = "" if None in gaps else percent(max(gaps))
        by_solver = [gap, str(sum(layer["iterations"] for layer in layers))]
    return [angles, rain, *by_solver, f"{facts['seconds']:.1f}"]


# Tables


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to a terminal, and tab-separated values to anything else."""
    if not rows:
        return
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    # Where it is narrow, results are left out: they have the names of their pictures.
    shown = [i for i, name in enumerate(columns) if name != "result" or console.width >= _WIDE]
    for i in shown:
        name = columns[i] in ("picture", "result")
        table.add_column(columns[i], justify="left" if name else "right", no_wrap=name)
    for row in rows:
        table.add_row(*(_end(row[i]) for i in shown))
    console.print(table)


def _end(text: str) -> str:
    """The text, or its end if it is long: there a path says which file it is."""
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def print_scores(result: Evaluation, quiet: bool) -> None:
    """The scores of each picture and their means, or the means only."""
    from udg.viz.preview import percent

    columns = ["picture", "angle", "PSNR before", "after", "SSIM before", "after", "gap"]
    rows = [
        [
            score.name,
            f"{score.angle:z.1f}",
            f"{score.psnr_before:.2f}",
            f"{score.psnr_after:.2f}",
            f"{score.ssim_before:.4f}",
            f"{score.ssim_after:.4f}",
            "" if score.gap is None else percent(score.gap),
        ]
        for score in result.scores
    ]
    mean = result.means()
    means = [
        f"mean of {len(rows)}",
        "",
        f"{mean['psnr_before']:.2f}",
        f"{mean['psnr_after']:.2f}",
        f"{mean['ssim_before']:.4f}",
        f"{mean['ssim_after']:.4f}",
        "",
    ]
    if rows:
        print_table(columns, [means] if quiet else [*rows, means])
        click.echo(
            f"worse than their input: {result.worse_psnr} in PSNR, {result.worse_ssim} in SSIM, "
            f"of {len(rows)}"
        )


# Files


def as_json(outcomes: Sequence[Outcome], done: Sequence[Task], interrupted: bool) -> dict[str, Any]:
    """What became of each picture, as JSON can hold it."""
    files = [outcome.as_dict() for outcome in outcomes]
    files += [{**task.names(), "status": "skipped"} for task in done]
    failed = sum(file["status"] == "failed" for file in files)
    return {"files": files, "failed": failed, "interrupted": interrupted}


def write_report(report: Path | None, content: dict[str, Any]) -> None:
    """Write JSON; an older report of the same name is replaced."""
    if report is None:
        return
    text = json.dumps({"udg": __version__, **content}, indent=2, allow_nan=False) + "\n"
    if report == Path("-"):
        click.echo(text, nl=False)
        return
    from udg.io.paths import write_bytes

    write_bytes(report, text.encode(), overwrite=True)


def page_budget(page: Path | None, tasks: Sequence[Task]) -> int | None:
    """Bytes for each picture in the page, once it is known that there can be one."""
    if page is None:
        return None
    from udg import batch
    from udg.batch import report

    if page.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--report writes a page for a browser; {page} should end in .html")
    if page.is_dir():
        raise click.UsageError(f"--report: {page} is a folder; give a file")
    batch.make_folder(page.parent)
    return report.budget(len(tasks))


def write_page(
    page: Path,
    outcomes: Sequence[Outcome],
    done: Sequence[Task],
    settings: dict[str, Any],
    left: int,
    interrupted: bool,
    quiet: bool,
    **where: Any,
) -> None:
    """Write the report for a browser; what an older one tells of skipped pictures is kept."""
    from udg.batch import report

    entries = report.entries(
        outcomes,
        done,
        known=report.earlier(page, done),
        asked=settings.get("rain_level", "auto"),
        look=not interrupted,
        **where,
    )
    size = report.write(page, entries, settings=settings, left=left)
    if not quiet:
        click.echo(f"udg: {page} shows them, {size / 1e6:.1f} MB", err=True)
