"""Weights in pixels: what they say is what the energy does."""

import math

import numpy as np
import pytest

import udg
from udg import PAPER_WEIGHTS, RAIN_WEIGHTS, Weights
from udg.errors import InvalidInput
from udg.pipeline.options import (
    Direction,
    is_new,
    shortest_streak,
    understood,
    weights_for_streaks,
    widest_streak,
)


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


def understood_weights(**given: float) -> tuple[Weights, bool]:
    names = ("tau", "lam_x", "lam_y", "lam_r")
    others = {name: value for name, value in given.items() if name not in names}
    settings = understood({name: given.get(name) for name in names}, **others).settings
    return settings.weights, settings.follow_contrast


def test_solve_takes_sizes_and_still_follows_the_contrast() -> None:
    weights, follow = understood_weights(widest=15, shortest=6)
    assert widest_streak(weights) == pytest.approx(15)
    assert shortest_streak(weights) == pytest.approx(6)
    assert follow
    assert understood_weights(widest=15, lam_x=0.2)[1] is False


def test_sizes_that_were_given_hold_in_haze_as_well() -> None:
    hazy = np.full((30, 40), 0.5, np.float32)
    given = udg.solve(hazy, angle=0, widest=15).weights
    assert widest_streak(given) == pytest.approx(15)
    assert widest_streak(udg.solve(hazy, angle=0).weights) == pytest.approx(40)


def test_strength_moves_from_the_sizes_on() -> None:
    weights, _ = understood_weights(widest=15, shortest=6, strength=0.8)
    assert weights == weights_for_streaks(RAIN_WEIGHTS, 15, 6).with_strength(0.8)


@pytest.mark.parametrize("given", [{"widest": 9, "lam_r": 0.1}, {"shortest": 9, "lam_x": 0.1}])
def test_a_weight_and_its_size_are_too_much(given: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="decides"):
        understood_weights(**given)


def test_solve_and_tiles_do_the_same_with_sizes_as_with_weights(rainy: np.ndarray) -> None:
    sized = udg.solve(rainy, angle=0, widest=15, shortest=6, tau=0.002)
    weighted = udg.solve(rainy, angle=0, **understood_dict(15, 6))
    assert np.array_equal(sized.derained, weighted.derained)
    assert sized.weights == weighted.weights
    tiled = udg.solve_tiles(rainy, angle=0, widest=15, shortest=6, tau=0.002)
    assert tiled.weights == sized.weights


def understood_dict(widest: float, shortest: float) -> dict[str, float]:
    weights = weights_for_streaks(RAIN_WEIGHTS, widest, shortest)
    return {"tau": 0.002, "lam_x": weights.lam_x, "lam_r": weights.lam_r}


@pytest.mark.parametrize(
    ("degrees", "confidence", "level", "earlier", "new"),
    [
        (0, 0.1, 0.1, [], True),  # the first direction is whatever there is
        (20, 0.46, 0.6, [0], True),
        (20, 0.44, 1.0, [0], False),
        (20, 0.9, 0.4, [0], False),
        (7, 0.9, 1.0, [0], False),  # what an earlier layer left
        (20, 0.9, 1.0, [0, 25], False),
    ],
)
def test_another_direction_is_sure_and_not_near_an_earlier_one(
    degrees: float, confidence: float, level: float, earlier: list[float], new: bool
) -> None:
    assert is_new(Direction(degrees, confidence, level), earlier) is new
