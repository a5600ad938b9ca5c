"""What one stage keeps for the next: R and duals of every tile, in a temporary file."""

from __future__ import annotations

import math
from tempfile import TemporaryFile

import numpy as np

from udg.backend import to_numpy
from udg.model.duality import Duals
from udg.optim.method import Estimate
from udg.pipeline.stages import WindowResult

__all__ = ["Drafts", "without_arrays"]


class Drafts:
    """What the next stage starts from, in a temporary file: R and duals of every tile."""

    def __init__(self) -> None:
        self._file = TemporaryFile(prefix="udg-")  # noqa: SIM115
        self._results: dict[int, tuple[int, tuple[int, ...], WindowResult]] = {}

    def keep(self, number: int, result: WindowResult) -> None:
        """Write a tile's planes."""
        _, R, duals = result.minimum.estimate
        offset = self._file.seek(0, 2)
        for plane in (R, *duals):
            self._file.write(np.ascontiguousarray(to_numpy(plane), np.float32).tobytes())
        self._results[number] = offset, tuple(R.shape), without_arrays(result)

    def __getitem__(self, number: int) -> WindowResult:
        offset, shape, result = self._results[number]
        self._file.seek(offset)
        size = 4 * math.prod(shape)
        R, *duals = (
            np.frombuffer(bytearray(self._file.read(size)), np.float32).reshape(shape)
            for _ in range(1 + len(Duals._fields))
        )
        estimate = Estimate(None, R, Duals(*duals))
        return result._replace(minimum=result.minimum._replace(estimate=estimate))

    def close(self) -> None:
        """Delete the file."""
        self._file.close()


def without_arrays(result: WindowResult) -> WindowResult:
    """What is known of a window, without its planes."""
    minimum = result.minimum._replace(estimate=Estimate(None, None, Duals(*[None] * 4)))
    return result._replace(rain=None, problem=None, minimum=minimum)
