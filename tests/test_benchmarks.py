"""`python -m benchmarks`: no script is forgotten, and one that fails does not stop the others.

That all of them run is tried by `python -m benchmarks --quick`, in scripts/check.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import __main__ as command
from benchmarks import catalogue
from benchmarks._shared import tiny
from benchmarks.catalogue import BENCHMARKS, NOT_LISTED, Benchmark, Step

NAMES = [benchmark.name for benchmark in BENCHMARKS]


# The list


def test_every_script_is_listed_or_said_not_to_be() -> None:
    listed = {step.module for benchmark in BENCHMARKS for step in benchmark.steps} - {"udg"}
    assert listed | set(NOT_LISTED) == catalogue.scripts()
    assert not listed & set(NOT_LISTED)


def test_names_are_unique_and_serve_as_folders() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for name in NAMES:
        assert name.replace("-", "").isalnum()
        assert catalogue.find(name).name == name
    with pytest.raises(KeyError):
        catalogue.find("table-99")


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=NAMES)
def test_nothing_is_left_to_fill_in(benchmark: Benchmark) -> None:
    out = Path("/results")
    for step in benchmark.steps:
        for quick in (False, True):
            words = step.arguments(Path("/pictures"), out, quick)
            assert not any("{" in word for word in words)


def test_arguments_are_filled_in() -> None:
    step = Step("some.module {data?} 'b c' --json {out}/a.json", "--size 8")
    assert step.module == "some.module"
    out = Path("with space")
    assert step.arguments(None, out) == ["b c", "--json", "with space/a.json"]
    assert step.arguments(Path("d"), out, quick=True) == [
        "d", "b c", "--json", "with space/a.json", "--size", "8"
    ]  # fmt: skip
    assert not step.needs_data
    assert Step("some.module {data}/x").needs_data


# Running


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Make a module that stands for a benchmark's."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def make(name: str, body: str) -> str:
        text = f"import sys, json, pathlib\n{body}\n"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return name

    return make


def test_one_that_fails_does_not_stop_the_others(
    script: Callable[[str, str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write = "pathlib.Path(sys.argv[1]).write_text(json.dumps(sys.argv[2:]))"
    bad = script("bad_one", "raise SystemExit('the reason [why]')")
    good = script("good_one", write)
    some = (
        Benchmark("bad", "fails", (Step(f"{bad} {{out}}"), Step(f"{good} {{out}}/never"))),
        Benchmark("good", "works", (Step(f"{good} {{out}}/a.json", "--small"),)),
        Benchmark("absent", "lacks", (Step(f"{good} {{out}}/a.json"),), needs=("no_such_module",)),
        Benchmark("device", "GPU", (Step(f"{good} {{out}}/a.json"),), gpu=True),
    )
    monkeypatch.setattr(command, "BENCHMARKS", some)
    monkeypatch.setattr(command, "_gpu", lambda: False)
    monkeypatch.setattr("benchmarks._shared.tiny.make", lambda folder: folder)
    out = tmp_path / "out"
    assert command.main(["--quick", "-o", str(out)]) == 1
    assert not (out / "bad" / "never").exists()
    assert "the reason [why]" in (out / "bad" / "log.txt").read_text(encoding="utf-8")
    assert json.loads((out / "good" / "a.json").read_text(encoding="utf-8")) == ["--small"]
    assert (out / "device" / "a.json").exists()  # a quick one does without
    printed = capsys.readouterr().out
    assert "the reason [why]" in printed
    for name, state in (("bad", "failed"), ("good", "done"), ("absent", "skipped")):
        assert any(name in line and state in line for line in printed.splitlines())

    assert command.main(["run", "all", "-o", str(tmp_path / "again")]) == 1
    assert not (tmp_path / "again" / "device").exists()


def test_run_takes_the_scripts_own_options(
    script: Callable[[str, str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "pathlib.Path(sys.argv[2]).write_text(json.dumps(sys.argv))"
    write = script("writing", body)
    mine = Benchmark("mine", "writes", (Step(f"{write} {{data}} {{out}}/a.json", "--small"),))
    monkeypatch.setattr(command, "BENCHMARKS", (mine,))
    monkeypatch.setattr(command, "find", lambda name: mine)
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    assert command.main(["run", "mine", str(data), "-o", str(out), "--steps", "3"]) == 0
    said = json.loads((out / "mine" / "a.json").read_text(encoding="utf-8"))
    assert said[1:] == [str(data), str(out / "mine" / "a.json"), "--steps", "3"]
    assert command.main(["run", "mine", "-o", str(out)]) == 1  # without its data


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "table-99"], "there is no 'table-99'"),
        (["--quick", "table-99"], "there is no 'table-99'"),
        (["run", "harm", "no/such/folder"], "there is no folder"),
        (["run", "all", "--steps", "3"], "options are for one script"),
    ],
)
def test_mistakes_are_told(
    arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as error:
        command.main(arguments)
    assert error.value.code == 2
    assert reason in capsys.readouterr().err


def test_list_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["list"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in NAMES)


# Tiny pictures


def test_tiny_data_has_the_folders_that_the_list_names(tmp_path: Path) -> None:
    from udg.batch.evaluation import find_pairs
    from udg.io.files import read

    data = tiny.make(tmp_path / "data")
    for benchmark in BENCHMARKS:
        for step in benchmark.steps:
            for word in step.arguments(data, tmp_path):
                if word.startswith(str(data)):
                    assert Path(word).is_dir()
    for name in ("rain100l-dev", "rain100h-dev"):
        pairs, unpaired = find_pairs(data / name)
        assert len(pairs) == 2
        assert not unpaired
        for rainy, clean in pairs:
            assert read(rainy).pixels.mean() > read(clean).pixels.mean()  # rain adds light
    labels = (data / "realrain60/angles.csv").read_text(encoding="utf-8").splitlines()
    assert labels[0] == "name,angle_deg"
    photos = {path.stem for path in (data / "realrain60/rainy").iterdir()}
    assert {line.split(",")[0] for line in labels[1:]} == photos
