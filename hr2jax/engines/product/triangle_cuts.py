"""Cutting planes for the low-rank engine: the pool of triangle inequalities, and the search for violated ones.

The pool of all triples of basis entries is never enumerated as a list. Pairs of factors (triangles through
the constant) are one pass over Y; for the others every entry Y_ij that can belong to a violated triangle, at
least a third in magnitude, meets all k at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting
from ...relaxation.triangles import EDGES, PATTERNS, decode, encode
from .program import Cuts
from .schedule import is_small
from .triangle_search import OnHost

SMALLEST = 4096  # cuts are padded to this, doubled as often as needed


@dataclass
class Pool:
    """The cuts in use, their multipliers and their values at the last iterate.

    Attributes:
        triples: (m, 3) int64 ascending positions, among the engine's padded rows.
        pattern: (m,) rows of `PATTERNS`.
        multipliers: (m,) in the engine's units, >= 0.
        values: (m,) 1 + ab + bc + ca.
    """

    triples: Array
    pattern: Array
    multipliers: Array
    values: Array

    @staticmethod
    def empty() -> Pool:
        """No cuts."""
        return Pool(np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    @staticmethod
    def decoded(rows: Array, place: Array, scale: float) -> Pool:
        """The cuts of a certificate's rows: `place` (N,) gives each basis entry's row, `scale` the engine's units."""
        triples, signs, multipliers = decode(rows, len(place))
        products = np.stack([signs[:, a] * signs[:, b] for a, b in EDGES], axis=1)
        pattern = np.argmax(products @ PATTERNS.T, axis=1)
        return Pool(place[triples], pattern, multipliers / scale, np.zeros(len(rows)))

    def __len__(self) -> int:
        return len(self.pattern)

    def arrays(self, size: int) -> tuple[Cuts, Array]:
        """The cuts over a Gram matrix of side `size`, and their multipliers."""
        place = np.stack([self.triples[:, a] * size + self.triples[:, b] for a, b in EDGES])
        return Cuts(place, PATTERNS[self.pattern].T, np.ones(len(self))), self.multipliers

    def keep(self, which: Array) -> None:
        """Only these."""
        self.triples, self.pattern = self.triples[which], self.pattern[which]
        self.multipliers, self.values = self.multipliers[which], self.values[which]

    def add(self, triples: Array, pattern: Array, values: Array, size: int) -> int:
        """Those that are new, with multiplier 0; returns how many."""
        known, offered = (_keys(t, p, size) for t, p in ((self.triples, self.pattern), (triples, pattern)))
        new = ~np.isin(offered, known)
        self.triples = np.concatenate([self.triples, triples[new]])
        self.pattern = np.concatenate([self.pattern, pattern[new]])
        self.multipliers = np.concatenate([self.multipliers, np.zeros(int(new.sum()))])
        self.values = np.concatenate([self.values, values[new]])
        self.keep(np.argsort(_keys(self.triples, self.pattern, size)))  # neighbours in Y stay neighbours in memory
        return int(new.sum())

    def encoded(self, position: Array, scale: float, every: bool = False) -> Array:
        """Rows for the certificate, or `every` row: `position` (padded size,) gives each row's place in the basis."""
        used = (self.multipliers > 0) | every
        return encode(position[self.triples[used]], self.pattern[used], scale * self.multipliers[used])


def padded_cuts(cuts: Cuts, multipliers: Array) -> tuple[Cuts, Array]:
    """Cuts and multipliers padded to SMALLEST, doubled as often as needed: few shapes to compile."""
    n = len(multipliers)
    m = SMALLEST * 2 ** max(int(np.ceil(np.log2(max(n, 1) / SMALLEST))), 0)
    pad = [(0, 0), (0, m - n)]
    place, coefficient = np.pad(cuts.place, pad).astype(np.int32), np.pad(cuts.coefficient, pad)
    return Cuts(place, coefficient, np.pad(cuts.constant, pad[1:], constant_values=1.0)), np.pad(multipliers, pad[1:])


def _keys(triples: Array, pattern: Array, size: int) -> Array:
    i, j, k = triples.T
    return ((i * size + j) * size + k) * 4 + pattern


def kinds(lifting: Lifting) -> dict[str, tuple[str, str]]:
    """The pairs of factors by name, as the kinds of groups they belong to."""
    every = {
        "T.U": ("v", "t"), "U.U": ("v", "v"), "T.T": ("t", "t"),
        "X0.U": ("v", "xi"), "T.X0": ("t", "xi"), "X0.X0": ("xi", "xi"),
    }  # fmt: skip
    return {name: pair for name, pair in every.items() if set(pair) <= {group.kind for group in lifting.sizes}}


class Separator:
    """Finds violated cuts at Y = V V^T.

    Args:
        lifting: the basis.
        rows: (N,) places of its entries among the engine's rows.
        names: which pairs of factors (`kinds`), and "triangles" for those not through the constant.
    """

    def __init__(self, lifting: Lifting, rows: Array, names: tuple[str, ...]):
        self.rows, self.triangles = rows, "triangles" in names
        self._search = _search_of(lifting)
        number = {kind: k for k, kind in enumerate(dict.fromkeys(group.kind for group in lifting.sizes))}
        wanted = np.zeros((len(number), len(number)), bool)
        for name, (a, b) in kinds(lifting).items():
            if name in names:
                wanted[number[a], number[b]] = wanted[number[b], number[a]] = True
        self.wanted = wanted
        self.kind = np.repeat([number[group.kind] for group in lifting.sizes], list(lifting.sizes.values()))
        # only signs, directions and inputs come near enough to +-1 for triangles among them to matter
        self.corner = np.isin(self.kind, [k for kind, k in number.items() if kind in ("one", "v", "t", "xi")])

    def gram(self, V: Array) -> Any:
        """Y = V V^T (N, N) float32, from the basis' rows V; ones on the diagonal."""
        return self._search.gram(V)

    def pairs(self, Y: Any, limit: int, least: float) -> tuple[Array, Array, Array]:
        """The at most `limit` most violated pairs of factors, by more than `least`: triples, patterns, values."""
        if not self.wanted.any():
            return _nothing()
        size = self._search.pairs(Y, self.wanted[self.kind][:, self.kind])
        flat = np.flatnonzero(size.ravel() > 1.0 + least)
        flat = flat[_largest(size.ravel()[flat], limit)]
        j, k = np.divmod(flat, len(self.rows))
        return self._found(Y, np.zeros_like(j), j, k)

    def others(self, Y: Any, limit: int, least: float) -> tuple[Array, Array, Array]:
        """The most violated triangles, one at most for each entry Y_ij; see `pairs`."""
        if not self.triangles or len(self.rows) < 4:
            return _nothing()
        kept = np.flatnonzero(self.corner)
        among, Y = Y, Y if len(kept) == len(Y) else self._search.part(Y, kept)
        edges = self._search.edges(Y, (1.0 + least) / 3.0)
        best = self._search.most(Y, edges)
        edges = edges[best > 1.0 + least]
        # every triangle may be found from three sides
        edges = edges[_largest(best[best > 1.0 + least], 3 * limit)]
        third = self._search.third(Y, edges)
        triples = np.unique(np.sort(np.column_stack([edges, third]), axis=1), axis=0)
        triples = triples[(np.diff(triples, axis=1) > 0).all(axis=1)]
        found = self._found(among, *kept[triples].T)
        chosen = _largest(-found[2], limit)
        return found[0][chosen], found[1][chosen], found[2][chosen]

    def _found(self, Y: Any, i: Array, j: Array, k: Array) -> tuple[Array, Array, Array]:
        """The most violated pattern of each triple, with positions among the engine's rows."""
        on_host = np.asarray(Y)
        entries = np.stack([on_host[a, b] for a, b in ((i, j), (j, k), (i, k))])
        sums = PATTERNS @ entries
        pattern = np.argmin(sums, axis=0) if len(i) else np.zeros(0, np.int64)
        triples = self.rows[np.column_stack([i, j, k]).astype(np.int64)]
        return triples, pattern, 1.0 + np.min(sums, axis=0, initial=3.0)


def _search_of(lifting: Lifting) -> Any:
    """Who searches: where problems are small, nothing is compiled."""
    if is_small(lifting.size):
        return OnHost()
    from .triangle_device import OnDevice

    return OnDevice()


def _nothing() -> tuple[Array, Array, Array]:
    return np.zeros((0, 3), np.int64), np.zeros(0, np.int64), np.zeros(0)


def _largest(values: Array, count: int) -> Array:
    """Positions of the `count` largest."""
    return np.arange(len(values)) if len(values) <= count else np.argpartition(values, -count)[-count:]
