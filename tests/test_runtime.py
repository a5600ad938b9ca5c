"""Table 3: what is measured and what extrapolated, sizes counted by hand, the JSON."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'udg[net]'")
pytest.importorskip("sklearn", reason="pip install 'udg[benchmarks]'")

from benchmarks._shared import scenes
from benchmarks._shared.timing import repeated
from benchmarks.tables import runtime
from benchmarks.tables.runtime import Device, Plan, Row, Subject, Timed, measure

SHAPE = (256, 512)
CPU = Device("cpu")


class Clock:
    """Time that passes only when a subject says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        fake = SimpleNamespace(perf_counter=lambda: self.now, process_time=lambda: self.now)
        monkeypatch.setattr("benchmarks._shared.timing.time", fake)
        monkeypatch.setattr(runtime, "time", fake)

    def subject(self, law: Any) -> tuple[Subject, list[tuple[int, int]]]:
        """A subject whose seconds are a function of pixels, and the shapes it was run on."""
        shapes: list[tuple[int, int]] = []

        def prepare(image: np.ndarray) -> Any:
            def run() -> None:
                shapes.append(image.shape[:2])
                self.now += law(image.shape[0] * image.shape[1])

            return run

        return Subject(prepare), shapes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return scenes.rainy(*SHAPE)


@pytest.mark.parametrize(
    "law",
    [lambda n: 3e-6 * n**1.4, lambda n: 2 + 1e-3 * n, lambda n: 1e-3 * n],
    ids=["power", "fixed cost", "linear"],
)
def test_what_takes_too_long_follows_its_law(clock: Clock, picture: np.ndarray, law: Any) -> None:
    subject, shapes = clock.subject(law)
    found = measure(subject, picture, CPU, Plan(SHAPE, limit=30))
    assert not found["measured"]
    assert found["why"] == "time"
    assert found["seconds"] == pytest.approx(law(256 * 512), rel=1e-6)
    assert SHAPE not in shapes
    assert len(found["sizes"]) == 2


def test_spread_is_that_of_the_larger_size(clock: Clock, picture: np.ndarray) -> None:
    noise = iter([1.0, 0.9, 1.0, 1.2] * 20)
    subject, _ = clock.subject(lambda n: 1e-3 * n * next(noise))
    found = measure(subject, picture, CPU, Plan(SHAPE, repeats=3, limit=30))
    last = found["sizes"][-1]["seconds"]
    middle = sorted(last)[len(last) // 2]
    assert found["least"] / found["seconds"] == pytest.approx(min(last) / middle)
    assert found["most"] / found["seconds"] == pytest.approx(max(last) / middle)


def test_what_is_quick_is_measured(clock: Clock, picture: np.ndarray) -> None:
    subject, shapes = clock.subject(lambda n: 1e-6 * n)
    found = measure(subject, picture, CPU, Plan(SHAPE, repeats=4, limit=30))
    assert found["measured"]
    assert found["seconds"] == pytest.approx(1e-6 * 256 * 512)
    assert found["runs"] == 4
    assert shapes.count(SHAPE) == 5  # one of them to warm up
    assert "power of pixels" not in found


def test_full_measures_what_takes_long(clock: Clock, picture: np.ndarray) -> None:
    subject, shapes = clock.subject(lambda n: 1e-3 * n)
    found = measure(subject, picture, CPU, Plan(SHAPE, limit=30, full=True))
    assert found["measured"]
    assert found["seconds"] == pytest.approx(131.072)
    assert shapes.count(SHAPE) == 3  # the first counts: smaller sizes have warmed up


def test_what_does_not_fit_is_extrapolated(
    clock: Clock, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory grows with pixels; the whole picture would need four times that of a quarter."""

    def peak(self: Device, run: Any) -> float:
        run()
        return 100.0 * shapes[-1][0] * shapes[-1][1]

    monkeypatch.setattr(Device, "peak", peak)
    monkeypatch.setattr(Device, "free", lambda self: 50.0 * 256 * 512)
    subject, shapes = clock.subject(lambda n: 1e-6 * n)
    found = measure(subject, picture, CPU, Plan(SHAPE, full=True))
    assert found["why"] == "memory"
    assert found["seconds"] == pytest.approx(1e-6 * 256 * 512)
    assert SHAPE not in shapes


def test_ladder_ends_with_the_picture() -> None:
    assert runtime.ladder((1024, 2048)) == [
        (64, 128), (128, 256), (256, 512), (512, 1024), (1024, 2048)
    ]  # fmt: skip
    assert runtime.ladder((64, 96)) == [(32, 48), (64, 96)]
    assert runtime.ladder((32, 32)) == [(32, 32)]


def test_forecast_without_growth_is_in_proportion() -> None:
    points = [Timed((10, 10), [2.0]), Timed((20, 10), [1.0])]
    assert runtime.predict(points, 400) == 2.0


def test_repeated_runs_synchronise_and_lose_patience(clock: Clock) -> None:
    events: list[str] = []

    def run() -> None:
        events.append("run")
        clock.now += 4

    seconds = repeated(run, 9, 5.0, lambda: events.append("wait"))
    assert seconds == [4, 4, 4]  # after the second there was no patience left
    assert events == ["wait", "run", "wait"] * 3
    assert len(repeated(run, 5)) == 5


# Sizes, counted by hand

STREAM = (
    (27 * 32 + 32)  # 3×3 convolution, 3 to 32 channels
    + 32 * (2 * (9 * 32 * 32 + 32) + 2 * 64)  # 32 blocks of two convolutions and normalisations
    + 2 * (9 * 32 * 32 + 32) + 64
    + (9 * 32 * 3 + 3)
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("udgnet-rain", STREAM),
        # 1×1; pairs of convolutions of 32, 64, 128, 64, 32 channels with normalisation; one to 1.
        ("udgnet", 2 * STREAM + 12 + sum(
            9 * a * b + b + 2 * b
            for a, b in [(3, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128),
                         (128, 64), (64, 64), (64, 32), (32, 32)]
        ) + 9 * 32 + 1),
        ("gmm", 200 * (1 + 64 + 64 * 64)),
    ],
)  # fmt: skip
def test_sizes_by_hand(name: str, parameters: int, picture: np.ndarray) -> None:
    plan = Plan((32, 48), repeats=1)
    row = runtime.run_row(name, CPU, picture[:32, :48], plan)
    assert "error" not in row
    assert row["parameters"] == parameters
    assert row["mb"] == pytest.approx(4e-6 * parameters)


def test_running_statistics_count_where_they_are_kept(picture: np.ndarray) -> None:
    """DDN: convolutions and normalisations, by hand; a mean and a variance a channel."""
    row = runtime.run_row("ddn", CPU, picture[:32, :48], Plan((32, 48), repeats=1))
    within = 9 * 16 * 16 + 16 + 32
    assert row["parameters"] == (9 * 3 * 16 + 16 + 32) + 24 * within + (9 * 16 * 3 + 3 + 6)
    assert row["mb"] == pytest.approx(4e-6 * (row["parameters"] + 25 * 32 + 6))
    assert round(row["mb"], 3) == row["paper"]["mb"] == 0.233


def test_the_papers_network_has_these_sizes() -> None:
    """6.64 MB, of which each stream has 2.47 (the design's figures)."""
    assert round(4e-6 * STREAM, 2) == 2.47


# The whole command

SOME = ["dsc", "udg-alternating", "udg-joint", "udg-solve", "ddn", "udgnet-rain"]


def test_the_command_fills_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "runtime.json", tmp_path / "runtime.png"
    tiny = ["--size", "32x48", "--repeats", "1", "--device", "cpu", "--json", str(out)]
    assert runtime.main(["--rows", *SOME[1:], *tiny]) == 0
    assert runtime.main(["--rows", "dsc", *tiny, "--plot", str(plot)]) == 0
    results = json.loads(out.read_text(encoding="utf-8"))
    about = results["about"]
    assert {"date", "processor", "python", "udg"} <= set(about)
    assert about["versions"]["torch"] != "missing"
    assert results["shape"] == [32, 48]
    assert [row["name"] for row in results["rows"]] == SOME  # earlier rows kept, in the order
    unit = {row["name"]: row["seconds"] for row in results["rows"]}
    for row in results["rows"]:
        assert row["measured"]
        assert row["threads"] >= 1
        assert 0 < row["least"] <= row["seconds"] <= row["most"]
        assert row["times UDG"] == pytest.approx(row["seconds"] / unit["udg-alternating"])
        assert row["times udg.solve"] == pytest.approx(row["seconds"] / unit["udg-solve"])
    paper = {row["name"]: row["paper"] for row in results["rows"]}
    assert paper["dsc"]["times UDG"] == pytest.approx(5066 / 7.846)
    assert paper["udg-joint"] == {"mb": None, "seconds": None, "times UDG": None}
    printed = capsys.readouterr().out
    for row in results["rows"]:
        assert row["title"] in printed
    with plot.open("rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_a_failing_row_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(device: Device, picture: np.ndarray) -> Subject:
        raise RuntimeError("no such thing")

    rows = {"dsc": Row("Broken", broken, None, 7.0), "ddn": runtime.ROWS["ddn"]}
    monkeypatch.setattr(runtime, "ROWS", {**runtime.ROWS, **rows})
    out = tmp_path / "runtime.json"
    command = ["--size", "32x32", "--repeats", "1", "--device", "cpu", "--json", str(out)]
    assert runtime.main(["--rows", "dsc", "ddn", *command]) == 1
    broken_row, good = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert broken_row["error"] == "RuntimeError: no such thing"
    assert "seconds" not in broken_row
    assert good["seconds"] > 0
    assert "failed: Broken" in capsys.readouterr().err


def test_other_work_is_mentioned(monkeypatch: pytest.MonkeyPatch, picture: np.ndarray) -> None:
    """The machine is busy for two CPU seconds a second, this process for a half."""
    now = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("benchmarks._shared.timing.time", clock)
    monkeypatch.setattr(runtime, "time", clock)
    monkeypatch.setattr(runtime, "busy", lambda: (2 * now[0], 0.5 * now[0]))
    monkeypatch.setattr("os.cpu_count", lambda: 2)

    def prepare(image: np.ndarray) -> Any:
        return lambda: now.__setitem__(0, now[0] + 2)

    monkeypatch.setitem(runtime.ROWS, "ddn", Row("Slow", lambda *_: Subject(prepare)))
    row = runtime.run_row("ddn", CPU, picture, Plan(SHAPE))
    assert row["sizes"][-1]["others"] == 0.75
    assert "used 75% of the cores" in runtime.remark(row)


def test_the_cpus_clock_stands_still_while_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "threads", lambda: 2)
    times = iter([1.0, 4.0])
    monkeypatch.setattr(runtime, "time", SimpleNamespace(process_time=lambda: next(times)))
    device = Device("cpu", "cpu")
    assert repeated(lambda: None, 1, now=device.now) == [1.5]


def test_the_machines_work_is_at_least_ones_own() -> None:
    from benchmarks._shared.timing import busy

    before = busy()
    if before is None:
        pytest.skip("this system has no /proc/stat")
    ended = time.process_time() + 0.2
    while time.process_time() < ended:
        pass
    after = busy()
    assert after is not None
    assert after[0] - before[0] >= after[1] - before[1] - 0.05


def test_every_row_of_the_papers_table_is_there() -> None:
    """As printed; the networks' seconds are those of a GPU."""
    seconds = {row.title: row.paper_seconds for row in runtime.ROWS.values() if row.paper_seconds}
    assert list(seconds.values()) == [5066, 1443, 7.846, 0.162, 9.123, 22.6, 3.098, 0.129]
    sizes = [row.paper_mb for row in runtime.ROWS.values() if row.paper_mb]
    assert sizes == [0.233, 16.7, 13.1, 11.7, 5.7]


def test_too_little_memory_for_two_sizes_says_so(
    clock: Clock, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def peak(self: Device, run: Any) -> float:
        run()
        return 1e9

    monkeypatch.setattr(Device, "peak", peak)
    monkeypatch.setattr(Device, "free", lambda self: 1e9)
    subject, _ = clock.subject(lambda n: 1e-6 * n)
    with pytest.raises(MemoryError, match="only 32×64 fits"):
        measure(subject, picture, CPU, Plan(SHAPE))


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.00123456, "0.00123"), (0.2, "0.200"), (7.846, "7.85"), (5066, "5 066")],
)
def test_three_figures(value: float | None, text: str) -> None:
    assert runtime.number(value) == text


def test_a_size_must_be_one(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ("1024", "8x8", "axb"):
        with pytest.raises(SystemExit):
            runtime.main(["--size", wrong])
    assert "1024x2048" in capsys.readouterr().err


def test_the_drawn_street_shows_rain(picture: np.ndarray) -> None:
    import udg

    assert picture.dtype == np.float32
    assert picture.shape == (*SHAPE, 3)
    assert 0 <= picture.min() < picture.max() <= 1
    found = udg.solve(picture)
    assert found.rain_level > 0.5
    assert abs(found.angle) < 2


def test_data_dir_gives_the_picture(tmp_path: Path) -> None:
    from udg.io.files import write

    folder = tmp_path / scenes.STREET
    folder.mkdir(parents=True)
    write(folder / "a.png", (255 * scenes.drawn(48, 64)).astype(np.uint8))
    assert scenes.rainy(32, 100, tmp_path).shape == (32, 100, 3)


def test_time_is_real() -> None:
    assert repeated(lambda: time.sleep(0.01), 1)[0] >= 0.01
