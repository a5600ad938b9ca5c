"""How good is it? Derain pictures whose clean version is known, and measure before and after."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from udg.batch.jobs import Outcome, run
from udg.batch.planning import Task, pending, plan
from udg.batch.work import derain
from udg.errors import FileError
from udg.io.files import read, write
from udg.io.paths import Found, format_of, is_picture, make_folder
from udg.io.picture import quantize
from udg.pipeline.progress import Callback
from udg.quality.metrics import psnr_y, ssim_y

__all__ = ["Evaluation", "Score", "evaluate", "find_pairs"]


@dataclass(frozen=True)
class Score:
    """One picture's quality before and after.

    Attributes
    ----------
    name : str
        The rainy picture's file name.
    psnr_before, psnr_after : float
        `udg.psnr_y` of the rainy and of the derained picture, in dB.
    ssim_before, ssim_after : float
        `udg.ssim_y` likewise.
    angle : float
        The angle that was used, in degrees.
    gap : float, optional
        The certificate of the solver's solution.
    """

    name: str
    psnr_before: float
    psnr_after: float
    ssim_before: float
    ssim_after: float
    angle: float
    gap: float | None


@dataclass(frozen=True)
class Evaluation:
    """The scores of a folder.

    Attributes
    ----------
    scores : list of Score
        One for each pair that could be derained and measured, sorted by name.
    failures : list of Outcome
        The others, each with its ``error``.
    """

    scores: list[Score]
    failures: list[Outcome]

    def means(self) -> dict[str, float]:
        """Mean PSNR and SSIM before and after; NaN if there are no scores."""
        return {
            name: float(np.mean([getattr(score, name) for score in self.scores] or [np.nan]))
            for name in ("psnr_before", "psnr_after", "ssim_before", "ssim_after")
        }

    @property
    def worse_psnr(self) -> int:
        """How many pictures lost PSNR by being derained."""
        return sum(score.psnr_after < score.psnr_before for score in self.scores)

    @property
    def worse_ssim(self) -> int:
        """How many pictures lost SSIM by being derained."""
        return sum(score.ssim_after < score.ssim_before for score in self.scores)

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can hold it; the PSNR of identical pictures, infinite, is null."""
        return {
            "mean": _finite(self.means()),
            "worse_psnr": self.worse_psnr,
            "worse_ssim": self.worse_ssim,
            "pictures": [_finite(asdict(score)) for score in self.scores],
            "failed": [
                {"input": str(failure.task.source), "error": failure.error}
                for failure in self.failures
            ],
        }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in values.items()
    }


def evaluate(
    folder: str | os.PathLike[str],
    *,
    jobs: int = 1,
    save: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    report: Callable[[Outcome], object] = lambda outcome: None,
    callback: Callback | None = None,
    **settings: Any,
) -> Evaluation:
    """Derain every picture of ``folder/rainy`` and compare it with its twin in ``folder/clean``.

    Pictures are rounded to their own bit depth before they are measured, as a file would be, and
    measured on luma 16–235 (see `udg.psnr_y`).

    Parameters
    ----------
    folder : path-like
        Holds ``rainy`` and ``clean``; pairs have the same stem.
    jobs : int
        Number of processes; see `udg.batch.run`.
    save : path-like, optional
        Keep the derained pictures in this folder.
    overwrite : bool
        Replace pictures in ``save``.
    report : callable
        Called with each `udg.batch.Outcome` as soon as it is known.
    callback : callable, optional
        As in `udg.batch.derain`; with several jobs it is pickled.
    **settings
        As for `udg.batch.derain`: passed to `udg.solve`, or, with ``method="net"``, to
        `udg.net.derain`.

    Returns
    -------
    Evaluation

    Raises
    ------
    FileError
        The folder holds no pairs.
    InvalidInput
        Pictures in ``save`` exist, or would replace the pairs.
    """
    pairs, unpaired = find_pairs(folder)
    if save is None:
        tasks = [Task(rainy, reference=clean, number=n) for n, (rainy, clean) in enumerate(pairs)]
    else:
        tasks = _saved_to(Path(save), pairs)
        tasks, _ = pending(tasks, overwrite=overwrite)
    work = functools.partial(_evaluate_file, settings=settings, callback=callback)
    outcomes = run(tasks, work, jobs=jobs, report=report)
    failures = [outcome for outcome in outcomes if outcome.error is not None]
    reason = "it has no single partner of the same stem in the other folder"
    failures += [Outcome(Task(path), error=reason) for path in unpaired]
    return Evaluation(
        scores=[Score(**outcome.facts) for outcome in outcomes if outcome.error is None],
        failures=failures,
    )


def find_pairs(
    folder: str | os.PathLike[str],
) -> tuple[list[tuple[Path, Path]], list[Path]]:
    """Find the pictures of the same stem in ``rainy`` and ``clean``.

    Parameters
    ----------
    folder : path-like
        Holds ``rainy`` and ``clean``.

    Returns
    -------
    (list of (Path, Path), list of Path)
        Pairs (rainy, clean) sorted by name, and the pictures without a partner or with several.

    Raises
    ------
    FileError
        A folder is missing, or there are no pairs.
    """
    by_stem: list[dict[str, list[Path]]] = []
    for part in ("rainy", "clean"):
        inside = Path(folder) / part
        if not inside.is_dir():
            raise FileError(
                f"{inside} is not a folder; {folder} must hold two, rainy and clean, "
                "whose pictures have the same names"
            )
        stems: dict[str, list[Path]] = {}
        for path in sorted(inside.iterdir()):
            if is_picture(path):
                stems.setdefault(path.stem, []).append(path)
        by_stem.append(stems)
    rainy, clean = by_stem
    pairs = [
        (rainy[stem][0], clean[stem][0])
        for stem in rainy
        if len(rainy[stem]) == 1 == len(clean.get(stem, ()))
    ]
    if not pairs:
        raise FileError(f"no pictures in {folder}/rainy and {folder}/clean have the same stem")
    paired = {path for pair in pairs for path in pair}
    every = [path for stems in by_stem for paths in stems.values() for path in paths]
    return pairs, [path for path in every if path not in paired]


def _saved_to(folder: Path, pairs: list[tuple[Path, Path]]) -> list[Task]:
    found = [Found(rainy, Path(rainy.name)) for rainy, _ in pairs]
    references = dict(pairs)
    return [
        Task(task.source, task.target, reference=references[task.source], number=task.number)
        for task in plan(found, folder)
    ]


def _evaluate_file(
    task: Task, settings: dict[str, Any], callback: Callback | None = None
) -> dict[str, Any]:
    assert task.reference is not None
    if task.target is not None:
        format_of(task.target)
    rainy, clean = read(task.source), read(task.reference)
    if rainy.pixels.shape[:2] != clean.pixels.shape[:2]:
        height, width = rainy.pixels.shape[:2]
        raise FileError(
            f"{task.source} is {width}×{height} pixels and {task.reference} "
            f"{clean.pixels.shape[1]}×{clean.pixels.shape[0]}; pairs must have one size"
        )
    result, facts = derain(rainy.pixels, settings, callback)
    derained = quantize(result.derained, rainy.pixels.dtype, rainy.pixels.dtype)
    if task.target is not None:
        make_folder(task.target.parent)
        write(task.target, derained, rainy, overwrite=True)
    return {
        "name": task.source.name,
        "psnr_before": psnr_y(rainy.pixels, clean.pixels),
        "psnr_after": psnr_y(derained, clean.pixels),
        "ssim_before": ssim_y(rainy.pixels, clean.pixels),
        "ssim_after": ssim_y(derained, clean.pixels),
        "angle": float(result.angle),
        "gap": facts.get("gap"),
    }
