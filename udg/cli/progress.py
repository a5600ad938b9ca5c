"""What is told of a batch while it runs: a display on a terminal, lines elsewhere, and a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udg.cli.options import Messages
from udg.errors import FileError
from udg.io.paths import plain_errors
from udg.pipeline.progress import Callback, Progress

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

    from udg.batch import Outcome

__all__ = ["Watch", "tell", "watching"]

_NAME = 24  # columns for a picture's name beside its bar
_SOON = 2.0  # seconds before which nothing is said of the time left


def tell(text: str) -> None:
    """Write a line to stderr, above the display if there is one: click would write past that."""
    sys.stderr.write(f"udg: {text}\n")


class Watch:
    """Collects outcomes as they come, and tells of them.

    Parameters
    ----------
    sources : sequence of Path
        The pictures.
    describe : callable
        Says in words what is known of a picture, from its facts.
    in_turn : bool
        Whether pictures are done one after the other, in this order and in this process.
    lines : bool
        Whether to write a line a picture to stderr.
    display : _Display, optional
    log : _Log, optional
    """

    def __init__(
        self,
        sources: Sequence[Path],
        describe: Callable[[dict[str, Any]], str],
        *,
        in_turn: bool,
        lines: bool,
        display: _Display | None,
        log: _Log | None,
    ) -> None:
        self.outcomes: list[Outcome] = []
        self._sources, self._describe, self._in_turn = sources, describe, in_turn
        self._lines, self._display, self._log = lines, display, log

    @property
    def callback(self) -> Callback | None:
        """What shows how far a picture is; None if it is not shown."""
        return self._display.follow if self._display is not None and self._in_turn else None

    def collect(self, outcome: Outcome) -> None:
        """Take the outcome of a picture, and tell of it."""
        self.outcomes.append(outcome)
        failed = outcome.error is not None
        words = f"failed: {outcome.error}" if failed else self._describe(outcome.facts)
        line = f"{len(self.outcomes)}/{len(self._sources)} {outcome.task.source}: {words}"
        line = " ".join(line.splitlines())  # whatever an error says
        if self._lines:
            tell(line)
        self.log(line)
        for note in outcome.notes:
            self.log(f"{outcome.task.source}: note: {note}")
        if self._display is not None:
            self._display.done()

    def detail(self, message: str) -> None:
        """Tell what was logged of the picture that is worked on."""
        here = len(self.outcomes)
        known = self._in_turn and here < len(self._sources)
        tell(f"{self._sources[here]}: {message}" if known else message)

    def log(self, line: str) -> None:
        """Write a line to the log only."""
        if self._log is not None:
            self._log.add(line)


@contextmanager
def watching(
    sources: Sequence[Path],
    messages: Messages,
    describe: Callable[[dict[str, Any]], str],
    *,
    in_turn: bool,
) -> Iterator[Watch]:
    """Give a `Watch` for a batch, with what was asked for and where it can be seen.

    Parameters
    ----------
    sources : sequence of Path
        The pictures.
    messages : Messages
    describe, in_turn
        As in `Watch`.
    """
    terminal = sys.stderr.isatty()
    with ExitStack() as stack:
        log = None if messages.log is None else stack.enter_context(_logging_to(messages.log))
        shown = terminal and not messages.quiet
        watch = Watch(
            sources,
            describe,
            in_turn=in_turn,
            lines=not messages.quiet and (not terminal or messages.verbose > 0),
            display=stack.enter_context(_displayed(sources, in_turn)) if shown else None,
            log=log,
        )
        if messages.verbose:
            level = logging.INFO if messages.verbose == 1 else logging.DEBUG
            stack.enter_context(_heard(watch.detail, level))
        yield watch


@contextmanager
def _heard(tell: Callable[[str], None], level: int) -> Iterator[None]:
    """Tell what udg logs; warnings are an outcome's notes, and told at the end."""
    logger = logging.getLogger("udg")
    before, handler = logger.level, logging.Handler(level)
    handler.addFilter(lambda record: record.levelno < logging.WARNING)
    handler.emit = lambda record: tell(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


class _Log:
    """A file that gets lines as soon as they are known; a full disk does not stop the work."""

    def __init__(self, path: Path) -> None:
        with plain_errors(path, "write"):
            self.file = path.open("ab", buffering=0)
        self._path, self._broken = path, False

    def add(self, line: str) -> None:
        """Write a line with the time."""
        try:
            with plain_errors(self._path, "write"):
                self.file.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {line}\n".encode())
        except FileError as error:
            if not self._broken:
                tell(f"note: {error}")
            self._broken = True


@contextmanager
def _logging_to(path: Path) -> Iterator[_Log]:
    log = _Log(path)
    with log.file:
        yield log


class _Display:
    """Bars on a terminal: one for the pictures, one for the picture that is worked on.

    Parameters
    ----------
    bars : rich.progress.Progress
    sources : sequence of Path
    in_turn : bool
        Whether there is one picture that is worked on.
    """

    def __init__(self, bars: Bars, sources: Sequence[Path], in_turn: bool) -> None:
        self._bars, self._sources, self._in_turn = bars, sources, in_turn
        self._done, self._part, self._began = 0, 0.0, time.perf_counter()
        several = len(sources) > 1 or not in_turn
        self._all = bars.add_task("pictures", total=len(sources), state="", visible=several)
        self._one = bars.add_task("", total=None, state="", visible=False)
        self._next()

    def follow(self, now: Progress) -> None:
        """Show how far the picture is; for `callback` of `udg.solve` and the like."""
        self._part = max(self._part, now.fraction)  # each direction begins anew
        state = _in_words(now) + (self._left() if len(self._sources) == 1 else "")
        # Less than all: rich stops the clock of what is complete.
        self._bars.update(self._one, total=1, completed=min(now.fraction, 0.999), state=state)
        self._update()

    def done(self) -> None:
        """Show that a picture is done."""
        self._done, self._part = self._done + 1, 0.0
        self._next()

    def _next(self) -> None:
        shown = self._in_turn and self._done < len(self._sources)
        if shown:
            name = self._sources[self._done].name
            name = name if len(name) <= _NAME else f"…{name[1 - _NAME :]}"
            self._bars.reset(self._one, total=None, description=name, state="")
        self._bars.update(self._one, visible=shown)
        self._update()

    def _update(self) -> None:
        part, minutes = self._done + self._part, (time.perf_counter() - self._began) / 60
        pace = f", {part / minutes:.2g} a minute" if self._done else ""
        state = f"{self._done} of {len(self._sources)}{self._left()}{pace}"
        self._bars.update(self._all, completed=part, state=state)

    def _left(self) -> str:
        """The time left if it goes on like this, once there is something to tell it from."""
        seconds, part = time.perf_counter() - self._began, self._done + self._part
        if seconds < _SOON or part == 0:
            return ""
        left = timedelta(seconds=round(seconds * (len(self._sources) - part) / part))
        return f", {left} left"


def _in_words(now: Progress) -> str:
    if now.step != "solving":
        return now.step
    where = f"direction {now.direction}, " if now.direction > 1 else ""
    return f"{where}stage {now.stage} of {now.stages} {100 * now.fraction:.0f} %"


@contextmanager
def _displayed(sources: Sequence[Path], in_turn: bool) -> Iterator[_Display]:
    from rich import progress
    from rich.console import Console

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(bar_width=None),
        progress.TextColumn("{task.fields[state]}", markup=False),
        progress.TimeElapsedColumn(),
    )
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True, expand=True) as bars:
        yield _Display(bars, sources, in_turn)
