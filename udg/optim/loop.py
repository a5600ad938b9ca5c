"""The loop around any method's step: certificate, stopping, history."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

from array_api_compat import array_namespace

from udg.backend import finish
from udg.errors import InvalidInput
from udg.model.certificate import energy_and_bound
from udg.model.duality import Duals, relative_gap
from udg.model.energy import Model, Problem
from udg.optim.method import Estimate, Method

__all__ = [
    "Checkpoint",
    "Minimum",
    "Reason",
    "check_stopping",
    "minimize",
    "next_look",
    "stop",
]

Reason = Literal["gap", "max_iter", "callback"]

_log = logging.getLogger(__name__)


class Checkpoint(NamedTuple):
    """What is known each time the certificate is looked at.

    Attributes
    ----------
    iteration : int
    seconds : float
        Time spent iterating, without the checks.
    objective : float
        E(X, R) of the present answer.
    gap : float
        Proven bound on (E − E*) / E.
    """

    iteration: int
    seconds: float
    objective: float
    gap: float


class Minimum(NamedTuple):
    """Where `minimize` ended; `history` is empty unless asked for."""

    estimate: Estimate
    objective: float
    gap: float
    iterations: int
    seconds: float
    reason: Reason
    history: tuple[Checkpoint, ...]


def minimize(
    problem: Problem,
    method: Method,
    *,
    tol: float = 1e-2,
    max_iter: int | None = None,
    warm_start: Estimate | None = None,
    reuse: bool = False,
    history: bool = False,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Minimum:
    """Run a method on a problem until the gap is proven small enough.

    Parameters
    ----------
    problem : Problem
    method : Method
    tol : float
        Stop when ``gap ≤ tol``; 0 never stops for that reason unless the minimum is exact.
    max_iter : int, optional
        Default: ``method.default_max_iter``.
    warm_start : Estimate, optional
        X, R and duals of the problem's shape.
    reuse : bool
        Let the method work in the arrays of `warm_start`, whose content is then lost: it spares
        the memory of copies.
    history, callback
        As in `solve`.

    Returns
    -------
    Minimum

    Raises
    ------
    InvalidInput
        `tol` or `max_iter` is negative or not a number.
    """
    if max_iter is None:
        max_iter = method.default_max_iter
    check_stopping(tol, max_iter)
    records: list[Checkpoint] = []
    state = method.start(problem, warm_start if reuse else _copied(warm_start))
    del warm_start
    iteration, seconds, best_bound = 0, 0.0, -math.inf
    while True:
        estimate = method.estimate(problem, state)
        energy, bound = energy_and_bound(problem, *estimate)
        best_bound = max(best_bound, bound)  # every bound holds, so the best does
        gap = relative_gap(problem, energy, best_bound)
        checkpoint = Checkpoint(iteration, seconds, energy, gap)
        _log.debug("%s", checkpoint)
        if history:
            records.append(checkpoint)
        reason = stop(checkpoint, tol, max_iter, callback)
        if reason is not None:
            return Minimum(estimate, energy, gap, iteration, seconds, reason, tuple(records))
        del estimate  # before the next one needs as much memory
        count = next_look(method, iteration, max_iter, problem.model)
        began = time.perf_counter()
        state = method.advance(problem, state, count)
        finish(problem.Y)  # a GPU may not have begun
        seconds += time.perf_counter() - began
        iteration += count


def _copied(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    xp = array_namespace(estimate.R)
    X, R, *duals = (xp.asarray(u, copy=True) for u in (*estimate[:2], *estimate.duals))
    return Estimate(X, R, Duals(*duals))


def next_look(method: Method, iteration: int, max_iter: int, model: Model = "rain") -> int:
    """How many iterations to do before the certificate is looked at again."""
    # The longer it takes the rarer the looks: they cost up to a tenth of the time between. In the
    # signed model duals have to be repaired for it, which takes as long as hundreds of iterations.
    least = method.check_every * (1 if model == "rain" else 4)
    return min(max(least, iteration // 4), max_iter - iteration)


def check_stopping(tol: float, max_iter: int) -> None:
    """Raise InvalidInput unless `tol` is a number ≥ 0 and `max_iter` a whole one."""
    if isinstance(tol, (str, bool)) or not tol >= 0:
        raise InvalidInput(f"tol is {tol!r}; give a number that is at least 0")
    if isinstance(max_iter, bool) or not isinstance(max_iter, int) or max_iter < 0:
        raise InvalidInput(f"max_iter is {max_iter!r}; give a whole number that is at least 0")


def stop(
    checkpoint: Checkpoint,
    tol: float,
    max_iter: int,
    callback: Callable[[Checkpoint], bool | None] | None = None,
) -> Reason | None:
    """Why to end here, or None."""
    if callback is not None and callback(checkpoint):
        return "callback"
    if checkpoint.gap <= tol:
        return "gap"
    return "max_iter" if checkpoint.iteration >= max_iter else None
