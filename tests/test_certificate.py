from dataclasses import replace

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from udg import Alternating, Joint, PrimalDual, Problem, Weights
from udg.model.certificate import energy_and_bound
from udg.model.duality import Duals, clip_duals, dual_bound, relative_gap

weight = st.floats(0.001, 1.5)
problems = st.builds(
    lambda seed, levels, tau, lam_x, lam_y, lam_r, model, boundary: Problem(
        # Few grey levels make ties and flat parts, where the energy has its kinks.
        np.random.default_rng(seed).integers(0, levels, (5, 6)) / (levels - 1),
        Weights(tau, lam_x, lam_y, lam_r),
        model,
        boundary,
    ),
    seed=st.integers(0, 2**32 - 1),
    levels=st.sampled_from([2, 4, 256]),
    tau=weight,
    lam_x=weight,
    lam_y=weight,
    lam_r=st.sampled_from([0.0, 0.01, 0.2]),
    model=st.sampled_from(["rain", "signed"]),
    boundary=st.sampled_from(["reflecting", "periodic"]),
)
methods = st.sampled_from([PrimalDual(), Joint(), Alternating()])


@settings(max_examples=300)
@given(problems, methods, st.sampled_from([0, 1, 7, 60]))
def test_gap_is_never_below_the_true_excess(problem, method, iterations):
    if isinstance(method, Alternating) and (
        problem.model == "rain" or problem.weights.lam_r
    ):  # not defined there
        method = PrimalDual()
    minimum = reference.exact_minimum(problem)
    state = method.advance(problem, method.start(problem, None), iterations)
    X, R, duals = method.estimate(problem, state)
    energy, bound = energy_and_bound(problem, X, R, duals)
    rounding = 1e-7 * max(minimum, 1e-3)  # the outside solver's
    assert energy >= minimum - rounding
    assert bound <= minimum + rounding
    gap = relative_gap(problem, energy, bound)
    assert gap * energy >= energy - minimum - rounding


@settings(max_examples=150)
@given(problems, st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 100.0]))
def test_any_duals_give_a_bound(problem, seed, scale):
    duals = Duals(*np.random.default_rng(seed).normal(scale=scale, size=(4, 5, 6)))
    assert dual_bound(problem, duals) <= reference.exact_minimum(problem) + 1e-8


@given(problems, st.integers(0, 2**32 - 1), st.booleans())
def test_fused_pass_equals_the_formulas(problem, seed, in_doubt):
    rng = np.random.default_rng(seed)
    if in_doubt:
        problem = replace(
            problem, sparsity_map=3 * rng.random((5, 6)), upper_bound=problem.Y * rng.random((5, 6))
        )
    X, duals = rng.random((5, 6)), Duals(*rng.normal(size=(4, 5, 6)))
    R = problem.feasible(rng.random((5, 6)))
    energy, bound = energy_and_bound(problem, X, R, duals)
    assert energy == pytest.approx(problem.energy(X, R), rel=1e-12)
    assert bound == pytest.approx(dual_bound(problem, duals), rel=1e-12, abs=1e-12)


def test_clipped_duals_keep_their_bounds(rng):
    problem = Problem(rng.random((4, 4)), Weights(0.1, 0.2, 0.3))
    duals = clip_duals(problem, Duals(*rng.normal(size=(4, 4, 4))))
    assert [abs(dual).max() for dual in duals] == pytest.approx([0.1, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("model", ["rain", "signed"])
def test_gap_closes_at_the_minimum(model, rng):
    problem = Problem(rng.random((12, 9)), Weights(0.02, 0.15, 0.05), model)
    method = Joint()
    state = method.advance(problem, method.start(problem, None), 4000)
    X, R, duals = method.estimate(problem, state)
    assert relative_gap(problem, *energy_and_bound(problem, X, R, duals)) < 1e-6
