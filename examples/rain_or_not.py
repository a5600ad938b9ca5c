"""
Rain, or not
============

A picture without rain should come back as it was. Before anything is taken, the picture is asked
whether there is rain at all; ``rain_level`` of :class:`udg.Result` is the answer, from 0 to 1.

It is a judgement, and the wall of bricks shows it going wrong: even, bright, upright joints look
like rain. ``rain_level=0`` overrules it.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import brick, chelsea

import udg

cat, wall = chelsea()[:300, :400], brick()[100:400, :400]
wet = udg.synthesize(cat, angle=-12, length=50, density=0.08, seed=4).rainy.round()
pictures = {
    "a dry cat": (cat, cat),
    "the cat in the rain": (wet.astype(np.uint8), cat),
    "a dry wall": (wall, wall),
}
fig, axes = plt.subplots(2, 3, figsize=(9, 5.3), layout="constrained")
for (upper, lower), (name, (picture, dry)) in zip(axes.T, pictures.items(), strict=True):
    result = udg.solve(picture)
    decibels = udg.psnr_y(result.derained, dry, data_range=255)
    nearness = "not a pixel changed" if np.isinf(decibels) else f"{decibels:.1f} dB"
    upper.imshow(picture, cmap="gray")
    upper.set_title(name)
    lower.imshow(result.derained / 255, cmap="gray")
    lower.set_title(f"rain level {result.rain_level:g}: {nearness}")
    upper.axis("off")
    lower.axis("off")
plt.show()

# %%
# PSNR is against the dry picture. The wall can be told that there is no rain.

print(f"the wet cat had {udg.psnr_y(wet, cat, data_range=255):.1f} dB")
by_hand = udg.solve(wall, rain_level=0)
print("the wall comes back as it was:", bool((by_hand.derained == wall).all()))
