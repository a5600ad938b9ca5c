"""Training on tiny networks: what is learned, and that nothing is lost on the way."""

import csv
import errno
import json
import math
import os
import pickle
import signal
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from time import sleep  # noqa: F401  (for PROGRAM)
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import udg
from udg import Diverged, FileError, InvalidInput
from udg.detection.density import RainDensity
from udg.io import files
from udg.net import (
    AUTHORS_LOSS,
    AUTHORS_TRAINING,
    ENERGY_LOSS,
    PAPER_LOSS,
    PAPER_TRAINING,
    PRESETS,
    SINGLE_IMAGE,
    TABLE_5,
    Config,
    LossWeights,
    TrainConfig,
    TrainResult,
    UDGNet,
    adapt,
    derain,
    for_inference,
    from_pretrained,
    named_loss,
    overall_loss,
    train,
)
from udg.net.data import Crops, Sampler, TrainingPicture, load
from udg.net.reweighting import measure_density, with_sparsity_maps
from udg.net.step import learning_rate, turned

TINY = Config(channels=1, width=3, depth=1, angle_widths=(2, 2, 2), angle_pools=(2, 4))
QUICK = TrainConfig(
    net=TINY, loss=replace(ENERGY_LOSS, mu=1.0), steps=6, batch=2, crop=16, log_every=2,
    critic_width=2, critic_layers=1, pool=3, angle_steps=2,
)  # fmt: skip
ANGLES = [10.0, -15.0, 20.0]


def scene(seed: int, height: int = 40, width: int = 44) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (0.4 + 0.1 * np.sin(rows / (5 + seed)) * np.cos(columns / 7)).astype(np.float32)


RAINY = [
    udg.synthesize(scene(n), angle=angle, seed=n, density=0.15).rainy
    for n, angle in enumerate(ANGLES)
]
CLEAN = [scene(7), scene(8)]


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Without pictures of the progress, which take longer than the training; but see below."""
    for name in ("torch.utils.tensorboard", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


def run(out: Path | None = None, config: TrainConfig = QUICK, **given) -> TrainResult:
    given = {"angles": ANGLES, "clean": CLEAN if config.loss.mu else None} | given
    return train(RAINY, out, config, device="cpu", threads=1, **given)


def stop_at(step: int):
    return lambda now: now.step == step


def assert_same(one: TrainResult, other: TrainResult) -> None:
    """Bitwise, but for the time it took."""
    here, there = one.net.state_dict(), other.net.state_dict()
    assert here.keys() == there.keys()
    assert [name for name in here if not torch.equal(here[name], there[name])] == []
    rows = [[row | {"seconds": 0} for row in result.history] for result in (one, other)]
    assert rows[0] == rows[1]
    assert one.steps == other.steps


@pytest.fixture(scope="module")
def uninterrupted() -> TrainResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "torch.utils.tensorboard", None)
        return run()


# Going on


@pytest.mark.parametrize("step", [1, 2, 5])
def test_resumed_is_uninterrupted(uninterrupted, tmp_path, step):
    """In the angle's steps, between them and the streams', and between two rows of the history."""
    first = run(tmp_path, callback=stop_at(step))
    assert (first.steps, first.finished) == (step, False)
    second = run(tmp_path, resume=True)
    assert second.finished
    assert_same(second, uninterrupted)
    assert_same(run(tmp_path, resume=True), uninterrupted)  # nothing left to do


@pytest.mark.parametrize("step", [1, 3])
def test_reweighting_is_resumed(tmp_path, step):
    """Before it begins, and after: the rain's density is that of when it began."""
    config = replace(
        QUICK, loss=replace(ENERGY_LOSS, angle=0), streams=("rain",), angle_steps=0, steps=4,
        envelope=1.0, reweight=0.5, norm="fixed", lr=0.1,
    )  # fmt: skip
    whole = run(config=config)
    run(tmp_path, config, callback=stop_at(step))
    assert_same(run(tmp_path, config, resume=True), whole)


def test_density_that_a_checkpoint_lacks_is_measured_again(tmp_path):
    config = replace(
        QUICK, loss=replace(ENERGY_LOSS, angle=0), streams=("rain",), angle_steps=0, steps=4,
        envelope=1.0, reweight=0.5, norm="fixed",
    )  # fmt: skip
    run(tmp_path, config, callback=stop_at(3))
    path = tmp_path / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    assert [len(means) for means in content.pop("density")] == [4] * len(RAINY)
    torch.save(content, path)  # as an older version wrote it
    assert run(tmp_path, config, resume=True).finished
    content = torch.load(path, weights_only=True)
    assert [len(means) for means in content["density"]] == [4] * len(RAINY)


def test_dense_rain_is_weighed_more():
    plane = torch.zeros(1, 80, 120)
    plane[:, :, 10:22:3] = 0.5  # a fence: rain that is found in one place only
    pictures = [TrainingPicture("fence", plane + 0.2), TrainingPicture("dry", plane[:, :30] * 0)]
    net = UDGNet(TINY).eval()
    net.rain.forward = lambda Y: 0.9 * (Y - 0.2)
    reweighted = with_sparsity_maps(pictures, measure_density(net, pictures))
    sparsity_map = reweighted[0].sparsity_map
    assert sparsity_map.shape == (1, 80, 120)
    assert sparsity_map[..., :30].min() > 1.5
    assert sparsity_map[..., 90:].max() < 1.1
    assert reweighted[1].sparsity_map.max() == 1
    density = RainDensity((80, 120), 0.0)
    density.add(0, 0.9 * plane[0].numpy(), (plane[0] + 0.2).numpy())
    expected = density.window(slice(0, 80), slice(0, 120)).sparsity_factor()
    np.testing.assert_allclose(sparsity_map[0], expected, rtol=1e-3)
    crops = Sampler(reweighted[:1], 32, flips=False).batch(0, 2)
    assert crops.sparsity_maps.shape == crops.images.shape


def test_settings_of_the_run_are_the_default_when_resuming(uninterrupted, tmp_path):
    run(tmp_path, callback=stop_at(3))
    resumed = train(RAINY, tmp_path, resume=True, clean=CLEAN, device="cpu", threads=1)
    assert resumed.config == uninterrupted.config
    assert_same(resumed, uninterrupted)  # … and the angles are those of angles.csv


PROGRAM = """
import sys, test_net_train as t
sys.modules["torch.utils.tensorboard"] = sys.modules["matplotlib.figure"] = None
t.run(t.Path(sys.argv[1]), checkpoint_minutes=float(sys.argv[2]),
      callback=lambda now: print(now.step, flush=True) or t.sleep(0.2))
"""


def start_process(out: Path, checkpoint_minutes: float) -> subprocess.Popen:
    path = [str(Path(udg.__file__).parents[1]), str(Path(__file__).parent)]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(out), str(checkpoint_minutes)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_and_interrupted_processes_are_resumed(uninterrupted, tmp_path):
    killed, interrupted = tmp_path / "killed", tmp_path / "interrupted"
    kill, interrupt = start_process(killed, 0), start_process(interrupted, 99)
    for line in kill.stdout:
        if int(line) == 4:
            break
    kill.kill()
    interrupt.stdout.readline()
    interrupt.send_signal(signal.SIGINT)
    kill.communicate()
    assert kill.returncode == -signal.SIGKILL
    _, errors = interrupt.communicate()
    assert "KeyboardInterrupt: interrupted after step" in errors
    assert "can be resumed" in errors

    (killed / ".udg-0123.tmp").write_bytes(b"half a checkpoint")
    assert torch.load(killed / "checkpoint.pt", weights_only=True)["step"] in (3, 4)
    for folder in (killed, interrupted):
        assert_same(run(folder, resume=True), uninterrupted)
        assert not list(folder.glob(".*"))


def test_ctrl_c_finishes_the_step(tmp_path):
    before = signal.getsignal(signal.SIGINT)

    def interrupt(now):
        if now.step == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match=r"after step 3 of 6; it is kept in .* resumed"):
        run(tmp_path, callback=interrupt)
    assert signal.getsignal(signal.SIGINT) == before
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 3

    def twice(now):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as caught:  # at once
        run(callback=twice)
    assert not str(caught.value)


def test_minutes_are_limited(tmp_path):
    result = run(tmp_path, max_minutes=0)
    assert (result.steps, result.finished) == (1, False)
    assert run(tmp_path, resume=True).finished


def test_nan_keeps_the_last_good_checkpoint(tmp_path):
    config = replace(QUICK, lr=1e25, angle_steps=0, log_every=1)
    with pytest.raises(Diverged, match=r"lower lr.*last checkpoint") as caught:
        run(tmp_path, config, checkpoint_minutes=0)
    assert isinstance(caught.value, ArithmeticError)
    content = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert content["step"] >= 1
    assert all(torch.isfinite(u).all() for u in content["net"].values())
    net = from_pretrained(tmp_path / "weights.safetensors")
    assert all(torch.isfinite(u).all() for u in net.state_dict().values())
    with pytest.raises(Diverged):
        run(config=config)


def test_full_disk_keeps_the_last_checkpoint(tmp_path, monkeypatch, uninterrupted):
    run(tmp_path, callback=stop_at(2))
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def save(content, file):
        file.write(b"a part")
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", save)
        with pytest.raises(FileError, match=r"checkpoint\.pt: the disk is full"):
            run(tmp_path, resume=True)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not list(tmp_path.glob(".*"))
    assert_same(run(tmp_path, resume=True), uninterrupted)


def test_a_run_is_not_continued_by_mistake(tmp_path, caplog):
    run(tmp_path, callback=stop_at(3))
    with pytest.raises(InvalidInput, match="holds a run; resume it"):
        run(tmp_path)
    with pytest.raises(InvalidInput, match="other pictures or angles"):
        run(tmp_path, resume=True, angles=3.0)
    for other in (replace(QUICK, net=replace(TINY, width=4)), replace(QUICK, loss=ENERGY_LOSS)):
        with pytest.raises(InvalidInput, match="other sizes, or another choice of clean"):
            run(tmp_path, other, resume=True)
    with pytest.raises(InvalidInput, match="give out"):
        run(resume=True)
    result = run(tmp_path, resume=True, lr=5e-4, steps=7)
    assert result.steps == 7
    assert "lr was 0.001 until now and is 0.0005 from here" in caplog.messages


def test_checkpoints_that_could_run_programs_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "evil"),)

    for content in (pickle.dumps(Evil()), b"", b"no checkpoint"):
        (tmp_path / "checkpoint.pt").write_bytes(content)
        with pytest.raises(FileError, match="it is damaged"):
            run(tmp_path, resume=True)
    torch.save({"Evil": Evil()}, tmp_path / "checkpoint.pt")
    with pytest.raises(FileError, match="it is damaged"):
        run(tmp_path, resume=True)
    assert not (tmp_path / "evil").exists()
    torch.save({"step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(FileError, match="no checkpoint of udg"):
        run(tmp_path, resume=True)


def test_other_random_numbers_are_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    run()
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


# Several processes

DISTRIBUTED = """
import sys, test_net_train as t
sys.modules["torch.utils.tensorboard"] = None
result = t.run(t.Path(sys.argv[1]), pool=50)
t.torch.save([result.history, result.net.state_dict()], sys.argv[2])
"""


def test_two_processes_are_one_with_the_double_batch(tmp_path):
    """As torchrun starts them; with synchronised batch normalisation, also of the critic."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = [str(Path(udg.__file__).parents[1]), str(Path(__file__).parent)]
    ours = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", DISTRIBUTED, tmp_path / "run", tmp_path / str(n)],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(path),
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": "2",
                "RANK": str(n),
                "LOCAL_RANK": str(n),
            },
        )
        for n in range(2)
    ]
    double = run(config=replace(QUICK, batch=2 * QUICK.batch, pool=50))
    assert [process.wait() for process in ours] == [0, 0]
    (here, net), (there, other) = (
        torch.load(tmp_path / str(n), weights_only=True) for n in range(2)
    )
    for name, tensor in net.items():
        assert torch.equal(tensor, other[name]), name
    for one, same, expected in zip(here, there, double.history, strict=True):
        assert {**one, "seconds": 0} == {**same, "seconds": 0}
        for name, value in expected.items():
            if name != "seconds":
                assert one[name] == pytest.approx(value, rel=1e-3), name
    saved = from_pretrained(tmp_path / "run" / "weights.safetensors")
    assert all(torch.equal(u, net[name]) for name, u in saved.state_dict().items())


# What is learned


def test_one_picture_is_enough():
    clean = scene(0, 64, 64)
    rainy = udg.synthesize(clean, angle=10, seed=1, density=0.1, intensity=0.4).rainy
    sizes = {"width": 6, "depth": 1, "crop": 32, "steps": 120, "batch": 4, "threads": 1}
    result, untrained = (
        train(rainy, angles=10, device="cpu", **sizes, **rate) for rate in ({}, {"lr": 1e-12})
    )
    # On the same crops, R = 0: an early loss may be worse than that, and no measure of success.
    assert result.history[-1]["loss"] < 2 / 3 * untrained.history[-1]["loss"]
    assert not derain(rainy, untrained.net, angle=10).rain.round(3).any()
    found = derain(rainy, result.net, angle=10)
    assert udg.psnr_y(found.derained, clean) > udg.psnr_y(rainy, clean) + 4


def test_only_what_a_step_is_for_changes():
    begun = run(config=replace(QUICK, ema=0), callback=stop_at(1)).net
    fresh = run(config=replace(QUICK, ema=0, lr=1e-12), callback=stop_at(1)).net

    def moved(one: UDGNet, other: UDGNet) -> set[str]:
        here, there = dict(one.named_parameters()), dict(other.named_parameters())
        return {
            name.split(".")[0] for name in here if (here[name] - there[name]).abs().max() > 1e-5
        }

    assert moved(begun, fresh) == {"angle"}
    assert moved(run(config=replace(QUICK, ema=0)).net, fresh) == {"angle", "background", "rain"}
    alone = replace(QUICK, ema=0, streams=("rain",), loss=ENERGY_LOSS)
    assert moved(run(config=alone).net, fresh) == {"angle", "rain"}
    assert moved(run(config=replace(alone, angle_steps=0, loss=replace(ENERGY_LOSS, angle=0))).net,
                 fresh) == {"rain"}  # fmt: skip


def test_rain_alone_leaves_the_rest_to_the_background():
    net = UDGNet(TINY).eval()
    image = torch.rand(2, 1, 20, 20)
    layers = net(image, 5.0, (12, 12), ("rain",))
    torch.testing.assert_close(layers.X, layers.Y - layers.R)
    torch.testing.assert_close(layers.R, net(image, 5.0, (12, 12)).R)
    assert layers.predicted.tolist() == [5, 5]
    layers = net(image, 5.0, (12, 12), ("background",))
    torch.testing.assert_close(layers.R, layers.Y - layers.X)
    for wrong in ({"parts": ("sky",)}, {"parts": ("rain",), "angle": None}):
        with pytest.raises(InvalidInput, match="parts"):
            net(image, **{"angle": 5.0, **wrong})


def test_history_is_the_mean_of_the_losses():
    every, rows = (run(config=replace(QUICK, log_every=n)).history for n in (1, 3))
    assert [row["step"] for row in rows] == [3, 6]
    for row, three in zip(rows, (every[:3], every[3:]), strict=True):
        for name in {name for one in three for name in one} - {"step", "seconds", "lr"}:
            assert row[name] == pytest.approx(sum(one.get(name, 0) for one in three) / 3)
    weighted = {name for name, value in asdict(QUICK.loss).items() if value}
    assert set(rows[1]) == {"step", "seconds", "lr", "loss", "discriminator", *weighted}
    terms = sum(rows[1][name] for name in weighted)
    assert rows[1]["loss"] == pytest.approx(terms, rel=1e-5)


def test_the_first_loss_is_the_networks_energy():
    config = replace(QUICK, loss=replace(ENERGY_LOSS, angle=0), angle_steps=0, steps=1)
    crops = Sampler(load(RAINY, 1, ANGLES), 16).batch(0, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = UDGNet(TINY)
        layers = net(crops.images, crops.angles, (16, 16))
    expected = overall_loss(layers, config.loss).total.mean().detach()
    assert run(config=config).history[0]["loss"] == pytest.approx(float(expected), rel=1e-5)
    half = run(config=replace(config, precision="bfloat16")).history[0]["loss"]
    assert half == pytest.approx(float(expected), rel=0.05)
    assert half != run(config=config).history[0]["loss"]


def test_sum_is_the_batch_times_the_mean():
    # With a huge eps Adam's step is in proportion to the gradient.
    config = replace(
        QUICK, loss=replace(ENERGY_LOSS, angle=0), angle_steps=0, steps=1, ema=0, eps=1e6, lr=1e6
    )
    begun, mean, total = (
        run(config=replace(config, **other)).net.rain.head.weight
        for other in ({"lr": 1e-9}, {}, {"reduction": "sum"})
    )
    torch.testing.assert_close(total - begun, 2 * (mean - begun), rtol=1e-3, atol=1e-6)


def test_clip_bounds_the_step():
    config = replace(QUICK, loss=replace(ENERGY_LOSS, angle=0), angle_steps=0, steps=1, ema=0)
    config = replace(config, eps=1e6, lr=1e6)
    begun, clipped = (
        torch.cat([p.detach().flatten() for p in run(config=one).net.parameters()])
        for one in (replace(config, lr=1e-9), replace(config, clip=0.01))
    )
    assert float((clipped - begun).norm()) == pytest.approx(0.01, rel=0.01)


def test_the_average_follows_the_weights():
    """One step after another: what is averaged is what was there, by the factors that are said."""
    config = replace(QUICK, ema=0.5, angle_steps=0)
    last = [run(config=replace(config, ema=0), callback=stop_at(n)).net for n in range(1, 5)]
    average = run(config=replace(config, ema=0, lr=1e-30), callback=stop_at(1)).net
    expected = average.rain.head.weight.detach()
    for n, net in enumerate(last):
        factor = min(0.5, (1 + n) / (10 + n))
        expected = factor * expected + (1 - factor) * net.rain.head.weight.detach()
    found = run(config=config, callback=stop_at(4)).net.rain.head.weight
    torch.testing.assert_close(found, expected)


def test_distillation_comes_first(monkeypatch, tmp_path):
    solved = []

    def solve(image, angle):
        solved.append(angle)
        return SimpleNamespace(rain=image / 4)

    monkeypatch.setattr("udg.pipeline.whole.solve", solve)
    config = replace(
        QUICK, loss=replace(ENERGY_LOSS, angle=0), angle_steps=0, log_every=1,
        distill=2.0, distill_steps=2, distill_blend=2,
    )  # fmt: skip
    rows = run(tmp_path, config).history
    assert solved == ANGLES
    assert [row["distill"] > 0 for row in rows] == [True] * 4 + [False] * 2
    assert [row["lam_y"] > 0 for row in rows] == [False] * 2 + [True] * 4
    run(tmp_path, config, resume=True)
    assert solved == ANGLES  # kept
    crops = Sampler(load(RAINY, 1, ANGLES), 16).batch(0, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Y, X, R, inside, *_ = UDGNet(TINY)(crops.images, crops.angles, (16, 16))
    errors = (R - Y / 4).abs() + (X - 0.75 * Y).abs()
    expected = 2.0 * (errors * inside).sum((1, 2, 3)).mean().detach()
    assert rows[0]["loss"] == pytest.approx(float(expected), rel=2e-3)  # turned twice
    squared = run(config=replace(config, distill_norm="l2", steps=1)).history
    expected = (
        2.0 * (((R - Y / 4) ** 2 + (X - 0.75 * Y) ** 2) * inside).sum((1, 2, 3)).mean().detach()
    )
    assert squared[0]["loss"] == pytest.approx(float(expected), rel=4e-3)


def test_the_envelope_takes_the_place_of_the_energy(monkeypatch):
    config = replace(
        QUICK, loss=replace(ENERGY_LOSS, angle=2.0), streams=("rain",), angle_steps=0, steps=4,
        log_every=1, envelope=2.0, envelope_iterations=7, reweight=0.5,
    )  # fmt: skip
    weighed = []

    def magnitude_factor(rain, suspicion, lam_r):
        weighed.append(lam_r)
        assert rain.min() >= 0
        assert suspicion.min() > 0.99
        return suspicion

    monkeypatch.setattr("udg.net.reweighting.magnitude_factor", magnitude_factor)
    rows = run(config=config).history
    assert weighed == [ENERGY_LOSS.lam_r] * 2  # in the second half
    assert {name for row in rows for name in row} == {
        *("step", "seconds", "lr", "loss", "angle", "envelope")
    }
    crops = Sampler(load(RAINY, 1, ANGLES), 16).batch(0, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = UDGNet(TINY)(crops.images, crops.angles, (16, 16), ("angle", "rain"))
    expected = udg.net.envelope_loss(
        layers.R, layers.Y, ENERGY_LOSS, 2.0, 7, inside=layers.inside
    ).mean()
    assert rows[0]["envelope"] == pytest.approx(float(expected.detach()), rel=1e-4)
    assert rows[0]["loss"] == pytest.approx(rows[0]["envelope"] + rows[0]["angle"])


@pytest.mark.parametrize("case", TABLE_5)
def test_every_row_of_table_5_trains_what_it_names(case):
    name, weights, output = TABLE_5[case]
    clean = CLEAN if weights.mu else None
    config = replace(QUICK, angle_steps=0, steps=1)
    result = run(config=config, loss=f"table5:{case}", clean=clean)
    assert result.config.loss == weights
    assert result.config.output == output
    terms = set(name.split("+"))
    expected = [stream for stream, its in (("background", {"tv", "adv"}), ("rain", {"rain"}))
                if its & terms]  # fmt: skip
    assert result.config.streams == tuple(expected)
    assert ("discriminator" in result.history[0]) == ("adv" in terms)


def test_without_statistics_the_streams_begin_with_no_rain():
    config = replace(QUICK, angle_steps=0, norm="fixed", ema=0, steps=1, lr=1e-12)
    net = run(config=config, loss="energy", clean=None, streams=("background", "rain")).net
    images = torch.rand(2, net.config.channels, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(net.background(images), images, atol=1e-4, rtol=0)
        assert net.rain(images).abs().max() < 1e-4
    fresh = UDGNet(net.config).state_dict()
    for name, tensor in net.state_dict().items():
        if "running" in name and not name.startswith("angle"):
            assert torch.equal(tensor, fresh[name])


def test_adapted_to_a_picture():
    net = run(config=replace(QUICK, ema=0)).net
    before = {name: u.clone() for name, u in net.state_dict().items()}
    # Equal bits are promised for an equal number of threads, which others may set meanwhile.
    given = {"angle": 10, "config": replace(SINGLE_IMAGE, crop=16, lr=1e-3), "threads": 1}
    adapted = adapt(net, RAINY[0], 3, **given)
    assert all(torch.equal(u, before[name]) for name, u in net.state_dict().items())
    after = adapted.state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"rain"}
    again = adapt(net, RAINY[0], 3, **given).state_dict()
    assert all(torch.equal(after[name], again[name]) for name in after)
    with pytest.raises(InvalidInput, match="folded"):
        adapt(for_inference(net), RAINY[0], 3, **given)


def test_the_networks_own_angle_can_be_taught_by_the_energy():
    net = run(config=replace(QUICK, ema=0)).net
    config = replace(QUICK, loss=replace(ENERGY_LOSS, angle=0), angle_steps=0, ema=0,
                     rotate_by="network", steps=2)  # fmt: skip
    taught = run(config=config, start=net).net
    moved = taught.angle.body[-1].weight - net.angle.body[-1].weight
    assert float(moved.detach().abs().max()) > 0
    with pytest.raises(InvalidInput, match="needs a trained angle network"):
        run(config=config)


def test_turned_crops_have_turned_streaks():
    rainy = udg.synthesize(np.full((200, 200), 0.4, np.float32), angle=5, seed=3).rainy
    crops = Sampler(load(rainy, 1, 5.0), 120).batch(0, 3)
    config = replace(QUICK, angle_turn=30.0)
    rotated = turned(crops, config, first=0)
    difference = rotated.angles - crops.angles
    assert len({round(d, 3) for d in difference.tolist()}) == 3
    assert difference.abs().max() <= 30
    for image, angle in zip(rotated.images.numpy(), rotated.angles.tolist(), strict=True):
        assert udg.estimate_angle(image[0]).degrees == pytest.approx(angle, abs=4)
    assert turned(crops, QUICK, first=0) is crops
    steep = Crops(crops.images, torch.full((3,), 44.0), None)
    assert turned(steep, config, first=0).angles.max() <= 45


# Settings


def test_presets_are_what_was_published():
    paper, authors = PAPER_TRAINING, AUTHORS_TRAINING
    assert TrainConfig() == paper
    assert (paper.loss, paper.batch, paper.crop) == (PAPER_LOSS, 8, 128)
    epoch = 2000
    for step, expected in (
        (0, 1e-3),
        (30 * epoch - 1, 1e-3),
        (30 * epoch, 1e-4),
        (60 * epoch, 1e-5),
    ):
        assert learning_rate(paper, step) == pytest.approx(expected)
    assert (authors.loss, authors.reduction, authors.batch) == (AUTHORS_LOSS, "sum", 8)
    assert (authors.steps, authors.angle_steps) == (150 * epoch, 20 * epoch)
    assert (authors.amsgrad, authors.eps) == (True, 1e-4)
    assert {learning_rate(authors, step) for step in (0, 99_999, 299_999)} == {1e-4}
    assert set(PRESETS.values()) == {paper, authors, SINGLE_IMAGE}


def test_learning_rate_rises_and_ends_low():
    config = replace(QUICK, lr=1.0, lr_warmup=4, schedule="cosine", steps=100)
    rates = [learning_rate(config, step) for step in range(100)]
    assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8], rel=5e-3)
    assert all(later < sooner for sooner, later in pairwise(rates[4:]))
    assert rates[-1] == pytest.approx(0.02, abs=1e-3)


def test_settings_come_back_from_json():
    config = replace(QUICK, streams=("rain",), loss=ENERGY_LOSS)
    assert TrainConfig.from_json(config.as_json()) == config
    assert json.loads(config.as_json())["loss"]["lam_x"] == ENERGY_LOSS.lam_x
    for text in ("{", "[]", '{"steps": 3}', config.as_json().replace('"steps"', '"stops"')):
        with pytest.raises(InvalidInput, match="no settings of a training"):
            TrainConfig.from_json(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": 0}, {"batch": 1.5}, {"lr": math.nan}, {"lr": 0}, {"ema": 1.0}, {"seed": -1},
        {"output": "sky"}, {"streams": ()}, {"schedule": "linear"}, {"precision": "half"},
        {"reweight": 0.5}, {"reweight": 1.5, "envelope": 1.0}, {"envelope_iterations": 0},
        {"distill_steps": 5}, {"angle_steps": 5, "loss": LossWeights(data=1)}, {"clip": "1"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        replace(QUICK, **wrong)


def test_what_does_not_go_together_is_refused():
    for given, message in (
        ({"clean": None, "loss": "table5:2"}, "folder of clean images missing"),
        ({"loss": "energy"}, "adversarial term; give loss.mu"),
        ({"streams": ("rain",)}, "mu judges the background"),
        ({"batch": 1}, "batch >= 2"),
        ({"stops": 3}, "no such setting"),
        ({"loss": "nix"}, "paper, authors, energy"),
        ({"threads": 0}, "threads is 0"),
        ({"envelope": 1.0, "loss": ENERGY_LOSS, "clean": None}, "envelope is for streams"),
        (
            {"envelope": 1.0, "loss": AUTHORS_LOSS, "clean": None, "streams": ("rain",)},
            "tau_squared is no part",
        ),
    ):
        with pytest.raises(InvalidInput, match=message):
            train(RAINY, config=QUICK, **{"angles": ANGLES, "clean": CLEAN, **given})
    with pytest.raises(InvalidInput, match="config is 'nix'"):
        train(RAINY, config="nix")
    with pytest.raises(InvalidInput, match="device is 'nowhere'"):
        train(RAINY, config=QUICK, angles=ANGLES, clean=CLEAN, device="nowhere")


def test_defaults_follow_the_pictures():
    single = train(RAINY[0], angles=10, steps=1, width=2, depth=1, crop=16, batch=1).config
    small = replace(SINGLE_IMAGE.net, width=2, depth=1)
    assert single == replace(SINGLE_IMAGE, net=small, steps=1, crop=16, batch=1)
    several = train(RAINY, angles=10, steps=1, net=TINY, crop=16, batch=2).config
    assert several == replace(
        PAPER_TRAINING, net=TINY, steps=1, crop=16, batch=2, loss=replace(PAPER_LOSS, mu=0.0)
    )
    assert named_loss("energy").weights == ENERGY_LOSS


# Files


def test_what_a_run_leaves(tmp_path):
    result = run(tmp_path)
    kept = {
        "angles.csv", "checkpoint.pt", "config.json", "log.csv", "samples.png",
        "weights.safetensors",
    }  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == kept
    assert TrainConfig.from_json((tmp_path / "config.json").read_text()) == result.config
    loaded = from_pretrained(tmp_path / "weights.safetensors").state_dict()
    assert all(torch.equal(u, loaded[name]) for name, u in result.net.state_dict().items())
    with (tmp_path / "log.csv").open() as file:
        rows = [{name: float(u) for name, u in row.items() if u} for row in csv.DictReader(file)]
    assert rows == result.history
    assert files.read(tmp_path / "samples.png").pixels.shape == (2 * 16, 4 * 16)
    assert result.path == tmp_path


def test_curves_and_events(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    boards = []

    class Board:
        def __init__(self, path, purge_step):
            boards.append(("begin", path, purge_step))

        def add_scalar(self, name, value, step):
            boards.append((name, value, step))

        def add_image(self, name, pixels, step, dataformats):
            boards.append(("image", pixels.shape, step))

        def flush(self):
            pass

        def close(self):
            boards.append("closed")

    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Board)
    )
    result = run(tmp_path)
    assert files.read(tmp_path / "learning.png").pixels.shape[:2] == (480, 840)
    assert boards[0] == ("begin", str(tmp_path / "events"), 1)
    for row in result.history:
        for name in ("loss", "lr", "lam_x"):
            assert name not in row or (name, row[name], row["step"]) in boards
    assert ("image", (32, 64, 1), 6) in boards
    assert boards[-1] == "closed"


def test_tensorboard_can_read_the_events(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard")
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard")
    result = run(tmp_path)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "events"))
    events.Reload()
    found = [(event.step, event.value) for event in events.Scalars("loss")]
    steps, losses = zip(*found, strict=True)
    assert list(steps) == [row["step"] for row in result.history]
    assert list(losses) == pytest.approx([row["loss"] for row in result.history])
