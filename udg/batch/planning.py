"""Where the result of each picture goes, and what is already there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from udg.errors import FileError, InvalidInput
from udg.io.paths import FORMATS, Found, format_of, is_zarr

__all__ = ["Task", "pending", "plan"]


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
