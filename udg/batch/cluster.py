"""A Dask cluster as one more place where tasks are done.

Dask's scheduler hands tasks to workers, and those of a worker that died to another. This module
reaches the scheduler, and turns what may become of a task there into words.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from udg.backend import one_of_many
from udg.errors import ClusterError, InvalidInput, MissingExtra

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["as_finished", "connect"]

T = TypeVar("T")
R = TypeVar("R")

_PATIENCE = 10.0  # seconds to wait for the scheduler, and again for a first worker


def connect(address: str, *, patience: float = _PATIENCE) -> Client:
    """Reach a Dask scheduler that has workers.

    Parameters
    ----------
    address : str
        Of the scheduler, as it prints it: ``"tcp://host:8786"``.
    patience : float
        Seconds to wait for the scheduler, and as long again for a first worker.

    Returns
    -------
    distributed.Client
        To be closed by the caller; not the default of its process.

    Raises
    ------
    MissingExtra
        distributed is not installed.
    InvalidInput
        The address is none.
    ClusterError
        Nobody answers, or there are no workers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise MissingExtra("distributed", "dask") from None
    try:
        client = Client(address, timeout=patience, set_as_default=False)
    except ValueError as error:
        raise InvalidInput(
            f"{address} is no address of a Dask scheduler ({error}); "
            "give the one that it prints, such as tcp://host:8786"
        ) from None
    except OSError:
        raise ClusterError(
            f"no Dask scheduler answers at {address} within {patience:g} s; "
            "start one with 'dask scheduler', or give the address that it prints"
        ) from None
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError:
        client.close()
        raise ClusterError(
            f"the Dask scheduler at {address} has no workers; "
            f"start some with 'dask worker {address}'"
        ) from None
    return client


def as_finished(
    function: Callable[[T], R], tasks: Sequence[T], address: str
) -> Generator[tuple[T, R | ClusterError], None, None]:
    """Do tasks on a cluster and hand out each answer as soon as it is there.

    Parameters
    ----------
    function : callable
        Does one task; pickled. It may run more than once for a task, at the same time even, if
        the scheduler loses sight of a worker.
    tasks : sequence
        Hashable and small; pickled.
    address : str
        Of the scheduler.

    Yields
    ------
    (task, answer)
        What ``function(task)`` returned, or a ClusterError that says why there is no answer.

    Raises
    ------
    MissingExtra, InvalidInput, ClusterError
        As `connect`.
    """
    if not tasks:
        return
    with _silence("distributed.client"), closing(connect(address)) as client:
        from distributed import as_completed

        # Not pure: the same picture with the same options is to be done again if asked again.
        futures = client.map(_one_of_many, [function] * len(tasks), tasks, pure=False)
        waiting = dict(zip(futures, tasks, strict=True))
        finished = as_completed(futures, client.loop, with_results=True, raise_errors=False)
        del futures  # the cluster keeps an answer until nobody holds its future
        try:
            for future, answer in finished:
                done = future.status == "finished"
                yield waiting.pop(future), answer if done else _failure(future.status, answer)
        finally:
            client.cancel(list(waiting))  # those that no worker has begun


def _one_of_many(function: Callable[[T], R], task: T) -> R:
    with one_of_many():
        return function(task)


@contextmanager
def _silence(name: str) -> Iterator[None]:
    """Keep a logger from printing tracebacks of what is reported in words."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _failure(status: str, answer: Any) -> ClusterError:
    """Why the cluster has no answer; errors of the function itself are for it to catch."""
    from distributed import KilledWorker

    if status != "error":
        return ClusterError("the connection to the Dask scheduler was lost; go on with --resume")
    _, error, _ = answer
    if isinstance(error, KilledWorker):
        return ClusterError(
            "every worker that tried it died; probably memory ran out: "
            "start workers with fewer threads, or give them more memory"
        )
    if isinstance(error, ImportError):
        return ClusterError(f"{error} on the cluster; install the same udg there as here")
    return ClusterError(f"the cluster could not do it: {type(error).__name__}: {error}")
