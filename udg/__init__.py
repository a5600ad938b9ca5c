"""Remove rain streaks and stripes from a single image, without training data."""

from typing import TYPE_CHECKING

from udg._version import __version__
from udg.admm import Alternating, Joint
from udg.detection.angle import Angle, estimate_angle
from udg.errors import (
    ClusterError,
    Diverged,
    FileError,
    InvalidImage,
    InvalidInput,
    MissingExtra,
    UdgError,
)
from udg.model.energy import (
    PAPER_WEIGHTS,
    RAIN_WEIGHTS,
    STRIPE_WEIGHTS,
    Problem,
    Weights,
    objective,
)
from udg.optim.loop import Checkpoint, minimize
from udg.pipeline.dask import LazyResult, solve_blocks
from udg.pipeline.options import PAPER
from udg.pipeline.progress import Progress
from udg.pipeline.stages import StageResult
from udg.pipeline.tiles import TiledResult, solve_tiles
from udg.pipeline.whole import Result, Solved, solve
from udg.primal_dual import PrimalDual
from udg.primal_dual.batch import minimize_batch
from udg.quality.metrics import niqe, psnr_rgb, psnr_y, ssim_y
from udg.quality.synthesis import Synthetic, render_streaks, synthesize

if TYPE_CHECKING:
    from udg import net as net
    from udg.viz import plot as plot
else:

    def __getattr__(name):
        """`udg.net` and `udg.plot` on first use: nothing else here needs torch or matplotlib."""
        if name in ("net", "plot"):
            import importlib

            return importlib.import_module({"net": "udg.net", "plot": "udg.viz.plot"}[name])
        raise AttributeError(f"module 'udg' has no attribute {name!r}")


__all__ = [
    "PAPER",
    "PAPER_WEIGHTS",
    "RAIN_WEIGHTS",
    "STRIPE_WEIGHTS",
    "Alternating",
    "Angle",
    "Checkpoint",
    "ClusterError",
    "Diverged",
    "FileError",
    "InvalidImage",
    "InvalidInput",
    "Joint",
    "LazyResult",
    "MissingExtra",
    "PrimalDual",
    "Problem",
    "Progress",
    "Result",
    "Solved",
    "StageResult",
    "Synthetic",
    "TiledResult",
    "UdgError",
    "Weights",
    "__version__",
    "estimate_angle",
    "minimize",
    "minimize_batch",
    "niqe",
    "objective",
    "psnr_rgb",
    "psnr_y",
    "render_streaks",
    "solve",
    "solve_blocks",
    "solve_tiles",
    "ssim_y",
    "synthesize",
]
