"""
Rain of several directions
==========================

A layer has one direction. Gusts, or drops near and far, make more than one; they are taken out one
after the other, as long as what is left surely shows rain.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import rocket

import udg

clean = rocket()[110:360, 140:460]
rainy = udg.synthesize(clean, angle=18, density=0.08, seed=1, data_range=255).rainy
rainy = udg.synthesize(rainy, angle=-16, density=0.08, seed=2, data_range=255).rainy
rainy = rainy.round().astype(np.uint8)

one = udg.solve(rainy, n_layers=1)
all_found = udg.solve(rainy)
for layer in all_found.layers:
    print(f"{layer.angle:6.1f}°  rain level {layer.rain_level:.2f}")

# %%
# Angles are degrees clockwise from vertical: a streak like ``/`` is positive. If they are known,
# ``angle=[18, -16]`` says so.

panels = {"rainy": rainy, "one direction": one.derained, "all that were found": all_found.derained}
fig, axes = plt.subplots(1, 3, figsize=(9, 2.8), layout="constrained")
for axis, (title, picture) in zip(axes, panels.items(), strict=True):
    decibels = udg.psnr_y(picture, clean, data_range=255)
    axis.imshow(np.asarray(picture) / 255)
    axis.set_title(f"{title}: {decibels:.1f} dB", fontsize=10)
    axis.axis("off")
plt.show()
