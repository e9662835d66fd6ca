"""Split squares as cutting planes for Newton's method (relaxation/squares.py): the pool, and the search for more.

What two masks violate is known in closed form: alpha and beta make both terms of one size, and their sign is that of
E[b_1 b_2 - 2 m_1 m_2].
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting, Placement
from ...relaxation.forms import Form
from ...relaxation.squares import SPLIT_SQUARES, MaskTable, decode
from .arrays import Factored
from .row_pool import RowPool

# A row is new whose cosine with that of the same masks and sign is below this.
ALIKE = 0.9999
LEAST = 0.01  # what violates one: by how much |E[b_1 b_2 - 2 m_1 m_2]| exceeds its bound, relative to that
MOST_FORMS = 6000  # among which pairs are looked for
SIGNS = (1, -1)


class SquarePool(RowPool):
    """The pool of split squares: the two masks' numbers and scales a row."""

    width = 4

    def __init__(self, lifting: Lifting, factored: Factored):
        self.table = table = MaskTable(lifting)
        self.before, self.behind = (_stacked(forms, factored.placement) for forms in (table.before, table.behind))
        sign = np.repeat([name.sign for name in table.names], np.diff(table.starts))
        derivative = np.repeat(np.array([name.kind != "x" for name in table.names], dtype=bool), np.diff(table.starts))
        # numbers of the forms behind u of what carries the derivative, and of those behind 1 - u, in the same order
        self.numbers = {s: np.flatnonzero((sign == s) & derivative) for s in SIGNS}
        self.clear()

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E; `least` is LEAST here."""
        first = self.numbers[1]
        b = self.before[first] @ E
        m = {sign: self.behind[numbers] @ E for sign, numbers in self.numbers.items()}
        of_b, size = b @ b.T, np.linalg.norm(b, axis=1)
        most = np.outer(size, size)
        found = []
        for s in SIGNS:
            for t in SIGNS:
                X = of_b - 2.0 * (m[s] @ m[t].T)
                i, j = np.nonzero(np.triu(np.abs(X) > (1.0 + LEAST) * most, 1))
                over = most[i, j] - np.abs(X[i, j])
                length = np.maximum(size[i], size[j])
                scales = np.column_stack([size[j], np.sign(X[i, j]) * size[i]]) / length[:, None]
                found.append(np.column_stack([self.numbers[s][i], self.numbers[t][j], scales, over]))
        every = np.concatenate(found)
        every = every[np.argsort(every[:, 4], kind="stable")[:limit]]
        every = every[~self._is_known(every)]
        return self._add(every[:, :4], every[:, 4])

    def _is_known(self, rows: Array) -> Array:
        """(m,) whether there is one of the same masks and about the same scales."""
        count = self.table.count
        key, known = rows[:, :2] @ [count, 1], self.rows[:, :2] @ [count, 1]
        order = np.argsort(known, kind="stable")
        out = np.zeros(len(rows), dtype=bool)
        start, end = (np.searchsorted(known[order], key, side=side) for side in ("left", "right"))
        for k in range(int((end - start).max(initial=0))):
            here = start + k < end
            other = self.rows[order[np.minimum(start + k, len(order) - 1)]][:, 2:4]
            cosine = (rows[:, 2:4] * other).sum(axis=1)
            lengths = np.linalg.norm(rows[:, 2:4], axis=1) * np.linalg.norm(other, axis=1)
            out |= here & (cosine > ALIKE * lengths)
        return out


def square_pools(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, SquarePool]:
    """The pool, where there may be one: of global constants of several layers, for locally others say more."""
    is_global = lifting.presolve.section is None and "x" not in lifting.chains
    if SPLIT_SQUARES not in names or not (is_global and lifting.masked_layers) or MaskTable(lifting).count > MOST_FORMS:
        return {}
    return {SPLIT_SQUARES: SquarePool(lifting, factored)}


def square_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The two products of split squares: of alpha b_1 - beta b_2 and itself, and of 4 alpha beta m_1 and m_2."""
    numbers, scales, _ = decode(lifting, rows)
    table = MaskTable(lifting)
    before, behind = (_stacked(forms, lifting.extended) for forms in (table.before, table.behind))
    (i, j), (alpha, beta) = numbers.T, scales.T
    side = (sp.diags(alpha) @ before[i] - sp.diags(beta) @ before[j]).tocsr()
    yield side, side
    yield (sp.diags(4.0 * alpha * beta) @ behind[i]).tocsr(), behind[j]


def _stacked(forms: list[Form], placement: Placement) -> sp.csr_matrix:
    empty = sp.csr_matrix((0, placement.size))
    return sp.vstack([empty, *(form.csr(placement) for form in forms)]).tocsr()
