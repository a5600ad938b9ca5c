"""How rain's light adds to a scene's: the same to every channel, or less to what is bright.

Where a drop is seen, part of the scene's light is missing: the scene and the rain are blended,
Y = B + R (1 − B) (screen), and a channel gets the less of R the brighter it is. Rain that was found
in the darkest channel is then too much for the others, and leaves dark lines there in their colour.
But rain that was painted on, and faint or distant rain, may be the same in all of them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["estimate_screen_fraction"]

Floats = np.ndarray[Any, Any]

_BROAD = 4.0  # σ in pixels of what is broader than streaks
_FINE = 0.7  # … of what JPEG, which halves the resolution of colours, leaves of them
_WET = 0.15  # of the strongest details of rain: from here on a pixel has something to say
_STRONGEST = 99.5  # per cent of the pixels that have smaller ones
_MIN_DETAIL = 1e-4  # below, it is rounding
_CLIPPED = 0.98  # light of a channel that may have lost rain to full light, which looks blended
_FEW = 0.02  # part of a pixel's surroundings that may be so
_MIN_PIXELS = 500
_MIN_COLOUR = 0.01  # mean square of k on the rain, all channels together
_TELLING = 0.1  # of the instrument's root mean square
_BLOCKS = 4  # a side, for the error
_ERRORS = 2.0  # of them have to be in its favour
_NONE, _FULL = 0.3, 0.6  # of the estimate, which is too low where R has details of the scene
_STEPS = 10
_OUTLIER = 1.5  # standard deviations from which on a pixel weighs less


class _Sample(NamedTuple):
    """What the wet pixels tell, each array of shape (colours, pixels)."""

    missing: Floats  # detail that a channel lacks beside the darkest one
    expected: Floats  # the same, if the blend is full
    instrument: Floats  # … and all of the darkest one's detail is rain


def estimate_screen_fraction(thumbnail: Floats, rain: Floats) -> float:
    """How much of a screen blend a picture's rain is.

    Where the darkest channel has a detail D of rain, channel c has D (1 − β k), where
    k = 1 − (1 − Y_c) / (1 − min Y) is known. What is missing, β k D, is regressed on k D, over all
    pixels with rain and all channels. Details of the scene are in D as well, so the rain's own
    serve as instrument; pixels that do not agree weigh less (Huber). Pixels at and near full light,
    where a channel has no room for rain however it adds up, are left out.

    Parameters
    ----------
    thumbnail : array, shape (h, w, colours)
        `PreparedImage.thumbnail`: light in [0, 1].
    rain : array, shape (h, w)
        R in the darkest channel, at the same size, in [0, 1].

    Returns
    -------
    float
        β in [0, 1]: 0, rain adds the same light to every channel; 1, it is blended
        (`PreparedImage.subtract`). Also 0 where that cannot be told for sure: no rain, fewer than
        three colours, little rain on coloured ground, or parts of the picture that disagree.

    References
    ----------
    .. [1] Y. Luo, Y. Xu, H. Ji, "Removing rain from a single image via discriminative sparse
       coding", ICCV 2015: the screen blend.
    .. [2] P. J. Huber, "Robust estimation of a location parameter", Annals of Mathematical
       Statistics 35(1), 1964.
    """
    from scipy.ndimage import gaussian_filter

    if thumbnail.shape[2] < 3:
        return 0.0
    details = _broad_and_detail(rain)[1]
    wet = np.abs(details) > max(_WET * np.percentile(np.abs(details), _STRONGEST), _MIN_DETAIL)
    clipped = (thumbnail.max(axis=2) >= _CLIPPED).astype(np.float32)
    wet &= gaussian_filter(clipped, _BROAD) < _FEW
    if np.count_nonzero(wet) < _MIN_PIXELS:
        return 0.0
    sample = _sample(thumbnail, details, wet)
    if np.sum(sample.instrument**2) < _MIN_COLOUR * np.sum(details[wet] ** 2):
        return 0.0
    slope, error = _slope(sample, _blocks(wet.shape)[wet])
    return float(np.clip((slope - _ERRORS * error - _NONE) / (_FULL - _NONE), 0, 1))


def _broad_and_detail(plane: Floats) -> tuple[Floats, Floats]:
    from scipy.ndimage import gaussian_filter

    broad = gaussian_filter(plane, _BROAD)
    return broad, gaussian_filter(plane, _FINE) - broad


def _sample(thumbnail: Floats, details: Floats, wet: Floats) -> _Sample:
    broad, detail = (plane[wet] for plane in _broad_and_detail(thumbnail.min(axis=2)))
    room = np.maximum(1 - broad, 0.05)
    rows: list[tuple[Floats, Floats, Floats]] = []
    for channel in range(thumbnail.shape[2]):
        level, own = (plane[wet] for plane in _broad_and_detail(thumbnail[:, :, channel]))
        k = np.clip((level - broad) / room, 0, 1)
        rows.append((detail - own, k * detail, k * details[wet]))
    return _Sample(*(np.stack(column) for column in zip(*rows, strict=True)))


def _slope(sample: _Sample, block: Floats) -> tuple[float, float]:
    """β by instrumental variables, and its standard error by leaving out one block at a time."""
    missing, expected, instrument = sample
    telling = np.abs(instrument) > _TELLING * np.sqrt(np.mean(instrument**2))
    weight = np.ones_like(missing)
    for step in range(_STEPS + 1):
        shared = weight * instrument
        over, under = (
            np.bincount(block, (shared * part).sum(axis=0), _BLOCKS**2)
            for part in (missing, expected)
        )
        without = under.sum() - under
        if without.min() <= 0:  # the rain is not seen in the darkest channel, or in one block only
            return 0.0, 0.0
        slope = over.sum() / under.sum()
        if step < _STEPS:
            rest = np.abs(missing - slope * expected)
            scale = _OUTLIER * 1.4826 * np.median(rest[telling]) + 1e-6
            weight = np.minimum(1, scale / np.maximum(rest, 1e-9))
    slopes = (over.sum() - over) / without
    return float(slope), float(np.sqrt(slopes.var() * (slopes.size - 1)))


def _blocks(shape: tuple[int, ...]) -> Floats:
    """For each pixel, which block of the picture it is in."""
    down, right = (np.arange(side) * _BLOCKS // side for side in shape)
    return down[:, None] * _BLOCKS + right
