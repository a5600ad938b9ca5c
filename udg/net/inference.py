"""Derain an image with a trained network."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from array_api_compat import array_namespace
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from udg.errors import InvalidImage, InvalidInput
from udg.imaging.image import DataRange, PreparedImage, prepare
from udg.net.angle import average_angle
from udg.net.device import checked_device, default_device
from udg.net.folding import device_of, for_inference, is_folded
from udg.net.network import UDGNet
from udg.net.pretrained import from_pretrained
from udg.net.rotation import rotate, unrotate
from udg.net.streams import Stream
from udg.pipeline.options import resolve
from udg.pipeline.progress import Callback, Reporter
from udg.pipeline.stages import decide
from udg.viz.preview import Preview, Shown

__all__ = ["NetResult", "derain"]

Array = Any
_WHOLE = 2**22  # pixels of the largest frame that tile="auto" takes whole
_TILE = 1024  # side of the tiles of larger ones


@dataclass(frozen=True, repr=False)
class NetResult(Shown):
    """An image derained by a network; the counterpart of `udg.Result`, in notebooks too.

    Attributes
    ----------
    derained : array, float32, the image's shape
        In the image's range; alpha untouched. With ``output="rain"`` it is the image minus rain,
        never resampled.
    rain : array, float32, shape (H, W), or (H, W, 3) for colours
        What was subtracted, in the image's frame; 1 is full light. A network of one channel finds
        one layer for all colours. Within 0 ≤ R ≤ Y, unless it comes from the background.
    rain_level : float
        In [0, 1]: 0 is no rain (nothing is taken), 1 rain for certain.
    angle : float
        Direction of the streaks, degrees clockwise from vertical.
    confidence : float or None
        That of ``angle="auto"`` (`udg.estimate_angle`); None otherwise.
    output : {"rain", "background"}
        Which stream gave the result.
    seconds : float
        Wall time of the call.
    inference_seconds : float
        Part of it that was spent from the image on the network's device to the rain layer: without
        estimates of angle and rain level, and without loading the network.
    image : PreparedImage
        What was derained: ``image.pixels`` is the array that was given, not a copy.
    """

    derained: Array
    rain: Array
    rain_level: float
    angle: float
    confidence: float | None
    output: Literal["rain", "background"]
    seconds: float
    inference_seconds: float
    image: PreparedImage

    def _words(self) -> str:
        sure = "" if self.confidence is None else f" (confidence {self.confidence:.2f})"
        found = f"rain at {self.angle:.1f}°{sure}" if self.rain_level else "no rain found"
        return f"{found}; {self.seconds:.2g} s"

    def _preview(self, side: int) -> Preview:
        return Preview.of(self.image, self.derained, self.rain, signed=False, side=side)


def derain(
    image: Array,
    weights: UDGNet | str | os.PathLike[str] = "small",
    *,
    angle: float | Literal["auto", "network"] = "auto",
    rain_level: float | Literal["auto"] = "auto",
    output: Literal["rain", "background"] = "rain",
    gauge: Literal["none", "median"] = "none",
    tile: int | Literal["auto"] | None = "auto",
    device: str | torch.device | None = None,
    data_range: DataRange | None = None,
    callback: Callback | None = None,
) -> NetResult:
    """Remove rain streaks from an image with a trained network.

    The image is rotated so that streaks are vertical, a stream of the network finds the rain, and
    that is rotated back, bounded to 0 ≤ R ≤ Y and subtracted from the image.

    Parameters
    ----------
    image : array, shape (H, W) or (H, W, C)
        uint8, uint16, or float in [0, 1]; grey or RGB, either with alpha; bands for networks of
        one channel. NumPy or torch; results are of the same kind, and on the same device.
    weights : UDGNet, str or path-like
        A network, or what `from_pretrained` finds; by default the weights that come with udg. For
        many images give what `for_inference` returns: nothing is then loaded or folded again.
    angle : float, "auto" or "network"
        Degrees clockwise from vertical, within ±45. ``"auto"`` asks `udg.estimate_angle`,
        ``"network"`` the angle network.
    rain_level : float or "auto"
        How sure it is that there is rain, 0 to 1, a factor on the rain that is found: 0 leaves the
        image as it is, and the network does not run. ``"auto"`` judges the image as `udg.solve`
        does, or is 1 where an angle is given.
    output : {"rain", "background"}
        ``"rain"``: only the rain stream runs, and only rain is rotated back. ``"background"``:
        the background stream's X is rotated back instead, which resamples the picture twice; for
        comparison, and for networks whose rain stream was not trained (`TABLE_5`).
    gauge : {"none", "median"}
        ``"median"`` makes the median of each rain plane zero before it is bounded, for networks
        trained without ``lam_r`` and ``sign``, whose loss does not see a constant in R.
    tile : int, "auto" or None
        Side of the tiles, in pixels. They overlap by what an output pixel depends on, so the
        result is that of the whole image. None takes the image whole; ``"auto"`` does so up to 4
        million pixels.
    device : str or torch.device, optional
        Where to compute. Default: where a given network is; for names and paths a GPU if there is
        one. On GPUs in bfloat16, on CPUs in float32.
    data_range : float or (float, float), optional
        Value of full light, or of none and full; see `udg.imaging.image.prepare`.
    callback : callable, optional
        Called with `udg.Progress`, while solving after each tile. An exception that it raises ends
        the work; its answer is not used.

    Returns
    -------
    NetResult

    Raises
    ------
    InvalidImage
        The image has a type, shape or values that cannot be used.
    InvalidInput
        Any other argument is outside its range.
    FileError
        The weights cannot be read.
    """
    start, reporter = time.perf_counter(), Reporter(callback)
    _check(output, gauge, tile)
    prepared = prepare(image, data_range)
    reporter.deciding()
    asked = "auto" if angle == "network" else angle
    degrees, confidence, level = _decide(prepared, asked, rain_level)
    net = weights if isinstance(weights, UDGNet) else from_pretrained(weights)
    if device is not None:
        device = checked_device(device)
    else:
        device = device_of(net) if net is weights else default_device()
    if not is_folded(net) or device != device_of(net):
        net = for_inference(net, device)
    light = _light(prepared, net)
    if angle == "network":
        degrees, confidence = average_angle(net.angle, light[0]), None

    began = time.perf_counter()
    with torch.inference_mode():
        if level == 0:
            rain = torch.zeros_like(light)
        else:
            reporter.stage(0, 1)
            rain = _rain(net, light, degrees, output, tile, reporter)
        if gauge == "median":
            rain = rain - rain.flatten(2).median(dim=-1).values[..., None, None]
        if output == "rain":
            rain = torch.clamp(rain, torch.zeros_like(light), light)
        if prepared.colours == 1:  # grey in three channels: one layer
            rain = rain.mean(dim=1, keepdim=True)
        rain = (level * rain).cpu()
    inference_seconds = time.perf_counter() - began

    reporter.finishing()
    taken = _like(rain[0].permute(1, 2, 0).squeeze(-1), prepared.pixels)
    derained = prepared.subtract(taken)
    return NetResult(
        derained=derained,
        rain=taken,
        rain_level=level,
        angle=degrees,
        confidence=confidence,
        output=output,
        seconds=time.perf_counter() - start,
        inference_seconds=inference_seconds,
        image=prepared,
    )


def _check(output: Any, gauge: Any, tile: Any) -> None:
    if output not in ("rain", "background"):
        raise InvalidInput(f"output is {output!r}; give 'rain' or 'background'")
    if gauge not in ("none", "median"):
        raise InvalidInput(f"gauge is {gauge!r}; give 'none' or 'median'")
    if tile not in ("auto", None) and (not isinstance(tile, int) or tile < 1):
        raise InvalidInput(f"tile is {tile!r}; give a number of pixels, 'auto' or None")


def _light(image: PreparedImage, net: UDGNet) -> Tensor:
    """What the network looks at, (1, C, H, W)."""
    if net.config.channels == 1:
        plane = image.darkest()[:, :, None]
    elif image.colours in (1, 3):
        plane = image.unit()
    else:
        raise InvalidImage(
            f"the image has {image.colours} bands and this network is for RGB or grey; "
            "give three of them, or use a network of one channel, or udg.solve"
        )
    light = from_dlpack(plane).permute(2, 0, 1)[None].to(device_of(net))
    return light.expand(1, net.config.channels, -1, -1).contiguous()


def _decide(
    image: PreparedImage, angle: float | Literal["auto"], rain_level: float | Literal["auto"]
) -> tuple[float, float | None, float]:
    """Decide on angle and rain level as `udg.solve` does, for parallel streaks.

    Returns the angle, its confidence if it was estimated, and the rain level.
    """
    request = resolve(angle, rain_level=rain_level, convergence=0.0)
    if angle != "auto":
        # Nothing has to be measured; weights, which a decision has too, would cost more than the
        # network does on a GPU.
        assert request.options.rain_level != "auto"
        return float(angle), None, request.options.rain_level
    if isinstance(image.pixels, Tensor):  # decisions are NumPy's work
        image = replace(image, pixels=image.pixels.cpu().numpy())
    decision = decide(image, request, angle)
    assert decision is not None  # the first direction always is one
    return decision.angle, decision.confidence, decision.rain_level


def _rain(
    net: UDGNet,
    light: Tensor,
    degrees: float,
    output: Literal["rain", "background"],
    tile: int | Literal["auto"] | None,
    reporter: Reporter,
) -> Tensor:
    """The picture's rain, found by one of the streams, in the picture's frame."""
    stream = net.rain if output == "rain" else net.background
    shape = (light.shape[-2], light.shape[-1])
    layer = unrotate(_in_tiles(stream, rotate(light, degrees), tile, reporter), degrees, shape)
    return layer if output == "rain" else light - layer


def _in_tiles(
    stream: Stream,
    frame: Tensor,
    tile: int | Literal["auto"] | None,
    reporter: Reporter,
) -> Tensor:
    """The stream's output, from tiles with as much around them as it depends on."""
    height, width = frame.shape[-2:]
    if tile == "auto":
        tile = None if height * width <= _WHOLE else _TILE
    if tile is None or tile >= max(height, width):
        tile = max(height, width)
    result = torch.empty_like(frame)
    corners = [(top, left) for top in range(0, height, tile) for left in range(0, width, tile)]
    for number, (top, left) in enumerate(corners):
        # The frame's own borders are the tile's: there the convolutions see the same zeros.
        up, low = max(0, top - stream.reach), min(height, top + tile + stream.reach)
        start, end = max(0, left - stream.reach), min(width, left + tile + stream.reach)
        found = _apply(stream, frame[..., up:low, start:end])
        target = result[..., top : top + tile, left : left + tile]
        inner = found[..., top - up :, left - start :]
        target.copy_(inner[..., : target.shape[-2], : target.shape[-1]])
        reporter.solved((number + 1) / len(corners))
    return result


def _apply(stream: Stream, frame: Tensor) -> Tensor:
    return stream(frame.contiguous(memory_format=torch.channels_last))  # type: ignore[no-any-return]


def _like(rain: Tensor, pixels: Array) -> Array:
    """The layer as an array of the image's kind, on its device."""
    rain = rain.contiguous()
    if isinstance(pixels, Tensor):
        return rain.to(pixels.device)
    return array_namespace(pixels).asarray(rain.numpy())
