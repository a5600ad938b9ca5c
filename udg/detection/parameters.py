"""Fitted and chosen numbers of the detection: read from JSON beside the code, with provenance.

Each file says by which command, from which data and when its numbers were made, and for which
features. ``python -m benchmarks refit DATA_DIR`` makes them anew, in the order in which they depend
on each other.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = [
    "RainLevelModel",
    "Reweighting",
    "StreakClassifier",
    "rain_level_model",
    "reweighting_parameters",
    "streak_classifier",
]

Vector = tuple[float, ...]


@dataclass(frozen=True)
class StreakClassifier:
    """A logistic regression with one hidden layer: Σ outer · tanh(inner · z + inner_bias) + bias.

    Attributes
    ----------
    features : tuple of str
        Their names, in the order of the columns.
    centre, scale : tuple of float
        z = (feature − centre) / scale, clipped to ±3.
    inner : tuple of tuple of float
        A row a hidden unit.
    inner_bias, outer : tuple of float
        One a hidden unit.
    bias : float
    """

    features: tuple[str, ...]
    centre: Vector
    scale: Vector
    inner: tuple[Vector, ...]
    inner_bias: Vector
    outer: Vector
    bias: float


@dataclass(frozen=True)
class RainLevelModel:
    """A logistic regression of "there is rain" on the evidence in a picture, and two thresholds.

    Attributes
    ----------
    features : tuple of str
        Fields of `udg.detection.rain_level.Evidence`.
    coefficients : tuple of float
        One a feature.
    bias : float
    dry, certain : float
        Logits at which the rain level is 0 and 1; in between it is linear.
    """

    features: tuple[str, ...]
    coefficients: Vector
    bias: float
    dry: float
    certain: float


@dataclass(frozen=True)
class Reweighting:
    """How a stage's result weighs the ℓ1 norm of the next one.

    Attributes
    ----------
    draft_factor : float
        Factor on `lam_r` of a first stage that a reweighted one follows. Lower over-detects more.
    threshold_offset, threshold_slope : float
        The logit threshold is offset + slope · the picture's mean streak logit …
    min_threshold, max_threshold : float
        … within these.
    typical_logit : float
        Mean streak logit of a picture for which it was not measured.
    haze_slope : float
        What is added to the threshold, times log(`lam_r` / its default): the lower the weight, the
        more is taken.
    min_factor, max_factor : float
        Bounds of the classifier's factor on `lam_r`.
    classifier_power : float
        Power of that factor; 0 leaves the classifier out.
    density_power : float
        Power of the factor for implausible rain density.
    faint : float
        Brightness of rain, in units of `lam_r`, …
    faint_factor : float
        … at which its factor is this; brighter rain has a smaller one.
    """

    draft_factor: float
    threshold_offset: float
    threshold_slope: float
    min_threshold: float
    max_threshold: float
    typical_logit: float
    haze_slope: float
    min_factor: float
    max_factor: float
    classifier_power: float
    density_power: float
    faint: float
    faint_factor: float


@cache
def streak_classifier() -> StreakClassifier:
    """The classifier that is shipped."""
    return StreakClassifier(**_read("streak_classifier.json", StreakClassifier))


@cache
def rain_level_model() -> RainLevelModel:
    """The model that is shipped."""
    return RainLevelModel(**_read("rain_level.json", RainLevelModel))


@cache
def reweighting_parameters() -> Reweighting:
    """The parameters that are shipped."""
    return Reweighting(**_read("reweighting.json", Reweighting))


def _read(name: str, kind: type) -> dict[str, Any]:
    """The fields of a parameter file; its provenance is for people and tests."""
    content = json.loads((files("udg.detection") / name).read_text(encoding="utf-8"))
    return {field.name: _frozen(content[field.name]) for field in fields(kind)}


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
