"""
How close is the answer?
========================

Every answer comes with ``gap``: a bound, proved by a dual solution, on its relative distance from
the minimum. Three methods minimise the same energy; this draws how fast, on the paper's model, for
which all three are made.

Dashed: the proved gap. Solid: the true excess over the minimum, which only a much longer run can
tell. The gap never lies below the excess: that is what a proof is.
"""

import matplotlib.pyplot as plt
import numpy as np
from skimage.data import camera

import udg

clean = camera()[100:196, 200:296]
Y = udg.synthesize(clean, seed=7, density=0.1, data_range=255).rainy / 255
problem = udg.Problem(Y.astype(np.float64), udg.PAPER_WEIGHTS, model="signed", boundary="periodic")
best = udg.minimize(problem, udg.Joint(), tol=1e-5, max_iter=1500)
lowest = best.objective * (1 - best.gap)  # a proved lower bound on the minimum

methods = {
    "primal-dual": (udg.PrimalDual(), 1500),
    "joint": (udg.Joint(), 250),
    "alternating (the paper's)": (udg.Alternating(), 60),
}
fig, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
for number, (name, (method, most)) in enumerate(methods.items()):
    udg.minimize(problem, method, max_iter=1)  # the first call of all compiles
    history = udg.minimize(problem, method, tol=0, max_iter=most, history=True).history[1:]
    seconds = [check.seconds for check in history]
    excess = [(check.objective - lowest) / lowest for check in history]
    axis.loglog(seconds, [check.gap for check in history], color=f"C{number}", linestyle="--")
    axis.loglog(seconds, excess, color=f"C{number}", label=name)
axis.axhline(0.01, color="grey", linestyle=":")
axis.annotate("where udg.solve stops", (0.01, 0.0105), xycoords=("axes fraction", "data"))
axis.set(xlabel="seconds of iterating", ylabel="relative distance from the minimum")
axis.yaxis.set_major_formatter(lambda part, _: f"{100 * part:g} %")
axis.legend()
plt.show()

# %%
# The paper's alternation gets there last: it solves for rain and background in turn, each by
# iterations that are cut short. It is kept as the paper has it, for comparison. This picture is
# tiny; on larger ones the primal-dual method is the fastest (:doc:`benchmarks </benchmarks>`), and
# it is the default.
