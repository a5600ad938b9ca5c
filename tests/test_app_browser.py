"""`udg app` in a real browser: ``python -m pytest tests/test_app_browser.py``.

Debian's chromium (or Chrome), headless, by Playwright. The server is a process of its own, in which
every attempt to reach another machine is recorded.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import udg
from udg.io import files
from udg.io.picture import quantize

pytest.importorskip("gradio", reason="gradio is not installed: pip install 'udg[app]'")
sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# The server, watched: whoever it connects to but itself goes into a file. And it can be held: while
# there is such a file, work goes on only to be given up.
PROGRAM = """
import os, sys, time

def watch(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
        host = address[0] if isinstance(address, tuple) else str(address)
        if host not in ("127.0.0.1", "::1", "localhost"):
            print(event, address, file=open(sys.argv[1], "a"))
    elif event == "socket.getaddrinfo" and arguments[0] not in ("127.0.0.1", "localhost", None):
        print(event, arguments[0], file=open(sys.argv[1], "a"))

sys.addaudithook(watch)
from udg.app.desk import Job
step = Job.step

def held(job, *given):
    step(job, *given)
    while os.path.exists(sys.argv[2]):
        time.sleep(0.02)
        step(job, *given)

Job.step = held
from udg.cli import main
main(sys.argv[3:])
"""


class Server:
    """A running `udg app`."""

    def __init__(self, folder: Path) -> None:
        self.temporary, self.calls = folder / "tmp", folder / "calls.txt"
        self.hold = folder / "hold"
        self.temporary.mkdir()
        command = [sys.executable, "-c", PROGRAM, str(self.calls), str(self.hold), "app"]
        environment = {
            **os.environ,
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(Path(udg.__file__).parents[1]),
        }
        self.errors = (folder / "errors.txt").open("w+b")
        self.process = subprocess.Popen(
            [*command, "--max-megabytes", "1", "--max-megapixels", "0.5"],
            env=environment,
            stderr=self.errors,
        )
        self.url = self._wait_for_url()

    def _wait_for_url(self) -> str:
        for _ in range(600):
            said = self.said()
            if "open http" in said:
                return said.split("open ")[1].split()[0]
            assert self.process.poll() is None, said
            time.sleep(0.1)
        raise AssertionError("it does not start")

    def said(self) -> str:
        return Path(self.errors.name).read_text()

    def kept(self) -> list[Path]:
        """Files with content that it holds for its users."""
        walk = os.walk(self.temporary)  # which does not mind what goes meanwhile
        paths = [Path(folder) / name for folder, _, names in walk for name in names]
        return [path for path in paths if path.exists() and path.stat().st_size]

    def is_empty(self) -> bool:
        """Whether that is nothing, soon."""
        for _ in range(200):
            if not self.kept():
                return True
            time.sleep(0.1)
        return False


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("app"))
    yield server
    server.process.send_signal(signal.SIGTERM)  # as a service manager ends it
    try:
        assert server.process.wait(30) == 0
    finally:
        server.process.kill()
        server.errors.close()
    assert list(server.temporary.iterdir()) == []
    assert not server.calls.exists(), server.calls.read_text()
    assert "Traceback" not in server.said()


@pytest.fixture
def page(browser, server):
    """A page of a fresh visitor; every request that it makes must be to the server."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    requests, errors = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server.url)
    page.get_by_role("button", name="Try the example").wait_for()
    yield page
    context.close()
    assert requests
    assert [url for url in requests if not url.startswith((server.url, "data:", "blob:"))] == []
    assert errors == []


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> Path:
    """A rainy photo: 16-bit colours in a TIFF, which a browser could not even show."""
    rows, columns = np.mgrid[:160, :240]
    clean = np.stack([0.3 + 0.2 * np.sin(rows / k) * np.cos(columns / 15) for k in (9, 12, 15)], 2)
    rainy = udg.synthesize(clean.astype(np.float32), angle=10, seed=4).rainy
    path = tmp_path_factory.mktemp("photos") / "street <1>.tif"
    files.write(path, quantize(rainy, np.float32, np.uint16))
    return path


def give(page, path: Path) -> None:
    page.locator("#udg-drop input[type=file], #udg-files input[type=file]").set_input_files(path)


def done(page) -> None:
    """Wait until there is a result, and no newer work."""
    sync.expect(page.locator("#udg-download")).to_be_enabled(timeout=60_000)


def downloaded(page, button: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator(button).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def test_a_photo_is_derained_compared_adjusted_and_downloaded(page, street, tmp_path) -> None:
    give(page, street)
    done(page)
    rainy = files.read(street).pixels

    first = downloaded(page, "#udg-download", tmp_path)
    assert first.suffix == ".tif"
    expected = udg.solve(rainy)
    assert files.read(first).pixels.dtype == np.uint16
    assert np.array_equal(
        files.read(first).pixels, quantize(expected.derained, np.uint16, np.uint16)
    )
    assert page.locator("#udg-angle input[type=number]").input_value() == f"{expected.angle:.1f}"

    # Before and after, by mouse and by keyboard.
    at = page.get_by_role("slider", name="Before and after")
    box = at.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    seen = page.locator(".udg-view").evaluate("e => e.style.getPropertyValue('--at')")
    assert float(seen.rstrip("%")) == pytest.approx(25, abs=1)
    at.press("ArrowLeft")
    moved = page.locator(".udg-view").evaluate("e => e.style.getPropertyValue('--at')")
    assert float(moved.rstrip("%")) == pytest.approx(float(seen.rstrip("%")) - 0.5)
    clip = page.locator(".udg-after").evaluate("e => getComputedStyle(e).clipPath")
    assert moved in clip

    # The rain layer.
    page.get_by_text("Rain", exact=True).click()
    sync.expect(page.locator(".udg-rain")).to_be_visible()
    sync.expect(page.locator(".udg-after")).to_be_hidden()
    rain = downloaded(page, "#udg-download-rain", tmp_path)
    assert np.array_equal(files.read(rain).pixels, quantize(expected.rain, np.float32, np.uint16))

    # Another strength.
    page.locator("#udg-strength input[type=number]").fill("0.8")
    page.locator("#udg-strength input[type=number]").press("Enter")
    sync.expect(page.locator("#udg-status code")).to_contain_text("--strength 0.8", timeout=60_000)
    done(page)
    second = downloaded(page, "#udg-download", tmp_path)
    stronger = udg.solve(rainy, strength=0.8).derained
    assert np.array_equal(files.read(second).pixels, quantize(stronger, np.uint16, np.uint16))


def test_the_direction_is_drawn_turned_and_found_again(page, street) -> None:
    give(page, street)
    done(page)
    angle = page.locator("#udg-angle input[type=number]")
    lines = page.locator(".udg-lines")
    found = float(angle.input_value())
    sync.expect(lines).to_be_hidden()
    page.get_by_text("Draw the direction").click()
    sync.expect(lines).to_be_visible()

    turned = lines.locator("g").get_attribute("transform")
    assert float(turned.removeprefix("rotate(").rstrip(")")) == pytest.approx(found, abs=0.05)
    page.get_by_text("Draw the direction").click()
    sync.expect(lines).to_be_hidden()
    slider = page.locator("#udg-angle input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    sync.expect(lines).to_be_visible()  # while it is turned
    sync.expect(lines.locator("g")).to_have_attribute("transform", f"rotate({found + 0.1:g})")
    command = page.locator("#udg-status code")
    sync.expect(command).to_contain_text(f"--angle {found + 0.1:g}", timeout=60_000)
    page.locator("#udg-angle-auto").click()
    sync.expect(command).not_to_contain_text("--angle", timeout=60_000)
    done(page)
    assert float(angle.input_value()) == found


def test_what_is_no_picture_is_refused_with_a_message(page, server, tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("It rains.")
    give(page, tmp_path / "notes.txt")
    message = page.get_by_role("alert").first
    message.wait_for()
    assert message.inner_text().startswith("notes.txt is not a picture that udg can read")
    assert "Traceback" not in server.said()


def test_what_is_too_large_is_refused_with_a_message(page, tmp_path) -> None:
    text = page.locator("#udg-small").inner_text()
    assert "up to 1 MB and 0.5 megapixels" in text
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    files.write(tmp_path / "heavy.png", noise)
    give(page, tmp_path / "heavy.png")
    message = page.get_by_role("alert").filter(has_text="heavy.png").first
    message.wait_for()
    assert message.inner_text() == "heavy.png is larger than 1 MB; use a smaller file."
    flat = np.zeros((720, 720, 3), np.uint8)
    files.write(tmp_path / "wide.png", flat)
    give(page, tmp_path / "wide.png")
    message = page.get_by_role("alert").filter(has_text="wide.png").first
    message.wait_for()
    assert message.inner_text().startswith("wide.png has 720 × 720 pixels")


def scrolled(page) -> float:
    return page.evaluate("window.scrollY")


def test_another_photo_begins_at_the_top(browser, server, street, tmp_path) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Try the example").click()
    done(page)
    page.get_by_text("Rain", exact=True).click()
    server.hold.touch()
    page.locator("#udg-reset").scroll_into_view_if_needed()
    assert scrolled(page) > 0
    give(page, street)
    sync.expect(page.locator(".udg-caption")).to_contain_text("street 1.tif")
    assert scrolled(page) == 0
    sync.expect(page.get_by_role("radio", name="Before and after")).to_be_checked()
    for one in ("#udg-angle", "#udg-level"):  # not known yet
        sync.expect(page.locator(f"{one} input[type=number]")).to_be_disabled()
    server.hold.unlink()
    done(page)
    for one in ("#udg-angle", "#udg-level"):
        sync.expect(page.locator(f"{one} input[type=number]")).to_be_enabled()

    # What is refused leaves no older answer beside it, but a way back.
    (tmp_path / "note.txt").write_text("It rains.")
    files.write(
        tmp_path / "heavy.png", np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    )
    for name, why in (("note.txt", "PNG, JPEG, TIFF, WebP or BMP"), ("heavy.png", "1 MB")):
        page.locator("#udg-reset").scroll_into_view_if_needed()
        give(page, tmp_path / name)
        message = page.get_by_role("alert").filter(has_text=name)
        sync.expect(message).to_contain_text(why)
        sync.expect(message).to_be_in_viewport()
        sync.expect(page.locator("#udg-download")).to_be_hidden()
        page.get_by_role("button", name="Back to street 1.tif").click()
        done(page)
        sync.expect(page.locator("#udg-status")).to_contain_text("Done in")
    context.close()


def test_a_refusal_is_not_lost_in_the_progress_of_the_photo_before(
    page, server, street, tmp_path
) -> None:
    (tmp_path / "note.txt").write_text("It rains.")
    server.hold.touch()
    give(page, street)
    page.locator("#udg-stop").wait_for()
    give(page, tmp_path / "note.txt")
    message = page.get_by_role("alert").filter(has_text="note.txt")
    message.wait_for()
    page.wait_for_timeout(1000)
    sync.expect(message).to_be_visible()
    server.hold.unlink()
    page.get_by_role("button", name="Back to street 1.tif").click()
    done(page)


def test_the_network_has_a_level_but_no_strength(page, street) -> None:
    give(page, street)
    done(page)
    hint = page.get_by_text("With this strength")
    page.get_by_role("button", name="Size of the streaks").click()
    sync.expect(hint).to_be_visible()
    page.get_by_role("radio", name="Network").check()
    sync.expect(page.locator("#udg-status code")).to_contain_text("--method net", timeout=60_000)
    sync.expect(hint).to_be_hidden()
    sync.expect(page.locator("#udg-strength input[type=number]")).to_be_disabled()
    level = page.locator("#udg-level input[type=number]")
    level.fill("0.4")
    level.press("Enter")
    sync.expect(page.locator("#udg-status code")).to_contain_text("--rain-level 0.4")


def test_a_photo_can_be_dropped_anywhere(page, tmp_path) -> None:
    files.write(tmp_path / "small.png", np.full((20, 30, 3), 90, np.uint8))
    data = list((tmp_path / "small.png").read_bytes())
    transfer = page.evaluate_handle(
        "(data) => { const one = new DataTransfer();"
        " one.items.add(new File([new Uint8Array(data)], 'small.png')); return one; }",
        data,
    )
    page.dispatch_event("#udg-title", "drop", {"dataTransfer": transfer})
    done(page)
    sync.expect(page.locator(".udg-caption")).to_contain_text("small.png: 30 × 20, PNG, 8 bits")
    sync.expect(page.locator("#udg-status")).to_contain_text("No rain was found")
    page.locator("#udg-insist").click()
    sync.expect(page.locator("#udg-status code")).to_contain_text("--rain-level 1", timeout=60_000)


def test_the_example_is_derained(page, server) -> None:
    page.get_by_role("button", name="Try the example").click()
    done(page)
    assert "Streaks at 12." in page.locator("#udg-status").inner_text()


def test_the_second_is_told_to_wait_and_whoever_stops_lets_it_through(
    page, browser, server, street
) -> None:
    context = browser.new_context()
    second = context.new_page()
    second.goto(server.url)
    second.get_by_role("button", name="Try the example").wait_for()
    server.hold.touch()
    give(page, street)
    page.locator("#udg-stop").wait_for()
    sync.expect(page.locator("#udg-status")).to_contain_text("Reading the photo")
    second.get_by_role("button", name="Try the example").click()
    waiting = second.locator("#udg-status").get_by_text("Waiting in line. One photo is before")
    waiting.wait_for(timeout=20_000)
    page.locator("#udg-stop").click()
    sync.expect(page.locator("#udg-status")).to_contain_text("Stopped", timeout=20_000)
    sync.expect(page.locator("#udg-download")).to_be_disabled()
    sync.expect(waiting).to_be_hidden(timeout=20_000)
    server.hold.unlink()
    done(second)
    context.close()


def test_it_fits_a_phone(browser, server, street) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Try the example").wait_for()
    give(page, street)
    done(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    box = page.locator(".udg-stage").bounding_box()
    assert box["width"] > 300
    assert box["width"] / box["height"] == pytest.approx(240 / 160, rel=0.02)
    context.close()


def test_every_control_can_be_reached_by_keyboard(page, street) -> None:
    give(page, street)
    done(page)
    page.locator("#udg-view").click(position={"x": 1, "y": 1})
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "() => { const e = document.activeElement;"
                " return e.closest('[id^=udg-]')?.id + (e.className.match(/udg-\\w+/) || '') }"
            )
        )
    wanted = {"udg-viewudg-at", "udg-view", "udg-viewudg-direction", "udg-download"}
    wanted |= {"udg-strength", "udg-angle", "udg-level", "udg-method", "udg-reset", "udg-another"}
    assert wanted <= reached


def test_no_upload_outlives_its_page(browser, server, street) -> None:
    assert server.is_empty()  # of the pages before
    context = browser.new_context()
    page = context.new_page()
    page.goto(server.url)
    page.get_by_role("button", name="Try the example").wait_for()
    give(page, street)
    done(page)
    names = {path.name: path for path in server.kept()}
    assert sorted(names) == ["street 1.tif", "street 1_derained.tif", "street 1_rain.png"]
    path = urllib.request.pathname2url(str(names["street 1_derained.tif"]))
    address = f"{server.url}gradio_api/file={path}"
    assert urllib.request.urlopen(address).status == 200
    page.close()
    assert server.is_empty()
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(address)
    context.close()
