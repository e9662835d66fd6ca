"""Gradients and linear regions in float64, for the search: nothing here is rigorous."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from ...arithmetic.float64 import Array
from ...network import Network
from ..deepest import deepest
from .units import Units

NARROW = 40  # the most inputs of a box whose faces enter a least-distance program


def dual_norm(gradient: Array, norm: str | int) -> Array:
    """The 1-norm (norm inf) or 2-norm over the last axis."""
    return np.abs(gradient).sum(axis=-1) if norm == "inf" else np.linalg.norm(gradient, axis=-1)


def masks(net: Network, x: Array) -> list[Array]:
    """Per hidden layer, which neurons are on at x (k, p_0): bool (k, p_l)."""
    found = []
    for A, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        z = x @ A.T + b
        found.append(z > 0)
        x = np.maximum(z, 0.0)
    return found


def values(net: Network, units: Units, x: Array) -> Array:
    """(k,): the dual norm of the formal gradient at x (k, p_0) over the free inputs."""
    problem = units.problem
    g = np.broadcast_to(problem.coefficients @ net.weights[-1], (len(x), net.widths[-2]))
    for A, on in zip(net.weights[-2::-1], masks(net, x)[::-1], strict=True):
        g = (g * on) @ A
    return dual_norm(g[:, units.free], problem.norm)


def region_rows(net: Network, units: Units, pattern: list[Array]) -> tuple[Array, Array]:
    """G (m, n), h (m,) with  G xi + h > 0  in the region of `pattern` (bool (p_l,) per layer); constant rows left out.

    Rows of G have norm 1.
    """
    J = np.zeros((net.widths[0], len(units.free)))
    J[units.free, np.arange(len(units.free))] = units.scale
    value = units.center
    rows, offsets = [], []
    for A, b, on in zip(net.weights[:-1], net.biases[:-1], pattern, strict=True):
        J, value = A @ J, A @ value + b
        sign = np.where(on, 1.0, -1.0)
        size = np.linalg.norm(J, axis=1)
        moves = size > 0
        rows.append(sign[moves, None] * J[moves] / size[moves, None])
        offsets.append(sign[moves] * value[moves] / size[moves])
        J, value = J * on[:, None], value * on
    return np.concatenate(rows), np.concatenate(offsets)


def inner_point(G: Array, h: Array, units: Units, margin: float) -> Array | None:
    """A point xi (n,) of the domain with G xi + h >= margin, rows of norm 1; None where none was found.

    The least-norm one (Lawson and Hanson, *Solving Least Squares Problems*, ch. 23: least-distance
    programming by nonnegative least squares), so that it lies in the ball whenever one does.
    """
    n = G.shape[1]
    box = units.bounded and not units.ball
    if box and n > NARROW:
        found = deepest(G, h, np.ones(len(h)))
        return found[1] if found is not None and found[0] >= margin else None
    lhs, rhs = G, margin - h
    if box:
        lhs = np.vstack([G, np.eye(n), -np.eye(n)])
        rhs = np.concatenate([rhs, np.full(2 * n, -1.0)])
    target = np.zeros(n + 1)
    target[n] = 1.0
    try:
        weight, _ = nnls(np.vstack([lhs.T, rhs]), target)
    except (RuntimeError, ValueError):
        return None
    residual = np.vstack([lhs.T, rhs]) @ weight - target
    if not -residual[n] > 1e-13:
        return None
    xi = residual[:n] / -residual[n]
    if units.bounded:
        inside = units.project(xi)
        if np.abs(inside - xi).max(initial=0.0) > 1e-9:
            return None
        xi = inside
    return xi if (G @ xi + h >= 0.5 * margin).all() else None
