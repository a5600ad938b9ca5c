"""Batches on a Dask cluster of two processes on this machine, one of which is killed on the way."""

import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner

import udg
from udg import batch
from udg.batch import Task, cluster
from udg.cli import main
from udg.errors import ClusterError, FileError, InvalidInput, MissingExtra
from udg.io import files

pytestmark = [
    pytest.mark.skipif(os.name == "nt", reason="signals of POSIX"),
    # On a busy machine distributed leaves connections to a killed worker to the collector.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def workers():
    """A cluster of two worker processes, of one thread each."""
    pytest.importorskip("distributed")  # before its settings are changed: they are put back then

    # On a busy machine a killed one takes longer to come back than the 15 s after which it is
    # otherwise given up.
    patience = {"distributed.deploy.lost-worker-timeout": "10 minutes"}
    with dask.config.set(patience), local_cluster(2) as cluster:
        yield cluster


def local_cluster(n_workers):
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        dashboard_address="127.0.0.1:0",  # any free port
        silence_logs=logging.CRITICAL,
        memory_limit=0,
    )


@pytest.fixture
def address(workers):
    """The scheduler's, once both workers are back from being killed by the test before."""
    deadline = time.monotonic() + 60
    while len(workers.scheduler.workers) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return workers.scheduler_address


def tasks_in(folder, *names):
    return [Task(folder / name, number=number) for number, name in enumerate(names)]


# Work: pickled by name, so it stands in the module.


def work(task):
    what = task.source.name
    if what == "bad":
        raise FileError("bad is damaged")
    if what == "bug":
        return {"never": 1 // 0}
    if what == "warns":
        logging.getLogger("udg.somewhere").warning("mind the %s", "gap")
    if what == "kills":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "kills once":
        try:
            task.source.touch(exist_ok=False)
            os.kill(os.getpid(), signal.SIGKILL)
        except FileExistsError:
            pass  # the worker before died of it
    from udg.backend import threads

    return {"name": what, "process": os.getpid(), "threads": threads()}


def work_slowly(task):
    task.source.touch()
    time.sleep(0.5)
    return {}


def test_failures_stop_nothing_and_a_killed_worker_loses_nothing(tmp_path, address):
    names = ["one", "bad", "kills once", "bug", "warns", *"abcdef", "last"]
    reported = []
    tasks = tasks_in(tmp_path, *names)
    outcomes = batch.run(tasks, work, dask=address, report=reported.append)
    assert [outcome.task for outcome in outcomes] == tasks
    assert {o.task.source.name: o.error for o in outcomes if o.error is not None} == {
        "bad": "bad is damaged",
        "bug": "ZeroDivisionError: integer division or modulo by zero",
    }
    assert (tmp_path / "kills once").exists()
    assert "1 // 0" in outcomes[3].details
    assert outcomes[4].notes == ["mind the gap"]
    assert os.getpid() not in {outcome.facts.get("process") for outcome in outcomes}
    assert {outcome.facts.get("threads") for outcome in outcomes} <= {1, None}
    assert sorted(outcome.task.number for outcome in reported) == list(range(len(names)))


def test_what_kills_every_worker_is_that_tasks_failure(tmp_path, workers, address, monkeypatch):
    monkeypatch.setattr(workers.scheduler, "allowed_failures", 1)
    # Alone: Dask suspects whatever waits on a worker that dies, and one failure is allowed here.
    (outcome,) = batch.run(tasks_in(tmp_path, "kills"), work, dask=address)
    assert outcome.error is not None
    assert outcome.error.startswith("every worker that tried it died; ")
    (after,) = batch.run(tasks_in(tmp_path, "a"), work, dask=address)
    assert after.error is None


def test_interrupt_drops_what_is_not_begun(tmp_path, address):
    def interrupt(outcome):
        raise KeyboardInterrupt

    tasks = tasks_in(tmp_path, *map(str, range(40)))
    with pytest.raises(KeyboardInterrupt):
        batch.run(tasks, work_slowly, dask=address, report=interrupt)
    # Each takes half a second: when none begins for two, none will.
    begun, before = set(tmp_path.iterdir()), None
    while begun != before:
        time.sleep(2)
        begun, before = set(tmp_path.iterdir()), begun
    assert 0 < len(begun) < len(tasks) / 2


def test_no_tasks_need_no_cluster():
    assert batch.run([], work, dask="tcp://127.0.0.1:1") == []


# Reaching it


def test_nobody_answers():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no Dask scheduler answers at {address} within"):
            cluster.connect(address, patience=0.5)


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "pigeon://host:1", "tcp://host:port"])
def test_no_address(address):
    with pytest.raises((InvalidInput, ClusterError), match="scheduler"):
        cluster.connect(address, patience=0.5)


def test_no_workers(monkeypatch):
    closed = []

    class Client:
        def __init__(self, address, **options):
            self.address = address

        def wait_for_workers(self, count, timeout):
            raise TimeoutError(f"Only 0/{count} workers arrived after {timeout}")

        def close(self):
            closed.append(self.address)

    monkeypatch.setattr("distributed.Client", Client)
    with pytest.raises(
        ClusterError, match="has no workers; start some with 'dask worker tcp://a:1'"
    ):
        cluster.connect("tcp://a:1")
    assert closed == ["tcp://a:1"]


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtra, match=r"udg\[dask\]"):
        cluster.connect("tcp://127.0.0.1:8786")


# Arrays


@dataclass(frozen=True)
class KillsItsWorker(udg.PrimalDual):
    """Kills the process in which the second pass over a tile begins; once, or there is no end."""

    marker: Path | None = None

    def start(self, problem, warm):
        if warm is not None:
            try:
                self.marker.touch(exist_ok=False)
                os.kill(os.getpid(), signal.SIGKILL)
            except FileExistsError:
                pass
        return super().start(problem, warm)


def test_an_array_with_a_worker_killed_in_the_second_pass(tmp_path, address):
    scene = np.full((120, 140), 0.4, np.float32)
    array = da.from_array(udg.synthesize(scene, angle=5, seed=3).rainy, chunks=70)
    marker = tmp_path / "killed"
    here, there = (
        udg.solve_blocks(array, overlap=16, angle=5, method=method)
        for method in (udg.PrimalDual(), KillsItsWorker(marker=marker))
    )
    (local,) = dask.compute(here, scheduler="sync")
    with cluster.connect(address) as client:
        (remote,) = dask.compute(there, scheduler=client)
    assert marker.exists()
    assert local.rain.max() > 0.1
    # Kernels that two processes compile at a time may round differently.
    np.testing.assert_allclose(remote.derained, local.derained, atol=1e-5)
    np.testing.assert_allclose(remote.rain, local.rain, atol=1e-5)
    assert remote.angle == pytest.approx(local.angle)
    assert remote.gap == pytest.approx(local.gap, rel=1e-2)


# The command line


def call(*arguments, code=0):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Eight rainy pictures in rainy/, the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("rainy").mkdir()
    y, x = np.mgrid[:56, :64]
    scene = (90 + 40 * np.sin(y / 9) * np.cos(x / 7)).astype(np.uint8)
    for number in range(8):
        rainy = udg.synthesize(scene, angle=3 * number - 10, seed=number).rainy
        files.write(Path("rainy", f"{number}.png"), rainy.round().astype(np.uint8))
    return tmp_path


def test_derain_a_folder_with_a_worker_killed(folder, workers, address):
    Path("rainy/bad.png").write_bytes(b"not a picture")
    killed = []

    def kill_one():
        """As soon as there is a first result."""
        while not list(Path("out").glob("*.png")):
            time.sleep(0.005)
        process = workers.workers[0].process.process
        killed.append(process.pid)
        os.kill(process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    command = ["derain", "rainy", "-o", "out", "--save-rain", "--json"]
    there = call(*command, "there.json", "--dask", address, code=1)
    killer.join()
    assert killed
    assert "1 of 9 failed" in there.stderr
    assert "bad.png is not a picture" in there.stderr
    call("derain", "rainy", "-o", "here", "--save-rain", "--json", "here.json", code=1)
    names = sorted(path.name for path in Path("here").iterdir())
    assert len(names) == 16
    assert sorted(path.name for path in Path("out").iterdir() if path.name[0] != ".") == names
    for name in names:
        there, here = (files.read(Path(where, name)).pixels for where in ("out", "here"))
        np.testing.assert_allclose(there.astype(int), here.astype(int), atol=1)

    def facts(report):
        entries = json.loads(Path(report).read_text())["files"]
        keys = ("input", "status", "angle", "rain_level", "iterations")
        return [[entry.get(key) for key in keys] for entry in entries]

    for there, here in zip(facts("there.json"), facts("here.json"), strict=True):
        assert there[:2] == here[:2]
        assert there[1] == "failed" or there[2:] == pytest.approx(here[2:], rel=1e-6)


def test_resume_and_angle(folder, address):
    call("derain", "rainy/3.png", "-o", "out/3.png", "--angle", "0", "--max-iter", "1")
    before = Path("out/3.png").read_bytes()
    options = ["--angle", "0", "--max-iter", "2", "--dask", address]
    result = call("derain", "rainy", "-o", "out", "--resume", *options)
    assert "1 done before" in result.stderr
    assert len(list(Path("out").iterdir())) == 8
    assert Path("out/3.png").read_bytes() == before
    assert call("angle", "rainy", "--dask", address).stdout == call("angle", "rainy").stdout


@pytest.mark.parametrize(
    ("address", "options", "code", "message"),
    [
        ("tcp://127.0.0.1:8786", ["--jobs", "2"], 2, "--jobs is for this machine"),
        ("nowhere", [], 2, "nowhere is no address of a Dask scheduler"),
        ("tcp://127.0.0.1:1", [], 1, "no Dask scheduler answers at tcp://127.0.0.1:1 within 0.3 s"),
    ],
)
def test_errors_are_sentences(folder, monkeypatch, address, options, code, message):
    monkeypatch.setattr(cluster, "connect", partial(cluster.connect, patience=0.3))
    result = call("derain", "rainy", "-o", "out", "--dask", address, *options, code=code)
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert not Path("out").exists()
