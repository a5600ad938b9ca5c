"""Differences along and across the streaks, their adjoints and spectra (Eq. 3).

After rotation streaks are vertical: *along* (the paper's ∇x) differences run down the rows, axis
-2; *across* (∇y) run over the columns, axis -1. Leading axes are batches. All differences are
forward. At the far edge ``"reflecting"`` gives zero (the image goes on as its mirror), and
``"periodic"`` wraps around.

The functions are written once for NumPy, CuPy and torch; torch can differentiate them.
"""

from __future__ import annotations

from math import pi
from typing import Any, Literal

from array_api_compat import array_namespace

__all__ = ["Boundary", "across", "across_adjoint", "along", "along_adjoint", "spectra"]

Array = Any
Boundary = Literal["reflecting", "periodic"]

_ALONG, _ACROSS = -2, -1


def along(u: Array, boundary: Boundary = "reflecting") -> Array:
    """∇x: differences along the streak, ``u[i + 1, j] - u[i, j]``; same shape as `u`."""
    return _difference(u, _ALONG, boundary)


def across(u: Array, boundary: Boundary = "reflecting") -> Array:
    """∇y: differences across the streak, ``u[i, j + 1] - u[i, j]``; same shape as `u`."""
    return _difference(u, _ACROSS, boundary)


def along_adjoint(v: Array, boundary: Boundary = "reflecting") -> Array:
    """∇xᵀ, so that ``⟨along(u), v⟩ = ⟨u, along_adjoint(v)⟩``; same shape as `v`."""
    return _adjoint(v, _ALONG, boundary)


def across_adjoint(v: Array, boundary: Boundary = "reflecting") -> Array:
    """∇yᵀ, so that ``⟨across(u), v⟩ = ⟨u, across_adjoint(v)⟩``; same shape as `v`."""
    return _adjoint(v, _ACROSS, boundary)


def spectra(shape: tuple[int, int], boundary: Boundary, like: Array) -> tuple[Array, Array]:
    """Eigenvalues of ∇xᵀ∇x and ∇yᵀ∇y, the paper's ``|F(∇x)|²`` and ``|F(∇y)|²``.

    Parameters
    ----------
    shape : (int, int)
        Height and width of the images.
    boundary : {"reflecting", "periodic"}
        Eigenvectors are those of the DCT-II, or of the real FFT (half of the last axis).
    like : array
        Gives namespace, type and device.

    Returns
    -------
    along, across : arrays, shapes (H, 1) and (1, W) or (1, W // 2 + 1)
        They broadcast against the transform of an image; values in [0, 4].
    """
    xp = array_namespace(like)
    height, width = shape
    turn = 2 * pi if boundary == "periodic" else pi
    columns = width // 2 + 1 if boundary == "periodic" else width

    def eigenvalues(count: int, size: int) -> Array:
        frequency = xp.arange(count, dtype=like.dtype, device=like.device)
        # 4 sin² rather than 2 - 2 cos: no cancellation at low frequencies.
        return 4 * xp.sin(frequency * (turn / size / 2)) ** 2

    return eigenvalues(height, height)[:, None], eigenvalues(columns, width)[None, :]


def _difference(u: Array, axis: int, boundary: Boundary) -> Array:
    xp = array_namespace(u)
    if boundary == "periodic":
        return xp.roll(u, -1, axis=axis) - u
    inner = _from(u, axis, 1) - _upto(u, axis, -1)
    return xp.concat([inner, xp.zeros_like(_upto(u, axis, 1))], axis=axis)


def _adjoint(v: Array, axis: int, boundary: Boundary) -> Array:
    xp = array_namespace(v)
    if boundary == "periodic":
        return xp.roll(v, 1, axis=axis) - v
    edge = xp.zeros_like(_upto(v, axis, 1))
    inner = _upto(v, axis, -1)  # the last difference is zero whatever u is
    return xp.concat([edge, inner], axis=axis) - xp.concat([inner, edge], axis=axis)


def _from(u: Array, axis: int, start: int) -> Array:
    return u[..., start:, :] if axis == _ALONG else u[..., start:]


def _upto(u: Array, axis: int, stop: int) -> Array:
    return u[..., :stop, :] if axis == _ALONG else u[..., :stop]
