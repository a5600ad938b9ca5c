"""The fused first-order method: its step, and the kernels that run it.

Only the steps: the loop around them is `udg.optim`.
"""

from udg.primal_dual.method import PrimalDual

__all__ = ["PrimalDual"]
