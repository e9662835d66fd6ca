"""Products of factors as cutting planes for the low-rank engine: the pool, and the search for violated ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import Group, Lifting
from ...relaxation.products import (
    OF_CHAINS,
    OF_CURVES,
    OF_TIES,
    OF_VALUES,
    WITH_CURVES,
    WITH_TIES,
    WITHIN,
    FactorTable,
    pairs_of,
)
from .arrays import Factored
from .program import Cuts
from .schedule import is_small

TERMS = (2, 4)  # most terms of a factor among T, X0 and U, and of any
LEAST_LENGTH = 1e-3  # of a factor's row
BLOCK = 2**22  # entries of products looked at together


class FactorRows:
    """All factors of a lifting as rows of few terms over the extended rows, their largest coefficients scaled to 1.

    Attributes:
        table: the factors.
        place, coefficient: (count, TERMS[1]); padded by coefficients of 0.
        unit: (count,) what they are scaled by.
    """

    def __init__(self, lifting: Lifting, factored: Factored):
        self.table = FactorTable(lifting)
        count = self.table.count
        self.place, self.coefficient = np.zeros((count, TERMS[1]), np.int64), np.zeros((count, TERMS[1]))
        for form, start in zip(self.table.forms, self.table.starts, strict=False):
            rows = slice(start, start + form.rows)
            used: dict[Group, int] = {}
            for term in form.terms:  # terms of one group are at the same entries: they are added up
                k = used.setdefault(term.group, len(used))
                self.place[rows, k] = term.places(factored.placement)
                self.coefficient[rows, k] += term.coefficient
        largest = np.abs(self.coefficient).max(axis=1, initial=0.0)
        self.unit = 1.0 / np.maximum(largest, 1e-300)
        self.coefficient *= self.unit[:, None]
        self._kind_of = np.array([name.kind for name in self.table.names])
        self.has_small = lifting.presolve.section is not None

    def numbers(self, kind: str) -> Array:
        """Numbers of the factors of a kind, all signs and layers."""
        parts = [
            np.arange(self.table.starts[k], self.table.starts[k + 1]) for k in np.flatnonzero(self._kind_of == kind)
        ]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def count_of(self, kind: str) -> int:
        """Most terms of a factor of a kind."""
        return int((self.coefficient[self.numbers(kind)] != 0).sum(axis=1).max(initial=0))

    def rows(self, E: Array) -> Array:
        """(count, r) the factors at the extended rows E."""
        return np.asarray(np.einsum("ke,ker->kr", self.coefficient, E[self.place]))

    def sizes(self, rows: Array) -> Array:
        """(m,) what a violation is measured by, of factors' rows (m, r): 1, or of a reach lifting their lengths.

        There all neurons share S = 1, so that what one lets through is small, and the angle is what counts.
        """
        if self.has_small:
            return np.asarray(np.maximum(np.linalg.norm(rows, axis=1), LEAST_LENGTH))
        return np.ones(len(rows))


class ProductPool:
    """The cuts f_a f_b >= 0 in use, with the search for more.

    Factors are scaled so that their largest coefficient is 1; `multipliers` are for them, in the engine's units.

    Attributes:
        pairs: (m, 2) numbers of factors.
        multipliers, values: (m,).
    """

    def __init__(self, lifting: Lifting, factored: Factored, factors: FactorRows, names: tuple[str, ...]):
        self.factored, self.factors = factored, factors
        wanted = pairs_of(lifting)
        # pairs of +-1-like entries are triangles through the constant: triangle_cuts.py has them
        asked = {*names, *((*OF_CHAINS, *OF_VALUES, *OF_CURVES, *OF_TIES) if WITHIN in names else ())}
        for kind, pairs in WITH_CURVES.items():
            asked.update(pairs if f"{kind}.X" in names else ())
        for kind, pairs in WITH_TIES.items():
            asked.update(pairs if {f"{kind}.A", f"{kind}.X"} & {*names} else ())
        asked -= {"T.U", "U.U", "T.X0", "X0.U"}
        self._kinds = [tuple(name.split(".")) for name in wanted if name in asked]
        self.clear()

    def clear(self) -> None:
        """No cuts."""
        self.pairs = np.zeros((0, 2), np.int64)
        self.multipliers, self.values = np.zeros(0), np.zeros(0)

    def __len__(self) -> int:
        return len(self.pairs)

    def arrays(self) -> tuple[Cuts, Array]:
        """The cuts over the Gram matrix of the extended rows, and their multipliers."""
        is_of_few = max((self.factors.count_of(first) for first, _ in self._kinds), default=0) <= TERMS[0]
        first, second = TERMS if is_of_few else (TERMS[1], TERMS[1])
        a, b = self.pairs.T
        size = self.factored.placement.size
        places, coefficients = self.factors.place, self.factors.coefficient
        place = places[a][:, :first, None] * size + places[b][:, None, :second]
        coefficient = coefficients[a][:, :first, None] * coefficients[b][:, None, :second]
        flat = (first * second, len(self))
        return Cuts(in_columns(place, flat), in_columns(coefficient, flat), np.zeros(len(self))), self.multipliers

    def keep(self, which: Array) -> None:
        """Only these."""
        self.pairs, self.multipliers, self.values = self.pairs[which], self.multipliers[which], self.values[which]

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated products at the extended rows E, by more than `least`."""
        rows = self.factors.rows(E)
        rows = (rows / self.factors.sizes(rows)[:, None]).astype(np.float32)
        found, values = [self.pairs[:0]], [np.zeros(0)]
        for first, second in self._kinds:
            a, b = self.factors.numbers(first), self.factors.numbers(second)
            if not len(a) or not len(b):
                continue
            step = max(BLOCK // len(b), 1)
            times = self._times(rows[b])
            for start in range(0, len(a), step):
                product = times(_filled(rows[a[start : start + step]], step, len(a)))
                i, j = np.nonzero(product[: len(a) - start] < -least)
                if first == second:  # the other order is the same
                    i, j = i[start + i < j], j[start + i < j]
                found.append(np.column_stack([a[start + i], b[j]]))
                values.append(product[i, j].astype(np.float64))
        pairs, violation = np.concatenate(found), np.concatenate(values)
        if len(pairs) > limit:
            worst = np.argpartition(violation, limit)[:limit]
            pairs, violation = pairs[worst], violation[worst]
        count = self.factors.table.count
        new = ~np.isin(pairs @ [count, 1], self.pairs @ [count, 1])
        self.pairs = np.concatenate([self.pairs, pairs[new]])
        self.multipliers = np.concatenate([self.multipliers, np.zeros(int(new.sum()))])
        self.values = np.concatenate([self.values, violation[new]])
        return int(new.sum())

    def _times(self, right: Array) -> Callable[[Array], Array]:
        """A function left -> left right^T, on the device where that is large."""
        if is_small(self.factored.lifting.size):
            return lambda left: left @ right.T
        from ...machine.run import put, run

        there = put(right)
        return lambda left: np.asarray(run(_product, put(left), there))

    def encoded(self, scale: float, every: bool = False) -> Array:
        """Rows for the certificate, or `every` row."""
        used = (self.multipliers > 0) | every
        a, b = self.pairs[used].T
        weights = scale * self.multipliers[used] * self.factors.unit[a] * self.factors.unit[b]
        return np.column_stack([a, b, weights]).astype(np.float64)

    def decode(self, rows: Array, scale: float) -> None:
        """The cuts of a certificate's rows, as `encoded` gives them."""
        self.pairs = rows[:, :2].astype(np.int64)
        a, b = self.pairs.T
        self.multipliers = rows[:, 2] / (scale * self.factors.unit[a] * self.factors.unit[b])
        self.values = np.zeros(len(rows))


def in_columns(entries: Array, shape: tuple[int, int]) -> Array:
    """(m, E, ...) entries of m cuts, a column a cut."""
    return np.moveaxis(entries, 0, -1).reshape(shape)


def _product(a: Any, b: Any) -> Any:
    return a @ b.T


def _filled(rows: Array, step: int, count: int) -> Array:
    """The last block filled up, so that all have one shape."""
    wanted = min(step, count)
    return np.pad(rows, [(0, wanted - len(rows)), (0, 0)])
