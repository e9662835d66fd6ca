"""The diagonal of the dual: for fixed multipliers, the d that makes the certified bound smallest."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from ..enclosure import Array


def tighten(
    M: Array, square_is_one: Array, d: Array | None = None, tolerance: float = 1e-6, iterations: int = 60
) -> Array:
    """d (N,) float64 with Diag(d) - M positive definite and sum d near its least (a path-following Newton method).

    Minimises  sum d - mu logdet(Diag(d) - M) - mu sum_box log d  along mu -> 0, over d >= 0 where y_k^2 may
    be below 1; the Hessian is mu S^-1 o S^-1 (DESIGN section 6, SOLVERS.md step 4). Every iterate is feasible.

    Args:
        M: (N, N) symmetric float64.
        square_is_one: (N,) bool; False marks the box entries.
        d: (N,) start; shifted until feasible.
        tolerance: stop when the barrier's gap, mu times its parameter, is below tolerance * sum d.
        iterations: at most this many Newton steps.
    """
    box = ~square_is_one
    d, smallest = _feasible(M, box, np.abs(M).sum(axis=1) if d is None else d)
    parameter = len(d) + int(box.sum())
    mu = max(smallest, 0.1 * tolerance * d.sum() / parameter)
    best = d
    for _ in range(iterations):
        step, decrement = _newton(M, box, d, mu)
        if step is None:
            break
        length = 1.0
        while length > 1e-6 and not _is_feasible(M, box, d + length * step):
            length *= 0.7
        if length <= 1e-6:
            break
        d = d + (0.95 * length if length < 1.0 else length) * step
        if d.sum() < best.sum():
            best = d
        if decrement < 1.0 or length == 1.0:
            if mu * parameter <= tolerance * abs(d.sum()):
                break
            mu *= 0.15 if decrement < 0.5 else 0.4
    return best


def _newton(M: Array, box: Array, d: Array, mu: float) -> tuple[Array | None, float]:
    """The Newton step of the barrier problem and its decrement (in units of mu)."""
    try:
        factor = scipy.linalg.cho_factor(np.diag(d) - M, lower=True)
        inverse = scipy.linalg.cho_solve(factor, np.eye(len(d)))
        gradient = 1.0 - mu * np.diag(inverse)
        hessian = mu * inverse**2
        if box.any():
            gradient[box] -= mu / d[box]
            hessian[box, box] += mu / d[box] ** 2
        step = -scipy.linalg.cho_solve(scipy.linalg.cho_factor(hessian, lower=True), gradient)
    except (np.linalg.LinAlgError, ValueError):
        return None, 0.0
    return step, float(np.sqrt(max(-(gradient @ step) / mu, 0.0)))


def _is_feasible(M: Array, box: Array, d: Array) -> bool:
    if not np.isfinite(d).all() or (d[box] <= 0).any():
        return False
    try:
        np.linalg.cholesky(np.diag(d) - M)
    except np.linalg.LinAlgError:
        return False
    return True


def _feasible(M: Array, box: Array, d: Array) -> tuple[Array, float]:
    """A feasible start at or above d: d plus a multiple of a weight that is large where d is; and that multiple."""
    weight = np.maximum(d, 1e-2 * max(float(np.mean(np.abs(d))), 1e-300))
    d = np.where(box, np.maximum(d, 1e-9 * weight), d)
    root = np.sqrt(weight)
    scaled = (np.diag(d) - M) / np.outer(root, root)
    smallest = float(scipy.linalg.eigh(scaled, eigvals_only=True, subset_by_index=[0, 0])[0])
    shift = max(-smallest, 0.0) * 1.05 + 1e-7
    while not _is_feasible(M, box, d + shift * weight):
        shift *= 2.0
    return d + shift * weight, shift * float(weight.mean())
