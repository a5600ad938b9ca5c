"""The scripts of the paper's tables and figures, on pictures whose answers are known."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="pip install 'udg[net]'")
pytest.importorskip("matplotlib", reason="pip install 'udg[plot]'")

import udg
from benchmarks._shared import drawing, methods, pairs, paper
from benchmarks._shared.markdown_table import Table
from benchmarks.figures import gradients, ratio, sheets, turned, veil
from benchmarks.tables import angle_error, synthetic
from udg.errors import FileError
from udg.imaging.geometry import rotate, unrotate


def save(path: Path, seed: int = 0, shape: tuple[int, ...] = (48, 64, 3)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    smooth = np.random.default_rng(seed).integers(60, 160, (shape[0] // 8, shape[1] // 8, 3))
    pixels = smooth.repeat(8, 0).repeat(8, 1).astype(np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


# Sets


def test_the_rain_of_a_photo_follows_from_its_name_number_and_seed() -> None:
    rain = pairs.Rain.drawn("street", 1)
    assert rain == pairs.Rain.drawn("street", 1)
    others = [pairs.Rain.drawn("street", 2), pairs.Rain.drawn("lane", 1)]
    assert rain not in [*others, pairs.Rain.drawn("street", 1, seed=1)]
    drawn = [pairs.Rain.drawn("street", number) for number in range(200)]
    assert -25 <= min(one.angle for one in drawn) < -20
    assert 20 < max(one.angle for one in drawn) <= 25
    for name in ("length", "width", "density", "intensity"):
        assert len({getattr(one, name) for one in drawn}) > 20


def test_a_rendered_set_is_the_same_whatever_else_is_taken(tmp_path: Path) -> None:
    clean = save(tmp_path / "clean/cityscapes/a.png")
    alone = pairs.open_set("streets", tmp_path, rains=2)
    save(tmp_path / "clean/cityscapes/0.png", 1)
    together = pairs.open_set("streets", tmp_path, rains=3)
    assert [pair.name for pair in together] == ["0-0", "0-1", "0-2", "a-0", "a-1", "a-2"]
    assert together[3:5] == alone
    first, again, other = alone[0].load(), alone[0].load(), alone[1].load()
    np.testing.assert_array_equal(first.rainy, again.rainy)
    assert (first.rainy != other.rainy).any()
    np.testing.assert_array_equal(first.clean, clean)
    assert (first.rainy >= first.clean).all()  # rain adds light
    assert first.angle == alone[0].rain.angle


def test_a_wide_photo_becomes_means_of_squares() -> None:
    pixels = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    small = pairs.shrunk(pixels, 4)
    assert small.shape == (2, 4, 3)
    assert small[0, 0, 0] == round(np.mean([pixels[r, c, 0] for r in (0, 1) for c in (0, 1)]))
    assert pairs.shrunk(pixels, 8) is pixels


def test_pairs_of_every_layout_are_found(tmp_path: Path) -> None:
    save(tmp_path / "plain/rainy/1.png")
    save(tmp_path / "plain/clean/1.png", 1)
    for number in (1, 2):
        save(tmp_path / f"rain1400/rainy_image/901_{number}.jpg", number)
    save(tmp_path / "rain1400/rainy_image/902_1.jpg")
    save(tmp_path / "rain1400/ground_truth/901.jpg", 3)
    assert [pair.name for pair in pairs.open_set("plain", tmp_path)] == ["1"]
    found = pairs.open_set(str(tmp_path / "rain1400"), Path("elsewhere"))
    assert [(pair.name, pair.clean.name) for pair in found] == [
        ("901_1", "901.jpg"),
        ("901_2", "901.jpg"),
    ]
    loaded = found[0].load()
    assert loaded.angle is None
    assert (loaded.rainy != loaded.clean).any()


def test_of_a_cityscapes_tree_the_validation_part_gets_rain(tmp_path: Path) -> None:
    save(tmp_path / "city/leftImg8bit/train/bonn/bonn_0_leftImg8bit.png")
    assert len(pairs.open_set("rain:city", tmp_path, rains=2)) == 2
    save(tmp_path / "city/leftImg8bit/val/ulm/ulm_1_leftImg8bit.png")
    save(tmp_path / "city/leftImg8bit/val/kiel/kiel_1_leftImg8bit.png")
    found = pairs.photos("city", tmp_path)
    assert [path.name for path in found] == ["kiel_1_leftImg8bit.png", "ulm_1_leftImg8bit.png"]
    assert pairs.photos("city/leftImg8bit", tmp_path) == found


def test_what_is_no_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no folder nothing"):
        pairs.open_set("nothing", tmp_path)
    save(tmp_path / "odd/rainy_image/1_1.jpg")
    with pytest.raises(FileError, match="ground_truth is not a folder"):
        pairs.open_set("odd", tmp_path)
    save(tmp_path / "odd/ground_truth/2.jpg")
    with pytest.raises(FileError, match="no NAME_k"):
        pairs.open_set("odd", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no photos"):
        pairs.open_set("rain:empty", tmp_path)


def test_the_direction_of_pairs_is_that_of_the_layer() -> None:
    clean = np.random.default_rng(0).integers(0, 90, (160, 200, 3), dtype=np.uint8)
    rainy = udg.synthesize(clean, angle=17, spread=0.2).rainy.round().astype(np.uint8)
    assert pairs.true_angle(pairs.Loaded(rainy, clean, None)) == pytest.approx(17, abs=1)
    assert pairs.true_angle(pairs.Loaded(rainy, clean, 3.0)) == 3.0


# Table 1


def entry(psnr: float, ssim: float = 0.5) -> dict[str, float]:
    return {"psnr": psnr, "ssim": ssim, "seconds": 1.0}


def test_rows_of_a_block_are_of_the_same_pictures() -> None:
    scores = {
        "a": {"rain": entry(20), "udg": entry(30), "dsc": entry(19)},
        "b": {"rain": entry(24), "udg": entry(23)},
        "c": {"rain": entry(28), "udg": entry(40), "dsc": entry(30)},
    }
    whole, part = synthetic.blocks(scores)
    assert whole["n"] == 3
    assert list(whole["rows"]) == ["rain", "udg"]
    assert whole["rows"]["rain"]["psnr"] == 24
    assert whole["rows"]["udg"] == entry(31) | {"gain": 7, "worse": 1}
    assert part["pictures"] == ["a", "c"]
    assert part["rows"]["udg"]["psnr"] == 35  # without b, as everything beside dsc
    assert part["rows"]["dsc"] == entry(24.5) | {"gain": 0.5, "worse": 1}


def test_neither_of_two_choices_of_pictures_that_only_overlap_has_the_others_row() -> None:
    scores = {"a": {"x": entry(1)}, "b": {"x": entry(2), "y": entry(3)}, "c": {"y": entry(4)}}
    assert [(block["n"], list(block["rows"])) for block in synthetic.blocks(scores)] in (
        [(2, ["x"]), (2, ["y"])],
        [(2, ["y"]), (2, ["x"])],
    )


def test_the_table_says_how_many_and_what_the_paper_has() -> None:
    scores = {"a": {"rain": entry(20), "udg-paper": entry(30, 0.9)}}
    made = synthetic.table("streets", synthetic.blocks(scores)[0], paper.TABLE_1["Cityscape"])
    assert made.title == "streets, n = 1"
    assert made.rows[1] == [
        *("UDG, the paper's weights", "1", "30.00", "0.9000", "+10.00", "0", "1.0"),
        *("26.95", "0.9434"),
    ]


def test_the_papers_rows_are_methods_here() -> None:
    for rows in paper.TABLE_1.values():
        assert set(rows) <= set(methods.LABELS)
        assert max(rows, key=lambda name: rows[name].psnr) == "udgnet"  # bold in the paper


def test_a_run_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "clean/cityscapes/a.png")
    out = tmp_path / "out.json"
    given = ["synthetic.py", str(tmp_path), "--sets", "streets", "--json", str(out)]
    given += ["--rains", "2", "-o", str(tmp_path / "pictures")]
    monkeypatch.setattr(sys, "argv", [*given, "--methods", "udg", "--every", "2"])
    synthetic.main()
    assert "| UDG, ours | 1 |" in capsys.readouterr().out
    assert (tmp_path / "pictures/streets/udg/a-0.png").exists()
    measured = []

    def score(pair: pairs.Loaded, derain: Any) -> tuple[dict[str, float], np.ndarray]:
        measured.append(pair)
        return entry(10), pair.rainy

    monkeypatch.setattr(synthetic, "score", score)
    monkeypatch.setattr(sys, "argv", [*given, "--methods", "udg"])
    synthetic.main()
    assert len(measured) == 2  # a-1 before and after
    results = json.loads(out.read_text(encoding="utf-8"))
    assert [mean["n"] for mean in results["sets"]["streets"]["means"]] == [2]
    monkeypatch.setattr(sys, "argv", [*given, "--methods", "udg", "--widest", "32"])
    with pytest.raises(SystemExit, match="holds rendered"):
        synthetic.main()


def test_what_was_evaluated_elsewhere_is_taken_over(tmp_path: Path) -> None:
    one = {"name": "a", "psnr_before": 20.0, "psnr_after": 25.0}
    one |= {"ssim_before": 0.5, "ssim_after": 0.8, "cpu_seconds": 3.0}
    method = {"name": "gmm", "photos": "p"}
    path = tmp_path / "gmm.json"
    path.write_text(json.dumps({"about": {"method": method}, "pictures": [one]}), encoding="utf-8")
    scores = {"a": {"rain": entry(21)}}
    assert synthetic.evaluated(path, scores) == method
    assert scores["a"]["rain"] == entry(21)  # measured here
    assert scores["a"]["gmm"] == {"psnr": 25.0, "ssim": 0.8, "seconds": 3.0}


@pytest.mark.parametrize("text", ["ddn", "=a", "ddn="])
def test_networks_are_named_with_their_weights(text: str) -> None:
    import argparse

    with pytest.raises(SystemExit, match="NAME=WEIGHTS"):
        methods.networks(argparse.Namespace(network=[text]))
    given = argparse.Namespace(network=["ddn=a=b.pt"])
    assert methods.networks(given) == {"ddn": "a=b.pt"}


# Table 4


def striped(angle: float) -> pairs.Loaded:
    """A flat picture, and the same with endless stripes in one direction."""
    row, column = np.mgrid[:96, :96] - 47.5
    across = column * np.cos(np.radians(angle)) + row * np.sin(np.radians(angle))
    clean = np.full((96, 96), 100.0)
    rainy = clean + 40 * (1 + np.cos(across))
    return pairs.Loaded(rainy.round().astype(np.uint8), clean.astype(np.uint8), angle)


def flat_along(image: np.ndarray, angle: float) -> np.ndarray:
    """An oracle: in the frame turned by the angle, takes all that is constant down the columns."""
    frame = rotate(image.astype(np.float32), angle)
    found = np.broadcast_to(frame.mean(0) - 100, frame.shape).astype(np.float32)
    return (image - unrotate(found, angle, image.shape)).round().clip(0, 255).astype(np.uint8)


def test_only_the_true_angle_takes_stripes_and_offsets_turn_away_from_it() -> None:
    asked = []

    def derain(image: np.ndarray, angle: float) -> np.ndarray:
        asked.append(angle)
        return flat_along(image, angle)

    found = angle_error.measure(striped(12.0), derain, (5, 10, 20))
    assert asked[1:] == [12, 7, 17, 2, 22, -8, 32]
    assert asked[0] == found["estimated"] == pytest.approx(12, abs=0.5)
    psnr = {row: score["psnr"] for row, score in found["scores"].items()}
    assert psnr["estimated"] > psnr["5"] + 3
    assert psnr["0"] > psnr["5"] + 3
    assert max(psnr, key=lambda row: psnr[row]) in ("0", "estimated")


def test_sides_beyond_the_limit_are_left_out() -> None:
    assert angle_error.angles(12, 0) == [12]
    assert angle_error.angles(30, 20) == [10]
    assert angle_error.angles(-44, 90) == []


def test_means_are_over_the_pictures_that_have_every_angle() -> None:
    quality = {"psnr": 30.0, "ssim": 0.9}
    pictures = [
        {"scores": {"estimated": quality, "0": quality, "20": {"psnr": 20.0, "ssim": 0.5}}},
        {"scores": {"estimated": quality, "0": quality, "20": {"psnr": 24.0, "ssim": 0.7}}},
        {"scores": {"estimated": {"psnr": 1.0, "ssim": 0.1}, "0": quality}},
    ]
    means = angle_error.summary(pictures)
    assert means["estimated"] == {"n": 2, "psnr": 30.0, "ssim": 0.9}
    assert means["20"]["psnr"] == 22
    made = angle_error.table("streets", {"udgnet": means}, theirs=True)
    assert [row[0] for row in made.rows] == ["estimated", "true", "true ± 20°"]
    assert made.rows[2][1:] == ["22.00", "0.6000", "33.03", "0.9389"]


# Figures


def test_a_histogram_is_a_density_and_knows_its_differences() -> None:
    ramp = np.add.outer(np.arange(20) / 255, 3 * np.arange(12) / 255)  # 1 down, 3 to the right
    found = gradients.histogram([ramp, ramp[:7]])
    widths = np.diff(found.edges)
    middles = 255 * (found.edges[1:] + found.edges[:-1]) / 2
    for density, step in ((found.along, 1), (found.across, 3)):
        assert (density * widths).sum() == pytest.approx(1)
        assert middles[density.argmax()] == pytest.approx(step)
        assert (density > 0).sum() == 1
    assert 255 * found.mean_along == pytest.approx(1)
    assert found.ratio == pytest.approx(3)
    half = gradients.histogram([ramp], np.array([0, 2 / 255]))
    assert (half.across * 2 / 255).sum() == pytest.approx(0)  # beyond the bins, not squeezed in


def test_upright_rain_varies_across_and_holds_no_reflection() -> None:
    rain = udg.quality.synthesis.render_streaks((120, 200), angle=25, spread=0.1)
    oblique, turned_rain = gradients.histogram([rain]), gradients.upright(rain, 25)
    assert gradients.histogram([turned_rain]).ratio > 2.5 * oblique.ratio
    assert turned_rain.size < rain.size
    ones = np.ones((60, 80), np.float32)
    assert gradients.upright(ones, 0).shape == ones.shape
    row, column = np.mgrid[:60, :80].astype(np.float32)
    plane = row + 100 * column  # would fall back where it is reflected
    assert (np.diff(gradients.upright(plane, 10), axis=1) > 0).all()


def test_the_ratio_moves_as_strength_does() -> None:
    weights = udg.RAIN_WEIGHTS
    for strength in (0.0, 0.3, 0.5, 1.0):
        told = weights.with_strength(strength)
        moved = ratio.with_ratio(weights, told.lam_x / told.lam_y)
        assert (moved.lam_x, moved.lam_y) == pytest.approx((told.lam_x, told.lam_y))
        assert ratio.strength_of(told.lam_x / told.lam_y) == pytest.approx(strength)
    assert (moved.tau, moved.lam_r) == (weights.tau, weights.lam_r)


def test_shares_of_rain_left_and_scene_taken() -> None:
    clean = np.full((4, 4), 0.2, np.float32)
    rainy = clean.copy()
    rainy[:, 0] += 0.4
    derained = rainy.copy()
    derained[:, 0] -= 0.3  # a quarter of the rain is left
    derained[:, 1] -= 0.1  # the scene
    found = ratio.shares(rainy, derained, clean)
    assert found["rain left"] == pytest.approx(0.25, abs=1e-5)
    assert found["scene taken"] == pytest.approx(0.25, abs=1e-5)
    assert ratio.shares(rainy, clean, clean) == {"rain left": 0, "scene taken": 0}


def test_both_trainings_begin_without_rain_and_see_the_same_kind_of_crops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turned, "CROP", 24)
    monkeypatch.setattr(turned, "BATCH", 2)
    clean = np.full((90, 120), 0.3, np.float32)
    rainy = udg.synthesize(clean, angle=20, seed=2).rainy
    scene = turned.Scene(rainy, rainy - clean, 20.0)
    upright = scene.turned()
    assert upright.angle == 0
    ratios = [gradients.histogram([one.rain]).ratio for one in (scene, upright)]
    assert ratios[1] > 2 * ratios[0]
    course = turned.train([scene], 4, seed=0, count=2)
    step, net = next(course)
    assert step == 0
    np.testing.assert_allclose(turned.derain(net, scene, 20.0), rainy, atol=1e-5)
    assert [step for step, _ in course] == [2, 4]
    images, layers = turned.crops([upright], np.random.default_rng(0))
    assert images.shape == layers.shape == (2, 1, 24, 24)
    np.testing.assert_allclose((images - layers).numpy(), 0.3, atol=1e-5)


def test_the_window_is_where_pictures_differ() -> None:
    first = np.full((60, 90, 3), 50, np.uint8)
    second = first.copy()
    second[40:46, 70:82] += 100
    top, left, side = drawing.telling_window([first, second])
    assert side == 30
    assert top <= 40 <= 46 <= top + side // 2
    assert left <= 70 <= 82 <= left + side
    assert top + side // 2 <= 60
    assert left + side <= 90


def test_a_sheet_has_a_column_a_method_and_a_row_a_picture(tmp_path: Path) -> None:
    red, blue = (np.full((40, 80, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255)))
    rows = [[drawing.Cell(red, "1"), drawing.Cell(blue, "2")], [drawing.Cell(blue), None]]
    made = drawing.sheet(["a", "b"], rows, [drawing.Window(0, 0, 40), None])
    colours = {colour for _, colour in made.getcolors(1 << 16)}
    assert {(255, 0, 0), (0, 0, 255), (255, 255, 255), (255, 200, 0)} <= colours
    assert made.width == 2 * 80 + 3 * 6
    drawing.keep(made, tmp_path / "new/sheet.png")
    with Image.open(tmp_path / "new/sheet.png") as written:
        assert written.size == made.size
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sheet.png"]


def test_sheets_take_pictures_without_clean_ones(tmp_path: Path) -> None:
    save(tmp_path / "real/rainy/x.png")
    save(tmp_path / "clean/cityscapes/a.png")
    [(name, alone)] = sheets.scenes("real", tmp_path)
    assert (name, alone) == ("x", tmp_path / "real/rainy/x.png")
    cells, quality, _ = sheets.row(alone, {"same": lambda image: image})
    assert quality == {}
    assert cells[-1] is None
    [(_, pair)] = sheets.scenes("streets", tmp_path)
    cells, quality, _ = sheets.row(pair, {"same": lambda image: image})
    assert quality["same"] == quality["rain"]
    assert len(cells) == 3


def test_what_is_taken_of_streaks_and_of_the_veil() -> None:
    photo, veiled, rainy = veil.scene()
    through = veil.transmission(photo / 255)
    assert through.min() == pytest.approx(veil.FAR)
    assert through.max() <= 1
    assert (rainy >= veiled).all()
    nothing, streaks = (veil.taken(rainy, one, veiled, photo) for one in (rainy, veiled))
    assert nothing == {"streaks": 0, "veil": 0}
    assert streaks["streaks"] == pytest.approx(1)
    assert streaks["veil"] < 0.02
    assert veil.taken(rainy, photo, veiled, photo)["veil"] > 0.9


def test_a_table_is_markdown() -> None:
    table = Table("t", ["", "n"])
    table.add("long name", 7)
    assert table.markdown().splitlines() == [
        "|           | n |",
        "|-----------|--:|",
        "| long name | 7 |",
    ]
    with pytest.raises(ValueError, match="1 cells for 2"):
        table.add("x")
