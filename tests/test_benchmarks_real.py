import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import udg
from benchmarks._shared.common import environment
from benchmarks._shared.markdown_table import same_pictures
from benchmarks.tables import real


def test_methods_are_compared_on_the_same_pictures() -> None:
    scores = {"a": ["rain", "udg", "gmm"], "b": ["rain", "udg"], "c": ["rain"]}
    assert same_pictures(scores) == [
        (["a", "b", "c"], ["rain"]),
        (["a", "b"], ["rain", "udg"]),
        (["a"], ["rain", "udg", "gmm"]),
    ]


def test_summary_by_hand() -> None:
    scores = {"a": {"rain": 6.0, "udg": 5.0}, "b": {"rain": 4.0, "udg": 4.5}}
    rows = real.summary(["a", "b"], ["rain", "udg"], scores)
    assert rows["udg"] == {"niqe": 4.75, "change": -0.25, "lower": 1}
    line = real.table(["a", "b"], rows, {}).rows[1]
    assert line == ["UDG, ours", "2", "4.75", "-0.25", "1", "", "", ""]


def test_pictures_are_made_narrower_only(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.zeros((60, 120, 3), np.uint8)).save(path)
    assert real.load(path, 80).shape == (40, 80, 3)
    assert real.load(path, 200).shape == (60, 120, 3)


def test_a_folder_of_photos(tmp_path: Path) -> None:
    """Pictures are kept, not done twice, and NIQE is that of the files."""
    pytest.importorskip("skvideo")
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    scene = np.kron(rng.integers(40, 160, (14, 14)), np.ones((16, 16))).astype(np.uint8)
    clean = np.stack([scene] * 3, axis=2)
    for i in range(2):
        rainy = udg.synthesize(clean, angle=5 * i, seed=i).rainy
        Image.fromarray(np.rint(rainy).clip(0, 255).astype(np.uint8)).save(folder / f"{i}.png")
    out, table = tmp_path / "out", tmp_path / "table.json"
    command = [
        sys.executable,
        "-m",
        real.__name__,
        folder,
        "-o",
        out,
        "--methods",
        "udg",
        "--json",
        table,
    ]
    subprocess.run(list(map(str, command)), env=environment(), check=True, capture_output=True)
    results = json.loads(table.read_text())
    for name in ("rain", "udg"):
        for picture in ("0", "1"):
            pixels = np.asarray(Image.open(out / name / f"{picture}.png"))
            assert results["pictures"][picture][name] == pytest.approx(udg.niqe(pixels))
    stamp = (out / "udg" / "0.png").stat().st_mtime_ns
    again = subprocess.run(
        list(map(str, command)), env=environment(), check=True, capture_output=True, text=True
    )
    assert (out / "udg" / "0.png").stat().st_mtime_ns == stamp
    assert "Table 2, n = 2" in again.stdout
