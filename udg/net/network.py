"""UDGNet: angle, rotation and two streams joined (the paper's Fig. 3)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from udg.errors import InvalidInput
from udg.net.angle import AngleNet
from udg.net.rotation import inside, rotate
from udg.net.streams import Stream

__all__ = ["PARTS", "Config", "Layers", "UDGNet", "parameter_counts"]

PARTS = ("angle", "background", "rain")


@dataclass(frozen=True)
class Config:
    """The sizes of a `UDGNet`; the defaults are the paper's. They are saved with the weights.

    Attributes
    ----------
    channels : int
        3 for colours; 1 works on the darkest colour channel, as `udg.solve` does, and the same
        rain is subtracted from every colour.
    width : int
        Channels within the streams.
    depth : int
        Residual blocks of each stream.
    angle_widths : tuple of int
        `AngleNet`'s widths.
    angle_pools : tuple of int
        `AngleNet`'s pools; their product is its patch.

    Raises
    ------
    InvalidInput
        A size is not a positive whole number, `channels` is neither 1 nor 3, or the angle
        network's sizes do not fit.
    """

    channels: int = 3
    width: int = 32
    depth: int = 32
    angle_widths: tuple[int, ...] = (32, 64, 128, 64, 32)
    angle_pools: tuple[int, ...] = (2, 4, 4, 4)

    def __post_init__(self) -> None:
        for name in ("angle_widths", "angle_pools"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON gives lists
        if self.channels not in (1, 3):
            raise InvalidInput(f"channels is {self.channels!r}; give 1 or 3")
        for size in (self.width, self.depth, *self.angle_widths, *self.angle_pools):
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InvalidInput(f"{self} has the size {size!r}; give positive whole numbers")
        if len(self.angle_pools) != len(self.angle_widths) - 1:
            raise InvalidInput(
                f"{len(self.angle_widths)} angle_widths and {len(self.angle_pools)} angle_pools "
                "were given; give one pool between every two widths"
            )


class Layers(NamedTuple):
    """What `UDGNet` makes of a batch: all that the losses ask for, in the rotated frame.

    Attributes
    ----------
    Y : Tensor, shape (B, C, h, w)
        The images, streaks vertical.
    X, R : Tensor, shape (B, C, h, w)
        Background and rain.
    inside : Tensor of bool, shape (B, 1, h, w)
        False where `Y` is padding from the rotation.
    predicted : Tensor, shape (B,)
        The angle network's answer, in degrees.
    angle : Tensor, shape (B,)
        The angle by which the images were rotated.
    """

    Y: Tensor
    X: Tensor
    R: Tensor
    inside: Tensor
    predicted: Tensor
    angle: Tensor


class UDGNet(nn.Module):
    """Angle network, rotation, background stream and rain stream.

    Parameters
    ----------
    config : Config, optional
        Sizes; the paper's by default.

    Attributes
    ----------
    config : Config
    angle : AngleNet
    background, rain : Stream
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        self.angle = AngleNet(config.channels, config.angle_widths, config.angle_pools)
        self.background = Stream(config.channels, config.width, config.depth)
        self.rain = Stream(config.channels, config.width, config.depth)

    def forward(
        self,
        images: Tensor,
        angle: Tensor | float | None = None,
        shape: tuple[int, int] | None = None,
        parts: Collection[str] = PARTS,
    ) -> Layers:
        """Decompose a batch, for training; `udg.net.derain` is for pictures.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            Values in [0, 1], at least as large as the angle network's patch (128²).
        angle : Tensor of shape () or (B,), or float, optional
            Degrees clockwise from vertical. Default: what the angle network predicts, through
            which the gradient then flows.
        shape : (int, int), optional
            Frame in which the streams work, cut from the rotated images' centre; see `rotate`.
        parts : collection of {"angle", "background", "rain"}
            What runs; default all. Without ``"angle"`` `angle` must be given, and counts as
            predicted. A layer whose stream does not run is what the other one leaves of Y; if
            neither runs, X is Y.

        Returns
        -------
        Layers
            float32 also under autocast. If a part runs and is not in the loss, its parameters get
            no gradient, of which DistributedDataParallel must be told.

        Raises
        ------
        InvalidInput
            Images or angles have a shape or type that does not fit, or a part is unknown.
        """
        if images.ndim != 4 or images.shape[1] != self.config.channels:
            raise InvalidInput(
                f"images have shape {tuple(images.shape)}; "
                f"give (B, {self.config.channels}, H, W) to this network"
            )
        unknown = set(parts) - set(PARTS)
        if unknown or (angle is None and "angle" not in parts):
            raise InvalidInput(
                f"parts is {tuple(parts)!r}; give some of {', '.join(PARTS)}, and an angle if "
                "that is not predicted"
            )
        predicted = self.angle(images) if "angle" in parts else None
        turn = predicted if angle is None else angle
        assert turn is not None
        Y = rotate(images, turn, shape)
        counted = inside(images, turn, (Y.shape[-2], Y.shape[-1]))
        turned = Y.new_zeros(len(images)) + turn
        X = self.background(Y) if "background" in parts else None
        R = self.rain(Y) if "rain" in parts else None
        if X is None:
            X = Y if R is None else Y - R
        if R is None:
            R = Y - X
        return Layers(Y, X, R, counted, turned if predicted is None else predicted, turned)


def parameter_counts(net: UDGNet) -> dict[str, int]:
    """Trainable numbers of each part.

    Parameters
    ----------
    net : UDGNet

    Returns
    -------
    dict of str to int
        ``angle``, ``background`` and ``rain``. As float32, four bytes each: 1.71, 2.47 and
        2.47 MB for the paper's sizes.
    """
    return {name: sum(p.numel() for p in part.parameters()) for name, part in net.named_children()}
