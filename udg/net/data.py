"""Pictures to train on, and random crops of them.

Which crop has which number depends on the seed only: a run that goes on after an interruption, or
is spread over several processes, sees the crops it would have seen.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udg._version import __version__
from udg.errors import FileError, InvalidImage, InvalidInput
from udg.imaging.image import prepare
from udg.io.files import read
from udg.io.paths import expand, plain_errors, replacing, write_bytes

__all__ = [
    "Angles",
    "Crops",
    "Images",
    "Sampler",
    "TrainingPicture",
    "as_light",
    "find",
    "fingerprint",
    "load",
    "read_angles",
    "solver_targets",
    "write_angles",
]

Images = Any  # a folder, a picture, or a sequence of paths or arrays
Angles = float | Sequence[float] | Mapping[str, float] | str | os.PathLike[str]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingPicture:
    """A picture to train on, as it is kept in memory.

    Attributes
    ----------
    name : str
        Its file's name, or its number.
    light : Tensor, shape (C, H, W)
        What the network looks at: uint8 for pictures of 8 bits, to save memory, else float32 in
        [0, 1].
    angle : float
        Direction of its streaks, degrees clockwise from vertical.
    target : Tensor, shape (1, H, W), float16, optional
        Rain that `udg.solve` found.
    sparsity_map : Tensor, shape (1, H, W), float32, optional
        Factor on `lam_r`, at least 1, where rain is denser than is to be expected, or the scene
        has much texture (`udg.detection.density.LocalDensity`).
    """

    name: str
    light: Tensor
    angle: float = 0.0
    target: Tensor | None = None
    sparsity_map: Tensor | None = None


class Crops(NamedTuple):
    """A batch of crops.

    Attributes
    ----------
    images : Tensor, shape (B, C, h, w), float32
        Values in [0, 1].
    angles : Tensor, shape (B,), float32
        Degrees.
    targets : Tensor, shape (B, 1, h, w), float32, or None
        The solver's rain.
    sparsity_maps : Tensor, shape (B, 1, h, w), float32, or None
        Those of the pictures.
    """

    images: Tensor
    angles: Tensor
    targets: Tensor | None = None
    sparsity_maps: Tensor | None = None

    def to(self, device: torch.device) -> Crops:
        """Copy to a device; on a GPU without waiting for it."""

        def copied(u: Tensor) -> Tensor:
            return (u.pin_memory() if device.type == "cuda" else u).to(device, non_blocking=True)

        return Crops(*(None if u is None else copied(u) for u in self))  # type: ignore[arg-type]


def load(
    images: Images,
    channels: int = 3,
    angles: Angles | None = None,
    *,
    targets: Callable[[Any, float], Tensor] | None = None,
) -> list[TrainingPicture]:
    """Read pictures, and find the direction of their streaks.

    Parameters
    ----------
    images : path-like, array, or sequence of path-like or array
        A folder of pictures, a file, an array as for `udg.solve`, or several of the last two.
    channels : int
        3 for colours (grey is repeated), 1 for the darkest channel.
    angles : float, sequence, mapping or path-like, optional
        Degrees: one for all, one an image, by name, or a file as `read_angles` reads it. Default:
        `udg.estimate_angle`. NaN where no angle is needed.
    targets : callable, optional
        Called with pixels and angle of each; what it returns becomes the target.

    Returns
    -------
    list of TrainingPicture

    Raises
    ------
    InvalidInput
        There are no images, or the angles do not fit them.
    InvalidImage
        An image cannot be used.
    FileError
        A file cannot be read.
    """
    named = find(images)
    known = _known(angles, [name for name, _ in named])
    pictures = []
    for (name, source), angle in zip(named, known, strict=True):
        pixels = source if not isinstance(source, Path) else read(source).pixels
        try:
            prepared = prepare(pixels)
            light = _light(prepared, channels)
        except InvalidImage as error:
            raise InvalidImage(f"{name}: {error}") from None
        if angle is None:
            from udg.detection.angle import estimate_angle

            angle = float(estimate_angle(np.asarray(prepared.luma())).degrees)
        target = None if targets is None else targets(pixels, angle)
        pictures.append(TrainingPicture(name, light, angle, target))
    return pictures


def find(images: Images) -> list[tuple[str, Any]]:
    """List pictures without reading them.

    Parameters
    ----------
    images : path-like, array, or sequence of path-like or array
        As for `load`.

    Returns
    -------
    list of (str, Path or array)
        Name, and where it is or what.

    Raises
    ------
    InvalidInput
        There are none.
    """
    if isinstance(images, (str, os.PathLike)) or getattr(images, "ndim", 0) in (2, 3):
        images = [images]
    named: list[tuple[str, Any]] = []
    for number, image in enumerate(images):
        if isinstance(image, (str, os.PathLike)):
            named += [(str(one.name), one.path) for one in expand([image])]
        else:
            named.append((str(number), np.asarray(image)))
    if not named:
        raise InvalidInput("there are no images to train on; give at least one")
    return named


def _known(angles: Angles | None, names: list[str]) -> list[float | None]:
    """The angle of each image, None where it has to be estimated."""
    if angles is None:
        return [None] * len(names)
    if isinstance(angles, (str, os.PathLike)):
        angles = read_angles(angles)
    if isinstance(angles, Mapping):
        stems = {Path(name).stem: angle for name, angle in angles.items()}
        missing = [name for name in names if Path(name).stem not in stems]
        if missing:
            raise InvalidInput(f"there is no angle for {missing[0]}; add it, or give no angles")
        angles = [stems[Path(name).stem] for name in names]
    several = [float(angle) for angle in np.atleast_1d(np.asarray(angles, dtype=float))]
    if len(several) == 1:
        several *= len(names)
    if len(several) != len(names):
        raise InvalidInput(
            f"{len(several)} angles were given for {len(names)} images; give one each"
        )
    wrong = [angle for angle in several if abs(angle) > 45 or math.isinf(angle)]
    if wrong:
        raise InvalidInput(f"angle is {wrong[0]:g}°, but rain lies within ±45°")
    return list(several)


def read_angles(path: str | os.PathLike[str]) -> dict[str, float]:
    """Read angles from a CSV of two columns, file name (suffix optional) and degrees.

    Parameters
    ----------
    path : path-like
        A first line that holds no number in its second column is a heading.

    Returns
    -------
    dict of str to float

    Raises
    ------
    FileError
        The file cannot be read, or a line has no number.
    """
    path = Path(path)
    with plain_errors(path, "read"):
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    angles = {}
    for number, row in enumerate(csv.reader(io.StringIO(text))):
        if not row:
            continue
        try:
            angles[row[0]] = float(row[1])
        except (IndexError, ValueError):
            if number > 0:
                raise FileError(
                    f"cannot read {path}: line {number + 1} is not a file name and a number"
                ) from None
    return angles


def write_angles(path: str | os.PathLike[str], pictures: Sequence[TrainingPicture]) -> None:
    """Write angles as `read_angles` reads them.

    Parameters
    ----------
    path : path-like
        An existing file is replaced.
    pictures : sequence of TrainingPicture
        Whose angles.

    Raises
    ------
    FileError
        The file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "angle"])
    writer.writerows([picture.name, repr(picture.angle)] for picture in pictures)
    write_bytes(path, text.getvalue().encode(), overwrite=True)


def _light(image: Any, channels: int) -> Tensor:
    if channels == 3 and image.colours not in (1, 3):
        raise InvalidImage(
            f"the image has {image.colours} bands and a network of 3 channels is for RGB or grey; "
            "give three of them, or use a network of one channel"
        )
    if image.pixels.dtype == np.uint8:  # as they are: a quarter of the memory
        planes = image.pixels if image.pixels.ndim == 3 else image.pixels[:, :, None]
        planes = planes[:, :, : image.colours]
        planes = planes.min(axis=2, keepdims=True) if channels == 1 else planes
    else:
        planes = image.darkest()[:, :, None] if channels == 1 else image.unit()
    light = torch.from_numpy(np.ascontiguousarray(np.moveaxis(planes, 2, 0)))
    return light.expand(channels, -1, -1)


def as_light(planes: Tensor) -> Tensor:
    """Convert the planes that are kept to float32 in [0, 1]."""
    return planes.float() / 255 if planes.dtype == torch.uint8 else planes.float()


def solver_targets(folder: Path | None) -> Callable[[Any, float], Tensor]:
    """Make the targets of a distillation, for `load`: rain as `udg.solve` finds it.

    Parameters
    ----------
    folder : Path, optional
        Where each is kept, by content and angle, so that it is computed once.

    Returns
    -------
    callable
        From pixels and angle to a Tensor of shape (1, H, W) in float16.
    """

    def target(pixels: Any, angle: float) -> Tensor:
        from udg.pipeline.whole import solve

        pixels = np.ascontiguousarray(pixels)
        about = f"{__version__} {pixels.shape} {pixels.dtype} {angle!r}".encode()
        key = hashlib.sha256(about + pixels.tobytes()).hexdigest()[:24]
        path = folder / f"{key}.npy" if folder is not None else None
        if path is not None and path.exists():
            with plain_errors(path, "read"):
                return torch.from_numpy(np.load(path, allow_pickle=False))
        rain = solve(pixels, angle=angle).rain[None].astype(np.float16)
        if path is not None:
            with plain_errors(path, "write"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacing(path) as file:
                    np.save(file, rain)
        return torch.from_numpy(rain)

    return target


class Sampler:
    """Random crops of pictures: each picture once, in random order, then again in another.

    Parameters
    ----------
    pictures : sequence of TrainingPicture
        Not modified.
    side : int
        Of the frame in which the network works. Crops are √2 times as large, so that it holds
        nothing but picture at any angle; where a picture is smaller than that, so are all crops.
    seed : int
        The same seed gives the same crops.
    flips : bool
        Mirror half of the crops, in each direction; their angle with them.
    stream : int
        Tells samplers of the same seed apart.

    Raises
    ------
    InvalidInput
        A picture is smaller than `side`.
    """

    def __init__(
        self,
        pictures: Sequence[TrainingPicture],
        side: int,
        seed: int = 0,
        flips: bool = True,
        stream: int = 0,
    ) -> None:
        self.pictures = list(pictures)
        self.seed, self.flips, self.stream = seed, flips, stream
        wanted = math.ceil(side * math.sqrt(2)) + 1
        shapes = [picture.light.shape[-2:] for picture in pictures]
        least = min(min(shape) for shape in shapes)
        if least < side:
            small = next(p for p in pictures if min(p.light.shape[-2:]) == least)
            height, width = small.light.shape[-2:]
            raise InvalidInput(
                f"{small.name} is {width}×{height} pixels, smaller than crop={side}; "
                "leave it out, or give a smaller crop"
            )
        self.shape = (
            min(wanted, *(shape[0] for shape in shapes)),
            min(wanted, *(shape[1] for shape in shapes)),
        )
        if min(self.shape) < wanted:
            _log.warning(
                "pictures of less than %d pixels a side: corners of crops are not used", wanted
            )

    def batch(self, first: int, count: int) -> Crops:
        """The crops with these numbers.

        Parameters
        ----------
        first, count : int
            Number of the first crop, and how many.

        Returns
        -------
        Crops
        """
        crops = [self._crop(number) for number in range(first, first + count)]
        images, angles, targets, sparsity_maps = zip(*crops, strict=True)
        return Crops(
            torch.stack(images),
            torch.tensor(angles, dtype=torch.float32),
            None if targets[0] is None else torch.stack(targets),
            None if sparsity_maps[0] is None else torch.stack(sparsity_maps),
        )

    def _crop(self, number: int) -> tuple[Tensor, float, Tensor | None, Tensor | None]:
        turn, place = divmod(number, len(self.pictures))
        picture = self.pictures[_order(len(self.pictures), self.seed, self.stream, turn)[place]]
        random = np.random.default_rng([self.seed, self.stream, 1, number])
        height, width = self.shape
        top = int(random.integers(picture.light.shape[-2] - height + 1))
        left = int(random.integers(picture.light.shape[-1] - width + 1))
        mirrored = [axis for axis in (-2, -1) if self.flips and random.random() < 0.5]

        def cut(plane: Tensor) -> Tensor:
            plane = plane[:, top : top + height, left : left + width]
            return as_light(plane).flip(mirrored)

        angle = -picture.angle if len(mirrored) == 1 else picture.angle
        planes = (picture.target, picture.sparsity_map)
        target, sparsity_map = (None if plane is None else cut(plane) for plane in planes)
        return cut(picture.light), angle, target, sparsity_map


@lru_cache(maxsize=8)
def _order(count: int, seed: int, stream: int, turn: int) -> list[int]:
    random = np.random.default_rng([seed, stream, 0, turn])
    return [int(place) for place in random.permutation(count)]


def fingerprint(pictures: Sequence[TrainingPicture]) -> str:
    """Compute a short text that changes with any picture, angle or target.

    Parameters
    ----------
    pictures : sequence of TrainingPicture
        In order.

    Returns
    -------
    str
    """
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(f"{picture.light.shape} {picture.angle!r} ".encode())
        for plane in (picture.light, picture.target):
            if plane is not None:
                digest.update(plane.contiguous().numpy().tobytes())
    return digest.hexdigest()[:24]
