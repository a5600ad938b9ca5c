"""Remove rain streaks and stripes from a single image, without training data."""

from typing import TYPE_CHECKING

from udg._version import __version__
from udg.admm import Alternating, Joint
from udg.angle import Angle, estimate_angle
from udg.blocks import LazyResult, solve_blocks
from udg.errors import (
    ClusterError,
    Diverged,
    FileError,
    InvalidImage,
    InvalidInput,
    MissingExtra,
    UdgError,
)
from udg.iteration import Checkpoint, minimize, minimize_batch
from udg.metrics import niqe, psnr_rgb, psnr_y, ssim_y
from udg.objective import PAPER_WEIGHTS, RAIN_WEIGHTS, STRIPE_WEIGHTS, Problem, Weights, objective
from udg.primal_dual import PrimalDual
from udg.rain import Synthetic, render_streaks, synthesize
from udg.settings import PAPER
from udg.solver import Result, Solved, solve
from udg.tiles import TiledResult, solve_tiles

if TYPE_CHECKING:
    from udg import net as net
    from udg import plot as plot
else:

    def __getattr__(name):
        """`udg.net` and `udg.plot` on first use: nothing else here needs torch or matplotlib."""
        if name in ("net", "plot"):
            import importlib

            return importlib.import_module(f"udg.{name}")
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
    "Result",
    "Solved",
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
