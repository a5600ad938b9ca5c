"""
One picture, many numbers
=========================

The same pair of pictures, measured as different papers and programs do it. A number without its
convention says little.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import coffee
from skimage.metrics import structural_similarity

import udg

clean = coffee()[:300, 100:500]
rainy = udg.synthesize(clean, angle=15, density=0.1, intensity=0.45, seed=3).rainy
derained = udg.solve(rainy.round().astype(np.uint8)).derained.round().astype(np.uint8)


def decibels(first: np.ndarray, second: np.ndarray) -> float:
    """PSNR of values in [0, 1]."""
    return float(-10 * np.log10(np.mean((first - second) ** 2)))


def full_range(image: np.ndarray) -> np.ndarray:
    """Luma from 0 to 1, as JPEG and OpenCV have it."""
    return image / 255 @ [0.299, 0.587, 0.114]


mask = np.s_[10:-10, 10:-10]
psnr = {
    "luma 16–235 (MATLAB's rgb2ycbcr): udg.psnr_y": udg.psnr_y(derained, clean),
    "… without 10 pixels at each border": udg.psnr_y(derained[mask], clean[mask]),
    "luma 0–255 (OpenCV)": decibels(full_range(derained), full_range(clean)),
    "R, G and B: udg.psnr_rgb": udg.psnr_rgb(derained, clean),
}
ssim = {
    "luma 16–235, 11×11 Gaussian: udg.ssim_y": udg.ssim_y(derained, clean),
    "luma 0–255, 7×7 box (scikit-image's default)": structural_similarity(
        full_range(derained), full_range(clean), data_range=1
    ),
    "… and data_range=2, once its guess for floats": structural_similarity(
        full_range(derained), full_range(clean), data_range=2
    ),
}
fig, axes = plt.subplots(2, 1, figsize=(8, 4.4), layout="constrained", height_ratios=[4, 3])
for axis, values, unit in zip(axes, (psnr, ssim), ("PSNR, dB", "SSIM"), strict=True):
    bars = axis.barh(list(values), list(values.values()), color="C0")
    axis.bar_label(bars, fmt="%.2f" if unit == "PSNR, dB" else "%.3f", padding=3)
    low, high = min(values.values()), max(values.values())
    axis.set_xlim(low - 0.6 * (high - low), high + 0.25 * (high - low))
    axis.invert_yaxis()
    axis.set_xlabel(unit)
plt.show()

# %%
# Axes do not start at 0, so that the differences show. Full-range luma always reads
# 20·log10(255/219) = 1.3 dB lower than luma 16–235 with the same peak.
