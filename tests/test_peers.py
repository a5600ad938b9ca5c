"""The peers of `benchmarks/peers` minimise the same energy; those that are not installed skip."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import udg

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
WEIGHTS = udg.RAIN_WEIGHTS

# Other projects' deprecations are not ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def peers() -> Iterator[ModuleType]:
    """The package benchmarks/peers."""
    if not BENCHMARKS.exists():
        pytest.skip("benchmarks is not beside the tests: udg is installed, not a checkout")
    from benchmarks import peers

    yield peers
    for name in [name for name in sys.modules if name.startswith("benchmarks.peers.")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def small() -> np.ndarray:
    """A picture with rain on which cone solvers take a second, too; float32."""
    rows, columns = np.mgrid[:30, :26]
    clean = (0.4 + 0.2 * np.sin(columns / 6) * np.cos(rows / 5)).astype(np.float32)
    return udg.synthesize(clean, angle=0, length=12, density=0.15, seed=4).rainy


@pytest.fixture(scope="module")
def minimum(small: np.ndarray) -> udg.optim.loop.Minimum:
    """The minimum in float64, proven to 1e-6."""
    problem = udg.Problem(small.astype(np.float64), WEIGHTS, "rain")
    found = udg.minimize(problem, udg.PrimalDual(primal_step=0.05), tol=1e-6, max_iter=50_000)
    assert found.gap <= 1e-6
    return found


def load(peers: ModuleType, name: str) -> ModuleType:
    try:
        return peers.load(name)
    except peers.MissingPeer as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    "name",
    [
        "pyproximal PDHG",
        "scico ADMM",
        "scico PDHG",
        "odl Douglas-Rachford",
        "odl PDHG",
    ],
)
def test_an_iterative_peer_comes_near_the_same_minimum(
    peers: ModuleType, small: np.ndarray, minimum: udg.optim.loop.Minimum, name: str
) -> None:
    """Within 1e-3 with the middle one of its options; but for float32 sums, never under it."""
    peer = load(peers, name)
    before = small.copy()
    problem = udg.Problem(small, WEIGHTS, "rain")
    lower = minimum.objective * (1 - minimum.gap)
    watch = peers.Stopwatch(problem, stop=minimum.objective * 1.001, limit=120)
    with pytest.raises(peers.Enough):
        peer.solve(small, WEIGHTS, 5000, watch, **peer.OPTIONS[len(peer.OPTIONS) // 2])
    assert watch.curve[-1][1] <= minimum.objective * 1.001
    assert min(energy for _, energy in watch.curve) >= lower * (1 - 1e-5)
    np.testing.assert_array_equal(small, before)


@pytest.mark.parametrize("name", ["pyproximal PDHG", "scico PDHG", "odl PDHG"])
def test_a_peer_returns_what_it_showed_last(
    peers: ModuleType, small: np.ndarray, name: str
) -> None:
    peer, seen = load(peers, name), []
    answer = peer.solve(
        small, WEIGHTS, peer.EVERY, lambda *pair: seen.append([np.array(u) for u in pair])
    )
    assert len(seen) == 1
    for shown, returned in zip(seen[0], answer, strict=True):
        np.testing.assert_array_equal(shown.reshape(small.shape), returned)
        assert returned.shape == small.shape


@pytest.mark.parametrize("name", ["CVXPY Clarabel", "CVXPY SCS"])
def test_a_cone_solver_comes_near_the_same_minimum(
    peers: ModuleType, small: np.ndarray, minimum: udg.optim.loop.Minimum, name: str
) -> None:
    peer = load(peers, name)
    X, R, seconds = peer.solve(small, WEIGHTS, peer.TOLERANCES[-1])
    problem = udg.Problem(small.astype(np.float64), WEIGHTS, "rain")
    assert peers.energy(problem, X, R) == pytest.approx(minimum.objective, rel=1e-3)
    assert seconds > 0


def test_every_peer_is_tested(peers: ModuleType) -> None:
    tested = {
        name
        for test in (
            test_an_iterative_peer_comes_near_the_same_minimum,
            test_a_cone_solver_comes_near_the_same_minimum,
        )
        for name in test.pytestmark[0].args[1]
    }
    assert tested == set(peers.ITERATIVE) | set(peers.CONIC)


def test_a_missing_peer_says_how_to_get_it(
    peers: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "odl", None)
    with pytest.raises(peers.MissingPeer, match=r"odl.*pip install '\.\[peers\]'"):
        peers.load("odl PDHG")


def test_the_stopwatch_counts_neither_its_own_time_nor_infeasible_answers(
    peers: ModuleType, small: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clock stands while an energy is evaluated; R is clipped to what the model allows."""
    now = iter([0.0, 1.0, 51.0, 52.0, 152.0])
    monkeypatch.setattr(peers.time, "perf_counter", lambda: next(now))
    problem = udg.Problem(small, WEIGHTS, "rain")
    watch = peers.Stopwatch(problem, stop=0.0, limit=10.0)
    R = np.full_like(small, 2.0)
    watch(small - problem.feasible(R), R)
    watch(small, np.zeros_like(small))
    assert [seconds for seconds, _ in watch.curve] == [1.0, 2.0]
    assert np.isfinite([energy for _, energy in watch.curve]).all()
    first = watch.curve[0][1]
    assert watch.seconds_to(first) == 1.0
    assert watch.seconds_to(-1.0) is None


@pytest.mark.parametrize(("stop", "limit"), [(np.inf, np.inf), (0.0, 0.0)])
def test_the_stopwatch_ends_a_run(
    peers: ModuleType, small: np.ndarray, stop: float, limit: float
) -> None:
    watch = peers.Stopwatch(udg.Problem(small, WEIGHTS, "rain"), stop, limit)
    with pytest.raises(peers.Enough):
        watch(small, np.zeros_like(small))
    assert len(watch.curve) == 1
