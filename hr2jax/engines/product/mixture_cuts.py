"""Mixtures as cutting planes for Newton's method (relaxation/mixtures.py): the pool, and the search for more.

Let P = E[m_1 m_1^T] and P' = E[m_1' m_1'^T] of one neuron (E[m_1 m_1'^T] is 0), Q and Q' of another. Their inverse
roots times -E[m_1 m_2^T], E[m_1 m_2'^T], E[m_1' m_2^T] and E[m_1' m_2'^T] are the blocks of a matrix of which no
singular value exceeds 1 if no mixture is violated; where one does, its two vectors are the scales.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting, Placement
from ...relaxation.mixtures import MIXTURES, MixtureTable, decode
from ...relaxation.squares import SPLIT_SQUARES
from .arrays import Factored
from .row_pool import RowPool

LEAST = 0.003  # what violates one: by how much the singular value exceeds 1
# New ones in a round, times N, where there are other cuts: with more the bound is the same, and later there (wine
# 11-12-12-1 of ExLipBaB, norm 2: 10 s of a processor, with 3 of them and two of a pair 19 s).
PER_ROW = 0.5
# A row is new whose scales' cosine with those of the same neurons is below this.
ALIKE = 0.999
MOST_NEURONS = 1500  # among which pairs are looked for
AT_ONCE = 2**20  # entries of matrices of pairs
LITTLE = 1e-3  # of E[b^2], which P, P', Q and Q' are made larger by: no scale is far above another then


class MaskRows:
    """What masks multiply, as rows over an extended basis: behind masks, and behind the others."""

    def __init__(self, lifting: Lifting, placement: Placement):
        self.table = table = MixtureTable(lifting)
        self.has = table.has()
        on, off = [], []
        for column in table.columns:
            for layer, n in zip(table.layers, np.diff(table.starts), strict=True):
                if (layer, column) in table.forms:
                    before, behind = (form.csr(placement) for form in table.forms[layer, column])
                else:
                    before = behind = sp.csr_matrix((n, placement.size))
                on.append(behind)
                off.append(before - behind)
        empty = sp.csr_matrix((0, placement.size))
        # row c n + i is neuron i's of column c
        self.on, self.off = sp.vstack([empty, *on]).tocsr(), sp.vstack([empty, *off]).tocsr()

    def moments(self, E: Array) -> Array:
        """(2, neurons, columns, r) of extended rows E."""
        shape = (len(self.table.columns), self.table.count, E.shape[1])
        return np.stack([(rows @ E).reshape(shape).transpose(1, 0, 2) for rows in (self.on, self.off)])

    def side(self, numbers: Array, scales: Array) -> tuple[sp.csr_matrix, sp.csr_matrix]:
        """alpha.m and alpha'.m' of some neurons; scales (m, 2, columns)."""
        n, m = self.table.count, len(numbers)
        row = np.repeat(np.arange(m), len(self.table.columns))
        place = (np.arange(len(self.table.columns)) * n + numbers[:, None]).ravel()
        shape = (m, n * len(self.table.columns))
        on, off = (sp.csr_matrix((scales[:, k].ravel(), (row, place)), shape=shape) for k in (0, 1))
        return on @ self.on, off @ self.off


def worst_mixtures(moments: Array, has: Array) -> tuple[Array, Array, Array]:
    """Pairs of neurons (m, 2), scales (m, 4 columns) and values, below 0: the most violated one of each pair.

    Values are relative: of unit E[A^2 + B^2].
    """
    _, n, r, w = moments.shape
    gram = np.einsum("knar,knbr->knab", moments, moments)
    size = np.einsum("knaa->na", gram) + 1e-200
    gram[..., np.arange(r), np.arange(r)] += LITTLE * size
    root = np.linalg.cholesky(gram)
    white = np.linalg.solve(root, moments)
    flat = np.concatenate([white[0], white[1]], axis=1).reshape(2 * n * r, w)  # also of no neurons
    found = []
    step = max(AT_ONCE // max(4 * n * r * r, 1), 1)
    signs = np.ones((2 * r, 2 * r))
    signs[:r, :r] = -1.0
    for start in range(0, n, step):
        own = flat[2 * r * start : 2 * r * (start + step)]
        C = (own @ flat.T).reshape(-1, 2 * r, n, 2 * r).transpose(0, 2, 1, 3)
        row, j = np.nonzero(np.triu((C**2).sum(axis=(2, 3)) > 1.0, start + 1))
        if not len(row):
            continue
        U, values, Vt = np.linalg.svd(C[row, j] * signs)
        bad = np.flatnonzero(values[:, 0] > 1.0 + LEAST)
        pair = np.column_stack([start + row[bad], j[bad]])
        sides = []
        for which, vector in ((0, U[bad, :, 0]), (1, Vt[bad, 0])):
            back = np.swapaxes(root[:, pair[:, which]], 2, 3).transpose(1, 0, 2, 3)
            scales = np.linalg.solve(back, vector.reshape(-1, 2, r, 1))[..., 0]
            sides.append((scales * has[pair[:, which], None]).reshape(-1, 2 * r))
        found.append((pair, np.concatenate(sides, axis=1), 2.0 - 2.0 * values[bad, 0]))
    if not found:
        return np.zeros((0, 2), np.int64), np.zeros((0, 4 * r)), np.zeros(0)
    pairs, scales, worst = (np.concatenate(column) for column in zip(*found, strict=True))
    return pairs, scales / np.abs(scales).max(axis=1, keepdims=True, initial=1e-300), worst


class MixturePool(RowPool):
    """The pool of mixtures: two neurons' numbers and their scales a row."""

    def __init__(self, lifting: Lifting, factored: Factored):
        self.masks = MaskRows(lifting, factored.placement)
        self.width = self.masks.table.width - 1
        has_others = lifting.presolve.chains != ("q",)
        self.most = most_in_a_round(lifting.size) if has_others else lifting.size**2
        self.clear()

    def separate(self, E: Array, limit: int, least: float) -> int:
        """Add the at most `limit` most violated ones at the extended rows E; `least` is LEAST here."""
        return self._add(*new_mixtures(self.masks, E, self.rows, min(limit, self.most)))


def mixture_pools(lifting: Lifting, factored: Factored, names: tuple[str, ...]) -> dict[str, MixturePool]:
    """The pool, where there may be one: of global constants, for locally others say more.

    On a section (2-6-6-1, norm inf) they make a bound of 1.025 times the constant one of 1.0075 times it, but in four
    times the seconds.
    """
    is_global = lifting.presolve.section is None and "x" not in lifting.chains
    if SPLIT_SQUARES not in names or not is_global or MixtureTable(lifting).count > MOST_NEURONS:
        return {}
    return {MIXTURES: MixturePool(lifting, factored)}


def most_in_a_round(size: int) -> int:
    """New ones in a round of a lifting of so many variables that has other cuts as well."""
    return 1 + int(PER_ROW * size)


def new_mixtures(rows: MaskRows, E: Array, known: Array, limit: int) -> tuple[Array, Array]:
    """The at most `limit` most violated ones at extended rows E that are no `known` ones: rows, without multipliers."""
    moments = rows.moments(E)
    pairs, scales, values = worst_mixtures(moments, rows.has)
    worst = np.argsort(values, kind="stable")[:limit]
    found = np.column_stack([pairs[worst], scales[worst]]).astype(np.float64)
    length = np.sqrt(np.einsum("knar,knar->na", moments, moments))
    values = _values(moments, found)
    new = ~_is_known(found, known, length, rows.table.count) & (values < -LEAST)
    return found[new], values[new]


def _values(moments: Array, rows: Array) -> Array:
    """(m,) what rows are at these moments, of unit E[A^2 + B^2] / 2: not as said where E[m m'^T] is not 0."""
    scales = rows[:, 2:].reshape(len(rows), 2, 2, moments.shape[2])
    of = moments[:, rows[:, :2].astype(np.int64)]  # (2, m, 2, columns, r): by mask, row and neuron
    on, off = (np.einsum("mwa,mwar->mwr", scales[:, :, k], of[k]) for k in (0, 1))
    side = on + off
    apart, both = side[:, 0] - side[:, 1], np.einsum("mr,mr->m", on[:, 0], on[:, 1])
    unit = 0.5 * np.einsum("mwr,mwr->m", side, side) + 1e-300
    return (np.einsum("mr,mr->m", apart, apart) + 4.0 * both) / unit


def _is_known(rows: Array, known: Array, length: Array, count: int) -> Array:
    """(m,) whether there is one of the same neurons and about the same scales, in units of what they multiply."""
    key, other = rows[:, :2] @ [count, 1], known[:, :2] @ [count, 1]
    order = np.argsort(other, kind="stable")
    start, end = (np.searchsorted(other[order], key, side=side) for side in ("left", "right"))
    units = np.concatenate([np.tile(length[rows[:, k].astype(np.int64)], 2) for k in (0, 1)], axis=1)
    out = np.zeros(len(rows), dtype=bool)
    own = rows[:, 2:] * units
    for k in range(int((end - start).max(initial=0))):
        here = start + k < end
        like = known[order[np.minimum(start + k, len(order) - 1)]][:, 2:] * units
        lengths = np.linalg.norm(own, axis=1) * np.linalg.norm(like, axis=1)
        out |= here & (np.abs((own * like).sum(axis=1)) > ALIKE * lengths)
    return out


def mixture_forms(lifting: Lifting, rows: Array) -> Iterator[tuple[sp.csr_matrix, sp.csr_matrix]]:
    """The two products of mixtures: of A - B and itself, and of 4 alpha.m_1 and beta.m_2."""
    numbers, scales, _ = decode(lifting, rows)
    own = MaskRows(lifting, lifting.extended)
    (m, n), (k, l) = (own.side(numbers[:, which], scales[:, which]) for which in (0, 1))
    side = (m + n - k - l).tocsr()
    yield side, side
    yield (4.0 * m).tocsr(), k.tocsr()
