"""The two streams: residual networks that estimate background and rain (Eq. 13, 14)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

__all__ = ["ResidualBlock", "Stream"]


class ResidualBlock(nn.Module):
    """x + conv–BN–ReLU–conv–BN of x; 3×3 convolutions.

    Parameters
    ----------
    width : int
        Channels in and out.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(width, width),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            _conv(width, width),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`, (B, width, H, W)."""
        return x + self.body(x)  # type: ignore[no-any-return]


class Stream(nn.Module):
    """One layer of the decomposition: what the network finds is subtracted from the image.

    Parameters
    ----------
    channels : int
        Of the images.
    width : int
        Channels within.
    depth : int
        Number of residual blocks.
    """

    def __init__(self, channels: int = 3, width: int = 32, depth: int = 32) -> None:
        super().__init__()
        self.depth = depth
        self.head = _conv(channels, width)
        self.body = nn.Sequential(
            *(ResidualBlock(width) for _ in range(depth)),
            nn.Sequential(
                _conv(width, width),
                nn.BatchNorm2d(width),
                nn.ReLU(inplace=True),
                _conv(width, width),
            ),
        )
        self.tail = _conv(width, channels)

    def begin(self, layer: Literal["zero", "image"]) -> None:
        """Set weights with which the layer is zero, as rain mostly is, or the image itself.

        Random weights first have to learn to reproduce the image; that takes hundreds of steps.
        Here the first channels carry it past the residual blocks, which begin as identities. That
        holds in eval mode: statistics of a batch would take the image's brightness away.

        Parameters
        ----------
        layer : {"zero", "image"}
        """
        last = self.body[-1]
        assert isinstance(last, nn.Sequential)
        with torch.no_grad():
            for block in list(self.body)[:-1]:
                block.body[-1].weight.zero_()  # type: ignore[union-attr, index]
            for conv in (self.head, last[0], last[3], self.tail):
                for channel in range(self.tail.out_channels):
                    conv.weight[channel] = 0  # type: ignore[operator]
                    conv.bias[channel] = 0  # type: ignore[operator]
                    if layer == "zero" or conv is not self.tail:
                        conv.weight[channel, channel, 1, 1] = 1  # type: ignore[operator]

    @property
    def reach(self) -> int:
        """How many pixels to each side an output pixel depends on: one a 3×3 convolution."""
        return 2 * self.depth + 4

    def forward(self, images: Tensor) -> Tensor:
        """The layer: images minus what the convolutions make of them.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            Streaks vertical, values in [0, 1]. Only the convolutions see them in the weights' type:
            with bfloat16 weights the image itself keeps its precision.

        Returns
        -------
        Tensor, shape (B, C, H, W)
            Of the images' type, float32 at least. Not bounded to [0, 1].
        """
        found = self.tail(self.body(self.head(images.to(self.head.weight.dtype))))
        wide = images if images.element_size() > 2 else images.float()
        return wide - found.to(wide.dtype)  # type: ignore[no-any-return]


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
