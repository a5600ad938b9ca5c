"""
The network
===========

The weights ``small`` come with the package: a network that has learnt, from rainy pictures alone,
to imitate the rain that :func:`udg.solve` finds. It needs the extra ``net``.

Whether there is rain at all is asked as by the solver. What it was trained on, and how well it
does, is on :doc:`its card </weights-small>`.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import rocket

import udg

clean = rocket()[60:360, 40:400]
rainy, rain = udg.synthesize(clean, angle=10, length=35, density=0.1, seed=6)
rainy = rainy.round().astype(np.uint8)

solved = udg.solve(rainy)
network = udg.net.derain(rainy, weights="small")

fig, axes = plt.subplots(2, 3, figsize=(9, 5.4), layout="constrained")
columns = {
    "rainy": (rainy, rain),
    "udg.solve": (solved.derained, solved.rain),
    "the network": (network.derained, network.rain),
}
for (upper, lower), (name, (picture, layer)) in zip(axes.T, columns.items(), strict=True):
    upper.imshow(np.asarray(picture) / 255)
    upper.set_title(f"{name}: {udg.psnr_y(picture, clean, data_range=255):.1f} dB")
    lower.imshow(layer, cmap="gray", vmin=0, vmax=0.3)
    upper.axis("off")
    lower.axis("off")
plt.show()

# %%
# Below: the rain that was rendered, and what each of them found.
