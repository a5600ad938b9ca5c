"""The detection's parameter files are of the code that reads them, and say where they are from."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.fit import provenance, rain_level, reweighting
from udg.detection import density, parameters
from udg.detection.rain_level import Evidence
from udg.detection.reweighting import logit_threshold
from udg.detection.streaks import StreakFeatures

FILES = {
    "streak_classifier": parameters.streak_classifier(),
    "rain_level": parameters.rain_level_model(),
    "reweighting": parameters.reweighting_parameters(),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_has_the_fields_that_are_read(name: str) -> None:
    assert set(provenance.read(name)) == {"provenance", *(f.name for f in fields(FILES[name]))}


def test_a_file_is_of_the_features_that_are_computed() -> None:
    classifier, level = FILES["streak_classifier"], FILES["rain_level"]
    assert classifier.features == StreakFeatures._fields
    assert level.features == tuple(name for name in Evidence._fields if name != "mean_rain")
    assert len(level.coefficients) == len(level.features)
    shape = np.shape(classifier.inner)
    assert shape == (len(classifier.outer), len(classifier.features))
    assert len(classifier.inner_bias) == shape[0]
    assert len(classifier.centre) == len(classifier.scale) == shape[1]
    assert level.dry < level.certain


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_where_its_numbers_are_from(name: str) -> None:
    content = provenance.read(name)
    about = content["provenance"]
    assert about["command"] == provenance.COMMAND
    assert {"date", "version", "data", "scores", "fingerprint"} <= set(about)
    assert all(count > 0 for count in about["data"].values())
    assert about["scores"]
    by_hand = {"rain_level": rain_level.CHOSEN, "reweighting": reweighting.CHOSEN}
    if name in by_hand:
        assert set(about["chosen"]["fields"]) < set(content) - {"provenance"}
        assert about["chosen"]["by"] == by_hand[name]["by"]


@pytest.mark.parametrize("name", FILES)
def test_nothing_changed_that_the_numbers_depend_on(name: str) -> None:
    """Where it did, they are of other features: refit, or say that they were measured again."""
    assert provenance.read(name)["provenance"]["fingerprint"] == provenance.fingerprint(name), (
        f"run `{provenance.COMMAND} --write`, or, to keep the numbers, `--write provenance`"
    )


def test_a_fingerprint_follows_features_and_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: provenance.fingerprint(name) for name in FILES}
    monkeypatch.setattr(density, "_NEIGHBOURHOOD", 0.09)
    after = provenance.fingerprint("streak_classifier")
    changed = {part for part in after if after[part] != before["streak_classifier"][part]}
    assert changed == {"udg.detection.density"}
    monkeypatch.setattr(StreakFeatures, "_fields", (*StreakFeatures._fields[1:], "density"))
    assert provenance.fingerprint("streak_classifier")["features"] != after["features"]

    other = provenance.read("streak_classifier")
    other["bias"] += 1
    for name in ("rain_level", "reweighting"):  # made with the classifier
        now = provenance.fingerprint(name, other)
        parts = {part for part in now if now[part] != before[name][part]}
        assert parts == {"streak_classifier"}


def test_a_written_file_is_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = provenance.read("rain_level")
    monkeypatch.setattr(provenance, "FOLDER", tmp_path)
    provenance.write("rain_level", content)
    assert provenance.read("rain_level") == content
    text = (tmp_path / "rain_level.json").read_text(encoding="utf-8")
    assert text.splitlines()[1] == ' "provenance": {'
    assert json.loads(text) == content


def test_old_numbers_are_scored_anew() -> None:
    old = {"provenance": {"date": "2020-01-01", "note": "kept", "scores": {"a": 0}}, "bias": 1.0}
    new = provenance.made({"bias": 2.0}, data={"set": 3}, scores={"a": 1}, chosen={"by": "eye"})
    found = provenance.rescored(old, new, {"a": 0.5})
    assert found["bias"] == 1.0
    about = found["provenance"]
    assert (about["date"], about["note"]) == ("2020-01-01", "kept")
    assert about["scored"] == new["provenance"]["date"]
    assert (about["data"], about["scores"]) == ({"set": 3}, {"a": 0.5})
    assert about["chosen"] == {"by": "eye"}


def rows(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Evidence in rainy and dry pictures, in which only the first feature tells."""
    made = []
    for number in range(60):
        values = {name: float(rng.normal()) for name in Evidence._fields}
        wet = number % 2 == 0
        values |= {"confidence": 2.0 * wet + float(rng.normal(0, 0.3)), "mean_rain": 0.01}
        row = {"set": "realrain60" if wet else "kodak24", "name": str(number), **values}
        made.append(row | {"logit": 1.0 if wet else -9.0, "level": float(wet)})
    return made


def test_the_rain_level_is_fitted_by_what_tells(rng: np.random.Generator) -> None:
    found = rows(rng)
    content = rain_level.refit(found)
    coefficients = dict(zip(content["features"], content["coefficients"], strict=True))
    assert max(coefficients, key=lambda name: abs(coefficients[name])) == "confidence"
    assert coefficients["confidence"] > 0
    old = parameters.rain_level_model()
    assert (content["dry"], content["certain"]) == (old.dry, old.certain)
    about = content["provenance"]
    assert about["data"] == {"realrain60": 30, "kodak24": 30}
    assert about["scores"]["kodak24"]["level 0"] == 1
    assert about["scores"]["realrain60"]["level > 0"] == 1
    assert rain_level.misses(found) == {"realrain60": {}, "kodak24": {}}


def test_no_rain_at_all_is_level_0_whatever_is_fitted(rng: np.random.Generator) -> None:
    found = rows(rng)
    found[0]["logit"] = -np.inf
    rain_level.refit(found)
    assert found[0]["fitted level"] == 0
    assert found[2]["fitted level"] > 0


def test_the_typical_logit_has_the_mean_threshold_of_rainy_pictures(
    rng: np.random.Generator,
) -> None:
    found = rows(rng)
    content = reweighting.refit(found)
    logits = [row["streak_logit"] for row in found if row["set"] == "realrain60"]
    wanted = np.mean([logit_threshold(logit) for logit in logits])
    assert logit_threshold(content["typical_logit"]) == pytest.approx(wanted, abs=1e-3)
    old = provenance.read("reweighting")
    kept = set(old) - {"provenance", "typical_logit"}
    assert all(content[name] == old[name] for name in kept)
    assert set(content["provenance"]["chosen"]["fields"]) == kept


def test_places_are_judged_by_hand() -> None:
    pytest.importorskip("torch", reason="pip install 'udg[net]'")
    from benchmarks.fit import streaks

    share, weight = np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4)
    perfect = streaks.judged(np.array([-9.0, -8.0, 8.0, 9.0]), share, weight)
    assert perfect["area under the curve"] == 1
    assert perfect["loss"] < 1e-3
    useless = streaks.judged(np.array([1.0, 2.0, 1.0, 2.0]), share, weight)
    assert useless["area under the curve"] == pytest.approx(0.5, abs=0.26)
    assert streaks.judged(np.zeros(4), share, weight)["loss"] == pytest.approx(0.6931)


def test_old_and_new_are_laid_side_by_side() -> None:
    pytest.importorskip("torch", reason="pip install 'udg[net]'")
    from benchmarks.fit import refit

    old = {name: provenance.read(name) for name in refit.ORDER}
    new = {name: json.loads(json.dumps(content)) for name, content in old.items()}
    new["rain_level"]["coefficients"][2] += 1
    new["streak_classifier"]["inner"][3][4] += 0.25
    found = {row[:2]: row[2:] for row in refit.compared(old, new)}
    spread = found["rain_level", "coefficients, spread"]
    assert float(spread[1]) == pytest.approx(float(spread[0]) + 1)
    assert found["streak_classifier", "inner"][1] == "±0.25"
    assert found["reweighting", "draft_factor"] == ("0.5", "0.5")
