"""What is told while pictures are worked on: lines, a display on a terminal, -v, -q and a log."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.progress import Progress as Bars
from test_cli import call, folder, noise, solved  # noqa: F401

import udg
from udg.cli import progress
from udg.io import files

pytestmark = pytest.mark.usefixtures("folder")


def lines(text):
    """Lines on progress, without the seconds that a picture took."""
    found = [line for line in text.splitlines() if re.match(r"udg: \d+/\d+ ", line)]
    return [re.sub(r", \d+\.\d s$", "", line.removeprefix("udg: ")) for line in found]


def logged(path="run.log"):
    """Lines of a log, without time and seconds."""
    found = Path(path).read_text().splitlines()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \S", line) for line in found)
    return [re.sub(r", \d+\.\d s$", "", line[20:]) for line in found]


# Lines


@pytest.mark.usefixtures("solved")
def test_a_line_a_picture_and_the_same_in_the_log():
    Path("rainy/bad.png").write_bytes(b"not a picture")
    expected = [
        "1/4 rainy/a.png: rain at 12.5°",
        "2/4 rainy/b.jpg: rain at 12.5°",
        "3/4 rainy/bad.png: failed: rainy/bad.png is not a picture that udg can read; "
        "convert it to PNG, JPEG, TIFF, WebP or BMP",
        "4/4 rainy/c.tif: rain at 12.5°",
    ]
    result = call("derain", "rainy", "-o", "out", "--log", "run.log", code=1)
    assert lines(result.stderr) == logged() == expected
    result = call("derain", "rainy", "-o", "out", "--overwrite", "-q", "--log", "run.log", code=1)
    assert lines(result.stderr) == []
    assert "1 of 4 failed" in result.stderr
    assert logged() == 2 * expected  # lines are added


@pytest.mark.usefixtures("solved")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--rain-level 0", "left as it is, as asked"),
        ("--angle 12,-20.04", "rain at 12.0° and -20.0°"),
        ("--angle -0.01", "rain at 0.0°"),
        ("--angle 80 --model stripes", "stripes at 80.0°"),
        ("--angle 8 --method alternating", "stripes at 8.0°"),
        ("--angle 8 --method alternating --model rain", "rain at 8.0°"),
    ],
)
def test_what_was_found_in_words(options, words):
    result = call("derain", "rainy/a.png", "-o", "x.png", *options.split())
    assert lines(result.stderr) == [f"1/1 rainy/a.png: {words}"]


def test_no_rain_in_words():
    files.write("dry.png", np.full((24, 24, 3), 90, np.uint8))
    assert lines(call("derain", "dry.png", "-o", "x.png").stderr) == ["1/1 dry.png: no rain found"]


@pytest.mark.usefixtures("solved")
def test_warnings_are_in_the_log():
    files.write("clear.png", noise((8, 9, 4)))
    call("derain", "clear.png", "-o", "out.jpg", "--log", "run.log", "-q")
    assert logged() == [
        "1/1 clear.png: rain at 12.5°",
        "clear.png: note: out.jpg: JPEG cannot hold transparency, which is dropped",
    ]


def test_lines_of_the_other_commands():
    Path("pairs/clean").mkdir(parents=True)
    Path("rainy").rename("pairs/rainy")
    files.write("pairs/clean/a.png", noise(seed=5))
    options = ("--angle", 5, "--stages", 1, "--log", "run.log")
    result = call("evaluate", "pairs", *options, code=1)
    told = lines(result.stderr)
    assert re.fullmatch(r"1/3 \S+a.png: rain at 5.0°, PSNR \S+ dB before, \S+ dB after", told[0])
    assert [line.split(": ")[1] for line in told[1:]] == ["failed", "failed"]  # have no partner
    assert logged() == told
    result = call("synthesize", "pairs/clean", "-o", "new", "--seed", 3)
    assert lines(result.stderr) == ["1/1 pairs/clean/a.png: rain of seed 3"]
    result = call("angle", "pairs/rainy", "--jobs", 2)  # in any order
    told = sorted(line.split(" ")[1] for line in lines(result.stderr))
    assert told == ["pairs/rainy/a.png:", "pairs/rainy/b.jpg:", "pairs/rainy/c.tif:"]


# --log


@pytest.mark.usefixtures("solved")
def test_the_log_is_a_file_of_its_own():
    Path("link.log").symlink_to("rainy/a.png")
    Path("pairs/clean").mkdir(parents=True)
    Path("pairs/rainy").mkdir()
    for part in ("rainy", "clean"):
        files.write(f"pairs/{part}/a.png", noise())
    before = Path("pairs/clean/a.png").read_bytes()
    Path("deep.zarr").mkdir()
    Path("deep.zarr/zarr.json").touch()  # a picture that is a folder
    for arguments in (
        "derain rainy -o out --log link.log",
        "derain deep.zarr -o out.png --log deep.zarr/run.log",
        "derain rainy/a.png -o x.png --report x.html --log x.html",
        "evaluate pairs --log pairs/clean/a.png",
        "evaluate pairs --save new --log pairs/rainy/../clean/a.png",
        "synthesize rainy/a.png -o x.png --save-rain --log x_rain.png",
        "angle rainy --log rainy/b.jpg",
    ):
        result = call(*arguments.split(), code=2)
        assert "is an input or output; give a file of its own" in result.stderr
    assert Path("pairs/clean/a.png").read_bytes() == before
    call("derain", "rainy/a.png", "-o", "x.png")
    result = call("derain", "rainy/a.png", "-o", "x.png", "--resume", "--log", "x.png", code=2)
    assert "x.png is an input or output" in result.stderr


@pytest.mark.usefixtures("solved")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, of Linux")
def test_a_full_disk_does_not_stop_the_work():
    result = call("derain", "rainy", "-o", "out", "--log", "/dev/full")
    assert result.stderr.count("note: cannot write /dev/full: the disk is full") == 1
    assert len(list(Path("out").iterdir())) == 3


def test_an_interrupt_is_in_the_log(monkeypatch):
    def solve(image, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(udg, "solve", solve)
    call("derain", "rainy", "-o", "out", "--log", "run.log", code=130)
    assert logged() == ["interrupted"]


# --verbose


def test_verbose_tells_decisions_and_stages():
    result = call("derain", "rainy/a.png", "-o", "x.png", "--angle", 5, "--stages", 2, "-v")
    told = [line.removeprefix("udg: ") for line in result.stderr.splitlines()]
    assert told[0] == "rainy/a.png: direction 1: 5.0°, convergence 0.0°, rain level 1.00"
    for number, line in enumerate(told[1:3], start=1):
        pattern = r"tau=\S+ lam_x=\S+ lam_y=\S+ lam_r=\S+, gap \S+, \d+ iterations \(gap\)"
        assert re.fullmatch(rf"rainy/a.png: stage {number}: {pattern}", line)
    assert len(told) == 4
    assert lines(result.stderr) == ["1/1 rainy/a.png: rain at 5.0°"]
    more = call("derain", "rainy/a.png", "-o", "y.png", "--angle", 5, "--stages", 2, "-vv")
    assert "Checkpoint" in more.stderr
    assert logging.getLogger("udg").level == logging.NOTSET
    assert logging.getLogger("udg").handlers == []


@pytest.mark.usefixtures("solved")
def test_a_warning_is_told_once():
    files.write("clear.png", noise((8, 9, 4)))
    result = call("derain", "clear.png", "-o", "out.jpg", "-v")
    assert result.stderr.count("JPEG cannot hold transparency") == 1


# On a terminal

SCRIPT = """
import time
import udg
from test_cli import result_for
from udg import Progress

def solve(image, *, callback, **settings):
    for event in (
        Progress("deciding"),
        Progress("solving", 1, 4, fraction=0.1),
        Progress("solving", 2, 4, fraction=0.43),
        Progress("finishing", 4, 4, fraction=1.0),
    ):
        callback(event)
        time.sleep(0.3)  # the display is drawn ten times a second
    return result_for(image, **settings)

udg.solve = solve
from udg.cli import main
main()
"""


def on_terminal(*arguments):
    """What a command writes to a terminal, without colours."""
    import pty

    Path("script.py").write_text(SCRIPT)
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    paths = (str(Path(udg.__file__).parents[1]), str(Path(__file__).parent))
    environment |= {"PYTHONPATH": os.pathsep.join(paths)}
    process = subprocess.Popen(
        [sys.executable, "script.py", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait(60) == 0, written
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written.decode())


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_display():
    text = on_terminal("derain", "rainy/a.png", "rainy/b.jpg", "-o", "out", "-v")
    for part in ("a.png", "b.jpg", "0 of 2", "1 of 2", " a minute", " left"):
        assert part in text
    assert "deciding" in text
    assert "stage 1 of 4 10 %" in text
    assert "stage 2 of 4 43 %" in text
    assert "finishing" in text
    assert lines(text.replace("\r", "\n")) == [
        "1/2 rainy/a.png: rain at 12.5°",
        "2/2 rainy/b.jpg: rain at 12.5°",
    ]


@pytest.mark.skipif(os.name == "nt", reason="terminals of POSIX")
def test_display_takes_the_place_of_lines():
    text = on_terminal("derain", "rainy/a.png", "-o", "x.png")
    assert "a.png" in text
    assert "stage 2 of 4 43 %" in text
    assert "pictures" not in text
    assert lines(text.replace("\r", "\n")) == []


def test_time_left_and_pace(monkeypatch):
    clock = SimpleNamespace(now=100.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(progress, "time", clock)
    bars = Bars(disable=True)
    display = progress._Display(bars, [Path(f"{name}.png") for name in "abcd"], in_turn=True)
    pictures, picture = bars.tasks
    assert (pictures.fields["state"], picture.description) == ("0 of 4", "a.png")
    clock.now += 30
    display.follow(udg.Progress("solving", 2, 4, fraction=0.5))
    assert pictures.fields["state"] == "0 of 4, 0:03:30 left"
    assert picture.fields["state"] == "stage 2 of 4 50 %"
    display.follow(udg.Progress("deciding", direction=2))
    assert pictures.completed == 0.5  # another direction does not take the picture back
    assert picture.fields["state"] == "deciding"
    display.follow(udg.Progress("solving", 1, 4, direction=2, fraction=0.2))
    assert picture.fields["state"] == "direction 2, stage 1 of 4 20 %"
    clock.now += 30
    display.done()
    assert pictures.fields["state"] == "1 of 4, 0:03:00 left, 1 a minute"
    assert (picture.description, picture.fields["state"]) == ("b.png", "")
    for _ in range(3):
        display.done()
    assert not picture.visible


def test_pictures_done_at_once_have_one_bar():
    bars = Bars(disable=True)
    progress._Display(bars, [Path("a.png"), Path("b.png")], in_turn=False)
    assert [task.visible for task in bars.tasks] == [True, False]
