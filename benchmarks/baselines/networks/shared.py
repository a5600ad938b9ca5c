"""What the networks share: pictures of any size, arrays, and weights on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from udg.errors import FileError, InvalidInput
from udg.io.paths import plain_errors, replacing

from . import NETWORKS

_FORMAT = "udg.benchmarks.networks/1"
_SUFFIX = ".safetensors"


class Network(nn.Module):
    """A network that derains. Subclasses have `restore`, which training uses.

    Parameters
    ----------
    **sizes : int
        What it was built with; kept beside its weights.
    """

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        for name, size in sizes.items():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise InvalidInput(f"{name} is {size!r}; give a positive whole number")
        self.sizes = sizes

    def restore(self, rainy: Tensor) -> Tensor:
        """Derain without bounds: (N, 3, H, W) to the same."""
        raise NotImplementedError

    def forward(self, rainy: Tensor) -> Tensor:
        """Derain (N, 3, H, W) in [0, 1], any H and W; the result is in [0, 1], too."""
        return self.restore(rainy).clamp(0, 1)


def parameters(net: nn.Module) -> int:
    """Count trainable numbers."""
    return sum(p.numel() for p in net.parameters())


def megabytes(net: nn.Module) -> float:
    """Size of parameters and running statistics in MB (10⁶ bytes), without counters of batches."""
    held = (u for u in net.state_dict().values() if u.is_floating_point())
    return sum(u.numel() * u.element_size() for u in held) / 1e6


def extend(images: Tensor, multiple: int) -> Tensor:
    """Mirror images at their lower and right border until both sides are multiples."""
    height, width = images.shape[-2:]
    if height % multiple == 0 and width % multiple == 0:
        return images
    rows, columns = (_mirror(side, side + -side % multiple) for side in (height, width))
    return images[..., rows[:, None], columns]


def _mirror(side: int, longer: int) -> Tensor:
    places = torch.arange(longer) % (2 * side)
    return torch.minimum(places, 2 * side - 1 - places)


def gaussian(net: nn.Module) -> None:
    """Initialise as the GANs' papers do: weights from N(0, 0.02²), biases zero, scales near one."""
    for part in net.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d | nn.InstanceNorm2d) and part.weight is not None:
            nn.init.normal_(part.weight, 1.0, 0.02)
        if getattr(part, "bias", None) is not None:
            nn.init.zeros_(part.bias)


def derain(net: Network, image: Any) -> Any:
    """Derain an array.

    Parameters
    ----------
    net : Network
        In eval mode, on any device.
    image : ndarray, shape (H, W, 3) or (H, W)
        In [0, 1]. Of grey, the net sees three equal channels, and their mean is the result.

    Returns
    -------
    ndarray, same shape as `image`
        float32 in [0, 1].

    Raises
    ------
    InvalidInput
        The array has another shape.
    """
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.ndim != 2 and pixels.shape[2:] != (3,):
        raise InvalidInput(f"the image has shape {pixels.shape}; give (H, W, 3) or (H, W)")
    planes = torch.from_numpy(pixels if pixels.ndim == 3 else np.stack([pixels] * 3, axis=-1))
    with torch.inference_mode():
        device = next(net.parameters()).device
        result = net(planes.permute(2, 0, 1)[None].to(device))[0].permute(1, 2, 0).cpu().numpy()
    return result if pixels.ndim == 3 else result.mean(axis=2)


def save(name: str, net: Network, path: Path, notes: Mapping[str, Any] | None = None) -> None:
    """Write weights as safetensors, with sizes in the metadata; whole or not at all.

    Parameters
    ----------
    name : str
        Of `NETWORKS`.
    net : Network
        Weights and running statistics.
    path : Path
        Ends in ``.safetensors``. An existing file is replaced.
    notes : mapping, optional
        How it was trained; becomes JSON in the metadata.
    """
    check_path(path)
    state = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    metadata = {
        "format": _FORMAT,
        "network": name,
        "sizes": json.dumps(net.sizes),
        "training": json.dumps(dict(notes or {})),
    }
    with plain_errors(path, "write"), replacing(path) as file:
        file.write(to_bytes(state, metadata))


def check_path(path: Path) -> None:
    """Refuse a path for weights before hours are spent on them."""
    if path.suffix != _SUFFIX:
        raise InvalidInput(f"{path} does not end in {_SUFFIX}; give a path that does")
    if not path.resolve().parent.is_dir():
        raise FileError(f"cannot write {path}: its folder does not exist")


def load(name: str, path: Path) -> Network:
    """Read weights that `save` wrote.

    Parameters
    ----------
    name : str
        Of `NETWORKS`.
    path : Path
        The file.

    Returns
    -------
    Network
        In eval mode, on the CPU, of the sizes that it was trained with.

    Raises
    ------
    FileError
        The file cannot be read, or holds no such network.
    """
    with plain_errors(path, "read"):
        path.open("rb").close()  # the reasons of the system, before safetensors' own
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            found = about.get("network")
            if about.get("format") != _FORMAT or found != name:
                raise FileError(
                    f"cannot use {path}: it holds {found or 'something else'}, no {name}"
                )
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        net: Network = NETWORKS[name].build(**json.loads(about["sizes"]))
        net.load_state_dict(state)
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"cannot read {path}: it is damaged, {reason}") from error
    return net
