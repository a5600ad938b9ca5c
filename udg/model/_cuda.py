"""CUDA kernels: what they are made of, how they are compiled and launched.

Everything that decides about a launch is Python that runs on any array namespace; only a
`Launcher` knows the device. CuPy's is the one in use. The tests have one of their own, which
compiles the same sources for the host and works on NumPy arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple, Protocol, cast

import numpy as np

from udg.errors import InvalidInput
from udg.model.energy import Problem

__all__ = ["CupyLauncher", "Kernel", "Launcher", "Stack", "cupy_launcher"]

Array = Any
Triple = tuple[int, int, int]

_TYPES = {"float32": "float", "float64": "double"}


class Kernel(NamedTuple):
    """One function of a source file, compiled with some macros."""

    source: str  # relative to the package
    name: str
    macros: tuple[tuple[str, str | int], ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The macros as a compiler takes them."""
        return tuple(f"-D{name}={value}" for name, value in self.macros)

    @property
    def code(self) -> str:
        """The source file's text."""
        return files("udg").joinpath(*self.source.split("/")).read_text(encoding="utf-8")


class Launcher(Protocol):
    """A device: its arrays, its limits, and how a kernel is started on it."""

    xp: Any  # namespace of its arrays
    processors: int  # streaming multiprocessors
    shared_bytes: int  # dynamic shared memory that a block can have

    def launch(
        self, kernel: Kernel, grid: Triple, block: Triple, arguments: tuple[Any, ...], shared: int
    ) -> None:
        """Start a kernel; arguments are arrays and NumPy scalars in the kernel's order."""

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """The array's values, when all that was launched before is done."""


class CupyLauncher:
    """Launches on CuPy's present device, in its present stream."""

    def __init__(self, device: int) -> None:
        import cupy

        attributes = cupy.cuda.Device(device).attributes
        self.xp = cupy
        self.processors = int(attributes["MultiProcessorCount"])
        self.shared_bytes = int(attributes["MaxSharedMemoryPerBlockOptin"])
        self._modules: dict[tuple[str, tuple[str, ...]], Any] = {}
        self._functions: dict[Kernel, Any] = {}

    def launch(
        self, kernel: Kernel, grid: Triple, block: Triple, arguments: tuple[Any, ...], shared: int
    ) -> None:
        """Start a kernel, compiled the first time; CuPy keeps the binary on disk."""
        function = self._functions.get(kernel)
        if function is None:
            key = kernel.source, kernel.options
            if key not in self._modules:
                self._modules[key] = self.xp.RawModule(code=kernel.code, options=kernel.options)
            function = self._modules[key].get_function(kernel.name)
            if shared > _SHARED_UNASKED:
                function.max_dynamic_shared_size_bytes = self.shared_bytes
            self._functions[kernel] = function
        function(grid, block, arguments, shared_mem=shared)

    def to_host(self, array: Array) -> np.ndarray[Any, Any]:
        """Wait for the stream and copy."""
        return cast("np.ndarray[Any, Any]", array.get())


# What every block may have without asking.
_SHARED_UNASKED = 48 * 1024


@cache
def _launcher_of(device: int) -> CupyLauncher:
    return CupyLauncher(device)


def cupy_launcher() -> CupyLauncher:
    """The launcher of CuPy's present device."""
    import cupy

    return _launcher_of(cupy.cuda.Device().id)


@dataclass(frozen=True)
class Stack:
    """Problems of one shape, one above the other, as the kernels take them.

    Attributes
    ----------
    problems : tuple of Problem
    Y : array, shape (B, H, W)
    upper_bound, sparsity_map : array, shape (B, H, W), or None
        None if no problem has one.
    """

    problems: tuple[Problem, ...]
    Y: Array
    upper_bound: Array | None
    sparsity_map: Array | None

    @classmethod
    def of(cls, problems: tuple[Problem, ...], xp: Any) -> Stack:
        """Stack problems; a single one without a copy.

        Raises
        ------
        InvalidInput
            They differ in shape, type, model or boundary, or their type has no kernels.
        """
        kinds = {(p.Y.shape, str(p.Y.dtype), p.model, p.boundary) for p in problems}
        if len(kinds) != 1:
            raise InvalidInput("problems of a batch must agree in shape, type, model and boundary")
        ((shape, kind, _, _),) = kinds
        if len(shape) != 2 or kind not in _TYPES:
            raise InvalidInput(
                f"Y has shape {tuple(shape)} and type {kind}; give (H, W) in float32 or float64"
            )

        def together(planes: list[Array]) -> Array:
            planes = [xp.ascontiguousarray(xp.asarray(u, dtype=kind)) for u in planes]
            return planes[0][None] if len(planes) == 1 else xp.stack(planes)

        def optional(name: str, default: Any) -> Array | None:
            given = [getattr(p, name) for p in problems]
            if all(plane is None for plane in given):
                return None
            pairs = zip(given, problems, strict=True)
            return together([default(p) if plane is None else plane for plane, p in pairs])

        return cls(
            problems,
            together([p.Y for p in problems]),
            optional("upper_bound", lambda p: p.Y),
            optional("sparsity_map", lambda p: xp.ones_like(p.Y)),
        )

    def like(self, arrays: tuple[Array, ...], xp: Any) -> tuple[Array, ...]:
        """Arrays in the type and memory order that the kernels take; copies only what differs."""
        return tuple(xp.ascontiguousarray(xp.asarray(u, dtype=self.Y.dtype)) for u in arrays)

    @property
    def periodic(self) -> bool:
        """Whether rows and columns wrap around."""
        return self.problems[0].boundary == "periodic"

    @property
    def rain(self) -> bool:
        """Whether 0 ≤ R ≤ U holds."""
        return self.problems[0].model == "rain"

    @property
    def arrays(self) -> tuple[Array, Array, Array]:
        """Y, U and D for a kernel; where a macro says that it reads no U or D, Y stands in."""
        Y = self.Y
        return (
            Y,
            Y if self.upper_bound is None else self.upper_bound,
            Y if self.sparsity_map is None else self.sparsity_map,
        )

    @property
    def macros(self) -> tuple[tuple[str, str | int], ...]:
        """What of the problems a kernel must know when it is compiled."""
        return (
            ("REAL", _TYPES[str(self.Y.dtype)]),
            ("RAIN", int(self.rain)),
            ("UPPER_BOUND", int(self.rain and self.upper_bound is not None)),
            ("SPARSITY_MAP", int(self.sparsity_map is not None)),
        )

    @property
    def extent(self) -> tuple[np.int32, np.int32, np.int32]:
        """Height, width and whether rows and columns wrap, as kernels take them."""
        _, height, width = self.Y.shape
        return np.int32(height), np.int32(width), np.int32(self.periodic)
