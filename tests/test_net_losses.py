from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch

from udg import PAPER_WEIGHTS, RAIN_WEIGHTS, InvalidInput, Weights, objective
from udg.model.energy import fidelity, magnitude, variation, variation_across, variation_along
from udg.net import (
    AUTHORS_LOSS,
    PAPER_LOSS,
    TABLE_5,
    Layers,
    LossWeights,
    angle_loss,
    image_loss,
    overall_loss,
    rain_loss,
    self_loss,
)

ALL = LossWeights(**{field.name: 0.1 * (n + 1) for n, field in enumerate(fields(LossWeights))})


@pytest.fixture
def arrays(rng) -> np.ndarray:
    """X, R, Y of two images of three colours; R of any sign."""
    X, R, Y = rng.random((3, 2, 3, 7, 6))
    return np.stack([X, 0.6 * R - 0.1, Y])


def layers(arrays: np.ndarray, inside: torch.Tensor | None = None) -> Layers:
    X, R, Y = (torch.from_numpy(u) for u in arrays)
    if inside is None:
        inside = torch.ones_like(Y[:, :1]) > 0
    predicted, angle = torch.tensor([3.0, -8.0]), torch.tensor([5.0, -7.0])
    return Layers(Y, X, R, inside, predicted, angle)


def differences(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.diff(u, axis=-2), np.diff(u, axis=-1)


@pytest.mark.parametrize("weights", [RAIN_WEIGHTS, PAPER_WEIGHTS, Weights(0.1, 0.2, 0.3, 0.4)])
def test_the_loss_is_the_solvers_energy(weights, arrays):
    loss = overall_loss(layers(arrays), LossWeights.from_energy(weights))
    assert float(loss.total.sum()) == pytest.approx(
        float(objective(*arrays, weights, "signed")), rel=1e-12
    )
    for number in range(2):  # … and each image's part of it
        alone = objective(*arrays[:, number], weights, "signed")
        assert float(loss.total[number]) == pytest.approx(float(alone), rel=1e-12)


def test_equations_13_to_15_as_printed(arrays):
    """The paper's preset against its formulas: Eq. 15 has factor 1 where Eq. 3 has ½."""
    (X, R, Y), tensors = arrays, layers(arrays)
    axes = (1, 2, 3)
    self_ = ((X + R - Y) ** 2).sum(axes)
    np.testing.assert_allclose(self_loss(tensors.X, tensors.R, tensors.Y, PAPER_LOSS), self_)
    rain = 1.5 * abs(differences(R)[0]).sum(axes) + abs(differences(R - Y)[1]).sum(axes)
    np.testing.assert_allclose(rain_loss(tensors.R, tensors.Y, PAPER_LOSS), rain)
    scores = torch.tensor([0.2, 0.7]).reshape(2, 1, 1, 1)
    image = 0.01 * sum(abs(d).sum(axes) for d in differences(X)) + 400 * np.array([0.64, 0.09])
    found = image_loss(tensors.X, tensors.Y, PAPER_LOSS, scores=scores)
    np.testing.assert_allclose(found, image, rtol=1e-6)
    angle = angle_loss(tensors.predicted, tensors.angle)
    assert angle.tolist() == [4, 1]
    loss = overall_loss(tensors, PAPER_LOSS, angle=tensors.angle, scores=scores)
    np.testing.assert_allclose(loss.total, self_ + rain + image + [4, 1], rtol=1e-6)


def test_papers_preset_has_the_papers_weights():
    # Section 4.1: tau, mu, lambda_x, lambda_y = 0.01, 400, 1.5, 1.0.
    assert (PAPER_LOSS.tau, PAPER_LOSS.mu) == (0.01, 400)
    assert (PAPER_LOSS.lam_x, PAPER_LOSS.lam_y) == (1.5, 1.0)
    assert replace(LossWeights.from_energy(PAPER_WEIGHTS), data=1, mu=400, angle=1) == PAPER_LOSS


def test_authors_preset_is_their_batchs_loss(arrays, rng):
    """Sums over the batch, as published, but for one mean of LSGAN in a batch of eight."""
    X, R, Y = arrays[:, np.r_[0, 1, 0, 1, 0, 1, 0, 1]]
    eight = layers(np.stack([X, R, Y]))
    scores = torch.from_numpy(rng.random((8, 1, 2, 2)))
    along, across = differences(R)[0], differences(Y - R)[1]
    squares = sum((d**2).sum() for d in differences(X))
    published = (
        0.1 * ((X + R - Y) ** 2).sum()
        + 0.1 * (1.5 * abs(along).sum() + abs(across).sum() + 0.1 * abs(R).sum())
        + 0.1
        * (0.01 * ((X - Y) ** 2).sum() + 0.02 * squares + 4000 * float(((scores - 1) ** 2).mean()))
    )
    weights = replace(AUTHORS_LOSS, angle=0)
    total = overall_loss(eight, weights, scores=scores).total.sum()
    assert float(total) == pytest.approx(published, rel=1e-5)


def test_gradient_of_every_term(arrays):
    # Away from kinks: random values have no equal neighbours and are neither 0 nor Y.
    X, R, Y = (torch.from_numpy(u[:1, :1, :4, :3]).requires_grad_() for u in arrays)
    inside = torch.ones(1, 1, 4, 3) > 0
    inside[..., 0, 0] = False
    scores = torch.rand(1, 1, 2, 2, dtype=torch.float64, requires_grad=True)
    predicted = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    angle = torch.tensor([5.0], dtype=torch.float64)

    def total(X, R, Y, scores, predicted):
        given = Layers(Y, X, R, inside, predicted, angle)
        return overall_loss(given, ALL, angle=angle, scores=scores).total

    # The discriminator's scores are taken in single precision.
    assert torch.autograd.gradcheck(
        lambda *u: total(*u[:3], scores.detach(), u[3]), (X, R, Y, predicted)
    )
    grown = torch.autograd.grad(total(X, R, Y, scores, predicted).sum(), scores)[0]
    torch.testing.assert_close(grown, ALL.mu * 2 * (scores - 1) / 4, rtol=1e-6, atol=0)


def test_terms_add_up_and_only_those_with_a_weight_exist(arrays):
    scores = torch.rand(2, 1, 3, 3)
    loss = overall_loss(layers(arrays), ALL, angle=torch.zeros(2), scores=scores)
    assert set(loss.terms) == set(asdict(ALL))
    torch.testing.assert_close(sum(loss.terms.values()), loss.total)
    assert loss.total.dtype == torch.float64
    for name, value in asdict(ALL).items():
        only = LossWeights(**{name: value})
        alone = overall_loss(layers(arrays), only, angle=torch.zeros(2), scores=scores)
        assert list(alone.terms) == [name]
        torch.testing.assert_close(alone.total, loss.terms[name].double())
        doubled = overall_loss(
            layers(arrays), LossWeights(**{name: 2 * value}), angle=torch.zeros(2), scores=scores
        )
        torch.testing.assert_close(doubled.total, 2 * alone.total)


def test_what_lies_outside_does_not_count(arrays, rng):
    inside = torch.ones(2, 1, 7, 6) > 0
    inside[..., :3, :2] = False
    weights = replace(ALL, mu=0, angle=0)
    before = overall_loss(layers(arrays, inside), weights)
    changed = arrays.copy()
    changed[..., :3, :2] = rng.random((3, 2, 3, 3, 2))
    after = overall_loss(layers(changed, inside), weights)
    torch.testing.assert_close(after.total, before.total)
    # A mask that leaves a rectangle counts as much as that rectangle alone.
    inside[...] = False
    inside[..., 2:6, 1:5] = True
    masked = overall_loss(layers(arrays, inside), weights)
    cut = overall_loss(layers(arrays[..., 2:6, 1:5].copy()), weights)
    torch.testing.assert_close(masked.total, cut.total)


def test_masked_terms_are_the_same_in_numpy(arrays):
    X, R, Y = arrays
    inside = np.random.default_rng(1).random((2, 1, 7, 6)) > 0.3
    for function, given in (
        (fidelity, (X, R, Y)),
        (variation, (X,)),
        (variation_along, (R,)),
        (variation_across, (R, Y)),
        (magnitude, (R,)),
    ):
        here = function(*given, inside=inside)
        there = function(*(torch.from_numpy(u) for u in given), inside=torch.from_numpy(inside))
        np.testing.assert_allclose(here, there, rtol=1e-12)
        assert here.shape == (2, 3)


def test_sign_counts_what_is_no_light(arrays):
    X, _, Y = (torch.from_numpy(u) for u in arrays)
    sign = LossWeights(sign=1)
    assert (rain_loss(0.5 * Y, Y, sign) == 0).all()
    assert rain_loss(-0.5 * Y, Y, sign) == pytest.approx(0.5 * Y.sum(dim=(1, 2, 3)))
    assert rain_loss(Y + X, Y, sign) == pytest.approx(X.sum(dim=(1, 2, 3)))


def test_table_5_has_the_papers_marks():
    marks = {  # TV, adversarial, rain, self-consistency
        1: (1, 0, 0, 0),
        2: (0, 1, 0, 0),
        3: (1, 1, 0, 0),
        4: (0, 0, 1, 0),
        5: (0, 1, 1, 1),
        6: (1, 0, 1, 1),
        7: (1, 1, 1, 1),
    }
    assert list(TABLE_5) == list(marks)
    assert len({case.name for case in TABLE_5.values()}) == 7
    for number, (tv, adv, rain, self_) in marks.items():
        expected = LossWeights(
            tau=0.01 * tv, mu=400 * adv, lam_x=1.5 * rain, lam_y=rain, data=self_, angle=1
        )
        assert TABLE_5[number].weights == expected
    assert TABLE_5[7].weights == PAPER_LOSS


@pytest.mark.parametrize("number", range(1, 8))
def test_table_5_trains_the_stream_that_gives_its_output(number, arrays):
    _, weights, output = TABLE_5[number]
    given = layers(arrays)
    X, R = given.X.requires_grad_(), given.R.requires_grad_()
    scores = X.mean(dim=(1, 2, 3)).reshape(2, 1, 1, 1)
    loss = overall_loss(given, weights, angle=given.angle, scores=scores).total.sum()
    reached = torch.autograd.grad(loss, (X, R), allow_unused=True)
    trained = {"background": reached[0] is not None, "rain": reached[1] is not None}
    assert trained[output]
    if number <= 4:  # without the self term only one stream is
        assert sum(trained.values()) == 1


def test_what_is_missing_is_asked_for(arrays):
    with pytest.raises(InvalidInput, match="angle="):
        overall_loss(layers(arrays), LossWeights(angle=1))
    with pytest.raises(InvalidInput, match="scores="):
        overall_loss(layers(arrays), LossWeights(mu=1))
    with pytest.raises(InvalidInput, match="lam_r"):
        LossWeights(lam_r=-1)
