import json
import subprocess
import sys
from dataclasses import asdict
from time import perf_counter, sleep

import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

import udg
from udg import FileError, InvalidImage, InvalidInput
from udg.net import (
    Config,
    UDGNet,
    derain,
    for_inference,
    from_pretrained,
    pretrained,
    rotate,
    save_pretrained,
    unrotate,
)

TINY = {"width": 4, "depth": 1, "angle_widths": (4, 4, 4), "angle_pools": (2, 4)}


def network(channels: int = 3) -> UDGNet:
    """A network with statistics of its own in every batch normalisation, as if trained."""
    torch.manual_seed(1)
    net = UDGNet(Config(channels=channels, **TINY))
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 2)
            nn.init.uniform_(part.weight, 0.5, 1.5)
            nn.init.normal_(part.bias, 0, 0.3)
    return net.eval()


@pytest.fixture
def net() -> UDGNet:
    return network()


@pytest.fixture
def image(rng) -> np.ndarray:
    return rng.random((24, 31, 3)).astype(np.float32)


def as_tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1)[None]


def test_folded_is_unfolded(net):
    images = torch.rand(2, 3, 16, 20)
    ready = for_inference(net)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in ready.modules())
    assert not any(p.requires_grad for p in ready.parameters())
    for name in ("angle", "background", "rain"):
        here, there = (getattr(n, name)(images) for n in (net, ready))
        torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
    assert any(isinstance(part, nn.BatchNorm2d) for part in net.modules())
    again = for_inference(ready)
    torch.testing.assert_close(again.rain(images), ready.rain(images))


def test_bfloat16_is_near(net, image):
    half, whole = for_inference(net, dtype=torch.bfloat16), for_inference(net)
    assert half.rain.head.weight.dtype == torch.bfloat16
    assert half.angle.body[0].weight.dtype == torch.float32
    here, there = (derain(image, n, angle=12).rain for n in (half, whole))
    assert here.dtype == np.float32
    np.testing.assert_allclose(here, there, atol=0.02)


@pytest.mark.parametrize("tile", [5, 8, 17, 100])
def test_tiles_make_the_whole(net, image, tile):
    for output in ("rain", "background"):
        whole = derain(image, net, angle=-20, output=output, tile=None)
        tiled = derain(image, net, angle=-20, output=output, tile=tile)
        np.testing.assert_allclose(tiled.derained, whole.derained, atol=1e-5)


def test_large_frames_are_tiled_by_themselves(net, image, monkeypatch):
    shapes = []
    stream = for_inference(net).rain
    monkeypatch.setattr(udg.net.inference, "_WHOLE", 24 * 31 - 1)
    monkeypatch.setattr(udg.net.inference, "_TILE", 16)
    monkeypatch.setattr(
        udg.net.inference, "_apply", lambda s, frame: shapes.append(frame.shape) or stream(frame)
    )
    derain(image, net, angle=0)
    assert len(shapes) == 4
    assert shapes[0][-2:] == (16 + stream.reach, 16 + stream.reach)


def test_callback_counts_tiles_and_may_end_the_work(net, image):
    events = []
    derain(image, net, angle=0, tile=16, callback=events.append)
    steps = ["deciding"] + 5 * ["solving"] + ["finishing"]
    assert [event.step for event in events] == steps
    assert [(event.stage, event.stages) for event in events[1:]] == 6 * [(1, 1)]
    fractions = [event.fraction for event in events]
    assert fractions == pytest.approx([0, 0.1, 0.325, 0.55, 0.775, 1, 1])
    assert {type(event) for event in events} == {udg.Progress}

    def ending(event):
        if event.fraction > 0.5:
            raise KeyError

    with pytest.raises(KeyError):
        derain(image, net, angle=0, tile=16, callback=ending)
    dry = []
    derain(image, net, angle=0, rain_level=0, callback=dry.append)
    assert [event.step for event in dry] == ["deciding", "finishing"]


def test_seconds_are_what_the_caller_waits_for(net, image, monkeypatch):
    load = pretrained.from_pretrained
    monkeypatch.setattr(udg.net.inference, "from_pretrained", lambda name: sleep(0.1) or load(name))
    began = perf_counter()
    result = derain(image, "small", angle=0)
    waited = perf_counter() - began
    assert 0.1 + result.inference_seconds < result.seconds <= waited
    assert result.inference_seconds > 0


@pytest.mark.parametrize("angle", [0, 17.5, -45])
def test_only_rain_is_rotated_back(net, image, angle):
    result = derain(image, net, angle=angle)
    with torch.no_grad():
        R = net.rain(rotate(as_tensor(image), angle))
        expected = unrotate(R, angle, image.shape[:2])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(result.rain, expected.clip(0, image), atol=1e-5)
    np.testing.assert_allclose(result.derained, image - result.rain, atol=1e-6)
    assert (result.angle, result.confidence, result.output) == (angle, None, "rain")


def test_background_rotated_back(net, image):
    result = derain(image, net, angle=17.5, output="background")
    with torch.no_grad():
        X = unrotate(net.background(rotate(as_tensor(image), 17.5)), 17.5, image.shape[:2])
    expected = X[0].permute(1, 2, 0).numpy().clip(0, 1)
    np.testing.assert_allclose(result.derained, expected, atol=1e-5)


def test_a_known_rain_layer(image):
    """A rain stream whose convolutions find the constant 0.4 takes all light above it."""
    net = network()
    nn.init.zeros_(net.rain.tail.weight)
    nn.init.constant_(net.rain.tail.bias, 0.4)
    result = derain(image, net, angle=0)
    np.testing.assert_allclose(result.derained, np.minimum(image, 0.4), atol=1e-5)
    centred = derain(image, net, angle=0, gauge="median")
    expected = (image - np.median(image, axis=(0, 1))).clip(0, image)
    # torch's median is the lower of the two in the middle.
    np.testing.assert_allclose(centred.rain, expected, atol=0.02)


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535), (np.float64, 1)])
@pytest.mark.parametrize("colours", [None, 1, 2, 3, 4])
def test_types_ranges_and_alpha(net, dtype, full, colours, rng):
    shape = (20, 23) if colours is None else (20, 23, colours)
    unit = rng.random(shape)
    image = (unit * full).astype(dtype)
    result = derain(image, net, angle=5)
    assert result.derained.shape == shape
    assert result.derained.dtype == np.float32
    assert result.derained.min() >= 0
    assert result.derained.max() <= full
    assert result.rain.shape == ((20, 23, 3) if colours in (3, 4) else (20, 23))
    if colours in (2, 4):
        np.testing.assert_allclose(result.derained[..., -1], image[..., -1])
    scaled = derain(image / full, net, angle=5)
    np.testing.assert_allclose(result.derained / full, scaled.derained, atol=1e-5)


@pytest.mark.parametrize("bands", [None, 3, 5])
def test_one_channel_works_on_the_darkest(bands, rng):
    image = rng.random((20, 22) if bands is None else (20, 22, bands)).astype(np.float32)
    darkest = image if bands is None else image.min(axis=2)
    net = network(channels=1)
    result = derain(image, net, angle=8)
    assert result.rain.shape == (20, 22)
    np.testing.assert_allclose(result.rain, derain(darkest, net, angle=8).rain, atol=1e-6)
    rain = result.rain if bands is None else result.rain[..., None]
    np.testing.assert_allclose(result.derained, image - rain, atol=1e-6)


def test_torch_in_torch_out(net, image):
    result = derain(torch.from_numpy(image), net, angle=3)
    assert isinstance(result.derained, torch.Tensor)
    assert isinstance(result.rain, torch.Tensor)
    expected = derain(image, net, angle=3)
    np.testing.assert_allclose(result.derained.numpy(), expected.derained, atol=1e-6)


def test_angle_estimated_or_by_the_network(net):
    clean = np.full((96, 96, 3), 0.4, np.float32)
    rainy = udg.synthesize(clean, angle=15, density=0.1, seed=2).rainy
    estimated = derain(rainy, net)
    assert (estimated.angle, estimated.confidence) == udg.estimate_angle(rainy)
    assert estimated.angle == pytest.approx(15, abs=1)
    told = derain(rainy, net, angle="network")
    assert told.confidence is None
    assert told.angle == pytest.approx(udg.net.average_angle(net.angle, as_tensor(rainy)[0]))


def test_a_dry_picture_stays_as_it_is(net):
    ramp = np.linspace(0.2, 0.8, 96, dtype=np.float32)
    dry = np.stack([np.outer(ramp, ramp)] * 3, axis=2)
    rainy = udg.synthesize(dry, angle=15, density=0.1, seed=2).rainy
    assert derain(rainy, net).rain_level == 1
    for angle in ("auto", "network"):
        result = derain(dry, net, angle=angle)
        assert result.rain_level == 0
        np.testing.assert_array_equal(result.derained, dry)
        assert not result.rain.any()
        assert derain(torch.from_numpy(dry), net, angle=angle).rain_level == 0
    assert derain(dry, net, angle=15).rain_level == 1  # who gives an angle says that it rains
    assert derain(dry, net, rain_level=1).rain.any()


def test_the_rain_level_is_a_factor_on_rain(net, image):
    for output in ("rain", "background"):
        whole = derain(image, net, angle=12, output=output)
        half = derain(image, net, angle=12, output=output, rain_level=0.5)
        assert (whole.rain_level, half.rain_level) == (1, 0.5)
        np.testing.assert_allclose(half.rain, 0.5 * whole.rain, atol=1e-6)
    net.rain.forward = None  # at 0 it is not asked
    dry = derain(image, net, angle=12, rain_level=0)
    np.testing.assert_array_equal(dry.derained, image)
    assert dry.angle == 12


def test_image_and_network_are_unharmed(net, image):
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    net.train()
    image.setflags(write=False)
    derain(image, net, angle=9)
    assert net.training
    for name, tensor in net.state_dict().items():
        assert (tensor == before[name]).all()


@pytest.mark.parametrize(
    "options",
    [
        {"angle": 50},
        {"angle": "left"},
        {"angle": float("nan")},
        {"output": "both"},
        {"rain_level": 1.5},
        {"rain_level": "some"},
        {"gauge": "mean"},
        {"tile": 0},
        {"tile": "small"},
        {"device": "abacus"},
        {"device": "cuda:99"},
    ],
)
def test_bad_options_are_named(net, image, options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        derain(image, net, **options)


def test_a_ready_network_is_used_as_it_is(net, image, monkeypatch):
    ready = for_inference(net)
    monkeypatch.setattr(udg.net.inference, "for_inference", None)
    for device in (None, "cpu", torch.device("cpu")):
        derain(image, ready, angle=0, device=device)
    with pytest.raises(TypeError):
        derain(image, net, angle=0)


def test_bands_need_a_network_of_one_channel(net, rng):
    with pytest.raises(InvalidImage, match="5 bands"):
        derain(rng.random((20, 20, 5)), net, angle=0)


# Files


def test_saved_and_loaded(net, image, tmp_path):
    path = save_pretrained(net, tmp_path / "tiny.safetensors", {"data": "random numbers"})
    assert [file.name for file in tmp_path.iterdir()] == ["tiny.safetensors"]
    other = from_pretrained(path)
    assert other.config == net.config
    assert not other.training
    for name, tensor in net.state_dict().items():
        assert (other.state_dict()[name] == tensor).all()
    with safe_open(path, framework="pt") as file:
        assert file.metadata()["data"] == "random numbers"
        assert json.loads(file.metadata()["config"])["width"] == asdict(net.config)["width"]
    by_path, by_net = (derain(image, w, angle=4).derained for w in (str(path), net))
    np.testing.assert_array_equal(by_path, by_net)


def test_names_are_looked_up_in_the_package_first(net, tmp_path, monkeypatch):
    package, here = tmp_path / "package", tmp_path / "here"
    package.mkdir()
    here.mkdir()
    monkeypatch.setattr(pretrained, "_FOLDER", package)
    monkeypatch.chdir(here)
    save_pretrained(net, package / "rain.safetensors")
    save_pretrained(network(channels=1), here / "rain.safetensors")
    assert from_pretrained("rain").config.channels == 3
    assert from_pretrained("rain.safetensors").config.channels == 1
    with pytest.raises(FileError, match=r"no weights 'snow'.*rain"):
        from_pretrained("snow")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".ckpt", ".pkl"])
def test_pickles_are_never_loaded(net, tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    torch.save(net.state_dict(), path)
    with pytest.raises(FileError, match="pickled"):
        from_pretrained(path)
    path.rename(tmp_path / "net.safetensors")  # nor under another name
    with pytest.raises(FileError, match="damaged"):
        from_pretrained(tmp_path / "net.safetensors")


def test_unusable_files_are_explained(net, tmp_path):
    from safetensors.torch import save_file

    path = save_pretrained(net, tmp_path / "net.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="damaged"):
        from_pretrained(path)
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(FileError, match="no udg network"):
        from_pretrained(path)
    for config in ('{"width": 4}', '{"size": 4}', "[", '{"width": -1}'):
        save_file({"a": torch.zeros(2)}, path, {"format": "udg.net/1", "config": config})
        with pytest.raises(FileError, match="damaged"):
            from_pretrained(path)
    with pytest.raises(FileError, match="folder"):
        from_pretrained(tmp_path)


def test_what_cannot_be_saved(net, tmp_path):
    with pytest.raises(InvalidInput, match="safetensors"):
        save_pretrained(net, tmp_path / "net.pt")
    with pytest.raises(InvalidInput, match="folded"):
        save_pretrained(for_inference(net), tmp_path / "net.safetensors")
    with pytest.raises(InvalidInput, match="config"):
        save_pretrained(net, tmp_path / "net.safetensors", {"config": "mine"})
    with pytest.raises(FileError, match="folder does not exist"):
        save_pretrained(net, tmp_path / "no" / "net.safetensors")
    assert not list(tmp_path.iterdir())


# Imports


def run(program: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.parametrize("package", ["torch", "safetensors"])
def test_without_torch_the_command_that_installs_it_is_named(package):
    said = run(
        f"import sys; sys.modules[{package!r}] = None\n"
        "import udg\n"
        "try: udg.net\n"
        "except udg.MissingExtra as error: print(error)"
    )
    assert said.startswith(package)
    assert "pip install 'udg[net]'" in said


def test_net_is_an_attribute_and_nothing_else_is_made_up():
    assert udg.net.UDGNet is UDGNet
    assert not hasattr(udg, "nets")
