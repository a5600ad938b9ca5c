"""What the page says, as HTML, and what its view shows."""

from __future__ import annotations

import html
from typing import Any

from udg.app.choice import Choice
from udg.app.desk import Job
from udg.app.photo import Photo, Shown
from udg.model.sizes import shortest_streak, widest_streak
from udg.viz.preview import percent

__all__ = ["outcome", "progress", "refusal", "seen", "sizes", "status"]


def status(text: str, part: float | None = None) -> str:
    """Say what is going on; the bar is left out of what screen readers are told again and again."""
    bar = ""
    if part is not None:
        bar = f'<progress max="1" value="{part:.3f}" aria-label="Progress"></progress>'
    return f'<div class="udg-status">{bar}<p role="status">{text}</p></div>'


def refusal(error: object) -> str:
    """Say what went wrong, as an alert."""
    return f'<div class="udg-status"><p class="udg-error" role="alert">{_sentence(error)}</p></div>'


def _sentence(error: object) -> str:
    text = html.escape(str(error))
    return text if text.endswith(".") else f"{text}."


def progress(job: Job, ahead: int) -> str:
    """Say how far a job is, or how many come before it."""
    if ahead:
        others = "One photo is" if ahead == 1 else f"{ahead} photos are"
        return status(f"Waiting in line. {others} before yours.", 0)
    done = f", {100 * job.part:.0f} %" if 0 < job.part < 1 else ""
    return status(f"{job.text}{done}", job.part)


def outcome(shown: Shown, photo: Photo) -> str:
    """Say what was found, and the command that does the same."""
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
        status(text) + f'<details class="udg-fine"><summary>The same on the command line</summary>'
        f"<code>{command}</code></details>"
    )


def sizes(choice: Choice) -> str:
    """Say what the weights mean, in pixels."""
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


def seen(photo: Photo, shown: Shown | None = None) -> dict[str, Any]:
    """Describe what `view.js` shows."""
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
