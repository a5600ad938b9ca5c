"""The two streams: residual networks that estimate background and rain (Eq. 13, 14)."""

from __future__ import annotations

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

    def begin_with_zero(self, mean: float = 0.4, deviation: float = 0.25) -> None:
        """Set weights with which the layer of any image is about zero, as rain mostly is.

        Random weights first have to learn to reproduce the image, which they see through batch
        normalisation; that takes them hundreds of steps. Here the first channels carry the image
        past the residual blocks, which begin as identities. Training then departs from R = 0.

        Parameters
        ----------
        mean, deviation : float
            Of the light in the images; batch normalisation takes them away, and its weights put
            them back.
        """
        last = self.body[-1]
        assert isinstance(last, nn.Sequential)
        with torch.no_grad():
            for block in self.body[:-1]:
                block.body[-1].weight.zero_()  # type: ignore[union-attr, index, operator]
            for conv in (self.head, last[0], last[3], self.tail):
                for channel in range(min(conv.weight.shape[0], self.tail.out_channels)):
                    conv.weight[channel] = 0
                    conv.weight[channel, channel, 1, 1] = 1
                    conv.bias[channel] = 0
            last[1].weight[: self.tail.out_channels] = deviation
            last[1].bias[: self.tail.out_channels] = mean
            last[1].running_mean[: self.tail.out_channels] = mean
            last[1].running_var[: self.tail.out_channels] = deviation**2

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
