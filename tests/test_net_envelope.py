"""The energy's Moreau envelope: its proximal point against an outside solver, and its gradient."""

import cvxpy as cp
import numpy as np
import pytest
import reference
import torch

import udg
from udg import InvalidInput
from udg.net import LossWeights, envelope_loss, overall_loss, proximal_rain
from udg.net.network import Layers

WEIGHTS = LossWeights(tau=0.02, lam_x=0.15, lam_y=0.05, lam_r=0.01)


@pytest.fixture
def Y(rng) -> np.ndarray:
    scene = np.full((9, 8), 0.3)
    scene[:, 4] += 0.3  # a streak
    return scene + 0.05 * rng.random(scene.shape)


def tensor(plane: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(plane)[None, None]


def exact(R, Y, w, gamma, sparsity_map):
    """The same by Clarabel."""
    Dx, Dy = (reference.difference_matrix(Y.shape, axis, "reflecting") for axis in (0, 1))
    y, v = Y.ravel(), cp.Variable(Y.size)
    energy = (
        w.lam_x * cp.norm1(Dx @ v)
        + w.lam_y * cp.norm1(Dy @ (v - y))
        + w.tau * (cp.norm1(Dx @ (y - v)) + cp.norm1(Dy @ (y - v)))
        + w.lam_r * sparsity_map.ravel() @ cp.abs(v)
        + cp.sum_squares(v - R.ravel()) / (2 * gamma)
    )
    cp.Problem(cp.Minimize(energy), [v >= 0, v <= y]).solve(solver=cp.CLARABEL)
    return v.value.reshape(Y.shape)


@pytest.mark.parametrize("gamma", [0.3, 5.0])
def test_proximal_point_is_that_of_an_interior_point_solver(Y, rng, gamma):
    R, sparsity_map = 0.4 * rng.random(Y.shape) - 0.1, 3 * rng.random(Y.shape)
    found = proximal_rain(
        tensor(R), tensor(Y), WEIGHTS, gamma, iterations=3000, sparsity_map=tensor(sparsity_map)
    )
    np.testing.assert_allclose(found[0, 0], exact(R, Y, WEIGHTS, gamma, sparsity_map), atol=1e-3)


def test_each_image_has_its_own(Y, rng):
    R = rng.random((2, 3, *Y.shape)) * 0.3
    images = np.stack([np.stack([Y, Y.T[:8].repeat(2, 0)[:9, :8], Y[::-1]])] * 2)
    found = proximal_rain(torch.from_numpy(R), torch.from_numpy(images), WEIGHTS, 1.0)
    alone = proximal_rain(tensor(R[1, 2]), tensor(images[1, 2]), WEIGHTS, 1.0)
    torch.testing.assert_close(found[1:, 2:], alone)


def test_pixels_that_do_not_count_change_nothing(Y, rng):
    R = 0.2 * rng.random(Y.shape)
    wide, rain = (np.pad(u, 2, constant_values=0.9) for u in (Y, R))
    inside = tensor(np.pad(np.ones(Y.shape, bool), 2))
    alone = proximal_rain(tensor(R), tensor(Y), WEIGHTS, 1.0, iterations=300)
    found = proximal_rain(tensor(rain), tensor(wide), WEIGHTS, 1.0, iterations=300, inside=inside)
    torch.testing.assert_close(found[..., 2:-2, 2:-2], alone)
    losses = envelope_loss(tensor(rain), tensor(wide), WEIGHTS, 1.0, 300, inside=inside)
    torch.testing.assert_close(losses, envelope_loss(tensor(R), tensor(Y), WEIGHTS, 1.0, 300))


def test_gradient_is_an_implicit_step(Y, rng):
    R = tensor(0.3 * rng.random(Y.shape)).requires_grad_()
    gamma = 0.7
    loss = envelope_loss(R, tensor(Y), WEIGHTS, gamma)
    loss.sum().backward()
    V = proximal_rain(R, tensor(Y), WEIGHTS, gamma)
    assert not V.requires_grad
    torch.testing.assert_close(R.grad, (R.detach() - V) / gamma, check_dtype=False)
    assert loss.item() == pytest.approx(float(((R.detach() - V) ** 2).sum()) / (2 * gamma))


def test_the_minimum_is_that_of_the_energy(Y):
    """Repeated steps end where the energy has no lower neighbour, and stay there."""
    R = torch.zeros_like(tensor(Y))
    for _ in range(30):
        R = proximal_rain(R, tensor(Y), WEIGHTS, 10.0, iterations=300)
    assert envelope_loss(R, tensor(Y), WEIGHTS, 10.0, 300).item() < 1e-6

    def energy(R: torch.Tensor) -> float:
        layers = Layers(tensor(Y), tensor(Y) - R, R, torch.ones_like(R) > 0, None, None)
        return overall_loss(layers, WEIGHTS).total.item()

    assert energy(R) < energy(torch.zeros_like(R))
    streak = tensor(np.tile(np.arange(8) == 4, (9, 1)))
    for step in (-0.02, 0.02):
        assert energy(R) < energy(R + step * streak)
    # As the weights of the energy shrink, X = Y - R holds more and more exactly.
    small = udg.Weights(0.02, 0.15, 0.05, 0.01).scaled(1e-2)
    solved = udg.minimize(
        udg.Problem(Y, small), udg.PrimalDual(), tol=1e-4, max_iter=50_000
    ).estimate.R
    np.testing.assert_allclose(R[0, 0], solved, atol=1e-2)


@pytest.mark.parametrize("gamma", [0.0, -1.0, float("inf"), float("nan")])
def test_gamma_is_positive(Y, gamma):
    with pytest.raises(InvalidInput, match="envelope is"):
        envelope_loss(tensor(Y), tensor(Y), WEIGHTS, gamma)


def test_terms_without_an_envelope_are_refused(Y):
    for name in ("mu", "tau_squared", "identity"):
        with pytest.raises(InvalidInput, match=name):
            envelope_loss(tensor(Y), tensor(Y), LossWeights(lam_r=0.1, **{name: 1.0}), 1.0)
