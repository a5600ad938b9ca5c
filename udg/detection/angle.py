"""The direction of streaks in one image.

The rotation θ of Eq. 1 must be known before anything else. Streaks are alike all over the image
while the scene is not, so what the power spectra of many small patches agree on is the streaks.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np

from udg.backend import to_numpy
from udg.errors import InvalidInput
from udg.imaging.image import BlockMeans, DataRange, prepare, shrunk

__all__ = [
    "Angle",
    "AngleCurve",
    "angle_curve",
    "bright_details",
    "direction_scores",
    "estimate_angle",
    "luma_scale",
    "shrunk_luma",
    "signed_details",
]

Floats = np.ndarray[Any, np.dtype[Any]]

# Found on the 60 labelled photos and on rendered rain; all lengths are pixels of the shrunk image.
_AREA = 480**2  # larger images are shrunk to this many pixels …
_SHORT_SIDE = 128  # … but not below this side
_DETAIL = 6.0  # σ of the Gaussian that is subtracted: streaks are thinner
_BRIGHT = 85  # percentile of the detail above which highlights are cut off
_FLAT = 0.1  # patches with less than this part of the median contrast say nothing
_BAND = (0.05, 0.5)  # cycles/px; below it lies the scene, above it only the square's corners
_PATCHES = ((64, ((4, 12), (6, 20))), (128, ((4, 15), (6, 30))))  # side, and ranges of lags
_SMALLEST = 12  # side of the smallest patch that has a direction
_STEP = 0.5  # degrees between directions tried
_SMOOTH = 2.0  # degrees, σ
RIVAL = 12.0  # degrees; peaks nearer than this are the same streaks
_NEAR = 1.0  # degrees; how far `_most_coherent` looks to either side
_FINE = 0.05  # degrees between the directions it tries
_BIN = 0.25  # pixels; its lines' width, before they are smoothed by …
_BLUR = 0.5  # pixels, σ


class Angle(NamedTuple):
    """A direction and how far it can be trusted.

    Attributes
    ----------
    degrees : float
        Clockwise from vertical: a streak like ``/`` is positive.
    confidence : float
        In [0, 1]: the peak's lead over every direction more than 12° away, as a part of the
        score's whole range over directions. 0 where nothing has a direction, or another direction
        is as good. It ranks estimates by their error; it does not tell whether there is rain.
        With ``method="tilt"`` it is the part of the windows that agree within 6°, and not
        comparable.
    """

    degrees: float
    confidence: float


class AngleCurve(NamedTuple):
    """The score of every direction, and what `estimate_angle` makes of it.

    Attributes
    ----------
    degrees : array, shape (360,)
        Directions in [−90, 90), clockwise from vertical.
    scores : array, shape (360,)
        How far the details' autocorrelation extends along each; all 0 without features.
    judged : array of bool, shape (360,)
        The directions that count: within ±limit, at least those of rain.
    angle : Angle
        The answer.
    rival : float or None
        The best direction more than 12° from the answer, whose score decides on the confidence:
        ``confidence = (best − rival's) / (largest − smallest)`` of the scores that count.
    """

    degrees: Floats
    scores: Floats
    judged: np.ndarray[Any, np.dtype[np.bool_]]
    angle: Angle
    rival: float | None


def estimate_angle(
    image: Any,
    *,
    method: Literal["spectrum", "tilt"] = "spectrum",
    sign: Literal["bright", "both"] = "bright",
    limit: float = 45.0,
    data_range: DataRange | None = None,
) -> Angle:
    """Find the direction of the streaks in an image.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Rainy or striped; its luma is used. Never modified.
    method : {"spectrum", "tilt"}
        "spectrum" sums the autocorrelation that many patches of details share, along
        every direction. "tilt" looks for the rotation that makes the image a low-rank one (TILT,
        Zhang et al. 2012, restricted to a rotation); slower and less exact, for comparison.
    sign : {"bright", "both"}
        "bright" looks at what is brighter than its surroundings, as rain is. "both" is for
        stripes: it looks at darker details as well, and since stripes run through the whole image,
        "spectrum" then finds the direction to a few hundredths of a degree. Within a pixel over
        the image's length of a multiple of 90°, the answer is that multiple.
    limit : float
        The answer lies within ±limit degrees of vertical, 0 < limit ≤ 90. Rain is found within
        45; stripes may need 90, which covers every direction.
    data_range : float or (float, float), optional
        As in `udg.imaging.image.prepare`.

    Returns
    -------
    Angle
        ``degrees``, clockwise from vertical, and a ``confidence`` in [0, 1]. ``Angle(0.0, 0.0)``
        for an image without features, or with a side below 12 pixels. The same image always gets
        the same answer.

    Raises
    ------
    InvalidImage
        The image cannot be used; see `udg.imaging.image.prepare`.
    InvalidInput
        Unknown method or sign, or a limit outside (0, 90].

    References
    ----------
    Zhang, Ganesh, Liang, Ma: TILT: Transform Invariant Low-Rank Textures. IJCV 99 (2012).
    """
    if method not in ("spectrum", "tilt"):
        raise InvalidInput(f"method is {method!r}; give 'spectrum' or 'tilt'")
    details = _details_of(image, sign, limit, data_range)
    if not _has_direction(details):
        return Angle(0.0, 0.0)
    if method == "tilt":
        from udg.detection.tilt import tilt_angle

        return Angle(*tilt_angle(details, limit=limit))
    return _of_curve(details, *direction_scores(details), sign, limit)


def angle_curve(
    image: Any,
    *,
    sign: Literal["bright", "both"] = "bright",
    limit: float = 45.0,
    data_range: DataRange | None = None,
) -> AngleCurve:
    """Score every direction, as `estimate_angle` does with ``method="spectrum"``.

    `udg.plot.angle_curve` draws it.

    Parameters
    ----------
    image : array_like, shape (H, W) or (H, W, C)
        Rainy or striped; its luma is used. Never modified.
    sign : {"bright", "both"}
        As in `estimate_angle`.
    limit : float
        As in `estimate_angle`.
    data_range : float or (float, float), optional
        As in `udg.imaging.image.prepare`.

    Returns
    -------
    AngleCurve
        Its ``angle`` is what `estimate_angle` returns.

    Raises
    ------
    InvalidImage
        The image cannot be used; see `udg.imaging.image.prepare`.
    InvalidInput
        Unknown sign, or a limit outside (0, 90].
    """
    details = _details_of(image, sign, limit, data_range)
    angles = np.arange(-90, 90, _STEP)
    judged = _judged(angles, limit)
    if not _has_direction(details):
        return AngleCurve(angles, np.zeros_like(angles), judged, Angle(0.0, 0.0), None)
    angles, scores = direction_scores(details)
    found = _of_curve(details, angles, scores, sign, limit)
    away = np.flatnonzero(judged & _away(angles, found.degrees))
    rival = float(angles[away[scores[away].argmax()]]) if scores.any() else None
    return AngleCurve(angles, scores, judged, found, rival)


def _details_of(image: Any, sign: str, limit: float, data_range: DataRange | None) -> Floats:
    """What tells the direction in an image."""
    if sign not in ("bright", "both"):
        raise InvalidInput(f"sign is {sign!r}; give 'bright' or 'both'")
    if not 0 < limit <= 90:
        raise InvalidInput(f"limit is {limit}; give a number of degrees above 0, at most 90")
    luma = to_numpy(prepare(image, data_range).luma())
    return bright_details(luma) if sign == "bright" else signed_details(luma)


def _has_direction(details: Floats) -> bool:
    return min(details.shape) >= _SMALLEST and bool(details.any())


def _of_curve(details: Floats, angles: Floats, scores: Floats, sign: str, limit: float) -> Angle:
    """The best direction of a curve; that of stripes, which run through, once more refined."""
    found = _peak(angles, scores, limit)
    if sign == "bright" or found.confidence == 0:
        return found
    return Angle(_most_coherent(details, found.degrees, limit), found.confidence)


def bright_details(luma: Floats) -> Floats:
    """Shrink a picture and keep what is brighter than its surroundings, as rain is.

    Parameters
    ----------
    luma : array, shape (H, W)

    Returns
    -------
    array, float32, non-negative, about 480² pixels or the picture's shape if that is smaller
    """
    return _clipped(np.maximum(_details(luma), 0))


def signed_details(luma: Floats) -> Floats:
    """Shrink a picture and keep how it differs from its surroundings, as stripes do.

    Parameters
    ----------
    luma : array, shape (H, W)

    Returns
    -------
    array, float32, of either sign and of `bright_details`'s shape
    """
    return _clipped(_details(luma))


def _details(luma: Floats) -> Floats:
    from scipy.ndimage import gaussian_filter

    small = shrunk_luma(luma)
    return np.asarray(small - gaussian_filter(small, _DETAIL))


def _clipped(detail: Floats) -> Floats:
    strength = np.abs(detail)
    # Rounding leaves a residue in flat areas.
    present = strength >= 1e-5
    if not present.any():
        return np.zeros_like(detail)
    # One lamp must not outweigh a thousand streaks.
    most = np.percentile(strength[present], _BRIGHT)
    return np.asarray(np.clip(np.where(present, detail, 0), -most, most))


def shrunk_luma(luma: Floats) -> Floats:
    """Shrink a luma plane to the size at which directions are estimated."""
    scale = luma_scale(luma.shape)
    return shrunk(BlockMeans.of(luma, scale), luma.shape, scale)


def luma_scale(shape: tuple[int, ...]) -> float:
    """Scale, at most 1, at which directions are looked for in a picture of that shape."""
    height, width = shape[:2]
    scale = max((_AREA / (height * width)) ** 0.5, _SHORT_SIDE / min(height, width))
    # A picture that is shrunk already stays as it is.
    return scale if scale < 0.99 else 1.0


def direction_scores(details: Floats) -> tuple[Floats, Floats]:
    """Score every direction by how much the patches' autocorrelation extends along it.

    Parameters
    ----------
    details : array, shape (H, W)
        See `bright_details`.

    Returns
    -------
    angles : array, shape (360,)
        Degrees clockwise from vertical, in [−90, 90).
    scores : array, shape (360,)
        Sum of standardised curves (each has mean 0 and deviation 1); all 0 without features.
    """
    from scipy.ndimage import gaussian_filter1d

    angles = np.arange(-90, 90, _STEP)
    scores = np.zeros_like(angles)
    for size, lag_ranges in _patch_sizes(min(details.shape)):
        correlation = _common_autocorrelation(details, size)
        for first, last in lag_ranges:
            curve = _rays(size, first, last) @ correlation.ravel()
            curve = gaussian_filter1d(curve, _SMOOTH / _STEP, mode="wrap")
            if curve.std() > 0:
                scores += (curve - curve.mean()) / curve.std()
    return angles, scores


def _patch_sizes(side: int) -> list[tuple[int, tuple[tuple[float, float], ...]]]:
    """Patches that fit a short side; those of one too small for 64 px get shorter lags."""
    smallest, lags = _PATCHES[0]
    if side < smallest:
        size = side // 2 * 2
        shrink = size / smallest
        return [(size, tuple((max(2, a * shrink), max(4, b * shrink)) for a, b in lags))]
    return [(size, lags) for size, lags in _PATCHES if size <= side]


def _common_autocorrelation(details: Floats, size: int) -> Floats:
    """Whitened autocorrelation that at least half of the patches share; lag 0 in the middle."""
    from scipy.fft import irfft2, rfft2

    patches, spectrum = _patches(details, size), _spectrum(size)
    power = np.abs(rfft2(patches * spectrum.window)) ** 2
    # Each ring of frequencies gets mean 1, so that only direction is left of the scene's spectrum.
    ordered = power.reshape(len(power), -1)[:, spectrum.order]
    means = np.add.reduceat(ordered, spectrum.starts, axis=1) / spectrum.counts
    white = power / np.maximum(means[:, spectrum.ring], np.finfo(np.float32).tiny)
    white *= spectrum.band
    correlation = irfft2(white, s=(size, size))
    correlation /= correlation[:, :1, :1]
    # The median, not the mean: a roof or a mast is in few of the patches.
    return np.asarray(np.fft.fftshift(np.median(correlation, axis=0)))


class _Spectrum(NamedTuple):
    """What is the same for all patches of a size."""

    window: Floats
    ring: Floats  # of each frequency: its distance from 0
    order: Floats  # of the frequencies, ring by ring …
    starts: Floats  # … where each begins …
    counts: Floats  # … and how many it has
    band: np.ndarray[Any, np.dtype[np.bool_]]


@lru_cache(maxsize=8)
def _spectrum(size: int) -> _Spectrum:
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)  # SciPy's takes long to import
    window = np.outer(hann, hann).astype(np.float32)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    ring = np.rint(frequency * size).astype(int)
    order = np.argsort(ring, axis=None, kind="stable")
    starts = np.searchsorted(ring.ravel()[order], np.arange(ring.max() + 1))
    band = (frequency >= _BAND[0]) & (frequency <= _BAND[1])
    return _Spectrum(window, ring, order, starts, np.bincount(ring.ravel()), band)


def _patches(details: Floats, size: int) -> Floats:
    """Squares at half overlap over the whole array, mean 0, without the flat ones."""
    rows, columns = (
        np.linspace(0, n - size, -(-(n - size) // (size // 2)) + 1).round().astype(int)
        for n in details.shape
    )
    views = np.lib.stride_tricks.sliding_window_view(details, (size, size))
    patches = views[rows[:, None], columns].reshape(-1, size, size)
    patches -= patches.mean(axis=(1, 2), keepdims=True)  # indexing by arrays copied
    contrast = patches.std(axis=(1, 2))
    return np.asarray(patches[contrast > _FLAT * np.median(contrast[contrast > 0])])


@lru_cache(maxsize=16)
def _rays(size: int, first: float, last: float) -> Any:
    """The matrix that takes an autocorrelation to its means on rays, between two lags.

    One ray in each direction; values between the array's are interpolated linearly.
    """
    from scipy.sparse import coo_array

    lag = np.arange(first, last + 0.25, 0.5)
    theta = np.radians(np.arange(-90, 90, _STEP))[:, None]
    along, across = size // 2 + lag * np.cos(theta), size // 2 - lag * np.sin(theta)
    above, left = np.floor(along).astype(int), np.floor(across).astype(int)
    ray = np.broadcast_to(np.arange(len(theta))[:, None], along.shape)
    entries = []
    for down in (0, 1):
        for right in (0, 1):
            row, column = np.minimum(above + down, size - 1), np.minimum(left + right, size - 1)
            weight = abs(1 - down - (along - above)) * abs(1 - right - (across - left))
            entries.append((weight / len(lag), ray, row * size + column))
    weights, rays, places = (
        np.concatenate([np.ravel(u) for u in part]) for part in zip(*entries, strict=True)
    )
    return coo_array((weights, (rays, places)), shape=(len(theta), size**2)).tocsr()


def _peak(angles: Floats, scores: Floats, limit: float) -> Angle:
    """Refine the best direction within ±limit by a parabola and measure its lead."""
    judged = _judged(angles, limit)
    spread = float(np.ptp(scores[judged]))
    if spread == 0:
        return Angle(0.0, 0.0)
    inside = np.flatnonzero(np.abs(angles) <= limit)
    best = int(inside[scores[inside].argmax()])
    left, top, right = (float(scores[(best + k) % len(scores)]) for k in (-1, 0, 1))
    bend = left - 2 * top + right
    # At the end of the range the score may still rise: no peak, no parabola.
    peaked = top >= max(left, right) and bend < 0
    degrees = float(angles[best]) + (_STEP * 0.5 * (left - right) / bend if peaked else 0.0)
    lead = top - float(scores[judged & _away(angles, degrees)].max())
    return Angle(min(max(degrees, -limit), limit), min(max(lead / spread, 0.0), 1.0))


def _judged(angles: Floats, limit: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which directions count: those of rain at least, however narrow the search."""
    return np.asarray(np.abs(angles) <= max(limit, 45.0))


def _away(angles: Floats, degrees: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which directions are too far from one to be the same streaks."""
    return np.asarray(np.abs((angles - degrees + 90) % 180 - 90) > RIVAL)


def _most_coherent(details: Floats, degrees: float, limit: float) -> float:
    """The direction near one given along whose lines, from end to end, the details agree best."""
    offsets = np.arange(-_NEAR - _FINE, _NEAR + 1.5 * _FINE, _FINE)
    scores = np.array([_coherence(details, degrees + offset) for offset in offsets])
    best = 1 + int(scores[1:-1].argmax())
    left, top, right = scores[best - 1 : best + 2]
    bend = left - 2 * top + right
    degrees += float(offsets[best])
    if top >= max(left, right) and bend < 0:
        degrees += _FINE * 0.5 * float((left - right) / bend)
    # Turning by a multiple of 90° needs no interpolation.
    square = 90.0 * round(degrees / 90)
    if math.radians(abs(degrees - square)) * max(details.shape) < 1:
        degrees = square
    if limit == 90:  # every direction is allowed, and they come round
        return (degrees + 90) % 180 - 90
    return min(max(degrees, -limit), limit)


def _coherence(details: Floats, degrees: float) -> float:
    """Energy of the means along all lines of a direction, each weighted by its length."""
    from scipy.ndimage import gaussian_filter1d

    theta, (height, width) = math.radians(degrees), details.shape
    row = (np.arange(height) * (math.sin(theta) / _BIN))[:, None]
    line = row + np.arange(width) * (math.cos(theta) / _BIN)
    line = np.rint(line - line.min()).astype(np.intp).ravel()
    # Smoothing hides where the pixels' grid lies relative to the lines.
    total, length = (
        gaussian_filter1d(np.bincount(line, weights).astype(float), _BLUR / _BIN, mode="constant")
        for weights in (details.ravel(), None)
    )
    return float(np.sum(total**2 / np.maximum(length, np.finfo(float).tiny)))
