"""Slow and obvious twins of what the package does fast: matrices, loops, and an outside solver."""

from functools import cache

import cvxpy as cp
import numpy as np

from udg import Problem, Weights


def difference_matrix(shape, axis, boundary):
    """Dense matrix of forward differences of row-major images; axis 0 is along, 1 across."""
    height, width = shape
    D = np.zeros((height * width, height * width))
    for i in range(height):
        for j in range(width):
            here = i * width + j
            next_i, next_j = (i + 1, j) if axis == 0 else (i, j + 1)
            if boundary == "periodic":
                next_i, next_j = next_i % height, next_j % width
            if next_i < height and next_j < width:
                D[here, next_i * width + next_j] += 1
                D[here, here] -= 1
    return D


def energy(problem, X, R):
    """Eq. 3 plus lam_r‖R‖₁, by matrices."""
    Y, w = problem.Y, problem.weights
    Dx, Dy = (difference_matrix(Y.shape, axis, problem.boundary) for axis in (0, 1))
    x, r, y = X.ravel(), R.ravel(), Y.ravel()
    return (
        0.5 * ((x + r - y) ** 2).sum()
        + w.tau * (abs(Dx @ x).sum() + abs(Dy @ x).sum())
        + w.lam_x * abs(Dx @ r).sum()
        + w.lam_y * abs(Dy @ (r - y)).sum()
        + w.lam_r * abs(r).sum()
    )


@cache
def _cvxpy_problem(shape, model, boundary):
    size = shape[0] * shape[1]
    Dx, Dy = (difference_matrix(shape, axis, boundary) for axis in (0, 1))
    x, r = cp.Variable(size), cp.Variable(size)
    # lam_y·∇yY is a parameter of its own: products of parameters would be compiled each time.
    y, upper, edges = cp.Parameter(size), cp.Parameter(size), cp.Parameter(size)
    tau, lam_x, lam_y = (cp.Parameter(nonneg=True) for _ in range(3))
    sparsity = cp.Parameter(size, nonneg=True)
    objective = (
        0.5 * cp.sum_squares(x + r - y)
        + tau * (cp.norm1(Dx @ x) + cp.norm1(Dy @ x))
        + lam_x * cp.norm1(Dx @ r)
        + cp.norm1(lam_y * (Dy @ r) - edges)
        + sparsity @ cp.abs(r)
    )
    bounds = [r >= 0, r <= upper] if model == "rain" else []
    return (
        cp.Problem(cp.Minimize(objective), bounds),
        (y, upper, edges, tau, lam_x, lam_y, sparsity),
        Dy,
    )


def exact_minimum(problem: Problem) -> float:
    """The minimum of the energy by Clarabel, an interior-point method, to about 1e-9."""
    shape = problem.Y.shape
    program, parameters, Dy = _cvxpy_problem(shape, problem.model, problem.boundary)
    w: Weights = problem.weights
    y = np.asarray(problem.Y, float).ravel()
    sparsity = np.broadcast_to(problem.sparsity, problem.Y.shape).ravel()
    upper = np.asarray(problem.upper, float).ravel()
    values = (y, upper, w.lam_y * (Dy @ y), w.tau, w.lam_x, w.lam_y, sparsity)
    for parameter, value in zip(parameters, values, strict=True):
        parameter.value = value
    return float(program.solve(solver=cp.CLARABEL))


def alternating(Y, tau, lam_x, lam_y, *, inner, outer, penalty, growth, cap):
    """Eq. 4–11 line by line with NumPy's complex FFT and periodic differences."""

    def nabla_x(u):
        return np.roll(u, -1, 0) - u

    def nabla_y(u):
        return np.roll(u, -1, 1) - u

    def nabla_x_T(u):
        return np.roll(u, 1, 0) - u

    def nabla_y_T(u):
        return np.roll(u, 1, 1) - u

    def shrink_L1(r, xi):
        return np.sign(r) * np.maximum(np.abs(r) - xi, 0)

    kernel_x, kernel_y = np.zeros(Y.shape), np.zeros(Y.shape)
    kernel_x[0, 0] -= 1
    kernel_x[-1, 0] += 1
    kernel_y[0, 0] -= 1
    kernel_y[0, -1] += 1
    F_x, F_y = np.fft.fft2(kernel_x), np.fft.fft2(kernel_y)

    X, R = Y.copy(), np.zeros_like(Y)
    Px, Py = nabla_x(R), nabla_y(R) - nabla_y(Y)
    Zx, Zy = nabla_x(X), nabla_y(X)
    Jx, Jy, Kx, Ky = (np.zeros_like(Y) for _ in range(4))
    for _ in range(outer):
        alpha = beta = penalty
        for _ in range(inner):
            top = (
                (Y - X) + nabla_x_T(alpha * Px - Jx) + nabla_y_T(beta * Py + beta * nabla_y(Y) - Jy)
            )
            bottom = 1 + alpha * abs(F_x) ** 2 + beta * abs(F_y) ** 2
            R = np.fft.ifft2(np.fft.fft2(top) / bottom).real  # Eq. 7
            Px = shrink_L1(nabla_x(R) + Jx / alpha, lam_x / alpha)  # Eq. 9
            Py = shrink_L1(nabla_y(R) - nabla_y(Y) + Jy / beta, lam_y / beta)
            Jx = Jx + alpha * (nabla_x(R) - Px)  # Eq. 10
            Jy = Jy + beta * (nabla_y(R) - nabla_y(Y) - Py)
            alpha, beta = min(alpha * growth, cap), min(beta * growth, cap)
        alpha = beta = penalty
        for _ in range(inner):  # Eq. 11, likewise
            top = (Y - R) + nabla_x_T(alpha * Zx - Kx) + nabla_y_T(beta * Zy - Ky)
            bottom = 1 + alpha * abs(F_x) ** 2 + beta * abs(F_y) ** 2
            X = np.fft.ifft2(np.fft.fft2(top) / bottom).real
            Zx = shrink_L1(nabla_x(X) + Kx / alpha, tau / alpha)
            Zy = shrink_L1(nabla_y(X) + Ky / beta, tau / beta)
            Kx = Kx + alpha * (nabla_x(X) - Zx)
            Ky = Ky + beta * (nabla_y(X) - Zy)
            alpha, beta = min(alpha * growth, cap), min(beta * growth, cap)
    return X, R
