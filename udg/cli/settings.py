"""Options that say how pictures are derained, and what `udg.batch.derain` gets of them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Literal

import click

from udg import PAPER_WEIGHTS, RAIN_WEIGHTS, STRIPE_WEIGHTS, Alternating, Joint, PrimalDual
from udg.cli.help import option
from udg.cli.options import (
    COUNT,
    PART,
    WEIGHT,
    Decorator,
    all_of,
    angles_or_auto,
    number_or_auto,
    strength,
    tile_size,
    under,
)
from udg.cli.running import usage_errors
from udg.errors import InvalidInput
from udg.imaging.geometry import MAX_CONVERGENCE
from udg.model.sizes import shortest_streak, widest_streak
from udg.pipeline.options import MAX_LAYERS, MIN_WORKING_SCALE, STAGES
from udg.pipeline.planning import OVERLAP, TILE

if TYPE_CHECKING:
    from udg.batch import Tiling

__all__ = ["for_method", "given", "solver", "taken", "tiles", "tiling"]

_NET_ONLY = ("weights", "adapt", "stream", "device")
_BOTH = ("angle", "rain_level", "method")


# Options


def _energy_weight(name: str, what: str) -> Decorator[Any]:
    """An option for a weight, and its defaults."""
    rain, stripes, paper = (
        f"{getattr(weights, name):g}" for weights in (RAIN_WEIGHTS, STRIPE_WEIGHTS, PAPER_WEIGHTS)
    )
    return option(
        f"--{name.replace('_', '-')}",
        type=WEIGHT,
        metavar="W",
        show_default=f"{rain}, less where contrast is low; {stripes} with --model signed; "
        f"{paper} with --method alternating",
        help=what,
    )


taken = under(
    "What is taken for rain",
    strength,
    option(
        "--angle",
        multiple=True,
        default=["auto"],
        show_default=True,
        metavar="DEG[,DEG…]|auto",
        callback=angles_or_auto,
        help="Direction of the streaks, clockwise from vertical: / is positive. Several, with "
        "commas or repeated, are taken out one after the other.",
    ),
    option(
        "--convergence",
        callback=number_or_auto(
            click.FloatRange(-MAX_CONVERGENCE, MAX_CONVERGENCE),
            f"degrees within ±{MAX_CONVERGENCE:g}",
        ),
        metavar="DEG|auto",
        show_default="auto; 0 with a given --angle or --model signed",
        help="By how much the streaks' direction changes from the middle of the picture to half "
        "its diagonal across: positive if they meet below, 0 if they are parallel.",
    ),
    option(
        "--layers",
        "n_layers",
        callback=number_or_auto(COUNT, "a whole number from 1 on"),
        metavar="N|auto",
        show_default="auto; 1 with a given --rain-level",
        help="With --angle auto: directions of rain to take out; auto as many as are found, at "
        f"most {MAX_LAYERS}.",
    ),
    option(
        "--rain-level",
        callback=number_or_auto(PART, "a number from 0 to 1"),
        metavar="L|auto",
        show_default="auto, or 1 with a given --angle",
        help="How sure it is that there is rain: 0 changes nothing, 1 is rain for certain.",
    ),
    option(
        "--widest",
        type=WEIGHT,
        metavar="PIXELS",
        show_default=f"{widest_streak(RAIN_WEIGHTS):g}, up to four times as much in haze and blur",
        help="Lines of this width and more stay. It decides --lam-r.",
    ),
    option(
        "--shortest",
        type=WEIGHT,
        metavar="PIXELS",
        show_default=f"{shortest_streak(RAIN_WEIGHTS):.1f}",
        help="Lines one pixel wide stay up to this length. It decides --lam-x.",
    ),
    option(
        "--model",
        type=click.Choice(["rain", "signed", "stripes"]),
        show_default="rain; signed with --method alternating",
        help="rain adds light; signed, or stripes: stripes, which add and take light, in any "
        "direction.",
    ),
)
solver = all_of(
    under(
        "Solver",
        option(
            "--method",
            type=click.Choice(["primal-dual", "joint", "alternating", "net"]),
            show_default="primal-dual",
            help="How the energy is minimised; net: by a trained network, see the options for it.",
        ),
        option(
            "--stages",
            type=COUNT,
            metavar="N",
            show_default=f"{STAGES}; 1 with --model signed",
            help="How often to solve: 1, which is the convex problem, or an even number, where "
            "every second stage reweights what the one before it found. 4 take longer and leave a "
            "little less rain.",
        ),
        option(
            "--working-scale",
            callback=number_or_auto(
                click.FloatRange(MIN_WORKING_SCALE, 1), "1, 0.5, 0.333, 0.25 and so on"
            ),
            metavar="PART|auto",
            show_default="auto; 1 with given weights or sizes, or --model signed",
            help="Size of the copy that is solved: 1 is the picture itself; auto makes its streaks "
            "a few pixels wide. The result has the picture's size and details all the same.",
        ),
        option(
            "--tol",
            type=WEIGHT,
            metavar="PART",
            show_default="0.01, which is 1 %",
            help="Stop at this proven relative distance from the minimum (gap).",
        ),
        option(
            "--max-iter",
            type=COUNT,
            metavar="N",
            show_default=f"{PrimalDual.default_max_iter}; joint {Joint.default_max_iter}; "
            f"alternating {Alternating().default_max_iter}",
            help="Stop after so many iterations.",
        ),
    ),
    under(
        "Weights of the energy, which --strength moves",
        _energy_weight(
            "tau",
            "Smoothness of the background. With --lam-x and --lam-y given as well, the paper's "
            "energy is minimised as it is: one stage, rain level 1, and --lam-r 0 unless given.",
        ),
        _energy_weight("lam_x", "Smoothness of rain along the streaks."),
        _energy_weight("lam_y", "Faithfulness of rain across the streaks."),
        _energy_weight("lam_r", "Sparsity of rain; higher takes less."),
    ),
    under(
        "Network, with --method net",
        option(
            "--weights",
            metavar="NAME|FILE",
            show_default="small, which comes with udg",
            help="The network, as udg train writes it. With --angle network it finds the angle as "
            "well.",
        ),
        option(
            "--adapt",
            type=click.IntRange(min=0),
            metavar="N",
            show_default="0",
            help="Steps of training on each picture.",
        ),
        option(
            "--stream",
            type=click.Choice(["rain", "background"]),
            show_default="rain",
            help="Which of its two layers gives the result.",
        ),
        option(
            "--device",
            metavar="cpu|cuda",
            show_default="a GPU if there is one",
            help="Where to compute.",
        ),
    ),
)
tiles = under(
    "Large pictures",
    option(
        "--tile",
        callback=tile_size,
        default="auto",
        show_default=True,
        metavar="SIZE|auto|off",
        help="Solve by tiles of so many pixels a side; auto only pictures above 6 megapixels, by "
        f"tiles of {TILE}.",
    ),
    option(
        "--overlap",
        type=click.IntRange(min=0),
        metavar="N",
        show_default=f"{OVERLAP}, at most a third of a tile",
        help="Pixels that neighbouring tiles share.",
    ),
    option(
        "--angle-per-tile", is_flag=True, help="Look for the direction in each tile on its own."
    ),
)


# What becomes of them


def given(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave to the library what was not said."""
    return {name: value for name, value in settings.items() if value is not None}


def for_method(settings: dict[str, Any]) -> dict[str, Any]:
    """What `udg.batch.derain` gets of the options; those of the other method are refused."""
    net = settings["method"] == "net"
    for name in given(settings):
        if (name in _NET_ONLY) != net and name not in _BOTH:
            raise click.UsageError(f"{_option_of(name)} is {'not ' if net else ''}for --method net")
    if net:
        return _for_net(settings)
    if settings["angle"] == "network":
        raise click.UsageError("--angle network is for --method net")
    if settings["n_layers"] not in (None, 1) and settings["angle"] != "auto":
        raise click.UsageError("--layers looks for directions, --angle gives them; use one of them")
    chosen = given(settings)
    _check_for_all(chosen)
    return chosen


def _check_for_all(chosen: dict[str, Any]) -> None:
    """Refuse what the solver would refuse for every picture, before any is read."""
    from udg.pipeline.options import resolve

    try:
        resolve(**chosen)
    except InvalidInput as error:
        raise click.UsageError(_in_options(str(error))) from error


def _option_of(argument: str) -> str:
    """The option for an argument of the library."""
    return "--" + {"n_layers": "layers"}.get(argument, argument).replace("_", "-")


def _in_options(message: str) -> str:
    """What the library says of its arguments, said of the options for them."""
    message = re.sub(r"\b(\w+)='([\w-]+)'", lambda m: f"{_option_of(m[1])} {m[2]}", message)
    return re.sub(
        r"^\w+(?= (is|decides|above)\b)|\b(lam_[xyr]|n_layers|max_iter|rain_level)\b",
        lambda m: _option_of(m[0]),
        message,
    )


def _for_net(settings: dict[str, Any]) -> dict[str, Any]:
    """What `udg.net.derain` gets, once the network is known to be there."""
    from udg import batch

    settings["weights"] = settings["weights"] or "small"
    if isinstance(settings["angle"], list):
        raise click.UsageError("--method net takes out rain of one direction; give one angle")
    if isinstance(settings["angle"], float):
        _check_for_all({"angle": settings["angle"]})
    if settings["adapt"] and settings["angle"] == "network":
        raise click.UsageError("--adapt needs an angle; give it, or --angle auto")
    with usage_errors():
        batch.load_network(settings["weights"], settings["device"])
    return given({**settings, "output": settings["stream"], "stream": None})


def tiling(tile: int | Literal["auto", "off"], overlap: int | None, angle_per_tile: bool) -> Tiling:
    """Which pictures are solved by tiles, checked before anything is read."""
    from udg import batch
    from udg.pipeline.planning import plan

    if tile == "off" and (overlap is not None or angle_per_tile):
        raise click.UsageError("--overlap and --angle-per-tile need tiles; leave out --tile off")
    sides = given({"overlap": overlap}) | ({"tile": tile} if isinstance(tile, int) else {})
    with usage_errors():
        plan((1, 1), **sides)
    above = (
        {"auto": batch.LARGE, "off": math.inf}.get(tile, 0) if isinstance(tile, str) else tile**2
    )
    return batch.Tiling(above=above, angle_per_tile=angle_per_tile, **sides)
