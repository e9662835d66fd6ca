"""Exclusions as cutting planes for Newton's method (relaxation/exclusions.py): the pool, and the search for more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, Lifting
from ...relaxation.chains import FactorName
from ...relaxation.exclusions import EXCLUSIONS, EXTRA, LENGTH, NONE, PARTS, Exclusions, decode
from ...relaxation.forms import csr_of
from ...relaxation.literals import width_of
from ...relaxation.products import FactorTable
from .arrays import Factored
from .event_cuts import MOST_NEURONS, LiteralPool
from .event_search import Polytope
from .product_cuts import FactorRows

# Neurons up to which triples are looked at besides pairs.
MOST_IN_TRIPLES = 16
# Exclusions that are asked for in a search, and factors that one is multiplied by.
ASKED, FACTORS = 40, 12


class ExclusionPool(LiteralPool):
    """The rows f (k - 1 - phi_1 - ... - phi_k) >= 0 in use, with the search for more."""

    def __init__(self, lifting: Lifting, factors: FactorRows, polytope: Polytope, factored: Factored):
        super().__init__(lifting, factors, polytope)
        self._one = factored.placement.places(ONE)[0]
        self._proofs: dict[tuple[int, ...], Array | None] = {}

    @cached_property
    def unseen(self) -> Array:
        """(n, 3) literals, on and then off, that no point of a sample has at once; -1 behind two."""
        z, w = self.polytope.values(self.lifting), self.polytope.w
        has = np.hstack([z > 0, z < 0]).astype(np.float32)
        of_pair = has.T @ has == 0
        pairs = np.argwhere(np.triu(of_pair, 1))
        found = [np.pad(pairs, [(0, 0), (0, 1)], constant_values=NONE)]
        if w <= MOST_IN_TRIPLES:
            triples = np.array(list(combinations(range(2 * w), LENGTH)), dtype=np.int64).reshape(-1, LENGTH)
            of_three = has[:, triples[:, 0]] * has[:, triples[:, 1]] * has[:, triples[:, 2]]
            found.append(triples[of_three.max(axis=0, initial=0.0) == 0])
        every = np.concatenate(found)
        twice = np.zeros(len(every), dtype=bool)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            twice |= every[:, b] - every[:, a] == w  # a neuron's own two literals need no proof
        return every[~twice]

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        w, unseen = self.polytope.w, self.unseen
        if w < 2 or not len(unseen):
            return 0
        own, one = self.factors.rows(E), E[self._one]
        rows = np.vstack([one, own / np.maximum(self.factors.sizes(own), 1e-300)[:, None]])
        masks, _ = self.moments(E)
        of_mask = np.pad(rows @ np.vstack([masks[1], masks[-1]]).T, [(0, 0), (0, 1)])  # the last: none
        values = (rows @ one)[:, None] * ((unseen >= 0).sum(axis=1) - 1.0)
        values = values - sum(of_mask[:, unseen[:, k]] for k in range(LENGTH))
        known = {(int(r[0]), *r[1 : 1 + LENGTH].astype(int).tolist()) for r in self.rows}
        new, violation = [], []
        for f, c, proof in self.chosen(values, limit, least):
            if (f - 1, *proof[:LENGTH].astype(int).tolist()) not in known:
                new.append(np.concatenate([[f - 1], proof]))
                violation.append(values[f, c])
        if not new:
            return 0
        return self._add(np.array(new)[:limit], np.array(violation)[:limit])

    def chosen(self, values: Array, limit: int, least: float) -> Iterator[tuple[int, int, Array]]:
        """Of values (1 + factors, unseen) those below -`least` whose exclusion is proved, the worst exclusions first.

        Yields:
            the factor, from 1 on, or 0 for none; the exclusion; its row without the factor and the multiplier.
        """
        unseen = self.unseen
        worst, asked, count = values.min(axis=0), 0, 0
        for c in np.argsort(worst, kind="stable").tolist():
            if worst[c] >= -least or count >= limit:
                break
            ways = [tuple(p) for p in combinations(unseen[c].tolist(), 2) if NONE not in p and unseen[c, 2] != NONE]
            if any(self._proofs.get(pair) is not None for pair in ways):
                continue  # a pair of the three says more
            key = tuple(unseen[c].tolist())
            if key not in self._proofs:
                if asked >= ASKED:
                    continue
                asked += 1
                self._proofs[key] = self._proof(unseen[c])
                if self._proofs[key] is not None and unseen[c, 2] == NONE:
                    self._proofs[key[:2]] = self._proofs[key]
            proof = self._proofs[key]
            if proof is None:
                continue
            order = np.argsort(values[:, c], kind="stable")[:FACTORS]
            for f in order[values[order, c] < -least].tolist():
                count += 1
                yield f, c, proof

    def _proof(self, literals: Array) -> Array | None:
        """An exclusion's row without the factor and the multiplier; None where it is not proved."""
        w = self.polytope.w
        used = literals[literals >= 0]
        neurons, signs = used % w, np.where(used < w, 1, -1)
        found = self.polytope.refuted_by_parts(neurons, signs, EXTRA)
        if found is None:
            return None
        extra, d, slopes = found
        numbers = np.full(LENGTH + EXTRA, float(NONE))
        numbers[: len(used)] = self.factor(neurons, signs)
        numbers[LENGTH : LENGTH + len(extra)] = self.numbers["U", 1][extra]
        directions, lines = np.zeros((PARTS, LENGTH + EXTRA)), np.zeros((PARTS, w))
        places = [*range(len(used)), *range(LENGTH, LENGTH + len(extra))]
        directions[: len(d), places], lines[: len(d)] = d, slopes
        row = np.concatenate([[NONE], numbers, directions.ravel(), lines.ravel(), [0.0]])
        try:
            decode(self.lifting, row[None])
        except ValueError:
            return None
        return row[1:-1]


def exclusion_pools(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, ExclusionPool]:
    """The pool, where there may be one."""
    if EXCLUSIONS not in names or not 2 <= width_of(lifting) <= MOST_NEURONS:
        return {}
    return {EXCLUSIONS: ExclusionPool(lifting, FactorRows(lifting, factored), Polytope(lifting), factored)}


def exclusion_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The product of exclusions: f and k - 1 - phi_1 - ... - phi_k."""
    yield forms_of(lifting, decode(lifting, rows))


def forms_of(lifting: Lifting, found: Exclusions) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """f and k - 1 - phi_1 - ... - phi_k over the extended basis, of exclusions of any length."""
    table, count = FactorTable(lifting), len(found.factor)
    every = csr_of(table.forms, lifting.extended)
    at = np.full(count, lifting.extended.starts[ONE], dtype=np.int64)
    one = sp.csr_matrix((np.ones(count), (np.arange(count), at)), shape=(count, every.shape[1]))
    has_one = found.factor < 0
    first = sp.diags(has_one.astype(np.float64)) @ one + sp.diags((~has_one).astype(np.float64)) @ every[found.factor]
    starts = {name: int(start) for name, start in zip(table.names, table.starts, strict=False)}
    signs, layers, place = found.literals
    second = sp.diags((layers > 0).sum(axis=1) - 1.0) @ one
    for k in range(layers.shape[1]):
        has = layers[:, k] > 0
        start = [starts[FactorName("U", s, l)] if h else 0
                 for s, l, h in zip(signs[:, k].tolist(), layers[:, k].tolist(), has.tolist(), strict=True)]
        second = second - sp.diags(has.astype(np.float64)) @ every[np.array(start, dtype=np.int64) + place[:, k]]
    return first.tocsr(), second.tocsr()
