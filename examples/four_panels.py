"""Rain on a photograph, and off again: writes clean, rainy, derained and rain side by side.

Usage: ``python examples/four_panels.py [OUT.png]``
"""

import sys

import numpy as np
from PIL import Image
from skimage.data import astronaut

import udg

clean = astronaut()
rainy = udg.synthesize(clean, angle=12, density=0.1, intensity=0.45, seed=1).rainy
rainy = rainy.round().astype(np.uint8)

result = udg.solve(rainy)

derained = result.derained.round().astype(np.uint8)
rain = np.repeat((255 * result.rain.clip(0, 1)).astype(np.uint8)[..., None], 3, axis=2)
target = sys.argv[1] if len(sys.argv) > 1 else "four_panels.png"
Image.fromarray(np.concatenate([clean, rainy, derained, rain], axis=1)).save(target)
print(
    f"{target}: rain level {result.rain_level:.2f} at {result.angle:.1f} degrees, "
    f"{udg.psnr_y(rainy, clean):.2f} -> {udg.psnr_y(derained, clean):.2f} dB"
)
