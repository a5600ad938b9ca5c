"""The plugin without a screen: Qt draws to memory, the widget is clicked from here."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import udg

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
os.environ.setdefault("NAPARI_ASYNC", "0")
pytest.importorskip("napari")
pytest.importorskip("qtpy.QtWidgets", exc_type=Exception)


@pytest.fixture(scope="module")
def plugin() -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import udg.napari

    return udg.napari


@pytest.fixture
def viewer(plugin: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The viewer's model: layers and sliders without a window, which wants OpenGL."""
    from napari.components import ViewerModel
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    yield ViewerModel()
    application.processEvents()


def click_and_wait(widget: Any, seconds: float = 60) -> None:
    """Click the button, and let Qt work until the thread is done."""
    from qtpy.QtWidgets import QApplication

    widget.button.native.click()
    end = time.monotonic() + seconds
    while widget._worker is not None:
        QApplication.processEvents()
        assert time.monotonic() < end, "still at work"
        time.sleep(0.005)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    rng = np.random.default_rng(2)
    rows, columns = np.mgrid[:96, :120]
    scene = 0.35 + 0.15 * np.sin(rows / 13) * np.cos(columns / 17) + 0.02 * rng.random((96, 120))
    return np.rint(255 * np.stack([scene, 0.9 * scene, 0.8 * scene], axis=2)).astype(np.uint8)


@pytest.fixture(scope="module")
def rainy_photo(photo: np.ndarray) -> np.ndarray:
    rainy = udg.synthesize(photo, angle=8, seed=1).rainy
    return np.rint(rainy).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def stripes() -> np.ndarray:
    """Two planes of 12 bits in 16, striped at -20 degrees."""
    rows, columns = np.mgrid[:90, :100]
    angle = np.deg2rad(-20)
    across = np.rint(columns * np.cos(angle) + rows * np.sin(angle)).astype(int)
    rng = np.random.default_rng(4)
    planes = [
        0.5 + 0.2 * np.sin(rows / 15 + k) + 0.05 * rng.normal(size=400)[across + 100]
        for k in range(2)
    ]
    return np.rint(4095 * np.stack(planes).clip(0, 1)).astype(np.uint16)


def test_manifest_names_what_exists(plugin: Any) -> None:
    """npe2 reads it, and each of its commands can be imported."""
    npe2 = pytest.importorskip("npe2")
    manifest = npe2.PluginManifest.from_file(Path(udg.__file__).with_name("napari.yaml"))
    assert manifest.name == "udg"
    names = {command.python_name for command in manifest.contributions.commands}
    assert names == {"udg.napari:Remover", "udg.napari:rain_sample", "udg.napari:stripes_sample"}
    for name in names:
        assert hasattr(plugin, name.split(":")[1])


def test_napari_finds_the_plugin() -> None:
    from importlib.metadata import entry_points

    (entry,) = entry_points(group="napari.manifest", name="udg")
    assert entry.value == "udg:napari.yaml"


def test_a_photo(plugin: Any, viewer: Any, rainy_photo: np.ndarray) -> None:
    """The same pixels as `udg.solve`, rounded, in layers on top."""
    viewer.add_image(rainy_photo, rgb=True, name="photo", scale=(2, 2), translate=(5, 7))
    widget = plugin.Remover(viewer)
    widget.strength.value = 0.7
    click_and_wait(widget)
    result = udg.solve(rainy_photo, strength=0.7)
    derained, rain = viewer.layers["photo without rain"], viewer.layers["photo: rain"]
    assert derained.data.dtype == np.uint8
    np.testing.assert_array_equal(derained.data, np.rint(result.derained).clip(0, 255))
    np.testing.assert_allclose(rain.data, 255 * result.rain, atol=1e-3)
    assert derained.rgb
    assert not rain.rgb
    assert not rain.visible
    for layer in (derained, rain):
        np.testing.assert_array_equal(layer.scale, (2, 2))
        np.testing.assert_array_equal(layer.translate, (5, 7))
    assert widget.said.value == f"Angle {result.angle:.1f}°."
    assert widget.button.text == "Remove"


def test_a_given_angle_and_no_rain_layer(plugin: Any, viewer: Any, rainy_photo: np.ndarray) -> None:
    viewer.add_image(rainy_photo, rgb=True, name="photo")
    widget = plugin.Remover(viewer)
    assert not widget.degrees.enabled
    widget.angle.value = "given"
    assert widget.degrees.enabled
    widget.degrees.value = 11
    widget.keep.value = False
    click_and_wait(widget)
    expected = udg.solve(rainy_photo, angle=11.0).derained
    assert [layer.name for layer in viewer.layers] == ["photo", "photo without rain"]
    np.testing.assert_array_equal(viewer.layers[1].data, np.rint(expected).clip(0, 255))


def test_a_stack_of_stripes(plugin: Any, viewer: Any, stripes: np.ndarray) -> None:
    """Dim data are stretched; all planes share one scale, and each has its own angle."""
    viewer.add_image(stripes, name="stack")
    widget = plugin.Remover(viewer)
    assert widget.stretch.value
    widget.model.value = "signed"
    widget.planes.value = True
    click_and_wait(widget)
    derained = viewer.layers["stack without stripes"]
    assert derained.data.dtype == np.uint16
    extent = (float(stripes.min()), float(stripes.max()))
    for plane, found in zip(stripes, derained.data, strict=True):
        expected = udg.solve(plane, model="signed", data_range=extent).derained
        np.testing.assert_array_equal(found, np.rint(expected).clip(0, 65535))
    angles = [angle for _, angle, _ in derained.metadata["udg"]]
    np.testing.assert_allclose(angles, -20, atol=1)
    assert viewer.layers["stack: stripes"].contrast_limits[0] < 0


def test_the_shown_plane_lies_where_it_was(plugin: Any, viewer: Any, stripes: np.ndarray) -> None:
    layer = viewer.add_image(
        stripes, name="stack", scale=(3, 2, 2), translate=(10, 0, 5), rotate=(0, 0, 10)
    )
    viewer.dims.set_point(0, layer.data_to_world((1, 40, 40))[0])
    widget = plugin.Remover(viewer)
    widget.model.value = "signed"
    viewer.dims.point = layer.data_to_world((1, 45, 50))
    click_and_wait(widget)
    derained = viewer.layers["stack [1] without stripes"]
    assert derained.data.shape == (1, *stripes.shape[1:])
    for corner in ((0, 0, 0), (0, 89, 3), (0, 20, 70)):
        expected = layer.data_to_world((1, *corner[1:]))
        np.testing.assert_allclose(derained.data_to_world(corner), expected, atol=1e-9)


def test_one_direction_for_all(plugin: Any, stripes: np.ndarray) -> None:
    """The shown plane's angle is used for the others, and it is solved once."""
    job = plugin.Job(stripes, [(0,), (1,)], (1,), "shown", {"model": "signed"}, stretch=False)
    run = plugin.solve_planes(job)
    counts = []
    while True:
        try:
            counts.append(next(run))
        except StopIteration as end:
            done = end.value
            break
    assert counts == [1, 2]
    assert done[0].angle == done[1].angle == udg.solve(stripes[1], model="signed").angle


def test_dry_pictures_are_said_to_be_dry(plugin: Any, viewer: Any, photo: np.ndarray) -> None:
    viewer.add_image(photo, rgb=True, name="photo")
    widget = plugin.Remover(viewer)
    click_and_wait(widget)
    assert "No rain found" in widget.said.value
    np.testing.assert_array_equal(viewer.layers["photo without rain"].data, photo)


def test_stopped_half_way(plugin: Any, stripes: np.ndarray) -> None:
    """What was finished is kept, what was broken off is not."""
    job = plugin.Job(stripes, [(0,), (1,)], (0,), "each", {"model": "signed"}, stretch=False)
    stop = False
    run = plugin.solve_planes(job, lambda: stop)
    assert next(run) == 1
    stop = True
    with pytest.raises(StopIteration) as end:
        next(run)
    assert [item.plane for item in end.value.value] == [(0,)]
    stack = plugin._joined((2,), end.value.value, lambda item: item.derained, lambda p: stripes[p])
    np.testing.assert_array_equal(stack[1], stripes[1])
    assert (stack[0] != stripes[0]).any()


def test_what_cannot_be_solved_is_said(plugin: Any, viewer: Any) -> None:
    image = np.full((40, 40), 0.5, np.float32)
    image[3, 3] = np.nan
    viewer.add_image(image, name="holes", contrast_limits=(0, 1))
    widget = plugin.Remover(viewer)
    widget.stretch.value = False
    click_and_wait(widget)
    assert "NaN" in widget.said.value
    assert len(viewer.layers) == 1
    assert widget.button.enabled


def test_without_a_picture(plugin: Any, viewer: Any) -> None:
    widget = plugin.Remover(viewer)
    widget.button.native.click()
    assert widget.said.value == "Open an image first."


def test_follows_the_selection(plugin: Any, viewer: Any, photo: np.ndarray) -> None:
    widget = plugin.Remover(viewer)
    first = viewer.add_image(photo[..., 0], name="first")
    second = viewer.add_image(photo[..., 1], name="second")
    viewer.layers.selection.active = first
    assert widget.layer.value is first
    viewer.layers.remove(first)
    viewer.layers.selection.active = second
    assert widget.layer.value is second
    assert len(widget.layer.choices) == 2  # the layer, and none


def test_samples(plugin: Any) -> None:
    ((rain, _, kind),) = plugin.rain_sample()
    assert kind == "image"
    assert udg.solve(rain).rain_level == 1
    ((stack, _, _),) = plugin.stripes_sample()
    assert stack.shape[0] == 3
    assert stack.dtype == np.uint16
    angle = udg.estimate_angle(stack[0], limit=90, sign="both").degrees
    assert angle == pytest.approx(-20, abs=0.5)
