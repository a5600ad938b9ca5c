"""The page: its layout, and what happens when it is touched."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from udg.app.choice import Choice, Limits
from udg.app.desk import Desk
from udg.app.handlers import Handlers, Sessions
from udg.app.layout import Layout, look
from udg.app.session import Session

__all__ = ["build", "look"]


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
    sessions = Sessions(root, lambda: Session(root, desk, limits))
    with gr.Blocks(title="udg", analytics_enabled=False, delete_cache=(600, 86400)) as page:
        ui = Layout(limits)
        on = Handlers(ui, sessions, desk, root)
        # Everybody's events are taken at once: who waits for whom is decided at the desk.
        common = {
            "outputs": ui.outputs,
            "show_progress": "hidden",
            "concurrency_limit": None,
            "trigger_mode": "multiple",
            "api_visibility": "private",
        }
        for source in (ui.drop, ui.another):
            source.upload(on.arrived, source, **common)
        ui.example.click(on.demonstrated, **common)
        for name, control in {
            "strength": ui.strength,
            "angle": ui.angle,
            "rain_level": ui.level,
            "widest": ui.widest,
            "shortest": ui.shortest,
            "method": ui.method,
        }.items():
            control.input(on.chosen(name), control, **common)
        ui.angle_auto.click(on.pressed(angle="auto"), **common)
        ui.level_auto.click(on.pressed(rain_level="auto"), **common)
        ui.insist.click(on.pressed(rain_level=1.0), **common)
        everything = {field: getattr(Choice(), field) for field in Choice.__dataclass_fields__}
        ui.reset.click(on.pressed(**everything), **common)
        ui.back.click(on.returned, **common)
        ui.unsent.click(on.not_sent, ui.reason, js="() => window.udgRefusal", **common)
        ui.stop.click(on.stopped, queue=False, show_progress="hidden", api_visibility="private")
        ui.angle.input(
            None,
            ui.angle,
            js='(at) => { window.dispatchEvent(new CustomEvent("udg-turned", {detail: at})); }',
        )
        page.unload(sessions.end)
    page.queue(default_concurrency_limit=None)
    return page
