"""Where networks compute."""

from __future__ import annotations

import torch

from udg.errors import InvalidInput

__all__ = ["checked_device", "default_device"]


def default_device() -> torch.device:
    """Choose a GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def checked_device(device: str | torch.device) -> torch.device:
    """Check that a device can be used; with its number: cuda:0, not cuda."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"device is {str(device)!r}: {reason}; give 'cpu' or 'cuda'") from error
