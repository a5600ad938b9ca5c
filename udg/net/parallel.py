"""The process that trains, or several that torchrun starts: the same training either way."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from udg.errors import InvalidInput
from udg.net.device import checked_device, default_device

__all__ = ["Interrupts", "Processes", "SyncedBatchNorm", "computing", "processes"]

_PATIENCE = timedelta(hours=12)  # the first process may have many pictures to solve before


@dataclass(frozen=True)
class Processes:
    """Those that train together.

    Attributes
    ----------
    rank : int
        Number of this one, from 0; 0 writes the files.
    count : int
        How many there are.
    device : torch.device
        Where this one computes.
    """

    rank: int
    count: int
    device: torch.device

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes; every one must call it."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.count
        return values

    def any(self, flag: bool) -> bool:
        """Whether it is true in any process; every one must call it."""
        return flag if self.count == 1 else bool(self.mean(self._number(flag)) > 0)

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    def _number(self, flag: bool) -> Tensor:
        return torch.tensor(float(flag), device=self.device)

    def synced(self, net: nn.Module) -> nn.Module:
        """With batch normalisation over the batches of all processes. Changes `net`."""
        if self.count == 1:
            return net
        if self.device.type == "cuda":
            convert: Any = nn.SyncBatchNorm.convert_sync_batchnorm
            return convert(net)  # type: ignore[no-any-return]
        for part in list(net.modules()):
            if isinstance(part, nn.BatchNorm2d):
                part.__class__ = SyncedBatchNorm  # adds no state, only another forward
        return net

    def averaged(self, net: nn.Module) -> nn.Module:
        """A wrapper whose gradients are means over the processes."""
        if self.count == 1:
            return net
        devices = [self.device] if self.device.type == "cuda" else None
        return DistributedDataParallel(net, devices)


@contextmanager
def processes(device: str | torch.device | None = None) -> Iterator[Processes]:
    """Join the other processes, if torchrun started several, and leave them at the end.

    Parameters
    ----------
    device : str or torch.device, optional
        Default: a GPU if there is one, with torchrun each process its own.

    Yields
    ------
    Processes

    Raises
    ------
    InvalidInput
        There is no such device.
    """
    count, local = (int(os.environ.get(name, default)) for name, default in _VARIABLES)
    wanted = str(default_device() if device is None else device)
    if count > 1 and wanted.partition(":")[0] == "cuda":
        wanted = f"cuda:{local}"
    where = checked_device(wanted)
    if count == 1:
        yield Processes(0, 1, where)
        return
    if where.type == "cuda":
        torch.cuda.set_device(where)
    ours = not dist.is_initialized()
    if ours:
        backend = "nccl" if where.type == "cuda" else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), where)
    finally:
        if ours:
            dist.destroy_process_group()


_VARIABLES = (("WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


class Interrupts:
    """Ctrl-C and SIGTERM end the training after the present step; a second one ends it at once."""

    def __init__(self) -> None:
        self.stop = False
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupts:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.stop, self.signal = True, number


@contextmanager
def computing(threads: int | None) -> Iterator[None]:
    """Set what torch keeps for the whole process, for as long as a training lasts."""
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    if threads is not None:
        if threads < 1:
            raise InvalidInput(f"threads is {threads}; give a number that is at least 1")
        torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = True
    try:
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours
            yield
    finally:
        torch.set_num_threads(before[0])
        torch.backends.cudnn.benchmark = before[1]


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of all processes, on CPUs as well.

    PyTorch's own, `torch.nn.SyncBatchNorm`, is for GPUs only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as `input`, (B, C, H, W)."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        number = torch.tensor(x.numel() / x.shape[1])
        dist.all_reduce(number)
        mean = _sum_over_all(x.sum((0, 2, 3))) / number
        centred = x - mean[:, None, None]
        variance = _sum_over_all((centred**2).sum((0, 2, 3))) / number
        with torch.no_grad():
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.momentum is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (number / (number - 1)), self.momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normal: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normal.to(input.dtype)


def _sum_over_all(values: Tensor) -> Tensor:
    return _SumOverAll.apply(values)  # type: ignore[no-untyped-call, no-any-return]


class _SumOverAll(torch.autograd.Function):
    """Sum over the processes; whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: object, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        dist.all_reduce(total)
        return total
