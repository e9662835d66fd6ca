"""Circuits (relaxation/circuits.py) as cutting planes for Newton's method: the pool, and the search for more."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np
import scipy.sparse as sp

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, Lifting
from ...relaxation.circuits import CIRCUITS, are_excluded, decode, dependency, forms_at, length_of, planes_of
from ...relaxation.exclusions import EXCLUSIONS
from .arrays import Factored
from .exclusion_cuts import forms_of
from .product_cuts import FactorRows
from .row_pool import RowPool

# Choices of neurons that are looked at, and literals of a circuit: of many all but one are hardly ever there at once.
MOST_CHOICES, LONGEST = 20000, 6
# Factors that one exclusion is multiplied by in a search.
FACTORS = 12
# How far circuits are from what is not proved, so that they are proved on every machine.
MARGIN = 1e3


class CircuitPool(RowPool):
    """The rows f (k - 1 - phi_1 - ... - phi_k) >= 0 in use, with the search for more."""

    def __init__(self, lifting: Lifting, factored: Factored):
        self.factors, self.planes = FactorRows(lifting, factored), planes_of(lifting)
        self.length, self.width = length_of(lifting), 1 + length_of(lifting)
        self._one = factored.placement.places(ONE)[0]
        table = self.factors.table
        start = {(n.sign, n.layer): s for n, s in zip(table.names, table.starts, strict=False) if n.kind == "U"}
        self._numbers = {
            sign: np.array([start[sign, int(l)] for l in self.planes.layers], dtype=np.int64) + self.planes.place
            for sign in (1, -1)
        }
        self.clear()

    @cached_property
    def excluded(self) -> tuple[Array, Array]:
        """Neurons (n, k) and signs (n, k) of the literals that are proved to exclude each other."""
        neurons = np.array(list(combinations(range(len(self.planes.place)), self.length)), dtype=np.int64)
        z = self.planes.z
        planes = self.planes._replace(z=Enclosure(z.mid, z.rad))
        d = dependency(forms_at(planes, neurons, np.ones_like(neurons)).mid)
        if self.planes.tau > 0.0:
            signs = np.sign(d[:, :-1] * d[:, -1:]).astype(np.int64)
        else:  # it and its mirror
            signs = np.sign(np.concatenate([d, -d])).astype(np.int64)
            neurons = np.concatenate([neurons, neurons])
        kept = (signs != 0).all(axis=1)
        neurons, signs = neurons[kept], signs[kept]
        proved = are_excluded(planes, neurons, signs, MARGIN)
        return neurons[proved], signs[proved]

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E, by more than `least`."""
        neurons, signs = self.excluded
        if not len(neurons):
            return 0
        own, one = self.factors.rows(E), E[self._one]
        numbers = np.where(signs > 0, self._numbers[1][neurons], self._numbers[-1][neurons])
        phi = own / self.factors.unit[:, None]
        rows = np.vstack([one, own / np.maximum(self.factors.sizes(own), 1e-300)[:, None]])
        of_mask = (rows @ phi.T).astype(np.float32)
        values = np.repeat((rows @ one)[:, None] * (self.length - 1.0), len(numbers), axis=1).astype(np.float32)
        for k in range(self.length):
            values -= of_mask[:, numbers[:, k]]
        count = min(FACTORS, len(values))
        f = np.argpartition(values, count - 1, axis=0)[:count]
        value = np.take_along_axis(values, f, axis=0)
        which, c = np.nonzero(value < -least)
        f, value = f[which, c], value[which, c]
        worst = np.argsort(value, kind="stable")[:limit]
        new = np.column_stack([f[worst] - 1, numbers[c[worst]]]).astype(np.float64)
        known = {row.tobytes() for row in self.rows}
        is_new = np.array([row.tobytes() not in known for row in new], dtype=bool)
        return self._add(new[is_new], value[worst][is_new].astype(np.float64)) if is_new.any() else 0


def circuit_pools(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, CircuitPool]:
    """The pool, where there may be one."""
    k = length_of(lifting)
    if EXCLUSIONS not in names or not 0 < k <= LONGEST or comb(len(planes_of(lifting).place), k) > MOST_CHOICES:
        return {}
    return {CIRCUITS: CircuitPool(lifting, factored)}


def circuit_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The product of circuits: f and k - 1 - phi_1 - ... - phi_k."""
    yield forms_of(lifting, decode(lifting, rows))
