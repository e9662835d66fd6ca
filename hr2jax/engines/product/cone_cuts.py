"""Products of a factor and a cone as cutting planes (relaxation/cones.py): the pool, and the search for more."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, XI, Lifting, S
from ...relaxation.cones import BOUNDED, CONES, decode, lengths_of, width_of
from ...relaxation.products import PRODUCTS
from .arrays import Factored
from .product_cuts import TERMS, FactorRows, ProductPool, in_columns
from .program import Cuts

# Kinds of factors that meet a group's cone.
KINDS = ("U", "X", "XC", "V", "VC", "A", "AC", "AS", "ASC")
# A direction is new whose cosine with those of the same factor and group is below this.
ALIKE = 0.9999
# Entries of all cuts together: each walk over them should take no longer than one over the rest of a large problem.
ENTRIES = 2**20


class ConePool:
    """The cuts phi (||mu||_* - mu.y) >= 0 in use, with the search for more.

    Factors are scaled so that their largest coefficient is 1, mu so that its length is; `multipliers` are for them, in
    the engine's units.

    Attributes:
        pairs: (m, 2) numbers of a factor, and of a group in BOUNDED.
        mu: (m, w).
        multipliers, values: (m,).
        exist: whether there is a group that it looks at: of several entries, bounded by no box.
    """

    def __init__(self, lifting: Lifting, factored: Factored, factors: FactorRows, names: tuple[str, ...]):
        self.lifting, self.factored, self.factors, self.width = lifting, factored, factors, width_of(lifting)
        # of a single entry its two signs are pairs of factors
        groups = [k for k, g in enumerate(BOUNDED) if g in lifting.balls and lifting.sizes[g] > 1]
        # of one output everywhere nothing was found that pairs and triangles do not say
        is_wanted = CONES in names and (XI in lifting.sizes or S in lifting.sizes)
        self._groups = groups if is_wanted else []
        self.exist = bool(self._groups)
        self._numbers = np.sort(np.concatenate([np.zeros(0, np.int64), *map(factors.numbers, KINDS)]))
        self.clear()

    def clear(self) -> None:
        """No cuts."""
        self.pairs, self.mu = np.zeros((0, 2), np.int64), np.zeros((0, self.width))
        self.multipliers, self.values = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.pairs)

    def arrays(self) -> tuple[Cuts, Array]:
        """The cuts over the Gram matrix of the extended rows, and their multipliers."""
        factored, most = self.factored, TERMS[1]
        a, group = self.pairs.T
        places = np.zeros((len(BOUNDED), 1 + self.width), np.int64)
        for k, g in enumerate(BOUNDED):
            if g in self.lifting.sizes:
                places[k, 1 : 1 + self.lifting.sizes[g]] = factored.placement.places(g)
        places[:, 0] = factored.placement.places(ONE)
        right = np.column_stack([lengths_of(self.lifting, group, self.mu), -self.mu])
        place = self.factors.place[a][:, :, None] * factored.placement.size + places[group][:, None, :]
        coefficient = self.factors.coefficient[a][:, :, None] * right[:, None, :]
        flat = (most * (1 + self.width), len(self))
        return Cuts(in_columns(place, flat), in_columns(coefficient, flat), np.zeros(len(self))), self.multipliers

    def keep(self, which: Array) -> None:
        """Only these."""
        self.pairs, self.mu = self.pairs[which], self.mu[which]
        self.multipliers, self.values = self.multipliers[which], self.values[which]

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        if not self._groups or not len(self._numbers):
            return 0
        rows = self.factors.rows(E)[self._numbers]
        placement, found = self.factored.placement, []
        size = rows @ E[placement.places(ONE)[0]]
        for k in self._groups:
            group = BOUNDED[k]
            moments = rows @ E[placement.slice(group)].T
            mu = moments if self.lifting.norms[group] == 2 else np.sign(moments)
            mu = mu / np.maximum(lengths_of(self.lifting, np.full(len(mu), k), mu), 1e-300)[:, None]
            values = (size - np.einsum("ij,ij->i", moments, mu)) / self.factors.sizes(rows)
            i = np.flatnonzero(values < -least)
            found.append((self._numbers[i], np.full(len(i), k), np.pad(mu[i], [(0, 0), (0, self.width - mu.shape[1])]),
                          values[i]))  # fmt: skip
        a, number, mu, values = (np.concatenate(part) for part in zip(*found, strict=True))
        room = max(ENTRIES // (TERMS[1] * (1 + self.width)) - len(self), 0)
        worst = np.argsort(values, kind="stable")[: min(limit, room)]
        a, number, mu, values = a[worst], number[worst], mu[worst], values[worst]
        new = ~self._is_known(a, number, mu)
        self.pairs = np.concatenate([self.pairs, np.column_stack([a, number])[new]])
        self.mu = np.concatenate([self.mu, mu[new]])
        self.multipliers = np.concatenate([self.multipliers, np.zeros(int(new.sum()))])
        self.values = np.concatenate([self.values, values[new]])
        return int(new.sum())

    def _is_known(self, a: Array, number: Array, mu: Array) -> Array:
        """(m,) whether there is a cut of the same factor, group and about the same direction."""
        if not len(self):
            return np.zeros(len(a), dtype=bool)
        same = (self.pairs[:, 0] == a[:, None]) & (self.pairs[:, 1] == number[:, None])
        scale = np.linalg.norm(mu, axis=1)[:, None] * np.linalg.norm(self.mu, axis=1)
        return np.asarray((same & (mu @ self.mu.T > ALIKE * scale)).any(axis=1))

    def encoded(self, scale: float, every: bool = False) -> Array:
        """Rows for the certificate, or `every` row."""
        used = (self.multipliers > 0) | every
        weights = scale * self.multipliers[used] * self.factors.unit[self.pairs[used, 0]]
        return np.column_stack([self.pairs[used], self.mu[used], weights]).astype(np.float64)

    def decode(self, rows: Array, scale: float) -> None:
        """The cuts of a certificate's rows, as `encoded` gives them."""
        self.pairs, self.mu = rows[:, :2].astype(np.int64), rows[:, 2:-1]
        self.multipliers = rows[:, -1] / (scale * self.factors.unit[self.pairs[:, 0]])
        self.values = np.zeros(len(rows))


def pools_of(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, ProductPool | ConePool]:
    """The pools, by the record that a certificate has of them, of the cuts that there may be beside triangles."""
    factors, out = FactorRows(lifting, factored), {}
    if lifting.masked_layers:
        out[PRODUCTS] = ProductPool(lifting, factored, factors, names)
    cones = ConePool(lifting, factored, factors, names)
    return out | ({CONES: cones} if cones.exist else {})


def cone_forms(lifting: Lifting, rows: Array) -> sp.csr_matrix:
    """(m, extended) ||mu||_* - mu.y of cones' rows."""
    _, group, mu, _ = decode(lifting, rows)
    out = np.zeros((len(rows), lifting.extended.size))
    out[:, lifting.extended.slice(ONE)] = lengths_of(lifting, group, mu)[:, None]
    for k in np.unique(group).tolist():
        out[group == k, lifting.extended.slice(BOUNDED[k])] = -mu[group == k, : lifting.sizes[BOUNDED[k]]]
    return sp.csr_matrix(out)
