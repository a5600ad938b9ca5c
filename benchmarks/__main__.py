"""Every table and figure of the paper, and every other measurement, from one place.

    python -m benchmarks list
    python -m benchmarks run NAME|all [DATA_DIR] [-o FOLDER] [options of NAME's script]
    python -m benchmarks --quick [NAME ...] [-o FOLDER] [--jobs N]
    python -m benchmarks refit DATA_DIR [--write [numbers|provenance]] [--jobs N]

What there is stands in `catalogue.py`. Results go to FOLDER/NAME, by default benchmark-results.
With --quick everything, or what is named, runs on tiny pictures that `tiny.py` makes, in a minute
or two, only to see that it runs: into a temporary folder if none is given. One that fails does not
stop the others; the status is then 1. `refit` makes the numbers that `udg.detection` ships anew.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks._shared.common import environment
from benchmarks.catalogue import BENCHMARKS, Benchmark, find

OUTPUT = Path("benchmark-results")
TAIL = 12  # lines of a failed one's output that are shown


@dataclass(frozen=True)
class Outcome:
    """What became of one."""

    name: str
    state: Literal["done", "failed", "skipped"]
    seconds: float = 0.0
    cpu: float = 0.0
    reason: str = ""
    log: Path | None = None


def missing(benchmark: Benchmark, data: Path | None, quick: bool) -> str | None:
    """Say what a benchmark lacks here, if anything."""
    lacking = [name for name in benchmark.needs if importlib.util.find_spec(name) is None]
    if lacking:
        return f"needs the module {', '.join(lacking)}: pip install 'udg[benchmarks,net,dask,zarr]'"
    if benchmark.needs_data and data is None:
        return "needs a DATA_DIR; benchmarks/README.md says what it holds"
    if benchmark.gpu and not quick and not _gpu():
        return "needs a GPU"
    return None


def _gpu() -> bool:
    return shutil.which("nvidia-smi") is not None


def run(
    benchmark: Benchmark,
    data: Path | None,
    folder: Path,
    *,
    quick: bool = False,
    more: Sequence[str] = (),
    log: bool = True,
) -> Outcome:
    """Run all steps of a benchmark, each as a process of its own.

    Parameters
    ----------
    benchmark : Benchmark
    data : Path or None
        DATA_DIR.
    folder : Path
        Gets a folder of the benchmark's name.
    quick : bool
        With the arguments that make it small, on one thread.
    more : sequence of str
        Further arguments, for the last step.
    log : bool
        Write what it prints to log.txt, instead of showing it.
    """
    reason = missing(benchmark, data, quick)
    if reason is not None:
        return Outcome(benchmark.name, "skipped", reason=reason)
    out = folder / benchmark.name
    out.mkdir(parents=True, exist_ok=True)
    path = out / "log.txt" if log else None
    began, cpu = time.monotonic(), 0.0
    for step in benchmark.steps:
        last = step is benchmark.steps[-1]
        command = [
            sys.executable,
            "-m",
            step.module,
            *step.arguments(data, out, quick),
            *(more if last else ()),
        ]
        status, spent = _call(command, path, quick)
        cpu += spent
        if status != 0:
            reason = f"{step.module} ended with status {status}"
            return Outcome(benchmark.name, "failed", time.monotonic() - began, cpu, reason, path)
    return Outcome(benchmark.name, "done", time.monotonic() - began, cpu, log=path)


def _call(command: list[str], log: Path | None, quick: bool) -> tuple[int, float]:
    """Run one command with this udg: its status and CPU seconds.

    Quick ones share the cores, so each has one thread.
    """
    variables = environment()
    if quick:
        variables |= {
            "OMP_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
    if log is None:
        return _wait(subprocess.Popen(command, env=variables))
    with log.open("a", encoding="utf-8") as file:
        file.write(f"$ {' '.join(command)}\n")
        file.flush()
        streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
        return _wait(subprocess.Popen(command, env=variables, **streams))


def _wait(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    if not hasattr(os, "wait4"):
        return process.wait(), 0.0
    try:
        _, status, used = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, used.ru_utime + used.ru_stime


def run_all(
    chosen: Sequence[Benchmark], data: Path | None, folder: Path, *, quick: bool, jobs: int
) -> list[Outcome]:
    """Run some, several at a time if asked for, behind a progress bar."""
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    running: list[str] = []
    lock = threading.Lock()
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(chosen))

        def one(benchmark: Benchmark) -> Outcome:
            with lock:
                running.append(benchmark.name)
                progress.update(bar, description=", ".join(running))
            outcome = run(benchmark, data, folder, quick=quick)
            with lock:
                running.remove(benchmark.name)
                progress.update(bar, description=", ".join(running), advance=1)
            if outcome.state == "failed":
                progress.console.print(f"[red]{outcome.name} failed:[/] {escape(outcome.reason)}")
            return outcome

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(one, chosen))


def list_all(console: Console) -> None:
    """Print what there is."""
    table = Table("name", "shows", "module", "needs")
    for benchmark in BENCHMARKS:
        needs = ["DATA_DIR"] * benchmark.needs_data + ["GPU"] * benchmark.gpu
        modules = dict.fromkeys(step.module for step in benchmark.steps)
        table.add_row(
            benchmark.name,
            benchmark.shows,
            "\n".join(name.removeprefix("benchmarks.") for name in modules),
            ", ".join([*needs, *benchmark.needs]),
        )
    console.print(table)


def show(outcomes: Sequence[Outcome], folder: Path, console: Console) -> None:
    """Print what became of all, and the end of what the failed ones said."""
    for outcome in outcomes:
        if outcome.state == "failed" and outcome.log is not None:
            lines = outcome.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:]
            console.rule(f"{outcome.name}, the end of its output")
            console.print("\n".join(lines), markup=False, highlight=False)
    colours = {"done": "green", "failed": "red", "skipped": "yellow"}
    table = Table("benchmark", "", "s", "CPU s", "", title=f"Results in {folder}")
    for outcome in outcomes:
        state = f"[{colours[outcome.state]}]{outcome.state}[/]"
        seconds = f"{outcome.seconds:.1f}" if outcome.state != "skipped" else ""
        cpu = f"{outcome.cpu:.1f}" if outcome.cpu else ""
        table.add_row(outcome.name, state, seconds, cpu, escape(outcome.reason))
    console.print(table)


def quick(names: Sequence[str], folder: Path | None, jobs: int, console: Console) -> int:
    """Run all, or some, on tiny pictures."""
    chosen = [find(name) for name in names] or list(BENCHMARKS)
    with tempfile.TemporaryDirectory() as temporary:
        place = folder or Path(temporary)
        from benchmarks._shared import tiny  # takes a second, which `list` can do without

        data = tiny.make(Path(temporary) / "data")
        began = time.monotonic()
        outcomes = run_all(chosen, data, place, quick=True, jobs=jobs)
        show(outcomes, folder or Path("a temporary folder"), console)
    cpu = sum(outcome.cpu for outcome in outcomes)
    console.print(f"{len(outcomes)} in {time.monotonic() - began:.0f} s, {cpu:.0f} CPU s")
    return int(any(outcome.state == "failed" for outcome in outcomes))


def main(arguments: list[str] | None = None) -> int:
    """Read the arguments, list or run."""
    names = [benchmark.name for benchmark in BENCHMARKS]
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["refit"]:
        from benchmarks.fit import refit  # it needs torch

        return refit.main(given[1:])
    if "--quick" in given:
        parser = argparse.ArgumentParser(
            "python -m benchmarks", description=__doc__.splitlines()[0]
        )
        parser.add_argument("--quick", action="store_true", required=True)
        parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
        parser.add_argument("-o", "--output", type=Path, help="default: a temporary folder")
        parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
        options = parser.parse_args(arguments)
        _check(parser, options.names, names)
        return quick(options.names, options.output, options.jobs, Console())

    parser = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__.splitlines()[0],
        epilog="--quick [NAME ...] [-o FOLDER] [--jobs N] runs all of them on tiny pictures",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what there is")
    commands.add_parser("refit", help="make the numbers that are shipped anew; --help says more")
    running = commands.add_parser("run", help="run one, or all; other options go to its script")
    running.add_argument("name", metavar="NAME", help="of `list`, or all")
    running.add_argument("data_dir", type=Path, nargs="?", metavar="DATA_DIR")
    running.add_argument("-o", "--output", type=Path, default=OUTPUT, help=f"default: {OUTPUT}")
    options, more = parser.parse_known_args(arguments)
    console = Console()
    if options.command == "list":
        list_all(console)
        return 0
    if options.data_dir is not None and not options.data_dir.is_dir():
        parser.error(f"there is no folder {options.data_dir}")
    if options.name == "all":
        if more:
            parser.error(f"{' '.join(more)}: options are for one script; name it")
        outcomes = run_all(BENCHMARKS, options.data_dir, options.output, quick=False, jobs=1)
        show(outcomes, options.output, console)
        return int(any(outcome.state == "failed" for outcome in outcomes))
    _check(parser, [options.name], names)
    chosen = find(options.name)
    outcome = run(chosen, options.data_dir, options.output, more=more, log=False)
    if outcome.state != "done":
        print(f"{outcome.name} {outcome.state}: {outcome.reason}", file=sys.stderr)
        return 1
    print(f"results in {options.output / chosen.name}")
    return 0


def _check(parser: argparse.ArgumentParser, wanted: Sequence[str], names: Sequence[str]) -> None:
    for name in wanted:
        if name not in names:
            parser.error(f"there is no {name!r}; give one of {', '.join(names)}")


if __name__ == "__main__":
    sys.exit(main())
