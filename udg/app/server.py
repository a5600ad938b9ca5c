"""Start the app, and leave nothing behind when it ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from udg.app.choice import Limits
from udg.app.desk import Desk
from udg.errors import InvalidInput, MissingExtra

__all__ = ["running", "serve"]


def serve(
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    open_browser: bool = False,
    limits: Limits | None = None,
    ready: Callable[[str], object] = lambda url: None,
) -> None:
    """Serve the app until Ctrl-C or SIGTERM.

    Parameters
    ----------
    host : str
        Address to listen at; the default can be reached from this machine only.
    port : int, optional
        Default: the first free one from 7860 on.
    open_browser : bool
        Show the page.
    limits : Limits, optional
        What is refused.
    ready : callable
        Called with the page's address once it can be opened.

    Raises
    ------
    InvalidInput
        Address or port cannot be had.
    MissingExtra
        Gradio is not installed.
    """
    over = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda *_: over.set())
    try:
        with running(host, port, limits, open_browser) as url:
            ready(url)
            while not over.wait(1):  # in steps, so that Ctrl-C is noticed everywhere
                pass
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def running(
    host: str = "127.0.0.1",
    port: int | None = None,
    limits: Limits | None = None,
    open_browser: bool = False,
) -> Iterator[str]:
    """Serve the app as long as the context lasts.

    Parameters
    ----------
    host, port, limits, open_browser
        As in `serve`.

    Yields
    ------
    str
        The page's address.
    """
    limits = limits or Limits()
    with ExitStack() as stack:
        root = Path(stack.enter_context(TemporaryDirectory(prefix="udg-app-"))).resolve()
        stack.callback(_restore, dict(os.environ))
        # Read when Gradio is imported: where uploads go, and that nobody is told of anything.
        os.environ["GRADIO_TEMP_DIR"] = str(root)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        # Gradio asks its own server whether it is up: not by way of a proxy.
        os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), host, *_LOCAL]))
        page = _page()
        desk = Desk()
        stack.callback(desk.close)
        blocks = page.build(root, desk, limits)
        stack.callback(blocks.close, verbose=False)
        try:
            _, url, _ = blocks.launch(
                server_name=host,
                server_port=port,
                inbrowser=open_browser,
                max_file_size=round(limits.megabytes * 1e6),
                prevent_thread_lock=True,
                quiet=True,
                **page.look(limits),
                **_ALONE,
            )
        except (OSError, OverflowError) as error:
            where = f"{host}, port {port}" if port is not None else host
            raise InvalidInput(
                f"cannot listen at {where}; give another --host or --port"
            ) from error
        desk.warm_up()
        yield str(url)


_LOCAL = ("localhost", "127.0.0.1", "::1")

#: Whatever of Gradio would leave this machine, remember what was done, or need another program.
_ALONE: dict[str, Any] = {
    "share": False,
    "footer_links": [],
    "run_history": False,
    "enable_monitoring": False,
    "mcp_server": False,
    "pwa": False,
    "ssr_mode": False,
}


def _restore(environment: dict[str, str]) -> None:
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _page() -> Any:
    try:
        from udg.app import page
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "gradio":
            raise MissingExtra("gradio", "app") from None
        raise
    return page
