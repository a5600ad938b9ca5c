"""Reweighting in training: where the ℓ1 norm of rain is weighed how, told from the rain so far.

As in the second stage of `udg.solve`, but without the streak classifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from udg.detection.density import RainDensity
from udg.detection.reweighting import magnitude_factor
from udg.net.data import TrainingPicture, as_light
from udg.net.network import UDGNet
from udg.net.rotation import rotate, unrotate

__all__ = ["measure_density", "reweighted", "with_sparsity_maps"]


def measure_density(net: UDGNet, pictures: Sequence[TrainingPicture]) -> list[tuple[Tensor, ...]]:
    """Measure the density of the rain that a network finds: block means that make `RainDensity`."""
    means = []
    for picture in pictures:
        light = as_light(picture.light)[None].to(next(net.parameters()).device)
        shape = (light.shape[-2], light.shape[-1])
        with torch.inference_mode():
            R = unrotate(net.rain(rotate(light, picture.angle)), picture.angle, shape)
            rain = torch.minimum(R.clamp(min=0), light)
        planes = (u[0].mean(dim=0).cpu().numpy() for u in (rain, light))
        density = RainDensity(shape, picture.angle)
        density.add(0, *planes)
        means.append(tuple(torch.from_numpy(u.copy()) for u in density.means()))
    return means


def with_sparsity_maps(
    pictures: Sequence[TrainingPicture], means: Sequence[tuple[Tensor, ...]]
) -> list[TrainingPicture]:
    """Add to each picture the factor on `lam_r` that follows from what `measure_density` gave."""
    result = []
    for picture, planes in zip(pictures, means, strict=True):
        height, width = picture.light.shape[-2:]
        rain, squared, ground, texture = (plane.numpy() for plane in planes)
        density = RainDensity((height, width), picture.angle, (rain, squared, ground, texture))
        factor = density.window(slice(0, height), slice(0, width)).sparsity_factor()
        result.append(replace(picture, sparsity_map=torch.from_numpy(factor)[None]))
    return result


def reweighted(R: Tensor, suspicion: Tensor, lam_r: float) -> Tensor:
    """Factor on `lam_r` for the present R, (B, C, H, W); suspicion (B, 1, H, W) is at least 1."""
    rain = R.detach().float().clamp(min=0)
    factor: Tensor = suspicion * magnitude_factor(rain, suspicion, lam_r)
    return factor
