"""Linear programs that find why a case closes at infinity (bounds/vanishing.py). They only steer.

What neurons of the first layers let through is any vector >= 0 to those above them, whatever x is: if signs above ask
for 0 of it, and of tau, there is no such case. Between which layers that is cut is tried out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...bounds.interval import Pair
from ...bounds.vanishing import ENOUGH
from ...layer import Layer
from ...network import Network
from .programs import middle

# What signs must be given up by, in units of z, to be more than rounding.
REFUTED = 1e-7


class Vanishing:
    """The programs of one face.

    Args:
        net: homogeneous.
        inputs: how many of its inputs x has.
        bounds: of its pre-activations on the face.
    """

    def __init__(self, net: Network, inputs: int, bounds: list[Pair]):
        is_plain = all(layer.activation in ("relu", "identity") for layer in net.layers)
        sources = graph.sources(net.layers) if is_plain else ()
        self.width = sum(net.widths[k] for k in sources)
        self.cuts = [found for l in sources[:-1] if (found := _cut_behind(net, l, inputs, bounds, sources)) is not None]

    def slopes(self, signs: Array) -> Array | None:
        """(w,) slopes that prove that a case (w,) vanishes; None: none are found."""
        for cut in self.cuts:
            found = cut.slopes(signs)
            if found is not None:
                return found
        return None


class _Cut:
    """The programs of a cut behind a layer.

    Attributes:
        below, above: numbers, among all neurons, of those that are open or on of the layers up to it, and of the open
            ones behind it.
        is_open: (m,) of `below`, whether open.
        z: (n, m + n + k) what z is of those above, by what those below and above let through and tau.
        size: (m + n,) units of theirs.
    """

    def __init__(self, below: Array, above: Array, is_open: Array, z: Array, size: Array):
        self.below, self.above, self.is_open, self.z, self.size = below, above, is_open, z, size

    def slopes(self, signs: Array) -> Array | None:
        from scipy.optimize import linprog  # here: the slowest import, and not for those who look for no cases

        own, m, n = signs[self.above], len(self.below), len(self.above)
        if not own.any():
            return None
        units = self.size[m:, None]
        z = self.z / units
        r = np.zeros_like(z)
        r[np.arange(n), m + np.arange(n)] = 1.0 / units[:, 0]
        columns, one = z.shape[1], np.ones((n, 1))
        on, off, open_ = own > 0, own < 0, own == 0
        rows = np.vstack([np.hstack([-z, -one])[on], np.hstack([z, -one])[off], np.hstack([z - r, 0 * one])[open_]])
        equal = np.vstack([np.hstack([r - z, 0 * one])[on], np.append(self._sum(columns), 0.0)[None]])
        low, high = np.zeros(columns + 1), np.full(columns + 1, np.inf)
        high[:m][self.is_open & (signs[self.below] < 0)] = 0.0
        low[m : m + n][on], high[m : m + n][off] = -np.inf, 0.0
        right = np.append(np.zeros(int(on.sum())), 1.0)
        cost = np.append(np.zeros(columns), 1.0)
        found = linprog(
            cost, A_ub=rows, b_ub=np.zeros(len(rows)), A_eq=equal, b_eq=right,
            bounds=np.column_stack([low, high]), method="highs",
        )  # fmt: skip
        if found.status != 0 or not found.fun > REFUTED:
            return None
        dual = np.zeros(n)
        dual[np.concatenate([np.flatnonzero(some) for some in (on, off, open_)])] = -found.ineqlin.marginals
        flat = np.maximum(found.lower.marginals[m : m + n], 0.0) * units[:, 0]
        with np.errstate(all="ignore"):
            line = np.nan_to_num(np.clip(dual / (dual + flat), 0.0, 1.0))
        out = np.zeros(len(signs))
        out[self.above] = np.where(open_, line, np.maximum(dual, 0.0) / units[:, 0])
        out[self.below] = np.where(self.is_open & (signs[self.below] > 0), ENOUGH, 0.0)
        return out

    def _sum(self, columns: int) -> Array:
        """What is 1: all of those below, in their units, and tau."""
        row = np.zeros(columns)
        row[: len(self.below)] = 1.0 / self.size[: len(self.below)]
        row[len(self.size) :] = 1.0
        return row


def _cut_behind(net: Network, cut: int, inputs: int, bounds: list[Pair], sources: tuple[int, ...]) -> _Cut | None:
    """The cut behind a layer; None where x goes past it."""
    ends = np.cumsum([0, *(net.widths[k] for k in sources)])
    first = dict(zip(sources, ends[:-1].tolist(), strict=True))
    alive = {k: np.flatnonzero(bounds[k - 1][1] > 0) for k in sources}
    open_ = {k: np.flatnonzero((bounds[k - 1][0] < 0) & (bounds[k - 1][1] > 0)) for k in sources}
    kept = {k: alive[k] if k <= cut else open_[k] for k in sources}
    starts = dict(zip(sources, np.cumsum([0, *(len(kept[k]) for k in sources)]).tolist(), strict=False))
    total = sum(map(len, kept.values()))
    tau = net.widths[0] - inputs
    x = np.zeros((net.widths[0], total + tau))
    x[inputs:, total:] = np.eye(tau)
    seen = np.zeros(net.widths[0], dtype=bool)
    seen[:inputs] = True  # what would be x itself
    rows: list[Array] = []
    is_passed = False

    def step(l: int, layer: Layer, below: graph.Pairs) -> tuple[Array, Array]:
        nonlocal is_passed
        z: Any = graph.total(middle(A) @ y for A, (y, _) in below)
        of_x = graph.touched([(A, moves) for A, (_, moves) in below])
        if l not in sources:
            return z, of_x
        y = np.zeros_like(z)
        y[kept[l], starts[l] + np.arange(len(kept[l]))] = 1.0
        if l > cut:
            is_passed = is_passed or bool(of_x.any())
            rows.append(z[open_[l]])
            on = bounds[l - 1][0] >= 0
            y[on] = z[on]
        return y, np.zeros(len(z), dtype=bool)

    graph.forward(net.enclosed[:-1], (x, seen), step)
    if is_passed:
        return None
    below, above = ([k for k in sources if (k <= cut) == side] for side in (True, False))
    numbers = [np.concatenate([first[k] + kept[k] for k in some]).astype(np.int64) for some in (below, above)]
    sizes = [bounds[k - 1][1][kept[k]] - np.minimum(bounds[k - 1][0][kept[k]], 0.0) for k in sources]
    is_open = np.concatenate([(bounds[k - 1][0] < 0)[kept[k]] for k in below])
    return _Cut(numbers[0], numbers[1], is_open, np.concatenate(rows), np.concatenate(sizes))
