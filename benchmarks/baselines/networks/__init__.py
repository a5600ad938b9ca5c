"""Networks that the paper compares with, one file an architecture, written from their papers.

`NETWORKS` has a module for each name, imported when it is asked for, since that takes torch:

    net = NETWORKS["ddn"].build()  # in eval mode, random weights, the published sizes
    derained = net(rainy)          # (N, 3, H, W) in [0, 1] to the same, any H and W

Every module has `build(**sizes)`, `PUBLISHED` (the number of its parameters in the literature),
`UNUSED` where ours has fewer (what each of those would be), and `Training` (loss and optimizer, for
`train.py`). `derainer` is for pictures, with weights that `train.py` has written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np

__all__ = ["NETWORKS", "TITLES", "derainer"]

#: How the literature writes the names.
TITLES = {
    "ddn": "DDN",
    "jorder_e": "JORDER-E",
    "rcdnet": "RCDNet",
    "ssir": "SSIR",
    "cyclegan": "CycleGAN",
    "pix2pix": "pix2pix",
}


class _Networks(Mapping[str, ModuleType]):
    """Names can be listed without torch."""

    def __getitem__(self, name: str) -> ModuleType:
        if name not in TITLES:
            raise KeyError(name)
        return import_module(f"{__name__}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(TITLES)

    def __len__(self) -> int:
        return len(TITLES)


NETWORKS = _Networks()


def derainer(
    name: str, weights: str | os.PathLike[str], device: str = "cpu"
) -> Callable[..., np.ndarray]:
    """Make a network ready for pictures.

    Parameters
    ----------
    name : str
        Of `NETWORKS`.
    weights : path-like
        A file of `train.py`.
    device : str
        Where it computes.

    Returns
    -------
    callable
        From an array of shape (H, W, 3) or (H, W) (uint8, uint16, or floats in [0, 1]) to its
        derained version of the same shape; integers keep their type, floats become float32. A
        second argument, the angle of the rain, is accepted and not used.
    """
    from udg.io.picture import quantize

    from .shared import derain, load

    net = load(name, Path(weights)).to(device)

    def ready(image: np.ndarray, angle: float | None = None) -> np.ndarray:
        if image.dtype.kind == "f":
            return derain(net, image)
        scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
        return quantize(derain(net, scaled), np.float32, image.dtype)

    return ready
