"""What the app does, apart from the page: photos, choices, the line of those who wait.

A `Session` is one open page: it has a folder of its own, which goes when the page is closed. Its
work is `udg.batch.derain_file`, so that a download is the file that ``udg derain`` would write. The
`Desk` does one photo at a time.
"""

from __future__ import annotations

import base64
import logging
import math
import secrets
import shlex
import shutil
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from udg import batch
from udg.errors import FileError, UdgError
from udg.io import raster, windows
from udg.model.energy import RAIN_WEIGHTS, Weights
from udg.optim.loop import Checkpoint
from udg.pipeline.options import PASSES, shortest_streak, weights_for_streaks, widest_streak
from udg.pipeline.tiles import reduced
from udg.viz.preview import rain_gain

__all__ = ["Choice", "Desk", "Job", "Limits", "Photo", "Session", "Shown", "sweep"]

SIDE = 1600  # longest side of what is shown, in pixels
_DRAFT = 4e6  # pixels from which on a smaller copy is solved first …
_DRAFT_SIDE = 1200  # … of this side

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What is too large.

    Attributes
    ----------
    megabytes : float
        Of a file, in 10⁶ bytes.
    megapixels : float
        Of a photo.
    """

    megabytes: float = 256
    megapixels: float = 100


@dataclass(frozen=True)
class Choice:
    """What was chosen on the page; whatever is None or ``"auto"`` is left to udg.

    Attributes
    ----------
    method : {"solver", "net"}
        `udg.solve`, or the network that comes with udg.
    strength : float, optional
        As in `udg.solve`.
    widest, shortest : float, optional
        As in `udg.solve`.
    angle : float or "auto"
        Degrees clockwise from vertical.
    rain_level : float or "auto"
        As in `udg.solve`.
    """

    method: Literal["solver", "net"] = "solver"
    strength: float | None = None
    widest: float | None = None
    shortest: float | None = None
    angle: float | Literal["auto"] = "auto"
    rain_level: float | Literal["auto"] = "auto"

    def settings(self) -> dict[str, Any]:
        """What `udg.batch.derain` gets: the same as from ``udg derain`` with these options."""
        given: dict[str, Any] = {"angle": self.angle}
        if self.rain_level != "auto":
            given["rain_level"] = self.rain_level
        if self.method == "net":
            return {"method": "net", "weights": "small"} | given
        sizes = {"strength": self.strength, "widest": self.widest, "shortest": self.shortest}
        return given | {name: value for name, value in sizes.items() if value is not None}

    def command(self, source: str, target: str) -> str:
        """The command line that does the same."""
        words = ["udg", "derain", source, "-o", target]
        if self.method == "net":
            words += ["--method", "net"]
        for name, value in self.settings().items():
            if name not in ("method", "weights") and value != "auto":
                words += [f"--{name.replace('_', '-')}", f"{value:g}"]
        return shlex.join(words)

    def weights(self) -> Weights:
        """The weights in a picture of full contrast."""
        base = weights_for_streaks(RAIN_WEIGHTS, self.widest, self.shortest)
        return base.with_strength(0.5 if self.strength is None else self.strength)

    def shrunk(self, scale: float) -> Choice | None:
        """What means the same for a smaller copy, or None where its streaks would be too thin."""
        base = weights_for_streaks(RAIN_WEIGHTS, self.widest, self.shortest)
        small = replace(base, lam_r=base.lam_r / scale)  # lengths and widths shrink with it
        if widest_streak(small) <= 1:
            return None
        return replace(self, widest=widest_streak(small), shortest=shortest_streak(small))


@dataclass(frozen=True)
class Photo:
    """What was uploaded.

    Attributes
    ----------
    path : Path
        Where it lies, in the session's folder.
    width, height : int
        In pixels, upright.
    format : str
        As in `udg.io.raster.Picture`.
    bits : str
        Of its pixels, in words.
    preview : str
        As a data URI, at most 1600 pixels a side.
    small : ndarray
        What is shown, float32 in [0, 1], shape (h, w, colours).
    icc : bytes, optional
        Its colour profile.
    """

    path: Path
    width: int
    height: int
    format: str
    bits: str
    preview: str = field(repr=False)
    small: NDArray[np.float32] = field(repr=False)
    icc: bytes | None = field(default=None, repr=False)

    @property
    def pixels(self) -> int:
        """How many it has."""
        return self.width * self.height


@dataclass(frozen=True)
class Shown:
    """A result, or the draft of one.

    Attributes
    ----------
    after, rain : str
        Data URIs.
    gain : float
        How much brighter than it is the rain is shown.
    facts : dict
        What `udg.batch.derain` says of it.
    choice : Choice
        How it was made.
    seconds : float
        Since the work began.
    file, rain_file : Path, optional
        What can be downloaded; a draft has none.
    """

    after: str = field(repr=False)
    rain: str = field(repr=False)
    gain: float
    facts: dict[str, Any]
    choice: Choice
    seconds: float
    file: Path | None = None
    rain_file: Path | None = None

    @property
    def draft(self) -> bool:
        """Whether it is from a smaller copy."""
        return self.file is None

    @property
    def dry(self) -> bool:
        """Whether no rain was found, so that the photo is as it was."""
        return self.facts.get("rain_level") == 0


class Cancelled(Exception):
    """Nobody waits for this any more."""


class Job:
    """Work that is done by a `Desk`, and what is known of it meanwhile.

    Parameters
    ----------
    work : callable
        ``work(job)`` calls `Job.step` every now and then and returns the result.
    """

    def __init__(self, work: Callable[[Job], Shown]) -> None:
        self._work = work
        self._cancelled = threading.Event()
        self._done = threading.Event()
        self.stage, self.part = "Waiting", 0.0
        self.draft: Shown | None = None
        self.result: Shown | None = None
        self.error: str | None = None

    def step(self, stage: str, part: float = 0.0) -> None:
        """Say what is being done, and how far all is, from 0 to 1; ends the work if cancelled."""
        if self._cancelled.is_set():
            raise Cancelled
        self.stage, self.part = stage, part

    def cancel(self) -> None:
        """Have the work end at its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether it was."""
        return self._cancelled.is_set()

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to wait for."""
        return self._done.is_set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is finished, and say whether it is."""
        return self._done.wait(seconds)

    def run(self) -> None:
        """Do the work; whatever goes wrong becomes `error`."""
        try:
            self.step("Reading the photo")
            self.result = self._work(self)
        except Cancelled:
            pass
        except UdgError as error:
            self.error = str(error)
        except MemoryError:
            self.error = "There is not enough memory for this photo; use a smaller one."
        except Exception as error:  # a bug: the page goes on, the log has the details
            _log.exception("unforeseen")
            self.error = f"Something unforeseen went wrong ({type(error).__name__}: {error})."
        finally:
            self._done.set()


class Desk:
    """Does one job at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="udg-desk")
        self._lock = threading.Lock()
        self._line: list[tuple[Job, Future[None]]] = []

    def warm_up(self) -> None:
        """Have what takes a while the first time done before anybody waits for it."""
        self._worker.submit(_warm_up)

    def add(self, job: Job) -> None:
        """Put a job at the end of the line."""
        with self._lock:
            self._line = [(one, future) for one, future in self._line if not one.finished]
            self._line.append((job, self._worker.submit(job.run)))

    def ahead(self, job: Job) -> int:
        """How many jobs that somebody still waits for, the present one included, come before it."""
        with self._lock:
            before = [one for one, _ in self._line]
        before = before[: before.index(job)] if job in before else []
        return sum(not (one.finished or one.cancelled) for one in before)

    def close(self) -> None:
        """Cancel everything and wait for its end."""
        with self._lock:
            for job, _ in self._line:
                job.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)


class Session:
    """One open page: its photo, what was chosen, and the work on it.

    Parameters
    ----------
    root : Path
        Where it makes its folder.
    desk : Desk
        Who does the work.
    limits : Limits
        What is refused.
    """

    def __init__(self, root: Path, desk: Desk, limits: Limits) -> None:
        self.desk, self.limits = desk, limits
        self.folder = root / f"session-{secrets.token_urlsafe(12)}"
        self.photo: Photo | None = None
        self.choice = Choice()
        self.job: Job | None = None
        self.result: Shown | None = None
        self._count, self._closed = 0, False
        self._lock = threading.Lock()  # held where it is decided which result counts

    def open(self, upload: Path) -> Photo:
        """Take over an uploaded file, and start with everything left to udg.

        Parameters
        ----------
        upload : Path
            The file. It is moved to the session's folder, or deleted if it is refused.

        Returns
        -------
        Photo

        Raises
        ------
        FileError
            It is too large, or cannot be read as a picture.
        InvalidImage
            Its pixels cannot be used.
        """
        folder = self._new_folder()
        path = folder / upload.name
        try:
            folder.mkdir(parents=True)
            try:
                upload.replace(path)
            except OSError as error:
                raise FileError(f"{upload.name} did not arrive; send it once more") from error
            _remove_if_empty(upload.parent)
            self._check_size(path)
            photo = _opened(path)
        except UdgError as error:
            _remove(folder)
            raise _by_name(error, path) from None
        with self._lock:
            if self._closed:
                _remove(self.folder)
                raise FileError("the page was closed meanwhile; load it again")
            self.cancel()
            if self.photo is not None:
                _remove(self.photo.path.parent)
            _remove_result(self.result)
            self.photo, self.choice, self.job, self.result = photo, Choice(), None, None
        return photo

    def _check_size(self, path: Path) -> None:
        most = self.limits.megabytes
        if path.stat().st_size > most * 1e6:
            raise FileError(f"{path.name} is larger than {most:g} MB; use a smaller file")
        width, height = raster.dimensions(path)
        if width * height > self.limits.megapixels * 1e6:
            raise FileError(
                f"{path.name} has {width} × {height} pixels; more than "
                f"{self.limits.megapixels:g} megapixels are not taken here. Use a smaller photo, "
                "or udg derain on the command line"
            )

    def choose(self, **changes: Any) -> None:
        """Change the choice.

        Parameters
        ----------
        **changes
            Fields of `Choice`.
        """
        self.choice = replace(self.choice, **changes)

    def prepare(self) -> Job:
        """Make the job that derains the photo as chosen, instead of the one before.

        Returns
        -------
        Job
            For `Desk.add`.
        """
        assert self.photo is not None
        self.cancel()
        photo, choice, folder = self.photo, self.choice, self._new_folder()

        def work(job: Job) -> Shown:
            folder.mkdir(parents=True)
            try:
                shown = _derained(job, photo, choice, folder)
                with self._lock:
                    job.step("Done", 1)
                    old, self.result = self.result, shown
            except BaseException as error:
                _remove(folder)
                _remove_if_empty(self.folder)  # the session may be over
                if isinstance(error, UdgError):
                    raise _by_name(error, photo.path, folder) from None
                raise
            _remove_result(old)
            return shown

        self.job = Job(work)
        return self.job

    def start(self) -> Job:
        """Derain the photo as chosen, instead of what is being done.

        Returns
        -------
        Job
        """
        job = self.prepare()
        self.desk.add(job)
        return job

    def cancel(self) -> None:
        """Give up what is being done; the last result remains."""
        if self.job is not None:
            self.job.cancel()

    def drop_job(self) -> None:
        """Give up what is being done, and have nobody told of its end."""
        self.cancel()
        self.job = None

    def close(self) -> None:
        """Forget everything: no file is left, once the present work has noticed."""
        with self._lock:
            self._closed = True
            self.cancel()
            _remove(self.folder)
            self.photo = self.result = None

    def _new_folder(self) -> Path:
        self._count += 1
        return self.folder / str(self._count)


def sweep(root: Path, kept: Collection[Path], seconds: float) -> None:
    """Delete uploads that broke off: nobody else does.

    Parameters
    ----------
    root : Path
        Folder of all uploads and sessions.
    kept : collection of Path
        Folders of open sessions.
    seconds : float
        What changed since is kept as well: it may still be arriving.
    """
    with suppress(OSError):
        for path in root.iterdir():
            if path in kept or path.lstat().st_mtime > time.time() - seconds:
                continue
            if path.is_dir():
                _remove(path)
            else:
                path.unlink(missing_ok=True)


def _by_name(error: UdgError, *paths: Path) -> UdgError:
    """The error without folders that mean nothing to whoever sees the page."""
    text = str(error)
    for path in paths:
        text = text.replace(str(path), path.name)
    return FileError(text) if isinstance(error, FileError) else error


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _remove_result(shown: Shown | None) -> None:
    if shown is not None and shown.file is not None:
        _remove(shown.file.parent)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


def _warm_up() -> None:
    """Load the kernels; after an installation they are compiled."""
    import udg

    rainy = udg.synthesize(np.full((64, 64, 3), 0.4, np.float32), angle=5, seed=1).rainy
    udg.solve(rainy, rain_level=1.0)


# Photos


def _opened(path: Path) -> Photo:
    """Read a photo as far as it is to be shown."""
    with windows.opened(path) as picture:
        height, width = picture.pixels.shape[:2]
        small = reduced(picture.pixels, SIDE)
        bits = {"u1": "8 bits", "u2": "16 bits"}.get(picture.pixels.dtype.str[1:], "floats")
        return Photo(
            path, width, height, picture.format, bits, _uri(small, picture.icc), small, picture.icc
        )


def _uri(unit: NDArray[Any], icc: bytes | None = None) -> str:
    """A JPEG for the browser, of values in [0, 1], shape (h, w, colours)."""
    from PIL import Image

    pixels = raster.quantize(unit, np.float32, np.uint8)
    pixels = pixels[:, :, :3] if pixels.shape[2] >= 3 else pixels[:, :, 0]
    buffer = BytesIO()
    profile = {"icc_profile": icc} if icc else {}
    Image.fromarray(np.ascontiguousarray(pixels)).save(
        buffer, "JPEG", quality=92, subsampling=0, **profile
    )
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getbuffer()).decode()


# Work


def _derained(job: Job, photo: Photo, choice: Choice, folder: Path) -> Shown:
    """Write what ``udg derain`` would, and show it; a large photo's smaller copy comes first."""
    began = time.perf_counter()
    if photo.pixels > _DRAFT and choice.method == "solver":
        job.draft = _draft(job, photo, choice, began)
    job.step("Solving")
    path = photo.path
    suffix = path.suffix if path.suffix.lower() in raster.FORMATS else _suffix(photo)
    target = folder / f"{path.stem}_derained{suffix}"
    task = batch.Task(path, target, folder / f"{path.stem}_rain.png")
    settings = choice.settings()
    if choice.method == "solver" and photo.pixels <= batch.LARGE:
        settings["callback"] = _Watch(job, "Solving")
    facts = batch.derain_file(
        task,
        settings,
        batch.Tiling(above=batch.LARGE),
        progress=lambda done, total: job.step("Solving", done / max(total, 1)),
    )
    job.step("Preparing what is shown", 1)
    with windows.opened(target) as picture:
        after = _uri(reduced(picture.pixels, SIDE), picture.icc)
    rain, gain = _visible(reduced(raster.read(task.outputs[0]).pixels, SIDE))
    return Shown(
        after, rain, gain, facts, choice, time.perf_counter() - began, target, task.outputs[0]
    )


def _draft(job: Job, photo: Photo, choice: Choice, began: float) -> Shown | None:
    """The result of a smaller copy, with weights that mean the same there."""
    import udg

    small = reduced(photo.small, _DRAFT_SIDE)
    shrunk = choice.shrunk(small.shape[1] / photo.width)
    if shrunk is None:
        return None
    watch = _Watch(job, "Solving a smaller copy first")
    result = udg.solve(small, **shrunk.settings(), callback=watch)
    facts = {"angle": result.angle, "rain_level": result.rain_level}
    rain, gain = _visible(result.rain[:, :, None])
    after = _uri(result.derained, photo.icc)
    return Shown(after, rain, gain, facts, choice, time.perf_counter() - began)


def _visible(rain: NDArray[Any]) -> tuple[str, float]:
    gain = rain_gain(rain)
    return _uri(rain * gain), gain


def _suffix(photo: Photo) -> str:
    return next(suffix for suffix, name in raster.FORMATS.items() if name == photo.format)


class _Watch:
    """A callback for `udg.solve` that knows how far its passes are, by the logarithm of the gap.

    How many directions there are nobody knows before: the passes of later ones count as the last.
    """

    def __init__(self, job: Job, stage: str) -> None:
        self._job, self._stage = job, stage
        self._passes, self._first, self._part = 0, 1.0, 0.0

    def __call__(self, checkpoint: Checkpoint) -> None:
        goal, gap = 0.01, min(max(checkpoint.gap, 0.01), 1.0)  # it may be infinite at first
        if checkpoint.iteration == 0:
            self._passes += 1
            self._first = max(gap, 2 * goal)
        done = math.log(self._first / gap) / math.log(self._first / goal)
        part = (min(self._passes, PASSES) - 1 + min(max(done, 0.0), 1.0)) / PASSES
        self._part = max(self._part, part)
        self._job.step(self._stage, self._part)
