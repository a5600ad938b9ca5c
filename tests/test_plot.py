"""Diagrams: what is drawn is what was computed."""

import sys

import numpy as np
import pytest

import udg
from udg.errors import InvalidInput, MissingExtra

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("agg")
from matplotlib import pyplot as plt  # noqa: E402


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def streaks():
    """Rain at 10° on a smooth picture, uint8, and its rain layer."""
    clean = np.tile(np.linspace(60, 160, 120), (110, 1)).astype(np.uint8)
    found = udg.synthesize(clean, angle=10, density=0.1, seed=2)
    return found.rainy.round().astype(np.uint8), found.rain


@pytest.fixture(scope="module")
def result(streaks):
    return udg.solve(streaks[0], history=True)


def shown(ax):
    return np.asarray(ax.get_images()[0].get_array())


# Comparison


def test_a_result_is_before_derained_and_rain(streaks, result):
    axes = udg.plot.comparison(result)
    assert [ax.get_title().split(" (")[0] for ax in axes] == ["before", "derained", "rain"]
    before, after, rain = map(shown, axes)
    np.testing.assert_array_equal(before[..., 0], streaks[0])
    np.testing.assert_array_equal(after[..., 0], np.rint(result.derained))
    gain = float(axes[2].get_title().split("×")[1].rstrip(")"))
    expected = 255 * np.clip(gain * result.rain, 0, 1)
    assert abs(rain[..., 0] - expected).max() < 0.02 * 255


def test_images_and_results_side_by_side(streaks, result):
    axes = plt.subplots(2, 2)[1]
    given = udg.plot.comparison(
        streaks[0], result, streaks[0] / 255, streaks[0][..., None], titles="abcd", ax=axes
    )
    assert given == list(axes.ravel())
    assert [ax.get_title() for ax in given] == list("abcd")
    np.testing.assert_array_equal(shown(given[0]), shown(given[2]))
    np.testing.assert_array_equal(shown(given[1])[..., 0], np.rint(result.derained))


def test_comparison_refuses(streaks, result):
    with pytest.raises(InvalidInput, match="nothing to draw"):
        udg.plot.comparison()
    with pytest.raises(InvalidInput, match="1 titles for 3 pictures"):
        udg.plot.comparison(result, titles=["one"])
    with pytest.raises(InvalidInput, match="holds 1 axes; 3 are needed"):
        udg.plot.comparison(result, ax=plt.subplots()[1])
    layer = udg.solve_tiles(streaks[0], angle=[0, 10], tile=120).layers[0]
    with pytest.raises(InvalidInput, match="layers of tiles keep none"):
        udg.plot.comparison(layer)


# Convergence


@pytest.mark.parametrize("of", ["gap", "objective"])
def test_curves_are_the_history_of_each_stage(result, of):
    ax = udg.plot.convergence(result, of=of, against="iterations")
    first, last = lines = ax.get_lines()
    assert [line.get_linestyle() for line in lines] == [":", "-"]
    np.testing.assert_array_equal(
        first.get_xdata(), [p.iteration for p in result.stages[0].history]
    )
    begin = sum(stage.iterations for stage in result.stages[:-1])
    np.testing.assert_array_equal(last.get_xdata(), [begin + p.iteration for p in result.history])
    np.testing.assert_array_equal(last.get_ydata(), [getattr(p, of) for p in result.history])
    assert last.get_xdata()[-1] == result.iterations
    assert ax.get_yscale() == ("log" if of == "gap" else "linear")


def test_the_gap_is_labelled_in_per_cent():
    points = [udg.Checkpoint(i, i / 10, 1.0, 10.0**-i) for i in range(4)]
    ax = udg.plot.convergence(points)
    ax.figure.canvas.draw()
    labels = {label.get_text() for label in ax.get_yticklabels()}
    assert labels >= {"0.1 %", "1 %", "10 %", "100 %"}


def test_several_results_layers_and_checkpoints(streaks, result):
    two = udg.solve(streaks[0], angle=[10, -10], stages=1, history=True)
    points = result.history
    ax = udg.plot.convergence(result, two, points, labels=["found", "given", "seen"])
    labels = [line.get_label() for line in ax.get_lines()]
    assert [label for label in labels if not label.startswith("_")] == [
        "found",
        "given, layer 1",
        "given, layer 2",
        "seen",
    ]
    seen = ax.get_lines()[-1]
    np.testing.assert_array_equal(seen.get_xdata(), [point.seconds for point in points])
    ax = plt.subplots()[1]
    assert udg.plot.convergence(two, ax=ax) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["10.0°", "-10.0°"]


def test_convergence_refuses(streaks, result):
    with pytest.raises(InvalidInput, match="has no history"):
        udg.plot.convergence(udg.solve(streaks[0], angle=10))
    with pytest.raises(InvalidInput, match="2 labels for 1 results"):
        udg.plot.convergence(result, labels=["a", "b"])
    with pytest.raises(InvalidInput, match="nothing to draw"):
        udg.plot.convergence()
    with pytest.raises(InvalidInput, match="of is 'energy'"):
        udg.plot.convergence(result, of="energy")
    with pytest.raises(InvalidInput, match="against is 'time'"):
        udg.plot.convergence(result, against="time")


# Gradient histograms


def parts(ax):
    """Along and across, and the edges of the bins."""
    along, across = (patch.get_data() for patch in ax.patches)
    return along.values, across.values, along.edges


def test_parts_sum_to_one_and_are_those_of_numpy(rng):
    clean, rain = rng.uniform(size=(20, 31)), rng.uniform(size=(15, 12)) ** 2
    axes = udg.plot.gradient_histograms([clean, clean.T], rain, bins=21, limit=1.0)
    for ax in axes:
        along, across, _ = parts(ax)
        assert along.sum() == pytest.approx(1)
        assert across.sum() == pytest.approx(1)
        assert ax.get_yscale() == "log"
    along, across, edges = parts(axes[1])
    down = np.vstack([np.diff(rain, axis=0), np.zeros((1, 12))]).astype(np.float32)
    np.testing.assert_allclose(along, np.histogram(down, edges)[0] / rain.size)
    along, across, _ = parts(axes[0])
    np.testing.assert_allclose(along, across)  # a picture and its mirror image


def test_rain_differs_across_the_streaks_when_turned_by_their_angle(streaks):
    _, rain = streaks
    _, ax = udg.plot.gradient_histograms(rain, rain, angle=10)
    along, across, edges = parts(ax)
    large = abs(edges[1:] + edges[:-1]) / 2 > 0.1
    assert across[large].sum() > 5 * along[large].sum()
    _, wrong = udg.plot.gradient_histograms(rain, rain, angle=-40)
    assert parts(wrong)[0][large].sum() > 5 * along[large].sum()


def test_gradient_histograms_refuse(streaks):
    rainy, rain = streaks
    with pytest.raises(InvalidInput, match="bins is 10; give an odd number"):
        udg.plot.gradient_histograms(rainy, rain, bins=10)
    with pytest.raises(InvalidInput, match="limit is 0"):
        udg.plot.gradient_histograms(rainy, rain, limit=0)
    with pytest.raises(InvalidInput, match="at least one clean image"):
        udg.plot.gradient_histograms([], rain)


# Angle


def test_angle_curve_shows_the_answer_and_its_confidence(streaks, result):
    curve = udg.detection.angle.angle_curve(streaks[0])
    for given in (streaks[0], result, curve):
        ax = udg.plot.angle_curve(given)
        line, answer = ax.get_lines()[:2]
        top = line.get_xdata()[line.get_ydata().argmax()]
        assert abs(top - answer.get_xdata()[0]) <= 0.25
        assert answer.get_xdata()[0] == result.angle
        rival = next(one for one in ax.get_lines() if one.get_marker() == "o")
        assert rival.get_xdata()[0] == curve.rival
        assert ax.get_title().startswith(f"confidence {result.confidence:.2f} = lead ")
        lead, spread = map(float, ax.get_title().split("lead ")[1].split(" / range "))
        assert lead / spread == pytest.approx(result.confidence, abs=0.01)


def test_an_image_without_features_has_a_flat_curve():
    ax = udg.plot.angle_curve(np.zeros((40, 40)), ax=(given := plt.subplots()[1]))
    assert ax is given
    assert not ax.get_lines()[0].get_ydata().any()
    assert "no direction" in ax.get_title()


def test_missing_matplotlib_says_what_to_install(result, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(MissingExtra, match=r"pip install 'udg\[plot\]'"):
        udg.plot.comparison(result)
