"""The command line: ``udg derain | demo | angle | synthesize | evaluate | train | app``.

Results go to stdout, everything else to stderr. The exit code is 0 if all went well, 1 if some
files failed, 2 if the command itself was wrong, and 130 after Ctrl-C. Imports that take time wait
until a command needs them.
"""

from __future__ import annotations

import click

from udg._version import __version__
from udg.cli.angle import angle
from udg.cli.app import app
from udg.cli.demo import demo
from udg.cli.derain import derain
from udg.cli.evaluate import evaluate
from udg.cli.synthesize import synthesize
from udg.cli.train import train

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="udg")
def main() -> None:
    """Remove rain streaks and stripes from single pictures, without training data."""


for _command in (derain, demo, angle, synthesize, evaluate, train, app):
    main.add_command(_command)
