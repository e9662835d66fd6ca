"""Gradients and linear regions in float64, for the search: nothing here is rigorous."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...layer import Layer
from ...network import Network
from ..deepest import deepest
from ..norms import dual_norm, lengths
from .units import Units

NARROW = 40  # the most inputs of a box whose faces enter a least-distance program


def values(net: Network, units: Units, x: Array) -> Array:
    """(k,): the dual norm of the formal gradient at x (k, p_0), of the entries that count."""
    problem = units.problem
    g = graph.gradients(net.layers, x, problem.coefficients)
    return dual_norm(g[:, units.free[units.along]], problem.norm)


class _Affine(NamedTuple):
    """A layer's values J xi + value in one region."""

    J: Array
    value: Array


def region_rows(net: Network, units: Units, pattern: list[Array]) -> tuple[Array, Array]:
    """G (m, n), h (m,) with  G xi + h > 0  in the region of `pattern` (bool (p_l,) per layer); constant rows left out.

    Rows of G have norm 1.
    """
    J = np.zeros((net.widths[0], len(units.free)))
    J[units.free, np.arange(len(units.free))] = units.scale
    rows, offsets = [], []

    def step(l: int, layer: Layer, below: graph.Pairs) -> _Affine:
        J = graph.total(A @ y.J for A, y in below)
        value = graph.total(A @ y.value for A, y in below) + layer.bias
        if not graph.is_masked(layer):
            return _Affine(J, value)
        on = pattern[l - 1]
        sign = np.where(on, 1.0, -1.0)
        size = lengths(J, 2)
        moves = size > 0
        rows.append(sign[moves, None] * J[moves] / size[moves, None])
        offsets.append(sign[moves] * value[moves] / size[moves])
        slope = on if layer.activation == "relu" else np.where(on, layer.slopes[1], layer.slopes[0])
        return _Affine(J * slope[:, None], value * slope)

    graph.forward(net.layers[:-1], _Affine(J, units.center), step)
    if not rows:
        return np.zeros((0, len(units.free))), np.zeros(0)
    return np.concatenate(rows), np.concatenate(offsets)


def inner_point(G: Array, h: Array, units: Units, margin: float) -> Array | None:
    """A point xi (n,) of the domain with G xi + h >= margin, rows of norm 1; None where none was found.

    The least-norm one (Lawson and Hanson, *Solving Least Squares Problems*, ch. 23: least-distance
    programming by nonnegative least squares), so that it lies in the ball whenever one does.
    """
    n = G.shape[1]
    box = units.bounded and units.shape == "inf"
    if box and n > NARROW:
        found = deepest(G, h, np.ones(len(h)))
        return found[1] if found is not None and found[0] >= margin else None
    lhs, rhs = G, margin - h
    if box:
        lhs = np.vstack([G, np.eye(n), -np.eye(n)])
        rhs = np.concatenate([rhs, np.full(2 * n, -1.0)])
    if not len(lhs):  # nothing is asked; SciPy's nnls aborts the process where there are no columns
        return np.zeros(n)
    from scipy.optimize import nnls  # the slowest import: only for those who need it

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
