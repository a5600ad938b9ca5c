"""Weights on disk: safetensors, with the network's sizes in the file's metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from udg.errors import FileError, InvalidInput
from udg.io.paths import plain_errors, replacing
from udg.net.network import Config, UDGNet

__all__ = ["from_pretrained", "save_pretrained"]

_FOLDER = Path(__file__).parent / "weights"
_FORMAT = "udg.net/1"
_SUFFIX = ".safetensors"
_PICKLES = {".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth", ".tar"}


def save_pretrained(
    net: UDGNet, path: str | os.PathLike[str], notes: Mapping[str, str] | None = None
) -> Path:
    """Write a network's weights; the file appears whole or not at all.

    Parameters
    ----------
    net : UDGNet
        As trained, not as `for_inference` returns it.
    path : path-like
        Ends in ``.safetensors``. An existing file is replaced.
    notes : mapping of str to str, optional
        What else to keep in the metadata, such as data, command and date.

    Returns
    -------
    Path

    Raises
    ------
    InvalidInput
        The path has another suffix, the network is folded, or a note's name is taken.
    FileError
        The file cannot be written.
    """
    path = Path(path)
    if path.suffix != _SUFFIX:
        raise InvalidInput(f"{path} does not end in {_SUFFIX}; give a path that does")
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    if set(state) != set(UDGNet(net.config).state_dict()):
        raise InvalidInput("the network is folded for inference; save the one that was trained")
    metadata = {"format": _FORMAT, "config": json.dumps(asdict(net.config))}
    taken = sorted(set(metadata) & set(notes or {}))
    if taken:
        raise InvalidInput(f"notes may not be called {', '.join(taken)}; choose other names")
    with plain_errors(path, "write"), replacing(path) as file:
        file.write(save(state, {**metadata, **(notes or {})}))
    return path


def from_pretrained(name: str | os.PathLike[str], device: str | torch.device = "cpu") -> UDGNet:
    """Load a network: weights that come with the package, or a file.

    Nothing is fetched from anywhere. Pickled checkpoints are refused, because loading one can run
    any program.

    Parameters
    ----------
    name : str or path-like
        Name of weights in the package's folder ``udg/net/weights``, without suffix; or, if there
        are none of that name, the path of a ``.safetensors`` file.
    device : str or torch.device

    Returns
    -------
    UDGNet
        In eval mode, float32.

    Raises
    ------
    FileError
        There is no such file, it cannot be read, or its content is not such a network.
    """
    path = _find(name)
    with plain_errors(path, "read"):
        path.open("rb").close()  # the reasons of the system, before safetensors' own
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise FileError(
                    f"cannot read {path}: it holds no udg network "
                    f"(format {metadata.get('format')!r}, not {_FORMAT!r})"
                )
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        net = UDGNet(Config(**json.loads(metadata["config"])))
        net.load_state_dict(state)
    except FileError:
        raise
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise FileError(f"cannot read {path}: it is damaged, {reason}") from error
    return net.to(device).eval()


def _find(name: str | os.PathLike[str]) -> Path:
    packaged = _FOLDER / f"{os.fspath(name)}{_SUFFIX}"
    if os.path.basename(name) == os.fspath(name) and packaged.is_file():  # noqa: PTH119
        return packaged
    path = Path(name)
    if path.suffix.lower() in _PICKLES:
        raise FileError(
            f"cannot read {path}: pickled checkpoints are never loaded, since that can run any "
            "program; give a .safetensors file, as udg.net.save_pretrained writes it"
        )
    if not path.exists():
        names = sorted(file.stem for file in _FOLDER.glob(f"*{_SUFFIX}"))
        known = f"weights in the package: {', '.join(names)}" if names else "the package has none"
        raise FileError(f"there are no weights {str(path)!r}, neither a name nor a file; {known}")
    return path
