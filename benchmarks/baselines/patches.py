"""Overlapping square patches of a grey image, on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Floats = NDArray[np.floating]


@dataclass(frozen=True)
class Grid:
    """Where patches lie: every `stride` pixels, and flush with the last row and column.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the image, each at least `size`.
    size : int
        Side of a patch in pixels.
    stride : int
        Distance between the corners of neighbouring patches in pixels.
    """

    shape: tuple[int, int]
    size: int
    stride: int = 1

    @cached_property
    def corners(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows, shape ``(M, 1)``, and columns, shape ``(N,)``, where patches begin."""
        rows, columns = (_starts(length - self.size, self.stride) for length in self.shape)
        return rows[:, None], columns

    @cached_property
    def cover(self) -> Floats:
        """How many patches each pixel belongs to, shape `shape`."""
        rows, columns = self.corners
        return self.spread(np.ones((rows.size, columns.size)))

    def extract(self, image: Floats) -> Floats:
        """Cut the image into patches, one a row: shape ``(M·N, size²)``."""
        windows = sliding_window_view(image, (self.size, self.size))
        return windows[self.corners].reshape(-1, self.size**2)

    def overlay(self, patches: Floats) -> Floats:
        """Add the patches up where they lie: the adjoint of `extract`."""
        rows, columns = self.corners
        patches = patches.reshape(rows.size, columns.size, self.size, self.size)
        image = np.zeros(self.shape, patches.dtype)
        for i, j in np.ndindex(self.size, self.size):
            image[rows + i, columns + j] += patches[:, :, i, j]
        return image

    def average(self, patches: Floats) -> Floats:
        """Lay the patches back and average where they overlap."""
        return self.overlay(patches) / self.cover

    def sums(self, image: Floats) -> Floats:
        """Sum of each patch, shape ``(M, N)``, without cutting it out."""
        return _box(image, self.size)[self.corners]

    def spread(self, values: Floats) -> Floats:
        """Add each value to all pixels of its patch: the adjoint of `sums`."""
        margin = self.size - 1
        sparse = np.zeros([length + margin for length in self.shape])
        rows, columns = self.corners
        sparse[rows + margin, columns + margin] = values
        return _box(sparse, self.size)


def centre(patches: Floats) -> Floats:
    """Take the mean off each patch, one a row."""
    return patches - patches.mean(1, keepdims=True)


def _starts(last: int, stride: int) -> NDArray[np.intp]:
    starts = np.arange(0, last + 1, stride)
    return starts if starts[-1] == last else np.append(starts, last)


def _box(image: Floats, size: int) -> Floats:
    """Sum every window of that size that fits."""
    total = np.pad(image.astype(float), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    return total[size:, size:] - total[:-size, size:] - total[size:, :-size] + total[:-size, :-size]
