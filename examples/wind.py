"""
Wind that turns the rain
========================

In a wide picture the wind may turn the rain from one side to the other. One angle then fits only a
part of it. :func:`udg.solve_tiles` can look for an angle in every tile; from the command line it is
``udg derain --angle-per-tile``.

Rain that turns has no direction in common, so whether there is any is hard to tell from the whole
picture; here ``rain_level=1`` says that there is.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import rocket

import udg

# Rain that leans from 20° on the left to −20° on the right, blended from upright strips.
clean = rocket()[40:400, :]
height, width = clean.shape[:2]
rain = np.zeros((height, width), np.float32)
for number, angle in enumerate(np.linspace(20, -20, 9)):
    centre = width * number / 8
    weight = np.clip(1 - np.abs(np.arange(width) - centre) / (width / 8), 0, 1)
    layer = udg.render_streaks((height, width), angle=angle, density=0.1, seed=number)
    rain += weight.astype(np.float32) * layer
rainy = (255 - (255 - clean) * (1 - rain[..., None])).round().astype(np.uint8)

whole = udg.solve(rainy, rain_level=1)
tiled = udg.solve_tiles(rainy, tile=240, overlap=48, angle_per_tile=True, rain_level=1)
print(f"one angle: {whole.angle:.0f}°; tiles: {', '.join(f'{a:.0f}°' for a in tiled.angles)}")

panels = {"rainy": rainy, "one angle": whole.derained, "an angle per tile": tiled.derained}
fig, axes = plt.subplots(3, 1, figsize=(6.5, 11), layout="constrained")
for axis, (title, picture) in zip(axes, panels.items(), strict=True):
    axis.imshow(np.asarray(picture) / 255)
    axis.set_title(f"{title}: {udg.psnr_y(picture, clean, data_range=255):.1f} dB")
    axis.axis("off")
plt.show()
