"""The work on one picture: derain, synthesize, estimate its angle; and what is known afterwards.

Facts are what JSON can hold.
"""

from __future__ import annotations

import functools
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

import udg
from udg.batch.planning import Task
from udg.batch.views import view as view_of
from udg.io.files import created, opened, read, write
from udg.io.paths import format_of, make_folder
from udg.io.picture import Picture, quantize
from udg.pipeline.progress import Callback
from udg.pipeline.stages import StageResult

__all__ = [
    "LARGE",
    "Tiling",
    "angle_file",
    "derain",
    "derain_file",
    "facts_of",
    "load_network",
    "synthesize_file",
]

_LAYER_FACTS = (
    "angle",
    "convergence",
    "confidence",
    "gap",
    "iterations",
    "seconds",
    "iteration_seconds",
    "stages",
)

#: Pixels beyond which a picture is solved by tiles. In one piece it takes some 140 bytes a pixel
#: where the rain is nearly vertical and half as much again at 45°, so that 6 million stay below
#: 4 GB; most cameras' pictures are smaller.
LARGE = 6e6


@dataclass(frozen=True)
class Tiling:
    """Which pictures are solved by tiles, and by which; see `udg.solve_tiles`.

    Attributes
    ----------
    above : float
        Pixels from which on a picture is.
    tile, overlap : int, optional
        In pixels; default as in `udg.solve_tiles`.
    angle_per_tile : bool
        Whether each tile looks for its own angle.
    """

    above: float = LARGE
    tile: int | None = None
    overlap: int | None = None
    angle_per_tile: bool = False


def derain_file(
    task: Task,
    settings: dict[str, Any],
    tiling: Tiling = Tiling(),
    callback: Callback | None = None,
    view: int | None = None,
) -> dict[str, Any]:
    """Read, derain and write one picture; ``settings`` go to `derain`.

    A large one is solved by tiles, and TIFF and zarr are then read and written by windows; not so
    with a network. ``callback`` gets a `udg.Progress` now and then, whatever the method; an
    exception that it raises ends the work, and nothing is written. The fact ``seconds`` is the time
    that all of it took, reading and writing included.

    The rain layer is a 16-bit grey PNG, as faint rain would lose its steps in 8 bits: black is none
    and white full light, or for ``model="signed"`` middle grey is none.

    ``view`` is the number of bytes that pictures for `udg.batch.report` may take.
    """
    began = time.perf_counter()
    assert task.target is not None
    format_of(task.target)  # better now than after the work
    network = settings.get("method") == "net"
    with opened(task.source) as picture:
        pixels = None
        if network or math.prod(picture.pixels.shape[:2]) <= tiling.above:
            pixels = np.asarray(picture.pixels[:, :])
            picture = replace(picture, pixels=pixels)
        else:
            result, facts = _derain_by_tiles(task, picture, settings, tiling, callback)
    if pixels is not None:
        if view is not None and not network:
            settings = {**settings, "history": True}
        result, facts = derain(pixels, settings, callback)
        signed = getattr(result, "model", "rain") == "signed"
        _write_both(task, result.derained, result.rain, picture, signed)
    facts["seconds"] = time.perf_counter() - began
    if view is not None:
        facts["view"] = view_of(pixels, result, view)
    return facts


def _derain_by_tiles(
    task: Task,
    picture: Picture,
    settings: dict[str, Any],
    tiling: Tiling,
    callback: Callback | None,
) -> tuple[udg.TiledResult, dict[str, Any]]:
    assert task.target is not None
    shape, sides = picture.pixels.shape, {"tile": tiling.tile, "overlap": tiling.overlap}
    make_folder(task.target.parent)
    with created(task.target, shape, picture, overwrite=True) as target:
        layer = None if task.rain is None else np.empty(shape[:2], np.uint16)
        result = udg.solve_tiles(
            picture.pixels,
            target,
            rain=layer,
            **{name: side for name, side in sides.items() if side is not None},
            angle_per_tile=tiling.angle_per_tile,
            callback=callback,
            **settings,
        )
        if task.rain is not None and layer is not None:
            write(task.rain, layer, overwrite=True)
    return result, facts_of(result) | _rain_facts(result) | _tile_facts(result)


def derain(
    pixels: Any, settings: dict[str, Any], callback: Callback | None = None
) -> tuple[Any, dict[str, Any]]:
    """Derain one picture by the solver or by a network.

    Parameters
    ----------
    pixels : ndarray
        The picture.
    settings : dict
        For `udg.solve`; or, with ``method="net"``, for `udg.net.derain`, where ``adapt`` is the
        number of steps for `udg.net.adapt`.
    callback : callable, optional
        Called with `udg.Progress`, as by `udg.solve` or `udg.net.derain`.

    Returns
    -------
    (Result or NetResult, dict)
        What the method returns, and what is worth knowing of it, as JSON can hold it.
    """
    if callback is not None:
        settings = {**settings, "callback": callback}
    if settings.get("method") != "net":
        result = udg.solve(pixels, **settings)
        return result, facts_of(result) | _rain_facts(result)
    began = time.perf_counter()
    given = {name: value for name, value in settings.items() if name != "method"}
    weights, device = given.pop("weights"), given.pop("device", None)
    steps = given.pop("adapt", 0)
    found = udg.net.derain(pixels, load_network(weights, device), **given)
    if steps and found.rain_level > 0:
        net = udg.net.adapt(weights, pixels, steps, angle=found.angle, device=device)
        known = {"angle": found.angle, "rain_level": found.rain_level}
        adapted = udg.net.derain(pixels, net, **given | known)
        found = replace(adapted, confidence=found.confidence)
    return found, {
        "method": "net",
        "weights": str(weights),
        "adapted": steps if found.rain_level > 0 else 0,
        "rain_level": float(found.rain_level),
        "angle": found.angle,
        "confidence": _number(found.confidence),
        "seconds": time.perf_counter() - began,
        "inference_seconds": found.inference_seconds,
    }


@functools.lru_cache(maxsize=1)
def load_network(weights: str, device: str | None = None) -> Any:
    """Load a network once a process, ready for inference.

    Parameters
    ----------
    weights : str
        Name or path, for `udg.net.from_pretrained`.
    device : str, optional
        Default: a GPU if there is one.

    Returns
    -------
    UDGNet

    Raises
    ------
    FileError
        The weights cannot be read.
    InvalidInput
        There is no such device.
    MissingExtra
        torch is not installed.
    """
    from udg import net
    from udg.net.device import default_device

    return net.for_inference(net.from_pretrained(weights), device or default_device())


def synthesize_file(task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """Put rain on one picture; ``settings`` go to `udg.synthesize`, every task has its own seed."""
    assert task.target is not None
    format_of(task.target)
    picture = read(task.source)
    seed = settings.get("seed", 0) + task.number
    result = udg.synthesize(picture.pixels, **(settings | {"seed": seed}))
    _write_both(task, result.rainy, result.rain, picture)
    return {"seed": seed}


def angle_file(task: Task, settings: dict[str, Any]) -> dict[str, Any]:
    """Estimate the angle of one picture's rain; ``settings`` go to `udg.estimate_angle`."""
    angle = udg.estimate_angle(read(task.source).pixels, **settings)
    return {"angle": float(angle.degrees), "confidence": _number(angle.confidence)}


def facts_of(result: Any) -> dict[str, Any]:
    """Collect what is worth knowing of a result of the solver, as JSON can hold it."""
    return {
        "angle": _number(result.angle),
        "convergence": _number(result.convergence),
        "confidence": _number(result.confidence),
        "weights": _weights(result),
        "screen_fraction": float(result.screen_fraction),
        "working_scale": float(result.working_scale),
        **_minimum(result),
        "seconds": float(result.seconds),
        "iteration_seconds": float(result.iteration_seconds),
        "stages": [_stage(stage) for stage in result.stages],
    }


def _stage(stage: StageResult) -> dict[str, Any]:
    return {
        "weights": _weights(stage),
        "reweighted": stage.reweighted,
        "boost": stage.boost,
        **_minimum(stage),
        "seconds": float(stage.seconds),
    }


def _weights(result: Any) -> dict[str, float | None]:
    return {name: _number(value) for name, value in asdict(result.weights).items()}


def _minimum(result: Any) -> dict[str, Any]:
    """What is known of the minimum of a result, or of one of its stages."""
    return {
        "objective": _number(getattr(result, "objective", None)),  # tiles have one each
        "gap": _number(result.gap),
        "iterations": round(result.iterations),
        "reason": str(result.reason),
    }


def _rain_facts(result: Any) -> dict[str, Any]:
    """How sure it is that there is rain, and what is known of each layer if there are several."""
    return {
        "rain_level": float(result.rain_level),
        "layers": [
            {
                "rain_level": float(layer.rain_level),
                **{name: fact for name, fact in facts_of(layer).items() if name in _LAYER_FACTS},
            }
            for layer in result.layers
        ],
    }


def _tile_facts(result: Any) -> dict[str, Any]:
    return {
        "tiles": {
            "count": result.tiles,
            "shape": list(result.tile_shape),
            "overlap": result.overlap,
            **({"angles": list(result.angles)} if len(set(result.angles)) > 1 else {}),
        }
    }


def _number(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _write_both(task: Task, pixels: Any, rain: Any, picture: Picture, signed: bool = False) -> None:
    """Write the rain layer first: the picture stands for a finished task.

    Existing files were dealt with in `pending`: those still here may be replaced.
    """
    assert task.target is not None
    make_folder(task.target.parent)
    if task.rain is not None:
        layer = quantize(rain / 2 + 0.5 if signed else rain, np.float32, np.uint16)
        write(task.rain, layer, overwrite=True)
    write(task.target, pixels, picture, overwrite=True)
