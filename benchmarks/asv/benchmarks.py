"""Times and peaks that should not grow, for airspeed velocity; needs no data.

    cd benchmarks/asv && asv continuous main HEAD

Every class works without asv as well: set its `params`, call `setup` and the method.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

import udg
from udg.imaging.geometry import rotate, unrotate
from udg.model.certificate import energy_and_bound

Array = Any

ITERATIONS = 100


def street(height: int, width: int, angle: float = 0.0) -> Array:
    """A picture with broad shapes, fine texture and rain; float32 in [0, 1]."""
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    texture = np.random.default_rng(0).normal(0, 0.02, (height, width))
    clean = 0.4 + 0.2 * np.sin(columns / 90) * np.cos(rows / 70) + 0.1 * (columns % 97 > 60)
    clean = (clean + texture).clip(0, 1).astype(np.float32)
    return udg.synthesize(clean, angle=angle, seed=0).rainy


class Methods:
    """Iterations of each method, without the certificate."""

    params: ClassVar = [[(512, 512), (1024, 2048)], ["primal-dual", "joint"]]
    param_names: ClassVar = ["shape", "method"]
    timeout = 300

    def setup(self, shape: tuple[int, int], name: str) -> None:
        """Make the problem, and compile."""
        self.problem = udg.Problem(street(*shape), udg.RAIN_WEIGHTS, "rain")
        self.method = {"primal-dual": udg.PrimalDual(), "joint": udg.Joint()}[name]
        self.iterations = ITERATIONS if name == "primal-dual" else ITERATIONS // 10
        self.run(2)

    def run(self, iterations: int) -> Any:
        """The state after so many iterations from zero."""
        start = self.method.start(self.problem, None)
        return self.method.advance(self.problem, start, iterations)

    def time_advance(self, shape: tuple[int, int], name: str) -> None:
        """100 iterations, of the joint method 10."""
        self.run(self.iterations)

    def peakmem_advance(self, shape: tuple[int, int], name: str) -> None:
        """Peak of the process with it."""
        self.run(self.iterations)


class Certificate:
    """What one look at the gap costs."""

    params: ClassVar = [[(512, 512), (1024, 2048)], ["rain", "signed"]]
    param_names: ClassVar = ["shape", "model"]

    def setup(self, shape: tuple[int, int], model: Any) -> None:
        """An estimate to look at."""
        weights = udg.RAIN_WEIGHTS if model == "rain" else udg.STRIPE_WEIGHTS
        self.problem, method = udg.Problem(street(*shape), weights, model), udg.PrimalDual()
        state = method.advance(self.problem, method.start(self.problem, None), 10)
        self.estimate = method.estimate(self.problem, state)
        self.look()

    def look(self) -> tuple[float, float]:
        """Energy and bound."""
        return energy_and_bound(self.problem, *self.estimate)

    def time_energy_and_bound(self, shape: tuple[int, int], model: Any) -> None:
        """One look."""
        self.look()

    def peakmem_energy_and_bound(self, shape: tuple[int, int], model: Any) -> None:
        """Peak of the process with it."""
        self.look()


class Whole:
    """What a user calls: an image in, rain out, to the default gap."""

    params: ClassVar = [[(512, 512), (1024, 2048)], [0.0, 20.0]]
    param_names: ClassVar = ["shape", "angle"]
    timeout = 300

    def setup(self, shape: tuple[int, int], angle: float) -> None:
        """An 8-bit picture."""
        self.image = (255 * street(*shape, angle=angle)).round().astype(np.uint8)
        udg.solve(self.image, angle=angle, max_iter=2)

    def time_solve(self, shape: tuple[int, int], angle: float) -> None:
        """The angle given."""
        udg.solve(self.image, angle=angle)

    def time_solve_auto(self, shape: tuple[int, int], angle: float) -> None:
        """The angle and the rain level found."""
        udg.solve(self.image)

    def peakmem_solve(self, shape: tuple[int, int], angle: float) -> None:
        """Peak of the process with it."""
        udg.solve(self.image, angle=angle)


class Around:
    """What surrounds the solver."""

    params: ClassVar = [[(512, 512), (1024, 2048)]]
    param_names: ClassVar = ["shape"]

    def setup(self, shape: tuple[int, int]) -> None:
        """A picture, and the same turned."""
        self.shape = shape
        self.Y = street(*shape, angle=20.0)
        self.turned = rotate(self.Y, 20.0)

    def time_rotate(self, shape: tuple[int, int]) -> None:
        """Into the frame."""
        rotate(self.Y, 20.0)

    def time_unrotate(self, shape: tuple[int, int]) -> None:
        """And back."""
        unrotate(self.turned, 20.0, self.shape)

    def time_estimate_angle(self, shape: tuple[int, int]) -> None:
        """The direction."""
        udg.estimate_angle(self.Y)
