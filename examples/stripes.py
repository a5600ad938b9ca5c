"""
Stripes
=======

Stripes of satellites and microscopes add light and take it, run through the whole picture, and may
lie at any angle. ``model="stripes"`` is for them.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import moon

import udg

clean = moon()[80:330, 80:390].astype(np.float32) / 255
rows, columns = np.mgrid[: clean.shape[0], : clean.shape[1]]
theta = np.radians(25)
across = columns * np.cos(theta) + rows * np.sin(theta)  # constant along lines like /
offsets = np.random.default_rng(4).normal(0, 0.04, 1000)  # one for every line of a detector
striped = np.clip(clean + np.interp(across, np.arange(1000), offsets), 0, 1).astype(np.float32)

result = udg.solve(striped, model="stripes")
print(f"angle {result.angle:.2f}°, median of R {np.median(result.rain):.4f}")

# %%
# R has either sign here (blue takes light, red adds it), and its median is 0: the energy does not
# tell a constant in R from one in the scene.

fig, axes = plt.subplots(1, 3, figsize=(9, 2.75), layout="constrained")
panels = {"striped": striped, "without": result.derained}
for axis, (title, picture) in zip(axes, panels.items(), strict=False):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
    axis.set_title(f"{title}: {udg.psnr_y(picture.clip(0, 1), clean):.1f} dB", fontsize=10)
axes[2].imshow(result.rain, cmap="RdBu_r", vmin=-0.15, vmax=0.15)
axes[2].set_title(f"stripes that were found, {result.angle:.1f}°", fontsize=10)
for axis in axes:
    axis.axis("off")
plt.show()
