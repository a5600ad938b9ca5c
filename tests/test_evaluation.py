from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

import udg
from udg.batch.evaluation import evaluate
from udg.cli import main
from udg.errors import FileError, InvalidInput
from udg.io import files


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """Two pairs: the fake method takes away what is rain in "good" and far too much in "worse"."""
    monkeypatch.chdir(tmp_path)
    clean = np.random.default_rng(0).integers(60, 150, (24, 24, 3), np.uint8)
    Path("set/rainy").mkdir(parents=True)
    Path("set/clean").mkdir()
    files.write("set/clean/good.png", clean)
    files.write("set/rainy/good.tif", clean + np.uint8(20))
    files.write("set/clean/worse.png", clean)
    files.write("set/rainy/worse.png", clean + np.uint8(2))

    def solve(image, **settings):
        rain = np.full(image.shape[:2], 20.4 / 255, np.float32)
        return SimpleNamespace(
            convergence=0.0,
            derained=image - np.float32(20.4),
            rain=rain,
            rain_level=1.0,
            layers=(),
            angle=3.0,
            confidence=0.5,
            weights=udg.RAIN_WEIGHTS,
            model="rain",
            objective=1.0,
            gap=0.001,
            iterations=3,
            reason="gap",
            seconds=0.1,
            iteration_seconds=0.05,
            screen_fraction=0.0,
            working_scale=1.0,
            stages=(),
        )

    monkeypatch.setattr(udg, "solve", solve)
    return Path("set")


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def test_scores(pairs):
    result = evaluate(pairs, angle=3.0)
    good, worse = result.scores
    assert (good.name, worse.name) == ("good.tif", "worse.png")
    # A difference of 20 in every channel is 20 · 219 / 255 on luma 16–235.
    expected = -20 * np.log10(20 / 255 * 219 / 255)
    assert good.psnr_before == pytest.approx(expected, abs=1e-6)
    # 20.4 is rounded to 20, as in a file: nothing is left of the rain.
    assert good.psnr_after == float("inf")
    assert good.ssim_after == pytest.approx(1)
    assert worse.psnr_after < worse.psnr_before
    assert (result.worse_psnr, result.worse_ssim) == (1, 1)
    assert result.means()["psnr_before"] == pytest.approx(
        (good.psnr_before + worse.psnr_before) / 2
    )
    assert result.failures == []


def test_pictures_without_a_partner_and_of_another_size_are_failures(pairs):
    pixels = np.zeros((24, 24, 3), np.uint8)
    files.write(pairs / "rainy/alone.png", pixels)
    files.write(pairs / "clean/twice.png", pixels)
    files.write(pairs / "clean/twice.tif", pixels)
    files.write(pairs / "rainy/twice.tif", pixels)
    files.write(pairs / "rainy/size.png", pixels)
    files.write(pairs / "clean/size.png", pixels[:20])
    result = evaluate(pairs)
    assert len(result.scores) == 2
    errors = {failure.task.source.as_posix(): failure.error for failure in result.failures}
    assert "24×20; pairs must have one size" in errors.pop("set/rainy/size.png")
    assert sorted(errors) == [
        "set/clean/twice.png",
        "set/clean/twice.tif",
        "set/rainy/alone.png",
        "set/rainy/twice.tif",
    ]
    assert all("no single partner" in error for error in errors.values())


def test_no_pairs(tmp_path):
    with pytest.raises(FileError, match="must hold two, rainy and clean"):
        evaluate(tmp_path)
    (tmp_path / "rainy").mkdir()
    (tmp_path / "clean").mkdir()
    with pytest.raises(FileError, match="have the same stem"):
        evaluate(tmp_path)


def test_save(pairs):
    evaluate(pairs, save="out")
    clean = files.read(pairs / "clean/good.png").pixels
    np.testing.assert_array_equal(files.read("out/good.tif").pixels, clean)
    with pytest.raises(InvalidInput, match="already exist"):
        evaluate(pairs, save="out")
    evaluate(pairs, save="out", overwrite=True)
    with pytest.raises(InvalidInput, match="is an input"):
        evaluate(pairs, save=pairs / "rainy")


def test_command(pairs):
    result = call("evaluate", pairs)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert [line[0] for line in lines] == [
        "picture",
        "good.tif",
        "worse.png",
        "mean of 2",
        "worse than their input: 1 in PSNR, 1 in SSIM, of 2",
    ]
    assert lines[1][3] == "inf"
    quiet = call("evaluate", pairs, "-q").stdout
    assert "good.tif" not in quiet
    assert "mean of 2" in quiet


def test_command_json_and_failures(pairs):
    (pairs / "rainy/bad.png").touch()
    (pairs / "clean/bad.png").touch()
    result = call("evaluate", pairs, "--json", "-", code=1)
    report = json.loads(result.stdout)
    assert report["worse_psnr"] == 1
    assert report["pictures"][0]["psnr_after"] is None
    assert report["pictures"][1]["name"] == "worse.png"
    assert report["mean"]["ssim_before"] < 1
    assert [failed["input"] for failed in report["failed"]] == ["set/rainy/bad.png"]
    assert "1 of 3 failed" in result.stderr


def test_command_without_pairs(tmp_path):
    assert "must hold two" in call("evaluate", tmp_path, code=1).stderr


def test_interrupt(pairs, monkeypatch):
    def solve(image, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(udg, "solve", solve)
    assert "interrupted" in call("evaluate", pairs, code=130).stderr
