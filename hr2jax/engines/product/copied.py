"""The tensored lifting by Newton's method: its rows are sums of products of copies (relaxation/copies.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import XI, Group, T
from ...relaxation.copied_cuts import (
    BALLS,
    CONES,
    PRODUCTS,
    PROVED,
    TRIANGLES,
    are_even,
    cone_lengths,
    decode_triangles,
    factor_parities,
    of_one_output,
    triangle_forms,
)
from ...relaxation.copies import NO_COPY, CopiedFamily, Parts
from ...relaxation.forms import Form, constant, csr_of
from ...relaxation.mixtures import MIXTURES
from ...relaxation.products import FactorTable
from ...relaxation.tensored import Tensored, copied, is_odd
from .mixture_cuts import mixture_forms
from .newton_rows import Rows
from .newton_step import Problem

Products = tuple[sp.csr_matrix, sp.csr_matrix, Array]  # forms F and G over the extended basis, and each one's row


class Copies:
    """Forms of one output as forms of copies, sparse over the extended basis."""

    def __init__(self, lifting: Tensored):
        self.lifting, one = lifting, lifting.one
        self.of_one, self.size = one.extended, lifting.extended.size
        every = [*one.sizes, *one.derived]
        odd = [g for g in every if is_odd(g)]
        even = [g for g in every if not is_odd(g)]
        self.odd = self._selection(odd, [lifting.extended.places(g) for g in odd])
        self.copy = [
            self._selection(even, [lifting.extended.starts[copied(g)] + k * one.length(g) + np.arange(one.length(g))
                                   for g in even])
            for k in range(lifting.outputs)
        ]  # fmt: skip

    def _selection(self, groups: Sequence[Group], places: list[Array]) -> sp.csr_matrix:
        rows = np.concatenate([np.zeros(0, np.int64), *(self.of_one.places(g) for g in groups)])
        columns = np.concatenate([np.zeros(0, np.int64), *places])
        return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(self.of_one.size, self.size))

    def csr(self, form: Form) -> sp.csr_matrix:
        """(rows, extended basis of one output)."""
        return form.csr(self.of_one)

    def at(self, forms: sp.csr_matrix, copy: Array) -> sp.csr_matrix:
        """Each form's even part in its copy, or its odd part."""
        out = sp.csr_matrix((forms.shape[0], self.size))
        for k in np.unique(copy).tolist():
            here = sp.diags((copy == k).astype(np.float64))
            out = out + here @ forms @ (self.odd if k == NO_COPY else self.copy[k])
        return out.tocsr()

    def along(self, forms: sp.csr_matrix, directions: Array, with_odd: bool) -> sp.csr_matrix:
        """(direction . s) times the even parts, and the odd ones."""
        out = forms @ self.odd if with_odd else sp.csr_matrix((forms.shape[0], self.size))
        for k, selection in enumerate(self.copy):
            out = out + sp.diags(directions[:, k]) @ forms @ selection
        return out.tocsr()


def of_families(copies: Copies, families: list[CopiedFamily]) -> tuple[sp.csr_matrix, sp.csr_matrix, Array, Array]:
    """Forms F and G of what the families' multipliers in use are sums of, each one's row and its factor."""
    found: list[tuple[sp.csr_matrix, sp.csr_matrix, Array, Array]] = []
    count = 0
    for family in families:
        number = np.full(int(np.prod(family.shape)), -1)
        number[family.used] = np.arange(len(family.used))
        here = (number[family.parts.multiplier] >= 0) & (family.parts.factor != 0)
        parts = Parts(*(column[here] for column in family.parts))
        F, G = copies.csr(family.F)[parts.i], copies.csr(family.G)[parts.j]
        found.append((copies.at(F, parts.k), copies.at(G, parts.h), count + number[parts.multiplier], parts.factor))
        count += len(family.used)
    return _joined(copies, found)


def _joined(copies: Copies, found: list[Any]) -> tuple[sp.csr_matrix, sp.csr_matrix, Array, Array]:
    empty = sp.csr_matrix((0, copies.size))
    F, G = (sp.vstack([empty, *(part[k] for part in found)]).tocsr() for k in (0, 1))
    row = np.concatenate([np.zeros(0, np.int64), *(part[2] for part in found)])
    return F, G, row, np.concatenate([np.zeros(0), *(part[3] for part in found)])


class CopiedProblem(Problem):
    """The program of the tensored lifting; cuts are rows as certificates have them, of unit length.

    `known` is what `of_families` says of the families.
    """

    lifting: Tensored

    def __init__(
        self, lifting: Tensored, families: list[CopiedFamily], cuts: Mapping[str, Array], copies: Copies, known: Any
    ):
        self.copies, self.known = copies, known
        super().__init__(lifting, families, cuts)  # type: ignore[arg-type]

    def _collect(self, families: list[CopiedFamily]) -> tuple[Rows, Array]:  # type: ignore[override]
        self.families = {family.name: family for family in families}
        self.centers = np.zeros(0, np.int64)
        names = [(family.name, len(family.used)) for family in families]
        equality = [np.full(len(family.used), family.equality) for family in families]
        found, count = [self.known], sum(number for _, number in names)
        for name, rows in self.given.items():
            for F, G, row in products_of(self.copies, name, rows):
                found.append((F, G, count + row, np.ones(len(row))))
            names.append((name, len(rows)))
            equality.append(np.zeros(len(rows), dtype=bool))
            count += len(rows)
        F, G, row, factor = _joined(self.copies, found)
        gather = sp.csr_matrix((factor, (row, np.arange(len(row)))), shape=(count, len(row)))
        start = np.zeros(count)
        return Rows(F, G, np.concatenate([np.zeros(0, dtype=bool), *equality]), names, gather), start

    def multipliers(self, point: Array) -> dict[str, Array]:
        """By family, as a certificate has them."""
        out, at = {}, self.numbers
        for name, count in self.rows.names:
            values = point[at : at + count]
            at += count
            if name in self.families:
                family = self.families[name]
                out[name] = np.zeros(int(np.prod(family.shape)))
                out[name][family.used] = values
                out[name] = out[name].reshape(family.shape)
            else:
                out[name] = np.column_stack([self.given[name][:, :-1], values])
        return out

    def diagonal(self, point: Array) -> Array:
        """d (N,)."""
        return self.plain_diagonal(point)


def products_of(copies: Copies, name: str, rows: Array) -> list[Products]:
    """What rows of cuts are sums of, a product each of forms of copies; directions are of unit length."""
    lifting, K = copies.lifting, copies.lifting.outputs
    if name in (PRODUCTS, TRIANGLES):
        at = 2 if name == PRODUCTS else 3
        directions = rows[:, at : at + K]
        if name == PRODUCTS:
            every, even = factor_rows(copies), factor_parities(lifting)
            a, b = rows[:, :2].astype(np.int64).T
            F, G, is_even = every[a], every[b], even[a] & even[b]
        else:
            first, second, is_even = triangle_forms(lifting, *decode_triangles(lifting, rows[:, :3]))
            F, G = copies.csr(first), copies.csr(second)
        return in_directions(copies, F, G, is_even, directions)
    if name in PROVED:
        known, directions, _ = of_one_output(lifting, name, rows)
        even = are_even(lifting, name, known)
        found = [in_directions(copies, copies.csr(F), copies.csr(G), even, directions)
                 for F, G in PROVED[name](lifting, known)]  # fmt: skip
        return [part for parts in found for part in parts]
    if name == MIXTURES:
        every = np.arange(len(rows))
        return [(F, G, every) for F, G in mixture_forms(lifting, rows)]
    phi = factor_rows(copies)[rows[:, 0].astype(np.int64)]
    one = copies.csr(constant(1.0, len(rows)))
    every_row = np.arange(len(rows))
    if name == CONES:
        w = lifting.one.sizes[T]
        mu = rows[:, 1:-1].reshape(-1, K, w)
        lengths = cone_lengths(lifting, mu)
        out = []
        for k in range(K):
            right = sp.lil_matrix((len(rows), copies.size))
            right[:, lifting.extended.slice(T)] = -mu[:, k]
            unit = np.zeros((len(rows), K))
            unit[:, k] = 1.0
            own = sp.diags(lengths[:, k]) @ copies.along(one, unit, False)
            out.append((copies.along(phi, unit, False), (own + right.tocsr()).tocsr(), every_row))
        return out
    assert name == BALLS
    w = lifting.one.sizes[XI]
    q, mu = rows[:, 1 : 1 + K], rows[:, 1 + K : 1 + K + w]
    of_one = sp.lil_matrix((len(rows), copies.of_one.size))
    of_one[:, copies.of_one.slice(XI)] = -mu
    right = of_one.tocsr() + one
    return [(copies.along(phi, q, False), copies.along(right, q, False), every_row)]


def in_directions(
    copies: Copies, F: sp.csr_matrix, G: sp.csr_matrix, is_even: Array, directions: Array
) -> list[Products]:
    """Products in directions of unit length: (q.s)^2 f g, or with an odd part sum_b (b.s)^2 of an orthonormal basis."""
    every, mixed = np.arange(len(is_even)), np.flatnonzero(~is_even)
    first = [(copies.along(F, directions, True), copies.along(G, directions, True), every)]
    if not copies.lifting.is_unit or not len(mixed):
        return first
    for basis in _completed(directions[mixed]):
        first.append((copies.along(F[mixed], basis, False), copies.along(G[mixed], basis, False), mixed))
    return first


def _completed(directions: Array) -> list[Array]:
    """K - 1 arrays (m, K): what makes unit rows orthonormal bases (Householder)."""
    m, K = directions.shape
    sign = np.where(directions[:, 0] < 0, -1.0, 1.0)
    v = directions.copy()
    v[:, 0] += sign
    scale = 2.0 / np.einsum("ij,ij->i", v, v)
    out = []
    for k in range(1, K):
        unit = np.zeros((m, K))
        unit[:, k] = 1.0
        out.append(unit - (scale * v[:, k])[:, None] * v)
    return out


def factor_rows(copies: Copies) -> sp.csr_matrix:
    """(count, extended basis of one output) all factors."""
    return csr_of(FactorTable(copies.lifting.one).forms, copies.of_one)
