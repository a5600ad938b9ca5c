"""Make ``docs/demo.png``, the picture in the README, from what ``udg demo`` writes.

Run it from anywhere with udg installed: ``python scripts/make_readme_picture.py``. It keeps the
panels before and after, in their own colours.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

TARGET = Path(__file__).parent.parent / "docs" / "demo.png"
BAR = 8  # pixels between the three panels


def main() -> None:
    """Write the picture."""
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        panels = Path(folder) / "demo.png"
        subprocess.run([sys.executable, "-m", "udg", "demo", "-o", panels], check=True)
        with Image.open(panels) as picture:
            panel = (picture.width - 2 * BAR) // 3
            pair = picture.convert("RGB").crop((0, 0, 2 * panel + BAR, picture.height))
    pair.save(TARGET, optimize=True)


if __name__ == "__main__":
    main()
