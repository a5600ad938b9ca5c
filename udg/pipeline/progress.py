"""How far a call is: the one event that callbacks get, whoever executes the pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from udg.optim.loop import Checkpoint

__all__ = ["Callback", "Progress", "Reporter"]

_DECIDING = 0.1  # part of a direction's time that goes into deciding


class Progress(NamedTuple):
    """How far a call is.

    Attributes
    ----------
    step : {"deciding", "solving", "finishing"}
        What is being done.
    stage : int
        Which stage is being solved, from 1; 0 while nothing is.
    stages : int
        How many stages there are in this direction; 0 while that is not decided.
    direction : int
        Which direction of rain, from 1.
    fraction : float
        In [0, 1]: how far this direction is. It never falls within one.
    checkpoint : Checkpoint or None
        Where the solver is, if one window is solved.
    """

    step: Literal["deciding", "solving", "finishing"]
    stage: int = 0
    stages: int = 0
    direction: int = 1
    fraction: float = 0.0
    checkpoint: Checkpoint | None = None


Callback = Callable[[Progress], bool | None]


class Reporter:
    """Turn what executors know into `Progress` for a callback.

    Parameters
    ----------
    callback : callable, optional
        Called with each event; whether it asks to stop is what `solved` returns.
    """

    def __init__(self, callback: Callback | None = None) -> None:
        self._callback = callback
        self._now = Progress("deciding", direction=0)

    def deciding(self) -> None:
        """A new direction begins."""
        self._tell(Progress("deciding", direction=self._now.direction + 1))

    def stage(self, number: int, count: int) -> None:
        """A stage begins; from 0."""
        begun = _DECIDING + (1 - _DECIDING) * number / count
        self._tell(
            self._now._replace(
                step="solving", stage=number + 1, stages=count, fraction=begun, checkpoint=None
            )
        )

    def solved(self, part: float, checkpoint: Checkpoint | None = None) -> bool:
        """How far the present stage is, from 0 to 1; whether to stop."""
        now = self._now
        fraction = _DECIDING + (1 - _DECIDING) * (now.stage - 1 + part) / max(1, now.stages)
        fraction = max(now.fraction, min(1.0, fraction))
        return self._tell(now._replace(fraction=fraction, checkpoint=checkpoint))

    def finishing(self) -> None:
        """All rain was found."""
        self._tell(self._now._replace(step="finishing", fraction=1.0, checkpoint=None))

    def _tell(self, now: Progress) -> bool:
        self._now = now
        return bool(self._callback is not None and self._callback(now))
