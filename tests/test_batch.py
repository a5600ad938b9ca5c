from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from udg import _compiling, batch
from udg.batch import Found, Task
from udg.errors import FileError, InvalidInput
from udg.io.files import write


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """Pictures by name only: planning does not open them."""
    monkeypatch.chdir(tmp_path)
    for name in ("a/x.png", "a/y.JPG", "a/notes.txt", "a/.hidden.png", "a/deep/x.png", "b/x.png"):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return Path()


def names(found):
    return [(one.path.as_posix(), one.name.as_posix()) for one in found]


@pytest.mark.usefixtures("tree")
class TestExpand:
    def test_folder(self):
        assert names(batch.expand(["a"])) == [("a/x.png", "x.png"), ("a/y.JPG", "y.JPG")]

    def test_recursive_keeps_relative_folders(self):
        found = names(batch.expand(["a"], recursive=True))
        assert found == [
            ("a/deep/x.png", "deep/x.png"),
            ("a/x.png", "x.png"),
            ("a/y.JPG", "y.JPG"),
        ]

    def test_patterns(self):
        assert names(batch.expand(["a/*"])) == [("a/x.png", "x.png"), ("a/y.JPG", "y.JPG")]
        assert [path for path, _ in names(batch.expand(["**/*.png"]))] == [
            "a/deep/x.png",
            "a/x.png",
            "b/x.png",
        ]

    def test_a_file_named_like_a_pattern_is_a_file(self):
        Path("odd[1].png").touch()
        assert names(batch.expand(["odd[1].png"])) == [("odd[1].png", "odd[1].png")]

    def test_files_are_taken_as_they_are_each_once_in_the_order_given(self):
        given = ["b/x.png", "a/notes.txt", "missing.png", "b/../b/x.png", "b"]
        assert [path for path, _ in names(batch.expand(given))] == [
            "b/x.png",
            "a/notes.txt",
            "missing.png",
        ]

    def test_output_within_the_input_is_left_out(self):
        found = batch.expand(["a"], recursive=True, outside=Path("a/deep"))
        assert names(found) == [("a/x.png", "x.png"), ("a/y.JPG", "y.JPG")]

    def test_output_that_is_the_input_is_not_left_out(self):
        assert len(batch.expand(["a"], outside=Path("a"))) == 2

    @pytest.mark.parametrize(
        ("given", "message"),
        [("*.tif", r"no picture matches \*\.tif"), ("empty", "no picture in the folder empty")],
    )
    def test_nothing_found(self, given, message):
        Path("empty").mkdir()
        with pytest.raises(InvalidInput, match=message):
            batch.expand([given])


def found(*paths):
    return [Found(Path(path), Path(Path(path).name)) for path in paths]


@pytest.mark.usefixtures("tree")
class TestPlan:
    def test_file_for_one(self):
        (task,) = batch.plan(found("a/x.png"), Path("out/r.tif"), rain=True)
        assert task == Task(Path("a/x.png"), Path("out/r.tif"), Path("out/r_rain.png"))

    @pytest.mark.parametrize("output", ["out", "b"])
    def test_folder_for_one(self, output):
        (task,) = batch.plan(found("a/y.JPG"), Path(output))
        assert task.target == Path(output, "y.JPG")

    def test_existing_folder_may_have_any_name(self):
        Path("set.png").mkdir()
        (task,) = batch.plan(found("a/x.png"), Path("set.png"))
        assert task.target == Path("set.png/x.png")

    def test_folder_for_several_and_relative_names(self):
        tasks = batch.plan(batch.expand(["a"], recursive=True), Path("out"))
        assert [task.target.as_posix() for task in tasks] == [
            "out/deep/x.png",
            "out/x.png",
            "out/y.JPG",
        ]
        assert [task.number for task in tasks] == [0, 1, 2]

    @pytest.mark.parametrize(
        ("paths", "output", "rain", "message"),
        [
            (["a/x.png", "b/x.png"], "out", False, r"both be written to out/x\.png"),
            (["a/x.png", "a/x.jpg"], "out", True, r"both be written to out/x_rain\.png"),
            (["a/x.png", "a/y.JPG"], "out.png", False, "one file for 2 pictures"),
            (["a/x.png"], "out.gif", False, r"suffix '\.gif'"),
            (["a/x.png"], "a/x.png", False, "is an input"),
            (["a/x.png"], "a/../a", False, "is an input"),
            (["a/x.png", "b/x_rain.png"], "b", True, "is an input"),
            (["a/x.png", "a/y.JPG"], "a/notes.txt", False, "is a file; give a folder"),
        ],
    )
    def test_refused(self, paths, output, rain, message):
        with pytest.raises(InvalidInput, match=message):
            batch.plan(found(*paths), Path(output), rain=rain)


@pytest.mark.usefixtures("tree")
class TestPending:
    def tasks(self):
        return batch.plan(found("a/x.png", "a/y.JPG"), Path("out"), rain=True)

    def test_all_new(self):
        assert batch.pending(self.tasks()) == (self.tasks(), [])

    def test_existing_are_refused_skipped_or_replaced(self):
        first, second = self.tasks()
        Path("out").mkdir()
        for path in (first.target, first.rain, second.target):
            path.touch()
        with pytest.raises(InvalidInput, match=r"out/x_rain\.png and 2 more already exist;"):
            batch.pending(self.tasks())
        # The second has no rain layer yet, so it is not done.
        assert batch.pending(self.tasks(), resume=True) == ([second], [first])
        assert batch.pending(self.tasks(), overwrite=True) == ([first, second], [])


# Running. With several jobs these are pickled, so they stand in the module.


def tasks_named(*names):
    return [Task(Path(name), number=number) for number, name in enumerate(names)]


def work(task):
    what = task.source.name
    if what == "bad":
        raise FileError("bad is damaged")
    if what == "bug":
        return {"never": 1 // 0}
    if what == "large":
        raise MemoryError
    if what == "warns":
        logging.getLogger("udg.somewhere").warning("mind the %s", "gap")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "exits":
        os._exit(3)
    return {"name": what, "process": os.getpid(), "threads": os.environ.get("NUMBA_NUM_THREADS")}


def work_until_told_otherwise(task):
    marker = task.source
    try:
        marker.touch()
        time.sleep(60)
    finally:
        marker.with_suffix(".cleaned").touch()
    return {}


@pytest.mark.parametrize("jobs", [1, 2])
def test_failures_stop_nothing(jobs):
    reported = []
    names = ["one", "bad", "bug", "large", "warns", "last"]
    outcomes = batch.run(tasks_named(*names), work, jobs=jobs, report=reported.append)
    assert [outcome.task.source.name for outcome in outcomes] == names
    assert [outcome.error for outcome in outcomes] == [
        None,
        "bad is damaged",
        "ZeroDivisionError: integer division or modulo by zero",
        "not enough memory; use a smaller picture, or fewer jobs",
        None,
        None,
    ]
    assert "1 // 0" in outcomes[2].details
    assert [outcome.notes for outcome in outcomes] == [[], [], [], [], ["mind the gap"], []]
    assert outcomes[-1].facts["name"] == "last"
    assert sorted(outcome.task.number for outcome in reported) == list(range(6))


def test_jobs_are_processes_that_share_the_cores():
    outcomes = batch.run(tasks_named(*"abcdef"), work, jobs=2)
    processes = {outcome.facts["process"] for outcome in outcomes}
    assert os.getpid() not in processes
    assert len(processes) <= 2
    threads = str(max(1, os.cpu_count() // 2))
    assert {outcome.facts["threads"] for outcome in outcomes} == {threads}
    assert multiprocessing.active_children() == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_killed_process_is_its_files_failure_only():
    names = ["a", "killed", "b", "exits", "c", "d"]
    outcomes = batch.run(tasks_named(*names), work, jobs=2)
    errors = {outcome.task.source.name: outcome.error for outcome in outcomes}
    assert "killed (SIGKILL)" in errors.pop("killed")
    assert "exit code 3" in errors.pop("exits")
    assert set(errors.values()) == {None}
    assert multiprocessing.active_children() == []


def compile_something(task):
    _compiling.announce()
    return {}


def test_compiling_in_a_process_is_told_here_once():
    told = []
    with _compiling.told(lambda: told.append(os.getpid())):
        outcomes = batch.run(tasks_named(*"abcd"), compile_something, jobs=2)
    assert told == [os.getpid()]
    assert [outcome.error for outcome in outcomes] == [None] * 4
    batch.run(tasks_named(*"ab"), compile_something, jobs=2)
    assert len(told) == 1


def test_no_tasks():
    assert batch.run([], work, jobs=4) == []


def test_interrupt_in_this_process_reports_what_was_finished():
    def interrupted(task):
        if task.number == 1:
            raise KeyboardInterrupt
        return {}

    reported = []
    with pytest.raises(KeyboardInterrupt):
        batch.run(tasks_named("a", "b", "c"), interrupted, report=reported.append)
    assert [outcome.task.source.name for outcome in reported] == ["a"]


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without cleaning up")
def test_stopping_lets_the_processes_clean_up(tmp_path):
    markers = [tmp_path / name for name in "ab"]
    tasks = [Task(tmp_path / "quick"), *(Task(marker, number=1) for marker in markers)]

    def interrupt(outcome):
        deadline = time.monotonic() + 20
        while not any(marker.exists() for marker in markers) and time.monotonic() < deadline:
            time.sleep(0.01)
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        batch.run(tasks, quick_or_endless, jobs=2, report=interrupt)
    assert time.monotonic() - started < 30
    assert multiprocessing.active_children() == []
    for marker in markers:
        assert marker.exists() == marker.with_suffix(".cleaned").exists()


def quick_or_endless(task):
    return {} if task.source.name == "quick" else work_until_told_otherwise(task)


def test_the_command_line_asks_how_many_processes(tmp_path, monkeypatch):
    from click.testing import CliRunner

    from udg.cli import main

    pixels = np.full((20, 30, 3), 90, np.uint8)
    for name in "ab":
        write(tmp_path / f"{name}.png", pixels)
    asked: list[int] = []
    monkeypatch.setattr("udg.batch.usual_jobs", lambda count: asked.append(count) or 1)
    line = ["angle", str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    assert CliRunner().invoke(main, line).exit_code == 0
    assert CliRunner().invoke(main, [*line, "--jobs", "1"]).exit_code == 0
    assert asked == [2]


def test_many_pictures_get_a_process_a_core_as_far_as_memory_reaches(monkeypatch):
    monkeypatch.setattr("udg.batch.jobs.threads", lambda: 4)
    memory = {"SC_AVPHYS_PAGES": 16_000_000, "SC_PAGE_SIZE": 1000}
    monkeypatch.setattr("os.sysconf", memory.__getitem__, raising=False)
    assert [batch.usual_jobs(count) for count in (0, 1, 15, 16, 1000)] == [1, 1, 1, 4, 4]
    memory["SC_AVPHYS_PAGES"] = 3_000_000
    assert batch.usual_jobs(100) == 2
    memory["SC_AVPHYS_PAGES"] = 10
    assert batch.usual_jobs(100) == 1
