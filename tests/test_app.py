"""What `udg app` does, without a browser: sessions, the line at the desk, what is left behind."""

import base64
import io
import os
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image, ImageCms

import udg
from udg import batch, cli
from udg.app import photo as photos
from udg.app import session as sessions
from udg.app import work
from udg.app.choice import Choice, Limits
from udg.app.desk import Desk, Job
from udg.app.photo import Shown
from udg.app.session import Session
from udg.cli import running
from udg.errors import FileError, InvalidImage
from udg.io import files
from udg.io.picture import Picture, quantize
from udg.model.sizes import shortest_streak, widest_streak


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    """A rainy picture in colours, float32 in [0, 1]."""
    rows, columns = np.mgrid[:90, :120]
    clean = np.stack([0.3 + 0.2 * np.sin(rows / k) * np.cos(columns / 9) for k in (7, 9, 11)], 2)
    return udg.synthesize(clean.astype(np.float32), angle=10, seed=3).rainy


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.close()


def delivered(tmp_path: Path, name: str) -> Path:
    """Where an upload lies before a session takes it."""
    (tmp_path / "upload").mkdir(exist_ok=True)
    return tmp_path / "upload" / name


def png(tmp_path: Path, scene: np.ndarray, name: str = "street.png") -> Path:
    path = delivered(tmp_path, name)
    files.write(path, quantize(scene, np.float32, np.uint8), overwrite=True)
    return path


def pixels_of(uri: str) -> np.ndarray:
    """A picture that the browser gets."""
    head, _, data = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


# Choices


def test_what_is_left_alone_is_left_to_udg() -> None:
    assert Choice().settings() == {"angle": "auto"}
    assert Choice(method="net").settings() == {
        "method": "net",
        "weights": "small",
        "angle": "auto",
    }


def test_the_command_has_options_that_mean_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line parses it to the settings that the session used."""
    asked = []
    monkeypatch.setattr(
        running, "run", lambda tasks, work, *_, **__: (asked.append(work) or [], False)
    )
    monkeypatch.setattr(batch, "load_network", lambda *given: None)
    for choice in (
        Choice(),
        Choice(strength=0.7, angle=-12.5, rain_level=1.0),
        Choice(widest=15, shortest=4.5, angle=0.0),
        Choice(method="net", strength=0.7, angle=3.0),
        Choice(method="net", rain_level=0.6),
    ):
        words = shlex.split(choice.command("a street.png", "a street_derained.png"))
        assert words[:2] == ["udg", "derain"]
        result = CliRunner().invoke(cli.main, words[1:], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        given = {k: v for k, v in asked.pop().keywords["settings"].items() if k != "tile"}
        assert given == choice.settings()


def test_a_smaller_copy_has_streaks_that_are_as_much_smaller() -> None:
    choice = Choice(widest=12, shortest=5)
    before, after = choice.weights(), choice.shrunk(0.5).weights()
    assert widest_streak(after) == pytest.approx(widest_streak(before) / 2)
    for width in (2, 4, 8):
        assert shortest_streak(after, width / 2) == pytest.approx(
            shortest_streak(before, width) / 2
        )
    assert Choice().shrunk(0.05) is None  # thinner than a pixel


# Results


def test_the_download_is_what_solve_gives_rounded_as_files_do(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    session.choose(strength=0.7, angle=9.0)
    job = session.start()
    assert job.wait(60)
    assert job.error is None
    expected = udg.solve(files.read(photo.path).pixels, strength=0.7, angle=9.0)
    found = files.read(job.result.file)
    assert job.result.file.name == "street_derained.png"
    assert np.array_equal(found.pixels, quantize(expected.derained, np.uint8, np.uint8))
    rain = files.read(job.result.rain_file).pixels
    assert np.array_equal(rain, quantize(expected.rain, np.float32, np.uint16))
    assert job.result.facts["angle"] == 9.0
    assert not job.result.draft


def test_bits_profile_and_alpha_are_kept(tmp_path, scene, desk) -> None:
    alpha = np.linspace(0, 1, scene.shape[1], dtype=np.float32) * np.ones((scene.shape[0], 1))
    pixels = quantize(np.dstack([scene, alpha]), np.float32, np.uint16)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = delivered(tmp_path, "deep.tif")
    files.write(path, pixels, Picture(pixels, "TIFF", icc=profile))
    session = Session(tmp_path, desk, Limits())
    photo = session.open(path)
    assert (photo.format, photo.bits, photo.width, photo.height) == ("TIFF", "16 bits", 120, 90)
    assert pixels_of(photo.preview).shape == (90, 120, 3)
    job = session.start()
    assert job.wait(60)
    found = files.read(job.result.file)
    assert found.pixels.dtype == np.uint16
    assert found.icc == profile
    assert np.array_equal(found.pixels[:, :, 3], pixels[:, :, 3])
    expected = udg.solve(pixels).derained
    assert np.array_equal(found.pixels, quantize(expected, np.uint16, np.uint16))


def test_what_is_shown_is_what_is_in_the_files(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    job = session.start()
    assert job.wait(60)
    shown = job.result
    for uri, path in ((photo.preview, photo.path), (shown.after, shown.file)):
        difference = pixels_of(uri).astype(float) - files.read(path).pixels
        assert np.abs(difference).mean() < 2  # of 255: JPEG
    rain = files.read(shown.rain_file).pixels / 257
    difference = pixels_of(shown.rain) - np.minimum(shown.gain * rain, 255)
    assert np.abs(difference).mean() < 2


def test_large_photos_are_shown_smaller_and_come_with_a_draft(
    tmp_path, scene, desk, monkeypatch
) -> None:
    monkeypatch.setattr(photos, "SIDE", 200)
    monkeypatch.setattr(work, "_DRAFT_SIDE", 160)
    monkeypatch.setattr(work, "_DRAFT", 1000)
    large = np.tile(scene, (2, 2, 1))
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, large))
    assert pixels_of(photo.preview).shape == (150, 200, 3)
    session.choose(angle=10.0)
    job = session.start()
    assert job.wait(60)
    assert job.draft.draft
    assert pixels_of(job.draft.after).shape == (120, 160, 3)
    taken, all_of_it = (pixels_of(one.rain).mean() / one.gain for one in (job.draft, job.result))
    assert taken == pytest.approx(all_of_it, rel=0.4)
    assert files.read(job.result.file).pixels.shape == large.shape


def test_very_large_photos_are_solved_by_tiles(tmp_path, scene, desk, monkeypatch) -> None:
    monkeypatch.setattr(batch, "LARGE", 5000)
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    job = session.start()
    assert job.wait(60)
    assert job.result.facts["tiles"]["count"] == 1
    expected = udg.solve_tiles(files.read(photo.path).pixels).derained
    found = files.read(job.result.file).pixels
    assert np.array_equal(found, quantize(expected, np.uint8, np.uint8))


def test_the_network_is_an_option(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    session.choose(method="net", angle=10.0, rain_level=0.5)
    job = session.start()
    assert job.wait(120)
    assert job.error is None
    expected = udg.net.derain(files.read(photo.path).pixels, angle=10.0, rain_level=0.5).derained
    found = files.read(job.result.file).pixels
    assert np.array_equal(found, quantize(np.asarray(expected), np.uint8, np.uint8))


def test_without_rain_the_photo_is_as_it_was(tmp_path, desk, rng) -> None:
    noise = rng.random((80, 90, 3), np.float32)
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, noise))
    job = session.start()
    assert job.wait(60)
    assert job.result.dry
    assert np.array_equal(files.read(job.result.file).pixels, files.read(photo.path).pixels)


# What is refused


def test_what_is_no_picture_is_refused_by_its_name(tmp_path, desk) -> None:
    path = delivered(tmp_path, "notes.txt")
    path.write_text("rain")
    session = Session(tmp_path, desk, Limits())
    with pytest.raises(FileError, match=r"^notes\.txt is not a picture"):
        session.open(path)
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_what_is_too_large_is_refused_before_it_is_decoded(
    tmp_path, scene, desk, monkeypatch
) -> None:
    monkeypatch.setattr(files, "read", None)
    session = Session(tmp_path, desk, Limits(megapixels=0.01))
    with pytest.raises(FileError, match=r"^street\.png has 120 × 90 pixels; more than 0\.01 mega"):
        session.open(png(tmp_path, scene))
    session = Session(tmp_path, desk, Limits(megabytes=0.001))
    with pytest.raises(FileError, match=r"^street\.png is larger than 0\.001 MB"):
        session.open(png(tmp_path, scene))
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_pixels_that_cannot_be_used_are_refused(tmp_path, scene, desk) -> None:
    path = delivered(tmp_path, "holes.tif")
    holes = scene.copy()
    holes[5, 5] = np.nan
    tifffile.imwrite(path, holes, photometric="rgb")
    with pytest.raises(InvalidImage, match="NaN"):
        Session(tmp_path, desk, Limits()).open(path)


def test_an_upload_that_is_gone_is_asked_for_again(tmp_path, desk) -> None:
    with pytest.raises(FileError, match=r"a\.png did not arrive"):
        Session(tmp_path, desk, Limits()).open(tmp_path / "a.png")


def test_a_refused_file_leaves_the_photo_before(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    path = delivered(tmp_path, "notes.txt")
    path.write_text("rain")
    with pytest.raises(FileError):
        session.open(path)
    assert session.photo is photo
    assert photo.path.exists()


def test_an_error_of_the_method_is_the_jobs(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    session.choose(angle=80.0)
    job = session.start()
    assert job.wait(60)
    assert "rain lies within ±45°" in job.error
    assert session.result is None


def test_errors_name_no_folder_of_the_server(tmp_path, scene, desk, monkeypatch) -> None:
    session = Session(tmp_path, desk, Limits())
    photo = session.open(png(tmp_path, scene))
    photo.path.unlink()
    job = session.start()
    assert job.wait(60)
    assert job.error == "cannot read street.png: it does not exist"


# Waiting and giving up


def held(job_started: threading.Event, go: threading.Event):
    """Work that begins and waits."""

    def work(job: Job) -> Shown:
        job_started.set()
        while not go.wait(0.01):
            job.step("Holding", 0.5)
        return Shown("", "", 1.0, {}, Choice(), 0.0)

    return work


def test_the_second_waits_and_knows_it(desk) -> None:
    started, go = threading.Event(), threading.Event()
    first, second, third = Job(held(started, go)), *(Job(held(started, go)) for _ in range(2))
    for job in (first, second, third):
        desk.add(job)
    assert started.wait(10)
    assert [desk.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    second.cancel()  # whoever gave up is no longer counted
    assert desk.ahead(third) == 1
    go.set()
    assert all(job.wait(10) for job in (first, second, third))
    assert first.result is not None
    assert second.result is None
    assert third.result is not None


def test_work_that_is_given_up_ends_and_leaves_the_result_before(
    tmp_path, scene, desk, monkeypatch
) -> None:
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    first = session.start()
    assert first.wait(60)
    told = []
    step = Job.step

    def stopping(job: Job, text: str, part: float = 0.0) -> None:
        told.append(text)
        if text == "Solving, stage 2 of 2":
            session.cancel()
        step(job, text, part)

    monkeypatch.setattr(Job, "step", stopping)
    second = session.start()
    assert second.wait(60)
    assert told[-1] == "Solving, stage 2 of 2"
    assert second.result is None
    assert second.error is None
    assert session.result is first.result
    assert first.result.file.exists()
    assert len(list(session.folder.iterdir())) == 2  # photo and first result


def recorded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """What jobs say from now on of how far they are."""
    told, step = [], Job.step

    def recording(job: Job, text: str, part: float = 0.0) -> None:
        told.append((text, part))
        step(job, text, part)

    monkeypatch.setattr(Job, "step", recording)
    return told


@pytest.mark.parametrize("large", [batch.LARGE, 5000])
def test_progress_is_that_of_the_stages_in_one_piece_and_by_tiles(
    tmp_path, scene, desk, monkeypatch, large
) -> None:
    monkeypatch.setattr(batch, "LARGE", large)
    told = recorded(monkeypatch)
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    assert session.start().wait(60)
    parts = [part for _, part in told]
    assert parts == sorted(parts)
    assert (parts[0], parts[-1]) == (0, 1)
    for stage in range(2):
        begun = next(part for text, part in told if text == f"Solving, stage {stage + 1} of 2")
        assert begun == pytest.approx(0.1 + 0.9 * stage / 2)  # after a tenth for the decisions


def test_the_network_says_how_far_it_is(tmp_path, scene, desk, monkeypatch) -> None:
    told = recorded(monkeypatch)
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    session.choose(method="net", angle=10.0)
    assert session.start().wait(120)
    parts = [part for text, part in told if text == "Solving"]
    assert parts == sorted(parts)
    assert parts[-1] == 1
    assert any(0 < part < 1 for part in parts)


def test_further_directions_begin_anew_and_say_so() -> None:
    job = Job(lambda job: Shown("", "", 1.0, {}, Choice(), 0.0))
    tell = work._teller(job, "Solving")
    said = []
    for now in (
        udg.Progress("deciding"),
        udg.Progress("solving", 1, 2, fraction=0.1),
        udg.Progress("solving", 2, 2, fraction=1.0),
        udg.Progress("deciding", direction=2),  # perhaps there is none: all may be done
        udg.Progress("solving", 1, 2, direction=2, fraction=0.5),
        udg.Progress("finishing", 1, 2, direction=2, fraction=1.0),
    ):
        tell(now)
        said.append((job.text, job.part))
    assert said == [
        ("Solving", 0.0),
        ("Solving, stage 1 of 2", 0.1),
        ("Solving, stage 2 of 2", 1.0),
        ("Solving, direction 2", 1.0),
        ("Solving, direction 2, stage 1 of 2", 0.5),
        ("Solving, direction 2", 1.0),
    ]


def test_a_newer_choice_takes_the_place_of_the_work_before(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    jobs = []
    for strength in (0.1, 0.5, 0.9):
        session.choose(strength=strength)
        jobs.append(session.start())
    assert all(job.wait(60) for job in jobs)
    assert [job.result is None for job in jobs[:2]] == [True, True]
    assert session.result.choice.strength == 0.9
    again = session.start()
    assert again.wait(60)
    assert not jobs[2].result.file.exists()  # only the last result is kept
    assert again.result.file.exists()


def test_what_is_unforeseen_is_said_and_logged(caplog) -> None:
    def broken(job: Job) -> Shown:
        raise KeyError("x")

    job = Job(broken)
    job.run()
    assert "KeyError" in job.error
    assert "Traceback" in caplog.text


# What is left behind


def test_nothing_is_left_of_a_closed_session(tmp_path, scene, desk) -> None:
    session, other = (Session(tmp_path, desk, Limits()) for _ in range(2))
    other.open(png(tmp_path, scene))
    session.open(png(tmp_path, scene))
    assert session.start().wait(60)
    session.close()
    assert not session.folder.exists()
    assert other.photo.path.exists()


def test_nothing_is_left_of_a_session_that_is_closed_while_it_works(
    tmp_path, scene, desk, monkeypatch
) -> None:
    derained = batch.derain_file

    def closing(*given, **more):
        session.close()
        shutil.rmtree(session.folder, ignore_errors=True)
        return derained(batch.Task(copy, *given[0].outputs[::-1]), {"angle": 0.0})

    monkeypatch.setattr(batch, "derain_file", closing)
    copy = png(tmp_path, scene, "copy.png")
    session = Session(tmp_path, desk, Limits())
    session.open(png(tmp_path, scene))
    job = session.start()
    assert job.wait(60)
    assert not session.folder.exists()
    assert job.result is None


def test_another_photo_takes_the_place_of_the_one_before(tmp_path, scene, desk) -> None:
    session = Session(tmp_path, desk, Limits())
    first = session.open(png(tmp_path, scene))
    session.choose(strength=0.9)
    assert session.start().wait(60)
    second = session.open(png(tmp_path, scene, "other.png"))
    assert not first.path.exists()
    assert second.path.exists()
    assert session.result is None
    assert session.choice == Choice()
    assert len(list(session.folder.iterdir())) == 1


def test_a_photo_that_is_read_while_its_page_closes_is_forgotten(
    tmp_path, scene, desk, monkeypatch
) -> None:
    opened = photos.opened

    def closing(path: Path):
        photo = opened(path)
        session.close()
        return photo

    monkeypatch.setattr(photos, "opened", closing)
    session = Session(tmp_path, desk, Limits())
    with pytest.raises(FileError, match="closed"):
        session.open(png(tmp_path, scene))
    assert not session.folder.exists()
    assert session.photo is None


def test_uploads_that_broke_off_are_swept_up(tmp_path) -> None:
    for name in ("session-a", "session-b", "0af3"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "photo.png").write_bytes(b"x")
    (tmp_path / "tmpabc").write_bytes(b"half a photo")
    (tmp_path / "tmpnew").write_bytes(b"still arriving")
    for name in ("session-a", "session-b", "0af3", "tmpabc"):
        os.utime(tmp_path / name, (0, 0))
    sessions.sweep(tmp_path, {tmp_path / "session-a"}, 60)
    assert {path.name for path in tmp_path.iterdir()} == {"session-a", "tmpnew"}
    sessions.sweep(tmp_path / "gone", set(), 60)


def test_what_is_over_is_not_begun_again(tmp_path, scene, desk) -> None:
    handlers = pytest.importorskip("udg.app.handlers")
    pages = handlers.Sessions(tmp_path, lambda: Session(tmp_path, desk, Limits()))
    first, second = SimpleNamespace(session_hash="a"), SimpleNamespace(session_hash="b")
    session = pages.of(first)
    assert pages.of(first) is session
    assert pages.of(second) is not session
    session.open(png(tmp_path, scene))
    pages.end(first)
    assert not session.folder.exists()
    assert pages.of(first) is None
    assert pages.of(second) is not None


# The command


def test_without_gradio_the_command_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    for name in ("page", "layout", "handlers"):
        monkeypatch.delitem(sys.modules, f"udg.app.{name}", raising=False)
        monkeypatch.delattr(f"udg.app.{name}", raising=False)
    result = CliRunner().invoke(cli.main, ["app"])
    assert result.exit_code == 1
    assert "pip install 'udg[app]'" in result.output
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_sessions_need_no_gradio() -> None:
    program = "import sys, udg.app.session; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"gradio", "torch"} & set(loaded)
