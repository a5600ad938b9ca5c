"""The illuminant: in coloured light some channels have no light that rain could add to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

__all__ = ["Illuminant", "balanced", "estimate_illuminant"]

_LIT = 0.15  # part of the brightest channel's light from which on a channel has light …
_ALMOST_ALL = 75  # … in this percentage of the pixels, with which coloured things are not enough
_BLACK = 0.04  # light below which a pixel tells no colour
_STREAK = 6.0  # σ in pixels of what is broader than streaks
_BRIGHT = 90  # per cent of the pixels that have smaller details than those that tell rain's colour


class Illuminant(NamedTuple):
    """The light that falls on a scene, channel by channel, as parts of the brightest one.

    Attributes
    ----------
    colour : tuple of float
        What a white thing would have; 0 in channels without light.
    rain : tuple of float
        What rain has: the same, but where it is 0 rain may be brighter than all else.
    """

    colour: tuple[float, ...]
    rain: tuple[float, ...]


def estimate_illuminant(thumbnail: np.ndarray[Any, Any]) -> Illuminant | None:
    """Estimate the illuminant, where some channels have next to no light.

    Under a sodium lamp there is no blue for rain to add, so its streaks cannot show in the darkest
    channel. A channel is without light where almost all of a picture has almost none of it:
    coloured things leave some of a picture as it is.

    Parameters
    ----------
    thumbnail : array, shape (h, w, colours)
        `PreparedImage.thumbnail`.

    Returns
    -------
    Illuminant or None
        The median part of a pixel's brightest channel, at least 0.15 where a channel has light.
        Elsewhere, the rain's is told from bright details. None in usual light, and in pictures
        that are grey or black.
    """
    brightest = thumbnail.max(axis=2)
    seen = brightest > _BLACK
    if thumbnail.shape[2] == 1 or 100 * seen.mean() < 100 - _ALMOST_ALL:
        return None
    parts = thumbnail[seen] / brightest[seen][:, None]
    lit = np.percentile(parts, _ALMOST_ALL, axis=0) >= _LIT
    if lit.all() or not lit.any():
        return None
    colour = tuple(np.where(lit, np.maximum(np.median(parts, axis=0), _LIT), 0).tolist())
    illuminant = Illuminant(colour, colour)
    detail = _detail(balanced(thumbnail, illuminant).min(axis=2))
    bright = detail >= max(np.percentile(detail, _BRIGHT), 1e-3)
    if not bright.any():
        return illuminant
    rain = [
        part or float(np.median(_detail(thumbnail[:, :, channel])[bright] / detail[bright]))
        for channel, part in enumerate(colour)
    ]
    return Illuminant(colour, tuple(min(1.0, max(0.0, part)) for part in rain))


def _detail(plane: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Details across columns, as thin as streaks are."""
    from scipy.ndimage import gaussian_filter1d

    return np.asarray(plane - gaussian_filter1d(plane, _STREAK, axis=1))


def balanced(
    thumbnail: np.ndarray[Any, Any], illuminant: Illuminant | None
) -> np.ndarray[Any, Any]:
    """Balance the channels that have light to white light.

    Parameters
    ----------
    thumbnail : array, shape (h, w, colours)
        `PreparedImage.thumbnail`.
    illuminant : Illuminant or None
        `estimate_illuminant` of the picture; None leaves it as it is.

    Returns
    -------
    array, shape (h, w, lit channels)
        At most 1.
    """
    if illuminant is None:
        return thumbnail
    colour = np.asarray(illuminant.colour, np.float32)
    lit = colour > 0
    return np.asarray(np.minimum(thumbnail[:, :, lit] / colour[lit], 1))
