"""The page: what is seen and what happens when it is touched. The work is `session`'s."""

from __future__ import annotations

import asyncio
import html
import importlib.util
import logging
import secrets
import shutil
import threading
from collections.abc import AsyncIterator, Callable
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr

from udg.app.session import Choice, Desk, Job, Limits, Photo, Session, Shown, sweep
from udg.errors import UdgError
from udg.pipeline.options import shortest_streak, widest_streak
from udg.viz.preview import percent

__all__ = ["build", "look"]

Updates = dict[Any, Any]

_THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.blue,
    neutral_hue=gr.themes.colors.gray,
    radius_size=gr.themes.sizes.radius_md,
    # Fonts of the system: nothing is fetched.
    font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    font_mono=["ui-monospace", "Consolas", "monospace"],
).set(
    # Readable, as WCAG has it.
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_title_text_color="*neutral_800",
    block_title_text_color_dark="*neutral_100",
    button_large_text_weight="550",
    button_primary_background_fill="*primary_600",
    button_primary_background_fill_dark="*primary_600",
    slider_color="*primary_600",
)
_PAUSE = 0.15  # seconds in which a slider may move on before the work begins
_LOOK = 0.2  # seconds between looks at the work
_BROKEN_OFF = 60  # seconds after which an upload that does not go on is deleted
_LOST = "The connection was lost for a while, and the photo deleted. Load the page again to go on."

_log = logging.getLogger(__name__)


def _asset(name: str) -> str:
    return (resources.files("udg.app") / name).read_text(encoding="utf-8")


def look(limits: Limits) -> dict[str, Any]:
    """What Gradio is to be launched with.

    Parameters
    ----------
    limits : Limits
        What is refused.

    Returns
    -------
    dict
        Arguments for ``launch``.
    """
    script = _asset("page.js").replace("$MEGABYTES", f"{limits.megabytes:g}")
    head = f'<meta name="referrer" content="no-referrer"><script>{script}</script>'
    return {"theme": _THEME, "css": _asset("page.css"), "head": head}


class _Sessions:
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


# In words


def _status(text: str, part: float | None = None) -> str:
    """What is going on; the bar is left out of what screen readers are told again and again."""
    bar = ""
    if part is not None:
        bar = f'<progress max="1" value="{part:.3f}" aria-label="Progress"></progress>'
    return f'<div class="udg-status">{bar}<p role="status">{text}</p></div>'


def _refusal(error: object) -> str:
    return f'<div class="udg-status"><p class="udg-error" role="alert">{_sentence(error)}</p></div>'


def _sentence(error: object) -> str:
    text = html.escape(str(error))
    return text if text.endswith(".") else f"{text}."


def _progress(job: Job, ahead: int) -> str:
    if ahead:
        others = "One photo is" if ahead == 1 else f"{ahead} photos are"
        return _status(f"Waiting in line. {others} before yours.", 0)
    done = f", {100 * job.part:.0f} %" if 0 < job.part < 1 else ""
    return _status(f"{job.stage}{done}", job.part)


def _outcome(shown: Shown, photo: Photo) -> str:
    """What was found, and the command that does the same."""
    facts, choice = shown.facts, shown.choice
    if shown.dry and choice.rain_level == "auto":
        text = '<span class="udg-note" style="display:block">No rain was found, so the photo is '
        text += "as it was. If there is rain, say so below.</span>"
    elif shown.dry:
        text = "The photo is as it was: the rain level is 0."
    else:
        known = [f"Done in {shown.seconds:.1f} s. Streaks at {facts['angle']:.1f}°"]
        if choice.angle == "auto" and facts.get("confidence") is not None:
            known.append(f"found with confidence {facts['confidence']:.2f}")
        if "rain_level" in facts:
            known.append(f"rain level {facts['rain_level']:.2f}")
        if facts.get("gap") is not None:
            known.append(f"at most {percent(facts['gap'])} above the energy's minimum")
        text = ", ".join(known) + "."
    assert shown.file is not None
    command = html.escape(choice.command(photo.path.name, shown.file.name))
    return (
        _status(text) + f'<details class="udg-fine"><summary>The same on the command line</summary>'
        f"<code>{command}</code></details>"
    )


def _sizes(choice: Choice) -> str:
    """What the weights mean, in pixels."""
    weights = choice.weights()
    widest = widest_streak(weights)
    lengths = [
        f"{shortest_streak(weights, width):.1f} if {width} wide"
        for width in (1, 2, 3, 5)
        if width < widest
    ]
    return (
        f'<p class="udg-fine">With this strength, bright lines are taken if they are narrower than '
        f"{widest:.1f} pixels and longer than {', '.join(lengths)}.</p>"
    )


def _seen(photo: Photo, shown: Shown | None = None) -> dict[str, Any]:
    """What `view.js` shows."""
    caption = f"{photo.path.name}: {photo.width} × {photo.height}, {photo.format}, {photo.bits}"
    if max(photo.width, photo.height) > max(photo.small.shape[:2]):
        caption += ". Shown smaller; the download has all pixels"
    view: dict[str, Any] = {
        "before": photo.preview,
        "width": photo.width,
        "height": photo.height,
        "caption": caption,
    }
    if shown is not None:
        brighter = f", shown {shown.gain:.1f}× brighter" if shown.gain > 1 else ""
        view |= {
            "after": shown.after,
            "rain": shown.rain,
            "rain_caption": f"The rain that was subtracted{brighter}",
            "angle": None if shown.dry else shown.facts["angle"],
            "draft": shown.draft,
        }
    return view


# The page


def build(root: Path, desk: Desk, limits: Limits) -> gr.Blocks:
    """Make the page.

    Parameters
    ----------
    root : Path
        Folder of all files of all sessions; also Gradio's folder for uploads.
    desk : Desk
        Who does the work.
    limits : Limits
        What is refused.

    Returns
    -------
    gradio.Blocks
        Not launched yet.
    """
    sessions = _Sessions(root, lambda: Session(root, desk, limits))
    usual = Choice().weights()
    widest_usual = round(widest_streak(usual), 1)
    shortest_usual = round(shortest_streak(usual), 1)
    networks = all(importlib.util.find_spec(name) for name in ("torch", "safetensors"))

    with gr.Blocks(title="udg", analytics_enabled=False, delete_cache=(600, 86400)) as page:
        gr.HTML(
            "<h1>udg</h1><p>Takes streaks of rain out of a photo.</p>",
            elem_id="udg-title",
            js_on_load=None,
        )
        with gr.Column(elem_id="udg-start") as start:
            drop = gr.File(label="Photo", show_label=False, height=230, elem_id="udg-drop")
            example = gr.Button("Try the example", elem_id="udg-example")
            notice = gr.HTML(elem_id="udg-notice", js_on_load=None)
            back = gr.Button("Back", visible=False, elem_id="udg-back")
            gr.HTML(
                f"<p>PNG, JPEG, TIFF, WebP or BMP, up to {limits.megabytes:g} MB and "
                f"{limits.megapixels:g} megapixels. The photo stays on the machine that runs udg, "
                "and is deleted when you close this page.</p>",
                elem_id="udg-small",
                js_on_load=None,
            )
        with gr.Row(visible=False, elem_id="udg-work") as work:
            with gr.Column(scale=7, min_width=320, elem_id="udg-photo"):
                view = gr.HTML(
                    html_template=_asset("view.html"),
                    js_on_load=_asset("view.js"),
                    apply_default_css=False,
                    elem_id="udg-view",
                )
            with gr.Column(scale=4, min_width=300, elem_id="udg-controls"):
                status = gr.HTML(elem_id="udg-status", js_on_load=None)
                stop = gr.Button("Stop", variant="stop", visible=False, elem_id="udg-stop")
                insist = gr.Button("There is rain", visible=False, elem_id="udg-insist")
                with gr.Row(elem_id="udg-files"):
                    download = gr.DownloadButton(
                        "Download",
                        variant="primary",
                        interactive=False,
                        elem_id="udg-download",
                        min_width=115,
                    )
                    download_rain = gr.DownloadButton(
                        "Rain layer",
                        interactive=False,
                        elem_id="udg-download-rain",
                        min_width=115,
                    )
                    another = gr.UploadButton("Another photo", elem_id="udg-another", min_width=115)
                strength = gr.Slider(
                    0,
                    1,
                    0.5,
                    step=0.05,
                    label="Strength",
                    buttons=[],
                    info="Higher takes more, streaks and details alike.",
                    elem_id="udg-strength",
                )
                with gr.Row(elem_classes="udg-pair"):
                    angle = gr.Slider(
                        -45, 45, 0, step=0.1, label="Direction", buttons=[], elem_id="udg-angle"
                    )
                    angle_auto = gr.Button(
                        "Auto", elem_id="udg-angle-auto", elem_classes="udg-auto"
                    )
                with gr.Row(elem_classes="udg-pair"):
                    level = gr.Slider(
                        0, 1, 1, step=0.01, label="Rain level", buttons=[], elem_id="udg-level"
                    )
                    level_auto = gr.Button(
                        "Auto", elem_id="udg-level-auto", elem_classes="udg-auto"
                    )
                with gr.Accordion("Size of the streaks", open=False):
                    widest = gr.Slider(
                        1.5,
                        40,
                        widest_usual,
                        step=0.1,
                        label="Widest",
                        buttons=[],
                        info="Pixels across; what is wider stays. Streaks grow with the picture.",
                        elem_id="udg-widest",
                    )
                    shortest = gr.Slider(
                        0,
                        60,
                        shortest_usual,
                        step=0.1,
                        label="Shortest",
                        buttons=[],
                        info="Pixels along, of a line one pixel wide; what is shorter stays.",
                        elem_id="udg-shortest",
                    )
                    sizes = gr.HTML(_sizes(Choice()), js_on_load=None)
                method = gr.Radio(
                    [("Solver", "solver"), ("Network", "net")],
                    value="solver",
                    label="Method",
                    info="The network knows rain from training; it takes a direction and a level.",
                    visible=networks,
                    elem_id="udg-method",
                )
                reset = gr.Button("All automatic", elem_id="udg-reset")
        # `page.js` says here why it does not send a file.
        reason = gr.Textbox(visible=False)
        unsent = gr.Button(elem_id="udg-unsent")

        def told(text: str) -> Updates:
            return {notice: text, status: text}

        def controls(choice: Choice, shown: Shown | None = None, unknown: bool = False) -> Updates:
            """All controls as chosen; where that is left to udg, as found, or off if unknown."""
            dry = shown is not None and shown.dry
            found = dict(shown.facts) if shown else {}
            if dry:
                del found["angle"]  # of whatever it is
            solver = choice.method == "solver"
            auto = {"angle": choice.angle == "auto", "level": choice.rain_level == "auto"}

            def value(one: Any, fact: str, digits: int, usual: float) -> Any:
                if one == "auto" and unknown:
                    return {"value": usual, "interactive": False}
                value = found.get(fact) if one == "auto" else one
                return {"interactive": True} | (
                    {} if value is None else {"value": round(value, digits)}
                )

            whence, how = "Set by hand", "set by hand"
            if auto["level"]:
                whence = "Judged from the photo" if shown else "That will be judged"
            if auto["angle"]:
                how = ("nothing found" if dry else "found") if shown else "to be found"
            return {
                strength: gr.update(
                    value=0.5 if choice.strength is None else choice.strength, interactive=solver
                ),
                angle: gr.update(
                    info=f"Degrees from vertical, {how}.",
                    **value(choice.angle, "angle", 1, 0),
                ),
                angle_auto: gr.update(interactive=not auto["angle"]),
                level: gr.update(
                    info=f"Is there rain? {whence}.",
                    **value(choice.rain_level, "rain_level", 2, 1),
                ),
                level_auto: gr.update(interactive=not auto["level"]),
                widest: gr.update(value=choice.widest or widest_usual, interactive=solver),
                shortest: gr.update(
                    value=shortest_usual if choice.shortest is None else choice.shortest,
                    interactive=solver,
                ),
                sizes: gr.update(value=_sizes(choice), visible=solver),
                method: choice.method,
            }

        def downloads(shown: Shown | None) -> Updates:
            if shown is None or shown.file is None:
                off = gr.update(interactive=False)
                return {download: off, download_rain: off}
            return {
                download: gr.update(value=str(shown.file), interactive=True),
                download_rain: gr.update(value=str(shown.rain_file), interactive=True),
            }

        outputs = [drop, another, start, work, notice, back, status, view, stop, insist]
        outputs += [download, download_rain, strength, angle, angle_auto, level, level_auto]
        outputs += [widest, shortest, sizes, method]

        def finished(session: Session, shown: Shown, photo: Photo) -> Updates:
            again = shown.dry and session.choice.rain_level == "auto"
            return {
                **told(_outcome(shown, photo)),
                **controls(session.choice, shown),
                **downloads(shown),
                stop: gr.update(visible=False),
                insist: gr.update(visible=again),
                view: _seen(photo, shown),
            }

        def refused(session: Session | None, error: object) -> Updates:
            """The start again, so that no older photo looks like the answer; a way back to it."""
            update = {drop: None, another: None, **told(_refusal(error))}
            if session is None or session.photo is None:
                return update
            session.drop_job()
            return update | {
                start: gr.update(visible=True),
                work: gr.update(visible=False),
                back: gr.update(value=f"Back to {session.photo.path.name}", visible=True),
            }

        async def follow(session: Session) -> AsyncIterator[Updates]:
            """Derain as chosen, and say how it goes; ends in silence if something newer began."""
            photo = session.photo
            if photo is None:  # the page was closed
                return
            job = session.prepare()
            yield {
                **told(_status("Waiting", 0)),
                **downloads(None),
                **controls(session.choice, unknown=session.result is None),
                stop: gr.update(visible=True),
                insist: gr.update(visible=False),
            }
            await asyncio.sleep(_PAUSE)
            if session.job is job and not job.cancelled:
                desk.add(job)
            drafted = False
            while not (job.finished or job.cancelled):
                update = told(_progress(job, desk.ahead(job)))
                if job.draft is not None and not drafted:
                    drafted = True
                    update |= {view: _seen(photo, job.draft)} | controls(session.choice, job.draft)
                yield update
                await asyncio.sleep(_LOOK)
            if session.job is not job or session.photo is not photo:
                # Gradio sends the last update once more at the end: it must not be the progress.
                yield {stop: gr.skip()}
                return
            shown = session.result
            if job.result is not None:
                yield finished(session, job.result, photo)
                return
            update = {stop: gr.update(visible=False), **downloads(shown)}
            update |= controls(session.choice, shown or job.draft)
            if job.error is not None:
                update |= told(_refusal(job.error)) | {view: _seen(photo, shown)}
            else:
                earlier = " The result before is shown." if shown else ""
                update |= told(_status(f"Stopped.{earlier}"))
                update[view] = _seen(photo, shown or job.draft)
            yield update

        at_work = {
            start: gr.update(visible=False),
            work: gr.update(visible=True),
            back: gr.update(visible=False),
        }

        async def opened(request: gr.Request, upload: Path) -> AsyncIterator[Updates]:
            session = sessions.of(request)
            if session is None:
                upload.unlink(missing_ok=True)
                yield {drop: None, another: None, **told(_refusal(_LOST))}
                return
            yield told(_status("Reading the photo", 0))
            try:
                photo = await asyncio.to_thread(session.open, upload)
            except UdgError as error:
                yield refused(session, error)
                return
            except Exception as error:  # a bug: the page says so, the log has the details
                _log.exception("unforeseen")
                yield refused(session, f"Unforeseen: {error!r}")
                return
            yield {drop: None, another: None, view: _seen(photo), **at_work}
            async for update in follow(session):
                yield update

        async def arrived(upload: str | None, request: gr.Request) -> AsyncIterator[Updates]:
            if upload is not None:
                async for update in opened(request, Path(upload)):
                    yield update

        async def demonstrated(request: gr.Request) -> AsyncIterator[Updates]:
            folder = root / secrets.token_urlsafe(12)
            folder.mkdir()
            with resources.as_file(resources.files("udg") / "assets" / "demo.png") as path:
                shutil.copyfile(path, folder / "example.png")
            async for update in opened(request, folder / "example.png"):
                yield update

        def chosen(name: str) -> Callable[[Any, gr.Request], AsyncIterator[Updates]]:
            """What happens when a control gets a value."""

            async def handler(value: Any, request: gr.Request) -> AsyncIterator[Updates]:
                async for update in choose(request, **{name: value}):
                    yield update

            return handler

        def pressed(**changes: Any) -> Callable[[gr.Request], AsyncIterator[Updates]]:
            """What happens when a button stands for a choice."""

            async def handler(request: gr.Request) -> AsyncIterator[Updates]:
                async for update in choose(request, **changes):
                    yield update

            return handler

        async def choose(request: gr.Request, **changes: Any) -> AsyncIterator[Updates]:
            session = sessions.of(request)
            if session is None or session.photo is None:
                yield told(_refusal(_LOST)) | downloads(None)
                return
            session.choose(**changes)
            async for update in follow(session):
                yield update

        def not_sent(text: str, request: gr.Request) -> Updates:
            return refused(sessions.of(request), text)

        async def returned(request: gr.Request) -> AsyncIterator[Updates]:
            session = sessions.of(request)
            if session is None or session.photo is None:
                yield told(_refusal(_LOST))
                return
            yield {view: _seen(session.photo, session.result), **at_work}
            shown = session.result
            if shown is not None and shown.choice == session.choice:
                yield finished(session, shown, session.photo)
                return
            async for update in follow(session):
                yield update

        def stopped(request: gr.Request) -> None:
            session = sessions.of(request)
            if session is not None:
                session.cancel()

        # Everybody's events are taken at once: who waits for whom is decided at the desk.
        common = {
            "outputs": outputs,
            "show_progress": "hidden",
            "concurrency_limit": None,
            "trigger_mode": "multiple",
            "api_visibility": "private",
        }
        for source in (drop, another):
            source.upload(arrived, source, **common)
        example.click(demonstrated, **common)
        for name, control in {
            "strength": strength,
            "angle": angle,
            "rain_level": level,
            "widest": widest,
            "shortest": shortest,
            "method": method,
        }.items():
            control.input(chosen(name), control, **common)
        angle_auto.click(pressed(angle="auto"), **common)
        level_auto.click(pressed(rain_level="auto"), **common)
        insist.click(pressed(rain_level=1.0), **common)
        everything = {field: getattr(Choice(), field) for field in Choice.__dataclass_fields__}
        reset.click(pressed(**everything), **common)
        back.click(returned, **common)
        unsent.click(not_sent, reason, js="() => window.udgRefusal", **common)
        stop.click(stopped, queue=False, show_progress="hidden", api_visibility="private")
        angle.input(
            None,
            angle,
            js='(at) => { window.dispatchEvent(new CustomEvent("udg-turned", {detail: at})); }',
        )
        page.unload(sessions.end)
    page.queue(default_concurrency_limit=None)
    return page
