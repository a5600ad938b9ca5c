"""Several problems at once: side by side on a GPU, one after the other elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import is_cupy_array

from udg.model.energy import Problem
from udg.optim.loop import Minimum, check_stopping, minimize
from udg.optim.method import Method
from udg.primal_dual.method import PrimalDual

__all__ = ["minimize_batch"]


def minimize_batch(
    problems: Sequence[Problem],
    method: Method,
    *,
    tol: float = 1e-2,
    max_iter: int | None = None,
) -> list[Minimum]:
    """Run a method on several problems, each until its own gap is proven small enough.

    On a GPU a small image leaves most of the device idle; there the primal-dual method does all of
    them side by side. Anywhere else it is `minimize` on one after the other. The answers are the
    same.

    Parameters
    ----------
    problems : sequence of Problem
        Each with its own weights, upper bound and sparsity map. On CuPy arrays with `PrimalDual`
        they must agree in shape, type, model and boundary.
    method : Method
    tol : float
        As in `minimize`.
    max_iter : int, optional
        As in `minimize`, for each problem.

    Returns
    -------
    list of Minimum
        One a problem, in their order. Side by side, ``seconds`` is the time that all together had
        taken, checks included, when this one ended.

    Raises
    ------
    InvalidInput
        `tol` or `max_iter` is negative or not a number, or problems side by side do not agree.
    """
    if max_iter is None:
        max_iter = method.default_max_iter
    check_stopping(tol, max_iter)
    on_gpu = len(problems) > 0 and all(is_cupy_array(problem.Y) for problem in problems)
    if on_gpu and isinstance(method, PrimalDual):
        from udg.primal_dual import _cupy

        steps = [method.steps(problem.weights) for problem in problems]
        return _cupy.minimize_batch(problems, method, steps, tol, max_iter)
    return [minimize(problem, method, tol=tol, max_iter=max_iter) for problem in problems]
