"""``udg app``: derain photos in a browser."""

from __future__ import annotations

import click

from udg.cli import options
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages
from udg.cli.running import compiling_said, plain_exits, usage_errors

__all__ = ["app"]


@command()
@option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at; 0.0.0.0 lets other machines in.",
)
@option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    show_default="the first free one from 7860 on",
    help="Port to listen at.",
)
@option("--open", "open_browser", is_flag=True, help="Show the page in the browser.")
@option(
    "--max-megabytes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=256,
    show_default=True,
    help="Refuse larger files.",
)
@option(
    "--max-megapixels",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    default=100,
    show_default=True,
    help="Refuse larger photos.",
)
@options.debug
@pass_messages
def app(
    messages: Messages,
    /,
    host: str,
    port: int | None,
    open_browser: bool,
    max_megabytes: float,
    max_megapixels: float,
) -> None:
    """Derain photos in a browser: compare, adjust, download.

    Runs on this machine and needs no network. Photos are deleted when their page is closed. One
    is worked on at a time; others wait in line. Ctrl-C ends it.
    """
    with plain_exits(messages.debug), usage_errors():
        from udg.app import Limits, server

        def ready(url: str) -> None:
            click.echo(f"udg: open {url} in a browser; Ctrl-C ends it", err=True)
            if host not in ("127.0.0.1", "localhost", "::1"):
                click.echo("udg: whoever can reach this machine can use it", err=True)

        with compiling_said(quiet=False):
            server.serve(
                host,
                port,
                open_browser=open_browser,
                limits=Limits(max_megabytes, max_megapixels),
                ready=ready,
            )
