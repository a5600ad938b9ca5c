"""What is asked for: weights in pixels, the paper's call, and what is decided from it."""

import dataclasses
import math

import numpy as np
import pytest

import udg
from udg import PAPER_WEIGHTS, RAIN_WEIGHTS, Weights
from udg.detection.angle import Angle
from udg.errors import InvalidInput
from udg.model.sizes import shortest_streak, weights_for_streaks, widest_streak
from udg.pipeline.options import resolve
from udg.pipeline.stages import decide, schedule


def line_in_the_rain(weights: Weights, width: int, length: int) -> bool:
    """Whether a bright line, alone in the picture, costs less as rain than as background.

    `tau` is left out, as in the formula: the line costs nothing as background but ``lam_y``'s.
    """
    Y = np.zeros((length + 6, width + 6))
    Y[3:-3, 3:-3] = 0.4
    weights = Weights(0.0, weights.lam_x, weights.lam_y, weights.lam_r)
    return bool(udg.objective(0 * Y, Y, Y, weights) < udg.objective(Y, 0 * Y, Y, weights))


@pytest.mark.parametrize("weights", [RAIN_WEIGHTS, RAIN_WEIGHTS.with_strength(0.9)])
def test_the_energy_takes_what_is_long_and_narrow_enough(weights: Weights) -> None:
    for width in (1, 2, 3, 5, 8):
        limit = shortest_streak(weights, width)
        assert width < widest_streak(weights)
        assert not line_in_the_rain(weights, width, math.floor(limit - 1e-9))
        assert line_in_the_rain(weights, width, math.floor(limit) + 1)
    wide = math.ceil(widest_streak(weights))
    assert shortest_streak(weights, wide) == math.inf
    assert not line_in_the_rain(weights, wide, 10_000)


def test_the_defaults_in_pixels_are_those_of_the_readme() -> None:
    assert widest_streak(RAIN_WEIGHTS) == pytest.approx(10)
    lengths = [shortest_streak(RAIN_WEIGHTS, width) for width in (1, 2, 3, 5)]
    assert lengths == pytest.approx([10 / 3, 7.5, 90 / 7, 30])


@pytest.mark.parametrize(("widest", "shortest"), [(4, 2), (10, 3), (30.0, 20.0), (math.inf, 5)])
def test_weights_have_the_sizes_that_were_asked_for(widest: float, shortest: float) -> None:
    weights = weights_for_streaks(RAIN_WEIGHTS, widest, shortest)
    assert widest_streak(weights) == pytest.approx(widest)
    assert shortest_streak(weights) == pytest.approx(shortest)
    assert (weights.tau, weights.lam_y) == (RAIN_WEIGHTS.tau, RAIN_WEIGHTS.lam_y)


def test_what_is_not_asked_for_stays() -> None:
    for weights in (RAIN_WEIGHTS, PAPER_WEIGHTS):
        same = weights_for_streaks(weights)
        assert same.lam_r == pytest.approx(weights.lam_r)
        assert same.lam_x == pytest.approx(weights.lam_x)
    wider = weights_for_streaks(RAIN_WEIGHTS, widest=20)
    assert shortest_streak(wider) == pytest.approx(shortest_streak(RAIN_WEIGHTS))
    longer = weights_for_streaks(RAIN_WEIGHTS, shortest=9)
    assert longer.lam_r == pytest.approx(RAIN_WEIGHTS.lam_r)


def test_sizes_do_not_depend_on_the_contrast() -> None:
    for factor in (0.25, 3):
        scaled = RAIN_WEIGHTS.scaled(factor)
        assert widest_streak(scaled) == pytest.approx(widest_streak(RAIN_WEIGHTS))
        assert shortest_streak(scaled, 3) == pytest.approx(shortest_streak(RAIN_WEIGHTS, 3))


@pytest.mark.parametrize("widest", [1, 0.5, -3, math.nan, "wide", True])
def test_impossible_widths_are_refused(widest: float) -> None:
    with pytest.raises(InvalidInput, match="widest is"):
        weights_for_streaks(RAIN_WEIGHTS, widest=widest)


@pytest.mark.parametrize("shortest", [-1, math.inf, math.nan, "long", False])
def test_impossible_lengths_are_refused(shortest: float) -> None:
    with pytest.raises(InvalidInput, match="shortest is"):
        weights_for_streaks(RAIN_WEIGHTS, shortest=shortest)


def test_weights_that_take_no_line_are_refused() -> None:
    with pytest.raises(InvalidInput, match="raise lam_y"):
        weights_for_streaks(Weights(0.0, 1.0, 0.01, 0.05), shortest=4)


# As arguments of solve


def resolved_weights(**given: float) -> tuple[Weights, bool]:
    options = resolve(**given).options
    return options.weights, options.follow_contrast


def test_solve_takes_sizes_and_still_follows_the_contrast() -> None:
    weights, follow = resolved_weights(widest=15, shortest=6)
    assert widest_streak(weights) == pytest.approx(15)
    assert shortest_streak(weights) == pytest.approx(6)
    assert follow
    assert resolved_weights(widest=15, lam_x=0.2)[1] is False


def test_sizes_that_were_given_hold_in_haze_as_well() -> None:
    hazy = np.full((30, 40), 0.5, np.float32)
    given = udg.solve(hazy, angle=0, widest=15).weights
    assert widest_streak(given) == pytest.approx(15)
    assert widest_streak(udg.solve(hazy, angle=0).weights) == pytest.approx(40)


def test_strength_moves_from_the_sizes_on() -> None:
    weights, _ = resolved_weights(widest=15, shortest=6, strength=0.8)
    assert weights == weights_for_streaks(RAIN_WEIGHTS, 15, 6).with_strength(0.8)


@pytest.mark.parametrize("given", [{"widest": 9, "lam_r": 0.1}, {"shortest": 9, "lam_x": 0.1}])
def test_a_weight_and_its_size_are_too_much(given: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="decides"):
        resolved_weights(**given)


def test_solve_and_tiles_do_the_same_with_sizes_as_with_weights(rainy: np.ndarray) -> None:
    sized = udg.solve(rainy, angle=0, widest=15, shortest=6, tau=0.002)
    weighted = udg.solve(rainy, angle=0, **weights_of_sizes(15, 6))
    assert np.array_equal(sized.derained, weighted.derained)
    assert sized.weights == weighted.weights
    tiled = udg.solve_tiles(rainy, angle=0, widest=15, shortest=6, tau=0.002)
    assert tiled.weights == sized.weights


def weights_of_sizes(widest: float, shortest: float) -> dict[str, float]:
    weights = weights_for_streaks(RAIN_WEIGHTS, widest, shortest)
    return {"tau": 0.002, "lam_x": weights.lam_x, "lam_r": weights.lam_r}


# The paper's call


def test_with_three_weights_it_is_the_papers_energy(rainy: np.ndarray) -> None:
    """One stage, no sparsity, no judgement; and the certificate is of that energy."""
    result = udg.solve(rainy, 0.01, 0.3, 0.1, angle=0, tol=1e-4, max_iter=20_000)
    assert result.weights == Weights(0.01, 0.3, 0.1, 0.0)
    assert [stage.weights for stage in result.stages] == [result.weights]
    problem, X, R = result.solved[:3]
    assert problem.sparsity_map is None
    assert problem.upper_bound is None
    assert udg.objective(X, R, result.solved.Y, result.weights) == pytest.approx(result.objective)
    lowest = float(cvxpy_minimum(result.solved.Y[:24, :20]))
    small = udg.solve(result.solved.Y[:24, :20], 0.01, 0.3, 0.1, angle=0, tol=1e-4, max_iter=50_000)
    assert small.gap <= 1e-4
    assert lowest - 1e-6 <= small.objective <= lowest * (1 + 2 * small.gap) + 1e-6
    sparse = udg.solve(rainy, 0.01, 0.3, 0.1, lam_r=0.02, angle=0)
    assert sparse.weights.lam_r == 0.02
    assert len(sparse.stages) == 1
    assert sparse.solved.problem.sparsity_map is None
    unsure = udg.solve(rainy, 0.01, 0.3, 0.1, lam_r=0.02, angle=0, rain_level=0.5)
    assert unsure.rain.sum() < sparse.rain.sum()  # a rain level that is given counts
    several = udg.solve(rainy, 0.01, 0.3, 0.1, angle=0, stages=2)
    assert [stage.reweighted for stage in several.stages] == [False, True]


def cvxpy_minimum(Y: np.ndarray) -> float:
    """The minimum of the same energy by a solver from outside."""
    import cvxpy as cp

    X, R = cp.Variable(Y.shape), cp.Variable(Y.shape)
    energy = (
        0.5 * cp.sum_squares(X + R - Y)
        + 0.01 * (cp.norm1(cp.diff(X, axis=0)) + cp.norm1(cp.diff(X, axis=1)))
        + 0.3 * cp.norm1(cp.diff(R, axis=0))
        + 0.1 * cp.norm1(cp.diff(R - Y, axis=1))
    )
    problem = cp.Problem(cp.Minimize(energy), [R >= 0, Y >= R])
    return float(problem.solve(solver="CLARABEL"))


def test_without_sparsity_the_least_rain_is_taken(rainy: np.ndarray) -> None:
    assert udg.solve(rainy, 0.01, 0.3, 0.1, angle=0).rain.min() == pytest.approx(0, abs=1e-7)


def test_stripes_is_another_word_for_signed(rainy: np.ndarray) -> None:
    assert resolve(model="stripes") == resolve(model="signed")
    assert udg.solve(rainy, model="stripes", angle=0, max_iter=5).model == "signed"


# Decisions and stages


def decision(**given: object):
    """What is decided on a picture with rain at 10°."""
    clean = np.full((90, 120), 0.3, np.float32)
    rainy = udg.synthesize(clean, angle=10, density=0.1, seed=1).rainy
    request = resolve(**given)
    return decide(udg.imaging.image.prepare(rainy), request, request.angles[0])


def test_stages_of_a_rainy_and_of_a_dry_picture() -> None:
    options = resolve().options
    plain = [(one.boost, one.reweighted, one.last) for one in schedule(options)]
    assert plain == [(0, False, False), (0, True, True)]
    four = schedule(resolve(stages=4).options)
    assert [one[2:] for one in four] == [
        (0, False, False),
        (0, True, True),
        (1, False, False),
        (1, True, True),
    ]
    assert [one.number for one in four] == [0, 1, 2, 3]
    (only,) = schedule(options, decision(rain_level=0.0, angle=10))
    assert only.last
    assert not only.reweighted
    assert len(schedule(resolve(stages=1).options)) == 1
    assert schedule(options, decision(angle=10)) == schedule(options)


def test_weights_and_sparsity_of_every_stage() -> None:
    """A draft asks for half the sparsity; what haze and heavy rain change, the first round has."""
    found = decision(angle="auto", rain_level="auto", stages=4)
    first, second, third, fourth = schedule(found.options, found)
    assert found.sparsity(first) == pytest.approx(0.5 * found.sparsity(second))
    assert found.sparsity(third) == found.sparsity(second) == found.sparsity(fourth)
    assert found.weights(first) == found.weights(second)
    assert found.weights(third) == found.weights(fourth) == found.adapted[1]
    assert found.weights(first).lam_r < found.weights(third).lam_r  # a flat picture is hazy
    assert found.tol(first) == 0.1 > found.tol(second) == 1e-2
    unsure = decision(angle=10, rain_level=0.5)
    assert unsure.sparsity(second) > 1 == decision(angle=10).sparsity(second)


def test_signed_stages_have_the_weights_as_they_are() -> None:
    found = decision(model="signed", angle=10)
    (only,) = schedule(found.options, found)
    assert found.weights(only) == udg.STRIPE_WEIGHTS
    assert found.sparsity(only) == 1
    assert not found.dry


@pytest.mark.parametrize(
    ("angle", "confidence", "level", "logit", "earlier", "new"),
    [
        (20, 0.46, 0.6, 0.1, [0], True),
        (20, 0.44, 1.0, 0.1, [0], False),
        (20, 0.9, 0.4, 0.1, [0], False),
        (20, 0.9, 1.0, -0.1, [0], False),  # lines of the scene
        (7, 0.9, 1.0, 0.1, [0], False),  # what an earlier layer left
        (20, 0.9, 1.0, 0.1, [0, 25], False),
    ],
)
def test_another_direction_is_certain_and_not_near_an_earlier_one(
    angle: float,
    confidence: float,
    level: float,
    logit: float,
    earlier: list[float],
    new: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = decision(angle=10)
    before = [dataclasses.replace(known, angle=float(one)) for one in earlier]
    found = dataclasses.replace(
        known, angle=float(angle), confidence=confidence, rain_level=level, streak_logit=logit
    )
    seen = Angle(float(angle), confidence)
    monkeypatch.setattr("udg.detection.angle.estimate_angle", lambda *given, **options: seen)
    monkeypatch.setattr("udg.pipeline.stages._measured", lambda *given: found)
    monkeypatch.setattr("udg.detection.quick.streak_logit", lambda *given: 1.0)
    request = resolve()
    image = udg.imaging.image.prepare(np.full((90, 120), 0.3, np.float32))
    assert (decide(image, request, "auto", before) is not None) is new
    assert decide(image, request, "auto") is found  # the first one is whatever there is
    assert decide(image, resolve(n_layers=2), "auto", before) is found
