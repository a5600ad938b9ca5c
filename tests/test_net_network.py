"""The networks: angle, streams, UDGNet and discriminator."""

import io
import itertools
from dataclasses import asdict

import pytest
import torch
from torch import nn

from udg.errors import InvalidInput
from udg.net import (
    AngleNet,
    Config,
    ImagePool,
    LossWeights,
    PatchDiscriminator,
    ResidualBlock,
    Stream,
    UDGNet,
    average_angle,
    discriminator_loss,
    generator_loss,
    overall_loss,
    parameter_counts,
)

TINY = Config(width=4, depth=1, angle_widths=(4, 4, 4), angle_pools=(2, 4))


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def conv(inputs: int, outputs: int, side: int = 3, bias: int = 1) -> int:
    return inputs * outputs * side**2 + bias * outputs


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# Sizes: the design's facts about the published network, in MB of float32


def test_parameters_of_a_stream():
    block = 2 * (conv(32, 32) + 2 * 32)  # batch normalisation: scale and shift
    assert count(ResidualBlock(32)) == block == 18_624
    items = {
        "conv 3→32": conv(3, 32),
        "32 blocks": 32 * block,
        "conv–BN–ReLU–conv": 2 * conv(32, 32) + 2 * 32,
        "conv 32→3": conv(32, 3),
    }
    assert count(Stream()) == sum(items.values()) == 616_291


def test_parameters_of_the_angle_network():
    widths = (3, 32, 64, 128, 64, 32)
    pairs = sum(conv(a, b) + conv(b, b) + 4 * b for a, b in itertools.pairwise(widths))
    assert count(AngleNet()) == conv(3, 3, side=1) + pairs + conv(32, 1) == 427_021
    assert AngleNet().patch == 128


def test_parameters_of_the_whole_network():
    net = UDGNet()
    counts = parameter_counts(net)
    assert counts == {"angle": 427_021, "background": 616_291, "rain": 616_291}
    megabytes = {name: 4e-6 * n for name, n in counts.items()}
    assert megabytes["angle"] == pytest.approx(1.71, abs=0.005)
    assert megabytes["background"] + megabytes["rain"] == pytest.approx(4.93, abs=0.005)
    assert sum(megabytes.values()) == pytest.approx(6.64, abs=0.005)
    assert sum(counts.values()) == count(net)


def test_parameters_of_the_discriminator():
    body = conv(3, 64, 4) + sum(conv(w, 2 * w, 4, bias=0) + 4 * w for w in (64, 128, 256))
    assert count(PatchDiscriminator()) == body + conv(512, 1, 4) == 2_765_633


def test_sizes_are_parameters():
    net = UDGNet(Config(channels=1, width=6, depth=3, angle_widths=(4, 5), angle_pools=(8,)))
    assert len([m for m in net.rain.modules() if isinstance(m, ResidualBlock)]) == 3
    assert net.rain.head.weight.shape == (6, 1, 3, 3)
    assert net.angle.patch == 8


@pytest.mark.parametrize(
    "sizes",
    [
        {"channels": 2},
        {"width": 0},
        {"depth": 1.5},
        {"angle_widths": (4, 4)},
        {"angle_pools": (2, 2, 2, -1)},
    ],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(InvalidInput, match="give"):
        Config(**sizes)


# Streams


def test_a_residual_block_is_its_formula():
    block = ResidualBlock(3).eval()
    first, norm1, _, second, norm2 = block.body
    for norm in (norm1, norm2):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, 5, 6)
    expected = x + norm2(second(torch.relu(norm1(first(x)))))
    torch.testing.assert_close(block(x), expected)


def test_output_is_the_image_minus_what_is_found():
    stream = Stream(3, 4, 1).eval()
    image = torch.rand(2, 3, 9, 8)
    found = stream.tail(stream.body(stream.head(image)))
    torch.testing.assert_close(stream(image), image - found)
    nn.init.zeros_(stream.tail.weight)
    nn.init.zeros_(stream.tail.bias)
    torch.testing.assert_close(stream(image), image)


@pytest.mark.parametrize("depth", [1, 3])
def test_reach_is_what_an_output_depends_on(depth):
    stream = Stream(1, 3, depth).double().eval()
    with torch.no_grad():  # positive weights: nothing cancels, and no ReLU cuts
        for parameter in stream.parameters():
            parameter.copy_(parameter.abs() + 0.01)
    reach = stream.reach
    side = 2 * reach + 5
    image = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    stream(image)[0, 0, side // 2, side // 2].backward()
    rows, columns = (image.grad[0, 0] != 0).nonzero().T
    for index in (rows, columns):
        assert index.min() == side // 2 - reach
        assert index.max() == side // 2 + reach


def test_streams_keep_the_images_precision():
    image = torch.rand(1, 3, 16, 16)
    stream = Stream(3, 4, 1).eval()
    whole = stream(image)
    half = stream.bfloat16()(image)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, whole, atol=0.02, rtol=0)


# Angle


def test_angle_runs_from_45_to_minus_45():
    net = AngleNet(3, (4, 4), (8,)).eval()
    nn.init.zeros_(net.body[-1].weight)
    for bias, expected in ((-50.0, 45.0), (0.0, 0.0), (50.0, -45.0)):
        nn.init.constant_(net.body[-1].bias, bias)
        assert net(torch.rand(2, 3, 8, 8)).tolist() == pytest.approx([expected] * 2)


def corners(height: int, width: int, side: int, stride: int) -> list[tuple[int, int]]:
    """Every so many pixels, and flush with the far borders."""
    return [
        (top, left)
        for top in sorted({*range(0, height - side + 1, stride), height - side})
        for left in sorted({*range(0, width - side + 1, stride), width - side})
    ]


class Reader(AngleNet):
    """Reads the angle from the pixels: their mean at the left minus that at the right, times 90."""

    def forward(self, images):
        left, right = images[..., : self.patch // 2], images[..., self.patch // 2 :]
        return 90 * (left.mean(dim=(1, 2, 3)) - right.mean(dim=(1, 2, 3)))


class Mixed(Reader):
    """Besides, the light of the upper rows, which is the same in a mirror."""

    def forward(self, images):
        return super().forward(images) + 60 * images[:, :, :2].mean(dim=(1, 2, 3))


@pytest.mark.parametrize("shape", [(8, 8), (19, 30), (8, 23)])
def test_average_is_the_median_that_weighs_agreement_with_the_mirror(shape):
    net = Mixed(3, (4, 4), (8,))
    image = torch.rand(3, *shape) ** 4
    patches = [image[None, :, t : t + 8, s : s + 8] for t, s in corners(*shape, 8, 4)]
    pairs = [(net(patch).item(), -net(patch.flip(-1)).item()) for patch in patches]
    weighed = sorted(((a + b) / 2, 1 / (1 + ((a - b) / 8) ** 2)) for a, b in pairs)
    half = sum(weight for _, weight in weighed) / 2
    sums = itertools.accumulate(weight for _, weight in weighed)
    expected = next(a for (a, _), total in zip(weighed, sums, strict=True) if total >= half)
    assert average_angle(net, image) == pytest.approx(expected, abs=1e-4)


def test_few_wrong_patches_do_not_move_the_average():
    net = Reader(1, (4, 4), (8,))
    image = torch.zeros(1, 40, 40)
    image[..., ::8] = 0.5  # every patch of a stride of 8 says 90 × 0.5 / 4
    image[:, :8] = 0
    assert average_angle(net, image, stride=8) == pytest.approx(11.25)


class Undecided(Reader):
    """Says 40 of dark patches, mirrored or not, and reads the others."""

    def forward(self, images):
        return torch.where(images.amax(dim=(1, 2, 3)) > 0, super().forward(images), 40.0)


def test_patches_that_say_the_same_of_their_mirror_hardly_count():
    net = Undecided(1, (4, 4), (8,))
    image = torch.zeros(1, 40, 40)
    image[:, :16, ::8] = 0.5  # two of five rows of patches
    assert average_angle(net, image, stride=8) == pytest.approx(11.25)


def test_the_mirrored_image_has_the_opposite_angle():
    net = Mixed(1, (4, 4), (8,))
    image = torch.rand(1, 24, 24) ** 4
    found = average_angle(net, image, stride=8)
    assert average_angle(net, image.flip(-1), stride=8) == pytest.approx(-found, abs=1e-4)
    assert abs(found) > 0.1


def test_small_images_are_enlarged():
    net = AngleNet(1, (4, 4), (8,)).eval()
    image = torch.rand(1, 4, 6)
    large = nn.functional.interpolate(image[None], (8, 12), mode="bilinear")[0]
    assert average_angle(net, image) == pytest.approx(average_angle(net, large))
    with pytest.raises(InvalidInput, match="at least 8×8"):
        net(image[None])
    with pytest.raises(InvalidInput, match="stride"):
        average_angle(net, image, stride=0)


def test_widths_and_pools_must_fit():
    with pytest.raises(InvalidInput, match="one pool"):
        AngleNet(3, (4, 4), (2, 2))


# UDGNet


def test_forward_is_its_parts():
    net = UDGNet(TINY).eval()
    images, angle = torch.rand(2, 3, 24, 24), torch.tensor([10.0, -30.0])
    layers = net(images, angle, (16, 16))
    assert layers.Y.shape == layers.X.shape == layers.R.shape == (2, 3, 16, 16)
    assert layers.inside.shape == (2, 1, 16, 16)
    torch.testing.assert_close(layers.X, net.background(layers.Y))
    torch.testing.assert_close(layers.R, net.rain(layers.Y))
    torch.testing.assert_close(layers.predicted, net.angle(images))
    assert layers.angle.tolist() == [10, -30]
    assert net(images, 7.0).angle.tolist() == [7, 7]
    with pytest.raises(InvalidInput, match="3, H, W"):
        net(torch.rand(2, 1, 24, 24))


def test_gradient_reaches_the_angle_network_through_the_rotation():
    net = UDGNet(TINY)
    images = torch.rand(2, 3, 24, 24)
    energy = LossWeights(data=1, tau=0.01, lam_x=1.5, lam_y=1)
    for angle, reached in ((None, True), (torch.tensor([5.0, 9.0]), False)):
        net.zero_grad()
        overall_loss(net(images, angle, (16, 16)), energy).total.sum().backward()
        assert all(p.grad is not None for p in net.rain.parameters())
        assert all((p.grad is not None) == reached for p in net.angle.parameters())
    learned = overall_loss(net(images, 5.0, (16, 16)), LossWeights(angle=1), angle=torch.zeros(2))
    assert torch.autograd.grad(learned.total.sum(), net.angle.body[0].weight)[0].abs().sum() > 0


def test_a_few_steps_lower_the_energy():
    net = UDGNet(TINY)
    images, energy = torch.rand(2, 3, 16, 16), LossWeights(data=0.5, lam_x=0.1, lam_y=0.1)
    totals = []
    for _ in range(8):
        total = overall_loss(net(images, 0.0, (16, 16)), energy).total.sum()
        totals.append(total.item())
        net.zero_grad()
        total.backward()
        with torch.no_grad():
            for parameter in (*net.background.parameters(), *net.rain.parameters()):
                parameter -= 2e-5 * parameter.grad
    assert totals[-1] < 0.9 * totals[0]


# Discriminator


def test_a_score_sees_70_pixels():
    net = PatchDiscriminator(1, 2).eval()
    image = torch.rand(1, 1, 128, 128, requires_grad=True)
    scores = net(image)
    assert scores.shape == (1, 1, 14, 14)
    scores[0, 0, 7, 7].backward()
    rows, columns = (image.grad[0, 0] != 0).nonzero().T
    assert [int(index.max() - index.min()) + 1 for index in (rows, columns)] == [70, 70]


def test_lsgan_losses_by_hand():
    clean, estimated = torch.tensor([[0.5, 1.0]]), torch.tensor([[0.2, 0.4]])
    clean, estimated = clean.reshape(1, 1, 1, 2), estimated.reshape(1, 1, 1, 2)
    assert discriminator_loss(clean, estimated).item() == pytest.approx(0.5 * 0.125 + 0.5 * 0.1)
    assert generator_loss(estimated).tolist() == pytest.approx([0.5 * (0.64 + 0.36)])


def images_of(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers).reshape(-1, 1, 1, 1)


def test_pool_hands_back_earlier_images():
    pool = ImagePool(50, seed=1)
    filling = images_of(*range(50))
    assert (pool.query(filling) == filling).all()
    replaced, seen = 0, set(range(50))
    for number in range(50, 450, 8):
        new = images_of(*range(number, number + 8)).float().requires_grad_()
        got = pool.query(new)
        assert not got.requires_grad
        seen |= set(range(number, number + 8))
        assert {int(v) for v in got.flatten()} <= seen
        replaced += int((got != new).sum())
    assert 0.4 < replaced / 400 < 0.6
    assert (ImagePool(0).query(filling) == filling).all()
    with pytest.raises(InvalidInput, match="size"):
        ImagePool(-1)


def test_pool_goes_on_from_a_saved_state():
    pool = ImagePool(5, seed=3)
    for number in range(0, 40, 4):
        pool.query(images_of(*range(number, number + 4)))
    file = io.BytesIO()
    torch.save(pool.state_dict(), file)
    file.seek(0)
    other = ImagePool(5, seed=99)
    other.load_state_dict(torch.load(file, weights_only=True))
    for number in range(40, 80, 4):
        new = images_of(*range(number, number + 4))
        assert (pool.query(new) == other.query(new)).all()
    empty = ImagePool(2)
    empty.load_state_dict(ImagePool(7).state_dict())
    assert empty.size == 7


def test_config_is_plain_data():
    assert (
        Config(**{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(TINY).items()})
        == TINY
    )


def test_mixed_precision_leaves_the_layers_in_single():
    net = UDGNet(TINY)
    with torch.autocast("cpu", torch.bfloat16):
        layers = net(torch.rand(2, 3, 16, 16), None, (16, 16))
        loss = overall_loss(layers, LossWeights(data=0.5, lam_x=0.1, angle=1), angle=torch.ones(2))
    kinds = {name: u.dtype for name, u in layers._asdict().items() if name != "inside"}
    assert set(kinds.values()) == {torch.float32}
    assert loss.total.dtype == torch.float64
    assert loss.total.isfinite().all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layer", ["zero", "image"])
def test_a_stream_can_begin_with_nothing_or_all_and_still_learn(channels, layer):
    images = torch.rand(2, channels, 32, 32)
    stream = Stream(channels, 8, 2).eval()
    stream.begin(layer)
    expected = images if layer == "image" else torch.zeros_like(images)
    torch.testing.assert_close(stream(images), expected, atol=1e-5, rtol=0)
    optimizer = torch.optim.Adam(stream.parameters(), lr=1e-2)
    distances = []
    for _ in range(30):
        distance = (stream(images) - 0.3 * images.flip(-1)).abs().mean()
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.8 * distances[0]
    first = stream.body[0].body[0].weight.grad
    assert first.abs().sum() > 0


def test_the_angle_does_not_depend_on_light_and_contrast():
    generator = torch.Generator().manual_seed(2)
    images = 0.2 + 0.3 * torch.rand(2, 1, 64, 64, generator=generator)
    net = AngleNet(1, (4, 4), (8,)).eval()
    with torch.no_grad():
        angle, brighter, bolder = net(images), net(images + 0.4), net(1.9 * images)
    torch.testing.assert_close(brighter, angle, atol=1e-2, rtol=0)
    torch.testing.assert_close(bolder, angle, atol=1e-2, rtol=0)
