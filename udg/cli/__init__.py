"""The command line, a file a command.

Nothing here computes: commands turn words into arguments and results into words.
"""

from udg.cli.main import main

__all__ = ["main"]
