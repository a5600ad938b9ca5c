"""A network trained with the solver's energy as its only supervision (Eq. 12–16).

Needs torch and safetensors: ``pip install 'udg[net]'``. Nothing outside this package imports torch,
and it imports nothing of batches, commands and the app.
"""

from udg.errors import MissingExtra

try:
    import safetensors  # noqa: F401  (asked for here, so that the message comes at once)
    import torch  # noqa: F401
except ModuleNotFoundError as error:
    if error.name not in ("torch", "safetensors"):
        raise
    raise MissingExtra(error.name, "net") from None

from udg.net.angle import AngleNet, average_angle
from udg.net.config import (
    AUTHORS_TRAINING,
    PAPER_TRAINING,
    PRESETS,
    SINGLE_IMAGE,
    TrainConfig,
)
from udg.net.discriminator import (
    ImagePool,
    PatchDiscriminator,
    discriminator_loss,
    generator_loss,
)
from udg.net.envelope import envelope_loss, proximal_rain
from udg.net.folding import for_inference
from udg.net.inference import NetResult, derain
from udg.net.losses import (
    AUTHORS_LOSS,
    ENERGY_LOSS,
    PAPER_LOSS,
    TABLE_5,
    Case,
    Loss,
    LossWeights,
    angle_loss,
    image_loss,
    named_loss,
    overall_loss,
    rain_loss,
    self_loss,
)
from udg.net.monitor import Progress
from udg.net.network import Config, Layers, UDGNet, parameter_counts
from udg.net.pretrained import from_pretrained, save_pretrained
from udg.net.rotation import inside, rotate, unrotate
from udg.net.streams import ResidualBlock, Stream
from udg.net.train import TrainResult, adapt, train

__all__ = [
    "AUTHORS_LOSS",
    "AUTHORS_TRAINING",
    "ENERGY_LOSS",
    "PAPER_LOSS",
    "PAPER_TRAINING",
    "PRESETS",
    "SINGLE_IMAGE",
    "TABLE_5",
    "AngleNet",
    "Case",
    "Config",
    "ImagePool",
    "Layers",
    "Loss",
    "LossWeights",
    "NetResult",
    "PatchDiscriminator",
    "Progress",
    "ResidualBlock",
    "Stream",
    "TrainConfig",
    "TrainResult",
    "UDGNet",
    "adapt",
    "angle_loss",
    "average_angle",
    "derain",
    "discriminator_loss",
    "envelope_loss",
    "for_inference",
    "from_pretrained",
    "generator_loss",
    "image_loss",
    "inside",
    "named_loss",
    "overall_loss",
    "parameter_counts",
    "proximal_rain",
    "rain_loss",
    "rotate",
    "save_pretrained",
    "self_loss",
    "train",
    "unrotate",
]
