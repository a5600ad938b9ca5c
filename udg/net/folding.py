"""A trained network made ready for inference: batch normalisation folded into convolutions."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from udg.net.device import checked_device
from udg.net.network import UDGNet

__all__ = ["device_of", "for_inference", "is_folded"]


def for_inference(
    net: UDGNet, device: str | torch.device | None = None, dtype: torch.dtype | None = None
) -> UDGNet:
    """Copy a network for prediction only, which is faster: BN folded, channels last.

    Parameters
    ----------
    net : UDGNet
        Not modified.
    device : str or torch.device, optional
        Default: where the network is.
    dtype : torch.dtype, optional
        Of the streams' weights and activations. Default: bfloat16 on GPUs, float32 elsewhere. The
        angle network remains float32.

    Returns
    -------
    UDGNet
        In eval mode, without gradients. Streams still give float32: only what they subtract is
        computed in `dtype`.

    Raises
    ------
    InvalidInput
        There is no such device.
    """
    device = device_of(net) if device is None else checked_device(device)
    if dtype is None:
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    ready = copy.deepcopy(net).eval().requires_grad_(False)
    for part in list(ready.modules()):
        if isinstance(part, nn.Sequential):
            _fold(part)
    ready.to(device)
    for stream in (ready.background, ready.rain):
        stream.to(dtype)
        stream.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return ready


def is_folded(net: UDGNet) -> bool:
    """Whether `for_inference` made the network, so that it can no longer be trained."""
    return not any(isinstance(part, nn.BatchNorm2d) for part in net.modules())


def device_of(net: UDGNet) -> torch.device:
    """The device a network is on."""
    return next(net.parameters()).device


def _fold(layers: nn.Sequential) -> None:
    """Put each batch normalisation into the convolution before it."""
    for number, layer in enumerate(layers):
        if isinstance(layer, nn.BatchNorm2d):
            layers[number - 1] = fuse_conv_bn_eval(layers[number - 1], layer)  # type: ignore[type-var]
            layers[number] = nn.Identity()
