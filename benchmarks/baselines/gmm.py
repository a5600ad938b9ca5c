"""Layer priors: background and rain patches, each from its own Gaussian mixture.

Y. Li, R. T. Tan, X. Guo, J. Lu and M. S. Brown, "Rain streak removal using layer priors", CVPR
2016. On luma, with O = B + R, 0 ≤ B and R ≤ O,

    min ‖O − B − R‖² + α‖∇B‖₁ + β‖R‖² − γ Σᵢ (log G_B(P Bᵢ) + log G_R(P Rᵢ))

where P takes the mean off the patch Bᵢ or Rᵢ. G_B is fitted to photos without rain, G_R to the
flattest window of the image itself. Half-quadratic splitting gives ∇B and the patches variables of
their own.
"""

from __future__ import annotations

import warnings
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.optimize import minimize

from udg import batch
from udg.imaging.image import prepare
from udg.io.files import read

from .patches import Floats, Grid, centre

PATCH = 8
COMPONENTS = 20  # of the rain's mixture
FLOOR = 1e-5  # least variance of a patch's pixel: noise of 0.8 grey levels of 255
FREE = ("astronaut.png", "camera.png", "chelsea.png", "coffee.png", "rocket.jpg")
BARRIER = 10.0  # weight of the squared distance from the bounds
_CHUNK = 2048  # patches at a time, so that they stay in the cache


def derain(
    image: Floats,
    prior: Mixture,
    *,
    seed: int = 0,
    iterations: int = 5,
    stride: int = 3,
) -> Floats:
    """Remove rain by layer priors.

    Parameters
    ----------
    image : ndarray, shape (H, W, 3) or (H, W)
        In [0, 1].
    prior : Mixture
        The background's, from `background`.
    seed : int
        Of the fit of the rain's mixture.
    iterations : int
        Of the splitting.
    stride : int
        Distance of neighbouring patches in pixels; 1 is the paper's.

    Returns
    -------
    ndarray, same shape as ``image``
        The image less its rain, float32 in [0, 1]: what neither prior explains stays.
    """
    picture = prepare(image)
    light = picture.luma()
    window = flattest(light)
    streaks = Grid(window.shape, PATCH).extract(window)
    rain_prior = fit(streaks, COMPONENTS, steps=10, seed=seed)
    _, rain = separate(light, prior, rain_prior, iterations=iterations, stride=stride)
    derained = picture.unit() - rain[:, :, None]
    return derained.clip(0, 1).astype(np.float32).reshape(image.shape)


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture of patches whose mean was taken off.

    Parameters
    ----------
    weights : ndarray, shape (K,)
        Share of each component.
    means, covariances : ndarray, shape (K, D) and (K, D, D)
        Of the components; D is the number of pixels of a patch.
    """

    weights: Floats
    means: Floats
    covariances: Floats

    def restore(self, patches: Floats, noise: float) -> Floats:
        """Most probable patches behind noisy ones, shape ``(N, D)``.

        The component is the one under which the noisy patch is most likely, as in EPLL (Zoran and
        Weiss, ICCV 2011); the patch is then its Wiener estimate.

        Parameters
        ----------
        patches : ndarray, shape (N, D)
            Noisy patches, without their means.
        noise : float
            Variance of the noise, σ².
        """
        components = [
            _Component.of(weight, mean, values, vectors, noise)
            for weight, mean, values, vectors in zip(
                self.weights, self.means, *self._spectra, strict=True
            )
        ]
        found = np.empty_like(patches)
        for start in range(0, len(patches), _CHUNK):
            chunk = patches[start : start + _CHUNK]
            best = np.stack([one.score(chunk) for one in components]).argmax(0)
            for index in np.unique(best):
                mine = np.flatnonzero(best == index)
                found[start + mine] = components[index].wiener(chunk[mine])
        return found

    @cached_property
    def _spectra(self) -> tuple[Floats, Floats]:
        """Eigenvalues, the largest first, and eigenvectors of every covariance."""
        values, vectors = np.linalg.eigh(self.covariances)
        return values[:, ::-1].clip(0), vectors[:, :, ::-1]


class _Component(NamedTuple):
    """One Gaussian plus noise, in the eigenvectors of its covariance."""

    offset: float  # log of weight and normalisation
    mean: Floats
    vectors: Floats
    values: Floats
    noise: float

    @classmethod
    def of(
        cls, weight: float, mean: Floats, values: Floats, vectors: Floats, noise: float
    ) -> _Component:
        offset = np.log(weight) - np.log(values + noise).sum() / 2
        mean, vectors, values = (part.astype(np.float32) for part in (mean, vectors, values))
        return cls(float(offset), mean, np.ascontiguousarray(vectors), values, noise)

    def score(self, patches: Floats) -> Floats:
        """Log-likelihood of noisy patches, but for a constant."""
        along = (patches - self.mean) @ self.vectors
        return self.offset - np.square(along) @ (1 / (self.values + self.noise)) / 2

    def wiener(self, patches: Floats) -> Floats:
        """(Σ + σ²)⁻¹(Σ p + σ² μ)."""
        along = (patches - self.mean) @ self.vectors
        shrunk = along * (self.values / (self.values + self.noise))
        return self.mean + shrunk @ self.vectors.T


def fit(patches: Floats, components: int, *, steps: int = 30, seed: int = 0) -> Mixture:
    """Fit a mixture to patches, shape ``(N, D)``, by scikit-learn's expectation maximisation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(components, max_iter=steps, reg_covar=FLOOR, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # cut short on purpose
        model.fit(centre(patches))
    return Mixture(model.weights_, model.means_, model.covariances_)


def fit_background(
    photos: list[Path], *, components: int = 200, patches: int = 50_000, seed: int = 0
) -> Mixture:
    """Fit the background's mixture to patches drawn from photos without rain."""
    rng = np.random.default_rng(seed)
    each = -(-patches // len(photos))
    drawn = []
    for path in photos:
        windows = sliding_window_view(prepare(read(path).pixels).luma(), (PATCH, PATCH))
        rows, columns = (rng.integers(length, size=each) for length in windows.shape[:2])
        drawn.append(windows[rows, columns].reshape(each, -1))
    return fit(np.concatenate(drawn), components, seed=seed)


def background(cache: Path, photos: Path | None = None, **options: int) -> Mixture:
    """Read the background's mixture from a folder, or fit it and keep it there.

    Parameters
    ----------
    cache : Path
        Folder in which the mixture is kept, by the photos' names and sizes and by the options.
    photos : Path, optional
        Folder of photos without rain; by default the free ones that scikit-image brings.
    **options
        For `fit_background`.
    """
    sources = _photos(photos)
    identity = repr([(path.name, path.stat().st_size) for path in sources]), sorted(options.items())
    path = cache / f"gmm-{zlib.crc32(repr(identity).encode()):08x}.npz"
    if not path.exists():
        mixture = fit_background(sources, **options)
        cache.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.npz")
        np.savez(
            partial,
            weights=mixture.weights,
            means=mixture.means.astype(np.float32),
            covariances=mixture.covariances.astype(np.float32),
        )
        partial.replace(path)
    with np.load(path) as kept:
        return Mixture(**kept)


def _photos(folder: Path | None) -> list[Path]:
    if folder is not None:
        return [found.path for found in batch.expand([folder])]
    import skimage.data

    home = Path(skimage.data.__file__).parent
    return [home / name for name in FREE]


def flattest(image: Floats, side: int = 100) -> Floats:
    """The window with the least variance: what varies there is rain."""
    side = min(side, *image.shape)
    grid = Grid(image.shape, side, 4)
    variances = grid.sums(image**2) / side**2 - (grid.sums(image) / side**2) ** 2
    row, column = np.unravel_index(variances.argmin(), variances.shape)
    rows, columns = grid.corners
    top, left = rows[row, 0], columns[column]
    return image[top : top + side, left : left + side]


@dataclass(frozen=True)
class Layers:
    """The half-quadratic problem in B and R, everything else held.

    ‖O − B − R‖² + β‖R‖² + ω‖∇B − H‖² + ω Σᵢ (‖P Bᵢ − gᵢ‖² + ‖P Rᵢ − hᵢ‖²), where the sum is scaled
    so that overlapping patches count each pixel about once. The bounds are a steep quadratic:
    SciPy's own take far longer to set up than the whole step.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        O.
    grid : Grid
        Where the patches lie.
    beta, omega : float
        β and ω.
    edges : ndarray, shape (2, H, W)
        H.
    patches : (ndarray, ndarray)
        gᵢ of the background and hᵢ of the rain, without means, each of shape ``(N, size²)``.
    """

    image: Floats
    grid: Grid
    beta: float
    omega: float
    edges: Floats
    patches: tuple[Floats, Floats]

    @cached_property
    def _share(self) -> float:
        return self.grid.stride**2 / self.grid.size**2

    @cached_property
    def _targets(self) -> list[tuple[Floats, float]]:
        return [(self.grid.overlay(p).astype(float), float(np.vdot(p, p))) for p in self.patches]

    def value(self, layers: Floats) -> tuple[float, Floats]:
        """Energy and gradient; layers is B and R, shape ``(2, H, W)``."""
        background, rain = layers
        misfit = background + rain - self.image
        slope = gradient(background) - self.edges
        value = np.vdot(misfit, misfit) + self.beta * np.vdot(rain, rain)
        value += self.omega * np.vdot(slope, slope)
        slopes = np.stack([misfit, misfit + self.beta * rain])
        slopes[0] += self.omega * gradient_adjoint(slope)
        outside = layers - self.bound(layers)
        value += BARRIER * np.vdot(outside, outside)
        slopes += BARRIER * outside
        weight = self.omega * self._share
        for layer, out, (target, constant) in zip(layers, slopes, self._targets, strict=True):
            sums = self.grid.sums(layer)
            normal = self.grid.cover * layer - self.grid.spread(sums) / self.grid.size**2
            value += weight * (np.vdot(layer, normal - 2 * target) + constant)
            out += weight * (normal - target)
        return float(value), 2 * slopes

    def minimize(self, layers: Floats, steps: int) -> Floats:
        """A few steps of L-BFGS, then into the bounds."""

        def flat(x: Floats) -> tuple[float, Floats]:
            value, slope = self.value(x.reshape(layers.shape))
            return value, slope.ravel()

        options = {"maxiter": steps}
        found = minimize(flat, layers.ravel(), jac=True, method="L-BFGS-B", options=options)
        return self.bound(found.x.reshape(layers.shape))

    def bound(self, layers: Floats) -> Floats:
        """The nearest layers with 0 ≤ B ≤ 1 and 0 ≤ R ≤ O."""
        background, rain = layers
        return np.stack([background.clip(0, 1), rain.clip(0, self.image)])


def gradient(image: Floats) -> Floats:
    """Forward differences down and across, zero at the end: shape ``(2, H, W)``."""
    return np.stack(
        [np.diff(image, axis=0, append=image[-1:]), np.diff(image, axis=1, append=image[:, -1:])]
    )


def gradient_adjoint(field: Floats) -> Floats:
    """Adjoint of `gradient`."""
    down, across = field[0].copy(), field[1].copy()
    down[-1] = 0
    across[:, -1] = 0
    return -np.diff(down, axis=0, prepend=0) - np.diff(across, axis=1, prepend=0)


def separate(
    image: Floats,
    background_prior: Mixture,
    rain_prior: Mixture,
    *,
    alpha: float = 1e-4,
    beta: float = 0.01,
    gamma: float = 0.003,
    omega: float = 0.1,
    growth: float = 2.0,
    iterations: int = 5,
    steps: int = 20,
    stride: int = 3,
) -> tuple[Floats, Floats]:
    """Separate luma into background and rain by half-quadratic splitting.

    Parameters
    ----------
    image : ndarray, shape (H, W)
        Luma in [0, 1].
    background_prior, rain_prior : Mixture
        G_B and G_R.
    alpha, beta, gamma : float
        Weights of the model.
    omega, growth : float
        First weight of the splitting, and its factor from one iteration to the next. The paper
        starts at 1; its sum counts a pixel once for each of the 64 patches that it belongs to.
    iterations : int
        Of the splitting: patches and edges, then layers.
    steps : int
        Most steps of L-BFGS in each.
    stride : int
        Distance of neighbouring patches in pixels; 1 is the paper's, at some three times the cost.
    """
    grid = Grid(image.shape, PATCH, stride)
    image = image.astype(float)
    layers = np.stack([image, np.zeros_like(image)])
    priors = background_prior, rain_prior
    for iteration in range(iterations):
        weight = omega * growth**iteration
        patches = [centre(grid.extract(layer.astype(np.float32))) for layer in layers]
        restored = tuple(
            centre(prior.restore(noisy, gamma / (2 * weight)))
            for prior, noisy in zip(priors, patches, strict=True)
        )
        slopes = gradient(layers[0])
        edges = np.sign(slopes) * (abs(slopes) - alpha / (2 * weight)).clip(0)
        layers = Layers(image, grid, beta, weight, edges, restored).minimize(layers, steps)
    return layers[0], layers[1]
