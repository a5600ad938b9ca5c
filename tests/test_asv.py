"""The asv benchmarks run without asv, and their settings name what is there."""

import importlib.util
import inspect
import itertools
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks" / "asv"
TINY = {"shape": [(24, 40)]}


def load() -> ModuleType:
    """benchmarks/asv/benchmarks.py; skips where the tests run without a checkout."""
    path = FOLDER / "benchmarks.py"
    if not path.exists():
        pytest.skip("benchmarks/asv is not beside the tests: udg is installed, not a checkout")
    spec = importlib.util.spec_from_file_location("asv_benchmarks", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def suites() -> list[type]:
    if not FOLDER.exists():
        return []
    return [c for _, c in inspect.getmembers(load(), inspect.isclass) if hasattr(c, "setup")]


@pytest.mark.parametrize("suite", suites(), ids=lambda suite: suite.__name__)
def test_each_benchmark_runs_on_a_tiny_picture(suite: type) -> None:
    """Every method of every combination, as asv would call it, leaves its inputs as they were."""
    names = [name for name in vars(suite) if re.match("time_|peakmem_", name)]
    assert names
    values = zip(suite.param_names, suite.params, strict=True)
    for combination in itertools.product(*(TINY.get(name, value) for name, value in values)):
        bench = suite()
        bench.setup(*combination)
        inputs = {key: value.copy() for key, value in vars(bench).items() if hasattr(value, "copy")}
        for name in names:
            assert next(iter(inspect.signature(getattr(bench, name)).parameters)) == "shape"
            getattr(bench, name)(*combination)
        assert all((vars(bench)[key] == value).all() for key, value in inputs.items())


def test_there_are_times_and_peaks() -> None:
    names = [name for suite in suites() for name in vars(suite)]
    assert any(name.startswith("time_") for name in names)
    assert any(name.startswith("peakmem_") for name in names)


def test_the_picture_has_rain() -> None:
    """What is timed is a picture on which the solver has something to do."""
    import udg

    Y = load().street(48, 64)
    assert Y.shape == (48, 64)
    found = udg.minimize(udg.Problem(Y, udg.RAIN_WEIGHTS), udg.PrimalDual())
    assert found.iterations > 50
    assert float(found.estimate.R.sum()) > 0


def test_settings_point_into_the_repository() -> None:
    load()
    settings = json.loads((FOLDER / "asv.conf.json").read_text(encoding="utf-8"))
    assert (FOLDER / settings["repo"] / "setup.cfg").exists()
    assert (FOLDER / settings["benchmark_dir"] / "benchmarks.py").exists()
