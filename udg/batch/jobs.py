"""Tasks done in this process, in several, or on a cluster; a failure is that task's outcome."""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from udg.backend import threads
from udg.batch import cluster, processes
from udg.batch.planning import Task
from udg.errors import UdgError

__all__ = ["Outcome", "Work", "run", "usual_jobs"]

_WORTH_IT = 4  # pictures a process: it takes about as long to start as one of them
_MEMORY = 1.3e9  # bytes that a process may need (`udg.batch.work.LARGE`)


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
Attempt = Callable[[Task], Outcome]


def usual_jobs(count: int) -> int:
    """Choose how many processes share the work on so many pictures.

    One a core, as far as memory reaches; this process alone, with all cores, for so few pictures
    that starting others would take longer.
    """
    cores = threads()
    if count < _WORTH_IT * cores:
        return 1
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on this system
        return cores
    return max(1, min(cores, int(free / _MEMORY)))


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
    attempt = partial(_attempt, work)
    if dask is not None:
        results = _on_cluster(attempt, tasks, dask)
    elif jobs > 1:
        results = _from(processes.as_finished(attempt, tasks, jobs))
    else:
        results = _here(attempt, tasks)
    outcomes: dict[Task, Outcome] = {}
    with closing(results):  # ends the processes now, not when it is collected
        for outcome in results:
            outcomes[outcome.task] = outcome
            report(outcome)
    return [outcomes[task] for task in tasks]


def _here(attempt: Attempt, tasks: Iterable[Task]) -> Generator[Outcome, None, None]:
    yield from map(attempt, tasks)


def _on_cluster(
    attempt: Attempt, tasks: Iterable[Task], address: str
) -> Generator[Outcome, None, None]:
    asked = {_anywhere(task): task for task in tasks}
    with closing(_from(cluster.as_finished(attempt, list(asked), address))) as outcomes:
        for outcome in outcomes:
            yield replace(outcome, task=asked[outcome.task])


def _from(
    answers: Generator[tuple[Task, Outcome | Exception], None, None],
) -> Generator[Outcome, None, None]:
    """Turn the reason why there is no answer into an outcome."""
    with closing(answers):
        for task, answer in answers:
            yield answer if isinstance(answer, Outcome) else Outcome(task, error=str(answer))


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


def _anywhere(task: Task) -> Task:
    """The task with paths that do not depend on the current folder, which is each worker's own."""
    paths = {name: getattr(task, name) for name in ("source", "target", "rain", "reference")}
    return replace(task, **{name: path and path.absolute() for name, path in paths.items()})
