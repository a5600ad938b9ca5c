"""Every method under one name: from a rainy picture to its derained version.

Names are those of `baselines/evaluate.py`, and:

- rain: nothing is done;
- udg-paper: the paper's model and weights (its minimum, to a gap of 3 %, by a quicker method);
- udg: `udg.solve` with its defaults;
- udgnet: `udg.net.derain` with the weights that come with the package;
- dip: deep image prior, for a given CPU time.

`--network NAME=WEIGHTS` adds networks: NAME is one of `baselines.networks`, whose
`train.py` writes weights, or begins with udgnet.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import udg
from udg.io.picture import quantize

Array = np.ndarray[Any, Any]
Derain = Callable[..., Array]  # (image, angle=None) → image, of the same type

LABELS = {
    "rain": "Rain",
    "dsc": "DSC",
    "gmm": "GMM",
    "udg-paper": "UDG, the paper's weights",
    "udg": "UDG, ours",
    "ddn": "DDN",
    "jorder_e": "JORDER-E",
    "rcdnet": "RCDNet",
    "ssir": "SSIR",
    "pix2pix": "pix2pix",
    "patchgan": "PatchGAN",
    "cyclegan": "CycleGAN",
    "dip": "DIP",
    "udgnet": "UDGNet, small",
}
#: What is too slow for every picture, and what takes an angle.
SLOW = ("dsc", "gmm", "dip")
TURNING = ("udg-paper", "udg", "udgnet")
PATCHES = 50_000  # that `baselines.gmm` fits by default
PAPER: Mapping[str, Any] = {**udg.PAPER, "method": "joint", "tol": 3e-2}


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the methods."""
    parser.add_argument(
        "--network", nargs="*", default=[], metavar="NAME=WEIGHTS", help="networks with weights"
    )
    parser.add_argument(
        "--dip-seconds", type=float, default=60.0, help="CPU time of DIP for a picture"
    )
    parser.add_argument("--photos", type=Path, help="photos without rain, for gmm's background")
    parser.add_argument(
        "--patches", type=int, default=PATCHES, help="that gmm's background is fitted to"
    )
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder, for gmm's fit")


def networks(options: argparse.Namespace) -> dict[str, str]:
    """Weights by the network's name."""
    given = {}
    for text in options.network:
        name, equals, weights = text.partition("=")
        if not (name and equals and weights):
            raise SystemExit(f"--network {text}: give NAME=WEIGHTS")
        given[name] = weights
    return given


def described(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """What a method's results depend on, apart from the picture."""
    about: dict[str, Any] = {"udg": udg.__version__}
    if name == "gmm":
        about["photos"] = options.photos.name if options.photos else "scikit-image"
        if options.patches != PATCHES:
            about["patches"] = options.patches
    if name == "dip":
        about["CPU seconds"] = options.dip_seconds
    if name in networks(options):
        about["weights"] = Path(networks(options)[name]).name
    return about


def label(name: str) -> str:
    """A method's name in tables and pictures."""
    return LABELS.get(name, name)


def method(name: str, options: argparse.Namespace) -> Derain:
    """Make the method ready: fit, load, compile."""
    given = networks(options)
    if name == "rain":
        return lambda image, angle=None: image
    if name in ("udg", "udg-paper"):
        return solver(PAPER if name == "udg-paper" else {})
    if name in given or name == "udgnet":
        return network(name, given.get(name, "small"))
    if name == "dip":
        return _prior(options.dip_seconds)
    if name == "dsc":
        from benchmarks.baselines import dsc

        return _on_unit(dsc.derain)
    if name == "gmm":
        from benchmarks.baselines import gmm

        # The default is left out, so that the fit is found which `baselines/evaluate.py` has kept.
        fitted = {} if options.patches == PATCHES else {"patches": options.patches}
        prior = gmm.background(options.cache, options.photos, **fitted)
        return _on_unit(lambda image: gmm.derain(image, prior))
    raise SystemExit(f"there is no method {name!r} without --network {name}=WEIGHTS")


def solver(settings: Mapping[str, Any]) -> Derain:
    """`udg.solve`. An angle that is given says that there is rain."""

    def derain(image: Array, angle: float | None = None) -> Array:
        result = udg.solve(image, angle="auto" if angle is None else angle, **settings)
        return quantize(result.derained, image.dtype, image.dtype)

    derain(np.full((32, 32), 128, np.uint8), 0.0)  # compiles
    return derain


def network(name: str, weights: str) -> Derain:
    """A network with its weights."""
    if not name.startswith("udgnet"):
        from benchmarks.baselines.networks import NETWORKS, derainer

        if name not in NETWORKS:
            raise SystemExit(f"--network {name}: give one of {', '.join(NETWORKS)}, or udgnet…")
        ready: Derain = derainer(name, weights)
        return ready
    net = udg.net.for_inference(udg.net.from_pretrained(weights))

    def derain(image: Array, angle: float | None = None) -> Array:
        result = udg.net.derain(image, net, angle="auto" if angle is None else angle)
        return quantize(result.derained, image.dtype, image.dtype)

    return derain


def _prior(seconds: float) -> Derain:
    from benchmarks.baselines.dip import deep_image_prior

    def derain(image: Array, angle: float | None = None) -> Array:
        colours = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
        eight = quantize(colours, image.dtype, np.uint8)
        derained = deep_image_prior(eight, iterations=10**6, seconds=seconds)
        derained = derained if image.ndim == 3 else derained[:, :, 0]
        return quantize(derained, np.uint8, image.dtype)

    return derain


def _on_unit(function: Callable[[Array], Array]) -> Derain:
    """A method for floats in [0, 1]."""

    def derain(image: Array, angle: float | None = None) -> Array:
        scaled = image.astype(np.float32) / np.iinfo(image.dtype).max
        return quantize(function(scaled), np.float32, image.dtype)

    return derain
