"""
Weights in pixels
=================

What is a streak? A bright line of width w and length L, alone in the picture, is taken for rain
when

    L > 2 (lam_x − tau) w / (2 (lam_y + tau) − lam_r w)

and the denominator is above 0. (``tau`` is small beside ``lam_y``, so the rule of thumb leaves it
out.) This draws single lines, minimises the energy once, and compares what is taken with that rule.
"""

import matplotlib.pyplot as plt
import numpy as np

import udg

weights = udg.RAIN_WEIGHTS
widths, lengths = [1, 2, 3, 5, 8], np.geomspace(2, 150, 26).round()


def line(width: int, length: int) -> np.ndarray:
    """A bright line on grey ground."""
    picture = np.full((190, 40), 0.3, np.float32)
    picture[20 : 20 + length, 20 : 20 + width] += 0.3
    return picture


def taken(width: int, length: int) -> float:
    """The part of a line's light that ends up in the rain layer."""
    Y = line(width, length)
    minimum = udg.minimize(udg.Problem(Y, weights), udg.PrimalDual(), tol=1e-4)
    return float(minimum.estimate.R[20 : 20 + length, 20 : 20 + width].mean() / 0.3)


fig, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
for number, width in enumerate(widths):
    part = [taken(width, int(length)) for length in lengths]
    per_pixel = 2 * (weights.lam_y + weights.tau) - weights.lam_r * width
    shortest = 2 * (weights.lam_x - weights.tau) * width / per_pixel
    axis.semilogx(lengths, part, "o-", markersize=4, color=f"C{number}")
    axis.axvline(shortest, color=f"C{number}", linestyle="--", linewidth=1)
    axis.annotate(f"{width} px wide", (1.03 * shortest, 0.1), rotation=90, color=f"C{number}")
axis.set(xlabel="length of the line, pixels (dashed: the rule)", ylabel="part taken as rain")
axis.set_xticks([2, 5, 10, 20, 50, 100], [2, 5, 10, 20, 50, 100])
plt.show()

# %%
# Short lines stay in the picture, long ones go, and the wider a line is the longer it must be. With
# these weights a line of 10 pixels is about the widest that can go at all. In a real picture lines
# are not alone, and :func:`udg.solve` weighs ``lam_r`` by a sparsity map; but this is what the
# weights mean.
