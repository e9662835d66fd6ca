"""The exact constant of a small network on a domain: all linear regions that meet it, neuron by neuron, in float64.

Not rigorous: regions thinner than MARGIN, in units of the domain, are missed.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

import hr2jax
from hr2jax.lower.regions.regions import inner_point
from hr2jax.lower.regions.units import build_units
from hr2jax.problem import checked_problem

MARGIN = 1e-7


def operator_norm(J: Any, p: Any, q: Any) -> float:
    """||J||_{p -> q} of a matrix, by the corners of whatever box there is."""
    rows, columns = (np.array(list(itertools.product((-1.0, 1.0), repeat=n))) for n in J.shape)
    if p == 1:
        return float(np.linalg.norm(J, np.inf if q == "inf" else q, axis=0).max())
    if q == "inf":
        return float(np.linalg.norm(J, 1 if p == "inf" else 2, axis=1).max())
    if p == "inf":
        return float(np.linalg.norm(columns @ J.T, q, axis=1).max())
    return float(np.linalg.norm(J, 2) if q == 2 else np.linalg.norm(rows @ J, axis=1).max())


def exact_constant(net: hr2jax.Network, p: Any, q: Any, **where: Any) -> float:
    """The largest operator norm of a Jacobian over the regions of a chain of ReLUs that have an interior."""
    units, best = build_units(net, checked_problem(net, norm=p, output_norm=q, **where)), 0.0
    J = np.zeros((net.widths[0], len(units.free)))
    J[units.free, np.arange(len(units.free))] = units.scale
    sides, n = np.zeros((0, len(units.free))), len(units.free)
    if units.bounded and units.shape == 1:  # the ball's own: `inner_point` looks for points near the middle
        sides = np.array(list(itertools.product((-1.0, 1.0), repeat=n))) / np.sqrt(n)
    # a region so far: rows G xi + h > 0, the layer that is being decided, its Jacobians in xi and x, values, pattern
    stack = [(sides, np.full(len(sides), 1.0 / np.sqrt(n)), 0, J, np.eye(net.widths[0]), units.center, ())]
    while stack:
        G, h, layer, of_xi, of_x, value, on = stack.pop()
        if layer == net.depth:
            best = max(best, operator_norm((net.weights[-1] @ of_x)[:, units.free], p, q))
            continue
        A, b = net.weights[layer], net.biases[layer]
        W, w = A @ of_xi, A @ value + b
        i = len(on)
        if i == len(w):
            mask = np.array(on)
            stack.append((G, h, layer + 1, W * mask[:, None], A @ of_x * mask[:, None], w * mask, ()))
            continue
        size = np.linalg.norm(W[i])
        for side in (0.0, 1.0):
            if size <= 1e-13 * (np.abs(A[i]) @ np.linalg.norm(of_xi, axis=1)):
                if (w[i] > 0) == (side > 0):
                    stack.append((G, h, layer, of_xi, of_x, value, (*on, side)))
                continue
            sign = 2.0 * side - 1.0
            rows, shifts = np.vstack([G, sign * W[i] / size]), np.append(h, sign * w[i] / size)
            if inner_point(rows, shifts, units, MARGIN) is not None:
                stack.append((rows, shifts, layer, of_xi, of_x, value, (*on, side)))
    return best
