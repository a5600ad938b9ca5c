"""Many files: finding them, working on them in processes or on a cluster, reporting.

No command-line words and no mathematics: the work on one picture is the pipeline's.
"""

from udg.batch.jobs import (
    LARGE,
    Found,
    Outcome,
    Task,
    Tiling,
    angle_file,
    derain,
    derain_file,
    expand,
    facts_of,
    is_picture,
    load_network,
    make_folder,
    pending,
    plan,
    run,
    synthesize_file,
    view_file,
)

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
    "view_file",
]
