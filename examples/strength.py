"""
Strength
========

``strength`` is the one knob that most pictures need: higher takes more, streaks and details alike.

It moves the ratio of two weights, ``lam_x`` (how long a streak must be) and ``lam_y`` (how much is
taken across it). 0.5 leaves both as they are.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import coffee

import udg

clean = coffee()[:300, 150:500]
rainy = udg.synthesize(clean, angle=20, length=40, width=2, density=0.12, seed=3).rainy
rainy = rainy.round().astype(np.uint8)

fig, axes = plt.subplots(2, 3, figsize=(9, 5.6), layout="constrained")
for (upper, lower), strength in zip(axes.T, (0.0, 0.5, 1.0), strict=True):
    result = udg.solve(rainy, strength=strength)
    decibels = udg.psnr_y(result.derained, clean, data_range=255)
    upper.imshow(result.derained / 255)
    upper.set_title(f"strength {strength:g}: {decibels:.1f} dB")
    lower.imshow(result.rain, cmap="gray", vmin=0, vmax=0.3)
    upper.axis("off")
    lower.axis("off")
plt.show()

# %%
# Above is the picture, below the rain that was taken from it. At 0 the widest streaks stay; at 1
# they are gone, and the rim of the cup and the handle of the spoon lose some of their light with
# them. The dark traces are another matter: rain fades on bright ground, so the darkest colour has
# more of it than the others, and all are made darker by as much.
