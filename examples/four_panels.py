"""
One photograph
==============

Rain on a photograph, and off again: clean, rainy, derained, and the rain that was found.

Nothing is set. The direction of the streaks, whether there is rain at all, and the weights come
from the picture. From a shell, ``python examples/four_panels.py OUT.png`` writes the figure to a
file.
"""

import sys

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import astronaut

import udg

clean = astronaut()[:300, 60:400]
rainy = udg.synthesize(clean, angle=12, density=0.1, intensity=0.45, seed=1).rainy
rainy = rainy.round().astype(np.uint8)

result = udg.solve(rainy)
derained = result.derained.round().astype(np.uint8)
print(f"rain level {result.rain_level:.2f} at {result.angle:.1f} degrees, gap {result.gap:.1%}")

# %%
# PSNR is on luma 16–235, :func:`udg.psnr_y`. The rain layer is one for all colours: rain is nearly
# grey. It is shown from 0 (black) to its maximum (white).

panels = {
    "before the rain": clean,
    f"rainy, {udg.psnr_y(rainy, clean):.1f} dB": rainy,
    f"derained, {udg.psnr_y(derained, clean):.1f} dB": derained,
    "rain that was found": result.rain,
}
fig, axes = plt.subplots(2, 2, figsize=(8, 7.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, panels.items(), strict=True):
    axis.imshow(picture, cmap="gray")
    axis.set_title(title)
    axis.axis("off")
if len(sys.argv) > 1:
    fig.savefig(sys.argv[1])
plt.show()
