"""What can be chosen on the page, and what is refused."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any, Literal

from udg.model.energy import RAIN_WEIGHTS, Weights
from udg.model.sizes import shortest_streak, weights_for_streaks, widest_streak

__all__ = ["Choice", "Limits"]


@dataclass(frozen=True)
class Limits:
    """What is too large.

    Attributes
    ----------
    megabytes : float
        Of a file, in 10⁶ bytes.
    megapixels : float
        Of a photo.
    """

    megabytes: float = 256
    megapixels: float = 100


@dataclass(frozen=True)
class Choice:
    """What was chosen on the page; whatever is None or ``"auto"`` is left to udg.

    Attributes
    ----------
    method : {"solver", "net"}
        `udg.solve`, or the network that comes with udg.
    strength : float, optional
        As in `udg.solve`.
    widest, shortest : float, optional
        As in `udg.solve`.
    angle : float or "auto"
        Degrees clockwise from vertical.
    rain_level : float or "auto"
        As in `udg.solve`.
    """

    method: Literal["solver", "net"] = "solver"
    strength: float | None = None
    widest: float | None = None
    shortest: float | None = None
    angle: float | Literal["auto"] = "auto"
    rain_level: float | Literal["auto"] = "auto"

    def settings(self) -> dict[str, Any]:
        """What `udg.batch.derain` gets: the same as from ``udg derain`` with these options."""
        given: dict[str, Any] = {"angle": self.angle}
        if self.rain_level != "auto":
            given["rain_level"] = self.rain_level
        if self.method == "net":
            return {"method": "net", "weights": "small"} | given
        sizes = {"strength": self.strength, "widest": self.widest, "shortest": self.shortest}
        return given | {name: value for name, value in sizes.items() if value is not None}

    def command(self, source: str, target: str) -> str:
        """The command line that does the same."""
        words = ["udg", "derain", source, "-o", target]
        if self.method == "net":
            words += ["--method", "net"]
        for name, value in self.settings().items():
            if name not in ("method", "weights") and value != "auto":
                words += [f"--{name.replace('_', '-')}", f"{value:g}"]
        return shlex.join(words)

    def weights(self) -> Weights:
        """The weights in a picture of full contrast."""
        base = weights_for_streaks(RAIN_WEIGHTS, self.widest, self.shortest)
        return base.with_strength(0.5 if self.strength is None else self.strength)

    def shrunk(self, scale: float) -> Choice | None:
        """What means the same for a smaller copy, or None where its streaks would be too thin."""
        base = weights_for_streaks(RAIN_WEIGHTS, self.widest, self.shortest)
        widest = scale * widest_streak(base)
        if widest <= 1:
            return None
        # A line that is one pixel wide in the copy is as much wider in the photo.
        return replace(self, widest=widest, shortest=scale * shortest_streak(base, 1 / scale))
