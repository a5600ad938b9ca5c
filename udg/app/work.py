"""The work on a photo: a smaller copy first if it is large, then what ``udg derain`` does."""

from __future__ import annotations

import time
from pathlib import Path

import udg
from udg import batch
from udg.app import photo as photos
from udg.app.choice import Choice
from udg.app.desk import Job
from udg.app.photo import Photo, Shown
from udg.io import files
from udg.io.paths import FORMATS
from udg.pipeline.progress import Callback, Progress
from udg.pipeline.survey import reduced

__all__ = ["derained"]

_DRAFT = 4e6  # pixels from which on a smaller copy is solved first
_DRAFT_SIDE = 1200  # longest side of that copy


def derained(job: Job, photo: Photo, choice: Choice, folder: Path) -> Shown:
    """Write what ``udg derain`` would, and show it; a large photo's smaller copy comes first."""
    began = time.perf_counter()
    if photo.pixels > _DRAFT and choice.method == "solver":
        job.draft = _draft(job, photo, choice, began)
    job.step("Solving")
    path = photo.path
    suffix = path.suffix if path.suffix.lower() in FORMATS else _suffix(photo)
    target = folder / f"{path.stem}_derained{suffix}"
    task = batch.Task(path, target, folder / f"{path.stem}_rain.png")
    tiling = batch.Tiling(above=batch.LARGE)
    facts = batch.derain_file(task, choice.settings(), tiling, _teller(job, "Solving"))
    job.step("Preparing what is shown", 1)
    with files.opened(target) as picture:
        after = photos.data_uri(reduced(picture.pixels, photos.SIDE), picture.icc)
    rain, gain = photos.rain_uri(reduced(files.read(task.outputs[0]).pixels, photos.SIDE))
    return Shown(
        after, rain, gain, facts, choice, time.perf_counter() - began, target, task.outputs[0]
    )


def _draft(job: Job, photo: Photo, choice: Choice, began: float) -> Shown | None:
    """The result of a smaller copy, with weights that mean the same there."""
    small = reduced(photo.small, _DRAFT_SIDE)
    shrunk = choice.shrunk(small.shape[1] / photo.width)
    if shrunk is None:
        return None
    teller = _teller(job, "Solving a smaller copy first")
    result = udg.solve(small, **shrunk.settings(), callback=teller)
    facts = {"angle": result.angle, "rain_level": result.rain_level}
    rain, gain = photos.rain_uri(result.rain[:, :, None])
    after = photos.data_uri(result.derained, photo.icc)
    return Shown(after, rain, gain, facts, choice, time.perf_counter() - began)


def _teller(job: Job, doing: str) -> Callback:
    """Make a callback that tells the job how far it is; it ends the work if that was cancelled."""

    def tell(now: Progress) -> None:
        text, part = doing, now.fraction
        if now.direction > 1:
            text += f", direction {now.direction}"
            if now.step == "deciding":  # perhaps there is none: all may be done
                part = job.part
        if now.step == "solving" and now.stages > 1:
            text += f", stage {now.stage} of {now.stages}"
        job.step(text, part)

    return tell


def _suffix(photo: Photo) -> str:
    return next(suffix for suffix, name in FORMATS.items() if name == photo.format)
