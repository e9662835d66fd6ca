"""Event rows, clauses and exclusions of the tensored lifting: the search for those that its moments violate.

Which masks occur together is a fact of the domain, the same for all outputs: linear programs prove it of one output's
lifting (event_cuts.py). What the copies add is a direction among them, the least eigenvector of E[s s^T row].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation import clauses, events
from ...relaxation.copied_cuts import CLAUSES, EVENTS
from ...relaxation.literals import heights
from ...relaxation.tensored import Tensored
from .arrays import Factored
from .event_cuts import PROGRAMS, SIGNS, ClausePool, EventPool, event_pools
from .exclusion_cuts import exclusion_pools

Worst = Callable[[tuple[Array, Array], tuple[Array, Array], bool], tuple[Array, Array]]
LEAST_EVENT = 1e-6  # the moment of an event in a direction, below which no point is made of it


class CopiedEvents:
    """The search; `even` are the factors' rows (K, count, r) in each copy, as `FactorTable` numbers them."""

    def __init__(self, lifting: Tensored, names: tuple[str, ...]):
        self.one = lifting.one
        factored = Factored(self.one, [], pads=False)
        pools = event_pools(self.one, factored, names)
        self.exclusions = next(iter(exclusion_pools(self.one, factored, names).values()), None)
        self.pools = {record: pools[name] for record, name in ((EVENTS, events.EVENTS), (CLAUSES, clauses.CLAUSES))
                      if name in pools}  # fmt: skip

    def found(
        self, record: str, even: Array, constant: Array, least: float, limit: int
    ) -> Iterator[tuple[Array, Array]]:
        """Rows that violate by more than `least`, and by how much; `constant` (K, r) are the rows of s."""
        pool = self.pools.get(record)
        if isinstance(pool, EventPool):
            yield self._events(pool, even, least)
        elif isinstance(pool, ClausePool) and pool.polytope.w > 2:
            yield self._clauses(pool, even, constant, least, limit)

    def excluded(
        self, even: Array, odd: Array, unit: Array, constant: Array, is_even: Array, worst: Worst, least: float,
        limit: int,
    ) -> tuple[Array, Array]:  # fmt: skip
        """Violated products of exclusions and 1 or factors, which of them are even, `unit` what they are scaled by.

        `worst` finds the least value over all directions of products of forms, and the direction.
        """
        pool = self.exclusions
        if pool is None or pool.polytope.w < 2 or not len(pool.unseen):
            return _nothing()
        unseen = pool.unseen
        masks = np.concatenate([even[:, pool.numbers["U", 1]], even[:, pool.numbers["U", -1]],
                                np.zeros((len(even), 1, even.shape[2]))], axis=1)  # fmt: skip
        G = ((unseen >= 0).sum(axis=1) - 1.0)[None, :, None] * constant[:, None]
        G = G - sum(masks[:, unseen[:, k]] for k in range(unseen.shape[1]))
        F = np.concatenate([constant[:, None], unit[:, None] * even], axis=1)
        f = np.concatenate([np.zeros((1, odd.shape[1])), unit[:, None] * odd])
        values = np.empty((F.shape[1], len(unseen)))
        directions = np.empty((*values.shape, len(even)))
        none = np.zeros((len(unseen), odd.shape[1]))
        for own, kind in ((np.flatnonzero(is_even), True), (np.flatnonzero(~is_even), False)):
            for a in own.tolist():  # factors: few, in small networks
                first = np.broadcast_to(F[:, a, None], G.shape), np.broadcast_to(f[a], none.shape)
                values[a], directions[a] = worst(first, (G, none), kind)
        rows, found = [], []
        for a, c, proof in pool.chosen(values, limit, least):
            rows.append(np.concatenate([[a - 1], proof, directions[a, c]]))
            found.append(values[a, c])
        return (np.array(rows), np.array(found)) if rows else _nothing()

    def _events(self, pool: EventPool, even: Array, least: float) -> tuple[Array, Array]:
        i, j, directions, seen = pool.seen
        masks = {sign: even[:, pool.numbers["U", sign]] for sign in SIGNS}
        behind = {1: even[:, pool.numbers["X", 1]], -1: -even[:, pool.numbers["XC", 1]]}
        points = []
        for a, b in product(SIGNS, SIGNS):
            event, first, second = (_products(F[:, i], G[:, j]) for F, G in (
                (masks[a], masks[b]), (behind[a], masks[b]), (masks[a], behind[b])))  # fmt: skip
            value, q = _least_over(event, first, second, directions, seen[a, b])
            of_event, of_first, of_second = (np.einsum("mk,mkh,mh->m", q, M, q) for M in (event, first, second))
            here = np.flatnonzero((value < -least) & (of_event > LEAST_EVENT))
            points.append([np.column_stack([i[here], j[here], np.full((len(here), 2), (a, b))]), value[here],
                           np.column_stack([of_first, of_second])[here] / of_event[here, None],
                           np.stack([event, first, second], axis=1)[here]])  # fmt: skip
        literals, value, point, moments = (np.concatenate(column) for column in zip(*points, strict=True))
        rows, which = [], []
        for k in np.argsort(value, kind="stable")[:PROGRAMS].tolist():
            proof = pool.polytope.farthest(literals[k, :2], literals[k, 2:], point[k])
            if proof is not None:
                rows.append(np.concatenate([pool.factor(literals[k, :2], literals[k, 2:]), *proof]))
                which.append(k)
        if not rows:
            return _nothing()
        known, at = np.array(rows), np.array(which)
        h = heights(self.one, pool.literals(literals[at, :2], literals[at, 2:]), known[:, 2:4], known[:, 4:])
        factor = np.column_stack([h, -known[:, 2:4]])
        finite = np.isfinite(h)
        values, q = _worst(np.einsum("mc,mckh->mkh", factor[finite], moments[at[finite]]))
        bad = values < -least
        return np.column_stack([known[finite], q])[bad], values[bad]

    @staticmethod
    def _clauses(
        pool: ClausePool, even: Array, constant: Array, least: float, limit: int
    ) -> tuple[Array, Array]:
        rows = np.concatenate([even[:, pool.numbers["U", sign]] for sign in SIGNS], axis=1)
        alone = _products(rows, np.broadcast_to(constant[:, None], rows.shape))
        found, values, directions = [], [], []
        for first in range(rows.shape[1]):
            second, third = np.nonzero(pool.fits[first])
            both = _products(np.broadcast_to(rows[:, first, None], rows.shape), rows)
            value, q = _worst(alone[first] - both[second] - both[third])
            bad = value < -least
            found.append(np.column_stack([np.full(len(value), first), second, third])[bad])
            values.append(value[bad])
            directions.append(q[bad])
        literals, value, q = (np.concatenate(column) for column in (found, values, directions))
        order = np.argsort(value, kind="stable")
        which, known = pool.proved(literals[order], limit)
        if not len(which):
            return _nothing()
        return np.column_stack([known, q[order][which]]), value[order][which]


def _nothing() -> tuple[Array, Array]:
    return np.zeros((0, 0)), np.zeros(0)


def _products(F: Array, G: Array) -> Array:
    """(m, K, K) symmetric E[s s^T f g] of rows (K, m, r)."""
    M = np.einsum("kmr,hmr->mkh", F, G, optimize=True)
    return 0.5 * (M + np.swapaxes(M, 1, 2))


def _worst(matrices: Array) -> tuple[Array, Array]:
    """The least eigenvalues of matrices (m, K, K) and their vectors (m, K)."""
    values, vectors = np.linalg.eigh(matrices)
    return values[:, 0], vectors[:, :, 0]


def _least_over(event: Array, first: Array, second: Array, directions: Array, seen: Array) -> tuple[Array, Array]:
    """Over all angles the least eigenvalues (m,) of h event - c first - s second, h as seen, and their vectors."""
    never = np.isinf(seen[:, 0])
    best, q = _worst(-event)
    best[~never] = np.inf
    for angle, (c, s) in enumerate(directions):
        h = np.where(never, 0.0, seen[:, angle])
        values, vectors = _worst(h[:, None, None] * event - c * first - s * second)
        better = ~never & (values < best)
        best, q = np.where(better, values, best), np.where(better[:, None], vectors, q)
    return best, q
