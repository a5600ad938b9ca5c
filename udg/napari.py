"""The napari plugin: `udg.solve` on image layers and stacks, from a widget beside the viewer.

`napari.yaml` names what is here. Each plane of a stack is solved as it is by `udg.solve`, in a
thread, and the results become layers in the same place as the layer they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from typing import Any, Literal

import napari.viewer
import numpy as np
from magicgui.widgets import (
    CheckBox,
    ComboBox,
    Container,
    FloatSlider,
    Label,
    ProgressBar,
    PushButton,
)
from napari.layers import Image
from napari.qt.threading import thread_worker
from napari.utils.transforms import Affine
from numpy.typing import NDArray

from udg.errors import UdgError
from udg.imaging.image import prepare
from udg.io.files import read
from udg.pipeline.whole import solve

__all__ = ["Remover", "rain_sample", "stripes_sample"]

_EACH, _SHOWN, _GIVEN = "found in each plane", "found in the shown plane", "given"
_MODELS = [("rain: bright streaks", "rain"), ("stripes: bright or dark", "signed")]
_DIM = 0.25  # of a type's range: data that stay below are probably of fewer bits

Plane = tuple[int, ...]


@dataclass(frozen=True)
class Job:
    """What one click asks for.

    Attributes
    ----------
    data : array, shape (..., H, W) or (..., H, W, C)
        The layer's planes; whatever can be indexed, such as a Dask array.
    planes : list of tuple of int
        Which of them to solve.
    shown : tuple of int
        The one that the viewer shows.
    angle : float, "each" or "shown"
        Degrees, or where to look for them.
    options : dict
        Further arguments of `udg.solve`.
    stretch : bool
        Whether the planes' own smallest and largest value are no and full light, not those of
        their type.
    """

    data: Any
    planes: list[Plane]
    shown: Plane
    angle: float | Literal["each", "shown"]
    options: dict[str, Any]
    stretch: bool


@dataclass(frozen=True)
class Solved:
    """One plane: derained and its rain in the layer's own units, and what was found."""

    plane: Plane
    derained: NDArray[Any]
    rain: NDArray[np.float32]
    angle: float
    convergence: float
    level: float


def solve_planes(
    job: Job, stopped: Callable[[], bool] = lambda: False
) -> Generator[int, None, list[Solved]]:
    """Solve plane after plane, yielding how many are done; return those that were finished."""
    data_range = _extent(job) if job.stretch else None
    full = data_range[1] - data_range[0] if data_range else _full(np.dtype(job.data.dtype))

    def solved(plane: Plane, **options: Any) -> Solved:
        pixels = np.asarray(job.data[plane])
        options = {"data_range": data_range, **job.options, **options}
        result = solve(pixels, callback=lambda _: stopped(), **options)
        derained = _as_before(np.asarray(result.derained), pixels.dtype)
        rain = np.float32(full) * np.asarray(result.rain)
        return Solved(plane, derained, rain, result.angle, result.convergence, result.rain_level)

    found: dict[str, Any] = {} if isinstance(job.angle, str) else {"angle": job.angle}
    known: dict[Plane, Solved] = {}
    if job.angle == "shown":
        first = solved(job.shown)
        known = {job.shown: first}
        # The level goes along: an angle alone would say that there is rain.
        found = {"angle": first.angle, "convergence": first.convergence, "rain_level": first.level}
    done: list[Solved] = []
    for plane in job.planes:
        if stopped():
            break
        one = known.get(plane) or solved(plane, **found)
        if not stopped():  # a plane that was broken off is not minimised
            done.append(one)
            yield len(done)
    return done


def _extent(job: Job) -> tuple[float, float]:
    """Smallest and largest value of all planes, so that one scale holds for the stack."""
    low, high = np.inf, -np.inf
    for plane in {job.shown, *job.planes}:
        pixels = np.asarray(job.data[plane])
        low, high = min(low, float(pixels.min())), max(high, float(pixels.max()))
    return (low, high) if low < high else (low, low + 1)


def _full(kind: np.dtype[Any]) -> float:
    return 1.0 if kind.kind == "f" else float(np.iinfo(kind).max)


def _as_before(pixels: NDArray[Any], kind: np.dtype[Any]) -> NDArray[Any]:
    """Round and clip to the layer's type; floats become float32."""
    if kind.kind == "f":
        return pixels.astype(np.float32, copy=False)
    limits = np.iinfo(kind)
    whole: NDArray[Any] = np.rint(pixels).clip(limits.min, limits.max).astype(kind)
    return whole


class Remover(Container[Any]):
    """The widget: choose a layer, click, and get new ones without rain or stripes.

    Parameters
    ----------
    viewer : napari.Viewer
        Whose layers it works on, and where results appear.
    """

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        self._viewer = viewer
        self._worker: Any = None
        self._stop = False
        self.layer = ComboBox(label="Image", choices=self._layers, nullable=True)
        self.model = ComboBox(label="Remove", choices=_MODELS)
        self.angle = ComboBox(label="Direction", choices=[_EACH, _SHOWN, _GIVEN])
        self.degrees = FloatSlider(
            label="Degrees",
            min=-90,
            max=90,
            step=0.1,
            value=0,
            enabled=False,
            tooltip="From vertical, clockwise: / is positive. Rain lies within ±45.",
        )
        self.strength = FloatSlider(
            label="Strength",
            min=0,
            max=1,
            step=0.05,
            value=0.5,
            tooltip="Higher removes more, streaks and details alike.",
        )
        self.planes = CheckBox(text="all planes of a stack")
        self.stretch = CheckBox(
            text="scale by the data's own range",
            tooltip="For dim data, and for numbers that are not light from 0 to 1.",
        )
        self.keep = CheckBox(text="add what was removed as a layer", value=True)
        self.button = PushButton(text="Remove")
        self.progress = ProgressBar(visible=False)
        self.said = Label(value="")
        super().__init__(
            widgets=[
                self.layer,
                self.model,
                self.angle,
                self.degrees,
                self.strength,
                self.planes,
                self.stretch,
                self.keep,
                self.button,
                self.progress,
                self.said,
            ]
        )
        self.angle.changed.connect(self._choose_angle)
        self.layer.changed.connect(self._choose_layer)
        self.button.clicked.connect(self._click)
        viewer.layers.events.inserted.connect(self._list_layers)
        viewer.layers.events.removed.connect(self._list_layers)
        viewer.layers.selection.events.active.connect(self._follow)
        self._follow()

    # The form

    def _layers(self, _: Any = None) -> list[Image]:
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    def _list_layers(self, _: Any = None) -> None:
        self.layer.reset_choices()

    def _follow(self, _: Any = None) -> None:
        """What is selected in the viewer is what one means."""
        active = self._viewer.layers.selection.active
        if self._worker is None and active in self._layers():
            self.layer.reset_choices()
            self.layer.value = active

    def _choose_angle(self, how: str) -> None:
        self.degrees.enabled = how == _GIVEN

    def _choose_layer(self, layer: Image | None) -> None:
        if layer is None:
            return
        data = _data(layer)
        self.planes.enabled = bool(_stacked(layer))
        low, high = layer.contrast_limits_range if not layer.rgb else (0.0, _full(data.dtype))
        full = _full(data.dtype) if data.dtype.kind in "uf" else 0.0
        self.stretch.value = not layer.rgb and (low < 0 or high > full or high < _DIM * full)

    # The work

    def _click(self) -> None:
        if self._worker is not None:
            self._stop = True
            self.button.enabled = False
        elif self.layer.value is None:
            self.said.value = "Open an image first."
        else:
            self._start(self.layer.value)

    def _start(self, layer: Image) -> None:
        job = self._job(layer)
        self._stop = False
        self._worker = thread_worker(solve_planes)(job, lambda: self._stop)
        self._worker.yielded.connect(self._advance)
        self._worker.returned.connect(lambda done: self._add(layer, job, done))
        self._worker.errored.connect(self._fail)
        self._worker.finished.connect(self._end)
        self.progress.max, self.progress.value = len(job.planes), 0
        self.progress.visible = True
        self.button.text = "Stop"
        self.said.value = ""
        self._worker.start()

    def _job(self, layer: Image) -> Job:
        stacked = _stacked(layer)
        place = layer.world_to_data(self._viewer.dims.point[-layer.ndim :])
        shown = tuple(
            min(max(round(float(at)), 0), size - 1)
            for at, size in zip(place, stacked, strict=False)
        )
        every = self.planes.value and bool(stacked)
        where: dict[str, Any] = {_EACH: "each", _SHOWN: "shown", _GIVEN: self.degrees.value}
        return Job(
            data=_data(layer),
            planes=list(np.ndindex(*stacked)) if every else [shown],
            shown=shown,
            angle=where[self.angle.value],
            options={"model": self.model.value, "strength": self.strength.value},
            stretch=self.stretch.value,
        )

    def _advance(self, count: int) -> None:
        self.progress.value = count

    def _add(self, layer: Image, job: Job, done: list[Solved]) -> None:
        if not done:
            self.said.value = "Stopped. Nothing was added."
            return
        noun = "rain" if job.options["model"] == "rain" else "stripes"
        whole = len(job.planes) > 1
        # A single plane of a stack becomes a stack of one, in its place.
        corner = (0,) * len(job.shown) if whole else job.shown
        stacked = _stacked(layer) if whole else (1,) * len(corner)
        if not whole:
            done = [replace(done[0], plane=(0,) * len(corner))]
        name = layer.name if whole or not corner else f"{layer.name} {list(corner)}"
        place = _place(layer, corner) | {
            "metadata": {"udg": [(item.plane, item.angle, item.level) for item in done]}
        }
        if self.keep.value:
            rain = _joined(stacked, done, lambda item: item.rain, lambda _: 0)
            top = max(float(np.quantile(np.abs(rain), 0.999)), 1e-6)
            limits = (0 if noun == "rain" else -top, top)
            self._viewer.add_image(
                rain, name=f"{name}: {noun}", visible=False, contrast_limits=limits, **place
            )
        style = {"gamma": layer.gamma, "interpolation2d": layer.interpolation2d}
        if not layer.rgb:
            style |= {"colormap": layer.colormap, "contrast_limits": layer.contrast_limits}
        derained = _joined(
            stacked, done, lambda item: item.derained, lambda plane: np.asarray(job.data[plane])
        )
        self._viewer.add_image(
            derained, name=f"{name} without {noun}", rgb=layer.rgb, **style, **place
        )
        self.said.value = _summary(done, job)

    def _fail(self, error: Exception) -> None:
        # What is not one of ours, napari shows with its traceback as well.
        self.said.value = str(error) if isinstance(error, UdgError) else f"Failed: {error!r}"

    def _end(self) -> None:
        self._worker = None
        self.progress.visible = False
        self.button.text, self.button.enabled = "Remove", True


def _data(layer: Image) -> Any:
    """The picture; of a pyramid its sharpest level."""
    return layer.data[0] if layer.multiscale else layer.data


def _stacked(layer: Image) -> tuple[int, ...]:
    """Lengths of the axes before rows and columns."""
    shape: tuple[int, ...] = tuple(_data(layer).shape)
    return shape[: len(shape) - (3 if layer.rgb else 2)]


def _place(layer: Image, plane: Plane) -> dict[str, Any]:
    """Where a layer lies that begins at a plane of this one."""
    turned = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, ndim=layer.ndim)
    corner = np.array([*plane, *(0,) * (layer.ndim - len(plane))])
    return {
        "scale": layer.scale,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "translate": layer.translate + turned.linear_matrix @ corner,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _joined(
    stacked: tuple[int, ...],
    done: list[Solved],
    part: Callable[[Solved], NDArray[Any]],
    rest: Callable[[Plane], Any],
) -> NDArray[Any]:
    """Put planes where they were; those that were not reached are what `rest` says."""
    finished = {item.plane: part(item) for item in done}
    some = next(iter(finished.values()))
    stack = np.empty(stacked + some.shape, some.dtype)
    for plane in np.ndindex(*stacked):
        stack[plane] = finished[plane] if plane in finished else rest(plane)
    return stack


def _summary(done: list[Solved], job: Job) -> str:
    dry = sum(item.level == 0 for item in done)
    angles = [item.angle for item in done if item.level > 0]
    if len(job.planes) == 1:
        return "No rain found; nothing was changed." if dry else f"Angle {angles[0]:.1f}°."
    words = [f"{len(done)} planes."]
    if len(done) < len(job.planes):
        words = [
            f"Stopped after {len(done)} of {len(job.planes)} planes; the others are as before."
        ]
    if angles:
        words.append(f"Angles {min(angles):.1f}° to {max(angles):.1f}°.")
    if dry:
        words.append(f"No rain found in {dry}.")
    return " ".join(words)


# Samples


def rain_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Open the picture of ``udg demo``: rendered rain on a photograph."""
    with as_file(files("udg") / "assets" / "demo.png") as path:
        return [(read(path).pixels, {"name": "rain"}, "image")]


def stripes_sample() -> list[tuple[Any, dict[str, Any], str]]:
    """Make three 16-bit planes of a photograph with oblique stripes, other ones in each."""
    with as_file(files("udg") / "assets" / "demo.png") as path:
        scene = prepare(read(path).pixels).luma()
    rows, columns = np.indices(scene.shape)
    angle = np.deg2rad(-20.0)
    across = np.rint(columns * np.cos(angle) + rows * np.sin(angle)).astype(int)
    across -= across.min()
    rng = np.random.default_rng(0)
    planes = [scene + 0.04 * rng.normal(size=across.max() + 1)[across] for _ in range(3)]
    stack = np.rint(np.stack(planes).clip(0, 1) * 65535).astype(np.uint16)
    return [(stack, {"name": "stripes"}, "image")]
