"""How the gallery shows the scripts of ``examples/``."""

from pathlib import Path
from typing import Any

# From what everybody needs to what few do.
ORDER = [
    "four_panels",
    "decomposition",
    "strength",
    "weights_in_pixels",
    "directions",
    "wind",
    "stripes",
    "rain_or_not",
    "network",
    "convergence",
    "measuring",
    "limits",
]


def teaching_order(filename: str) -> int:
    """The place of a script; new ones come last."""
    name = Path(filename).stem
    return ORDER.index(name) if name in ORDER else len(ORDER)


def plain_figures(gallery: dict[str, Any], filename: str) -> None:
    """Figures that a page of this width can show."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"figure.dpi": 120, "savefig.dpi": 120, "font.size": 10})
