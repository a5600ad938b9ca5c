"""One open page: its folder, its photo, and the work on it.

The folder goes when the page is closed. The work is `udg.batch.derain_file`, so that a download is
the file that ``udg derain`` would write.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from udg.app import photo as photos
from udg.app.choice import Choice, Limits
from udg.app.desk import Desk, Job
from udg.app.photo import Photo, Shown
from udg.app.work import derained
from udg.errors import FileError, UdgError
from udg.io import files

__all__ = ["Session", "sweep"]


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
            photo = photos.opened(path)
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
        width, height = files.dimensions(path)
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
                shown = derained(job, photo, choice, folder)
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
