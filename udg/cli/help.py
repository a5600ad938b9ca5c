"""How commands present themselves: headings, defaults in words, help with a wrong call."""

from __future__ import annotations

import functools
from typing import Any

import click

__all__ = ["Command", "Option", "command", "option"]


class Option(click.Option):
    """An option whose default may be words: what it is left to, or what it depends on."""

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Add the words to what click says behind the help."""
        extra = super().get_help_extra(ctx)
        if isinstance(self.show_default, str):
            extra["default"] = self.show_default  # click puts it in parentheses
        return extra


class Command(click.Command):
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
        """Write the options of each heading."""
        for heading, records in self.sections(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; show the example where something is missing, the best guess for a typing error."""
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


command = functools.partial(click.command, cls=Command)
option = functools.partial(click.option, cls=Option)
