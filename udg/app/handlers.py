"""What happens when the page is touched. The work is `session`'s."""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr

from udg.app import texts
from udg.app.desk import Desk
from udg.app.layout import Layout, Updates
from udg.app.photo import Photo, Shown
from udg.app.session import Session, sweep
from udg.errors import UdgError

__all__ = ["Handlers", "Sessions"]

_PAUSE = 0.15  # seconds in which a slider may move on before the work begins
_LOOK = 0.2  # seconds between looks at the work
_BROKEN_OFF = 60  # seconds after which an upload that does not go on is deleted
_LOST = "The connection was lost for a while, and the photo deleted. Load the page again to go on."

_log = logging.getLogger(__name__)


class Sessions:
    """The sessions of all open pages, by the name that Gradio gives each."""

    def __init__(self, root: Path, make: Callable[[], Session]) -> None:
        self._root, self._make = root, make
        self._open, self._over = dict[str, Session](), set[str]()

    def of(self, request: gr.Request) -> Session | None:
        """The page's session; None if it is over, as after a loss of the connection."""
        name = str(request.session_hash)
        if name in self._over:
            return None
        if name not in self._open:
            self._open[name] = self._make()
        return self._open[name]

    def end(self, request: gr.Request) -> None:
        """Close the page's session, and sweep up what was still arriving."""
        name = str(request.session_hash)
        self._over.add(name)
        session = self._open.pop(name, None)
        if session is not None:
            session.close()
        later = threading.Timer(_BROKEN_OFF + 1, self._sweep)
        later.daemon = True
        later.start()

    def _sweep(self) -> None:
        sweep(self._root, {session.folder for session in self._open.values()}, _BROKEN_OFF)


class Handlers:
    """Updates of the page for each of its events.

    Parameters
    ----------
    ui : Layout
        The components.
    sessions : Sessions
        Whose events they are.
    desk : Desk
        Who does the work.
    root : Path
        Folder of all files of all sessions.
    """

    def __init__(self, ui: Layout, sessions: Sessions, desk: Desk, root: Path) -> None:
        self.ui, self.sessions, self.desk, self.root = ui, sessions, desk, root

    def _finished(self, session: Session, shown: Shown, photo: Photo) -> Updates:
        again = shown.dry and session.choice.rain_level == "auto"
        return {
            **self.ui.told(texts.outcome(shown, photo)),
            **self.ui.controls(session.choice, shown),
            **self.ui.downloads(shown),
            self.ui.stop: gr.update(visible=False),
            self.ui.insist: gr.update(visible=again),
            self.ui.view: texts.seen(photo, shown),
        }

    def _refused(self, session: Session | None, error: object) -> Updates:
        """The start again, so that no older photo looks like the answer; a way back to it."""
        update = {self.ui.drop: None, self.ui.another: None, **self.ui.told(texts.refusal(error))}
        if session is None or session.photo is None:
            return update
        session.drop_job()
        return update | {
            self.ui.start: gr.update(visible=True),
            self.ui.work: gr.update(visible=False),
            self.ui.back: gr.update(value=f"Back to {session.photo.path.name}", visible=True),
        }

    async def _follow(self, session: Session) -> AsyncIterator[Updates]:
        """Derain as chosen, and say how it goes; ends in silence if something newer began."""
        photo = session.photo
        if photo is None:  # the page was closed
            return
        job = session.prepare()
        yield {
            **self.ui.told(texts.status("Waiting", 0)),
            **self.ui.downloads(None),
            **self.ui.controls(session.choice, unknown=session.result is None),
            self.ui.stop: gr.update(visible=True),
            self.ui.insist: gr.update(visible=False),
        }
        await asyncio.sleep(_PAUSE)
        if session.job is job and not job.cancelled:
            self.desk.add(job)
        drafted = False
        while not (job.finished or job.cancelled):
            update = self.ui.told(texts.progress(job, self.desk.ahead(job)))
            if job.draft is not None and not drafted:
                drafted = True
                update |= {self.ui.view: texts.seen(photo, job.draft)} | self.ui.controls(
                    session.choice, job.draft
                )
            yield update
            await asyncio.sleep(_LOOK)
        if session.job is not job or session.photo is not photo:
            # Gradio sends the last update once more at the end: it must not be the progress.
            yield {self.ui.stop: gr.skip()}
            return
        shown = session.result
        if job.result is not None:
            yield self._finished(session, job.result, photo)
            return
        update = {self.ui.stop: gr.update(visible=False), **self.ui.downloads(shown)}
        update |= self.ui.controls(session.choice, shown or job.draft)
        if job.error is not None:
            update |= self.ui.told(texts.refusal(job.error)) | {
                self.ui.view: texts.seen(photo, shown)
            }
        else:
            earlier = " The result before is shown." if shown else ""
            update |= self.ui.told(texts.status(f"Stopped.{earlier}"))
            update[self.ui.view] = texts.seen(photo, shown or job.draft)
        yield update

    def _at_work(self, photo: Photo, shown: Shown | None = None) -> Updates:
        """The photo instead of the start."""
        return {
            self.ui.view: texts.seen(photo, shown),
            self.ui.start: gr.update(visible=False),
            self.ui.work: gr.update(visible=True),
            self.ui.back: gr.update(visible=False),
        }

    async def _opened(self, request: gr.Request, upload: Path) -> AsyncIterator[Updates]:
        session = self.sessions.of(request)
        if session is None:
            upload.unlink(missing_ok=True)
            yield {self.ui.drop: None, self.ui.another: None, **self.ui.told(texts.refusal(_LOST))}
            return
        yield self.ui.told(texts.status("Reading the photo", 0))
        try:
            photo = await asyncio.to_thread(session.open, upload)
        except UdgError as error:
            yield self._refused(session, error)
            return
        except Exception as error:  # a bug: the page says so, the log has the details
            _log.exception("unforeseen")
            yield self._refused(session, f"Unforeseen: {error!r}")
            return
        yield {self.ui.drop: None, self.ui.another: None, **self._at_work(photo)}
        async for update in self._follow(session):
            yield update

    async def arrived(self, upload: str | None, request: gr.Request) -> AsyncIterator[Updates]:
        """A photo was uploaded."""
        if upload is not None:
            async for update in self._opened(request, Path(upload)):
                yield update

    async def demonstrated(self, request: gr.Request) -> AsyncIterator[Updates]:
        """The example was asked for."""
        folder = self.root / secrets.token_urlsafe(12)
        folder.mkdir()
        with resources.as_file(resources.files("udg") / "assets" / "demo.png") as path:
            shutil.copyfile(path, folder / "example.png")
        async for update in self._opened(request, folder / "example.png"):
            yield update

    def chosen(self, name: str) -> Callable[[Any, gr.Request], AsyncIterator[Updates]]:
        """What happens when a control gets a value."""

        async def handler(value: Any, request: gr.Request) -> AsyncIterator[Updates]:
            async for update in self._choose(request, **{name: value}):
                yield update

        return handler

    def pressed(self, **changes: Any) -> Callable[[gr.Request], AsyncIterator[Updates]]:
        """What happens when a button stands for a choice."""

        async def handler(request: gr.Request) -> AsyncIterator[Updates]:
            async for update in self._choose(request, **changes):
                yield update

        return handler

    async def _choose(self, request: gr.Request, **changes: Any) -> AsyncIterator[Updates]:
        session = self.sessions.of(request)
        if session is None or session.photo is None:
            yield self.ui.told(texts.refusal(_LOST)) | self.ui.downloads(None)
            return
        session.choose(**changes)
        async for update in self._follow(session):
            yield update

    def not_sent(self, text: str, request: gr.Request) -> Updates:
        """`page.js` did not send a file, and says why."""
        return self._refused(self.sessions.of(request), text)

    async def returned(self, request: gr.Request) -> AsyncIterator[Updates]:
        """Go back to the photo that was open before a refusal."""
        session = self.sessions.of(request)
        if session is None or session.photo is None:
            yield self.ui.told(texts.refusal(_LOST))
            return
        yield self._at_work(session.photo, session.result)
        shown = session.result
        if shown is not None and shown.choice == session.choice:
            yield self._finished(session, shown, session.photo)
            return
        async for update in self._follow(session):
            yield update

    def stopped(self, request: gr.Request) -> None:
        """Give up what is being done."""
        session = self.sessions.of(request)
        if session is not None:
            session.cancel()
