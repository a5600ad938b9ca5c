import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks._shared.common import environment
from benchmarks.tables import study

METHODS = ["rainy", "udg", "dsc"]
SCENES = ["a", "b", "c"]


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Three methods, three scenes each; the grey level tells which is which."""
    found = {}
    for m, method in enumerate(METHODS):
        found[method] = tmp_path / method
        found[method].mkdir()
        for s, scene in enumerate(SCENES):
            pixels = np.full((40, 60, 3), 40 + 60 * m + 10 * s, np.uint8)
            Image.fromarray(pixels).save(found[method] / f"{scene}.png")
    return found


def answers(key: dict, rate, participant: str = "p", ended: str = "2026-01-01") -> dict:
    """Answer as the page would: `rate` gets scene and method."""
    ratings = [
        {"item": item, "rating": rate(**about), "position": 0, "seconds": 1.0}
        for item, about in key["items"].items()
    ]
    return {"study": key["study"], "participant": participant, "ended": ended, "ratings": ratings}


def files(folder: Path, *found: dict) -> list[Path]:
    paths = [folder / f"ratings-{i}.json" for i in range(len(found))]
    for path, content in zip(paths, found, strict=True):
        path.write_text(json.dumps(content))
    return paths


def level(uri: str) -> int:
    """The grey level of a picture in the page."""
    import base64
    import io

    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return round(np.asarray(Image.open(io.BytesIO(data))).mean())


def embedded(page: str) -> dict:
    start = page.index('type="application/json">') + len('type="application/json">')
    return json.loads(page[start : page.index("</script>", start)])


def test_page_is_blind_and_key_opens_it(folders: dict[str, Path]) -> None:
    page, key = study.make_page(folders, None, 100, 0)
    content = embedded(page)
    assert not any(f'"{name}"' in page for name in METHODS)
    assert str(folders["udg"].parent) not in page
    assert [len(scene) for scene in content["scenes"]] == [3, 3, 3]
    assert content["scenes"] == [sorted(scene) for scene in content["scenes"]]
    for item, about in key["items"].items():
        expected = 40 + 60 * METHODS.index(about["method"]) + 10 * SCENES.index(about["scene"])
        assert abs(level(content["pictures"][item]) - expected) <= 1


def test_page_needs_no_network(folders: dict[str, Path]) -> None:
    page, _ = study.make_page(folders, None, 100, 0)
    assert "http:" not in page
    assert "https:" not in page


def test_scenes_are_drawn_by_the_seed_and_pictures_are_made_small(folders: dict) -> None:
    import base64
    import io

    drawn = {
        seed: {
            about["scene"] for about in study.make_page(folders, 2, 30, seed)[1]["items"].values()
        }
        for seed in (0, 0, 1, 2, 3, 4)
    }
    assert all(len(scenes) == 2 for scenes in drawn.values())
    assert len({frozenset(scenes) for scenes in drawn.values()}) > 1
    page, _ = study.make_page(folders, 2, 30, 0)
    uri = next(iter(embedded(page)["pictures"].values()))
    assert Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).size == (30, 20)


def test_only_scenes_that_all_methods_have(folders: dict[str, Path]) -> None:
    (folders["udg"] / "b.png").unlink()
    assert list(study.scenes_of(folders)) == ["a", "c"]
    with pytest.raises(study.StudyError, match="two methods"):
        study.scenes_of({"udg": folders["udg"]})


def test_fold_means(folders: dict[str, Path], tmp_path: Path) -> None:
    _, key = study.make_page(folders, None, 50, 0)
    table = {"rainy": 1, "udg": 8, "dsc": 5}
    first = answers(key, lambda scene, method: table[method])
    second = answers(key, lambda scene, method: table[method] + (scene == "a"), "q")
    rows = study.fold(study.collect(key, files(tmp_path, first, second)))
    assert rows["udg"]["mean"] == pytest.approx(8 + 1 / 6)
    assert rows["udg"]["ratings"] == 6
    assert [rows[m]["best"] for m in METHODS] == [0.0, 1.0, 0.0]
    assert rows["udg"]["low"] <= rows["udg"]["mean"] <= rows["udg"]["high"]
    assert rows["rainy"]["high"] < rows["dsc"]["low"]


def test_ties_count_in_parts_and_missing_ratings_not_at_all(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    _, key = study.make_page(folders, None, 50, 0)

    def rate(scene: str, method: str) -> int | None:
        if scene == "c":
            return None if method == "udg" else 10
        return 2 if method == "rainy" else 6

    rows = study.fold(study.collect(key, files(tmp_path, answers(key, rate))))
    assert rows["udg"]["ratings"] == 2
    assert rows["dsc"]["mean"] == pytest.approx(22 / 3)
    assert [rows[m]["best"] for m in METHODS] == [0.0, 0.5, 0.5]


def test_intervals_cover_as_often_as_they_say() -> None:
    """Scenes and people with effects of known spread: 95 % within a few."""
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        truth = 5.0
        values = truth + rng.normal(0, 1, (12, 1, 1)) + rng.normal(0, 1, (1, 15, 1))
        values = np.concatenate([values + rng.normal(0, 1, values.shape)] * 2, axis=2)
        row = study.fold(study.Ratings(["a", "b"], values), seed)["a"]
        covered += row["low"] <= truth <= row["high"]
    assert 51 <= covered <= 60


def test_last_answer_of_a_participant_counts(folders: dict[str, Path], tmp_path: Path) -> None:
    _, key = study.make_page(folders, None, 50, 0)
    early = answers(key, lambda **_: 2, ended="2026-01-01T10:00:00")
    late = answers(key, lambda **_: 9, ended="2026-01-01T11:00:00")
    for order in ((early, late), (late, early)):
        ratings = study.collect(key, files(tmp_path, *order))
        assert ratings.values.shape == (1, 3, 3)
        assert (ratings.values == 9).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"study": "another"}, "belongs to study another"),
        ({"ratings": [{"item": "?", "rating": 3}]}, "cannot be read"),
        ({"ratings": []}, "no rating at all"),
    ],
)
def test_what_cannot_be_folded_is_refused(
    folders: dict, tmp_path: Path, change: dict, message: str
) -> None:
    _, key = study.make_page(folders, None, 50, 0)
    wrong = answers(key, lambda **_: 5) | change
    with pytest.raises(study.StudyError, match=message):
        study.collect(key, files(tmp_path, wrong))


def test_ratings_outside_the_scale_are_refused(folders: dict, tmp_path: Path) -> None:
    _, key = study.make_page(folders, None, 50, 0)
    with pytest.raises(study.StudyError, match="cannot be read"):
        study.collect(key, files(tmp_path, answers(key, lambda **_: 11)))


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", study.__name__, *map(str, arguments)]
    return subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)


def test_a_page_is_not_overwritten(folders: dict[str, Path], tmp_path: Path) -> None:
    """The key of a page that people have answered is all that their answers mean."""
    page = tmp_path / "study.html"
    arguments = ["page", *(f"{m}={f}" for m, f in folders.items()), "-o", page]
    assert run(*arguments).returncode == 0
    key = (tmp_path / "study-key.json").read_bytes()
    again = run(*arguments)
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert (tmp_path / "study-key.json").read_bytes() == key


def test_rated_downloaded_and_folded_in_a_browser(
    folders: dict[str, Path], tmp_path: Path, browser
) -> None:
    """A participant who rates by what can be seen: the brighter, the better."""
    page_file = tmp_path / "study.html"
    made = run("page", *(f"{m}={f}" for m, f in folders.items()), "-o", page_file)
    assert made.returncode == 0, made.stderr
    page = browser.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_file.as_uri())
    page.click("#begin")
    for scene in range(3):
        assert page.inner_text("#where") == f"Scene {scene + 1} of 3"
        assert page.is_disabled("#next")
        for version in range(3):
            page.keyboard.press("abc"[version])
            level = page.evaluate(
                """async () => {
                    const image = document.getElementById("picture");
                    await image.decode();
                    const canvas = document.createElement("canvas");
                    canvas.getContext("2d").drawImage(image, 0, 0);
                    return canvas.getContext("2d").getImageData(5, 5, 1, 1).data[0];
                }"""
            )
            rating = 1 + round((level - 40) / 60) * 4  # 1, 5, 9
            if version == 1:  # by mouse once, by key else
                page.click(f"fieldset:nth-of-type(2) label:nth-of-type({rating})")
            else:
                page.keyboard.press(str(rating))
        if scene == 1:  # a closed page has kept what was rated
            page.reload()
            page.click("#begin")
            assert page.inner_text("#where") == "Scene 3 of 3"
            continue
        page.click("#next")
    with page.expect_download() as download:
        page.click("#download")
    ratings = tmp_path / "ratings.json"
    download.value.save_as(ratings)
    page.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []

    table = tmp_path / "table.json"
    folded = run("fold", tmp_path / "study-key.json", ratings, "--json", table)
    assert folded.returncode == 0, folded.stderr
    rows = json.loads(table.read_text())["methods"]
    assert {m: rows[m]["mean"] for m in METHODS} == {"rainy": 1, "udg": 5, "dsc": 9}
    assert rows["dsc"]["best"] == 1
