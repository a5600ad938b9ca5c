"""The three methods: their steps against slow twins, and their common minimum."""

from dataclasses import replace

import array_api_strict
import numpy as np
import pytest
import reference

from udg import PAPER_WEIGHTS, Alternating, InvalidInput, Joint, PrimalDual, Problem, Weights
from udg.admm import alternating as alternating_module
from udg.admm import joint as joint_module
from udg.optim.loop import minimize
from udg.optim.method import Estimate
from udg.primal_dual.method import step
from udg.primal_dual.state import State

RAIN = Weights(tau=0.02, lam_x=0.15, lam_y=0.05, lam_r=0.01)
SIGNED = Weights(tau=0.02, lam_x=0.15, lam_y=0.05)
BOUNDARIES = ("reflecting", "periodic")
CASES = [("rain", RAIN), ("signed", SIGNED), ("signed", RAIN), ("signed", PAPER_WEIGHTS)]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES)
@pytest.mark.parametrize("method", [PrimalDual(), Joint()])
def test_minimum_is_that_of_an_interior_point_solver(method, model, weights, boundary, rainy):
    problem = Problem(rainy[:24, :20].astype(float), weights, model, boundary)
    exact = reference.exact_minimum(problem)
    found = minimize(problem, method, tol=2e-5, max_iter=40_000)
    assert found.objective == pytest.approx(exact, rel=1e-4)
    assert found.objective == pytest.approx(problem.energy(found.estimate.X, found.estimate.R))


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_alternation_reaches_the_same_minimum(boundary, rainy):
    problem = Problem(rainy[:24, :20].astype(float), SIGNED, "signed", boundary)
    exact = reference.exact_minimum(problem)
    # Constant penalties: a growing one stops moving before the minimum.
    method = Alternating(inner=1, outer=4000, growth=1.0)
    assert minimize(problem, method, tol=1e-5).objective == pytest.approx(exact, rel=1e-4)


@pytest.mark.parametrize("model", ["rain", "signed"])
def test_doubt_and_ceiling_are_the_same_for_all_methods(model, rainy, rng):
    """Against linear programming's view of them: weights of |R| and bounds, pixel by pixel."""
    Y = rainy[:10, :9].astype(float)
    problem = Problem(Y, RAIN, model, sparsity_map=4 * rng.random(Y.shape), upper_bound=0.3 * Y)
    exact = reference.exact_minimum(problem)
    for method in (PrimalDual(), Joint()):
        found = minimize(problem, method, tol=2e-5, max_iter=40_000)
        assert found.objective == pytest.approx(exact, rel=1e-4)
        assert found.gap < 1e-4


# --- primal-dual ---------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES[:3])
@pytest.mark.parametrize("shape", [(24, 20), (37, 5), (2, 9), (9, 2), (65, 33)])
def test_fused_sweep_equals_its_readable_twin(shape, model, weights, boundary, rng):
    problem = Problem(rng.random(shape), weights, model, boundary)
    method = PrimalDual()
    twin = method.start(problem, None)
    for _ in range(25):
        twin = step(problem, method.steps(weights), twin)
    fused = method.advance(problem, method.start(problem, None), 25)
    for got, want in zip((fused.R, *fused.duals), (twin.R, *twin.duals), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-13)
    for got, want in zip(
        method.estimate(problem, fused)[:2], _portable_estimate(problem, twin), strict=True
    ):
        np.testing.assert_allclose(got, want, atol=1e-13)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES[:3])
@pytest.mark.parametrize(("depth", "blocks"), [(2, 1), (5, 1), (7, 2), (4, 3), (3, 11)])
def test_several_iterations_a_sweep_equal_one_at_a_time(
    depth, blocks, model, weights, boundary, rng
):
    from udg.primal_dual import _numba

    shape = (23, 14)
    sparsity_map, upper_bound = rng.uniform(0.5, 2, shape), rng.random(shape)
    problem = Problem(rng.random(shape), weights, model, boundary)
    if model == "rain":
        problem = replace(problem, sparsity_map=sparsity_map, upper_bound=upper_bound)
    method = PrimalDual()
    steps, twin, swept = method.steps(weights), *(method.start(problem, None) for _ in range(2))
    for _ in range(17):
        twin = step(problem, steps, twin)
    _numba.advance(problem, steps, swept, 17, depth=depth, blocks=blocks)
    for got, want in zip((swept.R, *swept.duals), (twin.R, *twin.duals), strict=True):
        np.testing.assert_allclose(got, want, atol=1e-13)


def _portable_estimate(problem, state):
    from udg.model.duality import divergence

    R = problem.feasible(state.R)
    return problem.Y - R - divergence(problem, state.duals), R


def test_step_leaves_its_input_alone(rng):
    problem = Problem(rng.random((6, 5)), RAIN)
    state = State(rng.random((6, 5)), PrimalDual().start(problem, None).duals)
    before = [u.copy() for u in (state.R, *state.duals)]
    step(problem, PrimalDual().steps(RAIN), state)
    for now, then in zip((state.R, *state.duals), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_portable_path_runs_on_any_namespace(rng):
    Y = rng.random((8, 7))
    fused = minimize(Problem(Y, RAIN), PrimalDual(), tol=1e-3)
    strict = minimize(Problem(array_api_strict.asarray(Y), RAIN), PrimalDual(), tol=1e-3)
    assert strict.iterations == fused.iterations
    np.testing.assert_allclose(np.asarray(strict.estimate.R), fused.estimate.R, atol=1e-12)
    assert strict.gap == pytest.approx(fused.gap, rel=1e-6)


def test_single_precision_agrees_with_double(rainy):
    results = [
        minimize(Problem(rainy.astype(kind), RAIN), PrimalDual(), tol=1e-4)
        for kind in (np.float32, np.float64)
    ]
    single, double = results
    assert single.estimate.R.dtype == np.float32
    assert single.objective == pytest.approx(double.objective, rel=2e-4)
    assert abs(single.estimate.R - double.estimate.R).max() < 2e-2


def test_steps_satisfy_the_convergence_condition():
    # Condat 2013, theorem 3.1, as the class's notes have it.
    for method in (PrimalDual(), PrimalDual(1.0, 0.4, 0.3, 1.9), PrimalDual(relaxation=1)):
        for weights in (RAIN, PAPER_WEIGHTS):
            s = method.steps(weights)
            p = 1 / (1 / s.p - 4 / (2 - s.relaxation))
            assert p > 0
            assert s.primal * (8 * p + 4 * s.q + 4 * s.s) <= 1 + 1e-12


@pytest.mark.parametrize(
    "options",
    [
        {"primal_step": 0},
        {"background_share": 0},
        {"along_share": 1},
        {"relaxation": 2},
    ],
)
def test_primal_dual_refuses_steps_that_cannot_converge(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        PrimalDual(**options)


# --- joint ADMM ----------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(("model", "weights"), CASES[:2])
def test_joint_step_solves_its_linear_system(model, weights, boundary, rng):
    shape = (5, 4)
    problem, options = Problem(rng.random(shape), weights, model, boundary), Joint()
    state, penalties = joint_module.State(*rng.normal(size=(7, *shape))), options.penalties(problem)
    after = joint_module.step(problem, options, state)

    Dx, Dy = (reference.difference_matrix(shape, axis, boundary) for axis in (0, 1))
    bounds = {"p_along": weights.tau, "p_across": weights.tau, "q": weights.lam_x}
    bounds["s"] = weights.lam_y
    rho = {"p_along": penalties.p, "p_across": penalties.p, "q": penalties.q, "s": penalties.s}
    # prox(v) − (v − prox(v)), constraint less multiplier
    aim = {
        name: (lambda v, t: v - 2 * np.clip(v, -t, t))(
            getattr(state, name).ravel(), bounds[name] / rho[name]
        )
        for name in rho
    }
    y, one = problem.Y.ravel(), np.eye(20)
    rho_b = penalties.b
    assert (rho_b > 0) == (model == "rain")
    b = state.b.ravel()
    aim_b = 2 * np.clip(b - weights.lam_r / options.bounds, 0, y) - b
    matrix = np.block(
        [
            [one + rho["p_along"] * (Dx.T @ Dx + Dy.T @ Dy), one],
            [one, one + rho["q"] * Dx.T @ Dx + rho["s"] * Dy.T @ Dy + rho_b * one],
        ]
    )
    right = np.concatenate(
        [
            y + rho["p_along"] * (Dx.T @ aim["p_along"] + Dy.T @ aim["p_across"]),
            y + rho["q"] * Dx.T @ aim["q"] + rho["s"] * Dy.T @ (aim["s"] + Dy @ y) + rho_b * aim_b,
        ]
    )
    got = np.concatenate([after.X.ravel(), after.R.ravel()])
    np.testing.assert_allclose(matrix @ got, right, atol=1e-11)
    if model == "signed":
        assert abs(after.R.mean()) < 1e-12  # the gauge


@pytest.mark.parametrize("option", ["background", "along", "across", "bounds", "relaxation"])
def test_joint_refuses_bad_options(option):
    with pytest.raises(InvalidInput, match=option):
        Joint(**{option: 0})


# --- the paper's alternation ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 10), (9, 7)])
def test_alternation_reproduces_the_paper_line_by_line(shape, rng):
    Y = rng.random(shape)
    schedule = {"inner": 6, "outer": 5, "penalty": 0.7, "growth": 1.2, "cap": 2.0}
    X, R = reference.alternating(Y, 0.01, 1.5, 1.0, **schedule)
    problem = Problem(Y, PAPER_WEIGHTS, "signed", "periodic")
    found = minimize(problem, Alternating(**schedule), tol=0).estimate
    np.testing.assert_allclose(found.X, X, atol=1e-6)
    np.testing.assert_allclose(found.R, R, atol=1e-6)
    single = Problem(Y.astype(np.float32), PAPER_WEIGHTS, "signed", "periodic")
    np.testing.assert_allclose(
        minimize(single, Alternating(**schedule), tol=0).estimate.R, R, atol=1e-3
    )


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("update", ["rain", "image"])
def test_alternation_closed_forms_against_dense_solves(update, boundary, rng):
    shape = (5, 6)
    problem = Problem(rng.random(shape), PAPER_WEIGHTS, "signed", boundary)
    options = Alternating(inner=1, penalty=1.3)
    state = alternating_module.State(*rng.normal(size=(10, *shape)))
    Dx, Dy = (reference.difference_matrix(shape, axis, boundary) for axis in (0, 1))
    X, R, Px, Py, Jx, Jy, Zx, Zy, Kx, Ky = (u.ravel() for u in state)
    y, a = problem.Y.ravel(), options.penalty
    left = np.eye(30) + a * (Dx.T @ Dx + Dy.T @ Dy)
    if update == "rain":
        got = alternating_module.update_rain(problem, options, state).R
        right = y - X + Dx.T @ (a * Px - Jx) + Dy.T @ (a * Py + a * Dy @ y - Jy)
    else:
        got = alternating_module.update_image(problem, options, state).X
        right = y - R + Dx.T @ (a * Zx - Kx) + Dy.T @ (a * Zy - Ky)
    np.testing.assert_allclose(got.ravel(), np.linalg.solve(left, right), atol=1e-12)


@pytest.mark.parametrize(("model", "weights"), [("rain", SIGNED), ("signed", RAIN)])
def test_alternation_refuses_what_the_paper_does_not_define(model, weights, rng):
    with pytest.raises(InvalidInput, match="signed"):
        Alternating().start(Problem(rng.random((4, 4)), weights, model), None)


@pytest.mark.parametrize(
    "options", [{"inner": 0}, {"outer": 0}, {"penalty": 0}, {"growth": 0.9}, {"cap": 0.1}]
)
def test_alternation_refuses_bad_schedules(options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        Alternating(**options)


# --- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [PrimalDual(), Joint(), Alternating(growth=1.0)])
def test_warm_start_at_the_minimum_stays_there(method, rainy):
    problem = Problem(rainy.astype(float), SIGNED, "signed")
    solved = minimize(problem, Joint(), tol=1e-4)
    again = minimize(problem, method, tol=1.5e-4, warm_start=solved.estimate, max_iter=3)
    assert again.objective <= solved.objective * (1 + 1e-4)
    assert again.reason == "gap"


def test_warm_start_does_not_change_what_it_starts_from(rainy):
    problem = Problem(rainy, RAIN)
    solved = minimize(problem, PrimalDual(), tol=1e-2).estimate
    before = [u.copy() for u in (solved.R, *solved.duals)]
    minimize(problem, PrimalDual(), tol=0, max_iter=20, warm_start=Estimate(*solved))
    for now, then in zip((solved.R, *solved.duals), before, strict=True):
        np.testing.assert_array_equal(now, then)
