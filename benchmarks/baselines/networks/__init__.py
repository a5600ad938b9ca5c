"""Networks that the paper compares with, one file an architecture, written from their papers.

`NETWORKS` has a module for each name, imported when it is asked for, since that takes torch:

    net = NETWORKS["ddn"].build()  # in eval mode, random weights, the published sizes
    derained = net(rainy)          # (N, 3, H, W) in [0, 1] to the same, any H and W

Every module has `build(**sizes)`, `PUBLISHED` (the number of its parameters in the literature),
`UNUSED` where ours has fewer (what each of those would be), and `Training` (loss and optimizer, for
`train.py`). `shared` derains arrays and has weights on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType

__all__ = ["NETWORKS"]

_TITLES = {
    "ddn": "DDN",
    "jorder_e": "JORDER-E",
    "rcdnet": "RCDNet",
    "ssir": "SSIR",
    "cyclegan": "CycleGAN",
    "pix2pix": "pix2pix",
}


class _Networks(Mapping[str, ModuleType]):
    """Names can be listed without torch."""

    titles = _TITLES

    def __getitem__(self, name: str) -> ModuleType:
        if name not in _TITLES:
            raise KeyError(name)
        return import_module(f"{__name__}.{name}")

    def __iter__(self) -> Iterator[str]:
        return iter(_TITLES)

    def __len__(self) -> int:
        return len(_TITLES)


NETWORKS = _Networks()
