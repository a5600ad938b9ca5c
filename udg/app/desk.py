"""The line of those who wait: one photo is worked on at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

import udg
from udg.app.photo import Shown
from udg.errors import UdgError

__all__ = ["Cancelled", "Desk", "Job"]

_log = logging.getLogger(__name__)


class Cancelled(Exception):
    """Nobody waits for this any more."""


class Job:
    """Work that is done by a `Desk`, and what is known of it meanwhile.

    Parameters
    ----------
    work : callable
        ``work(job)`` calls `Job.step` every now and then and returns the result.

    Attributes
    ----------
    text : str
        What is being done.
    part : float
        How far that is, from 0 to 1.
    draft, result : Shown or None
        What was made so far.
    error : str or None
        Why it failed.
    """

    def __init__(self, work: Callable[[Job], Shown]) -> None:
        self._work = work
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self.text, self.part = "Waiting", 0.0
        self.draft: Shown | None = None
        self.result: Shown | None = None
        self.error: str | None = None

    def step(self, text: str, part: float = 0.0) -> None:
        """Say what is being done, and how far it is, from 0 to 1; ends the work if cancelled."""
        if self._cancelled.is_set():
            raise Cancelled
        self.text, self.part = text, part

    def cancel(self) -> None:
        """Have the work end at its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was."""
        return self._cancelled.is_set()

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is finished, and say whether it is."""
        return self._done.wait(seconds)

    def run(self) -> None:
        """Do the work; whatever goes wrong becomes `error`."""
        try:
            self.step("Reading the photo")
            self.result = self._work(self)
        except Cancelled:
            pass
        except UdgError as error:
            self.error = str(error)
        except MemoryError:
            self.error = "There is not enough memory for this photo; use a smaller one."
        except Exception as error:  # a bug: the page goes on, the log has the details
            _log.exception("unforeseen")
            self.error = f"Something unforeseen went wrong ({type(error).__name__}: {error})."
        finally:
            self._done.set()


class Desk:
    """Does one job at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="udg-desk")
        self._lock = threading.Lock()
        self._line: list[tuple[Job, Future[None]]] = []

    def warm_up(self) -> None:
        """Have what takes a while the first time done before anybody waits for it."""
        self._worker.submit(_warm_up)

    def add(self, job: Job) -> None:
        """Put a job at the end of the line."""
        with self._lock:
            self._line = [(one, future) for one, future in self._line if not one.finished]
            self._line.append((job, self._worker.submit(job.run)))

    def ahead(self, job: Job) -> int:
        """How many jobs that somebody still waits for, the present one included, come before it."""
        with self._lock:
            before = [one for one, _ in self._line]
        before = before[: before.index(job)] if job in before else []
        return sum(not (one.finished or one.cancelled) for one in before)

    def close(self) -> None:
        """Cancel everything and wait for its end."""
        with self._lock:
            for job, _ in self._line:
                job.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)


def _warm_up() -> None:
    """Load the kernels; after an installation they are compiled."""
    rainy = udg.synthesize(np.full((64, 64, 3), 0.4, np.float32), angle=5, seed=1).rainy
    udg.solve(rainy, rain_level=1.0)
