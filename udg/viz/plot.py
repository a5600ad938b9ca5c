"""Diagrams of results, images and angles, with matplotlib (extra ``plot``).

Each function draws into the axes that are given, or into a new figure of pyplot, and returns the
axes; ``axes.figure`` is the figure. Nothing is shown or saved.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from udg.backend import to_numpy
from udg.detection.angle import AngleCurve
from udg.errors import InvalidInput, MissingExtra
from udg.imaging.geometry import rotate
from udg.imaging.image import prepare
from udg.model.operators import across, along
from udg.viz.preview import Shown, percent, picture_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["angle_curve", "comparison", "convergence", "gradient_histograms"]

Array = Any
Floats = np.ndarray[Any, np.dtype[Any]]

_PICTURE = 1000  # pixels: longer side at which pictures are drawn
_ALONG, _ACROSS = "tab:blue", "tab:orange"


def comparison(
    *images: Any,
    titles: Sequence[str] | None = None,
    ax: Axes | Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw a result as before, derained and rain; or images, and results, side by side.

    Parameters
    ----------
    *images : Result, TiledResult, NetResult or array
        A single result is drawn as three pictures. Among several, a result is its derained image,
        and an array an image of shape (H, W) or (H, W, C), uint8, uint16 or float in [0, 1].
    titles : sequence of str, optional
        One for each picture.
    ax : Axes or sequence of Axes, optional
        As many as pictures.

    Returns
    -------
    list of Axes
        One for each picture.

    Raises
    ------
    InvalidInput
        There is nothing to draw, or not as many titles or axes as pictures.
    InvalidImage
        An array is no image.
    MissingExtra
        matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, udg
    >>> clean = np.full((64, 96), 0.4, dtype=np.float32)
    >>> result = udg.solve(udg.synthesize(clean, angle=10, seed=1).rainy, angle=10)
    >>> axes = udg.plot.comparison(result)  # doctest: +SKIP
    >>> axes[0].figure.savefig("comparison.png")  # doctest: +SKIP
    """
    pictures, names = _pictures(images)
    if titles is not None:
        if len(titles) != len(pictures):
            raise InvalidInput(f"there are {len(titles)} titles for {len(pictures)} pictures")
        names = list(titles)
    height, width = pictures[0].shape[:2]
    size = (3.6 * len(pictures), 3.6 * min(2.0, max(0.4, height / width)) + 0.4)
    axes = _axes(ax, len(pictures), size)
    for one, picture, name in zip(axes, pictures, names, strict=True):
        one.imshow(picture)
        one.set_title(name)
        one.set_axis_off()
    return axes


def _pictures(images: Sequence[Any]) -> tuple[list[Floats], list[str]]:
    """Pictures as they are drawn, and what each is."""
    if not images:
        raise InvalidInput("there is nothing to draw; give a result, or images")
    if len(images) == 1 and isinstance(images[0], Shown):
        shown = _preview(images[0])
        noun = "stripes" if getattr(images[0], "model", "rain") == "signed" else "rain"
        light, layer = (f" (×{by:.1f})" if by > 1 else "" for by in (shown.exposure, shown.gain))
        return [*shown[:3]], [f"before{light}", f"derained{light}", noun + layer]
    pictures = [
        _preview(one).after if isinstance(one, Shown) else picture_of(prepare(one), _PICTURE)
        for one in images
    ]
    return pictures, ["derained" if isinstance(one, Shown) else "" for one in images]


def _preview(result: Shown) -> Any:
    preview = result._preview(_PICTURE)
    if preview is None:
        raise InvalidInput("the result has no pictures: layers of tiles keep none; draw the whole")
    return preview


def convergence(
    *results: Any,
    of: Literal["gap", "objective"] = "gap",
    against: Literal["seconds", "iterations"] = "seconds",
    labels: Sequence[str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw how the gap or the energy of one result or several fell.

    Every stage is a curve of its own: stages have different weights, hence different energies. All
    but the last are dotted.

    Parameters
    ----------
    *results : Result or sequence of Checkpoint
        Results of `udg.solve` with ``history=True``; of one with several layers each is drawn. Or
        checkpoints, as a callback or `udg.minimize` gives them.
    of : {"gap", "objective"}
        What is drawn; the gap on a logarithmic scale.
    against : {"seconds", "iterations"}
    labels : sequence of str, optional
        One for each result.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    InvalidInput
        A result has no history, or there are not as many labels as results.
    MissingExtra
        matplotlib is not installed.
    """
    if of not in ("gap", "objective"):
        raise InvalidInput(f"of is {of!r}; give 'gap' or 'objective'")
    if against not in ("seconds", "iterations"):
        raise InvalidInput(f"against is {against!r}; give 'seconds' or 'iterations'")
    if labels is not None and len(labels) != len(results):
        raise InvalidInput(f"there are {len(labels)} labels for {len(results)} results")
    curves = []
    for number, result in enumerate(results):
        layers = getattr(result, "layers", ()) or (result,)
        for place, layer in enumerate(layers):
            label = labels[number] if labels else f"{layer.angle:.1f}°" if len(layers) > 1 else ""
            label += f", layer {place + 1}" if labels and len(layers) > 1 else ""
            curves.append((label, _trace(layer)))
    if not curves:
        raise InvalidInput("there is nothing to draw; give a result of udg.solve(history=True)")
    (ax,) = _axes(ax, 1, (5.5, 3.8))
    field = "iteration" if against == "iterations" else "seconds"
    for number, (label, stages) in enumerate(curves):
        for place, points in enumerate(stages):
            last = place == len(stages) - 1
            ax.plot(
                [getattr(point, field) for point in points],
                [getattr(point, of) for point in points],
                color=f"C{number}",
                marker=".",
                linestyle="-" if last else ":",
                label=label if last and label else "_",
            )
    if of == "gap":
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(_in_percent())
        ax.yaxis.set_minor_formatter(_in_percent())
    ax.set_xlabel("iterations" if against == "iterations" else "seconds of iterating")
    ax.set_ylabel("gap: proven bound on (E − E*) / E" if of == "gap" else "energy E")
    ax.grid(alpha=0.3)
    if any(label for label, _ in curves):
        ax.legend()
    return ax


def _in_percent() -> Any:
    """A logarithmic axis of parts of one, its labels in per cent."""
    from matplotlib.ticker import LogFormatter

    class Percents(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return percent(x) if super().__call__(x, pos) else ""  # not all ticks have a label

    return Percents(minor_thresholds=(2, 0.5))


def _trace(result: Any) -> tuple[Sequence[Any], ...]:
    """The checkpoints of each stage."""
    stages = getattr(result, "trace", None)
    if stages is None:
        stages = (tuple(result),) if isinstance(result, Sequence) and result else ()
    if not stages:
        raise InvalidInput("a result has no history; ask for it with udg.solve(history=True)")
    return tuple(stages)


def gradient_histograms(
    clean: Array | Iterable[Array],
    rain: Array | Iterable[Array],
    *,
    angle: float = 0.0,
    bins: int = 101,
    limit: float = 0.5,
    ax: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw how often differences along and across the streaks have which size (Fig. 2 of [1]_).

    Those of clean images are alike in both directions, those of rain are not: it is why the energy
    treats them differently.

    Parameters
    ----------
    clean : array of shape (H, W) or (H, W, C), or iterable of such
        Images; their luma is used.
    rain : array of shape (H, W), or iterable of such
        Rain layers, 1 is full light: ``Result.rain``, ``Synthetic.rain``.
    angle : float
        Direction of the streaks, degrees clockwise from vertical. All are turned by it first, and
        what that leaves empty is filled with their mirror images.
    bins : int
        Their number, odd, so that one is around 0.
    limit : float
        Differences are drawn from −limit to limit.
    ax : sequence of two Axes, optional

    Returns
    -------
    list of Axes
        Of the clean images and of the rain. Each has two curves, along and across: parts of all
        pixels, which sum to 1 if no difference is beyond `limit`.

    Raises
    ------
    InvalidImage
        A picture cannot be used.
    InvalidInput
        There is none, or `bins` or `limit` is outside its range.
    MissingExtra
        matplotlib is not installed.

    References
    ----------
    .. [1] C. Yu, Y. Chang, Y. Li, X. Zhao, L. Yan, "Unsupervised image deraining: optimization
       model driven deep CNN", ACM Multimedia 2021.
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 3 or bins % 2 == 0:
        raise InvalidInput(f"bins is {bins!r}; give an odd number that is at least 3")
    if not limit > 0:
        raise InvalidInput(f"limit is {limit!r}; give a number above 0")
    edges = np.linspace(-limit, limit, bins + 1)
    images = [to_numpy(prepare(image).luma()) for image in _several(clean)]
    layers = [to_numpy(layer) for layer in _several(rain)]
    if not images or not layers:
        raise InvalidInput("give at least one clean image and one rain layer")
    axes = _axes(ax, 2, (9, 3.6))
    least = 1.0
    for one, planes, title in zip(axes, (images, layers), ("clean images", "rain"), strict=True):
        turned = [rotate(plane.astype(np.float32), angle) for plane in planes]
        for difference, name, colour in ((along, "along", _ALONG), (across, "across", _ACROSS)):
            parts = _histogram([difference(plane) for plane in turned], edges)
            least = min(least, parts[parts > 0].min())
            one.stairs(parts, edges, color=colour, label=f"{name} the streaks", linewidth=1.4)
        one.set_xlim(-limit, limit)
        one.set_title(title)
        one.set_xlabel("difference between neighbours (1: full light)")
        one.grid(alpha=0.3)
    for one in axes:
        one.set_yscale("log")
        one.set_ylim(0.5 * least, 1.5)
    axes[0].set_ylabel("part of the pixels")
    axes[0].legend()
    return axes


def _several(arrays: Any) -> list[Any]:
    """One array, or any number of them."""
    return [arrays] if hasattr(arrays, "shape") else list(arrays)


def _histogram(planes: Iterable[Floats], edges: Floats) -> Floats:
    """Part of all values in each bin."""
    counts, total = np.zeros(len(edges) - 1), 0
    for plane in planes:
        counts += np.histogram(plane, edges)[0]
        total += plane.size
    return counts / total


def angle_curve(
    image: Any,
    *,
    sign: Literal["bright", "both"] = "bright",
    limit: float = 45.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the score of every direction, the angle that is found, and what its confidence is.

    Parameters
    ----------
    image : array of shape (H, W) or (H, W, C), Result or AngleCurve
        A result stands for the image it was made from; a curve of `udg.detection.angle` for itself.
    sign : {"bright", "both"}
        As in `udg.estimate_angle`; not used for an `AngleCurve`.
    limit : float
        As in `udg.estimate_angle`; not used for an `AngleCurve`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    InvalidImage
        The image cannot be used.
    InvalidInput
        Unknown sign, or a limit outside (0, 90].
    MissingExtra
        matplotlib is not installed.
    """
    from udg.detection import angle

    if isinstance(image, AngleCurve):
        curve = image
    else:
        given = getattr(image, "image", None)
        pixels, values = (image, None) if given is None else (given.pixels, (given.low, given.high))
        curve = angle.angle_curve(pixels, sign=sign, limit=limit, data_range=values)
    (ax,) = _axes(ax, 1, (6.5, 3.8))
    degrees, confidence = curve.angle
    inside = curve.degrees[curve.judged]
    ax.plot(inside, curve.scores[curve.judged], color="C0")
    ax.axvline(degrees, color="C1", label=f"angle {degrees:.1f}°")
    ax.axvspan(degrees - angle.RIVAL, degrees + angle.RIVAL, color="C1", alpha=0.12, linewidth=0)
    if curve.rival is not None:
        spread = float(np.ptp(curve.scores[curve.judged]))
        rival = float(curve.scores[curve.degrees == curve.rival][0])
        lead = confidence * spread
        ax.plot([curve.rival], [rival], "o", color="C3", label=f"best beyond ±{angle.RIVAL:.0f}°")
        ax.axhline(rival, color="C3", linestyle=":", linewidth=1)
        ax.annotate("", (degrees, rival + lead), (degrees, rival), arrowprops={"arrowstyle": "<->"})
        ax.set_title(f"confidence {confidence:.2f} = lead {lead:.1f} / range {spread:.1f}")
    else:
        ax.set_title("no direction: the image has no features")
    ax.set_xlim(float(inside[0]), float(inside[-1]))
    ax.set_xlabel("direction, degrees clockwise from vertical")
    ax.set_ylabel("score")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def _axes(given: Axes | Sequence[Axes] | None, count: int, size: tuple[float, float]) -> list[Axes]:
    """The axes that were given, or new ones in a row."""
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra("matplotlib", "plot") from None
    if given is None:
        axes = plt.subplots(1, count, figsize=size, squeeze=False, layout="constrained")[1]
        return list(axes[0])
    several: list[Any] = [given] if hasattr(given, "plot") else [*np.ravel(given)]  # type: ignore[arg-type]
    if len(several) != count:
        raise InvalidInput(f"ax holds {len(several)} axes; {count} are needed")
    return several
