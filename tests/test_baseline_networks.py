"""The networks that the paper compares with: sizes, losses, and a training of a few steps."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'udg[net]'")
pytest.importorskip("safetensors", reason="pip install 'udg[net]'")

import torch.nn.functional as F  # noqa: E402
from baselines.networks import NETWORKS, ddn, shared, ssir  # noqa: E402
from baselines.networks import train as trainer  # noqa: E402
from baselines.networks.recipe import Batch  # noqa: E402

import udg  # noqa: E402
from udg.errors import Diverged, FileError, InvalidInput  # noqa: E402
from udg.files import write  # noqa: E402

NAMES = tuple(NETWORKS)
TINY = {
    "ddn": {"width": 6, "depth": 4},
    "jorder_e": {"width": 6, "blocks": 2},
    "rcdnet": {"stages": 2, "maps": 4, "extra": 3},
    "ssir": {"width": 6, "depth": 4},
    "cyclegan": {"width": 4, "blocks": 1},
    "pix2pix": {"width": 4, "depth": 3},
}
SIDE = 32


def tiny(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return NETWORKS[name].build(**TINY[name])


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Four smooth scenes with rendered rain, and two real ones that are other scenes."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    clean, rainy = [], []
    for number in range(6):
        wave = 0.4 + 0.2 * np.sin(4 * rows + number) * np.cos((3 + number) * columns)
        scene = np.stack([wave, 0.9 * wave, 0.5 + 0 * wave], axis=-1).astype(np.float32)
        made = udg.synthesize(scene, density=0.15, length=12, angle=10, seed=number)
        clean.append(torch.from_numpy(scene).permute(2, 0, 1))
        rainy.append(torch.from_numpy(made.rainy).permute(2, 0, 1))
    assert (torch.stack(rainy) - torch.stack(clean)).mean() > 0.01
    return Batch(torch.stack(rainy[:4]), torch.stack(clean[:4]), torch.stack(rainy[4:]))


# Architectures


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    module = NETWORKS[name]
    with torch.device("meta"):  # without memory
        net = module.build()
    itemised = sum(getattr(module, "UNUSED", {}).values())
    # What is itemised is exact; published roundings ("54.414 M") are of a thousand.
    assert shared.parameters(net) + itemised == pytest.approx(module.PUBLISHED, abs=500)
    assert itemised or shared.parameters(net) == pytest.approx(module.PUBLISHED, rel=0.05)


def test_sizes_in_megabytes_are_those_of_table_3() -> None:
    published = {"ddn": 0.233, "jorder_e": 16.7, "rcdnet": 13.1}
    for name, size in published.items():
        with torch.device("meta"):
            net = NETWORKS[name].build()
        unused = 4 * sum(getattr(NETWORKS[name], "UNUSED", {}).values())
        held = sum(u.numel() * u.element_size() for u in net.state_dict().values() if u.ndim)
        assert (held + unused) / 1e6 == pytest.approx(size, rel=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(2, 3, 37, 45), (1, 3, 9, 4)])
def test_any_size_gives_a_picture_of_that_size(name: str, shape: tuple[int, ...]) -> None:
    net = tiny(name)
    assert not net.training
    rainy = images(*shape)
    with torch.no_grad():
        derained = net(rainy)
        again = net(rainy)
        alone = net(rainy[:1])
    assert derained.shape == shape
    assert 0 <= derained.min() < derained.max() <= 1
    torch.testing.assert_close(derained, again, rtol=0, atol=0)
    torch.testing.assert_close(derained[:1], alone, rtol=1e-4, atol=1e-5)  # no neighbours


@pytest.mark.parametrize(("name", "reach"), [("cyclegan", 4), ("pix2pix", 8)])
def test_mirroring_changes_nothing_far_from_the_border(name: str, reach: int) -> None:
    rainy = images(1, 3, 4 * reach, 4 * reach)
    torch.testing.assert_close(shared.extend(rainy, reach), rainy, rtol=0, atol=0)
    longer = shared.extend(rainy[..., :-1, :-3], reach)
    assert longer.shape == rainy.shape
    torch.testing.assert_close(longer[..., :-1, :-3], rainy[..., :-1, :-3], rtol=0, atol=0)
    torch.testing.assert_close(longer[..., -1, :], longer[..., -2, :], rtol=0, atol=0)
    wide = shared.extend(rainy[..., :2, :3], 16)  # more than the image itself
    assert wide.shape[-2:] == (16, 16)
    torch.testing.assert_close(wide[..., :4, :3], rainy[..., [0, 1, 1, 0], :3], rtol=0, atol=0)


def test_guided_filter_is_the_regression_in_each_window() -> None:
    image = images(1, 1, 11, 9).double()
    radius, epsilon = 2, 0.05
    padded = [
        [
            (slice(max(r - radius, 0), r + radius + 1), slice(max(c - radius, 0), c + radius + 1))
            for c in range(9)
        ]
        for r in range(11)
    ]
    slope, offset = torch.zeros(11, 9).double(), torch.zeros(11, 9).double()
    for r in range(11):
        for c in range(9):
            window = image[0, 0][padded[r][c]]
            slope[r, c] = window.var(unbiased=False) / (window.var(unbiased=False) + epsilon)
            offset[r, c] = window.mean() * (1 - slope[r, c])
    expected = torch.stack(
        [
            slope[padded[r][c]].mean() * image[0, 0, r, c] + offset[padded[r][c]].mean()
            for r in range(11)
            for c in range(9)
        ]
    ).reshape(1, 1, 11, 9)
    torch.testing.assert_close(ddn.guided_filter(image, radius, epsilon), expected)


def test_ddn_sees_details_only() -> None:
    net = tiny("ddn")
    flat = torch.full((1, 3, 40, 40), 0.25)
    with torch.no_grad():
        taken = [net.restore(flat + light) - flat - light for light in (0.0, 0.5)]
    torch.testing.assert_close(*taken, rtol=1e-4, atol=1e-5)


def test_rcdnet_draws_its_rain_with_the_shared_kernels() -> None:
    net = tiny("rcdnet")
    seen = []
    net.of_maps[-1].register_forward_hook(lambda _, __, maps: seen.append(maps))
    with torch.no_grad():
        found = net.stages(images(1, 3, 20, 24))
    assert len(found.backgrounds) == 2 + 2
    assert len(found.rains) == 2
    assert seen[0].min() >= 0
    drawn = F.conv2d(seen[0], net.kernels / 10, padding=4) / 255
    torch.testing.assert_close(found.rains[-1], drawn)


def test_grey_and_colour_arrays() -> None:
    net = tiny("jorder_e")
    colour = images(13, 17, 3).numpy()
    derained = shared.derain(net, colour)
    assert derained.shape == colour.shape
    assert derained.dtype == np.float32
    grey = shared.derain(net, colour[..., 0])
    threefold = shared.derain(net, np.repeat(colour[..., :1], 3, axis=2))
    np.testing.assert_allclose(grey, threefold.mean(2), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_sizes_must_be_positive_whole_numbers(name: str) -> None:
    first = next(iter(TINY[name]))
    with pytest.raises(InvalidInput, match="positive whole number"):
        NETWORKS[name].build(**{first: 0})


def test_names_need_no_torch() -> None:
    assert NAMES == tuple(NETWORKS.titles)
    with pytest.raises(KeyError):
        NETWORKS["unet"]
