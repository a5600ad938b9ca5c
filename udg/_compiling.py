"""Who is told that kernels are being compiled: it takes a while, once on each machine.

numba announces it by an event; what it loads from its cache is not compiled and not announced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

__all__ = ["announce", "told", "watch"]

_waiting: list[Callable[[], object]] = []


@contextmanager
def told(listener: Callable[[], object]) -> Iterator[None]:
    """Call `listener` when the first kernel is about to be compiled, if any is; at most once."""
    _waiting.append(listener)
    try:
        yield
    finally:
        with suppress(ValueError):  # it was told
            _waiting.remove(listener)


def announce() -> None:
    """Tell those who wait that compiling begins, in this process or in one that works for it."""
    while _waiting:
        _waiting.pop()()


def watch() -> None:
    """Have numba announce that it compiles kernels of udg; for the module all of them import."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: Any) -> None:
            if event.data["dispatcher"].py_func.__module__.startswith("udg."):
                announce()

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Listener())  # type: ignore[no-untyped-call]
