"""The classical baselines: their mathematics against closed forms and slow twins."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

import udg
from udg.io.files import write

pytest.importorskip("sklearn", reason="pip install 'udg[benchmarks]'")

from benchmarks.baselines import dsc, evaluate, gmm
from benchmarks.baselines.growth import extrapolate
from benchmarks.baselines.patches import Grid, centre
from benchmarks.baselines.pursuit import decode, matrix, pursue, update


def unit_rows(rng: np.random.Generator, *shape: int) -> np.ndarray:
    rows = rng.normal(size=shape)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A rainy photo of 96×96 pixels and the photo without rain."""
    from skimage.data import astronaut

    clean = astronaut()[20:116, 170:266].astype(np.float32) / 255
    rng = np.random.default_rng(5)
    rain = np.zeros(clean.shape[:2], dtype=np.float32)
    for _ in range(60):
        top, column = rng.integers(-10, 90), rng.integers(96)
        rain[max(top, 0) : top + rng.integers(12, 25), column] += rng.uniform(0.15, 0.4)
    return (clean + rain[:, :, None]).clip(0, 1), clean


# Patches


@pytest.mark.parametrize(("shape", "size", "stride"), [((11, 13), 4, 3), ((9, 8), 3, 1)])
def test_grid_and_its_adjoints(
    rng: np.random.Generator, shape: tuple[int, int], size: int, stride: int
) -> None:
    grid = Grid(shape, size, stride)
    image = rng.normal(size=shape)
    patches = grid.extract(image)
    others = rng.normal(size=patches.shape)
    assert np.vdot(patches, others) == pytest.approx(np.vdot(image, grid.overlay(others)))
    np.testing.assert_allclose(grid.sums(image).ravel(), patches.sum(1))
    values = rng.normal(size=grid.sums(image).shape)
    spread = grid.overlay(np.repeat(values.ravel(), size**2).reshape(patches.shape))
    np.testing.assert_allclose(grid.spread(values), spread, atol=1e-12)
    assert grid.cover.min() > 0.99  # the last row and column too
    np.testing.assert_allclose(grid.average(patches), image)


# Sparse coding


def slow_pursuit(
    signal: np.ndarray, dictionary: np.ndarray, groups: np.ndarray, limits: tuple[int, ...]
) -> np.ndarray:
    """One code, dense, by least squares at every step."""
    code, chosen, room = np.zeros(len(dictionary)), [], list(limits)
    for _ in range(sum(limits)):
        match = abs(dictionary @ (signal - code @ dictionary))
        match[[room[group] == 0 for group in groups]] = -1
        chosen.append(int(match.argmax()))
        room[groups[chosen[-1]]] -= 1
        code[chosen] = np.linalg.lstsq(dictionary[chosen].T, signal, rcond=None)[0]
    return code


def test_pursuit_is_its_slow_twin(rng: np.random.Generator) -> None:
    dictionary = unit_rows(rng, 30, 16)
    groups = np.arange(30) % 2
    signals = rng.normal(size=(20, 16)).astype(np.float32)
    atoms, values = pursue(signals, dictionary, groups, (2, 3))
    for signal, code in zip(signals, matrix(atoms, values, 30).toarray(), strict=True):
        np.testing.assert_allclose(
            code, slow_pursuit(signal, dictionary, groups, (2, 3)), atol=2e-5
        )
    assert ((groups[atoms] == 0).sum(1) == 2).all()


def test_pursuit_of_one_group_is_scikit_learns(rng: np.random.Generator) -> None:
    from sklearn.linear_model import orthogonal_mp

    dictionary = unit_rows(rng, 40, 20)
    signals = rng.normal(size=(9, 20)).astype(np.float32)
    codes = pursue(signals, dictionary, np.zeros(40, dtype=int), (4,))
    theirs = orthogonal_mp(dictionary.T, signals.T, n_nonzero_coefs=4)
    np.testing.assert_allclose(matrix(*codes, 40).toarray(), theirs.T, atol=2e-5)


def test_pursuit_is_the_best_of_all_supports_where_atoms_are_orthonormal(
    rng: np.random.Generator,
) -> None:
    dictionary = np.linalg.qr(rng.normal(size=(8, 8)))[0].astype(np.float32)
    groups = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    (signal,) = signals = rng.normal(size=(1, 8)).astype(np.float32)
    atoms, values = pursue(signals, dictionary, groups, (2, 1))
    error = np.sum((signal - matrix(atoms, values, 8) @ dictionary) ** 2)
    errors = []
    for support in itertools.combinations(range(8), 3):
        if sum(groups[list(support)]) == 1:
            basis = dictionary[list(support)]
            errors.append(np.sum((signal - basis.T @ (basis @ signal)) ** 2))
    assert error == pytest.approx(min(errors), rel=1e-4)


def test_pursuit_stops_when_the_code_is_good_enough(rng: np.random.Generator) -> None:
    dictionary = unit_rows(rng, 12, 10)
    signals = 3 * dictionary[[4, 7]]
    atoms, values = pursue(signals, dictionary, np.zeros(12, dtype=int), (5,), error=1e-6)
    assert atoms[:, 0].tolist() == [4, 7]
    assert (atoms[:, 1:] == -1).all()
    np.testing.assert_allclose(values[:, 0], 3, rtol=1e-5)


def test_layers_add_up_to_the_code(rng: np.random.Generator) -> None:
    dictionary = unit_rows(rng, 12, 10)
    rain = np.arange(12) > 7
    signals = rng.normal(size=(6, 10)).astype(np.float32)
    codes = pursue(signals, dictionary, rain.astype(int), (2, 2))
    layers = [decode(*codes, dictionary, mine) for mine in (rain, ~rain)]
    np.testing.assert_allclose(sum(layers), matrix(*codes, 12) @ dictionary, atol=1e-6)
    alone = decode(*codes, np.where(rain[:, None], dictionary, 0), np.ones(12, dtype=bool))
    np.testing.assert_allclose(layers[0], alone, atol=1e-6)


def test_the_dictionary_is_the_least_squares_one(rng: np.random.Generator) -> None:
    dictionary = unit_rows(rng, 6, 9)
    signals = rng.normal(size=(80, 9)).astype(np.float32)
    codes = pursue(signals, dictionary, np.zeros(6, dtype=int), (3,))
    best = np.linalg.lstsq(matrix(*codes, 6).toarray(), signals, rcond=None)[0]
    best /= np.linalg.norm(best, axis=1, keepdims=True)
    np.testing.assert_allclose(update(signals, dictionary, *codes), best, atol=1e-4)


def test_learning_lowers_the_error(rng: np.random.Generator) -> None:
    samples = np.repeat(unit_rows(rng, 10, 256), 30, axis=0)
    samples += 0.01 * rng.normal(size=samples.shape).astype(np.float32)

    def error(iterations: int) -> float:
        learnt = dsc.learn(samples, 12, 2, iterations, np.random.default_rng(1))
        codes = pursue(samples, learnt, np.zeros(12, dtype=int), (2,))
        return float(np.square(samples - matrix(*codes, 12) @ learnt).sum())

    assert error(4) < 0.7 * error(0)


@pytest.mark.parametrize("angle", [-30, 0, 20])
def test_rain_atoms_lie_along_the_shared_direction(rng: np.random.Generator, angle: int) -> None:
    rows, columns = np.mgrid[:16, :16] - 7.5
    radians = np.deg2rad(angle)
    across = columns * np.cos(radians) + rows * np.sin(radians)
    streaks = [np.exp(-((across - shift) ** 2) / 3) for shift in rng.uniform(-4, 4, 12)]
    along = columns * np.sin(radians) - rows * np.cos(radians)
    others = [np.sin(rng.uniform(0.3, 1) * (along + shift)) for shift in rng.uniform(0, 6, 9)]
    dictionary = np.stack([*others, *streaks]).reshape(21, -1).astype(np.float32)
    assert dsc.direction(dictionary) == pytest.approx(angle, abs=2)
    assert dsc.rain_atoms(dictionary, 12).tolist() == [False] * 9 + [True] * 12


def test_dsc_gains(pair: tuple[np.ndarray, np.ndarray]) -> None:
    rainy, clean = pair
    derained = dsc.derain(rainy)
    assert derained.shape == rainy.shape
    assert udg.psnr_y(derained, clean) > udg.psnr_y(rainy, clean) + 1


def test_dsc_keeps_full_light_and_no_light() -> None:
    for light in (0.0, 1.0):
        image = np.full((20, 24, 3), light, dtype=np.float32)
        np.testing.assert_array_equal(dsc.derain(image), image)


# Layer priors


def gaussians(rng: np.random.Generator, components: int, size: int) -> gmm.Mixture:
    roots = rng.normal(size=(components, size, size)) / np.arange(1, size + 1)
    weights = rng.uniform(1, 2, components)
    return gmm.Mixture(
        weights / weights.sum(),
        0.3 * rng.normal(size=(components, size)),
        roots @ roots.transpose(0, 2, 1),
    )


def test_one_component_is_restored_in_closed_form(rng: np.random.Generator) -> None:
    mixture = gaussians(rng, 1, 6)
    patches = rng.normal(size=(5, 6)).astype(np.float32)
    precision, noise = np.linalg.inv(mixture.covariances[0]), 0.4
    # The minimum of ‖g − p‖² / 2σ² + (g − μ)ᵀ Σ⁻¹ (g − μ) / 2.
    right = patches / noise + precision @ mixture.means[0]
    wanted = np.linalg.solve(precision + np.eye(6) / noise, right.T).T
    np.testing.assert_allclose(mixture.restore(patches, noise), wanted, atol=1e-4)


def test_the_likeliest_component_restores(rng: np.random.Generator) -> None:
    mixture = gaussians(rng, 4, 6)
    patches = rng.normal(size=(40, 6)).astype(np.float32)
    noise = 0.2
    likelihood = [
        np.log(weight) + multivariate_normal(mean, cov + noise * np.eye(6)).logpdf(patches)
        for weight, mean, cov in zip(
            mixture.weights, mixture.means, mixture.covariances, strict=True
        )
    ]
    best = np.argmax(likelihood, axis=0)
    assert len(set(best)) == 4
    for component in range(4):
        alone = gmm.Mixture(
            np.ones(1), mixture.means[[component]], mixture.covariances[[component]]
        )
        mine = patches[best == component]
        restored = mixture.restore(patches, noise)[best == component]
        np.testing.assert_allclose(restored, alone.restore(mine, noise), atol=1e-5)


def test_fitting_finds_the_covariance(rng: np.random.Generator) -> None:
    root = rng.normal(size=(4, 4)) @ (np.eye(4) - 0.25)  # without mean, like patches
    mixture = gmm.fit((rng.normal(size=(20_000, 4)) @ root), 1)
    np.testing.assert_allclose(mixture.covariances[0], root.T @ root, rtol=0.05, atol=0.05)


def test_the_fitted_background_is_kept(tmp_path: Path) -> None:
    first = gmm.background(tmp_path, components=3, patches=400)
    (kept,) = tmp_path.iterdir()
    stamp = kept.stat().st_mtime_ns
    again = gmm.background(tmp_path, components=3, patches=400)
    assert kept.stat().st_mtime_ns == stamp
    np.testing.assert_array_equal(again.covariances, first.covariances)
    assert again.weights.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(again.means.sum(1), 0, atol=1e-4)  # patches have no mean


def test_flattest_window(rng: np.random.Generator) -> None:
    image = rng.uniform(size=(64, 80))
    image[24:44, 40:60] = 0.5
    np.testing.assert_array_equal(gmm.flattest(image, 20), 0.5)


def problem(rng: np.random.Generator) -> gmm.Layers:
    image = rng.uniform(0.2, 0.8, size=(12, 11))
    grid = Grid(image.shape, 4, 2)
    count = len(grid.extract(image))
    patches = tuple(centre(rng.normal(size=(count, 16))) for _ in range(2))
    return gmm.Layers(image, grid, 0.1, 2.0, rng.normal(size=(2, 12, 11)), patches)


def test_energy_is_as_written_and_so_is_its_gradient(rng: np.random.Generator) -> None:
    layers = problem(rng)
    point = rng.uniform(size=(2, 12, 11))
    background, rain = point
    wanted = np.sum((layers.image - background - rain) ** 2) + 0.1 * np.sum(rain**2)
    wanted += 2 * np.sum((gmm.gradient(background) - layers.edges) ** 2)
    for layer, patches in zip(point, layers.patches, strict=True):
        wanted += 2 * 4 / 16 * np.sum((centre(layers.grid.extract(layer)) - patches) ** 2)
    outside = point - layers.bound(point)
    assert outside.any()
    wanted += gmm.BARRIER * np.sum(outside**2)
    value, slope = layers.value(point)
    assert value == pytest.approx(wanted)
    numeric = approx_fprime(point.ravel(), lambda x: layers.value(x.reshape(point.shape))[0], 1e-6)
    np.testing.assert_allclose(slope.ravel(), numeric, atol=2e-3)


def test_image_step_lowers_the_energy_within_bounds(rng: np.random.Generator) -> None:
    layers = problem(rng)
    start = np.stack([layers.image, np.zeros_like(layers.image)])
    energies = [layers.value(layers.minimize(start, steps))[0] for steps in (1, 5, 40)]
    assert layers.value(start)[0] > energies[0] > energies[1] > energies[2]
    background, rain = layers.minimize(start, 40)
    assert background.min() >= 0
    assert rain.min() >= 0
    assert (rain <= layers.image).all()


@pytest.mark.slow
def test_gmm_gains(pair: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    rainy, clean = pair
    prior = gmm.background(tmp_path, components=8, patches=4000)
    derained = gmm.derain(rainy, prior)
    assert derained.shape == rainy.shape
    assert udg.psnr_y(derained, clean) > udg.psnr_y(rainy, clean) + 0.5


# Measuring


def test_time_grows_by_a_fixed_cost_and_the_pixels_or_faster() -> None:
    assert extrapolate((100, 5.0), (300, 9.0), 1000) == pytest.approx(23)
    assert extrapolate((10, 1.0), (20, 4.0), 40) == pytest.approx(16)
    with pytest.raises(ValueError, match="no growth"):
        extrapolate((10, 2.0), (20, 1.0), 40)


def test_evaluation_goes_on_where_it_was_interrupted(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, size in (("a", 40), ("b", 44)):
        for part, image in zip(("rainy", "clean"), pair, strict=True):
            (tmp_path / part).mkdir(exist_ok=True)
            write(tmp_path / part / f"{name}.png", (255 * image[:size, :40]).astype(np.uint8))
    out = tmp_path / "out.json"
    command = ["evaluate.py", "dsc", str(tmp_path), "--json", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, "--every", "2"])
    evaluate.main()
    first = json.loads(out.read_text())
    assert [row["name"] for row in first["pictures"]] == ["a"]
    monkeypatch.setattr(sys, "argv", command)
    evaluate.main()
    both = json.loads(out.read_text())
    assert both["pictures"][0] == first["pictures"][0]  # its CPU time too: not done again
    assert both["pictures"][1]["psnr_after"] > both["pictures"][1]["psnr_before"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", "gmm", *command[2:]])
    with pytest.raises(SystemExit, match="holds"):
        evaluate.main()
