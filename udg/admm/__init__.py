"""ADMM with closed-form steps in the transform domain: the paper's alternation, and jointly.

Only the steps: the loop around them is `udg.optim`.
"""

from udg.admm.alternating import Alternating
from udg.admm.joint import Joint

__all__ = ["Alternating", "Joint"]
