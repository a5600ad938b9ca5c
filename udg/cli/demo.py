"""``udg demo``: try it on a picture that comes with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from udg.cli import options
from udg.cli.help import command, option
from udg.cli.options import Messages, pass_messages
from udg.cli.running import compiling_said, plain_exits

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["demo"]


@command(short_help="Try it on a picture that comes with udg.")
@option(
    "-o",
    "--output",
    type=options.PATH,
    default="udg-demo.png",
    show_default=True,
    help="PNG to write.",
)
@options.strength
@options.overwrite
@options.quiet
@options.debug
@pass_messages
def demo(messages: Messages, /, output: Path, strength: float | None, overwrite: bool) -> None:
    """Derain a picture that comes with udg and show input, result and rain side by side."""
    with plain_exits(messages.debug):
        from importlib import resources

        import udg
        from udg.cli.settings import given
        from udg.io import files
        from udg.viz.preview import percent

        if output.exists() and not overwrite:
            raise click.UsageError(f"{output} already exists; replace it with --overwrite")
        with resources.as_file(resources.files("udg") / "assets" / "demo.png") as path:
            picture = files.read(path)
        with compiling_said(messages.quiet):
            result = udg.solve(picture.pixels, **given({"strength": strength}))
        panels, gain = _side_by_side(picture.pixels, result.derained, result.rain)
        files.write(output, panels, overwrite=overwrite)
        if not messages.quiet:
            brighter = f", shown {gain:.1f}× brighter" if gain > 1 else ""
            click.echo(f"{output.resolve()}: input | derained | rain{brighter}")
            click.echo(
                f"angle {result.angle:.1f}°, rain level {result.rain_level:.2f}, "
                f"{result.seconds:.1f} s, "
                f"at most {percent(result.gap)} above the minimum (gap)"
            )


def _side_by_side(
    pixels: NDArray[np.uint8], derained: NDArray[np.float32], rain: NDArray[np.float32]
) -> tuple[NDArray[np.uint8], float]:
    """Join RGB panels of 8 bits by white bars; return them and how much the rain was brightened."""
    import numpy as np

    from udg.io.picture import quantize
    from udg.viz.preview import rain_gain, rain_picture

    gain = rain_gain(rain)
    light = rain_picture(rain, gain)
    layer = quantize(np.repeat(light[:, :, None], 3, axis=2), np.float32, np.uint8)
    bar = np.full((pixels.shape[0], 8, 3), 255, np.uint8)
    result = quantize(derained, np.uint8, np.uint8)
    return np.concatenate([pixels, bar, result, bar, layer], axis=1), gain
