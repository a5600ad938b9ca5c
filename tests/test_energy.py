import math

import array_api_strict
import numpy as np
import pytest
import reference
import torch

import udg
from udg import PAPER_WEIGHTS, InvalidInput, Problem, Weights, objective
from udg.model.energy import shrink

BOUNDARIES = ("reflecting", "periodic")
WEIGHTS = Weights(tau=0.02, lam_x=0.3, lam_y=0.1, lam_r=0.05)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(5, 4), (1, 6), (7, 1)])
def test_energy_equals_the_matrix_form(shape, boundary, rng):
    Y = rng.random(shape)
    R, X = 0.5 * Y * rng.random(shape), rng.random(shape)
    problem = Problem(Y, WEIGHTS, "rain", boundary)
    assert problem.energy(X, R) == pytest.approx(reference.energy(problem, X, R), rel=1e-12)


def test_hand_computed_energy():
    # One streak pixel 0.5 in a dark 2×2 image, all of it taken as rain.
    Y = R = np.array([[0.5, 0.0], [0.0, 0.0]])
    X = np.zeros((2, 2))
    assert objective(X, R, Y, Weights(0.1, 1.0, 1.0, 0.2)) == pytest.approx(0.5 * 1.0 + 0.5 * 0.2)
    # … and all of it taken as background: both its differences cost tau, and lam_y's term 0.5.
    assert objective(Y, X, Y, Weights(0.1, 1.0, 1.0, 0.2)) == pytest.approx(2 * 0.05 + 0.5)


def test_rain_model_is_infinite_outside_its_bounds(rng):
    Y = rng.random((4, 5)) * 0.8
    X = Y.copy()
    for R in (np.full_like(Y, -1e-6), Y + 1e-6):
        assert objective(X, R, Y, WEIGHTS, "rain") == math.inf
        assert math.isfinite(objective(X, R, Y, WEIGHTS, "signed"))


def test_printed_energy_does_not_see_what_is_constant_along_the_streak(rng):
    X, R, Y = rng.random((3, 6, 7))
    v = np.broadcast_to(rng.random(7), (6, 7))
    before = objective(X, R, Y, PAPER_WEIGHTS, "signed")
    assert objective(X, R + v, Y + v, PAPER_WEIGHTS, "signed") == pytest.approx(before)


@pytest.mark.parametrize("model", ["rain", "signed"])
def test_same_in_every_namespace(model, rng):
    Y = rng.random((2, 5, 6)).astype(np.float32)
    X, R = Y / 2, Y / 3
    expected = float(objective(X, R, Y, WEIGHTS, model))
    for convert in (torch.from_numpy, array_api_strict.asarray):
        value = objective(*(convert(u) for u in (X, R, Y)), WEIGHTS, model)
        assert float(value) == pytest.approx(expected, rel=1e-12)


def test_torch_gradient(rng):
    # Away from kinks: random values have no equal neighbours.
    X, R, Y = (torch.tensor(u, requires_grad=True) for u in rng.random((3, 4, 5)))
    assert torch.autograd.gradcheck(
        lambda X, R, Y: objective(X, R, Y, WEIGHTS, "signed"), (X, R, Y)
    )


def test_sum_is_in_double_precision():
    X = np.full((2048, 2048), 0.1, np.float32)
    energy = objective(X, np.zeros_like(X), np.zeros_like(X), Weights(0, 0, 1))
    assert energy == pytest.approx(0.5 * X.size * float(np.float32(0.1)) ** 2, rel=1e-7)


@pytest.mark.parametrize("model", ["rain", "signed"])
def test_prox_against_a_grid(model, rng):
    Y = np.full((1, 1), 0.6)
    problem = Problem(Y, WEIGHTS, model)
    grid = np.linspace(-2, 2, 40001)
    allowed = (grid >= 0) & (grid <= 0.6) if model == "rain" else np.full(grid.shape, True)
    for r in rng.uniform(-1, 1.5, 50):
        cost = 0.5 * (grid - r) ** 2 + 0.7 * WEIGHTS.lam_r * abs(grid)
        best = grid[np.where(allowed, cost, np.inf).argmin()]
        assert problem.prox(np.array([[r]]), 0.7)[0, 0] == pytest.approx(best, abs=1e-4)


def test_shrinkage_against_a_grid(rng):
    grid = np.linspace(-3, 3, 60001)
    for r in rng.uniform(-2, 2, 50):
        best = grid[(0.5 * (grid - r) ** 2 + 0.4 * abs(grid)).argmin()]
        assert shrink(np.array(r), 0.4) == pytest.approx(best, abs=1e-4)
        assert shrink(np.array(r), 0.4) == pytest.approx(np.sign(r) * max(abs(r) - 0.4, 0))


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((-1, 1, 1), "tau"),
        ((0.1, math.nan, 1), "lam_x"),
        ((0.1, 1, math.inf), "lam_y"),
        ((0.1, 1, 1, -0.1), "lam_r"),
        ((0.1, "1", 1), "lam_x"),
        ((0.1, 0, 0), "lam_x and lam_y are both 0"),
    ],
)
def test_bad_weights_are_named(values, named):
    with pytest.raises(InvalidInput, match=named):
        Weights(*values)


def test_paper_preset_has_the_papers_weights():
    # Section 4.1: tau, lambda_x, lambda_y = 0.01, 1.5, 1.0.
    assert (PAPER_WEIGHTS.tau, PAPER_WEIGHTS.lam_x, PAPER_WEIGHTS.lam_y) == (0.01, 1.5, 1.0)
    assert udg.PAPER["lam_r"] == PAPER_WEIGHTS.lam_r == 0
