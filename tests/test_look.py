import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks._shared.common import environment
from benchmarks.solver import look

NAMES = ("a", "b", "c", "d")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Dark rainy and light derained pictures."""
    for folder, level in (("rainy", 50), ("derained", 200)):
        (tmp_path / folder).mkdir()
        for name in NAMES:
            pixels = np.full((40, 60, 3), level, np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{name}.png")
    return tmp_path / "rainy", tmp_path / "derained"


def write_answers(path: Path, lines: list[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("size", "border"), [((60, 40), 0), ((40, 90), 1)])
def test_two_pictures_fill_a_sheet_and_stay_apart(size: tuple[int, int], border: int) -> None:
    first, second = (Image.new("RGB", size, colour) for colour in ("black", "white"))
    sheet = look.side_by_side(first, second, 500)
    assert 495 <= max(sheet.size) <= 501
    pixels = np.asarray(sheet)
    assert (pixels[0, 0] == 0).all()
    assert (pixels[-1, -1] == 255).all()
    between = (pixels == look._MAGENTA).all(axis=2)
    assert between.sum() == 8 * sheet.size[border]


def test_the_key_tells_which_is_which(folders: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "sheets"
    orders = set()
    for seed in range(4):
        key = look.make_sheets(*folders, out, 300, seed)
        assert json.loads((out / "key.json").read_text()) == key
        assert sorted(about["name"] for about in key.values()) == list(NAMES)
        orders.add(tuple(about["name"] for about in key.values()))
        for sheet, about in key.items():
            pixels = np.asarray(Image.open(out / f"{sheet}.png"))
            lighter = "first" if pixels[0, 0, 0] > pixels[-1, -1, 0] else "second"
            assert about["cleaned"] == lighter
    assert len(orders) > 1
    assert (out / "questions.txt").read_text() == look.QUESTIONS


def test_majority_by_hand() -> None:
    of = [look.Answer(*grades, "") for grades in ((0, 1), (0, 2), (1, 0))]
    assert look.majority(of)["streaks"] == "gone"
    assert look.majority(of)["damage"] == "slight"
    assert not look.majority(of)["good"]  # only the first says gone without clear damage
    assert look.majority([*of, look.Answer(0, 0, ""), look.Answer(0, 0, "")])["good"]


def test_answers_are_counted(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys, files = [], []
    grades = {
        "a": "gone,none,",
        "b": "gone,clear,a pole",
        "c": "partly,slight,sky, left",
        "d": "no,none",
    }
    for judge in range(2):
        out = tmp_path / str(judge)
        key = look.make_sheets(*folders, out, 200, judge)
        lines = [f"{n},{about['cleaned']},{grades[about['name']]}" for n, about in key.items()]
        if judge:
            lines[0] = (
                lines[0].replace("first", "x").replace("second", "first").replace("x", "second")
            )
        keys.append(out / "key.json")
        files.append(write_answers(tmp_path / f"{judge}.csv", ["sheet,cleaned,streaks", *lines]))
    result = tmp_path / "look.json"
    script = [
        sys.executable,
        "-m",
        look.__name__,
        "count",
        keys[0],
        files[0],
        "--also",
        keys[1],
        files[1],
    ]
    command = [*map(str, script), "--json", str(result)]
    subprocess.run(command, env=environment(), check=True, capture_output=True)
    found = json.loads(result.read_text())
    assert found["majority"] == {
        "streaks": {"gone": 2, "partly": 1, "no": 1},
        "damage": {"none": 2, "slight": 1, "clear": 1},
        "good": 1,
    }
    assert [judge["mistaken"] for judge in found["judges"]] == [0, 1]
    assert found["photos"]["c"]["where"] == ["sky left", "sky left"]
    assert [name for name, row in found["photos"].items() if row["good"]] == ["a"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["000,first,gone,none,"], "says nothing of 3 photos"),
        (["7,first,gone,none,"], "there is no sheet 007"),
        (["0,first,away,none,"], "is not sheet,first"),
    ],
)
def test_answers_that_cannot_be_read(
    folders: tuple[Path, Path], tmp_path: Path, lines: list[str], message: str
) -> None:
    key = look.make_sheets(*folders, tmp_path / "sheets", 200, 0)
    with pytest.raises(look.LookError, match=message):
        look.read_answers(write_answers(tmp_path / "answers.csv", lines), key)


def test_folders_that_make_no_look(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    Image.new("RGB", (5, 5)).save(tmp_path / "empty" / "z.png")
    with pytest.raises(look.LookError, match="no picture has the same name"):
        look.make_sheets(folders[0], tmp_path / "empty", tmp_path / "out", 200, 0)
    Image.new("RGB", (5, 5)).save(tmp_path / "empty" / "a.png")
    with pytest.raises(look.LookError, match="another size"):
        look.make_sheets(folders[0], tmp_path / "empty", tmp_path / "out", 200, 0)
