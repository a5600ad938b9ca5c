"""What can go wrong, and what each error is called.

::

    UdgError
    ├── InvalidInput (ValueError)     an argument that no method can use
    │   └── InvalidImage              … because of its pixels, shape or type
    ├── FileError (OSError)           a file that cannot be read or written
    ├── ClusterError (ConnectionError) a Dask cluster that cannot be reached or used
    ├── MissingExtra (ImportError)    an optional dependency that is not installed
    └── Diverged (ArithmeticError)    a training whose loss is no longer a number

Every message says what was wrong and what to do about it, so the command line prints it as it is.
"""

__all__ = [
    "ClusterError",
    "Diverged",
    "FileError",
    "InvalidImage",
    "InvalidInput",
    "MissingExtra",
    "UdgError",
]


class UdgError(Exception):
    """Base of every error that udg raises on purpose."""


class InvalidInput(UdgError, ValueError):
    """An argument is outside what the method is defined for."""


class InvalidImage(InvalidInput):
    """An image has a shape, type or values that no method can use."""


class FileError(UdgError, OSError):
    """A file cannot be read, is not an image, or cannot be written."""


class ClusterError(UdgError, ConnectionError):
    """A Dask cluster cannot be reached, has no workers, or lost the work it was given."""


class MissingExtra(UdgError, ImportError):
    """An optional dependency is missing; the message gives the command that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"{package} is needed for this and is not installed. "
            f"Install it with: pip install 'udg[{extra}]'"
        )


class Diverged(UdgError, ArithmeticError):
    """A network's training has come to NaN or infinity; its last checkpoint is kept."""
