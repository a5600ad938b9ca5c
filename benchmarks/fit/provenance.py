"""Where the numbers of a parameter file come from, and what they depend on."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import udg
from udg.detection import density, rain_level, statistics, streaks
from udg.detection.parameters import streak_classifier

FOLDER = Path(streaks.__file__).parent
COMMAND = "python -m benchmarks refit DATA_DIR"
_CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]+")


def read(name: str) -> dict[str, Any]:
    """A parameter file, by its name without the suffix."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def write(name: str, content: dict[str, Any]) -> None:
    """Write a parameter file, a line a field; the provenance has a line for each of its own."""
    about = ",\n".join(f"  {_line(key, value)}" for key, value in content["provenance"].items())
    lines = [f' "provenance": {{\n{about}\n }}']
    lines += [f" {_line(key, value)}" for key, value in content.items() if key != "provenance"]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    (FOLDER / f"{name}.json").write_text(text, encoding="utf-8")


def made(numbers: dict[str, Any], **about: Any) -> dict[str, Any]:
    """The content of a parameter file whose numbers were made now.

    Parameters
    ----------
    numbers : dict
        Its fields.
    **about
        What else the provenance says: ``data``, ``scores``, and ``chosen`` where numbers are not
        fitted. The fingerprint is added by `signed`.
    """
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    provenance = {"command": COMMAND, "date": today, "version": udg.__version__, **about}
    return {"provenance": provenance, **numbers}


def signed(name: str, content: dict[str, Any], classifier: dict[str, Any]) -> dict[str, Any]:
    """The content with the fingerprint of what its numbers depend on, the classifier included."""
    about = content["provenance"] | {"fingerprint": fingerprint(name, classifier)}
    return content | {"provenance": about}


def rescored(old: dict[str, Any], new: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """The old numbers, with what was measured of them now and on which data."""
    now = new["provenance"]
    measured = {"scored": now["date"], "data": now["data"], "scores": scores}
    chosen = {"chosen": now["chosen"]} if "chosen" in now else {}
    return old | {"provenance": old["provenance"] | measured | chosen}


def fingerprint(name: str, classifier: dict[str, Any] | None = None) -> dict[str, str]:
    """Hashes of what the numbers of a file depend on, a part each.

    Names and order of the features, and the constants of the modules that compute them; not their
    text, so that a comment changes nothing, and not the constants' names.

    Parameters
    ----------
    name : {"streak_classifier", "rain_level", "reweighting"}
    classifier : dict, optional
        The fields of the streak classifier that the numbers were made with. Default: what is
        shipped.
    """
    fields = asdict(streak_classifier())
    known = _hash({key: (classifier or fields)[key] for key in fields})
    evidence = [field for field in rain_level.Evidence._fields if field != "mean_rain"]
    return {
        "streak_classifier": lambda: {
            "features": _hash(streaks.StreakFeatures._fields),
            **_constants(density, streaks),
        },
        "rain_level": lambda: {
            "features": _hash(evidence),
            **_constants(rain_level, statistics),
            "streak_classifier": known,
        },
        "reweighting": lambda: {**_constants(rain_level, statistics), "streak_classifier": known},
    }[name]()


def _constants(*modules: ModuleType) -> dict[str, str]:
    """A hash of the values of each module's constants."""
    return {
        module.__name__: _hash(
            sorted(repr(value) for name, value in vars(module).items() if _CONSTANT.fullmatch(name))
        )
        for module in modules
    }


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _line(key: str, value: Any) -> str:
    return f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
