"""Deep image prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018) for rain: an own, small one for CPUs.

A U-Net with skips turns fixed noise into a picture and is trained to reproduce the rainy one. It
learns the scene before it learns the streaks; stopping in time leaves them out. From the paper:
noise as input, perturbed at each step (σ 1/30); strided convolutions down, bilinear up, batch
normalisation, leaky ReLU, few channels in the skips; Adam at 0.01; the mean of late outputs
(factor 0.99). Smaller than the paper's: `width` for its 128 channels, `scales` for its 5.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["SkipNet", "deep_image_prior"]

_SKIP = 4  # channels
_PERTURBATION = 1 / 30
_AVERAGE = 0.99


class SkipNet(nn.Module):
    """From noise to a picture.

    Parameters
    ----------
    inputs, outputs : int
        Channels of the noise and of the picture.
    width : int
        Channels within.
    scales : int
        Number of halvings.
    """

    def __init__(self, inputs: int, outputs: int, width: int, scales: int) -> None:
        super().__init__()
        before = [inputs] + [width] * (scales - 1)
        self.down = nn.ModuleList(
            nn.Sequential(_block(channels, width, 2), _block(width, width)) for channels in before
        )
        self.skip = nn.ModuleList(_block(channels, _SKIP, kernel=1) for channels in before)
        self.up = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(width + _SKIP),
                _block(width + _SKIP, width),
                _block(width, width, kernel=1),
            )
            for _ in before
        )
        self.last = nn.Conv2d(width, outputs, 1)

    def forward(self, noise: Tensor) -> Tensor:
        """The picture, (B, outputs, H, W), of noise (B, inputs, H, W); in [0, 1]."""
        x, kept = noise, []
        for down, skip in zip(self.down, self.skip, strict=True):
            kept.append(skip(x))
            x = down(x)
        for up, beside in zip(reversed(self.up), reversed(kept), strict=True):
            x = F.interpolate(x, beside.shape[-2:], mode="bilinear", align_corners=False)
            x = up(torch.cat([x, beside], dim=1))
        return torch.sigmoid(self.last(x))


def _block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect"),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


def deep_image_prior(
    image: np.ndarray,
    *,
    iterations: int = 1800,
    seconds: float = math.inf,
    width: int = 32,
    scales: int = 4,
    seed: int = 0,
    callback: Callable[[int, np.ndarray], object] | None = None,
) -> np.ndarray:
    """Reproduce an image until its streaks would come.

    Parameters
    ----------
    image : array, shape (H, W, 3)
        uint8.
    iterations : int
        Stop after so many; the paper's for denoising is 1,800 …
    seconds : float
        … or after so much CPU time, that of `callback` not counted.
    width, scales : int
        See `SkipNet`.
    seed : int
        Of noise and weights.
    callback : callable, optional
        Called with the iteration and the mean output after every 20.

    Returns
    -------
    array, shape (H, W, 3)
        uint8.
    """
    torch.manual_seed(seed)
    target = torch.from_numpy(image.astype(np.float32) / 255).permute(2, 0, 1)[None]
    target = target.contiguous(memory_format=torch.channels_last)
    net = SkipNet(width, 3, width, scales).to(memory_format=torch.channels_last)
    noise = 0.1 * torch.rand(1, width, *target.shape[-2:])
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    mean = torch.zeros_like(target)
    began = time.process_time()
    for number in range(1, iterations + 1):
        seen = noise + _PERTURBATION * torch.randn_like(noise)
        output = net(seen.contiguous(memory_format=torch.channels_last))
        loss = F.mse_loss(output, target)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        # At first the factor is small, so that the first outputs, which are noise, are forgotten.
        factor = min(_AVERAGE, number / (number + 9))
        mean = factor * mean + (1 - factor) * output.detach()
        if callback is not None and number % 20 == 0:
            paused = time.process_time()
            callback(number, _picture(mean))
            began += time.process_time() - paused
        if time.process_time() - began > seconds:
            break
    return _picture(mean)


def _picture(mean: Tensor) -> np.ndarray:
    return (255 * mean[0].permute(1, 2, 0)).round().clamp(0, 255).numpy().astype(np.uint8)
