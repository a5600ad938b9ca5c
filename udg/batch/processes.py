"""Processes as one more place where tasks are done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, TypeVar

from udg import _compiling
from udg.backend import keep_memory, threads

__all__ = ["ProcessDied", "as_finished"]

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 20.0  # seconds for a process to clean up before it is killed


class ProcessDied(Exception):
    """A process ended before its task did; the message says how."""


def as_finished(
    function: Callable[[T], R], tasks: Iterable[T], jobs: int
) -> Generator[tuple[T, R | ProcessDied], None, None]:
    """Keep so many processes busy, each over its own pipe, and hand out answers as they come.

    An executor would not do: when one of its processes is killed it gives up all of them, and
    does not say which task killed it.

    Parameters
    ----------
    function : callable
        Does one task and catches its own errors; pickled.
    tasks : iterable
        Pickled.
    jobs : int
        Number of processes. They end when the generator is closed.

    Yields
    ------
    (task, answer)
        What ``function(task)`` returned, or how its process died.
    """
    # "spawn", as forking is unsafe once numba or OpenMP has started its threads.
    context = multiprocessing.get_context("spawn")
    share = max(1, threads() // jobs)
    waiting = iter(tasks)
    processes: list[SpawnProcess] = []
    busy: dict[Any, tuple[SpawnProcess, T]] = {}  # by connection

    def start() -> tuple[Connection, SpawnProcess]:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, function, share), daemon=True)
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
                    answer = connection.recv()
                    if answer is None:
                        _compiling.announce()
                        continue
                except (EOFError, OSError):
                    process.join()
                    answer = ProcessDied(_cause_of_death(process.exitcode))
                    connection.close()
                yield task, answer
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


def _serve(connection: Connection, function: Callable[[Any], object], threads: int) -> None:
    """Do tasks as they come, until the other end of the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # unwinds: no half-written file is left
    for library in ("NUMBA", "OMP"):  # read when numba or torch is imported, by `function`
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    keep_memory()
    with suppress(EOFError, OSError), _compiling.told(lambda: connection.send(None)):
        while True:
            connection.send(function(connection.recv()))


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
