"""Options that several commands have, and what option values are converted by."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from udg.cli.help import option

__all__ = [
    "COUNT",
    "PART",
    "PATH",
    "WEIGHT",
    "Decorator",
    "Messages",
    "all_of",
    "angles_or_auto",
    "cluster",
    "debug",
    "inputs",
    "json_report",
    "log",
    "number_or_auto",
    "output",
    "overwrite",
    "parallel",
    "pass_messages",
    "quiet",
    "recursive",
    "save_rain",
    "strength",
    "tile_size",
    "under",
    "verbose",
]

F = TypeVar("F", bound=Callable[..., Any])
Decorator = Callable[[F], F]

PATH = click.Path(path_type=Path)
WEIGHT = click.FloatRange(min=0)
PART = click.FloatRange(0, 1)
COUNT = click.IntRange(min=1)


# Values


def angles_or_auto(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> float | list[float] | str:
    """Take angles with commas or one by one, or the word auto."""
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


def number_or_auto(
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


def tile_size(
    context: click.Context, option: click.Parameter, value: str
) -> int | Literal["auto", "off"]:
    """Take a number of pixels, auto or off."""
    if value in ("auto", "off"):
        return value  # type: ignore[return-value]
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value} is not a number of pixels, auto or off") from None


# Groups of options


def all_of(*options: Decorator[Any]) -> Decorator[Any]:
    """Several options as one decorator, in their order."""
    return lambda command: functools.reduce(lambda f, one: one(f), reversed(options), command)


def under(heading: str, *options: Decorator[Any]) -> Decorator[Any]:
    """Options that stand together in the help."""

    def decorate(command: Any) -> Any:
        known = len(getattr(command, "__click_params__", ()))
        command = all_of(*options)(command)
        for one in command.__click_params__[known:]:
            one.heading = heading
        return command

    return decorate


# Messages


@dataclass
class Messages:
    """What is said while a command runs.

    Attributes
    ----------
    verbose : int
        1: what is decided and how each stage ended; 2: each check of the gap as well.
    quiet : bool
        Failures only.
    log : Path, optional
        File that gets a line a picture.
    debug : bool
        Errors with their traceback.
    """

    verbose: int = 0
    quiet: bool = False
    log: Path | None = None
    debug: bool = False


pass_messages = click.make_pass_decorator(Messages, ensure=True)


def _kept(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Put the value into the command's `Messages`."""
    messages = context.ensure_object(Messages)
    setattr(messages, str(option.name), value)
    if messages.verbose and messages.quiet:
        raise click.UsageError("--verbose says more and --quiet less; give one of them")


_message = functools.partial(option, expose_value=False, callback=_kept)

verbose = _message(
    "-v",
    "--verbose",
    count=True,
    help="Show what is decided for each picture and how each stage ends; -vv: each check of the "
    "gap. Of several pictures at once, which are done.",
)
quiet = _message("-q", "--quiet", is_flag=True, help="Show failures only.")
log = _message(
    "--log",
    type=PATH,
    metavar="FILE",
    help="Add a line a picture to this file: when, and what was found or why it failed.",
)
debug = _message("--debug", is_flag=True, help="Show where errors come from.")


# Everything else

inputs = click.argument("inputs", nargs=-1, required=True, type=PATH, metavar="IN...")
output = option(
    "-o", "--output", required=True, type=PATH, help="File for one picture, folder for several."
)
recursive = option("--recursive", is_flag=True, help="Search folders in folders too.")
json_report = option(
    "--json", "report", type=PATH, metavar="FILE|-", help="Write results as JSON; - is stdout."
)
overwrite = option("--overwrite", is_flag=True, help="Replace existing files.")
save_rain = option(
    "--save-rain", is_flag=True, help="Write the rain, <name>_rain.png, 16-bit grey."
)
parallel = option(
    "--jobs",
    type=COUNT,
    metavar="N",
    show_default="one a core if there are many, as far as memory reaches; 1 with --method net",
    help="Pictures to work on at once, each with its share of the cores.",
)
cluster = option(
    "--dask",
    metavar="tcp://HOST:PORT",
    help="Have the workers of this Dask scheduler do it, instead of --jobs. They must see the "
    "pictures under the same paths as this machine.",
)
strength = option(
    "--strength",
    type=PART,
    metavar="S",
    show_default="0.5",
    help="Higher takes more, streaks and details alike.",
)
