"""Threads: how many, and kernels that several of them enter at once."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import udg
from udg import backend
from udg.model import _duality_numba
from udg.model.certificate import energy_and_bound
from udg.model.energy import RAIN_WEIGHTS, Problem
from udg.optim.loop import minimize
from udg.primal_dual import PrimalDual


def test_threads(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    assert backend.threads() >= 1
    monkeypatch.setattr(os, "cpu_count", lambda: 5)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert backend.threads() == 5
    with backend.one_of_many():
        assert backend.threads() == 1
        elsewhere = []
        thread = threading.Thread(target=lambda: elsewhere.append(backend.threads()))
        thread.start()
        thread.join()
        assert elsewhere == [5]
        with backend.one_of_many():
            pass
        assert backend.threads() == 1
        monkeypatch.setenv("NUMBA_NUM_THREADS", "3")
        assert backend.threads() == 3
    monkeypatch.setenv("NUMBA_NUM_THREADS", "0")
    assert backend.threads() == 5


@pytest.mark.parametrize("size", [0, 1, 3])
def test_a_crew_does_each_part_once_and_waits(size):
    done = []
    with backend.crew(size) as each:
        for work in range(2):
            each(lambda part, work=work: done.append((work, part)))
            assert sorted(done)[-1][0] == work
    assert sorted(done) == [(work, part) for work in range(2) for part in range(max(1, size))]


@pytest.mark.parametrize("size", [1, 2])
def test_what_goes_wrong_in_a_crew_is_said(size):
    def fail(part):
        raise MemoryError

    with backend.crew(size) as each, pytest.raises(MemoryError):
        each(fail)


@pytest.mark.parametrize("boundary", ["reflecting", "periodic"])
def test_serial_and_parallel_kernels_agree(rainy, boundary, monkeypatch):
    problem = Problem(rainy, RAIN_WEIGHTS, boundary=boundary)
    results = []
    for blocks in (1, 2, 3):
        for module in ("udg.model._duality_numba", "udg.primal_dual._numba"):
            monkeypatch.setattr(f"{module}.blocks_for", lambda Y, blocks=blocks: blocks)
        minimum = minimize(problem, PrimalDual(), tol=0, max_iter=60)
        results.append((minimum, energy_and_bound(problem, *minimum.estimate)))
    (serial, serial_values), *others = results
    for parallel, values in others:
        np.testing.assert_allclose(parallel.estimate.R, serial.estimate.R, atol=1e-5)
        np.testing.assert_allclose(parallel.estimate.X, serial.estimate.X, atol=1e-5)
        assert values == pytest.approx(serial_values, rel=1e-5)


def test_blocks_are_worth_a_thread_each(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "64")
    size = _duality_numba._MIN_BLOCK
    assert _duality_numba.blocks_for(np.empty(size - 1, np.float32)) == 0
    assert _duality_numba.blocks_for(np.empty(65 * size, np.bool_)) == 64


CROWD = """
import threading
import numpy as np
from udg.model import _duality_numba
from udg.optim.loop import minimize
from udg.model.energy import RAIN_WEIGHTS, Problem
from udg.primal_dual import PrimalDual

_duality_numba._MIN_BLOCK = 64  # so that every kernel is worth two threads
problem = Problem(np.random.default_rng(0).random((64, 64), dtype=np.float32), RAIN_WEIGHTS)

def work():
    results.append(minimize(problem, PrimalDual(), tol=0, max_iter=100).objective)

results = []
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(results), max(results) - min(results) < 1e-4 * results[0])
"""


def test_threads_at_once_do_not_disturb_each_other():
    environment = {
        **os.environ,
        "NUMBA_NUM_THREADS": "2",
        "PYTHONPATH": str(Path(udg.__file__).parent.parent),
    }
    command = [sys.executable, "-c", CROWD]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "4 True\n"), process.stderr
