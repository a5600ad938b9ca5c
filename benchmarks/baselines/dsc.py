"""DSC: patches of background and rain coded sparsely by atoms that serve one of the two only.

Y. Luo, Y. Xu and H. Ji, "Removing rain from a single image via discriminative sparse coding", ICCV
2015. The rainy image is a screen blend, J = B + R − B R = B + S with S = (1 − B) R, on luma. A
dictionary D is learnt from J itself and split into atoms of background and of rain (mutual
exclusivity); then codes and dictionary take turns,

    min Σᵢ ‖Pᵢ J − D_B bᵢ − D_R rᵢ‖²  with ‖bᵢ‖₀ ≤ T1 and ‖rᵢ‖₀ ≤ T2,

and the patches D_R rᵢ are averaged to S. Sizes, strides and sparsity are the authors'. Ours is how
the layers are told apart: a patch counts without its mean and on top of a smooth background, rain
atoms are those that vary least along the direction that most atoms share, and what neither
dictionary holds stays with the background.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from udg.imaging.image import prepare

from .patches import Floats, Grid, centre
from .pursuit import decode, pursue, update

PATCH = 16
HALF = 0.5 / 255  # half a grey level
SMOOTH = 4.0  # σ in pixels of the background that is not coded
STEEPEST = 45  # rain lies within so many degrees of vertical


def derain(image: Floats, *, seed: int = 0, iterations: int = 2, stride: int = 2) -> Floats:
    """Remove rain by discriminative sparse coding.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3) or (H, W)
        In [0, 1]; both sides at least 16 pixels.
    seed : int
        Of the training samples.
    iterations : int
        Turns of codes and dictionary. The authors' code has 5; later ones mostly changed less than
        0.1 dB.
    stride : int
        Distance of neighbouring patches in pixels.

    Returns
    -------
    ndarray, same shape as ``image``
        Derained, float32 in [0, 1].
    """
    picture = prepare(image)
    light = picture.luma()
    _, added = separate(light, seed=seed, iterations=iterations, stride=stride)
    # The same R in every channel, J = B + (1 − B) R, adds to each in the ratio of its 1 − J to that
    # of luma; HALF keeps the ratio at 1 where all is white.
    ratio = (1 - picture.unit() + HALF) / (1 - light + HALF)[:, :, None]
    derained = picture.unit() - ratio * added[:, :, None]
    return derained.clip(0, 1).astype(np.float32).reshape(image.shape)


def separate(
    image: Floats,
    *,
    atoms: tuple[int, int] = (512, 128),
    limits: tuple[int, int] = (5, 8),
    samples: int = 10_000,
    training_stride: int = 3,
    training_iterations: int = 5,
    stride: int = 2,
    iterations: int = 2,
    seed: int = 0,
) -> tuple[Floats, Floats]:
    """Separate luma into background B and the light S that rain adds, each of shape ``(H, W)``.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Luma in [0, 1].
    atoms : (int, int)
        Number of atoms of background and rain.
    limits : (int, int)
        T1 and T2: most atoms of background and of rain in one patch.
    samples : int
        Most patches that the first dictionary is learnt from, and that it is updated from.
    training_stride, stride : int
        Distance of neighbouring patches in pixels, in learning and in use.
    training_iterations, iterations : int
        Turns of codes and dictionary, before and after the split.
    seed : int
        Of the choice of samples.
    """
    rng = np.random.default_rng(seed)
    details = image - gaussian_filter(image, SMOOTH)
    training = centre(Grid(image.shape, PATCH, training_stride).extract(details))
    training = training[rng.permutation(len(training))[:samples]]
    dictionary = learn(training, sum(atoms), limits[0], training_iterations, rng)
    rainy = rain_atoms(dictionary, atoms[1])

    grid = Grid(image.shape, PATCH, stride)
    patches = centre(grid.extract(details))
    groups = rainy.astype(np.int64)
    codes = pursue(patches, dictionary, groups, limits)
    for _ in range(iterations - 1):
        drawn = rng.permutation(len(patches))[:samples]
        dictionary = update(patches[drawn], dictionary, codes[0][drawn], codes[1][drawn])
        codes = pursue(patches, dictionary, groups, limits)
    added = grid.average(decode(*codes, dictionary, rainy)).clip(0, image)
    return image - added, added


def learn(
    samples: Floats, atoms: int, limit: int, iterations: int, rng: np.random.Generator
) -> Floats:
    """Learn a dictionary, starting from samples of high contrast."""
    lengths = np.linalg.norm(samples, axis=1) + 1e-8
    chosen = rng.choice(
        len(samples), atoms, replace=len(samples) < atoms, p=lengths / lengths.sum()
    )
    dictionary = samples[chosen] / lengths[chosen, None]
    groups = np.zeros(atoms, dtype=np.int64)
    for _ in range(iterations):
        codes = pursue(samples, dictionary, groups, (limit,))
        dictionary = update(samples, dictionary, *codes)
    return dictionary


def rain_atoms(dictionary: Floats, count: int) -> NDArray[np.bool_]:
    """Mark the atoms that vary least along the direction of most: bool, shape ``(K,)``."""
    down, across, mixed = _tensors(dictionary)
    angle = np.deg2rad(direction(dictionary))
    # A streak runs along (−cos, sin) in rows and columns.
    along = np.cos(angle) ** 2 * down + np.sin(angle) ** 2 * across - np.sin(2 * angle) * mixed
    marked = np.zeros(len(dictionary), dtype=bool)
    marked[np.argsort(along / (down + across + 1e-12))[:count]] = True
    return marked


def direction(dictionary: Floats) -> float:
    """Direction that most atoms share, in degrees clockwise from vertical."""
    down, across, mixed = _tensors(dictionary)
    own = np.rad2deg(np.arctan2(2 * mixed, across - down) / 2)
    coherence = np.hypot(across - down, 2 * mixed) / (down + across + 1e-12)
    angles = np.arange(-STEEPEST, STEEPEST + 1)
    apart = (angles[:, None] - own + 90) % 180 - 90
    votes = np.exp(-np.square(apart / 5) / 2) @ coherence**2
    return float(angles[votes.argmax()])


def _tensors(dictionary: Floats) -> tuple[Floats, Floats, Floats]:
    """Structure tensor of each atom: down², across² and their product."""
    down, across = np.gradient(dictionary.reshape(-1, PATCH, PATCH), axis=(1, 2))
    pairs = (down, down), (across, across), (down, across)
    return tuple(np.einsum("kij,kij->k", a, b) for a, b in pairs)
