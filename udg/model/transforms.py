"""The transform in which the differences of `udg.model.operators` are diagonal.

Reflecting boundaries have the DCT-II, periodic ones the real FFT. FFTW (through pyfftw) serves the
FFT; SciPy's DCT is several times faster than FFTW's in two dimensions, so it serves the DCT. On
CuPy arrays cuFFT serves both, with plans that CuPy keeps and takes again for the same shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import is_cupy_array

from udg.backend import threads
from udg.model.operators import Boundary, spectra

__all__ = ["Transform"]

Array = Any
_Pair = tuple[Callable[[Array], Array], Callable[[Array], Array]]


class Transform:
    """Forward and inverse transform of images like `like`.

    Attributes
    ----------
    forward, inverse : callables
        From a real image to its spectrum and back; `inverse` may overwrite what it is given.
    along, across : arrays
        Eigenvalues of ∇xᵀ∇x and ∇yᵀ∇y; they broadcast against ``forward(u)``.

    Notes
    -----
    Not to be shared between threads: FFTW plans carry state.
    """

    def __init__(self, like: Array, boundary: Boundary) -> None:
        self.along, self.across = spectra(like.shape, boundary, like)
        if boundary == "reflecting":
            self.forward, self.inverse = _cosine(like)
        elif is_cupy_array(like):
            self.forward, self.inverse = _fourier_cupy(like)
        else:
            self.forward, self.inverse = _fourier_fftw(like)


# Below this many pixels threads cost more than they save.
_THREADED = 1 << 16


def _threads(like: Array) -> int:
    return threads() if like.size >= _THREADED else 1


def _cosine(like: Array) -> _Pair:
    if is_cupy_array(like):
        from cupyx.scipy import fft

        return lambda u: fft.dctn(u, norm="ortho"), lambda u: fft.idctn(u, norm="ortho")
    from scipy import fft

    workers = _threads(like)
    return (
        lambda u: fft.dctn(u, norm="ortho", workers=workers),
        lambda u: fft.idctn(u, norm="ortho", workers=workers, overwrite_x=True),
    )


def _fourier_cupy(like: Array) -> _Pair:
    from cupyx.scipy import fft

    # cuFFT would overwrite its input anyway; told so, CuPy makes no copy first.
    return fft.rfft2, lambda spectrum: fft.irfft2(spectrum, s=like.shape, overwrite_x=True)


def _fourier_fftw(like: Array) -> _Pair:
    import pyfftw

    height, width = like.shape
    half = (height, width // 2 + 1)
    kind = "complex64" if like.dtype.itemsize == 4 else "complex128"

    def real() -> Array:
        return pyfftw.empty_aligned(like.shape, like.dtype)

    def spectral() -> Array:
        return pyfftw.empty_aligned(half, kind)

    options = {"axes": (0, 1), "threads": _threads(like), "flags": ("FFTW_ESTIMATE",)}
    forward = pyfftw.FFTW(real(), spectral(), **options)
    backward = pyfftw.FFTW(spectral(), real(), direction="FFTW_BACKWARD", **options)
    # A new output each time: the plan's own would be overwritten by the next call.
    return lambda u: forward(u, spectral()), lambda spectrum: backward(spectrum, real())
