"""Many files: which ones, where to, and one failure that does not stop the rest.

`expand` finds the pictures, `plan` says where each result goes, `pending` sorts out what is already
there, and `run` does the work in this process, in several, or on a Dask cluster. The methods are
imported where the work is done.
"""

from __future__ import annotations

import functools
import glob
import logging
import math
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udg import _compiling
from udg.errors import FileError, InvalidInput, UdgError
from udg.io.raster import FORMATS, Picture, format_of, quantize, read, write
from udg.io.windows import is_zarr

__all__ = [
    "LARGE",
    "Found",
    "Outcome",
    "Task",
    "Tiling",
    "angle_file",
    "derain",
    "derain_file",
    "expand",
    "facts_of",
    "is_picture",
    "load_network",
    "make_folder",
    "pending",
    "plan",
    "run",
    "synthesize_file",
    "view_file",
]

#: Pixels beyond which a picture is solved by tiles. In one piece it takes some 140 bytes a pixel
#: where the rain is nearly vertical and half as much again at 45°, so that 16 million stay below
#: 4 GB; most cameras' pictures are smaller.
LARGE = 16e6

_PATIENCE = 20.0  # seconds for a process to clean up before it is killed
_LAYER_FACTS = ("angle", "convergence", "confidence", "gap", "iterations", "seconds")


class Found(NamedTuple):
    """A picture that was asked for.

    Attributes
    ----------
    path : Path
        Where it is.
    name : Path
        Where it lies in the folder that was given; its bare name if it was given itself.
    """

    path: Path
    name: Path


@dataclass(frozen=True)
class Task:
    """One piece of work.

    Attributes
    ----------
    source : Path
        The picture.
    target : Path, optional
        Where its result goes.
    rain : Path, optional
        Where its rain layer goes.
    reference : Path, optional
        The clean picture that its result is compared with.
    number : int
        Position among the tasks, from 0.
    """

    source: Path
    target: Path | None = None
    rain: Path | None = None
    reference: Path | None = None
    number: int = 0

    @property
    def outputs(self) -> list[Path]:
        """The files that this task writes."""
        return [path for path in (self.rain, self.target) if path is not None]

    def names(self) -> dict[str, str]:
        """Its files, as JSON can hold them."""
        names = {"input": self.source, "output": self.target, "rain": self.rain}
        return {name: str(path) for name, path in names.items() if path is not None}


@dataclass
class Outcome:
    """What became of a task.

    Attributes
    ----------
    task : Task
        The task.
    facts : dict
        What the work returned.
    error : str, optional
        Why it failed, in a sentence.
    details : str, optional
        The traceback of the failure.
    notes : list of str
        Warnings that were logged on the way.
    view : dict, optional
        Small pictures and curves for `udg.batch.report`, if they were asked for.
    """

    task: Task
    facts: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    details: str | None = None
    notes: list[str] = field(default_factory=list)
    view: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Its files, how it went and what is known, as JSON can hold it; without the view."""
        failed = self.error is not None
        result = {"error": self.error} if failed else self.facts
        return {**self.task.names(), "status": "failed" if failed else "done", **result}


Work = Callable[[Task], dict[str, Any]]  # facts; what is called "view" goes to `Outcome.view`


# Planning


def expand(
    inputs: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    outside: Path | None = None,
) -> list[Found]:
    """Find the pictures that files, folders and patterns stand for.

    Parameters
    ----------
    inputs : iterable of path-like
        A folder stands for the pictures in it (by suffix, hidden ones left out); a pattern
        such as ``*.png`` or ``**/*.png`` for the pictures that match. Files are taken as they are,
        missing ones too: that is for whoever reads them to report.
    recursive : bool
        Look into folders of folders.
    outside : Path, optional
        Ignore this folder within a given one: it holds the output of an earlier run.

    Returns
    -------
    list of Found
        In the order given, sorted within a folder or pattern, each file once.

    Raises
    ------
    InvalidInput
        A folder or pattern holds no picture.
    """
    found: dict[Path, Found] = {}
    for given in map(Path, inputs):
        if given.is_dir() and not is_zarr(given):
            paths = sorted(given.rglob("*") if recursive else given.iterdir())
            if outside is not None and given.resolve() in outside.resolve().parents:
                paths = [path for path in paths if outside.resolve() not in path.resolve().parents]
            pictures = [Found(path, path.relative_to(given)) for path in paths if is_picture(path)]
        elif not given.exists() and glob.has_magic(str(given)):
            paths = sorted(map(Path, glob.glob(str(given), recursive=True)))  # noqa: PTH207
            pictures = [Found(path, Path(path.name)) for path in paths if is_picture(path)]
        else:
            found.setdefault(given.resolve(), Found(given, Path(given.name)))
            continue
        if not pictures:
            hint = "" if recursive else " (folders in it are searched with --recursive)"
            kind = f"no picture in the folder {given}{hint}"
            raise InvalidInput(kind if given.is_dir() else f"no picture matches {given}")
        for one in pictures:
            found.setdefault(one.path.resolve(), one)
    return list(found.values())


def is_picture(path: Path) -> bool:
    """Whether something in a folder is meant as a picture: by its suffix, and not hidden."""
    if path.suffix.lower() not in FORMATS or path.name.startswith("."):
        return False
    return is_zarr(path) if path.suffix.lower() == ".zarr" else path.is_file()


def plan(found: Sequence[Found], output: Path, *, rain: bool = False) -> list[Task]:
    """Say where each result goes, and refuse if two would meet or one would replace an input.

    Parameters
    ----------
    found : sequence of Found
        The pictures.
    output : Path
        For one picture a file, by its suffix, or a folder; for several a folder, in which results
        have the names of their inputs.
    rain : bool
        Plan ``<stem>_rain.png`` beside each result.

    Returns
    -------
    list of Task

    Raises
    ------
    InvalidInput
        ``output`` cannot be what is needed, results would meet, or one would replace an input.
    """
    single = len(found) == 1
    folder = output.is_dir() and not is_zarr(output)
    like_file = output.suffix.lower() in FORMATS and not folder
    if like_file and not single:
        raise InvalidInput(f"{output} is one file for {len(found)} pictures; give a folder")
    as_file = like_file or (single and bool(output.suffix) and not folder)
    if as_file:
        try:
            format_of(output)
        except FileError as error:
            raise InvalidInput(str(error)) from None
    elif output.is_file():
        raise InvalidInput(f"{output} is a file; give a folder, or a name with a suffix")
    tasks = []
    for number, one in enumerate(found):
        target = output if as_file else output / one.name
        layer = target.with_name(f"{target.stem}_rain.png") if rain else None
        tasks.append(Task(one.path, target, layer, number=number))
    _refuse_collisions(tasks)
    return tasks


def _refuse_collisions(tasks: Iterable[Task]) -> None:
    sources = {task.source.resolve() for task in tasks}
    owners: dict[Path, Path] = {}
    for task in tasks:
        for path in task.outputs:
            key = path.resolve()
            if key in sources:
                raise InvalidInput(f"{path} is an input; give another output")
            if key in owners:
                raise InvalidInput(
                    f"{owners[key]} and {task.source} would both be written to {path}; "
                    "give their common folder with --recursive, or rename one"
                )
            owners[key] = task.source


def pending(
    tasks: Sequence[Task], *, overwrite: bool = False, resume: bool = False
) -> tuple[list[Task], list[Task]]:
    """Split tasks into those to do and those done before.

    Parameters
    ----------
    tasks : sequence of Task
        All of them.
    overwrite : bool
        Do all of them again.
    resume : bool
        Those whose files are all there are done: files appear only when they are complete.

    Returns
    -------
    (list of Task, list of Task)
        To do, and done.

    Raises
    ------
    InvalidInput
        Files exist that may be neither replaced nor skipped.
    """
    if overwrite:
        return list(tasks), []
    if resume:
        done = [task for task in tasks if all(path.exists() for path in task.outputs)]
        return [task for task in tasks if task not in done], done
    existing = [path for task in tasks for path in task.outputs if path.exists()]
    if existing:
        more = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise InvalidInput(
            f"{existing[0]}{more} already exist{'' if more else 's'}; "
            "skip what is done with --resume, or replace it with --overwrite"
        )
    return list(tasks), []


# Running


def run(
    tasks: Sequence[Task],
    work: Work,
    *,
    jobs: int = 1,
    dask: str | None = None,
    report: Callable[[Outcome], object] = lambda outcome: None,
) -> list[Outcome]:
    """Do the work on every task; a failure is that task's outcome and stops nothing else.

    Parameters
    ----------
    tasks : sequence of Task
        What to do.
    work : callable
        ``work(task)`` returns a dict of facts. With several jobs or a cluster it is pickled.
    jobs : int
        Number of processes; one means this process. A script that asks for more must start its
        own work under ``if __name__ == "__main__":``, as for `multiprocessing`.
    dask : str, optional
        Address of a Dask scheduler, such as ``"tcp://host:8786"``: its workers do the tasks, and
        ``jobs`` is not used. They must see every file under the same path. If a worker dies,
        another one does its tasks again.
    report : callable
        Called with each outcome as soon as it is known.

    Returns
    -------
    list of Outcome
        In the order of ``tasks``.

    Raises
    ------
    KeyboardInterrupt
        Outcomes so far were reported, and no process is left behind. Workers of a cluster finish
        the tasks that they have begun.
    ClusterError
        The scheduler cannot be reached, or has no workers.
    MissingExtra
        Dask is asked for and not installed.
    """
    jobs = min(jobs, len(tasks))
    if dask is not None:
        results = _on_cluster(tasks, work, dask)
    elif jobs > 1:
        results = _in_processes(tasks, work, jobs)
    else:
        results = _here(tasks, work)
    outcomes: dict[Task, Outcome] = {}
    with closing(results):  # ends the processes now, not when it is collected
        for outcome in results:
            outcomes[outcome.task] = outcome
            report(outcome)
    return [outcomes[task] for task in tasks]


def _here(tasks: Iterable[Task], work: Work) -> Generator[Outcome, None, None]:
    for task in tasks:
        yield _attempt(work, task)


def _attempt(work: Work, task: Task) -> Outcome:
    outcome = Outcome(task)
    with _collected_warnings(outcome.notes):
        try:
            outcome.facts = work(task)
            outcome.view = outcome.facts.pop("view", None)
        except Exception as error:
            outcome.error = _in_words(error)
            outcome.details = traceback.format_exc()
    return outcome


def _in_words(error: Exception) -> str:
    if isinstance(error, UdgError):
        return str(error)
    if isinstance(error, MemoryError):
        return "not enough memory; use a smaller picture, or fewer jobs"
    return f"{type(error).__name__}: {error}"  # a bug, or something that nobody thought of


@contextmanager
def _collected_warnings(notes: list[str]) -> Iterator[None]:
    """Keep what udg warns of in this thread for the end, out of the progress bar."""
    handler = logging.Handler(logging.WARNING)
    thread = threading.get_ident()
    handler.addFilter(lambda record: record.thread == thread)  # a worker may have several at work
    handler.emit = lambda record: notes.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("udg")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def _on_cluster(tasks: Iterable[Task], work: Work, address: str) -> Generator[Outcome, None, None]:
    from udg.batch import cluster

    asked = {_anywhere(task): task for task in tasks}
    for task, answer in cluster.as_finished(partial(_attempt, work), list(asked), address):
        if isinstance(answer, Outcome):
            yield replace(answer, task=asked[task])
        else:
            yield Outcome(asked[task], error=str(answer))


def _anywhere(task: Task) -> Task:
    """The task with paths that do not depend on the current folder, which is each worker's own."""
    paths = {name: getattr(task, name) for name in ("source", "target", "rain", "reference")}
    return replace(task, **{name: path and path.absolute() for name, path in paths.items()})


def _in_processes(tasks: Iterable[Task], work: Work, jobs: int) -> Generator[Outcome, None, None]:
    """Keep ``jobs`` processes busy, each over its own pipe.

    An executor would not do: when one of its processes is killed it gives up all of them, and
    does not say which task killed it.
    """
    # "spawn", as forking is unsafe once numba or OpenMP has started its threads.
    context = multiprocessing.get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    waiting = iter(tasks)
    processes: list[SpawnProcess] = []
    busy: dict[Any, tuple[SpawnProcess, Task]] = {}  # by connection

    def start() -> tuple[Connection, SpawnProcess]:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
        with _interrupts_held():
            process.start()
        processes.append(process)
        theirs.close()
        return ours, process

    def hand_out(connection: Connection | None, process: SpawnProcess | None) -> None:
        """Give the next task to this process, to a new one if there is none, or let it end."""
        for task in waiting:
            if connection is None or process is None:
                connection, process = start()
            busy[connection] = process, task
            with suppress(OSError):  # died while idle: the broken pipe is read below
                connection.send(task)
            return
        if connection is not None:
            connection.close()

    try:
        for _ in range(jobs):
            hand_out(None, None)
        while busy:
            ready: list[Any] = list(wait(list(busy)))
            for connection in ready:
                process, task = busy[connection]
                try:
                    outcome = connection.recv()
                    if outcome is None:
                        _compiling.announce()
                        continue
                except (EOFError, OSError):
                    process.join()
                    outcome = Outcome(task, error=_cause_of_death(process.exitcode))
                    connection.close()
                yield outcome
                del busy[connection]
                hand_out(*((None, None) if connection.closed else (connection, process)))
    finally:
        for process, _ in busy.values():
            process.terminate()
        for process in processes:
            process.join(_PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(connection: Connection, work: Work, threads: int) -> None:
    """Do tasks as they come, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # unwinds: no half-written file is left
    for library in ("NUMBA", "OMP"):  # read when numba or torch is imported, in `work`
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    with suppress(EOFError, OSError), _compiling.told(lambda: connection.send(None)):
        while True:
            connection.send(_attempt(work, connection.recv()))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Block Ctrl-C here for a moment and in a process started meanwhile for good."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause_of_death(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = "; probably memory ran out: use fewer jobs" if name == "SIGKILL" else ""
        return f"its process was killed ({name}){hint}"
    return f"its process ended without a result (exit code {code})"


# Work on one picture


@dataclass(frozen=True)
class Tiling:
    """Which pictures are solved by tiles, and by which; see `udg.solve_tiles`.

    Attributes
    ----------
    above : float
        Pixels from which on a picture is.
    tile, overlap : int, optional
        In pixels; default as in `udg.solve_tiles`.
    angle_per_tile : bool
        Whether each tile looks for its own angle.
    """

    above: float = LARGE
    tile: int | None = None
    overlap: int | None = None
    angle_per_tile: bool = False


def derain_file(
    task: Task,
    settings: dict[str, Any],
    tiling: Tiling = Tiling(),
    progress: Callable[[int, int], object] | None = None,
    view: int | None = None,
) -> dict[str, Any]:
    """Read, derain and write one picture; ``settings`` go to `derain`.

    A large one is solved by tiles, and TIFF and zarr are then read and written by windows; not so
    with a network. ``progress`` is called with the numbers of tiles done and to do, of solver or
    network; an exception that it raises ends the work, and nothing is written.

    The rain layer is a 16-bit grey PNG, as faint rain would lose its steps in 8 bits: black is none
    and white full light, or for ``model="signed"`` middle grey is none.

    ``view`` is the number of bytes that pictures for `udg.batch.report` may take.
    """
    from udg.batch import report
    from udg.io import windows

    assert task.target is not None
    format_of(task.target)  # better now than after the work
    with windows.opened(task.source) as picture:
        shape = picture.pixels.shape
        if math.prod(shape[:2]) > tiling.above and settings.get("method") != "net":
            return _derain_by_tiles(task, picture, settings, tiling, progress, view)
        picture = replace(picture, pixels=np.asarray(picture.pixels[:, :]))
    if settings.get("method") == "net" and progress is not None:
        settings = {**settings, "progress": progress}
    if view is not None and settings.get("method") != "net":
        settings = {**settings, "history": True}
    result, facts = derain(picture.pixels, settings)
    signed = getattr(result, "model", "rain") == "signed"
    _write_both(task, result.derained, result.rain, picture, signed)
    if view is not None:
        facts["view"] = report.view(picture.pixels, result, view)
    return facts


def view_file(task: Task, limit: int) -> dict[str, Any]:
    """Look at a picture without deraining it, and at its result if there is one.

    There are no facts but a view for `udg.batch.report`, whose pictures take so many bytes at most.
    """
    from udg.batch import report
    from udg.io import windows
    from udg.pipeline.tiles import survey
    from udg.viz.preview import Preview, Thumbnail

    with windows.opened(task.source) as picture:
        shape, before = picture.pixels.shape, survey(picture.pixels).thumbnail
    after, parts = before, ["before"]
    if task.target is not None:
        with windows.opened(task.target) as result:
            after = survey(result.pixels).thumbnail
        parts += ["after", "rain"]
    if before.shape != after.shape:
        raise FileError(f"{task.target} differs in shape from {task.source}; derain it again")
    both = Preview.of_thumbnail(
        Thumbnail(before, after, before - after), signed=False, side=report.SIDE
    )
    view = report.encode(both, limit, parts)
    return {"view": {**view, "size": [shape[1], shape[0]], "difference": True}}


def derain(pixels: Any, settings: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Derain one picture by the solver or by a network.

    Parameters
    ----------
    pixels : ndarray
        The picture.
    settings : dict
        For `udg.solve`; or, with ``method="net"``, for `udg.net.derain`, where ``adapt`` is the
        number of steps for `udg.net.adapt`.

    Returns
    -------
    (Result or NetResult, dict)
        What the method returns, and what is worth knowing of it, as JSON can hold it.
    """
    import udg

    if settings.get("method") != "net":
        result = udg.solve(pixels, **settings)
        return result, facts_of(result) | _rain_facts(result)
    given = {name: value for name, value in settings.items() if name != "method"}
    weights, device = given.pop("weights"), given.pop("device", None)
    steps = given.pop("adapt", 0)
    found = udg.net.derain(pixels, load_network(weights, device), **given)
    if steps and found.rain_level > 0:
        net = udg.net.adapt(weights, pixels, steps, angle=found.angle, device=device)
        known = {"angle": found.angle, "rain_level": found.rain_level}
        adapted = udg.net.derain(pixels, net, **given | known)
        found = replace(adapted, confidence=found.confidence)
    return found, {
        "method": "net",
        "weights": str(weights),
        "adapted": steps if found.rain_level > 0 else 0,
        "rain_level": float(found.rain_level),
        "angle": found.angle,
        "confidence": _number(found.confidence),
        "seconds": found.seconds,
    }


@functools.lru_cache(maxsize=1)
def load_network(weights: str, device: str | None = None) -> Any:
    """Load a network once a process, ready for inference.

    Parameters
    ----------
    weights : str
        Name or path, for `udg.net.from_pretrained`.
    device : str, optional
        Default: a GPU if there is one.

    Returns
    -------
    UDGNet

    Raises
    ------
    FileError
        The weights cannot be read.
    InvalidInput
        There is no such device.
    MissingExtra
        torch is not installed.
    """
    from udg import net

    if device is None:
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
    return net.for_inference(net.from_pretrained(weights), device)


def _derain_by_tiles(
    task: Task,
    picture: Picture,
    settings: dict[str, Any],
    tiling: Tiling,
    progress: Callable[[int, int], object] | None,
    view: int | None,
) -> dict[str, Any]:
    import udg
    from udg.batch import report
    from udg.io import windows

    assert task.target is not None
    shape, sides = picture.pixels.shape, {"tile": tiling.tile, "overlap": tiling.overlap}
    make_folder(task.target.parent)
    with windows.created(task.target, shape, picture, overwrite=True) as target:
        layer = None if task.rain is None else np.empty(shape[:2], np.uint16)
        result = udg.solve_tiles(
            picture.pixels,
            target,
            rain=layer,
            **{name: side for name, side in sides.items() if side is not None},
            angle_per_tile=tiling.angle_per_tile,
            progress=progress,
            **settings,
        )
        if task.rain is not None and layer is not None:
            write(task.rain, layer, overwrite=True)
    facts = facts_of(result) | _rain_facts(result) | _tile_facts(result)
    if view is not None:
        facts["view"] = report.view(None, result, view)
    return facts


def synthesize_file(task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """Put rain on one picture; ``settings`` go to `udg.synthesize`, every task has its own seed."""
    import udg

    assert task.target is not None
    format_of(task.target)
    picture = read(task.source)
    seed = settings.get("seed", 0) + task.number
    result = udg.synthesize(picture.pixels, **(settings | {"seed": seed}))
    _write_both(task, result.rainy, result.rain, picture)
    return {"seed": seed}


def angle_file(task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """Estimate the angle of one picture's rain; ``settings`` go to `udg.estimate_angle`."""
    import udg

    angle = udg.estimate_angle(read(task.source).pixels, **settings)
    return {"angle": float(angle.degrees), "confidence": _number(angle.confidence)}


def facts_of(result: Any) -> dict[str, Any]:
    """Collect what is worth knowing of a `udg.Result`, as JSON can hold it."""
    return {
        "angle": _number(result.angle),
        "convergence": _number(result.convergence),
        "confidence": _number(result.confidence),
        "weights": {name: _number(value) for name, value in asdict(result.weights).items()},
        "objective": _number(getattr(result, "objective", None)),  # tiles have one each
        "gap": _number(result.gap),
        "iterations": round(result.iterations),
        "reason": str(result.reason),
        "seconds": float(result.seconds),
    }


def _rain_facts(result: Any) -> dict[str, Any]:
    """How sure it is that there is rain, and what is known of each layer if there are several."""
    return {
        "rain_level": float(result.rain_level),
        "layers": [
            {
                "rain_level": float(layer.rain_level),
                **{name: facts_of(layer)[name] for name in _LAYER_FACTS},
            }
            for layer in result.layers
        ],
    }


def _tile_facts(result: Any) -> dict[str, Any]:
    return {
        "tiles": {
            "count": result.tiles,
            "shape": list(result.tile_shape),
            "overlap": result.overlap,
            **({"angles": list(result.angles)} if len(set(result.angles)) > 1 else {}),
        }
    }


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _write_both(task: Task, pixels: Any, rain: Any, picture: Picture, signed: bool = False) -> None:
    """Write the rain layer first: the picture stands for a finished task.

    Existing files were dealt with in `pending`: those still here may be replaced.
    """
    assert task.target is not None
    make_folder(task.target.parent)
    if task.rain is not None:
        layer = quantize(rain / 2 + 0.5 if signed else rain, np.float32, np.uint16)
        write(task.rain, layer, overwrite=True)
    write(task.target, pixels, picture, overwrite=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those it lies in, unless it is there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise FileError(f"cannot make the folder {path}: {reason}") from error
