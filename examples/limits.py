"""
What is not removed
===================

Streaks only: three things that rain does to a picture and that stay in it.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.data import rocket

import udg

clean = rocket()[60:290, 70:350] / 255
height, width = clean.shape[:2]

# %%
# The veil of distant rain, or haze, is light without structure. Streaks in front of it go; it
# stays.

veil = 0.55 * clean + 0.45 * 0.75
veiled = udg.synthesize(veil, angle=8, length=40, density=0.1, intensity=0.4, seed=1).rainy

# %%
# Drops on the lens show the scene upside down in little discs. They are no lines, and nothing
# behind them is guessed.

rows, columns = np.mgrid[:height, :width].astype(float)
source, rng = np.stack([rows, columns]), np.random.default_rng(5)
drops = np.zeros((height, width))
for _ in range(16):
    centre, radius = rng.uniform([0, 0], [height, width]), rng.uniform(6, 16)
    inside = np.hypot(rows - centre[0], columns - centre[1]) < radius
    source[:, inside] = centre[:, None] - 4 * (source[:, inside] - centre[:, None])
    drops[inside] = 1
soft = gaussian_filter(drops, 1)[..., None]
lens = np.stack([map_coordinates(clean[..., c], source, order=1, mode="mirror") for c in range(3)])
dropped = ((1 - soft) * clean + soft * np.moveaxis(lens, 0, -1)).clip(0, 1)
dropped = udg.synthesize(dropped, angle=8, length=40, density=0.1, intensity=0.4, seed=1).rainy

# %%
# Streaks so bright that they saturate the picture have hidden what lies behind. They are darkened,
# pale bars stay, and nothing is made up in their place.

hidden = udg.synthesize(
    clean, angle=8, length=60, width=4, density=0.1, intensity=1, blend="add", seed=2
).rainy

cases = {"veil": veiled, "drops on the lens": dropped, "saturated streaks": hidden}
fig, axes = plt.subplots(2, 3, figsize=(9, 5.3), layout="constrained")
for (upper, lower), (name, picture) in zip(axes.T, cases.items(), strict=True):
    upper.imshow(picture.clip(0, 1))
    upper.set_title(name)
    lower.imshow(udg.solve(picture.clip(0, 1)).derained.clip(0, 1))
    lower.set_title("derained")
    upper.axis("off")
    lower.axis("off")
plt.show()
