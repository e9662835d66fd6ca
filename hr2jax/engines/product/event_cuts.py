"""Event rows and clauses as cutting planes for Newton's method (relaxation/events.py, relaxation/clauses.py).

Points of the domain tell which events can be farther from what is possible than the moments say; a linear program each
then says how far, and proves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import product

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting
from ...relaxation.chains import FactorName
from ...relaxation.clauses import CLAUSES, clause_heights
from ...relaxation.clauses import decode as decode_clauses
from ...relaxation.events import EVENTS, decode
from ...relaxation.forms import csr_of
from ...relaxation.literals import Literals, heights, width_of
from ...relaxation.products import FactorTable
from .arrays import Factored
from .event_search import Polytope
from .product_cuts import FactorRows
from .row_pool import RowPool

ANGLES = 16  # directions in which points of the domain are looked at
PROGRAMS = 150  # most linear programs of a search
LEAST_HEIGHT = 1e-7  # below 0, of a clause
MOST_NEURONS = 60  # of whose pairs and triples points of the domain are looked at
SIGNS = (1, -1)


class LiteralPool(RowPool):
    """A pool of rows of events or clauses, which linear programs over the domain prove."""

    def __init__(self, lifting: Lifting, factors: FactorRows, polytope: Polytope):
        self.lifting, self.factors, self.polytope = lifting, factors, polytope
        self.tried: set[tuple[int, ...]] = set()
        self.clear()

    @cached_property
    def numbers(self) -> dict[tuple[str, int], Array]:
        """By kind and sign the (w,) numbers of factors: u and 1 - u, x, x - z."""
        table, polytope = self.factors.table, self.polytope
        out = {}
        for key in (("U", 1), ("U", -1), ("X", 1), ("XC", 1)):
            starts = {n.layer: s for n, s in zip(table.names, table.starts, strict=False) if n[:2] == key}
            of_layer = np.array([starts[int(l)] for l in polytope.layer], dtype=np.int64)
            out[key] = of_layer + polytope.index
        return out

    def moments(self, E: Array) -> tuple[dict[int, Array], dict[int, Array]]:
        """By sign the rows (w, r) of phi, and of phi z, at the extended rows E."""
        rows = self.factors.rows(E) / self.factors.unit[:, None]
        masks = {sign: rows[self.numbers["U", sign]] for sign in SIGNS}
        return masks, {1: rows[self.numbers["X", 1]], -1: -rows[self.numbers["XC", 1]]}

    def literals(self, neurons: Array, signs: Array) -> Literals:
        """Of neurons by number, (m, k) each."""
        return Literals(signs, self.polytope.layer[neurons], self.polytope.index[neurons])

    def factor(self, neurons: Array, signs: Array) -> Array:
        """Their factors' numbers."""
        return np.where(signs > 0, self.numbers["U", 1][neurons], self.numbers["U", -1][neurons])


class EventPool(LiteralPool):
    """The rows h phi phi' - c (phi z) phi' - s phi (phi' z') >= 0 in use, with the search for more."""

    @cached_property
    def seen(self) -> tuple[Array, Array, Array, dict[tuple[int, int], Array]]:
        """Pairs of neurons, directions, and by signs (pairs, ANGLES) the largest values at points of the domain."""
        z = self.polytope.values(self.lifting)
        i, j = np.triu_indices(z.shape[1], 1)
        angle = 2.0 * np.pi * np.arange(ANGLES) / ANGLES
        directions = np.column_stack([np.cos(angle), np.sin(angle)])
        out = {signs: np.full((len(i), ANGLES), -np.inf) for signs in product(SIGNS, SIGNS)}
        for k in range(len(i)):
            both = z[:, [i[k], j[k]]]
            value = both @ directions.T
            for (a, b), largest in out.items():
                here = (a * both[:, 0] > 0) & (b * both[:, 1] > 0)
                if here.any():
                    largest[k] = value[here].max(axis=0)
        return i, j, directions, out

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        i, j, directions, seen = self.seen
        masks, behind = self.moments(E)
        found = []
        for a, b in product(SIGNS, SIGNS):
            event = np.einsum("kr,kr->k", masks[a][i], masks[b][j])
            first = np.einsum("kr,kr->k", behind[a][i], masks[b][j])
            second = np.einsum("kr,kr->k", masks[a][i], behind[b][j])
            value = directions[:, 0] * first[:, None] + directions[:, 1] * second[:, None]
            with np.errstate(invalid="ignore"):
                over = (value - event[:, None] * seen[a, b]).max(axis=1)
            over = np.where(np.isinf(seen[a, b][:, 0]), event, over)
            here = np.flatnonzero((over > least) & (event > least))
            found.append(np.column_stack([i[here], j[here], np.full((len(here), 2), (a, b)), over[here],
                                          event[here], first[here], second[here]]))  # fmt: skip
        every = np.concatenate(found)
        every = every[np.argsort(-every[:, 4], kind="stable")[:PROGRAMS]]
        neurons, signs = every[:, :2].astype(np.int64), every[:, 2:4].astype(np.int64)
        rows, which = [], []
        for k in range(len(every)):
            proof = self.polytope.farthest(neurons[k], signs[k], every[k, 6:8] / every[k, 5])
            if proof is not None:
                rows.append(np.concatenate([self.factor(neurons[k], signs[k]), *proof]))
                which.append(k)
        if not rows:
            return 0
        new, at = np.array(rows), np.array(which)
        h = heights(self.lifting, self.literals(neurons[at], signs[at]), new[:, 2:4], new[:, 4:])
        violation = h * every[at, 5] - (new[:, 2:4] * every[at, 6:8]).sum(axis=1)
        worst = np.argsort(violation, kind="stable")[:limit]
        worst = worst[violation[worst] < -least]
        return self._add(new[worst], violation[worst])


class ClausePool(LiteralPool):
    """The clauses phi_1 (1 - phi_2 - phi_3) >= 0 in use, with the search for more."""

    @cached_property
    def fits(self) -> Array:
        """(2 w, 2 w, 2 w) bool: literals of three neurons, on and then off, that no point seen has at once."""
        own = np.arange(2 * self.polytope.w) % max(self.polytope.w, 1)
        apart = own[:, None] != own[None]
        ordered = np.triu(np.ones(apart.shape, dtype=bool))[None]
        return apart[:, :, None] & apart[:, None, :] & apart[None] & ~self._seen & ordered

    @cached_property
    def _seen(self) -> Array:
        """(2 w, 2 w, 2 w) bool: whether points of the domain have three literals at once; on, then off."""
        z = self.polytope.values(self.lifting)
        has = np.hstack([z > 0, z < 0]).astype(np.float32)
        pairs = (has[:, :, None] * has[:, None, :]).reshape(len(has), -1)
        return (pairs.T @ has > 0).reshape(has.shape[1], has.shape[1], has.shape[1])

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        if self.polytope.w < 3:
            return 0
        masks, _ = self.moments(E)
        rows = np.vstack([masks[1], masks[-1]])
        both, one = rows @ rows.T, rows @ E[self.factors.place[self.numbers["U", 1][0], 0]]
        value = one[:, None, None] - both[:, :, None] - both[:, None, :]
        found = np.argwhere((value < -least) & self.fits)
        size = value[tuple(found.T)]
        order = np.argsort(size, kind="stable")
        which, new = self.proved(found[order], limit)
        return self._add(new, size[order][which]) if len(new) else 0

    def proved(self, found: Array, limit: int) -> tuple[Array, Array]:
        """Of literals (m, 3), on and then off, as `fits` has them, those that are refuted, in order, and their rows.

        They are at most `limit`, after at most PROGRAMS linear programs.
        """
        w = self.polytope.w
        new: list[Array] = []
        which: list[int] = []
        asked = 0
        refuted: dict[tuple[int, ...], tuple[Array, Array] | None] = {}
        for k, literals in enumerate(found):
            neurons, signs = literals % w, np.where(literals < w, 1, -1)
            place = np.argsort(literals)
            key = tuple(literals[place].tolist())
            if key in self.tried:
                continue
            if key not in refuted:
                if asked >= PROGRAMS or len(new) >= limit:
                    break
                asked += 1
                refuted[key] = proof = self.polytope.refuted(neurons[place], signs[place])
                if proof is None or not self._proves(neurons[place], signs[place], *proof):
                    refuted[key] = None
                    self.tried.add(key)
            proof = refuted[key]
            if proof is not None:
                d = np.empty(3)
                d[place] = proof[0]
                new.append(np.concatenate([self.factor(neurons, signs), d, proof[1]]))
                which.append(k)
        return np.array(which[:limit], dtype=np.int64), np.array(new[:limit])

    def _proves(self, neurons: Array, signs: Array, d: Array, slopes: Array) -> bool:
        literals = self.literals(neurons[None], signs[None])
        return bool(clause_heights(self.lifting, literals, d[None], slopes[None])[0] < -LEAST_HEIGHT)


def event_pools(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, LiteralPool]:
    """The pools of those that there may be."""
    if not {EVENTS, CLAUSES} & set(names) or not 2 <= width_of(lifting) <= MOST_NEURONS:
        return {}
    polytope = Polytope(lifting)
    factors = FactorRows(lifting, factored)
    kinds = {EVENTS: EventPool, CLAUSES: ClausePool}
    return {name: kind(lifting, factors, polytope) for name, kind in kinds.items() if name in names}


def event_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The two products of event rows: (h phi - c phi z) phi' and phi (-s phi' z')."""
    literals, directions, slopes, _ = decode(lifting, rows)
    h = heights(lifting, literals, directions, slopes)
    every, starts = _factors(lifting)
    masks, behind = [], []
    for k in (0, 1):
        sign, layer = literals.signs[:, k], literals.layers[:, k]
        kind = np.where(sign > 0, "X", "XC")
        number = [starts[FactorName(name, 1, l)] for name, l in zip(kind.tolist(), layer.tolist(), strict=True)]
        masks.append(every[rows[:, k].astype(np.int64)])
        scale = sp.diags(sign * directions[:, k])
        behind.append(scale @ every[np.array(number, dtype=np.int64) + literals.place[:, k]])
    yield (sp.diags(h) @ masks[0] - behind[0]).tocsr(), masks[1]
    yield masks[0], -behind[1]


def clause_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The product of clauses: phi_1 and 1 - phi_2 - phi_3."""
    decode_clauses(lifting, rows)
    every, starts = _factors(lifting)
    first, second, third = (rows[:, k].astype(np.int64) for k in range(3))
    # 1 - phi is the mirror's
    table = FactorTable(lifting)
    mirror = np.array([starts[n._replace(sign=-n.sign)] - s for n, s in zip(table.names, table.starts, strict=False)])
    yield every[first], (every[second + mirror[table.of(second)]] - every[third]).tocsr()


def _factors(lifting: Lifting) -> tuple[sp.csr_matrix, dict[FactorName, int]]:
    """All factors' rows over the extended basis, and by name where they begin."""
    table = FactorTable(lifting)
    every = csr_of(table.forms, lifting.extended)
    return every, {name: int(start) for name, start in zip(table.names, table.starts, strict=False)}
