"""How the page looks: its components, and what they are set to."""

from __future__ import annotations

import importlib.util
from importlib import resources
from typing import Any

import gradio as gr

from udg.app import texts
from udg.app.choice import Choice, Limits
from udg.app.photo import Shown
from udg.model.sizes import shortest_streak, widest_streak

__all__ = ["Layout", "Updates", "look"]

Updates = dict[Any, Any]

_WIDEST = round(widest_streak(Choice().weights()), 1)
_SHORTEST = round(shortest_streak(Choice().weights()), 1)
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


class Layout:
    """The page's components; made within `gradio.Blocks`.

    Parameters
    ----------
    limits : Limits
        What is refused.
    """

    def __init__(self, limits: Limits) -> None:
        gr.HTML(
            "<h1>udg</h1><p>Takes streaks of rain out of a photo.</p>",
            elem_id="udg-title",
            js_on_load=None,
        )
        with gr.Column(elem_id="udg-start") as self.start:
            self.drop = gr.File(label="Photo", show_label=False, height=230, elem_id="udg-drop")
            self.example = gr.Button("Try the example", elem_id="udg-example")
            self.notice = gr.HTML(elem_id="udg-notice", js_on_load=None)
            self.back = gr.Button("Back", visible=False, elem_id="udg-back")
            gr.HTML(
                f"<p>PNG, JPEG, TIFF, WebP or BMP, up to {limits.megabytes:g} MB and "
                f"{limits.megapixels:g} megapixels. The photo stays on the machine that runs udg, "
                "and is deleted when you close this page.</p>",
                elem_id="udg-small",
                js_on_load=None,
            )
        with gr.Row(visible=False, elem_id="udg-work") as self.work:
            with gr.Column(scale=7, min_width=320, elem_id="udg-photo"):
                self.view = gr.HTML(
                    html_template=_asset("view.html"),
                    js_on_load=_asset("view.js"),
                    apply_default_css=False,
                    elem_id="udg-view",
                )
            with gr.Column(scale=4, min_width=300, elem_id="udg-controls"):
                self.status = gr.HTML(elem_id="udg-status", js_on_load=None)
                self.stop = gr.Button("Stop", variant="stop", visible=False, elem_id="udg-stop")
                self.insist = gr.Button("There is rain", visible=False, elem_id="udg-insist")
                with gr.Row(elem_id="udg-files"):
                    self.download = gr.DownloadButton(
                        "Download",
                        variant="primary",
                        interactive=False,
                        elem_id="udg-download",
                        min_width=115,
                    )
                    self.download_rain = gr.DownloadButton(
                        "Rain layer",
                        interactive=False,
                        elem_id="udg-download-rain",
                        min_width=115,
                    )
                    self.another = gr.UploadButton(
                        "Another photo", elem_id="udg-another", min_width=115
                    )
                self.strength = gr.Slider(
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
                    self.angle = gr.Slider(
                        -45, 45, 0, step=0.1, label="Direction", buttons=[], elem_id="udg-angle"
                    )
                    self.angle_auto = gr.Button(
                        "Auto", elem_id="udg-angle-auto", elem_classes="udg-auto"
                    )
                with gr.Row(elem_classes="udg-pair"):
                    self.level = gr.Slider(
                        0, 1, 1, step=0.01, label="Rain level", buttons=[], elem_id="udg-level"
                    )
                    self.level_auto = gr.Button(
                        "Auto", elem_id="udg-level-auto", elem_classes="udg-auto"
                    )
                with gr.Accordion("Size of the streaks", open=False):
                    self.widest = gr.Slider(
                        1.5,
                        40,
                        _WIDEST,
                        step=0.1,
                        label="Widest",
                        buttons=[],
                        info="Pixels across; what is wider stays. Streaks grow with the picture.",
                        elem_id="udg-widest",
                    )
                    self.shortest = gr.Slider(
                        0,
                        60,
                        _SHORTEST,
                        step=0.1,
                        label="Shortest",
                        buttons=[],
                        info="Pixels along, of a line one pixel wide; what is shorter stays.",
                        elem_id="udg-shortest",
                    )
                    self.sizes = gr.HTML(texts.sizes(Choice()), js_on_load=None)
                self.method = gr.Radio(
                    [("Solver", "solver"), ("Network", "net")],
                    value="solver",
                    label="Method",
                    info="The network knows rain from training; it takes a direction and a level.",
                    visible=_has_networks(),
                    elem_id="udg-method",
                )
                self.reset = gr.Button("All automatic", elem_id="udg-reset")
        # `page.js` says here why it does not send a file.
        self.reason = gr.Textbox(visible=False)
        self.unsent = gr.Button(elem_id="udg-unsent")
        self.outputs = [self.drop, self.another, self.start, self.work, self.notice, self.back]
        self.outputs += [self.status, self.view, self.stop, self.insist]
        self.outputs += [self.download, self.download_rain, self.strength, self.angle]
        self.outputs += [self.angle_auto, self.level, self.level_auto]
        self.outputs += [self.widest, self.shortest, self.sizes, self.method]

    def told(self, text: str) -> Updates:
        """Say something wherever one may be looking."""
        return {self.notice: text, self.status: text}

    def controls(
        self, choice: Choice, shown: Shown | None = None, unknown: bool = False
    ) -> Updates:
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
            self.strength: gr.update(
                value=0.5 if choice.strength is None else choice.strength, interactive=solver
            ),
            self.angle: gr.update(
                info=f"Degrees from vertical, {how}.",
                **value(choice.angle, "angle", 1, 0),
            ),
            self.angle_auto: gr.update(interactive=not auto["angle"]),
            self.level: gr.update(
                info=f"Is there rain? {whence}.",
                **value(choice.rain_level, "rain_level", 2, 1),
            ),
            self.level_auto: gr.update(interactive=not auto["level"]),
            self.widest: gr.update(value=choice.widest or _WIDEST, interactive=solver),
            self.shortest: gr.update(
                value=_SHORTEST if choice.shortest is None else choice.shortest,
                interactive=solver,
            ),
            self.sizes: gr.update(value=texts.sizes(choice), visible=solver),
            self.method: choice.method,
        }

    def downloads(self, shown: Shown | None) -> Updates:
        """Offer a result's files, or none."""
        if shown is None or shown.file is None:
            off = gr.update(interactive=False)
            return {self.download: off, self.download_rain: off}
        return {
            self.download: gr.update(value=str(shown.file), interactive=True),
            self.download_rain: gr.update(value=str(shown.rain_file), interactive=True),
        }


def _has_networks() -> bool:
    return all(importlib.util.find_spec(name) for name in ("torch", "safetensors"))
