"""The fused first-order method: its step, and the kernels that run it."""

from udg.primal_dual.method import PrimalDual

__all__ = ["PrimalDual"]
