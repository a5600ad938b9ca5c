"""`udg.primal_dual.method` on a CUDA device, by the kernels of `kernels.cu`.

An iteration does so little with what it reads that memory decides: R, four duals and Y in, R and
duals out, 44 bytes a pixel in single precision, when done one at a time. So a launch does several
on tiles that stay in a block's registers, and writes all but a halo (`Plan`). Nothing here waits
for the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from udg.model._cuda import Kernel, Launcher, Stack, cupy_launcher
from udg.model._duality_cupy import certify
from udg.model.duality import Duals, relative_gap
from udg.model.energy import Problem
from udg.optim.loop import Checkpoint, Minimum, next_look, stop
from udg.optim.method import Estimate, Method
from udg.primal_dual.state import State, Steps

__all__ = ["Plan", "advance", "estimate", "minimize_batch", "plan_for", "plans"]

Array = Any

_SOURCE = "primal_dual/kernels.cu"


class Plan(NamedTuple):
    """How a launch is cut: a block holds `columns` × `strips·rows` pixels, a thread `rows` of them.

    Of a block's pixels a ring `iterations` wide is only read.
    """

    columns: int
    strips: int
    rows: int
    iterations: int

    @property
    def threads(self) -> int:
        """Threads a block has."""
        return self.columns * self.strips

    @property
    def pixels(self) -> int:
        """Pixels a block holds."""
        return self.threads * self.rows

    def kept(self, iterations: int) -> tuple[int, int]:
        """Rows and columns that a block writes after so many iterations."""
        return self.strips * self.rows - 2 * iterations, self.columns - 2 * iterations

    def grid(self, shape: tuple[int, int, int], iterations: int) -> tuple[int, int, int]:
        """Blocks across, down and in depth for a batch of images."""
        images, height, width = shape
        rows, columns = self.kept(iterations)
        return math.ceil(width / columns), math.ceil(height / rows), images

    def shared_bytes(self, itemsize: int) -> int:
        """Shared memory of a block: two pairs a pixel, and two a strip and column."""
        return 2 * itemsize * (2 * self.pixels + 2 * self.threads)


# Blocks that the registers of a multiprocessor hold without spilling, or hardly (nvcc 13.0 for
# sm_90, all variants of the kernel): threads, rows a thread, and how many such blocks side by side.
_SHAPES = {
    4: ((512, 12, 1), (512, 10, 1), (512, 8, 1), (384, 14, 1), (256, 20, 1), (256, 8, 2)),
    8: ((512, 4, 1), (384, 6, 1), (256, 8, 1), (256, 4, 2)),
}
_BESIDE = {(size, *shape[:2]): shape[2] for size, shapes in _SHAPES.items() for shape in shapes}
_COLUMNS = (32, 64, 128)
_MAX_ITERATIONS = 16

# What a launch is taken to cost, in picoseconds: estimates for one multiprocessor of an H100 from
# its data sheet (3.35 TB/s, of which 90 % are taken to be had, by 132; 128 lanes at 1.7 GHz and
# some 75 instructions a pixel, stalls included), not measured. Only their ratio matters, for the
# choice of the plan; `benchmarks/gpu/check.py` tries them all.
_BYTE = 44.0
_PIXEL = 345.0
_LAUNCH = 4e6


def plans(itemsize: int, shared_bytes: int) -> Iterator[Plan]:
    """All plans that fit a block of the device and keep at least a third of its pixels."""
    shapes = product(_SHAPES[itemsize], _COLUMNS, range(1, _MAX_ITERATIONS + 1))
    for (threads, rows, _), columns, iterations in shapes:
        plan = Plan(columns, threads // columns, rows, iterations)
        height, width = plan.kept(iterations)
        fits = plan.shared_bytes(itemsize) <= shared_bytes
        if fits and min(height, width) > 0 and 3 * height * width >= plan.pixels:
            yield plan


@cache
def plan_for(
    shape: tuple[int, int, int], itemsize: int, processors: int, shared_bytes: int
) -> Plan:
    """The plan that is estimated to be fastest for a batch of images on a device.

    Parameters
    ----------
    shape : (int, int, int)
        Images, height, width.
    itemsize : int
        4 or 8: single or double precision.
    processors, shared_bytes : int
        Multiprocessors of the device, and shared memory that a block can have.
    """

    def cost(plan: Plan) -> float:
        """Picoseconds an iteration."""
        across, down, images = plan.grid(shape, plan.iterations)
        rows, columns = plan.kept(plan.iterations)
        traffic = itemsize * (6 * plan.pixels + 5 * rows * columns) * _BYTE
        work = plan.pixels * plan.iterations * _PIXEL * itemsize / 4
        # Blocks side by side share a multiprocessor; one reads while another computes.
        beside = _BESIDE[itemsize, plan.threads, plan.rows]
        turn = beside * max(traffic, work) + min(traffic, work)
        turns = math.ceil(across * down * images / (processors * beside))
        return (_LAUNCH + turns * turn) / plan.iterations

    return min(plans(itemsize, shared_bytes), key=cost)


def advance(
    problem: Problem,
    steps: Steps,
    state: State,
    iterations: int,
    *,
    launcher: Launcher | None = None,
    plan: Plan | None = None,
) -> State:
    """`iterations` steps; the state given is used up."""
    launcher = launcher or cupy_launcher()
    fields = tuple(u[None] for u in (state.R, *state.duals))
    stack = Stack.of((problem,), launcher.xp)
    R, *duals = (u[0] for u in _sweep(stack, [steps], fields, iterations, launcher, plan))
    return state._replace(R=R, duals=Duals(*duals))


def estimate(
    problem: Problem,
    state: State,
    *,
    launcher: Launcher | None = None,
    plan: Plan | None = None,
) -> Estimate:
    """Background Y − R − ∇ᵀp and R, made feasible first."""
    launcher = launcher or cupy_launcher()
    stack = Stack.of((problem,), launcher.xp)
    fields = tuple(u[None] for u in (state.R, *state.duals))
    X, R = _estimate(stack, fields, launcher, plan)
    return Estimate(X[0], R[0], state.duals)


def _sweep(
    stack: Stack,
    steps: Sequence[Steps],
    fields: tuple[Array, ...],
    iterations: int,
    launcher: Launcher,
    plan: Plan | None = None,
) -> tuple[Array, ...]:
    """Iterate on R and duals, each (B, H, W); they and a second set take turns."""
    xp, shape, kind = launcher.xp, stack.Y.shape, stack.Y.dtype
    plan = plan or _best(stack, launcher)
    kernel = Kernel(_SOURCE, "advance", _macros(stack, plan))
    given, extent = (*stack.arrays, _constants(stack, steps, xp)), stack.extent
    fields = stack.like(fields, xp)
    spare = tuple(xp.empty_like(u) for u in fields)
    while iterations > 0:
        count = min(iterations, plan.iterations)
        launcher.launch(
            kernel,
            plan.grid(shape, count),
            (plan.columns, plan.strips, 1),
            (*given, *fields, *spare, *extent, np.int32(count)),
            plan.shared_bytes(kind.itemsize),
        )
        fields, spare = spare, fields
        iterations -= count
    return fields


def _estimate(
    stack: Stack, fields: tuple[Array, ...], launcher: Launcher, plan: Plan | None
) -> tuple[Array, Array]:
    """X and feasible R of all problems; the plan's is the module that is compiled anyway."""
    xp, (images, height, width) = launcher.xp, stack.Y.shape
    R, pa, pc = stack.like(fields[:3], xp)
    X, feasible = xp.empty_like(stack.Y), xp.empty_like(stack.Y)
    across, down = 32, 8
    plan = plan or _best(stack, launcher)
    launcher.launch(
        Kernel(_SOURCE, "estimate", _macros(stack, plan)),
        (math.ceil(width / across), math.ceil(height / down), images),
        (across, down, 1),
        (*stack.arrays[:2], R, pa, pc, X, feasible, *stack.extent),
        0,
    )
    return X, feasible


def _best(stack: Stack, launcher: Launcher) -> Plan:
    shape, size = stack.Y.shape, stack.Y.dtype.itemsize
    return plan_for(shape, size, launcher.processors, launcher.shared_bytes)


def _macros(stack: Stack, plan: Plan) -> tuple[tuple[str, str | int], ...]:
    sizes = (("COLUMNS", plan.columns), ("STRIPS", plan.strips), ("ROWS", plan.rows))
    return (*stack.macros, *sizes)


def _constants(stack: Stack, steps: Sequence[Steps], xp: Any) -> Array:
    """One row an image: weights and steps, in the order of the kernel's `Constants`."""
    pairs = zip((p.weights for p in stack.problems), steps, strict=True)
    rows = [(w.tau, w.lam_x, w.lam_y, w.lam_r, *step) for w, step in pairs]
    return xp.asarray(np.array(rows, dtype=str(stack.Y.dtype)))


@dataclass
class _Running:
    """What is known of a problem that has not ended."""

    index: int
    problem: Problem
    steps: Steps
    bound: float = -math.inf


def minimize_batch(
    problems: Sequence[Problem],
    method: Method,
    steps: Sequence[Steps],
    tol: float,
    max_iter: int,
    launcher: Launcher | None = None,
    plan: Plan | None = None,
) -> list[Minimum]:
    """`udg.minimize_batch` side by side: every launch does all that have not ended."""
    launcher = launcher or cupy_launcher()
    xp = launcher.xp
    pairs = zip(problems, steps, strict=True)
    running = [_Running(i, problem, step) for i, (problem, step) in enumerate(pairs)]
    stack = Stack.of(tuple(problems), xp)
    fields = tuple(xp.zeros_like(stack.Y) for _ in range(1 + len(Duals._fields)))
    minima: dict[int, Minimum] = {}
    iteration, began = 0, time.perf_counter()
    while True:
        X, R = _estimate(stack, fields, launcher, plan)
        certified = certify(stack, X, R, Duals(*fields[1:]), launcher)
        seconds = time.perf_counter() - began
        left = []
        for place, (one, (energy, bound)) in enumerate(zip(running, certified, strict=True)):
            one.bound = max(one.bound, bound)
            gap = relative_gap(one.problem, energy, one.bound)
            reason = stop(Checkpoint(iteration, seconds, energy, gap), tol, max_iter)
            if reason is None:
                left.append(place)
                continue
            # Copies: what is left goes on in these arrays.
            duals = Duals(*(u[place].copy() for u in fields[1:]))
            answer = Estimate(X[place].copy(), R[place].copy(), duals)
            minima[one.index] = Minimum(answer, energy, gap, iteration, seconds, reason, ())
        if not left:
            return [minima[i] for i in range(len(problems))]
        if len(left) < len(running):
            running = [running[place] for place in left]
            stack = Stack.of(tuple(one.problem for one in running), xp)
            fields = tuple(xp.stack([u[place] for place in left]) for u in fields)
        count = next_look(method, iteration, max_iter, problems[0].model)
        fields = _sweep(stack, [one.steps for one in running], fields, count, launcher, plan)
        iteration += count
