"""Render the rainy picture that ``udg demo`` removes the rain from.

Run it from anywhere with udg installed: ``python scripts/make_demo_picture.py [FOLDER]``. It writes
``demo.png`` and its ``README.md`` to the folder, by default ``udg/assets``.
"""

import argparse
from pathlib import Path

import numpy as np
import skimage
from PIL import Image
from skimage import data

import udg

ASSETS = Path(__file__).parent.parent / "udg" / "assets"
SIZE = (600, 400)  # width, height
RAIN = {
    "angle": 12.0,
    "length": 36.0,
    "width": 1.7,
    "density": 0.1,
    "intensity": 0.4,
    "spread": 0.45,
    "seed": 3,
}

README = """\
# The demo picture

`demo.png` is rain rendered on a photograph: {size[0]}×{size[1]} pixels, streaks
{rain[angle]:g}° clockwise from vertical.

- **Photograph**: launch of DSCOVR on a Falcon 9, Cape Canaveral, 2015, by SpaceX
  (<https://www.flickr.com/photos/spacexphotos/16511594820/>), which released it into the public
  domain. It is `skimage.data.rocket()`, part of the scikit-image wheel, made smaller.
- **Rain**: `udg.synthesize(photograph, {arguments})`.
- **Licence**: public domain; the rain adds no rights to the photograph.

Made by `python scripts/make_demo_picture.py` with scikit-image {version}; run it
again to make the same picture.
"""


def main() -> None:
    """Write the picture and the account of where it comes from."""
    parser = argparse.ArgumentParser(description="Render the demo picture.")
    parser.add_argument("folder", nargs="?", type=Path, default=ASSETS)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)

    photograph = Image.fromarray(data.rocket()).resize(SIZE, Image.Resampling.LANCZOS)
    rainy = udg.synthesize(np.asarray(photograph), **RAIN).rainy
    Image.fromarray(np.rint(rainy).astype(np.uint8)).save(folder / "demo.png", optimize=True)

    arguments = ", ".join(f"{name}={value:g}" for name, value in RAIN.items())
    text = README.format(size=SIZE, rain=RAIN, arguments=arguments, version=skimage.__version__)
    (folder / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
