"""The networks that the paper compares with: sizes, losses, and a training of a few steps."""

import functools
import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install 'udg[net]'")
pytest.importorskip("safetensors", reason="pip install 'udg[net]'")

import torch.nn.functional as F  # noqa: E402

import udg  # noqa: E402
from benchmarks.baselines.networks import NETWORKS, TITLES, ddn, shared, sizes, ssir  # noqa: E402
from benchmarks.baselines.networks import train as trainer  # noqa: E402
from benchmarks.baselines.networks.recipe import Batch  # noqa: E402
from udg.errors import Diverged, FileError, InvalidInput  # noqa: E402
from udg.io.files import read, write  # noqa: E402

NAMES = tuple(NETWORKS)
LARGE = ("cyclegan", "pix2pix")  # half a minute each
TINY = {
    "ddn": {"width": 6, "depth": 4},
    "jorder_e": {"width": 4, "blocks": 1},
    "rcdnet": {"stages": 2, "maps": 4, "extra": 3},
    "ssir": {"width": 6, "depth": 4},
    "cyclegan": {"width": 4, "blocks": 1},
    "pix2pix": {"width": 4, "depth": 3},
}
SIDE = 32


def tiny(name: str, seed: int = 0):
    torch.manual_seed(seed)
    return NETWORKS[name].build(**TINY[name])


@functools.cache
def published(name: str):
    return NETWORKS[name].build()


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Two smooth scenes with rendered rain, and two rainy ones that are other scenes."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    clean, rainy = [], []
    for number in range(4):
        wave = 0.4 + 0.2 * np.sin(4 * rows + number) * np.cos((3 + number) * columns)
        scene = np.stack([wave, 0.9 * wave, 0.5 + 0 * wave], axis=-1).astype(np.float32)
        made = udg.synthesize(scene, density=0.15, length=12, angle=10, seed=number)
        clean.append(torch.from_numpy(scene).permute(2, 0, 1))
        rainy.append(torch.from_numpy(made.rainy).permute(2, 0, 1))
    assert (torch.stack(rainy) - torch.stack(clean)).mean() > 0.01
    return Batch(torch.stack(rainy[:2]), torch.stack(clean[:2]), torch.stack(rainy[2:]))


# Architectures


@pytest.mark.parametrize("name", NAMES)
def test_the_number_of_parameters_is_the_published_one(name: str) -> None:
    module = NETWORKS[name]
    net = published(name)
    itemised = sum(getattr(module, "UNUSED", {}).values())
    # What is itemised is exact; published roundings ("54.414 M") are of a thousand.
    assert shared.parameters(net) + itemised == pytest.approx(module.PUBLISHED, abs=500)
    assert itemised or shared.parameters(net) == pytest.approx(module.PUBLISHED, rel=0.05)


def test_sizes_in_megabytes_are_those_of_table_3() -> None:
    for name in ("ddn", "jorder_e", "rcdnet"):
        unused = 4 * sum(getattr(NETWORKS[name], "UNUSED", {}).values()) / 1e6
        size = shared.megabytes(published(name)) + unused
        assert size == pytest.approx(sizes.TABLE_3[name], rel=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_published_sizes_derain_a_picture(name: str) -> None:
    with torch.inference_mode():
        derained = published(name)(images(1, 3, 24, 40))
    assert derained.shape == (1, 3, 24, 40)
    assert 0 <= derained.min() < derained.max() <= 1


def test_discriminators_are_the_published_ones() -> None:
    # The authors' code prints 2.765 M for CycleGAN's and 2.769 M for pix2pix's.
    cyclegan = NETWORKS["cyclegan"].Training(NETWORKS["cyclegan"].build(blocks=1))
    pix2pix = NETWORKS["pix2pix"].Training(NETWORKS["pix2pix"].build(depth=2))
    for critic in cyclegan.critics.values():
        assert shared.parameters(critic) == pytest.approx(2_765_000, rel=1e-3)
    assert shared.parameters(pix2pix.critics) == pytest.approx(2_769_000, abs=500)


def test_the_readme_has_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    readme = Path(sizes.__file__).parents[2] / "README.md"
    text = readme.read_text(encoding="utf-8")
    for name in NAMES:
        monkeypatch.setattr(NETWORKS[name], "build", lambda name=name: published(name))
        assert f"| {' | '.join(sizes.row(name))} |" in text


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
    with pytest.raises(InvalidInput, match=r"\(13, 17, 4\)"):
        shared.derain(net, np.zeros((13, 17, 4)))


@pytest.mark.parametrize("name", NAMES)
def test_sizes_must_be_positive_whole_numbers(name: str) -> None:
    first = next(iter(TINY[name]))
    with pytest.raises(InvalidInput, match="positive whole number"):
        NETWORKS[name].build(**{first: 0})


def test_names_need_no_torch() -> None:
    assert set(TITLES) == set(NAMES)
    with pytest.raises(KeyError):
        NETWORKS["unet"]


# Losses, by hand


class Known(torch.nn.Module):
    """In the place of a network whose answer is known."""

    def __init__(self, answer) -> None:
        super().__init__()
        self.restore = self.stages = lambda rainy: answer(rainy) if callable(answer) else answer
        self.forward = self.restore


def training(name: str, answer):
    made = NETWORKS[name].Training(tiny(name))
    made.net = Known(answer)
    return made


def values(terms: dict[str, torch.Tensor]) -> dict[str, float]:
    return {name: float(term) for name, term in terms.items()}


def test_ddn_loss() -> None:
    batch = Batch(images(2, 3, 8, 8), images(2, 3, 8, 8, seed=1))
    terms = training("ddn", batch.clean + 0.1).loss(batch)
    assert values(terms) == pytest.approx({"distance": 0.01})


def test_jorder_e_loss() -> None:
    clean = images(2, 3, 8, 8) / 2
    rain = torch.zeros(2, 3, 8, 8)
    rain[..., :2] = 0.3  # a quarter of the pixels
    logits = torch.zeros(2, 2, 8, 8)
    logits[:, 1] = math.log(3)  # rain everywhere, with probability 3/4
    module = NETWORKS["jorder_e"]
    stages = [
        module.Estimate(clean + 0.1, logits, rain, []),
        module.Estimate(clean - 0.2, logits, rain + 0.5, []),
    ]
    terms = training("jorder_e", stages).loss(Batch(clean + rain, clean))
    entropy = -0.25 * math.log(3 / 4) - 0.75 * math.log(1 / 4)
    assert values(terms) == pytest.approx(
        {"distance": 0.3, "mask": 0.13 * entropy, "level": 0.005}, rel=1e-4
    )


def test_rcdnet_loss() -> None:
    clean, rain = images(2, 3, 8, 8), 0.2 * images(2, 3, 8, 8, seed=1)
    found = NETWORKS["rcdnet"].Stages(
        [clean + 0.1, clean + 0.2, clean - 0.3], [rain + 0.1, rain - 0.2]
    )
    terms = training("rcdnet", found).loss(Batch(clean + rain, clean))
    expected = {"background": 0.1 * (0.01 + 0.04) + 0.09, "rain": 0.1 * 0.01 + 0.04}
    assert values(terms) == pytest.approx(expected, rel=1e-4)


def test_ssir_loss() -> None:
    rainy, clean, real = (images(2, 3, 6, 6, seed=n) for n in range(3))
    steps = torch.zeros(2, 3, 6, 6)
    steps[..., 3:] = 0.2  # six rises in each of three channels
    made = NETWORKS["ssir"].Training(tiny("ssir"))
    made.net = Known(lambda image: steps if image is real else clean + 0.1)
    made.mixture = ssir.Mixture((0.1, 0.5))
    terms = values(made.loss(Batch(rainy, clean, real)))
    after = ssir.Mixture((0.1, 0.5))
    after.update(real - steps)
    assert terms == pytest.approx(
        {
            "distance": 0.01,
            "likelihood": 0.5 * float(after.surprise(real - steps)),
            "variation": 1e-5 * 3 * 6 * 0.2,
            "divergence": 1e-9 * float(after.divergence(rainy - clean)),
        },
        rel=1e-4,
    )


def test_mixture_of_rain_by_hand() -> None:
    from scipy.stats import norm

    rain = 0.1 * np.random.default_rng(0).normal(size=200).astype(np.float32)
    mixture = ssir.Mixture((1e-3, 1e-2))
    densities = np.stack([0.5 * norm.pdf(rain, scale=np.sqrt(v)) for v in (1e-3, 1e-2)])
    surprise = -np.log(densities.sum(0)).mean()
    assert float(mixture.surprise(torch.from_numpy(rain))) == pytest.approx(surprise, rel=1e-4)
    shares = densities / densities.sum(0)
    mixture.update(torch.from_numpy(rain))
    np.testing.assert_allclose(mixture.weights, shares.mean(1), rtol=1e-4)
    variances = (shares * rain**2).sum(1) / shares.sum(1)
    np.testing.assert_allclose(mixture.variances, variances + 1e-6, rtol=1e-4)
    assert float(mixture.surprise(torch.from_numpy(rain))) < surprise

    # ∫ p log(p / q) of the rain's Gaussian and the nearer component
    at = np.linspace(-2, 2, 20_001)
    p = norm(rain.mean(), math.sqrt(rain.var() + 1e-6))
    gaps = [
        np.trapezoid(p.pdf(at) * (p.logpdf(at) - norm.logpdf(at, scale=math.sqrt(v))), at)
        for v in mixture.variances
    ]
    found = float(mixture.divergence(torch.from_numpy(rain)))
    assert found == pytest.approx(min(gaps), rel=1e-3)


def test_cyclegan_losses() -> None:
    made = NETWORKS["cyclegan"].Training(tiny("cyclegan"))
    made.generators = {"clean": Known(lambda x: x + 0.1), "rainy": Known(lambda y: y - 0.3)}
    made.critics = {
        "clean": Known(torch.full((1, 1, 2, 2), 0.25)),
        "rainy": Known(torch.full((1, 1, 2, 2), -1.0)),
    }
    terms = values(made.loss(Batch(images(1, 3, 8, 8), images(1, 3, 8, 8, seed=1))))
    assert terms == pytest.approx(
        {
            "adversarial, clean": 0.75**2,
            "adversarial, rainy": 4.0,
            "cycle, rainy": 10 * 0.2,
            "cycle, clean": 10 * 0.2,
            "identity, clean": 5 * 0.1,
            "identity, rainy": 5 * 0.3,
        },
        rel=1e-4,
    )
    assert values(made.judge()) == pytest.approx(
        {
            "discriminator, clean": (0.75**2 + 0.25**2) / 2,
            "discriminator, rainy": (4 + 1) / 2,
        }
    )


def test_pix2pix_losses() -> None:
    batch = Batch(images(1, 3, 8, 8), images(1, 3, 8, 8, seed=1))
    made = training("pix2pix", batch.clean + 0.02)

    # Probability 3/4 for the clean image beside the rainy one, 1/4 for what was made.
    def scores(both: torch.Tensor) -> torch.Tensor:
        torch.testing.assert_close(both[:, :3], batch.rainy, rtol=0, atol=0)
        real = torch.equal(both[:, 3:], batch.clean)
        return torch.full((1, 1, 2, 2), math.log(3) if real else -math.log(3))

    made.critics = Known(scores)
    assert values(made.loss(batch)) == pytest.approx(
        {"adversarial": math.log(4), "distance": 2.0}, rel=1e-4
    )
    assert values(made.judge()) == pytest.approx({"discriminator": math.log(4 / 3)}, rel=1e-4)


def test_schedules() -> None:
    def rates(name: str) -> list[float]:
        made = NETWORKS[name].Training(tiny(name))
        return [made.rate(done) for done in (0.0, 0.3, 0.6, 0.8)]

    assert rates("ddn") == rates("ssir") == pytest.approx([1, 1, 0.1, 0.01])
    assert rates("rcdnet") == pytest.approx([1, 0.2, 0.04, 0.008])
    assert rates("cyclegan") == rates("pix2pix") == pytest.approx([1, 1, 0.8, 0.4])
    assert rates("jorder_e") == [1, 1, 1, 1]


# Training

FALLING = {  # which terms, learning rate, steps
    "ddn": (("distance",), 0.1, 20),
    "jorder_e": (("distance", "mask", "level"), 1e-2, 10),
    "rcdnet": (("background", "rain"), 1e-2, 10),
    "ssir": (("distance",), 1e-2, 20),
    "cyclegan": (("cycle, rainy", "cycle, clean", "identity, clean", "identity, rainy"), 5e-3, 8),
    "pix2pix": (("distance",), 2e-3, 20),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LARGE)) for name in NAMES]
)
def test_the_loss_falls_on_a_batch_and_reaches_every_parameter(name: str, batch: Batch) -> None:
    watched, lr, steps = FALLING[name]
    net = tiny(name)
    made = NETWORKS[name].Training(net, lr)
    history = [sum(float(made.step(batch)[key]) for key in watched) for _ in range(2)]
    trained = [net] if len(made.optimizers) == 1 else [made.generators, made.critics]
    for part in trained:  # in the second step, for some layers begin at zero
        silent = [
            key
            for key, weight in part.named_parameters()
            if weight.grad is None or not weight.grad.any()
        ]
        assert silent == []
    history += [sum(float(made.step(batch)[key]) for key in watched) for _ in range(steps)]
    assert np.mean(history[-3:]) < 0.8 * history[0]


def test_ssir_learns_the_real_rain(batch: Batch) -> None:
    made = NETWORKS["ssir"].Training(tiny("ssir"), 1e-2)
    begun = [float(made.step(batch)["likelihood"]) for _ in range(25)]
    assert begun[-1] < begun[0] - 0.1
    assert float(made.mixture.weights.sum()) == pytest.approx(1)


def test_cyclegan_shows_its_critics_earlier_images(batch: Batch) -> None:
    made = NETWORKS["cyclegan"].Training(tiny("cyclegan"))
    for _ in range(2):
        made.step(batch)
    kept = made.pools["clean"].state_dict()["images"]
    assert len(kept) == 4
    assert not kept.requires_grad


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pairs of 40×48 pixels, and two real rainy pictures, as files."""
    path = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    for kind in ("rainy", "clean", "real"):
        (path / kind).mkdir()
    for number in range(3):
        clean = rng.integers(0, 200, (40, 48, 3), dtype=np.uint8)
        write(path / "clean" / f"{number}.png", clean)
        write(path / "rainy" / f"{number}.png", clean + np.uint8(40))
        write(path / "real" / f"{number}.png", clean[::-1])
    return path


def train(monkeypatch: pytest.MonkeyPatch, name: str, folder: Path, *options: str) -> None:
    sizes = [f"{key}={size}" for key, size in TINY[name].items()]
    words = ["train.py", name, str(folder), "--device", "cpu", "--batch", "2", "--crop", "32"]
    monkeypatch.setattr(sys, "argv", [*words, *options, "--size", *sizes])
    trainer.main()


def test_pairs_are_cut_alike_and_numbers_decide(folder: Path) -> None:
    batches = trainer.data("pairs and real", folder, folder / "real", 24, seed=1)
    crops = batches(0, 12)
    torch.testing.assert_close(crops.rainy - crops.clean, torch.full((12, 3, 24, 24), 40 / 255))
    assert crops.real.shape == (12, 3, 24, 24)
    torch.testing.assert_close(batches(7, 5).rainy, crops.rainy[7:], rtol=0, atol=0)
    others = trainer.data("pairs and real", folder, folder / "real", 24, seed=2)(0, 12)
    assert not torch.equal(others.rainy, crops.rainy)
    unpaired = trainer.data("unpaired", folder, None, 24, seed=1)(0, 12)
    assert not torch.allclose(unpaired.rainy - unpaired.clean, torch.tensor(40 / 255))


def test_pairs_may_differ_in_depth_but_not_in_size(tmp_path: Path) -> None:
    clean = np.random.default_rng(4).integers(0, 200, (20, 24, 3), dtype=np.uint8)
    for kind in ("rainy", "clean"):
        (tmp_path / kind).mkdir()
    write(tmp_path / "rainy" / "a.png", clean + np.uint8(40))
    write(tmp_path / "clean" / "a.png", clean.astype(np.uint16) * 257)
    crops = trainer.data("pairs", tmp_path, None, 16, seed=0)(0, 3)
    torch.testing.assert_close(crops.rainy - crops.clean, torch.full((3, 3, 16, 16), 40 / 255))
    write(tmp_path / "clean" / "a.png", clean[:-1], overwrite=True)
    with pytest.raises(InvalidInput, match="differ in size"):
        trainer.data("pairs", tmp_path, None, 16, seed=0)


def test_half_of_the_crops_are_mirrored_sideways() -> None:
    picture = torch.arange(6.0).expand(3, 4, 6) / 5 + torch.arange(4.0)[:, None]
    crops = trainer.Crops([picture], 3, seed=0).batch(0, 60)
    rising = crops[:, 0, 0, 1] > crops[:, 0, 0, 0]
    assert 18 < rising.sum() < 42
    assert (crops[:, 0, 1] > crops[:, 0, 0]).all()  # never upside down


@pytest.mark.parametrize(
    "name", ["ddn", "ssir", pytest.param("cyclegan", marks=pytest.mark.slow), "pix2pix"]
)
def test_a_seed_gives_the_same_weights_and_they_survive_the_disk(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = []
    for number, seed in enumerate((4, 4, 5)):
        path = tmp_path / f"{number}.safetensors"
        real = ["--real", str(folder / "real")] if name == "ssir" else []
        words = ["--steps", "2", "--seed", str(seed), "-o", str(path), *real]
        train(monkeypatch, name, folder, *words)
        states.append(shared.load(name, path))
    one, same, other = (net.state_dict() for net in states)
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert states[0].sizes == TINY[name]
    assert not states[0].training
    # What is read is what was written, bit by bit.
    again = tmp_path / "again.safetensors"
    shared.save(name, states[0], again)
    back = shared.load(name, again).state_dict()
    assert all(
        torch.equal(one[key], back[key]) and one[key].dtype == back[key].dtype for key in one
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"{number}.safetensors" for number in range(3)] + ["again.safetensors"]
    )


def test_time_ends_a_training_and_its_schedule(folder: Path) -> None:
    made = NETWORKS["ddn"].Training(tiny("ddn"))
    batches = trainer.data("pairs", folder, None, 16, seed=0)
    seen: list[float] = []
    history = trainer.train(
        made, batches, minutes=0.005, batch=1, report=lambda done, step, latest: seen.append(done)
    )
    assert history[-1]["step"] == len(seen)
    assert seen == sorted(seen)
    assert seen[-1] == 1
    history = trainer.train(made, batches, steps=21, minutes=60, batch=1)
    assert [row["step"] for row in history] == [20, 21]


def test_what_cannot_be_trained_says_why(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    out = ["-o", str(path)]
    for name, words, message in (
        ("ssir", [*out, "--steps", "1"], "--real"),
        ("ddn", out, "--steps or --minutes"),
        ("ddn", [*out, "--steps", "1", "--crop", "64"], "--crop 40"),
        ("ddn", ["-o", str(tmp_path / "weights.pt"), "--steps", "1"], "safetensors"),
        ("ddn", ["-o", str(tmp_path / "no" / "w.safetensors"), "--steps", "1"], "folder"),
        ("ddn", [*out, "--steps", "3", "--lr", "1e30"], "not finite"),
    ):
        with pytest.raises(SystemExit, match=message):
            train(monkeypatch, name, folder, *words)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Diverged):
        trainer.train(
            NETWORKS["ddn"].Training(tiny("ddn"), 1e30),
            trainer.data("pairs", folder, None, 16, seed=0),
            steps=3,
        )


def test_a_failed_write_leaves_the_file_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights.safetensors"
    shared.save("ddn", tiny("ddn"), path)
    before = path.read_bytes()

    def fail(*_: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(shared, "to_bytes", fail)
    with pytest.raises(KeyboardInterrupt):
        shared.save("ddn", tiny("ddn", seed=1), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    with pytest.raises(FileError, match="does not exist"):
        shared.load("ddn", path)
    shared.save("ddn", tiny("ddn"), path)
    with pytest.raises(FileError, match="holds ddn, no ssir"):
        shared.load("ssir", path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FileError, match="damaged"):
        shared.load("ddn", path)


def test_pictures_of_any_type(tmp_path: Path) -> None:
    from benchmarks.baselines.networks import derainer

    path = tmp_path / "weights.safetensors"
    shared.save("ddn", tiny("ddn"), path)
    ready = derainer("ddn", path)
    picture = np.random.default_rng(1).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    derained = ready(picture)
    assert derained.dtype == np.uint8
    expected = ready(picture.astype(np.float32) / 255)
    assert expected.dtype == np.float32
    np.testing.assert_array_equal(derained, np.rint(255 * expected))
    sixteen = ready(picture.astype(np.uint16) * 257, 10.0)
    np.testing.assert_allclose(sixteen / 65535, expected, atol=1e-5)


def test_evaluate_measures_a_network(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("sklearn", reason="pip install 'udg[benchmarks]'")
    from benchmarks.baselines import evaluate
    from benchmarks.baselines.networks import derainer

    weights, table = tmp_path / "w.safetensors", tmp_path / "ddn.json"
    shared.save("ddn", tiny("ddn"), weights)
    words = ["evaluate.py", "ddn", str(folder), "--weights", str(weights), "--json", str(table)]
    monkeypatch.setattr(sys, "argv", words)
    evaluate.main()
    measured = json.loads(table.read_text(encoding="utf-8"))
    assert measured["about"]["method"]["name"] == "ddn"
    rainy, clean = (read(folder / kind / "1.png").pixels for kind in ("rainy", "clean"))
    derained = derainer("ddn", weights)(rainy)
    assert measured["pictures"][1]["psnr_after"] == pytest.approx(udg.psnr_y(derained, clean))
    # Other weights are another method.
    shared.save("ddn", tiny("ddn", seed=1), weights)
    with pytest.raises(SystemExit, match="name another"):
        evaluate.main()
    monkeypatch.setattr(sys, "argv", words[:3])
    with pytest.raises(SystemExit):
        evaluate.main()


def test_rendered_pairs(tmp_path: Path) -> None:
    from benchmarks.baselines.networks.render import render

    photos = tmp_path / "photos"
    photos.mkdir()
    photo = np.random.default_rng(2).integers(0, 200, (40, 44, 3), dtype=np.uint8)
    for name in "ab":
        write(photos / f"{name}.png", photo)
    for out in ("one", "two"):
        render(photos, tmp_path / out)
    kept = {}
    for name in "ab":
        rainy = read(tmp_path / "one" / "rainy" / f"{name}.png").pixels
        clean = read(tmp_path / "one" / "clean" / f"{name}.png").pixels
        np.testing.assert_array_equal(clean, photo)
        assert (rainy.astype(int) - clean).mean() > 1
        again = read(tmp_path / "two" / "rainy" / f"{name}.png").pixels
        np.testing.assert_array_equal(rainy, again)
        kept[name] = rainy
    assert (kept["a"] != kept["b"]).any()
