from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import udg
from udg import _compiling
from udg.cli import main
from udg.errors import InvalidInput
from udg.io import files
from udg.io.picture import Picture, quantize
from udg.model.energy import Weights


def noise(shape=(20, 30, 3), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype)


def result_for(image, **settings):
    """What `udg.solve` returns, with rain that is 0.1 everywhere unless its level is 0."""
    full = np.iinfo(image.dtype).max
    angle, level = settings.get("angle", "auto"), settings.get("rain_level", "auto")
    level = 0.75 if level == "auto" else level
    rain = np.full(image.shape[:2], 0.1 if level else 0, np.float32)
    several = [result_for(image, angle=one) for one in angle] if isinstance(angle, list) else []
    return SimpleNamespace(
        convergence=0.0,
        derained=np.clip(
            image - full * rain.reshape(rain.shape + (1,) * (image.ndim - 2)), 0, full
        ),
        rain=rain,
        rain_level=level,
        layers=tuple(several),
        angle=several[0].angle if several else 12.5 if angle == "auto" else angle,
        confidence=None,
        weights=Weights(0.002, 0.15, 0.05, 0.01),
        model=settings.get("model", "rain"),
        objective=1.5,
        gap=float("inf"),
        iterations=7,
        reason="max_iter",
        seconds=0.25,
        iteration_seconds=0.125,
        screen_fraction=0.5,
        working_scale=0.5,
        stages=(),
    )


@pytest.fixture
def solved(monkeypatch):
    """Replace `udg.solve` by something quick; gives the settings of its calls."""
    calls = []

    def solve(image, **settings):
        calls.append(settings)
        return result_for(image, **settings)

    monkeypatch.setattr(udg, "solve", solve)
    return calls


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Three pictures in rainy/, the current folder; nothing hidden may be left."""
    monkeypatch.chdir(tmp_path)
    Path("rainy").mkdir()
    for number, name in enumerate(("a.png", "b.jpg", "c.tif")):
        files.write(Path("rainy", name), noise(seed=number))
    yield tmp_path
    assert not list(tmp_path.rglob(".*"))


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


pytestmark = pytest.mark.usefixtures("folder")


# derain


def test_folder_to_folder(solved):
    result = call("derain", "rainy", "-o", "out")
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.jpg", "c.tif"]
    for name, format in (("a.png", "PNG"), ("b.jpg", "JPEG"), ("c.tif", "TIFF")):
        assert files.read(Path("out", name)).format == format
    lines = result.stdout.splitlines()
    assert lines[0].split("\t")[:4] == ["picture", "result", "angle", "rain level"]
    *facts, seconds = lines[1].split("\t")[2:]
    assert facts == ["12.5", "0.75", "", "7"]
    assert 0 <= float(seconds) < 60
    assert [line.split("\t")[1] for line in lines[1:]] == ["out/a.png", "out/b.jpg", "out/c.tif"]
    assert solved == [{"angle": "auto"}] * 3


def test_one_file_to_another_format_and_options_passed_on(solved):
    options = "--angle -12 --tau .1 --lam-x .2 --lam-y .3 --lam-r .4 --model signed --method joint"
    call(
        *("derain", "rainy/a.png", "-o", "new/x.tif", *options.split()),
        *("--tol", ".01", "--max-iter", "5", "--save-rain"),
    )
    assert solved == [
        {
            "angle": -12.0,
            "tau": 0.1,
            "lam_x": 0.2,
            "lam_y": 0.3,
            "lam_r": 0.4,
            "model": "signed",
            "method": "joint",
            "tol": 0.01,
            "max_iter": 5,
        }
    ]
    expected = np.rint(np.clip(noise() - 25.5, 0, 255))
    np.testing.assert_allclose(files.read("new/x.tif").pixels, expected, atol=1)
    layer = files.read("new/x_rain.png").pixels
    assert layer.dtype == np.uint16
    assert set(layer.ravel()) == {round(0.55 * 65535)}  # middle grey is no rain


def test_options_of_what_happens_by_itself(solved):
    call(
        *("derain", "rainy/a.png", "-o", "x.png", "--strength", ".7", "--rain-level", ".4"),
        *("--layers", "2", "--stages", "1", "--convergence", "-4"),
    )
    call("derain", "rainy/a.png", "-o", "y.png", "--layers", "auto", "--rain-level", "auto")
    call("derain", "rainy/a.png", "-o", "z.png", "--convergence", "auto", "--model", "stripes")
    assert solved == [
        {"angle": "auto", "strength": 0.7, "rain_level": 0.4, "n_layers": 2}
        | {"stages": 1, "convergence": -4.0},
        {"angle": "auto", "rain_level": "auto", "n_layers": "auto"},
        {"angle": "auto", "convergence": "auto", "model": "stripes"},
    ]


@pytest.mark.parametrize("given", ["--angle 12,-20", "--angle 12 --angle -20", "--angle=12, -20"])
def test_several_directions(solved, given):
    options = [given] if "=" in given else given.split()
    result = call("derain", "rainy/a.png", "-o", "x.png", *options, "--json", "report.json")
    assert solved == [{"angle": [12.0, -20.0]}]
    row = result.stdout.splitlines()[1].split("\t")
    assert row[2:-1] == ["12.0 -20.0", "0.75 0.75", "", "14"]
    facts = json.loads(Path("report.json").read_text())["files"][0]
    assert facts["angle"] == 12
    assert [layer["angle"] for layer in facts["layers"]] == [12, -20]
    assert facts["layers"][1] == {
        "angle": -20.0,
        "convergence": 0.0,
        "confidence": None,
        "rain_level": 0.75,
        "gap": None,
        "iterations": 7,
        "seconds": 0.25,
        "iteration_seconds": 0.125,
        "stages": [],
    }


def test_no_rain_is_said_and_the_picture_written_unchanged():
    y, x = np.mgrid[:64, :80]
    smooth = np.stack([60 + x, 80 + y, 200 - x], axis=2).astype(np.uint8)
    files.write("dry.png", smooth)
    result = call("derain", "dry.png", "-o", "out.png", "--json", "report.json")
    assert result.stdout.splitlines()[1].split("\t")[3] == "no rain found"
    assert json.loads(Path("report.json").read_text())["files"][0]["rain_level"] == 0
    np.testing.assert_array_equal(files.read("out.png").pixels, smooth)


@pytest.mark.parametrize(("angles", "directions"), [([12, -20], "2"), ([12], "1"), ([], "0")])
def test_directions_that_were_found_are_counted(monkeypatch, angles, directions):
    def solve(image, **settings):
        result = result_for(image, rain_level="auto" if angles else 0)
        if len(angles) > 1:  # as `udg.solve` does: a single one is the result itself
            result.layers = tuple(result_for(image, angle=angle) for angle in angles)
        return result

    monkeypatch.setattr(udg, "solve", solve)
    for number, layers in enumerate(("auto", "3")):
        result = call("derain", "rainy/a.png", "-o", f"{number}.png", "--layers", layers)
        names, facts = (line.split("\t") for line in result.stdout.splitlines())
        assert names[2:4] == ["directions", "angle"]
        assert facts[2] == directions


def test_the_gap_is_in_per_cent_where_people_read_it(monkeypatch):
    def solve(image, **settings):
        result = result_for(image)
        result.gap = 0.00834
        return result

    monkeypatch.setattr(udg, "solve", solve)
    result = call("derain", "rainy/a.png", "-o", "x.png", "--json", "x.json")
    assert result.stdout.splitlines()[1].split("\t")[4] == "0.83 %"
    assert json.loads(Path("x.json").read_text())["files"][0]["gap"] == 0.00834
    assert "at most 0.83 % above the minimum (gap)" in call("demo").stdout
    Path("pairs/clean").mkdir(parents=True)
    Path("rainy").rename("pairs/rainy")
    files.write("pairs/clean/a.png", noise())
    result = call("evaluate", "pairs", "--json", "y.json", code=1)
    assert result.stdout.splitlines()[1].split("\t")[-1] == "0.83 %"
    assert json.loads(Path("y.json").read_text())["pictures"][0]["gap"] == 0.00834


@pytest.mark.usefixtures("solved")
def test_level_0_that_was_asked_for_is_no_finding():
    result = call("derain", "rainy/a.png", "-o", "out.png", "--rain-level", "0")
    assert result.stdout.splitlines()[1].split("\t")[3] == "0.00 as asked"
    np.testing.assert_array_equal(files.read("out.png").pixels, noise())


@pytest.mark.usefixtures("solved")
def test_rain_layer_is_16_bit_grey():
    call("derain", "rainy/a.png", "-o", "x.png", "--save-rain")
    layer = files.read("x_rain.png").pixels
    assert layer.shape == (20, 30)
    np.testing.assert_array_equal(layer, round(0.1 * 65535))


@pytest.mark.usefixtures("solved")
def test_depth_alpha_and_profile_are_kept():
    pixels = noise((8, 9, 4), np.uint16)
    files.write("deep.png", pixels, Picture(pixels, "PNG", dpi=(300, 300)))
    call("derain", "deep.png", "-o", "out.png")
    picture = files.read("out.png")
    assert picture.pixels.dtype == np.uint16
    assert picture.dpi == pytest.approx((300, 300), rel=1e-3)


@pytest.mark.usefixtures("solved")
def test_one_bad_file_does_not_stop_the_rest():
    Path("rainy/bad.png").write_bytes(b"not a picture")
    result = call("derain", "rainy", "missing.png", "-o", "out", code=1)
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.png", "b.jpg", "c.tif"]
    assert "2 of 5 failed" in result.stderr
    assert "rainy/bad.png is not a picture" in result.stderr
    assert "cannot read missing.png: it does not exist" in result.stderr
    assert "Traceback" not in result.output


def test_unexpected_error_is_that_files_failure(monkeypatch):
    def solve(image, **settings):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(udg, "solve", solve)
    result = call("derain", "rainy/a.png", "-o", "out", code=1)
    assert "rainy/a.png: ZeroDivisionError: a bug" in result.stderr
    assert "Traceback" not in result.stderr
    result = call("derain", "rainy/a.png", "-o", "out", "--debug", code=1)
    assert 'raise ZeroDivisionError("a bug")' in result.stderr


def test_image_refused_by_the_method_is_named(monkeypatch):
    def solve(image, **settings):
        raise InvalidInput("the image is too small")

    monkeypatch.setattr(udg, "solve", solve)
    result = call("derain", "rainy/a.png", "-o", "out", code=1)
    assert "rainy/a.png: the image is too small" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("derain", "Missing argument 'IN...'. For example: udg derain rainy.jpg -o derained.jpg"),
        ("derain rainy", "'--output'. For example: udg derain rainy.jpg -o derained.jpg"),
        ("synthesize rainy", "For example: udg synthesize clean.png -o rainy.png"),
        ("train rainy", "For example: udg train photos/ -o run/"),
        ("derain rainy -o out --strenght 1", "'--strenght'. Did you mean '--strength'?\n"),
        ("derain rainy -o out --angle 80", "in any direction use --model stripes"),
        ("evaluate rainy --angle 12,-80", "--angle is -80°"),
        ("derain rainy -o out --widest 9 --lam-r 1", "--widest decides --lam-r; give one of"),
        ("derain rainy -o out --widest 1", "--widest is 1.0; give pixels, a number above 1"),
        ("derain rainy -o out --model signed --stages 2", "above 1 are for --model rain"),
        ("derain rainy -o out --stages 3", "--stages is 3; give 1 or an even number"),
        ("derain rainy -o out --convergence 30", "give degrees within ±20, or auto"),
        ("evaluate rainy --convergence wide", "'wide' cannot be used; give degrees within ±20"),
        ("derain rainy -o out -v -q", "give one of them"),
        ("derain rainy -o out --log rainy/a.png", "rainy/a.png is an input or output"),
        ("derain rainy/a.png -o x.png --log x.png", "x.png is an input or output"),
        ("derain rainy/a.png -o x.png --log x.json --json x.json", "is an input or output"),
        ("derain rainy -o out --log out/run.log", "there is no folder out"),
        ("angle rainy --log rainy", "rainy is a folder"),
        ("derain rainy -o out --angle left", "give a number of degrees, or auto"),
        ("derain rainy -o out --angle nan", "give a number of degrees, or auto"),
        ("derain rainy -o out --angle 12,left", "give a number of degrees, or auto"),
        ("derain rainy -o out --angle 12 --angle auto", "degrees, or auto"),
        ("derain rainy -o out --angle 12,-20 --layers 2", "use one of them"),
        ("evaluate rainy --angle 12 --layers auto", "use one of them"),
        ("derain rainy -o out --layers 0", "give a whole number from 1 on, or auto"),
        ("derain rainy -o out --layers two", "'two' cannot be used; give a whole number from 1 on"),
        ("derain rainy -o out --rain-level 2", "give a number from 0 to 1, or auto"),
        ("derain rainy -o out --rain-level nan", "or auto"),
        ("derain rainy -o out --strength 1.5", "1.5"),
        ("derain rainy -o out --stages 0", "stages"),
        ("derain rainy -o out --tau -1", "-1"),
        ("derain rainy -o out --model sideways", "sideways"),
        ("derain rainy -o out --jobs 0", "jobs"),
        ("derain rainy -o out --resume --overwrite", "give one of them"),
        ("derain rainy -o out.png", "one file for 3 pictures"),
        ("derain rainy -o rainy", "is an input"),
        ("derain nothing* -o out", "no picture matches"),
        ("derain rainy/a.png -o a.gif", "suffix"),
        ("evaluate nowhere", "nowhere"),
        ("angle", "Missing argument"),
        ("wash rainy", "No such command"),
    ],
)
def test_usage_errors_come_before_any_work(solved, arguments, message):
    result = call(*arguments.split(), code=2)
    assert message in result.stderr
    assert solved == []
    assert not Path("out").exists()


@pytest.mark.usefixtures("solved")
def test_existing_results_need_overwrite():
    call("derain", "rainy/a.png", "-o", "x.png")
    before = Path("x.png").read_bytes()
    result = call("derain", "rainy/c.tif", "-o", "x.png", code=2)
    assert "x.png already exists" in result.stderr
    assert Path("x.png").read_bytes() == before
    call("derain", "rainy/c.tif", "-o", "x.png", "--overwrite")
    assert Path("x.png").read_bytes() != before


def test_resume_does_the_rest(solved):
    call("derain", "rainy/b.jpg", "-o", "out/b.jpg")
    result = call("derain", "rainy", "-o", "out", "--resume", "--json", "report.json")
    assert "1 done before" in result.stderr
    assert len(solved) == 3
    report = json.loads(Path("report.json").read_text())
    assert {file["input"]: file["status"] for file in report["files"]} == {
        "rainy/a.png": "done",
        "rainy/b.jpg": "skipped",
        "rainy/c.tif": "done",
    }


def test_interrupt_keeps_what_is_finished(monkeypatch):
    calls = []

    def solve(image, **settings):
        calls.append(settings)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return result_for(image)

    monkeypatch.setattr(udg, "solve", solve)
    result = call("derain", "rainy", "-o", "out", "--json", "-", code=130)
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]
    assert "--resume" in result.stderr
    report = json.loads(result.stdout)
    assert report["interrupted"]
    assert [file["input"] for file in report["files"]] == ["rainy/a.png"]
    call("derain", "rainy", "-o", "out", "--resume")
    assert len(list(Path("out").iterdir())) == 3
    assert len(calls) == 4


@pytest.mark.usefixtures("solved")
def test_json_is_clean_and_complete():
    Path("rainy/bad.png").touch()
    result = call("derain", "rainy", "-o", "out", "--save-rain", "--json", "-", code=1)
    report = json.loads(result.stdout)
    assert report["udg"] == udg.__version__
    assert report["failed"] == 1
    assert not report["interrupted"]
    first, _, bad, _ = report["files"]
    assert 0 < first.pop("seconds") < 60  # all of it, the files included
    assert first == {
        "input": "rainy/a.png",
        "output": "out/a.png",
        "rain": "out/a_rain.png",
        "status": "done",
        "angle": 12.5,
        "convergence": 0.0,
        "confidence": None,
        "rain_level": 0.75,
        "weights": {"tau": 0.002, "lam_x": 0.15, "lam_y": 0.05, "lam_r": 0.01},
        "objective": 1.5,
        "gap": None,
        "iterations": 7,
        "reason": "max_iter",
        "iteration_seconds": 0.125,
        "screen_fraction": 0.5,
        "working_scale": 0.5,
        "stages": [],
        "layers": [],
    }
    assert bad["input"] == "rainy/bad.png"
    assert "is empty" in bad["error"]


@pytest.mark.usefixtures("solved")
def test_quiet_says_nothing_if_all_went_well():
    result = call("derain", "rainy", "-o", "out", "-q")
    assert result.output == ""


@pytest.mark.usefixtures("solved")
def test_what_a_format_cannot_hold_is_noted():
    files.write("clear.png", noise((8, 9, 4)))
    result = call("derain", "clear.png", "-o", "out.jpg")
    assert "note: out.jpg: JPEG cannot hold transparency" in result.stderr


@pytest.mark.usefixtures("solved")
def test_folder_that_cannot_be_made():
    Path("file").touch()
    result = call("derain", "rainy/a.png", "-o", "file/out/x.png", code=1)
    assert "cannot make the folder file/out" in result.stderr


def test_the_real_method():
    clean = np.full((48, 56, 3), 90, np.uint8)
    files.write("clean.png", clean)
    call("synthesize", "clean.png", "-o", "rain.png", "--angle", "10", "--seed", "1")
    call("derain", "rain.png", "-o", "x.png", "--method", "joint", "--angle", "10", "--save-rain")
    before, after = (
        np.abs(files.read(name).pixels.astype(float) - clean).mean()
        for name in ("rain.png", "x.png")
    )
    assert after < before / 2


# The other commands


def test_demo(solved):
    result = call("demo")
    panels = files.read("udg-demo.png").pixels
    width = panels.shape[1]
    side = (width - 16) // 3
    assert (panels[:, side : side + 8] == 255).all()
    left, middle = panels[:, :side].astype(float), panels[:, side + 8 : 2 * side + 8].astype(float)
    np.testing.assert_allclose(middle, np.clip(left - 25.5, 0, 255), atol=0.51)
    np.testing.assert_allclose(panels[:, -side:], 0.9 * 255, atol=1)
    assert "udg-demo.png: input | derained | rain, shown 9.0× brighter" in result.stdout
    assert "angle 12.5°, rain level 0.75" in result.stdout
    call("demo", "--strength", "0.8", "-o", "strong.png")
    assert solved == [{}, {"strength": 0.8}]
    assert "already exists" in call("demo", code=2).stderr
    call("demo", "--overwrite", "-o", "udg-demo.png")
    assert "suffix" in call("demo", "-o", "x.gif", code=1).stderr


@pytest.mark.parametrize("jobs", [1, 2])
def test_angle(jobs):
    for name, degrees in (("left.png", -15), ("right.png", 20)):
        rainy = udg.synthesize(np.full((128, 128), 90, np.uint8), angle=degrees, seed=2).rainy
        files.write(name, rainy.astype(np.uint8))
    Path("bad.png").touch()
    names = ("left.png", "bad.png", "right.png")
    result = call("angle", *names, "--json", "-", "--jobs", jobs, code=1)
    left, bad, right = json.loads(result.stdout)["files"]
    assert left["angle"] == pytest.approx(-15, abs=2)
    assert right["angle"] == pytest.approx(20, abs=2)
    assert 0 <= left["confidence"] <= 1
    assert bad["status"] == "failed"
    table = call("angle", "left.png").stdout.splitlines()
    assert table[0] == "picture\tangle\tconfidence"
    assert float(table[1].split("\t")[1]) == pytest.approx(left["angle"], abs=0.06)


def test_synthesize_is_seeded_and_every_picture_has_its_own_rain():
    Path("clean").mkdir()
    for name in ("a.png", "b.png"):
        files.write(Path("clean", name), np.full((64, 64, 3), 80, np.uint8))
    options = ("--length", 20, "--density", 0.2, "--blend", "add", "--save-rain")
    call("synthesize", "clean", "-o", "one", *options, "--seed", 5)
    call("synthesize", "clean/b.png", "-o", "two", *options, "--seed", 6)
    first, second = (files.read(Path("one", name)).pixels for name in ("a.png", "b.png"))
    assert (first != second).any()
    np.testing.assert_array_equal(second, files.read("two/b.png").pixels)
    layer = files.read("two/b_rain.png").pixels / 65535
    np.testing.assert_allclose(second[..., 0], np.minimum(80 + 255 * layer, 255), atol=0.51)


def test_help_and_version():
    for command in ((), ("derain",), ("demo",), ("angle",), ("synthesize",), ("evaluate",)):
        assert "Usage" in call(*command, "--help").stdout
    assert udg.__version__ in call("--version").stdout


def sections(name):
    """Options of a command, as its help has them, by heading."""
    text = call(name, "--help").stdout
    found = re.split(r"^(\S.*):\n", text[text.index("\n\n") :], flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_options_stand_under_headings():
    derain, train = sections("derain"), sections("train")
    assert list(derain) == [
        "Input and output",
        "What is taken for rain",
        "Solver",
        "Weights of the energy, which --strength moves",
        "Network, with --method net",
        "Large pictures",
        "Many pictures",
        "Reports",
        "Other",
    ]
    assert "--output" in derain["Input and output"]
    assert "--strength" in derain["What is taken for rain"]
    assert "--lam-r" in derain["Weights of the energy, which --strength moves"]
    assert "--overlap" in derain["Large pictures"]
    assert "--report" in derain["Reports"]
    assert "--help" in derain["Other"]
    assert "--steps" in train["Steps"]
    assert list(sections("angle")) == ["Options"]


def test_help_names_the_defaults_of_the_library():
    def said(command):
        options = main.commands[command].params
        texts = {option.name: getattr(option, "show_default", None) for option in options}
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    derain = said("derain")
    assert said("evaluate").items() <= derain.items()
    solve = inspect.signature(udg.solve).parameters
    rain, stripes = (udg.pipeline.options._DEFAULTS[model] for model in ("rain", "signed"))
    for weight in ("tau", "lam_x", "lam_y", "lam_r"):
        assert re.findall(r"[\d.]+", derain.pop(weight)) == [
            f"{defaults[weight]:g}" for defaults in (rain, stripes, udg.PAPER)
        ]
    assert derain.pop("stages") == f"{rain['stages']}; {stripes['stages']} with --model signed"
    assert derain.pop("convergence").startswith(
        f"{rain['convergence']}; {stripes['convergence']:g}"
    )
    assert derain.pop("method") == rain["method"] == stripes["method"]
    assert derain.pop("tol") == f"{solve['tol'].default}, which is 1 %"
    assert derain.pop("strength") == str(solve["strength"].default)
    assert derain.pop("n_layers") == "auto; 1 with a given --rain-level"
    for name in ("rain_level", "working_scale"):
        assert derain.pop(name).startswith(solve[name].default)
    assert derain.pop("model").startswith("rain")
    assert float(derain.pop("widest").split(",")[0]) == 2 * rain["lam_y"] / rain["lam_r"]
    length = 2 * rain["lam_x"] / (2 * rain["lam_y"] - rain["lam_r"])
    assert derain.pop("shortest") == f"{length:.1f}"
    assert [int(number) for number in re.findall(r"\d+", derain.pop("max_iter"))] == [
        method.default_max_iter for method in (udg.PrimalDual(), udg.Joint(), udg.Alternating())
    ]
    assert derain.pop("jobs").startswith("one a core")
    assert derain.pop("overlap").startswith(str(udg.pipeline.planning.OVERLAP))
    assert derain.keys() == {"weights", "adapt", "stream", "device"}  # the network's
    rendered = inspect.signature(udg.synthesize).parameters
    for name, default in said("synthesize").items():
        assert type(rendered[name].default)(default) == rendered[name].default


# Compiling

KERNEL = """
from numba import njit

@njit(cache=True)
def kernel(x):
    return x + 1
"""


def told_of_compiling(path):
    """How often it is said while a function in a file is called for two types, in a new process."""
    code = f"""
import importlib.util, sys
import udg.model._duality_numba  # watches
from udg import _compiling

spec = importlib.util.spec_from_file_location("udg._tried", {str(path)!r})
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
spec.loader.exec_module(module)
said = []
with _compiling.told(lambda: said.append(1)):
    module.kernel(1), module.kernel(1.0)
print(len(said))
"""
    return int(run_python(["-c", code], stdout=subprocess.PIPE).communicate(timeout=60)[0])


def test_compiling_is_announced_once_and_loading_from_the_cache_is_not(monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "cache")
    Path("kernel.py").write_text(KERNEL)
    assert [told_of_compiling("kernel.py") for _ in range(2)] == [1, 0]


def announce_and_solve(image, **settings):
    _compiling.announce()
    return result_for(image)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("derain rainy -o out", True),
        ("evaluate rainy/..", True),
        ("demo", True),
        ("derain rainy -o out -q", False),
        ("derain rainy -o out --json -", False),
        ("demo -q", False),
    ],
)
def test_compiling_is_said_once_unless_it_would_be_in_the_way(monkeypatch, options, said):
    Path("clean").mkdir()
    files.write("clean/a.png", noise())
    monkeypatch.setattr(udg, "solve", announce_and_solve)
    result = CliRunner().invoke(main, options.split())
    assert result.stderr.count("udg: compiling, once on this machine") == said


@pytest.mark.usefixtures("solved")
def test_nothing_is_said_if_nothing_is_compiled():
    assert "compiling" not in call("derain", "rainy", "-o", "out").stderr


def run_python(code, **options):
    environment = os.environ | {"PYTHONPATH": str(Path(udg.__file__).parents[1])}
    return subprocess.Popen([sys.executable, *code], env=environment, text=True, **options)


def test_help_imports_nothing_slow():
    code = (
        "import sys, udg.cli; from click.testing import CliRunner;"
        "CliRunner().invoke(udg.cli.main, ['derain', '--help']);"
        "print([name for name in ('rich', 'numba', 'skimage', 'tifffile', 'imagecodecs', 'PIL')"
        " if name in sys.modules])"
    )
    process = run_python(["-c", code], stdout=subprocess.PIPE)
    assert process.communicate(timeout=60)[0].strip() == "[]"


SLOW = """
import signal, time
from pathlib import Path
import numpy as np, udg
from types import SimpleNamespace

def solve(image, **settings):
    if image[0, 0, 0] == 0:  # every picture but the first takes for ever
        Path("started").touch()
        time.sleep(120)
    rain = np.zeros(image.shape[:2], np.float32)
    return SimpleNamespace(
        convergence=0.0,
        derained=image.astype(np.float32), rain=rain, angle=0.0, confidence=None,
        rain_level=1.0, layers=(),
        weights=udg.RAIN_WEIGHTS, model="rain", objective=0.0, gap=0.0, iterations=1,
        reason="gap", seconds=0.0, iteration_seconds=0.0, screen_fraction=0.0,
        working_scale=1.0, stages=(),
    )

udg.solve = solve
if __name__ == "__main__":
    from udg.cli import main
    # A test run in the background of a shell has Ctrl-C ignored, and hands that on.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main()
"""


@pytest.mark.skipif(os.name == "nt", reason="process groups of POSIX")
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_in_a_terminal(jobs):
    Path("slow.py").write_text(SLOW)
    for number, name in enumerate("abcd"):
        files.write(f"{name}.png", np.full((8, 8, 3), 9 if number == 0 else 0, np.uint8))
    process = run_python(
        ["slow.py", "derain", "a.png", "b.png", "c.png", "d.png", "-o", "out", "--jobs", jobs],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 40
        while not (Path("started").exists() and Path("out/a.png").exists()):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(1)  # with --jobs the news of a finished file travels for a moment
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to all of the group
        errors = process.communicate(timeout=40)[1]
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 130
    assert "1 finished and kept" in errors
    assert "--resume" in errors
    assert "Traceback" not in errors
    assert [path.name for path in Path("out").iterdir()] == ["a.png"]


# train, and --method net

SMALL = "--width 2 --depth 1 --crop 16 --batch 2 --steps 3 --device cpu --threads 1"


@pytest.fixture
def trained(monkeypatch):
    """A run on one picture, in run/."""
    pytest.importorskip("torch")
    for name in ("torch.utils.tensorboard", "matplotlib.figure"):  # slow, and tested elsewhere
        monkeypatch.setitem(sys.modules, name, None)
    return call("train", "rainy/a.png", "-o", "run", "--angles", 5, *SMALL.split())


def test_train_one_picture(trained):
    assert trained.stdout.startswith("run/weights.safetensors: 3 steps, loss ")
    config = json.loads(Path("run/config.json").read_text())
    assert (config["net"]["width"], config["net"]["channels"], config["steps"]) == (2, 1, 3)
    assert Path("run/angles.csv").read_text() == "file,angle\na.png,5.0\n"


def test_train_goes_on_where_it_was(trained):
    again = ["train", "rainy/a.png", "-o", "run", "--angles", 5, *SMALL.split()]
    assert "holds a run; resume it" in call(*again, code=2).stderr
    call(*again[:-6], "--steps", 5, "--resume", "--seed", 0, "--max-minutes", 0)
    rows = Path("run/log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "3.0"]
    result = call("train", "rainy/a.png", "-o", "run", "--resume")
    assert result.stdout.startswith("run/weights.safetensors: 5 steps")
    assert result.stderr == ""


def test_train_says_when_it_stopped_early(trained):
    result = call("train", "rainy/a.png", "-o", "new", *SMALL.split(), "--max-minutes", 0)
    assert result.stderr.splitlines() == [
        "udg: stopped before step 3",
        "udg: the same command with --resume goes on from there",
    ]


def test_train_a_folder_with_angles_clean_pictures_and_settings(trained):
    from dataclasses import replace

    from udg.net import Config, TrainConfig

    net = Config(1, 2, 1, angle_widths=(2, 2), angle_pools=(2,))
    small = TrainConfig(net=net, crop=16, batch=2, steps=1, critic_width=2, critic_layers=1)
    Path("small.json").write_text(replace(small, ema=0.0).as_json())
    Path("angles.csv").write_text("name,angle\na,1\nb.jpg,-2\nc,3\n")
    call(
        *("train", "rainy", "-o", "rainy/run", "--config", "small.json", "--angles", "angles.csv"),
        *("--clean", "rainy", "--streams", "both", "--lr", 0.01, "--device", "cpu", "-q"),
    )
    config = json.loads(Path("rainy/run/config.json").read_text())
    assert (config["lr"], config["ema"], config["loss"]["mu"]) == (0.01, 0, 400)
    angles = Path("rainy/run/angles.csv").read_text().splitlines()
    assert angles[1:] == ["a.png,1.0", "b.jpg,-2.0", "c.tif,3.0"]
    call("train", "rainy", "-o", "rainy/run", "--resume", "--clean", "rainy", "--steps", 2)


def test_train_refuses_what_cannot_be(trained):
    for options, code, message in (
        ("--loss nix", 2, "give paper, authors, energy"),
        ("--config nix.json", 1, "cannot read nix.json"),
        ("--crop 300", 2, "smaller than crop=300"),
        ("--start nix", 1, "there are no weights 'nix'"),
        ("--device nowhere", 2, "device is 'nowhere'"),
        ("--angles nix.csv", 1, "cannot read nix.csv"),
        ("--lr 1e30 --steps 9", 1, "use a lower lr"),
    ):
        result = call(
            "train", "rainy/a.png", "-o", "x", *SMALL.split(), *options.split(), code=code
        )
        assert message in result.stderr


def test_train_interrupted(trained, monkeypatch):
    def train(*arguments, **given):
        raise KeyboardInterrupt("interrupted after step 3 of 9; it is kept")

    monkeypatch.setattr("udg.net.train", train)
    result = call("train", "rainy/a.png", "-o", "x", code=130)
    assert result.stderr.splitlines() == [
        "udg: interrupted after step 3 of 9; it is kept",
        "udg: the same command with --resume goes on from there",
    ]


def test_derain_by_a_network(trained):
    from udg import net

    network = ("--method", "net", "--weights", "run/weights.safetensors", "--device", "cpu")
    network = (*network, "--tile", 16)
    result = call("derain", "rainy", "-o", "out", *network, "--angle", 7, "--json", "report.json")
    assert result.stdout.splitlines()[0].split("\t") == [
        *("picture", "result", "angle", "rain level", "seconds")
    ]
    for name in ("a.png", "c.tif"):
        pixels = files.read(Path("rainy", name)).pixels
        expected = net.derain(pixels, "run/weights.safetensors", angle=7).derained
        found = files.read(Path("out", name)).pixels.astype(float)
        np.testing.assert_allclose(found, expected, atol=0.501)
    report = json.loads(Path("report.json").read_text())["files"]
    assert {entry["angle"] for entry in report} == {7}
    assert {entry["method"] for entry in report} == {"net"}
    assert {entry["weights"] for entry in report} == {"run/weights.safetensors"}


def test_derain_by_an_adapted_network(trained, monkeypatch):
    adapted = []

    def adapt(weights, pixels, steps, **given):
        adapted.append((weights, pixels.shape, steps, given))
        return udg.net.from_pretrained(weights)

    monkeypatch.setattr("udg.net.adapt", adapt)
    network = ("--method", "net", "--weights", "run/weights.safetensors", "--device", "cpu")
    call("derain", "rainy/a.png", "-o", "x.png", *network, "--angle", 7, "--adapt", 4)
    assert adapted == [("run/weights.safetensors", (20, 30, 3), 4, {"angle": 7.0, "device": "cpu"})]
    # A picture that is left alone needs no network of its own.
    result = call("derain", "rainy/a.png", "-o", "y.png", *network, "--adapt", 4, "--rain-level", 0)
    assert len(adapted) == 1
    assert "0.00 as asked" in result.stdout
    np.testing.assert_array_equal(files.read("y.png").pixels, files.read("rainy/a.png").pixels)


def test_networks_in_several_processes(trained):
    network = ("--method", "net", "--weights", "run/weights.safetensors", "--device", "cpu")
    call("derain", "rainy/a.png", "rainy/c.tif", "-o", "one", *network, "--angle", 7)
    call("derain", "rainy/a.png", "rainy/c.tif", "-o", "two", *network, "--angle", 7, "--jobs", 2)
    for path in Path("one").iterdir():
        assert path.read_bytes() == Path("two", path.name).read_bytes()


def test_evaluate_a_network(trained):
    Path("pairs/clean").mkdir(parents=True)
    Path("rainy").rename("pairs/rainy")
    for name in ("a.png", "b.png", "c.png"):
        files.write(Path("pairs/clean", name), noise(seed=9))
    network = ("--method", "net", "--weights", "run/weights.safetensors", "--angle", 7)
    result = call("evaluate", "pairs", *network, "--save", "out", "--json", "scores.json")
    scores = json.loads(Path("scores.json").read_text())["pictures"]
    found = files.read("out/a.png").pixels
    assert scores[0]["psnr_after"] == pytest.approx(udg.psnr_y(found, noise(seed=9)))
    assert scores[0]["gap"] is None
    assert "mean of 3" in result.stdout


def test_the_packaged_network_is_the_default(trained):
    files.write("one.png", noise(seed=3))
    call("derain", "one.png", "-o", "out.png", "--method", "net", "--angle", 7, "--overwrite")
    expected = udg.net.derain(noise(seed=3), "small", angle=7).derained
    np.testing.assert_array_equal(
        files.read("out.png").pixels, quantize(expected, np.uint8, np.uint8)
    )


def test_options_of_the_other_method_are_refused(trained):
    network = "--method net --weights run/weights.safetensors"
    for options, code, message in (
        (f"{network} --tau .1", 2, "--tau is not for --method net"),
        (f"{network} --layers 2", 2, "--layers is not for --method net"),
        (f"{network} --overlap 2", 2, "--overlap and --angle-per-tile are not for"),
        (f"{network} --angle 3,4", 2, "give one angle"),
        (f"{network} --angle 80", 2, "--angle is 80°, but rain lies within ±45°"),
        (f"{network} --angle network --adapt 3", 2, "--adapt needs an angle"),
        (f"{network} --device nowhere", 2, "device is 'nowhere'"),
        ("--method net --weights nix", 1, "there are no weights 'nix'"),
        ("--weights run/weights.safetensors", 2, "--weights is for --method net"),
        ("--device cpu", 2, "--device is for --method net"),
        ("--angle network", 2, "--angle network is for --method net"),
    ):
        result = call("derain", "rainy", "-o", "out", *options.split(), code=code)
        assert message in result.stderr
    assert not Path("out").exists()
