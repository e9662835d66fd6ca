"""Where a network jumps: softplus at its threshold, as torch has it. Lipschitz constants do not say by how much.

A constant K is the supremum of derivatives, and so |f(y) - f(x)| <= K ||y - x|| where f is continuous between x and y.
Let h be the network whose softplus are shifted behind their thresholds, so that they do not jump. Its derivatives lie
between the same slopes, whatever x is, so that what is proved of f everywhere is of h too. With |f - h| <= e

    f(y) >= f(x) - K ||y - x|| - 2 e        everywhere.

On a ball the slopes are those of f's values; there K counts only where none of its neurons meets its threshold.
"""

from __future__ import annotations

import numpy as np

from .. import graph
from ..arithmetic.enclosure import TINY, U
from ..arithmetic.float64 import Array
from ..bounds.jumps import fall_of
from ..layer import Layer, largest
from ..network import Network


def distances(net: Network) -> Array:
    """(K,) float64 at or above |F_k - H_k| everywhere, H the network without its jumps; 0 where it has none."""
    if not any(layer.activation == "softplus" for layer in net.layers):
        return np.zeros(net.widths[-1])

    def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
        width = sum(A.shape[1] for A, _ in below)
        before = graph.total(largest(A) @ e for A, e in below)
        if layer.is_kinked:
            steepest = np.maximum(*map(np.abs, layer.slopes))
        else:
            ends = np.full((2, layer.width), np.inf)
            steepest = np.maximum(*map(np.abs, layer.slopes_between(-ends[0], ends[1])))
        moved = np.where(before == 0.0, 0.0, steepest * before * (1.0 + 4.0 * (width + 8) * U) + TINY)
        return np.where(np.isnan(moved), np.inf, moved) + fall_of(layer)

    with np.errstate(all="ignore"):
        found: Array = graph.forward(net.enclosed, np.zeros(net.widths[0]), step)
    return found


def below_jumps(net: Network, margins: Array, labels: Array) -> Array:
    """Lower bounds (n, K) of F_label - F_j at inputs, less what jumps may take of it, rounded down."""
    e = distances(net)
    if not e.any():
        return margins
    with np.errstate(all="ignore"):
        taken = 2.0 * np.nextafter(e[labels][:, None] + e, np.inf)
        left = np.nextafter(margins - taken, -np.inf)
    return np.where(np.isnan(left) | (taken == np.inf), -np.inf, np.where(margins == np.inf, np.inf, left))
