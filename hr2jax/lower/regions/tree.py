"""Small networks of any depth: branch and bound over activation patterns, layer by layer, neuron by neuron.

Inside a pattern of the layers below, a neuron's pre-activation is affine in the input, so that a least-distance
program says whether a side of it is met. Points known to lie in a node save most of these programs. What cannot
beat the best proved gradient, whatever the undecided neurons do, is not entered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...network import Network
from ..effort import LEAST_DISTANCE, Effort
from ..norms import dual_norm, lengths
from .regions import inner_point
from .units import Units

MARGIN = 1e-7  # a region thinner than this, in units of the domain, is taken for empty
WIDEST = 10  # so many neurons of a layer can be enumerated
TABLE = 2**16  # gradients that one table of bounds may take
GAIN = 1e-10  # what gains less than this is not worth it


class _AllIsSpentError(Exception):
    pass


@dataclass
class _Layer:
    """A layer being decided, inside a pattern of those below."""

    index: int
    W: Array  # (p, n): z = W xi + w
    w: Array
    rows: Array  # the same with rows of norm 1
    offsets: Array
    constant: Array  # (p,) bool


class Tree:
    """Visits every region that could beat the best one.

    Args:
        net: hidden widths up to WIDEST.
        units: the problem's units.
        effort: what may be spent.
        offer: called with points x (p_0,) worth proving; returns the best proved value so far.
        points: (k, n) known points xi.
    """

    def __init__(
        self, net: Network, units: Units, effort: Effort, offer: Callable[[Array], float], points: Array
    ):
        self.net, self.units, self.effort, self.offer = net, units, effort, offer
        self.best = 0.0
        neurons = sum(net.widths[1:-1])
        self.G, self.h = np.zeros((neurons, len(units.free))), np.zeros(neurons)
        self.points = np.zeros((0, len(units.free)))
        self.on = [np.zeros((0, p), dtype=bool) for p in net.widths[1:-1]]
        self._add(points)
        self.above = _vectors_above(net, units)

    def run(self) -> bool:
        """Whether all was visited before all was spent."""
        units = self.units
        start = np.zeros((self.net.widths[0], len(units.free)))
        start[units.free, np.arange(len(units.free))] = units.scale
        self.best = self.offer(units.center)
        try:
            self._enter(0, start, units.center, 0, np.arange(len(self.points)))
        except _AllIsSpentError:
            return False
        return True

    def _add(self, xi: Array) -> int:
        """Keep points xi (k, n); the last one's index."""
        self.points = np.concatenate([self.points, xi])
        found = graph.masks(self.net.layers[:-1], self.units.points(xi))
        self.on = [np.concatenate([old, new]) for old, new in zip(self.on, found, strict=True)]
        return len(self.points) - 1

    def _enter(self, k: int, J: Array, value: Array, q: int, members: Array) -> None:
        """Layers before the k-th (from 0) are decided: their output is J xi + value; q rows of G are in force."""
        self._look()
        A, b, units = self.net.weights[k], self.net.biases[k], self.units
        W, w = A @ J, A @ value + b
        size = lengths(W, 2)
        constant = size <= 1e-13 * (np.abs(A) @ lengths(J, 2))
        reach = dual_norm(W, units.shape) if units.bounded else np.full(len(w), np.inf)
        reach = np.where(constant, 0.0, reach)
        on_only, off_only = w - reach > 0, w + reach <= 0
        sides = [(1,) if a else (0,) if b else (0, 1) for a, b in zip(on_only, off_only, strict=True)]
        patterns = np.array(list(product(*sides)), dtype=np.float64)
        R = ((J / units.scale).T @ A.T)[units.along]  # (n, p), of the entries that count
        table = np.full((2,) * len(w), -1.0)
        table[tuple(patterns.T.astype(int))] = self._bounds(k, R, patterns)
        size = np.where(constant, 1.0, size)
        layer = _Layer(k, W, w, W / size[:, None], w / size, constant)
        self._decide(layer, 0, table, q, members, [])

    def _bounds(self, k: int, R: Array, patterns: Array) -> Array:
        """What the gradient's norm cannot exceed for each of patterns (j, p) of layer k."""
        vectors, low, high = self.above[k]
        norm = self.units.problem.norm
        if vectors is not None and len(vectors) * len(patterns) <= TABLE:
            bounds = np.empty(len(patterns))
            block = max(1, 2**20 // (len(vectors) * len(R)))
            for i in range(0, len(patterns), block):
                g = (patterns[i : i + block, None, :] * R) @ vectors.T  # (block, n, vectors)
                bounds[i : i + block] = dual_norm(g.swapaxes(1, 2), norm).max(axis=1)
            return bounds
        if k + 1 < self.net.depth and len(patterns) * 2 ** self.net.widths[k + 2] <= TABLE:
            # With every pattern of the next layer, and the box of what is above that.
            A, (_, low, high) = self.net.weights[k + 1], self.above[k + 1]
            above = np.array(list(product((0.0, 1.0), repeat=len(A))))
            middle, half = above * (0.5 * (low + high)), above * (0.5 * (high - low))
            bounds = np.empty(len(patterns))
            for i, pattern in enumerate(patterns):
                Q = A @ (pattern[:, None] * R.T)  # (p_{k+2}, n)
                bounds[i] = dual_norm(np.abs(middle @ Q) + half @ np.abs(Q), norm).max()
            return bounds
        up, down = np.maximum(R, 0.0), np.minimum(R, 0.0)
        most = patterns @ (up * high + down * low).T
        least = patterns @ (up * low + down * high).T
        return dual_norm(np.maximum(np.abs(most), np.abs(least)), norm)

    def _decide(
        self, layer: _Layer, i: int, table: Array, q: int, members: Array, pattern: list[int]
    ) -> None:
        """Neuron i of a layer and those after it; table (2, ..., 2): the bounds of what they can still be."""
        self._look()
        if i == len(layer.w):
            self._leave(layer, q, members, np.array(pattern, dtype=bool))
            return
        for side in (1, 0) if table[1].max() >= table[0].max() else (0, 1):
            if not table[side].max() > self.best * (1 + GAIN):  # nor where it overflowed: NaN bounds nothing
                continue
            inside, rows = members, q
            if not layer.constant[i]:
                sign = 1.0 if side else -1.0
                self.G[q], self.h[q], rows = sign * layer.rows[i], sign * layer.offsets[i], q + 1
                inside = members[self.on[layer.index][members, i] == bool(side)]
                if not len(inside):
                    self.effort.spend_program(rows, len(self.units.free), LEAST_DISTANCE)
                    xi = inner_point(self.G[:rows], self.h[:rows], self.units, MARGIN)
                    if xi is None:
                        continue
                    inside = np.array([self._add(xi[None])])
            self._decide(layer, i + 1, table[side], rows, inside, [*pattern, side])

    def _look(self) -> None:
        """At every node, also where known points or constant neurons make a least-distance program unnecessary."""
        if self.effort.is_over():
            raise _AllIsSpentError

    def _leave(self, layer: _Layer, q: int, members: Array, on: Array) -> None:
        """A layer is decided."""
        if layer.index + 1 < self.net.depth:
            self._enter(layer.index + 1, layer.W * on[:, None], layer.w * on, q, members)
            return
        # The point deepest in the region is the easiest to prove.
        depth = (self.points[members] @ self.G[:q].T + self.h[:q]).min(axis=1, initial=np.inf)
        self.best = max(self.best, self.offer(self.units.point(self.points[members[depth.argmax()]])))


def _vectors_above(net: Network, units: Units) -> list[tuple[Array | None, Array, Array]]:
    """Per layer k: what A_{k+1}^T D_{k+1} ... D_L c can be, a list if short, and its box."""
    low = high = units.problem.coefficients @ net.weights[-1]
    vectors: Array | None = low[None]
    found: list[tuple[Array | None, Array, Array]] = [(vectors, low, high)]
    for A in net.weights[-2:0:-1]:
        width = A.shape[0]
        if vectors is not None and len(vectors) * 2**width <= TABLE:
            patterns = np.array(list(product((0.0, 1.0), repeat=width)))
            vectors = (patterns[:, None, :] * vectors).reshape(-1, width) @ A
            low, high = vectors.min(axis=0), vectors.max(axis=0)
        else:
            vectors = None
            low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
            up, down = np.maximum(A, 0.0), np.minimum(A, 0.0)
            low, high = low @ up + high @ down, high @ up + low @ down
        found.append((vectors, low, high))
    return found[::-1]
