"""Sparse coding: orthogonal matching pursuit with a limit for each group of atoms, and MOD.

scikit-learn's pursuit knows one limit for all atoms and codes a patch in about 1 ms; the tens of
thousands of patches of one picture ask for compiled code.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .patches import Floats

Ints = NDArray[np.integer]


def pursue(
    signals: Floats, dictionary: Floats, groups: Ints, limits: tuple[int, ...], error: float = 0.0
) -> tuple[Ints, Floats]:
    """Code signals by orthogonal matching pursuit, each group of atoms at most so often.

    Parameters
    ----------
    signals : ndarray, shape (N, D)
        What is coded.
    dictionary : ndarray, shape (K, D)
        Atoms of unit length.
    groups : ndarray of int, shape (K,)
        Group of each atom.
    limits : tuple of int
        Most atoms of each group in one code.
    error : float
        Largest sum of squared errors at which a code is good enough.

    Returns
    -------
    atoms : ndarray of int, shape (N, T)
        T is the sum of the limits; −1 where the code has fewer.
    values : ndarray, shape (N, T)
        Their coefficients, 0 where there is none.
    """
    atoms = np.full((len(signals), sum(limits)), -1)
    values = np.zeros(atoms.shape, np.float32)
    dictionary = np.ascontiguousarray(dictionary, dtype=np.float32)
    signals = np.ascontiguousarray(signals, dtype=np.float32)
    gram = dictionary @ dictionary.T
    step = 4096
    for start in range(0, len(signals), step):
        part = slice(start, start + step)
        match = signals[part] @ dictionary.T
        left = np.einsum("nd,nd->n", signals[part], signals[part])
        _pursue(match, left, gram, groups, np.array(limits), error, atoms[part], values[part])
    return atoms, values


@numba.njit(fastmath=True)
def _pursue(match, left, gram, groups, limits, error, atoms, values):  # type: ignore[no-untyped-def]
    """Fill in the codes; `match` and `left` become those of the residuals.

    The chosen atoms are made orthonormal one after the other. `basis[t]` holds the products of the
    t-th with all atoms, `lower` the Cholesky factor of the chosen atoms' Gram matrix.
    """
    size, most = len(gram), atoms.shape[1]
    basis = np.empty((most, size), np.float32)
    lower = np.zeros((most, most), np.float32)
    heights = np.empty(most, np.float32)
    for n in range(len(match)):
        room = limits.copy()
        used = 0
        while used < most and left[n] > error:
            best, chosen = np.float32(1e-7), -1
            for k in range(size):
                height = abs(match[n, k])
                if height > best and room[groups[k]] > 0:
                    best, chosen = height, k
            if chosen < 0:
                break
            basis[used] = gram[chosen]
            rest = gram[chosen, chosen]
            for t in range(used):
                lower[used, t] = basis[t, chosen]
                rest -= basis[t, chosen] ** 2
                basis[used] -= basis[t, chosen] * basis[t]
            if rest < 1e-5:  # as good as dependent on those chosen before
                break
            lower[used, used] = np.sqrt(rest)
            basis[used] /= lower[used, used]
            heights[used] = match[n, chosen] / lower[used, used]
            match[n] -= heights[used] * basis[used]
            left[n] -= heights[used] ** 2
            atoms[n, used] = chosen
            room[groups[chosen]] -= 1
            used += 1
        for t in range(used - 1, -1, -1):
            value = heights[t]
            for later in range(t + 1, used):
                value -= lower[later, t] * values[n, later]
            values[n, t] = value / lower[t, t]


def decode(atoms: Ints, values: Floats, dictionary: Floats, mine: NDArray[np.bool_]) -> Floats:
    """What the atoms that are `mine`, shape ``(K,)``, add to each signal, shape ``(N, D)``."""
    used = np.where(mine[atoms] & (atoms >= 0), values, 0)
    return matrix(atoms, used, len(dictionary)) @ dictionary


def matrix(atoms: Ints, values: Floats, size: int) -> csr_array:
    """The codes as a sparse matrix, shape ``(N, K)``."""
    rows = np.arange(0, atoms.size + 1, atoms.shape[1])
    return csr_array((values.ravel(), atoms.ravel().clip(0), rows), shape=(len(atoms), size))


def update(signals: Floats, dictionary: Floats, atoms: Ints, values: Floats) -> Floats:
    """Least-squares dictionary for these codes (MOD, Engan et al. 1999), atoms of unit length.

    Atoms that no code uses become the signals that are coded worst, while there are any.
    """
    codes = matrix(atoms, values, len(dictionary))
    normal = (codes.T @ codes).toarray()
    unused = np.flatnonzero(normal.diagonal() < 1e-8)
    normal[unused, unused] = 1
    ridge = 1e-6 * normal.trace() / len(normal)
    new = np.linalg.solve(normal + ridge * np.eye(len(normal)), codes.T @ signals)
    if unused.size:
        errors = np.square(signals - codes @ dictionary).sum(1)
        worst = np.argsort(errors)[::-1][: unused.size]
        new[unused] = dictionary[unused]
        new[unused[: worst.size]] = signals[worst]
    return (new / np.linalg.norm(new, axis=1, keepdims=True).clip(1e-8)).astype(np.float32)
