import array_api_strict
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference import difference_matrix

from udg.model.operators import across, across_adjoint, along, along_adjoint, spectra
from udg.model.transforms import Transform

BOUNDARIES = ("reflecting", "periodic")
SHAPES = [(4, 6), (5, 3), (1, 7), (8, 1), (2, 2), (1, 1)]
PAIRS = [(along, along_adjoint, 0), (across, across_adjoint, 1)]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("forward", "adjoint", "axis"), PAIRS)
def test_differences_and_adjoints_equal_dense_matrices(
    forward, adjoint, axis, shape, boundary, rng
):
    u = rng.normal(size=shape)
    D = difference_matrix(shape, axis, boundary)
    np.testing.assert_allclose(forward(u, boundary).ravel(), D @ u.ravel(), atol=1e-14)
    np.testing.assert_allclose(adjoint(u, boundary).ravel(), D.T @ u.ravel(), atol=1e-14)


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(BOUNDARIES),
    st.sampled_from(PAIRS),
    st.integers(0, 2**32 - 1),
)
def test_dot_product(shape, boundary, pair, seed):
    forward, adjoint, _ = pair
    u, v = np.random.default_rng(seed).normal(size=(2, *shape))
    left, right = (forward(u, boundary) * v).sum(), (u * adjoint(v, boundary)).sum()
    assert left == pytest.approx(right, abs=1e-12)


def test_directions():
    column = np.zeros((5, 4))
    column[:, 2] = 1  # a vertical streak
    assert not along(column).any()
    assert across(column)[0].tolist() == [0, 1, -1, 0]


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (1, 4), (4, 1)])
def test_spectra_diagonalise_the_differences(shape, boundary, rng):
    u = rng.normal(size=shape)
    transform = Transform(u, boundary)
    for forward, adjoint, eigenvalues in (
        (along, along_adjoint, transform.along),
        (across, across_adjoint, transform.across),
    ):
        direct = adjoint(forward(u, boundary), boundary)
        spectral = transform.inverse(transform.forward(u.copy()) * eigenvalues)
        np.testing.assert_allclose(spectral, direct, atol=1e-12)


def test_transforms_do_not_share_memory_between_calls(rng):
    u, v = rng.normal(size=(2, 6, 5))
    transform = Transform(u, "periodic")
    first = transform.forward(u)
    kept = first.copy()
    transform.forward(v)
    np.testing.assert_array_equal(first, kept)
    back = transform.inverse(first)
    np.testing.assert_allclose(back, u, atol=1e-14)


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("function", [along, along_adjoint, across, across_adjoint])
def test_same_in_every_namespace(function, boundary, rng):
    u = rng.normal(size=(2, 5, 6)).astype(np.float32)
    expected = function(u, boundary)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(function(torch.from_numpy(u), boundary).numpy(), expected)
    strict = function(array_api_strict.asarray(u), boundary)
    np.testing.assert_array_equal(np.asarray(strict), expected)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_spectra_in_every_namespace(boundary):
    expected = spectra((5, 8), boundary, np.zeros(1))
    for like in (torch.zeros(1, dtype=torch.float64), array_api_strict.zeros(1)):
        for got, want in zip(spectra((5, 8), boundary, like), expected, strict=True):
            np.testing.assert_allclose(np.asarray(got), want, atol=1e-14)


def test_torch_gradient_of_a_difference_is_its_adjoint(rng):
    u = torch.tensor(rng.normal(size=(5, 6)), requires_grad=True)
    v = torch.tensor(rng.normal(size=(5, 6)))
    (along(u) * v).sum().backward()
    torch.testing.assert_close(u.grad, along_adjoint(v))
