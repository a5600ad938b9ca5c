"""The CUDA kernels without a GPU: compiled for the host, launched by the same Python as on CuPy.

`cuda_host.h` runs every thread of a block as a coroutine. What these tests cannot see is what only
a device has: CuPy itself, the memory model, and time; `benchmarks/gpu/check.py` is for that.
"""

import ctypes
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import udg
from udg import InvalidInput, Joint, PrimalDual, Problem, Weights, minimize
from udg.model import _duality_cupy as certificate_cupy
from udg.model import certificate as certificate_module
from udg.model._cuda import Kernel, Stack
from udg.model.certificate import energy_and_bound
from udg.model.duality import Duals, dual_bound
from udg.primal_dual import _cupy
from udg.primal_dual import batch as batch_module
from udg.primal_dual import method as method_module
from udg.primal_dual._cupy import Plan
from udg.primal_dual.method import step
from udg.primal_dual.state import State

COMPILER = shutil.which("g++") or shutil.which("clang++")
pytestmark = [
    pytest.mark.skipif(COMPILER is None, reason="no C++ compiler (g++ or clang++) on the PATH"),
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="the host's threads are Linux's ucontext"
    ),
]

RAIN = Weights(tau=0.02, lam_x=0.15, lam_y=0.05, lam_r=0.01)
PLAIN = Weights(tau=0.02, lam_x=0.15, lam_y=0.05)
BOUNDARIES = ("reflecting", "periodic")
CASES = (("rain", RAIN), ("signed", PLAIN), ("signed", RAIN))
SMALL = Plan(columns=24, strips=3, rows=8, iterations=3)
LIBRARIES = {}  # compiled, by source and macros
ORDERS = {"forward": 0, "reversed": 1, "shuffled": 2}


class HostLauncher:
    """`udg.model._cuda.Launcher` on NumPy arrays."""

    xp = np
    processors = 4
    shared_bytes = 227 * 1024

    def __init__(self, folder: Path, change=lambda code: code, order: str = "forward"):
        self.folder, self.change, self.order = folder, change, ORDERS[order]
        self.launched = []
        self.copies = 0

    def launch(self, kernel: Kernel, grid, block, arguments, shared):
        assert 1 <= block[0] * block[1] * block[2] <= 1024
        assert max(grid[1:]) <= 65535  # CUDA's limits
        assert shared <= self.shared_bytes
        self.launched.append((kernel, grid, block, shared))
        run = getattr(self._library(kernel), f"host_{kernel.name}")
        packed = [self._packed(argument) for argument in arguments]
        pointers = (ctypes.c_void_p * len(packed))(*(ctypes.addressof(p) for p in packed))
        failure = run(
            pointers,
            (ctypes.c_uint * 3)(*grid),
            (ctypes.c_uint * 3)(*block),
            ctypes.c_size_t(shared),
            ctypes.c_int(self.order),
        )
        assert failure == 0, {1: "threads part at a barrier", 2: "shared memory overrun"}[failure]

    def to_host(self, array):
        self.copies += 1
        return array

    @staticmethod
    def _packed(argument):
        """What CuPy hands on: a pointer to the data, or a scalar of the type it has."""
        if isinstance(argument, np.ndarray):
            assert argument.flags.c_contiguous
            return ctypes.c_void_p(argument.ctypes.data)
        assert isinstance(argument, np.int32)
        return ctypes.c_int(argument)

    def _library(self, kernel: Kernel):
        code = self.change(kernel.code)
        key = (code, kernel.macros)
        if key not in LIBRARIES:
            names = re.findall(
                r'extern "C" __global__ void\s+(?:__launch_bounds__\(\w+\) )?(\w+)', code
            )
            assert kernel.name in names
            place = self.folder / f"{Path(kernel.source).stem}{len(LIBRARIES)}"
            exports = "\n".join(f"EXPORT({name})" for name in names)
            place.with_suffix(".cpp").write_text(f'#include "cuda_host.h"\n{code}\n{exports}\n')
            made = subprocess.run(
                # Symbolic: the process may know other functions of these names.
                [COMPILER, "-std=c++14", "-O1", "-fPIC", "-shared", "-Wl,-Bsymbolic",
                 *kernel.options, f"-I{Path(__file__).parent}", "-o", place.with_suffix(".so"),
                 place.with_suffix(".cpp")],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert made.returncode == 0, made.stderr
            LIBRARIES[key] = ctypes.CDLL(str(place.with_suffix(".so")))
        return LIBRARIES[key]


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    return HostLauncher(tmp_path_factory.mktemp("kernels"))


def make_problem(
    rng, shape, model, weights, boundary, *, sparsity_map=False, upper_bound=False, kind=float
):
    Y = rng.random(shape).astype(kind)
    return Problem(
        Y,
        weights,
        model,
        boundary,
        upper_bound=(Y * rng.random(shape)).astype(kind) if upper_bound else None,
        sparsity_map=(3 * rng.random(shape)).astype(kind) if sparsity_map else None,
    )


def far_along(problem, iterations=7):
    """A state that is not zero anywhere it need not be, and the state it comes from untouched."""
    method = PrimalDual()
    state = method.start(problem, None)
    for _ in range(iterations):
        state = step(problem, method.steps(problem.weights), state)
    return state


def assert_same(got: State, want: State, atol):
    for one, other in zip((got.R, *got.duals), (want.R, *want.duals), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, atol=atol, rtol=0)


# --- the sweep -----------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES)
@pytest.mark.parametrize("shape", [(24, 20), (37, 5), (2, 9), (9, 2), (2, 2), (65, 33), (18, 18)])
def test_sweep_equals_its_readable_twin(host, shape, model, weights, boundary, rng):
    problem = make_problem(rng, shape, model, weights, boundary)
    steps, state = PrimalDual().steps(weights), far_along(problem)
    want = state
    for _ in range(7):  # two launches of three iterations, one of one
        want = step(problem, steps, want)
    got = _cupy.advance(problem, steps, state, 7, launcher=host, plan=SMALL)
    assert_same(got, want, atol=1e-13)


@pytest.mark.parametrize("iterations", range(1, 9))
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_halo_is_as_wide_as_iterations_are_many(host, boundary, iterations, rng):
    problem = make_problem(rng, (41, 30), "rain", RAIN, boundary)
    steps, state = PrimalDual().steps(RAIN), far_along(problem)
    want = state
    for _ in range(iterations):
        want = step(problem, steps, want)
    plan = SMALL._replace(iterations=iterations)
    assert plan.kept(iterations) == (24 - 2 * iterations, 24 - 2 * iterations)
    got = _cupy.advance(problem, steps, state, iterations, launcher=host, plan=plan)
    assert_same(got, want, atol=1e-13)


@pytest.mark.parametrize("sparsity_map", [False, True])
@pytest.mark.parametrize("upper_bound", [False, True])
@pytest.mark.parametrize("model", ["rain", "signed"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sweep_knows_doubt_and_ceiling_in_both_precisions(
    host, kind, model, sparsity_map, upper_bound, rng
):
    problem = make_problem(
        rng,
        (31, 29),
        model,
        RAIN,
        "reflecting",
        sparsity_map=sparsity_map,
        upper_bound=upper_bound,
        kind=kind,
    )
    steps, state = PrimalDual().steps(RAIN), far_along(problem)
    want = state
    for _ in range(6):
        want = step(problem, steps, want)
    got = _cupy.advance(problem, steps, state, 6, launcher=host, plan=SMALL)
    assert got.R.dtype == kind
    assert_same(got, want, atol=3e-6 if kind == np.float32 else 1e-13)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sweep_with_the_plan_that_a_device_would_get(host, kind, rng):
    """Blocks of hundreds of threads, as on the device: more than one each way."""
    problem = make_problem(rng, (150, 170), "rain", RAIN, "reflecting", kind=kind)
    steps, state = PrimalDual().steps(RAIN), far_along(problem)
    want = state
    for _ in range(5):
        want = step(problem, steps, want)
    host.launched.clear()
    got = _cupy.advance(problem, steps, state, 5, launcher=host)
    assert_same(got, want, atol=3e-6 if kind == np.float32 else 1e-13)
    assert all(block[0] * block[1] >= 256 for _, _, block, _ in host.launched)
    assert any(grid[0] > 1 and grid[1] > 1 for _, grid, _, _ in host.launched)


def test_no_iterations_change_nothing(host, rng):
    problem = make_problem(rng, (6, 5), "rain", RAIN, "reflecting")
    state = far_along(problem)
    got = _cupy.advance(problem, PrimalDual().steps(RAIN), state, 0, launcher=host)
    assert_same(got, state, atol=0)


def test_sweep_takes_arrays_in_any_memory_order(host, rng):
    plain = make_problem(
        rng, (13, 17), "rain", RAIN, "reflecting", sparsity_map=True, upper_bound=True
    )
    turned = replace(
        plain,
        Y=np.asfortranarray(plain.Y),
        sparsity_map=np.repeat(plain.sparsity_map, 2, axis=1)[:, ::2],
        upper_bound=plain.upper_bound[::-1][::-1],
    )
    steps, state = PrimalDual().steps(RAIN), far_along(plain)
    want = step(plain, steps, state)
    start = State(np.asfortranarray(state.R), Duals(*map(np.asfortranarray, state.duals)))
    assert_same(_cupy.advance(turned, steps, start, 1, launcher=host), want, atol=1e-14)


def test_what_another_method_leaves_is_a_start_and_has_a_certificate(host, rainy):
    """Its arrays may be in double precision where Y is not."""
    problem = Problem(rainy[:20, :22], RAIN)
    method = Joint()
    X, R, duals = method.estimate(problem, method.advance(problem, method.start(problem, None), 40))
    double = Duals(*(dual.astype(float) for dual in duals))
    mixed = Duals(duals.p_along, *double[1:])
    for left in (duals, double, mixed):
        got = certificate_cupy.energy_and_bound(problem, X.astype(float), R, left, host)
        assert got == pytest.approx(energy_and_bound(problem, X, R, duals), rel=1e-6)
    state = State(R.astype(float), double)
    found = _cupy.estimate(problem, state, launcher=host, plan=SMALL)
    np.testing.assert_allclose(found.X, _formula_estimate(problem, State(R, duals))[0], atol=1e-6)
    steps = PrimalDual().steps(RAIN)
    want = step(problem, steps, State(R, duals))
    got = _cupy.advance(problem, steps, state, 1, launcher=host, plan=SMALL)
    assert_same(got, State(want.R, Duals(*want.duals)), atol=1e-6)


# --- barriers and memory -------------------------------------------------------------------------


def some_work(launcher, rng_seed=5):
    """Every kernel once or more; all that it leaves."""
    rng = np.random.default_rng(rng_seed)
    problem = make_problem(
        rng, (40, 37), "rain", RAIN, "reflecting", sparsity_map=True, kind=np.float32
    )
    state = _cupy.advance(
        problem, PrimalDual().steps(RAIN), far_along(problem), 5, launcher=launcher, plan=SMALL
    )
    X, R, duals = _cupy.estimate(problem, state, launcher=launcher, plan=SMALL)
    terms = certificate_cupy.energy_and_bound(problem, X, R, duals, launcher)
    return [state.R, *state.duals, X, R, np.array(terms)]


@pytest.mark.parametrize("order", ["reversed", "shuffled"])
def test_order_of_threads_does_not_matter(tmp_path, order):
    for one, other in zip(
        some_work(HostLauncher(tmp_path)),
        some_work(HostLauncher(tmp_path, order=order)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def barriers() -> list[tuple[str, int]]:
    """Every barrier of the sources: in which file, and where in it."""
    return [
        (source, match.start())
        for source in ("primal_dual/kernels.cu", "model/duality.cu")
        for match in re.finditer(r"__syncthreads\(\);", Kernel(source, "", ()).code)
    ]


@pytest.mark.parametrize(("source", "place"), barriers())
def test_order_of_threads_tells_a_missing_barrier(tmp_path, source, place):
    """The test before this one would see it: every barrier is there for a reason."""
    whole = Kernel(source, "", ()).code
    blanked = whole[:place] + whole[place:].replace("__syncthreads();", "", 1)

    def without(code):
        return blanked if code == whole else code

    runs = [some_work(HostLauncher(tmp_path, without, order)) for order in ORDERS]
    assert not all(
        np.array_equal(one, other)
        for run in runs[1:]
        for one, other in zip(runs[0], run, strict=True)
    )


# --- estimate and certificate --------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES)
@pytest.mark.parametrize("shape", [(24, 20), (2, 9), (9, 2), (300, 7), (3, 300)])
def test_estimate_and_certificate_are_those_of_the_formulas(
    host, shape, model, weights, boundary, rng
):
    problem = make_problem(
        rng, shape, model, weights, boundary, sparsity_map=weights.lam_r > 0, upper_bound=True
    )
    duals = Duals(*rng.normal(scale=0.1, size=(4, *shape)))
    state = State(rng.normal(size=shape), duals)
    X, R, kept = _cupy.estimate(problem, state, launcher=host, plan=SMALL)
    want = _formula_estimate(problem, state)
    np.testing.assert_allclose(X, want[0], atol=1e-13)
    np.testing.assert_array_equal(R, want[1])
    assert kept is duals
    energy, bound = certificate_cupy.energy_and_bound(problem, X, R, duals, host)
    assert energy == pytest.approx(problem.energy(X, R), rel=1e-12)
    assert bound == pytest.approx(dual_bound(problem, duals), rel=1e-11, abs=1e-11)


def _formula_estimate(problem, state):
    from udg.model.duality import divergence

    R = problem.feasible(state.R)
    return problem.Y - R - divergence(problem, state.duals), R


@pytest.mark.parametrize(("model", "weights"), CASES)
def test_certificate_sums_single_precision_in_double(host, model, weights, rng):
    problem = make_problem(rng, (33, 45), model, weights, "reflecting", kind=np.float32)
    state = far_along(problem)
    X, R, duals = _cupy.estimate(problem, state, launcher=host, plan=SMALL)
    got = certificate_cupy.energy_and_bound(problem, X, R, duals, host)
    double = replace(problem, Y=problem.Y.astype(float))
    want = energy_and_bound(
        double, X.astype(float), R.astype(float), Duals(*(u.astype(float) for u in duals))
    )
    assert got == pytest.approx(want, rel=1e-12)


def test_no_weights_at_all_but_one(host, rng):
    """A weight of zero bounds a dual by zero; nothing is divided by it."""
    for model in ("rain", "signed"):
        problem = make_problem(rng, (8, 9), model, Weights(0, 0.3, 0), "reflecting")
        duals = Duals(*rng.normal(size=(4, 8, 9)))
        X, R = problem.Y, np.zeros_like(problem.Y)
        energy, bound = certificate_cupy.energy_and_bound(problem, X, R, duals, host)
        assert energy == pytest.approx(problem.energy(X, R))
        assert bound == pytest.approx(dual_bound(problem, duals), abs=1e-12)


# --- the whole way -------------------------------------------------------------------------------


@pytest.fixture
def on_the_device(host, monkeypatch):
    """Everything that would be dispatched for CuPy arrays is, for NumPy's; `host` launches it."""
    for module in (method_module, certificate_module):
        monkeypatch.setattr(module, "is_numpy_array", lambda array: False)
        monkeypatch.setattr(module, "is_cupy_array", lambda array: True)
    monkeypatch.setattr(batch_module, "is_cupy_array", lambda array: True)
    monkeypatch.setattr(_cupy, "cupy_launcher", lambda: host)
    monkeypatch.setattr(certificate_cupy, "cupy_launcher", lambda: host)
    monkeypatch.setattr(_cupy, "_best", lambda stack, launcher: SMALL)
    host.launched.clear()
    host.copies = 0
    return host


@pytest.mark.parametrize(("model", "weights"), CASES)
def test_minimize_waits_for_the_device_at_looks_only(
    model, weights, rainy, on_the_device, monkeypatch
):
    problem = Problem(rainy[:30, :28].astype(float), weights, model)
    found = minimize(problem, PrimalDual(), tol=1e-3, history=True)
    assert found.reason == "gap"
    assert on_the_device.copies == len(found.history)
    monkeypatch.undo()
    want = minimize(problem, PrimalDual(), tol=1e-3)
    assert found.iterations == want.iterations
    assert found.objective == pytest.approx(want.objective, rel=1e-9)
    np.testing.assert_allclose(found.estimate.R, want.estimate.R, atol=1e-10)


@pytest.mark.parametrize("model", ["rain", "signed"])
def test_solve_goes_through_the_kernels(model, rainy, on_the_device, monkeypatch):
    options = {"model": model, "angle": 0, "tol": 5e-3}
    found = udg.solve(rainy, **options)
    assert {kernel.name for kernel, *_ in on_the_device.launched} == {
        "advance", "estimate", "certificate", "finish"
    }  # fmt: skip
    monkeypatch.undo()
    want = udg.solve(rainy, **options)
    assert found.objective == pytest.approx(want.objective, rel=1e-2)
    assert abs(found.derained - want.derained).max() < 0.02


def test_batch_is_dispatched_as_one(rainy, on_the_device):
    problems = [Problem(rainy[:16, :18], RAIN), Problem(rainy[16:32, :18], RAIN)]
    found = udg.minimize_batch(problems, PrimalDual(), tol=0, max_iter=30)
    assert [one.iterations for one in found] == [30, 30]
    assert all(
        grid[2] == 2 for kernel, grid, *_ in on_the_device.launched if kernel.name == "advance"
    )


# --- batches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "weights"), CASES[:2])
@pytest.mark.parametrize("extras", [False, True])
def test_batch_gives_each_image_its_own_minimum(host, rainy, model, weights, extras, rng):
    problems = []
    for index, factor in enumerate((1.0, 0.4, 0.7)):
        Y = rainy[4 * index : 4 * index + 20, 7 * index : 7 * index + 23].astype(float)
        problem = Problem(Y, weights.scaled(factor), model)
        if extras and index:
            problem = replace(problem, sparsity_map=3 * rng.random(Y.shape))
        problems.append(problem)
    alone = [minimize(problem, PrimalDual(), tol=5e-3) for problem in problems]
    steps = [PrimalDual().steps(problem.weights) for problem in problems]
    together = _cupy.minimize_batch(problems, PrimalDual(), steps, 5e-3, 5000, host, SMALL)
    assert len({one.iterations for one in alone}) > 1 or extras  # not all end at once
    for one, other in zip(together, alone, strict=True):
        assert one.iterations == other.iterations
        assert one.reason == other.reason == "gap"
        assert one.objective == pytest.approx(other.objective, rel=1e-9)
        assert one.gap == pytest.approx(other.gap, rel=1e-6)
        np.testing.assert_allclose(one.estimate.R, other.estimate.R, atol=1e-10)
        np.testing.assert_allclose(one.estimate.duals.q, other.estimate.duals.q, atol=1e-10)


def test_batch_ends_at_max_iter(host, rainy):
    problems = [Problem(rainy[:12, :9], RAIN), Problem(rainy[12:24, :9], RAIN)]
    steps = [PrimalDual().steps(problem.weights) for problem in problems]
    found = _cupy.minimize_batch(problems, PrimalDual(), steps, 0, 30, host, SMALL)
    assert [(one.reason, one.iterations) for one in found] == [("max_iter", 30)] * 2


def test_batch_refuses_what_does_not_stack(rng):
    square = Problem(rng.random((5, 5)), RAIN)
    others = (
        Problem(rng.random((5, 6)), RAIN),
        Problem(rng.random((5, 5)).astype(np.float32), RAIN),
        Problem(rng.random((5, 5)), RAIN, "signed"),
        Problem(rng.random((5, 5)), RAIN, "rain", "periodic"),
    )
    for other in others:
        with pytest.raises(InvalidInput, match="agree"):
            Stack.of((square, other), np)
    for Y in (rng.random((2, 5, 5)), rng.random((5, 5)).astype(np.float16)):
        with pytest.raises(InvalidInput, match="float32 or float64"):
            Stack.of((Problem(Y, RAIN),), np)


# --- the choice of a plan ------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 480, 320), (1, 1024, 2048), (100, 128, 128)])
@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("shared_bytes", [48 * 1024, 99 * 1024, 227 * 1024])
def test_plan_fits_the_device_and_covers_the_images(shape, itemsize, shared_bytes):
    plan = _cupy.plan_for(shape, itemsize, 132, shared_bytes)
    assert plan in _cupy.plans(itemsize, shared_bytes)
    assert plan.threads % 32 == 0
    assert plan.threads <= 1024
    assert plan.shared_bytes(itemsize) <= shared_bytes
    for iterations in range(1, plan.iterations + 1):
        rows, columns = plan.kept(iterations)
        across, down, images = plan.grid(shape, iterations)
        assert images == shape[0]
        assert (down - 1) * rows < shape[1] <= down * rows
        assert (across - 1) * columns < shape[2] <= across * columns


def test_other_methods_and_arrays_are_solved_one_by_one(rainy):
    problems = [Problem(rainy[:20, :20], RAIN), Problem(rainy[20:36, :30], RAIN)]
    for method in (PrimalDual(), Joint()):
        found = udg.minimize_batch(problems, method, tol=1e-2)
        for one, problem in zip(found, problems, strict=True):
            assert one.objective == minimize(problem, method, tol=1e-2).objective
            assert one.gap <= 1e-2
    assert udg.minimize_batch([], PrimalDual()) == []
