"""
What the solver sees
====================

The steps from a picture to its rain: the darkest colour channel, turned so that streaks are
vertical (Y), is split into background X and rain R. Around the turned picture lies its reflection.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import chelsea

import udg

clean = chelsea()[:260, 40:400]
rainy, rain = udg.synthesize(clean, angle=20, length=40, width=1.8, density=0.1, seed=4)
result = udg.solve(rainy.round().astype(np.uint8))

panels = {
    "picture": rainy / 255,
    "Y: darkest channel, turned": result.solved.Y,
    "X: background": result.solved.X,
    "R: rain": result.solved.R,
}
fig, axes = plt.subplots(2, 2, figsize=(8, 6.6), layout="constrained")
for axis, (title, picture) in zip(axes.flat, panels.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=0.4 if title.startswith("R") else 1)
    axis.set_title(title)
    axis.axis("off")
plt.show()

# %%
# Why it works: along the streaks rain hardly changes, across them it does. A scene changes as much
# one way as the other. These are the paper's histograms (its Fig. 2), of this scene and this rain:
# how often two neighbouring pixels differ by so much.

upright = udg.render_streaks((260, 360), length=40, width=1.8, density=0.1, seed=4)
fig, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
layers = {"scene": clean.min(axis=2) / 255, "rain, streaks vertical": upright}
for axis, (title, layer) in zip(axes, layers.items(), strict=True):
    for name, number in (("along the streaks", 0), ("across", 1)):
        steps = np.diff(layer, axis=number).ravel()
        axis.hist(steps, bins=np.linspace(-0.3, 0.3, 121), histtype="step", label=name, log=True)
    axis.set(title=title, xlabel="difference of neighbouring pixels")
axes[0].set_ylabel("pairs of pixels")
axes[0].legend(loc="upper right")
plt.show()
