"""What tells estimated backgrounds from clean images: the adversarial term of Eq. 13."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from udg.errors import InvalidInput

__all__ = ["ImagePool", "PatchDiscriminator", "discriminator_loss", "generator_loss"]


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): a score for each 70×70 patch of an image.

    Parameters
    ----------
    channels : int
        Of the images.
    width : int
        Channels after the first convolution; they double with each further one, up to eight times.
    layers : int
        Convolutions of stride 2.
    """

    def __init__(self, channels: int = 3, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        body: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2, True)]
        previous = width
        for number in range(1, layers + 1):
            wide = width * min(2**number, 8)
            stride = 2 if number < layers else 1
            # Batch normalisation has a shift of its own, hence no bias.
            body += [
                nn.Conv2d(previous, wide, 4, stride, 1, bias=False),
                nn.BatchNorm2d(wide),
                nn.LeakyReLU(0.2, True),
            ]
            previous = wide
        body.append(nn.Conv2d(previous, 1, 4, 1, 1))
        self.body = nn.Sequential(*body)

    def forward(self, images: Tensor) -> Tensor:
        """Scores of patches: 1 for clean, 0 for estimated.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            Values in [0, 1].

        Returns
        -------
        Tensor, shape (B, 1, h, w)
            h and w are about an eighth of H and W. Not bounded.
        """
        return self.body(images)  # type: ignore[no-any-return]


def generator_loss(scores: Tensor) -> Tensor:
    """LSGAN's loss for whoever made the images: L_adv of Eq. 13.

    Parameters
    ----------
    scores : Tensor, shape (B, 1, h, w)
        Of estimated backgrounds.

    Returns
    -------
    Tensor, shape (B,)
        Mean over patches of (score − 1)².
    """
    return ((scores.float() - 1) ** 2).flatten(1).mean(1)


def discriminator_loss(clean: Tensor, estimated: Tensor) -> Tensor:
    """LSGAN's loss for the discriminator (Mao et al. 2017).

    Parameters
    ----------
    clean : Tensor, shape (B, 1, h, w)
        Scores of clean images, which should be 1.
    estimated : Tensor, shape (B', 1, h, w)
        Scores of estimated backgrounds (detached, from the pool), which should be 0.

    Returns
    -------
    scalar Tensor
        ½ mean((clean − 1)²) + ½ mean(estimated²).
    """
    return 0.5 * ((clean.float() - 1) ** 2).mean() + 0.5 * (estimated.float() ** 2).mean()


class ImagePool:
    """Earlier estimates, mixed with new ones for the discriminator (Shrivastava et al. 2017).

    Parameters
    ----------
    size : int
        Images kept. 0 hands on what it is given.
    seed : int
        Of its own random numbers.
    """

    def __init__(self, size: int = 50, seed: int = 0) -> None:
        if size < 0:
            raise InvalidInput(f"size is {size}; give a whole number that is at least 0")
        self.size = size
        self._images: list[Tensor] = []
        self._random = torch.Generator().manual_seed(seed)

    def query(self, images: Tensor) -> Tensor:
        """Exchange about half of the images for earlier ones.

        Parameters
        ----------
        images : Tensor, shape (B, C, H, W)
            All calls must give the same C, H and W.

        Returns
        -------
        Tensor, shape (B, C, H, W)
            Detached. While the pool is filling, the images themselves.
        """
        images = images.detach()
        if self.size == 0:
            return images
        result = []
        for image in images:
            if len(self._images) < self.size:
                self._images.append(image.clone())
                result.append(image)
            elif float(torch.rand((), generator=self._random)) < 0.5:
                place = int(torch.randint(self.size, (), generator=self._random))
                result.append(self._images[place])
                self._images[place] = image.clone()
            else:
                result.append(image)
        return torch.stack(result)

    def state_dict(self) -> dict[str, Any]:
        """Images and random state, as tensors and numbers: safe to load with ``weights_only``."""
        images = torch.stack(self._images) if self._images else torch.empty(0)
        return {"size": self.size, "images": images, "random": self._random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, as if never interrupted.

        Parameters
        ----------
        state : dict
            From `state_dict`. Images stay on the device on which they are.
        """
        self.size = int(state["size"])
        self._images = [image.clone() for image in state["images"]]
        self._random.set_state(state["random"].cpu())
