"""Many files: finding them, working on them in processes or on a cluster, reporting.

No command-line words and no mathematics: the work on one picture is the pipeline's.
"""

from udg.batch.jobs import Outcome, run, usual_jobs
from udg.batch.planning import Task, pending, plan
from udg.batch.views import view_file
from udg.batch.work import (
    LARGE,
    Tiling,
    angle_file,
    derain,
    derain_file,
    facts_of,
    load_network,
    synthesize_file,
)
from udg.io.paths import Found, expand, is_picture, make_folder

__all__ = [
    "LARGE",
    "Found",
    "Outcome",
    "Task",
    "Tiling",
    "angle_file",
    "derain",
    "derain_file",
    "expand",
    "facts_of",
    "is_picture",
    "load_network",
    "make_folder",
    "pending",
    "plan",
    "run",
    "synthesize_file",
    "usual_jobs",
    "view_file",
]
