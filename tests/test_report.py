"""The page of ``udg derain --report``: what it holds, and what a browser makes of it."""

import base64
import json
import os
import re
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage.data import astronaut

import udg
from udg.batch import Outcome, Task, report, views
from udg.cli import main
from udg.errors import FileError
from udg.io import files
from udg.io.picture import quantize
from udg.viz.preview import Preview

# A path that would end the script, and begin another, if it were not escaped.
HOSTILE = "x<", 'script><img src=q onerror="document.title=1">&\'.png'


def scene(shape=(150, 200, 3), seed=0, dtype=np.uint8):
    """A smooth picture in the rain."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    grey = 0.2 + 0.2 * rows / shape[0] + 0.15 * (columns > shape[1] / 2)
    clean = np.broadcast_to(grey.reshape(shape[:2] + (1,) * (len(shape) - 2)), shape)
    rainy = udg.synthesize(clean.astype(np.float32), angle=10, density=0.1, seed=seed).rainy
    return np.rint(rainy * np.iinfo(dtype).max).astype(dtype)


def call(*arguments, code=0):
    result = CliRunner().invoke(main, list(map(str, arguments)))
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def entries_of(page):
    text = Path(page).read_text(encoding="utf-8")
    assert text.count('<script type="application/json" id="data">') == 1
    return json.loads(text.split('id="data">')[1].split("</script>")[0])["files"]


def decoded(address):
    head, data = address.split(",", 1)
    assert head == "data:image/webp;base64"
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        return np.asarray(image.convert("RGB")).astype(float)


@pytest.fixture(scope="module")
def batch_of_all_kinds(tmp_path_factory):
    """A folder with what can happen, derained with a report; where it is, and the JSON."""
    folder = tmp_path_factory.mktemp("report")
    inside = folder / "rainy" / HOSTILE[0]
    inside.mkdir(parents=True)
    files.write(folder / "rainy" / "a.png", scene())
    files.write(folder / "rainy" / "deep.tif", scene(seed=1, dtype=np.uint16))
    files.write(folder / "rainy" / "dry.png", np.full((150, 200, 3), 90, np.uint8))
    (folder / "rainy" / "broken.jpg").write_bytes(b"no picture at all")
    files.write(inside / HOSTILE[1], scene(seed=2))
    before = Path.cwd()
    os.chdir(folder)
    try:
        result = call(
            *("derain", "rainy", "-o", "out", "--recursive"),
            *("--report", "pages/page.html", "--json", "facts.json"),
            code=1,
        )
    finally:
        os.chdir(before)
    assert re.search(r"page\.html shows them, 0\.\d MB", result.stderr)
    assert not list(folder.rglob(".*"))
    return folder


@pytest.fixture(scope="module")
def page(batch_of_all_kinds):
    return batch_of_all_kinds / "pages" / "page.html"


# What it holds


def test_one_entry_for_each_picture_in_their_order(page):
    entries = entries_of(page)
    assert [(entry["input"], entry["kind"]) for entry in entries] == [
        ("rainy/a.png", "rain"),
        ("rainy/broken.jpg", "failed"),
        ("rainy/deep.tif", "rain"),
        ("rainy/dry.png", "dry"),
        (f"rainy/{HOSTILE[0]}/{HOSTILE[1]}", "rain"),
    ]
    assert "is not a picture that udg can read" in entries[1]["error"]
    assert "pictures" not in entries[1]


def test_facts_are_those_of_the_json(batch_of_all_kinds, page):
    facts = json.loads((batch_of_all_kinds / "facts.json").read_text())["files"]
    for entry, file in zip(entries_of(page), facts, strict=True):
        assert entry | file == entry
        assert not {"pictures", "history", "view"} & set(file)


def test_nothing_in_it_is_remote_and_no_name_becomes_markup(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.split('id="data">')[0])
    assert not re.search("https?:", text)
    assert "default-src 'none'" in text
    assert "onerror" in text
    assert "<img src=q" not in text
    assert text.count("</script>") == 2


def test_pictures_are_those_of_the_files(batch_of_all_kinds, page):
    for entry in entries_of(page):
        if entry["kind"] == "failed":
            continue
        shown = {name: decoded(address) for name, address in entry["pictures"].items()}
        assert {picture.shape for picture in shown.values()} == {(150, 200, 3)}
        assert entry["shown"] == entry["size"] == [200, 150]
        for name, place in (("before", "input"), ("after", "output")):
            pixels = files.read(batch_of_all_kinds / entry[place]).pixels
            expected = quantize(pixels, pixels.dtype, np.uint8)
            # The least that 4:2:0 WebP at this quality keeps of one-pixel streaks.
            assert abs(shown[name] - entry["exposure"] * expected).mean() < 4
        difference = (shown["before"] - shown["after"]) * entry["gain"]
        bright = shown["rain"] < 250
        assert abs(difference - shown["rain"])[bright].mean() < 6 * entry["gain"]


def test_history_ends_where_the_facts_do(page):
    for entry in entries_of(page):
        if entry["kind"] != "rain":
            continue
        (stages,) = entry["history"]
        assert len(stages) == 2 == len(entry["stages"])
        iteration, seconds, energy, gap = stages[-1][-1]
        assert iteration == entry["iterations"]
        assert [seconds, energy, gap] == pytest.approx(
            [entry["iteration_seconds"], entry["objective"], entry["gap"]], rel=1e-5
        )
        assert entry["seconds"] > entry["iteration_seconds"]  # that is all of it
        assert stages[-1][-1][3] == pytest.approx(entry["stages"][-1]["gap"], rel=1e-5)
        times = [point[1] for points in stages for point in points]
        assert times == sorted(times)


# Budget


@pytest.mark.parametrize("count", [1, 7, 60, 400, 1000])
def test_all_pictures_together_stay_below_ten_megabytes(count):
    base64_of_all = count * 4 / 3 * report.budget(count)
    assert base64_of_all < 9.6e6
    assert report.budget(count) >= report.budget(count + 1) >= 6000


@pytest.mark.parametrize("limit", [8_000, 20_000, 10_000_000])
def test_pictures_take_what_they_may(limit):
    pixels = astronaut()
    view = views.encode(Preview(pixels, pixels // 2, pixels // 3), limit)
    size = sum(map(len, view["pictures"].values()))
    assert size <= limit
    if limit < 1e6:
        assert size > 0.6 * limit  # and not much less
    else:
        assert view["shown"] == [512, 512]
    sizes = {Image.open(BytesIO(data)).size for data in view["pictures"].values()}
    assert sizes == {tuple(view["shown"])}


def test_a_limit_that_cannot_be_kept_gives_the_smallest_pictures():
    pixels = np.random.default_rng(0).integers(0, 255, (200, 100, 3), np.uint8)
    assert views.encode(Preview(pixels, pixels, pixels), 10)["shown"] == [24, 48]


# Ways to derain


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures in rainy/, the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("rainy").mkdir()
    for number, name in enumerate(("a.png", "b.png")):
        files.write(Path("rainy", name), scene(seed=number))
    return tmp_path


@pytest.mark.usefixtures("folder")
class TestWays:
    def test_processes_send_pictures(self):
        call("derain", "rainy", "-o", "out", "--report", "p.html", "--jobs", "2")
        for entry in entries_of("p.html"):
            expected = files.read(entry["input"]).pixels
            assert abs(decoded(entry["pictures"]["before"]) - expected).mean() < 4
            assert entry["history"]

    def test_tiles(self):
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "p.html", "--tile", "100")
        (entry,) = entries_of("p.html")
        assert entry["tiles"]["count"] == 6
        assert "history" not in entry
        for name, path in (("before", "rainy/a.png"), ("after", "a.png")):
            shown = decoded(entry["pictures"][name])
            assert abs(shown - files.read(path).pixels).mean() < 4

    def test_network(self):
        pytest.importorskip("torch")
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "p.html", "--method", "net")
        (entry,) = entries_of("p.html")
        assert (entry["kind"], entry["method"], entry["weights"]) == ("rain", "net", "small")
        shown = decoded(entry["pictures"]["after"])
        assert abs(shown - files.read("a.png").pixels).mean() < 4

    def test_stripes_layers_and_what_was_asked(self):
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "p.html", "--model", "signed")
        (entry,) = entries_of("p.html")
        assert entry["signed"] is True
        assert np.median(decoded(entry["pictures"]["rain"])) == pytest.approx(128, abs=4)
        call("derain", "rainy/a.png", "-o", "b.png", "--report", "p.html", "--angle", "10,-5")
        (entry,) = entries_of("p.html")
        assert [layer["angle"] for layer in entry["layers"]] == [10, -5]
        assert [len(stages) for stages in entry["history"]] == [2, 2]
        assert '"settings":["angle=10.0,-5.0"]' in Path("p.html").read_text()

    def test_resume_keeps_what_an_older_page_tells(self):
        call("derain", "rainy", "-o", "out", "--report", "p.html")
        before = {entry["input"]: entry for entry in entries_of("p.html")}
        Path("out/b.png").unlink()
        call("derain", "rainy", "-o", "out", "--report", "p.html", "--resume")
        a, b = entries_of("p.html")
        assert a == before["rainy/a.png"] | {"earlier": True}
        assert b["kind"] == "rain"
        assert "earlier" not in b

    def test_resume_looks_at_what_no_page_tells_of(self):
        call("derain", "rainy", "-o", "out", "--report", "p.html")
        later = Path("p.html").stat().st_mtime + 10
        os.utime("out/a.png", (later, later))  # made anew since
        call("derain", "rainy", "-o", "out", "--report", "p.html", "--resume")
        a, b = entries_of("p.html")
        assert (a["kind"], a["difference"], b["earlier"]) == ("skipped", True, True)
        assert "angle" not in a
        for name, path in (("before", "rainy/a.png"), ("after", "out/a.png")):
            assert abs(decoded(a["pictures"][name]) - files.read(path).pixels).mean() < 4
        files.write("out/a.png", np.zeros((9, 9, 3), np.uint8), overwrite=True)
        os.utime("out/a.png", (later, later))
        call("derain", "rainy", "-o", "out", "--report", "p.html", "--resume")
        a = entries_of("p.html")[0]
        assert a["notes"] == [
            "It cannot be shown: out/a.png differs in shape from rainy/a.png; derain it again"
        ]

    def test_an_older_file_that_is_no_page_is_replaced(self):
        Path("p.html").write_bytes(b"\xff\xfe not a page")
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "p.html")
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "q.html", "--resume")
        assert [entry["kind"] for entry in entries_of("q.html")] == ["skipped"]

    def test_a_picture_that_fails_is_shown_as_far_as_it_can_be_read(self, monkeypatch):
        def fails(image, **settings):
            raise FileError("no memory left")

        monkeypatch.setattr(udg, "solve", fails)
        call("derain", "rainy/a.png", "-o", "a.png", "--report", "p.html", code=1)
        (entry,) = entries_of("p.html")
        assert (entry["kind"], entry["error"]) == ("failed", "no memory left")
        assert list(entry["pictures"]) == ["before"]
        expected = files.read("rainy/a.png").pixels
        assert abs(decoded(entry["pictures"]["before"]) - expected).mean() < 4

    def test_wrong_names_are_refused_before_anything_is_done(self):
        for name, message in (("p.png", "should end in .html"), ("d.html", "is a folder")):
            Path("d.html").mkdir(exist_ok=True)
            result = call("derain", "rainy", "-o", "out", "--report", name, code=2)
            assert message in result.stderr
        assert not Path("out").exists()


def test_zero_that_was_asked_for_is_no_finding():
    task = Task(Path("a.png"), Path("b.png"))
    outcome = Outcome(task, {"rain_level": 0.0, "layers": []})
    kinds = [report.entries([outcome], asked=asked)[0]["kind"] for asked in ("auto", 0.0)]
    assert kinds == ["dry", "rain"]


def test_after_an_interrupt_nothing_more_is_looked_at(tmp_path):
    missing = Task(tmp_path / "a.png", tmp_path / "b.png")
    (entry,) = report.entries([], [missing], look=False)
    assert (entry["kind"], entry["notes"]) == ("skipped", [])
    (entry,) = report.entries([], [missing])
    assert "cannot read" in entry["notes"][0]


def test_page_says_what_was_left_and_appears_whole_or_not_at_all(tmp_path):
    page = tmp_path / "p.html"
    size = report.write(page, [], title="<rain>", left=3)
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_size == size
    assert '"left":3' in text
    assert "<title>&lt;rain&gt;</title>" in text
    with pytest.raises(TypeError):
        report.write(page, [{"pictures": {1, 2}, (1, 2): 3}])
    assert page.read_text(encoding="utf-8") == text
    with pytest.raises(FileError, match="its folder does not exist"):
        report.write(tmp_path / "none" / "p.html", [])
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]


def test_results_without_proof_are_not_numbers():
    pixels = scene((20, 20))
    result = SimpleNamespace(
        convergence=0.0,
        derained=pixels,
        rain=np.zeros((20, 20)),
        trace=[[(1, 0.5, np.inf, np.nan)]],
    )
    assert views.view(pixels, result, 10**6)["history"] == [[[[1.0, 0.5, None, None]]]]


# In a browser


@pytest.fixture
def opened(browser, page):
    """The page as a browser shows it, with what it asked for and what it complained of."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, has_touch=True)
    tab = context.new_page()
    tab.requests, tab.complaints = [], []
    tab.on("request", lambda request: tab.requests.append(request.url))
    tab.on("console", lambda message: tab.complaints.append(message.text))
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.goto(page.as_uri())
    yield tab
    schemes = {address.split(":")[0] for address in tab.requests}
    assert tab.complaints == []
    context.close()
    assert schemes <= {"file", "data"}


def clip(tab):
    return tab.locator(".stage .over").evaluate("node => getComputedStyle(node).clipPath")


def test_slider_moves_by_keyboard_mouse_and_touch(opened):
    opened.locator(".card").first.click()
    slider = opened.get_by_role("slider")
    assert slider.evaluate("node => node === document.activeElement")
    assert clip(opened) == "inset(0px 50% 0px 0px)"
    opened.keyboard.press("ArrowRight")
    assert clip(opened) == "inset(0px 49% 0px 0px)"
    opened.keyboard.press("Home")
    assert clip(opened) == "inset(0px 100% 0px 0px)"
    box = opened.locator(".stage").bounding_box()
    row = box["y"] + box["height"] / 2
    opened.mouse.move(box["x"] + 5, row)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 0.75 * box["width"], row)
    opened.mouse.up()
    assert slider.input_value() == "75"
    opened.mouse.move(box["x"] + 5, row)  # released: follows no more
    assert clip(opened) == "inset(0px 25% 0px 0px)"
    opened.touchscreen.tap(box["x"] + 0.1 * box["width"], row)
    assert clip(opened) == "inset(0px 90% 0px 0px)"


def test_cards_filter_sort_and_lead_to_details(opened, page):
    from playwright.sync_api import expect  # waits: details open when the address has changed

    names = opened.locator(".card .name")
    assert names.all_text_contents() == ["a.png", "broken.jpg", "deep.tif", "dry.png", HOSTILE[1]]
    assert opened.title() == "Rain report"  # the hostile name has set no other
    assert (
        opened.locator("#summary")
        .text_content()
        .startswith("5 pictures · 3 derained · 1 no rain found · 1 failed · ")
    )
    opened.get_by_role("button", name="failed 1", exact=True).click()
    assert names.all_text_contents() == ["broken.jpg"]
    assert "not a picture" in opened.locator(".card .error").text_content()
    opened.get_by_role("button", name="all 5").click()
    opened.locator("#sort").select_option("seconds")
    seconds = {Path(e["input"]).name: e.get("seconds", -1) for e in entries_of(page)}
    assert names.all_text_contents() == sorted(seconds, key=seconds.get, reverse=True)
    opened.locator("#sort").select_option("order given")
    names.nth(4).click()
    expect(opened.locator("#title")).to_have_text(HOSTILE[1])
    assert opened.locator(".chart polyline").count() == 4  # energy and gap of two stages
    assert opened.get_by_role("button", name="Next picture").is_disabled()
    opened.get_by_role("button", name="Previous picture").click()
    expect(opened.locator("#title")).to_have_text("dry.png")
    assert opened.locator(".side h3").first.text_content() == "No rain found"
    opened.keyboard.press("Escape")
    opened.wait_for_selector("#detail", state="hidden")


def test_one_kind_alone_needs_no_filters(opened, page, tmp_path):
    assert opened.locator("#filters").is_visible()
    alone = [entry for entry in entries_of(page) if entry["kind"] == "rain"]
    report.write(tmp_path / "alone.html", alone)
    opened.goto((tmp_path / "alone.html").as_uri())
    assert opened.locator("#filters").is_hidden()
    assert opened.locator("#sort").is_visible()
    assert opened.locator(".card").count() == 3
    assert opened.locator("#summary").text_content().startswith("3 pictures · derained · ")


def test_angle_is_drawn_as_it_is(opened, page):
    entry = entries_of(page)[0]
    opened.goto(page.as_uri() + "#1")
    line = opened.locator(".direction .angle").first
    x1, y1, x2, y2 = (float(line.get_attribute(name)) for name in ("x1", "y1", "x2", "y2"))
    assert np.degrees(np.arctan2(x2 - x1, y1 - y2)) == pytest.approx(entry["angle"], abs=0.01)
    opened.get_by_role("checkbox", name="angle").uncheck()
    assert opened.locator(".direction").count() == 0
    opened.get_by_role("button", name="rain", exact=True).click()
    assert opened.locator(".stage .under").get_attribute("src") == entry["pictures"]["rain"]
    assert "times brighter" in opened.locator(".under-stage p").text_content()
    opened.get_by_role("button", name="iterations").click()
    last = opened.locator(".chart circle title").last.text_content()
    assert last.startswith(f"{entry['iterations']} iterations")


def test_back_returns_to_the_list(opened):
    opened.locator(".card").nth(2).click()
    opened.wait_for_selector("#detail", state="visible")
    opened.go_back()
    opened.wait_for_selector("#detail", state="hidden")
    assert opened.locator(".card").count() == 5
