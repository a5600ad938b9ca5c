"""The command line: ``udg derain | demo | angle | synthesize | evaluate | train | app``.

Results go to stdout, everything else to stderr. The exit code is 0 if all went well, 1 if some
files failed, 2 if the command itself was wrong, and 130 after Ctrl-C. Imports that take time wait
until a command needs them.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from udg import (
    PAPER_WEIGHTS,
    RAIN_WEIGHTS,
    STRIPE_WEIGHTS,
    Alternating,
    Joint,
    PrimalDual,
    _compiling,
)
from udg._version import __version__
from udg.errors import InvalidInput, UdgError
from udg.pipeline.options import MOST_LAYERS, shortest_streak, widest_streak
from udg.pipeline.tiles import OVERLAP, TILE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from udg.batch import Outcome, Task
    from udg.batch.evaluation import Evaluation
    from udg.net import Progress

__all__ = ["main"]

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[F], F]


# How commands present themselves


class _Option(click.Option):
    """An option whose default may be words: what it is left to, or what it depends on."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default  # click puts it in parentheses
        return extra


class _Command(click.Command):
    """A command whose options stand under headings, and that helps with a wrong call."""

    def sections(self, context: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Options and what they do, as click words them, by heading."""
        found: dict[str, list[tuple[str, str]]] = {}
        options = [one for one in self.get_params(context) if isinstance(one, click.Option)]
        other = "Other" if any(hasattr(option, "heading") for option in options) else "Options"
        for option in options:
            record = option.get_help_record(context)
            if record is not None:
                found.setdefault(getattr(option, "heading", other), []).append(record)
        return found

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, records in self.sections(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            raise click.MissingParameter(
                self.epilog, error.ctx, error.param, error.param_hint, error.param_type
            ) from None
        except click.NoSuchOption as error:
            if error.possibilities:  # best first
                raise click.NoSuchOption(
                    error.option_name, possibilities=error.possibilities[:1], ctx=ctx
                ) from None
            raise


class _Group(click.Group):
    command_class = _Command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="udg")
def main() -> None:
    """Remove rain streaks and stripes from single pictures, without training data."""


# Options that commands share


def _angles_or_auto(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> float | list[float] | str:
    parts = [part.strip() for value in values for part in value.split(",")]
    if parts in (["auto"], ["network"]):
        return parts[0]
    try:
        degrees = [float(part) for part in parts]
    except ValueError:
        degrees = [math.nan]
    if not all(map(math.isfinite, degrees)):
        raise click.BadParameter("give a number of degrees, or auto; several with commas")
    return degrees[0] if len(degrees) == 1 else degrees


def _or_auto(
    numbers: click.FloatRange | click.IntRange, in_words: str
) -> Callable[..., float | str | None]:
    """Take what a range of numbers takes, or the word auto."""

    def convert(
        context: click.Context, option: click.Parameter, value: str | None
    ) -> float | str | None:
        if value is None or value == "auto":
            return value
        try:
            number: float = numbers(value, option, context)
        except click.BadParameter:
            number = math.nan
        if not math.isfinite(number):
            raise click.BadParameter(f"{value!r} cannot be used; give {in_words}, or auto")
        return number

    return convert


def _tile_size(
    context: click.Context, option: click.Parameter, value: str
) -> int | Literal["auto", "off"]:
    if value in ("auto", "off"):
        return value  # type: ignore[return-value]
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value} is not a number of pixels, auto or off") from None


def _all_of(*options: Option[Any]) -> Option[Any]:
    return lambda command: functools.reduce(lambda f, option: option(f), reversed(options), command)


def _under(heading: str, *options: Option[Any]) -> Option[Any]:
    """Options that stand together in the help."""

    def decorate(command: Any) -> Any:
        known = len(getattr(command, "__click_params__", ()))
        command = _all_of(*options)(command)
        for option in command.__click_params__[known:]:
            option.heading = heading
        return command

    return decorate


_option = functools.partial(click.option, cls=_Option)

_path = click.Path(path_type=Path)
_weight = click.FloatRange(min=0)
_part = click.FloatRange(0, 1)

_inputs = click.argument("inputs", nargs=-1, required=True, type=_path, metavar="IN...")
_output = _option(
    "-o", "--output", required=True, type=_path, help="File for one picture, folder for several."
)
_recursive = _option("--recursive", is_flag=True, help="Search folders in folders too.")
_json = _option(
    "--json", "report", type=_path, metavar="FILE|-", help="Write results as JSON; - is stdout."
)
_page = _option(
    "--report",
    "page",
    type=_path,
    metavar="FILE.html",
    help="Write a page with all pictures, before and after: one file, for any browser.",
)
_overwrite = _option("--overwrite", is_flag=True, help="Replace existing files.")
_resume = _option("--resume", is_flag=True, help="Skip pictures whose results exist.")
_save_rain = _option(
    "--save-rain", is_flag=True, help="Write the rain, <name>_rain.png, 16-bit grey."
)
_jobs = _option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    default=1,
    show_default=True,
    help="Pictures to work on at once, each with its share of the cores.",
)
_dask = _option(
    "--dask",
    metavar="tcp://HOST:PORT",
    help="Have the workers of this Dask scheduler do it, instead of --jobs. They must see the "
    "pictures under the same paths as this machine.",
)
_quiet = _option("-q", "--quiet", is_flag=True, help="Show failures only.")
_debug = _option("--debug", is_flag=True, help="Show where errors come from.")
_strength = _option(
    "--strength",
    type=_part,
    metavar="S",
    show_default="0.5",
    help="Higher takes more, streaks and details alike.",
)


def _energy_weight(name: str, what: str) -> Option[Any]:
    """An option for a weight, and its defaults."""
    rain, stripes, paper = (
        f"{getattr(weights, name):g}" for weights in (RAIN_WEIGHTS, STRIPE_WEIGHTS, PAPER_WEIGHTS)
    )
    return _option(
        f"--{name.replace('_', '-')}",
        type=_weight,
        metavar="W",
        show_default=f"{rain}, less where contrast is low; {stripes} with --model signed; "
        f"{paper} with --method alternating",
        help=what,
    )


_taken = _under(
    "What is taken for rain",
    _strength,
    _option(
        "--angle",
        multiple=True,
        default=["auto"],
        show_default=True,
        metavar="DEG[,DEG…]|auto",
        callback=_angles_or_auto,
        help="Direction of the streaks, clockwise from vertical: / is positive. Several, with "
        "commas or repeated, are taken out one after the other.",
    ),
    _option(
        "--layers",
        "n_layers",
        callback=_or_auto(click.IntRange(min=1), "a whole number from 1 on"),
        metavar="N|auto",
        show_default="auto; 1 with a given --rain-level",
        help="With --angle auto: directions of rain to take out; auto as many as are found, at "
        f"most {MOST_LAYERS}.",
    ),
    _option(
        "--rain-level",
        callback=_or_auto(_part, "a number from 0 to 1"),
        metavar="L|auto",
        show_default="auto, or 1 with a given --angle",
        help="How sure it is that there is rain: 0 changes nothing, 1 is rain for certain.",
    ),
    _option(
        "--widest",
        type=_weight,
        metavar="PIXELS",
        show_default=f"{widest_streak(RAIN_WEIGHTS):g}, up to four times as much in haze and blur",
        help="Lines of this width and more stay. It decides --lam-r.",
    ),
    _option(
        "--shortest",
        type=_weight,
        metavar="PIXELS",
        show_default=f"{shortest_streak(RAIN_WEIGHTS):.1f}",
        help="Lines one pixel wide stay up to this length. It decides --lam-x.",
    ),
    _option(
        "--model",
        type=click.Choice(["rain", "signed"]),
        show_default="rain; signed with --method alternating",
        help="rain adds light; signed: stripes, which add and take light, in any direction.",
    ),
)
_solver = _all_of(
    _under(
        "Solver",
        _option(
            "--method",
            type=click.Choice(["primal-dual", "joint", "alternating", "net"]),
            show_default="primal-dual",
            help="How the energy is minimised; net: by a trained network, see the options for it.",
        ),
        _option(
            "--passes",
            type=click.IntRange(min=1),
            metavar="N",
            show_default="4; 1 with --model signed",
            help="How often to solve, every second time with sparsity_maps from the pass before; two of "
            "them go faster and leave a little more rain, 1 is the convex problem.",
        ),
        _option(
            "--tol",
            type=_weight,
            metavar="PART",
            show_default="0.01, which is 1 %",
            help="Stop at this proven relative distance from the minimum (gap).",
        ),
        _option(
            "--max-iter",
            type=click.IntRange(min=1),
            metavar="N",
            show_default=f"{PrimalDual.default_max_iter}; joint {Joint.default_max_iter}; "
            f"alternating {Alternating().default_max_iter}",
            help="Stop after so many iterations.",
        ),
    ),
    _under(
        "Weights of the energy, which --strength moves",
        _energy_weight("tau", "Smoothness of the background."),
        _energy_weight("lam_x", "Smoothness of rain along the streaks."),
        _energy_weight("lam_y", "Faithfulness of rain across the streaks."),
        _energy_weight("lam_r", "Sparsity of rain; higher takes less."),
    ),
    _under(
        "Network, with --method net",
        _option(
            "--weights",
            metavar="NAME|FILE",
            show_default="small, which comes with udg",
            help="The network, as udg train writes it. With --angle network it finds the angle as "
            "well.",
        ),
        _option(
            "--adapt",
            type=click.IntRange(min=0),
            metavar="N",
            show_default="0",
            help="Steps of training on each picture.",
        ),
        _option(
            "--stream",
            type=click.Choice(["rain", "background"]),
            show_default="rain",
            help="Which of its two layers gives the result.",
        ),
        _option(
            "--device",
            metavar="cpu|cuda",
            show_default="a GPU if there is one",
            help="Where to compute.",
        ),
    ),
)
_NET_ONLY = ("weights", "adapt", "stream", "device")
_BOTH = ("angle", "rain_level", "method")
_WIDE, _LONGEST = 110, 40  # columns: of terminals that have room for results; of a name
_tiles = _under(
    "Large pictures",
    _option(
        "--tile",
        callback=_tile_size,
        default="auto",
        show_default=True,
        metavar="SIZE|auto|off",
        help="Solve by tiles of so many pixels a side; auto only pictures above 16 megapixels, by "
        f"tiles of {TILE}.",
    ),
    _option(
        "--overlap",
        type=click.IntRange(min=0),
        metavar="N",
        show_default=f"{OVERLAP}, at most a third of a tile",
        help="Pixels that neighbouring tiles share.",
    ),
    _option(
        "--angle-per-tile", is_flag=True, help="Look for the direction in each tile on its own."
    ),
)


def _given(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave to the library what was not said."""
    return {name: value for name, value in settings.items() if value is not None}


def _for_method(settings: dict[str, Any]) -> dict[str, Any]:
    """What `batch.derain` gets of the options; those of the other method are refused."""
    net = settings["method"] == "net"
    for name in _given(settings):
        if (name in _NET_ONLY) != net and name not in _BOTH:
            raise click.UsageError(f"{_option_of(name)} is {'not ' if net else ''}for --method net")
    if net:
        return _for_net(settings)
    if settings["angle"] == "network":
        raise click.UsageError("--angle network is for --method net")
    if settings["n_layers"] not in (None, 1) and settings["angle"] != "auto":
        raise click.UsageError("--layers looks for directions, --angle gives them; use one of them")
    given = _given(settings)
    _check_for_all(given)
    return given


def _check_for_all(given: dict[str, Any]) -> None:
    """Refuse what the solver would refuse for every picture, before any is read."""
    from udg.pipeline.options import given_direction, understood

    weights = {name: given.get(name) for name in ("tau", "lam_x", "lam_y", "lam_r")}
    rest = {name: value for name, value in given.items() if name not in weights}
    try:
        asked = understood(weights, **rest)
        for angle in asked.angles:
            if angle != "auto":
                given_direction(asked.settings, angle)
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
    with _usage_errors():
        batch.load_network(settings["weights"], settings["device"])
    return _given({**settings, "output": settings["stream"], "stream": None})


def _tiling(tile: int | Literal["auto", "off"], overlap: int | None, angle_per_tile: bool) -> Any:
    """Which pictures are solved by tiles, checked before anything is read."""
    from udg import batch
    from udg.pipeline.tiles import plan

    if tile == "off" and (overlap is not None or angle_per_tile):
        raise click.UsageError("--overlap and --angle-per-tile need tiles; leave out --tile off")
    given = _given({"overlap": overlap}) | ({"tile": tile} if isinstance(tile, int) else {})
    with _usage_errors():
        plan((1, 1), **given)
    above = (
        {"auto": batch.LARGE, "off": math.inf}.get(tile, 0) if isinstance(tile, str) else tile**2
    )
    return batch.Tiling(above=above, angle_per_tile=angle_per_tile, **given)


# Commands


@main.command(epilog="For example: udg derain rainy.jpg -o derained.jpg")
@_inputs
@_under("Input and output", _output, _save_rain, _recursive, _resume, _overwrite)
@_taken
@_solver
@_tiles
@_under("Many pictures", _jobs, _dask)
@_under("Reports", _json, _page, _quiet, _debug)
def derain(
    inputs: tuple[Path, ...],
    output: Path,
    tile: int | Literal["auto", "off"],
    overlap: int | None,
    angle_per_tile: bool,
    save_rain: bool,
    recursive: bool,
    report: Path | None,
    page: Path | None,
    jobs: int,
    dask: str | None,
    resume: bool,
    overwrite: bool,
    quiet: bool,
    debug: bool,
    **settings: Any,
) -> None:
    """Remove rain from pictures.

    IN are files, folders and patterns such as "*.jpg". Results have the names, format and bit depth
    of their inputs, with colour profile and EXIF, unless --output names a file of another format.
    A picture without rain is written as it is. Large ones are solved by tiles, in less memory;
    TIFF and zarr are then read and written piece by piece.
    """
    with _plain_exits(debug):
        from udg import batch

        chosen = _for_method(settings)
        tiling = _tiling(tile, overlap, angle_per_tile)
        if chosen.get("method") == "net":
            if overlap is not None or angle_per_tile:
                raise click.UsageError("--overlap and --angle-per-tile are not for --method net")
            chosen["tile"] = None if tile == "off" else tile
        one = chosen["angle"] == "auto" and chosen.get("n_layers", 1) == 1
        if angle_per_tile and not one:
            raise click.UsageError("--angle-per-tile is for --angle auto and one layer")
        todo, done = _plan(inputs, output, save_rain, recursive, overwrite, resume)
        limit = _page_budget(page, [*todo, *done])
        work = functools.partial(batch.derain_file, settings=chosen, tiling=tiling, view=limit)
        with _compiling_said(quiet, report):
            outcomes, interrupted = _run(todo, work, quiet, jobs, dask, parts=True)
        if not quiet and report != Path("-"):
            _print_derained(outcomes, chosen)
        _write_report(report, _as_json(outcomes, done, interrupted))
        left = len(todo) - len(outcomes)
        if page is not None:
            cluster = {"jobs": jobs, "dask": dask}
            _write_page(page, outcomes, done, chosen, left, interrupted, quiet, **cluster)
        _finish(outcomes, quiet, debug, interrupted, done=len(done), left=left)


@main.command(short_help="Try it on a picture that comes with udg.")
@_option(
    "-o", "--output", type=_path, default="udg-demo.png", show_default=True, help="PNG to write."
)
@_strength
@_overwrite
@_quiet
@_debug
def demo(output: Path, strength: float | None, overwrite: bool, quiet: bool, debug: bool) -> None:
    """Derain a picture that comes with udg and show input, result and rain side by side."""
    with _plain_exits(debug):
        from importlib import resources

        import udg
        from udg.io import raster
        from udg.viz.preview import percent

        if output.exists() and not overwrite:
            raise click.UsageError(f"{output} already exists; replace it with --overwrite")
        with resources.as_file(resources.files("udg") / "assets" / "demo.png") as path:
            picture = raster.read(path)
        started = time.perf_counter()
        with _compiling_said(quiet):
            result = udg.solve(picture.pixels, **_given({"strength": strength}))
        seconds = time.perf_counter() - started
        panels, gain = _side_by_side(picture.pixels, result.derained, result.rain)
        raster.write(output, panels, overwrite=overwrite)
        if not quiet:
            brighter = f", shown {gain:.1f}× brighter" if gain > 1 else ""
            click.echo(f"{output.resolve()}: input | derained | rain{brighter}")
            click.echo(
                f"angle {result.angle:.1f}°, rain level {result.rain_level:.2f}, {seconds:.1f} s, "
                f"at most {percent(result.gap)} above the minimum (gap)"
            )


@main.command(
    short_help="Find the direction of the streaks.", epilog="For example: udg angle rainy.jpg"
)
@_inputs
@_option(
    "--method",
    type=click.Choice(["spectrum", "tilt"]),
    default="spectrum",
    show_default=True,
    help="tilt: the paper's, slower and less exact.",
)
@_recursive
@_json
@_jobs
@_dask
@_quiet
@_debug
def angle(
    inputs: tuple[Path, ...],
    method: str,
    recursive: bool,
    report: Path | None,
    jobs: int,
    dask: str | None,
    quiet: bool,
    debug: bool,
) -> None:
    """Estimate the direction of the streaks, in degrees clockwise from vertical."""
    with _plain_exits(debug):
        from udg import batch

        with _usage_errors():
            found = batch.expand(inputs, recursive=recursive)
        tasks = [batch.Task(one.path, number=number) for number, one in enumerate(found)]
        work = functools.partial(batch.angle_file, settings={"method": method})
        outcomes, interrupted = _run(tasks, work, quiet, jobs, dask)
        if report != Path("-"):
            _print_table(
                ["picture", "angle", "confidence"],
                [
                    [
                        str(outcome.task.source),
                        f"{outcome.facts['angle']:.1f}",
                        _rounded(outcome.facts["confidence"], ".2f"),
                    ]
                    for outcome in outcomes
                    if outcome.error is None
                ],
            )
        _write_report(report, _as_json(outcomes, [], interrupted))
        _finish(outcomes, quiet, debug, interrupted)


@main.command(epilog="For example: udg synthesize clean.png -o rainy.png --angle 12")
@_inputs
@_under("Input and output", _output, _save_rain, _recursive, _overwrite)
@_under(
    "Rain",
    _option(
        "--angle",
        type=float,
        metavar="DEG",
        show_default="0",
        help="Direction of the streaks, clockwise from vertical.",
    ),
    _option(
        "--length",
        type=_weight,
        metavar="PIXELS",
        show_default="30",
        help="Length of a typical streak.",
    ),
    _option(
        "--width",
        type=_weight,
        metavar="PIXELS",
        show_default="1.5",
        help="Width of a typical streak.",
    ),
    _option(
        "--density",
        type=_part,
        metavar="PART",
        show_default="0.08",
        help="Part of the picture under streaks.",
    ),
    _option(
        "--intensity",
        type=_part,
        metavar="LIGHT",
        show_default="0.5",
        help="Brightness of the brightest streaks.",
    ),
    _option(
        "--blend",
        type=click.Choice(["screen", "add"]),
        show_default="screen",
        help="How light adds up.",
    ),
    _option(
        "--seed",
        type=click.IntRange(min=0),
        metavar="N",
        default=0,
        show_default=True,
        help="Of the first picture; the next ones count on.",
    ),
)
@_under("Messages", _quiet, _debug)
def synthesize(
    inputs: tuple[Path, ...],
    output: Path,
    save_rain: bool,
    recursive: bool,
    overwrite: bool,
    quiet: bool,
    debug: bool,
    **settings: Any,
) -> None:
    """Put rain on clean pictures."""
    with _plain_exits(debug):
        from udg import batch

        tasks, _ = _plan(inputs, output, save_rain, recursive, overwrite, resume=False)
        work = functools.partial(batch.synthesize_file, settings=_given(settings))
        outcomes, interrupted = _run(tasks, work, quiet)
        if not quiet:
            _print_table(
                ["picture", "result", "seed"],
                [
                    [
                        str(outcome.task.source),
                        str(outcome.task.target),
                        str(outcome.facts["seed"]),
                    ]
                    for outcome in outcomes
                    if outcome.error is None
                ],
            )
        _finish(outcomes, quiet, debug, interrupted)


@main.command(
    short_help="Derain pairs of pictures and measure.",
    epilog="For example: udg evaluate pairs/, which holds pairs/rainy and pairs/clean",
)
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_under(
    "Input and output",
    _option("--save", type=_path, metavar="DIR", help="Keep the derained pictures there."),
    _overwrite,
)
@_taken
@_solver
@_under("Many pictures", _jobs)
@_under("Reports", _json, _quiet, _debug)
def evaluate(
    folder: Path,
    save: Path | None,
    report: Path | None,
    jobs: int,
    overwrite: bool,
    quiet: bool,
    debug: bool,
    **settings: Any,
) -> None:
    """Derain FOLDER/rainy and compare with FOLDER/clean; pairs have the same name.

    PSNR and SSIM are measured on luma 16-235 (MATLAB's rgb2ycbcr).
    """
    with _plain_exits(debug), _usage_errors():
        from udg.batch.evaluation import evaluate, find_pairs

        chosen = _for_method(settings)
        count = len(find_pairs(folder)[0])
        with _compiling_said(quiet, report), _progress(count, quiet) as (outcomes, collect, _):
            result = evaluate(
                folder,
                jobs=jobs,
                save=save,
                overwrite=overwrite,
                report=collect,
                **chosen,
            )
        if report != Path("-"):
            _print_scores(result, quiet)
        _write_report(report, result.as_dict())
        succeeded = [outcome for outcome in outcomes if outcome.error is None]
        _finish([*succeeded, *result.failures], quiet, debug, interrupted=False)


def _either(*kinds: click.ParamType[Any]) -> Callable[..., Any]:
    """Take the first kind of value that fits."""

    def convert(context: click.Context, option: click.Parameter, value: str | None) -> Any:
        if value is None:
            return None
        for kind in kinds[:-1]:
            try:
                return kind(value, option, context)
            except click.BadParameter:
                continue
        return kinds[-1](value, option, context)

    return convert


_count = click.IntRange(min=1)
_some = click.IntRange(min=0)
_number = click.FloatRange(min=0)


@main.command(
    short_help="Train a network on rainy pictures.",
    epilog="For example: udg train photos/ -o run/",
)
@_inputs
@_under(
    "Input and output",
    _option("-o", "--output", "run", required=True, type=_path, help="Folder of the run."),
    _recursive,
    _option(
        "--angles",
        callback=_either(click.FLOAT, _path),
        metavar="DEG|FILE",
        show_default="estimated",
        help="Direction of the streaks, or a CSV of file names and directions.",
    ),
    _option(
        "--clean",
        type=_path,
        metavar="DIR",
        help="Folder of clean pictures of other scenes (adversarial).",
    ),
    _option("--resume", is_flag=True, help="Go on with the run in RUN; begin it if there is none."),
)
@_under(
    "Where to begin",
    _option(
        "--config",
        metavar="paper|authors|single|FILE",
        show_default="paper; single for one picture",
        help="Settings to begin with, by name or from a config.json: the defaults of what is "
        "below, down to --seed.",
    ),
    _option("--start", metavar="NAME|FILE", help="Weights to begin with."),
)
@_under(
    "Network",
    _option(
        "--channels",
        type=click.IntRange(1, 3),
        metavar="N",
        help="3: colours; 1: the darkest channel.",
    ),
    _option("--width", type=_count, metavar="N", help="Channels within the streams."),
    _option("--depth", type=_count, metavar="N", help="Residual blocks of each stream."),
    _option(
        "--streams",
        type=click.Choice(["both", "rain", "background"]),
        help="Which of them to train.",
    ),
    _option(
        "--norm",
        type=click.Choice(["batch", "fixed"]),
        help="Batch normalisation by each batch's statistics (the paper's), or without; use fixed "
        "for small batches of different pictures.",
    ),
)
@_under(
    "Loss",
    _option(
        "--loss",
        metavar="paper|authors|energy|table5:N",
        help="Terms of the loss and their weights.",
    ),
    _option(
        "--envelope",
        type=_number,
        metavar="γ",
        help="Descend on the energy's envelope of this γ; 0: on the energy itself.",
    ),
    _option("--envelope-iterations", type=_count, metavar="N", help="For each proximal point."),
    _option(
        "--reweight",
        type=_part,
        metavar="PART",
        help="Part of the steps before found rain is freed.",
    ),
    _option(
        "--distill",
        type=_number,
        metavar="W",
        help="Weight of the distance from the solver's result.",
    ),
    _option("--distill-norm", type=click.Choice(["l1", "l2"]), help="How it is measured."),
    _option("--distill-steps", type=_some, metavar="N", help="Steps with that loss alone."),
    _option(
        "--distill-blend",
        type=_some,
        metavar="N",
        help="Steps in which the energy takes its place.",
    ),
)
@_under(
    "Steps",
    _option("--steps", type=_count, metavar="N", help="Batches to train on."),
    _option("--batch", type=_count, metavar="N", help="Crops in each."),
    _option("--crop", type=_count, metavar="PIXELS", help="Their side."),
    _option("--lr", type=_number, metavar="RATE", help="Learning rate."),
    _option(
        "--schedule",
        type=click.Choice(["steps", "cosine", "constant"]),
        help="How the learning rate falls.",
    ),
    _option(
        "--clip",
        type=_number,
        metavar="NORM",
        help="Norm to which the gradient is cut; 0 leaves it.",
    ),
    _option(
        "--ema",
        type=_number,
        metavar="FACTOR",
        help="Factor of the weights' moving average; 0: none.",
    ),
    _option(
        "--angle-steps", type=_some, metavar="N", help="Steps for the angle network alone, first."
    ),
    _option(
        "--angle-turn",
        type=_number,
        metavar="DEG",
        help="Degrees by which crops are turned for it.",
    ),
    _option(
        "--precision",
        type=click.Choice(["auto", "float32", "bfloat16"]),
        help="Of the streams; auto: bfloat16 on GPUs, else float32.",
    ),
    _option("--seed", type=_some, metavar="N", help="Of the weights and the crops."),
)
@_under(
    "Machine and time",
    _option("--device", metavar="cpu|cuda", show_default="a GPU if any", help="Where to compute."),
    _option("--threads", type=_count, metavar="N", show_default="all cores", help="Of the CPU."),
    _option(
        "--compile/--no-compile",
        default=None,
        show_default="on GPUs",
        help="Whether to use torch.compile.",
    ),
    _option(
        "--max-minutes",
        type=_number,
        metavar="N",
        show_default="no limit",
        help="Stop after so long, to be resumed.",
    ),
    _option(
        "--checkpoint-minutes",
        type=_number,
        metavar="N",
        default=10,
        show_default=True,
        help="Time between two checkpoints.",
    ),
)
@_under("Messages", _quiet, _debug)
def train(
    inputs: tuple[Path, ...],
    run: Path,
    recursive: bool,
    config: str | None,
    angles: float | Path | None,
    clean: Path | None,
    start: str | None,
    device: str | None,
    threads: int | None,
    compile: bool | None,
    max_minutes: float | None,
    checkpoint_minutes: float,
    resume: bool,
    quiet: bool,
    debug: bool,
    **changes: Any,
) -> None:
    """Train a network on rainy pictures; no clean versions of them are needed.

    IN are files, folders and patterns; one picture is enough. RUN gets weights.safetensors, for
    udg derain --method net, a checkpoint, log.csv and pictures. Ctrl-C stops with a checkpoint;
    the same command with --resume goes on. Several GPUs: torchrun --nproc-per-node N -m udg train …
    """
    first = os.environ.get("RANK", "0") == "0"  # of several processes
    hint = "udg: the same command with --resume goes on from there"
    with _plain_exits(debug, hint), _usage_errors():
        from udg import batch, net

        if changes["streams"] is not None:
            both = changes["streams"] == "both"
            changes["streams"] = ("background", "rain") if both else (changes["streams"],)
        begin: Any = config
        if config is not None and config not in net.PRESETS:
            begin = net.TrainConfig.from_json(_read_text(Path(config)))
        pictures = [one.path for one in batch.expand(inputs, recursive=recursive, outside=run)]
        silent = quiet or not first
        with _compiling_said(silent), _steps(silent) as advance:
            result = net.train(
                pictures,
                run,
                begin,
                angles=angles,
                clean=clean,
                start=start,
                resume=resume,
                device=device,
                threads=threads,
                max_minutes=max_minutes,
                checkpoint_minutes=checkpoint_minutes,
                compile=compile,
                callback=advance,
                **_given(changes),
            )
    if first and not quiet:
        loss = f", loss {result.history[-1]['loss']:.4g}" if result.history else ""
        click.echo(f"{run / 'weights.safetensors'}: {result.steps} steps{loss}")
        if not result.finished:
            click.echo(f"udg: stopped before step {result.config.steps}", err=True)
            click.echo(hint, err=True)


@main.command()
@_option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; 0.0.0.0 lets other machines in.",
)
@_option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    show_default="the first free one from 7860 on",
    help="Port to listen at.",
)
@_option("--open", "open_browser", is_flag=True, help="Show the page in the browser.")
@_option(
    "--max-megabytes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=256,
    show_default=True,
    help="Refuse larger files.",
)
@_option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=100,
    show_default=True,
    help="Refuse larger photos.",
)
@_debug
def app(
    host: str,
    port: int | None,
    open_browser: bool,
    max_megabytes: float,
    max_megapixels: float,
    debug: bool,
) -> None:
    """Derain photos in a browser: compare, adjust, download.

    Runs on this machine and needs no network. Photos are deleted when their page is closed. One
    is worked on at a time; others wait in line. Ctrl-C ends it.
    """
    with _plain_exits(debug), _usage_errors():
        from udg.app import server
        from udg.app.session import Limits

        def ready(url: str) -> None:
            click.echo(f"udg: open {url} in a browser; Ctrl-C ends it", err=True)
            if host not in ("127.0.0.1", "localhost", "::1"):
                click.echo("udg: whoever can reach this machine can use it", err=True)

        with _compiling_said(quiet=False):
            server.serve(
                host,
                port,
                open_browser=open_browser,
                limits=Limits(max_megabytes, max_megapixels),
                ready=ready,
            )


# Steps


@contextmanager
def _compiling_said(quiet: bool, report: Path | None = None) -> Iterator[None]:
    """Say why the first picture takes so long, if kernels have to be compiled for it."""

    def say() -> None:
        if not quiet and report != Path("-"):
            # Not by click, which would write past the progress bar that holds stderr.
            sys.stderr.write("udg: compiling, once on this machine; some 15 s …\n")

    with _compiling.told(say):
        yield


def _read_text(path: Path) -> str:
    from udg.io.raster import plain_errors

    with plain_errors(path, "read"):
        return path.read_text(encoding="utf-8", errors="replace")


@contextmanager
def _steps(quiet: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show steps, loss and time left on a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.description}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def advance(now: Progress) -> None:
            loss = f"loss {now.latest['loss']:.4g}" if now.latest else ""
            bar.update(task, completed=now.step, total=now.steps, description=loss)

        yield advance


def _plan(
    inputs: Sequence[Path],
    output: Path,
    rain: bool,
    recursive: bool,
    overwrite: bool,
    resume: bool,
) -> tuple[list[Task], list[Task]]:
    """Say what to do and what is done, before anything is touched."""
    from udg import batch

    if overwrite and resume:
        raise click.UsageError("--resume skips what --overwrite would replace; give one of them")
    with _usage_errors():
        found = batch.expand(inputs, recursive=recursive, outside=output)
        tasks = batch.plan(found, output, rain=rain)
        return batch.pending(tasks, overwrite=overwrite, resume=resume)


def _run(
    tasks: list[Task],
    work: Callable[..., Any],
    quiet: bool,
    jobs: int = 1,
    dask: str | None = None,
    *,
    parts: bool = False,
) -> tuple[list[Outcome], bool]:
    """Run a batch behind a progress bar; after Ctrl-C return what was finished.

    ``parts`` says that the work takes ``progress``, which is shown if it is done in this process.
    """
    from udg import batch

    if dask is not None and jobs > 1:
        raise click.UsageError("--jobs is for this machine, --dask for its workers; give one")
    interrupted = False
    with _progress(len(tasks), quiet) as (outcomes, collect, tick), _usage_errors():
        if parts and dask is None and min(jobs, len(tasks)) == 1:
            work = functools.partial(work, progress=tick)
        try:
            batch.run(tasks, work, jobs=jobs, dask=dask, report=collect)
        except KeyboardInterrupt:
            interrupted = True
    return sorted(outcomes, key=lambda outcome: outcome.task.number), interrupted


@contextmanager
def _progress(
    total: int, quiet: bool
) -> Iterator[tuple[list[Outcome], Callable[[Outcome], None], Callable[[int, int], None]]]:
    """Give a list and the function that puts outcomes into it, behind a bar on a terminal.

    A third one shows how many tiles of one picture are done.
    """
    outcomes: list[Outcome] = []
    if quiet or not sys.stderr.isatty():
        yield outcomes, outcomes.append, lambda done, total: None
        return
    from rich import progress
    from rich.console import Console

    columns = (
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
    )
    with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("pictures", total=total)
        tiles = bar.add_task("tiles", total=None, visible=False)

        def collect(outcome: Outcome) -> None:
            outcomes.append(outcome)
            bar.advance(task)
            bar.update(tiles, visible=False)

        def tick(done: int, total: int) -> None:
            bar.update(tiles, completed=done, total=total, visible=done < total)

        yield outcomes, collect, tick


@contextmanager
def _plain_exits(debug: bool, hint: str | None = None) -> Iterator[None]:
    """Print errors that were foreseen as a sentence, not as a traceback; after Ctrl-C a hint."""
    try:
        yield
    except UdgError as error:
        if debug:
            raise
        click.echo(f"udg: {error}", err=True)
        sys.exit(1)
    except KeyboardInterrupt as error:
        click.echo(f"udg: {error}" if str(error) else "udg: interrupted", err=True)
        if hint is not None and str(error):
            click.echo(hint, err=True)
        sys.exit(130)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except InvalidInput as error:
        raise click.UsageError(str(error)) from error


def _finish(
    outcomes: Sequence[Outcome],
    quiet: bool,
    debug: bool,
    interrupted: bool,
    *,
    done: int = 0,
    left: int = 0,
) -> None:
    """Say what was not as it should be, and leave with the code that says it to a script."""
    failures = [outcome for outcome in outcomes if outcome.error is not None]
    for note in (note for outcome in outcomes for note in outcome.notes):
        if not quiet:
            click.echo(f"udg: note: {note}", err=True)
    if done and not quiet:
        click.echo(f"udg: {done} done before and skipped", err=True)
    if failures:
        click.echo(f"udg: {len(failures)} of {len(outcomes)} failed:", err=True)
    for outcome in failures:
        source, error = str(outcome.task.source), str(outcome.error)
        click.echo(f"  {error}" if source in error else f"  {source}: {error}", err=True)
        if debug and outcome.details:
            click.echo(outcome.details, err=True)
    if interrupted:
        click.echo(f"udg: interrupted; {len(outcomes) - len(failures)} finished and kept", err=True)
        if left:
            click.echo("udg: the same command with --resume goes on from there", err=True)
    if interrupted or failures:
        sys.exit(130 if interrupted else 1)


# Output


def _rounded(value: float | None, format: str) -> str:
    return "" if value is None else f"{value:{format}}"


def _print_derained(outcomes: Sequence[Outcome], settings: dict[str, Any]) -> None:
    """What is known of each picture; how many directions if it was asked, or one has several."""
    by_solver = [] if settings.get("method") == "net" else ["gap", "iterations"]
    most = max((_directions(one.facts) for one in outcomes if one.error is None), default=0)
    unknown = settings.get("angle") == "auto" and most > 1
    counted = ["directions"] if unknown or settings.get("n_layers", 1) != 1 else []
    asked = settings.get("rain_level", "auto")
    rows = []
    for outcome in outcomes:
        if outcome.error is None:
            facts = outcome.facts
            row = [str(outcome.task.source), str(outcome.task.target)]
            row += [str(_directions(facts))] if counted else []
            rows.append([*row, *_in_short(facts, asked)])
    _print_table(
        ["picture", "result", *counted, "angle", "rain level", *by_solver, "seconds"], rows
    )


def _directions(facts: dict[str, Any]) -> int:
    """In how many directions there was rain."""
    return sum(layer["rain_level"] > 0 for layer in facts.get("layers") or [facts])


def _in_short(facts: dict[str, Any], asked: float | str) -> list[str]:
    """Angle, rain level, seconds, and of the solver gap and iterations, of all layers together."""
    from udg.viz.preview import percent

    layers = facts.get("layers") or [facts]
    level = max(layer["rain_level"] for layer in layers)
    if level == 0:
        rain = "no rain found" if asked == "auto" else "0.00 as asked"
    else:
        rain = " ".join(f"{layer['rain_level']:.2f}" for layer in layers)
    if facts.get("method") == "net":
        return [f"{facts['angle']:.1f}", rain, f"{facts['seconds']:.1f}"]
    gaps = [layer["gap"] for layer in layers]
    return [
        " ".join(f"{layer['angle']:.1f}" for layer in layers),
        rain,
        "" if None in gaps else percent(max(gaps)),
        str(sum(layer["iterations"] for layer in layers)),
        f"{sum(layer['seconds'] for layer in layers):.1f}",
    ]


def _print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table to a terminal, and tab-separated values to anything else."""
    if not rows:
        return
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            click.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    # Where it is narrow, results are left out: they have the names of their pictures.
    shown = [i for i, name in enumerate(columns) if name != "result" or console.width >= _WIDE]
    for i in shown:
        name = columns[i] in ("picture", "result")
        table.add_column(columns[i], justify="left" if name else "right", no_wrap=name)
    for row in rows:
        table.add_row(*(_end(row[i]) for i in shown))
    console.print(table)


def _end(text: str) -> str:
    """The text, or its end if it is long: there a path says which file it is."""
    return text if len(text) <= _LONGEST else f"…{text[1 - _LONGEST :]}"


def _print_scores(result: Evaluation, quiet: bool) -> None:
    from udg.viz.preview import percent

    columns = ["picture", "angle", "PSNR before", "after", "SSIM before", "after", "gap"]
    rows = [
        [
            score.name,
            f"{score.angle:.1f}",
            f"{score.psnr_before:.2f}",
            f"{score.psnr_after:.2f}",
            f"{score.ssim_before:.4f}",
            f"{score.ssim_after:.4f}",
            "" if score.gap is None else percent(score.gap),
        ]
        for score in result.scores
    ]
    mean = result.means()
    means = [
        f"mean of {len(rows)}",
        "",
        f"{mean['psnr_before']:.2f}",
        f"{mean['psnr_after']:.2f}",
        f"{mean['ssim_before']:.4f}",
        f"{mean['ssim_after']:.4f}",
        "",
    ]
    if rows:
        _print_table(columns, [means] if quiet else [*rows, means])
        click.echo(
            f"worse than their input: {result.worse_psnr} in PSNR, {result.worse_ssim} in SSIM, "
            f"of {len(rows)}"
        )


def _as_json(
    outcomes: Sequence[Outcome], done: Sequence[Task], interrupted: bool
) -> dict[str, Any]:
    files = [outcome.as_dict() for outcome in outcomes]
    files += [{**task.names(), "status": "skipped"} for task in done]
    failed = sum(file["status"] == "failed" for file in files)
    return {"files": files, "failed": failed, "interrupted": interrupted}


def _write_report(report: Path | None, content: dict[str, Any]) -> None:
    """Write JSON; an older report of the same name is replaced."""
    if report is None:
        return
    text = json.dumps({"udg": __version__, **content}, indent=2, allow_nan=False) + "\n"
    if report == Path("-"):
        click.echo(text, nl=False)
        return
    from udg.io.raster import write_bytes

    write_bytes(report, text.encode(), overwrite=True)


def _page_budget(page: Path | None, tasks: Sequence[Task]) -> int | None:
    """Bytes for each picture in the page, once it is known that there can be one."""
    if page is None:
        return None
    from udg import batch
    from udg.batch import report

    if page.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"--report writes a page for a browser; {page} should end in .html")
    if page.is_dir():
        raise click.UsageError(f"--report: {page} is a folder; give a file")
    batch.make_folder(page.parent)
    return report.budget(len(tasks))


def _write_page(
    page: Path,
    outcomes: Sequence[Outcome],
    done: Sequence[Task],
    settings: dict[str, Any],
    left: int,
    interrupted: bool,
    quiet: bool,
    **where: Any,
) -> None:
    """Write the report for a browser; what an older one tells of skipped pictures is kept."""
    from udg.batch import report

    entries = report.entries(
        outcomes,
        done,
        known=report.earlier(page, done),
        asked=settings.get("rain_level", "auto"),
        look=not interrupted,
        **where,
    )
    size = report.write(page, entries, settings=settings, left=left)
    if not quiet:
        click.echo(f"udg: {page} shows them, {size / 1e6:.1f} MB", err=True)


def _side_by_side(
    pixels: NDArray[np.uint8], derained: NDArray[np.float32], rain: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], float]:
    """Join RGB panels of 8 bits by white bars; return them and how much the rain was brightened."""
    import numpy as np

    from udg.io.raster import quantize
    from udg.viz.preview import rain_gain, rain_picture

    gain = rain_gain(rain)
    light = rain_picture(rain, gain)
    layer = quantize(np.repeat(light[:, :, None], 3, axis=2), np.float32, np.uint8)
    bar = np.full((pixels.shape[0], 8, 3), 255, np.uint8)
    result = quantize(derained, np.uint8, np.uint8)
    return np.concatenate([pixels, bar, result, bar, layer], axis=1), gain
