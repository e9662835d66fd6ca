"""The products of a relaxation row by row, as Newton's method has them: families, triangles and other cuts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting
from ...relaxation.circuits import CIRCUITS
from ...relaxation.clauses import CLAUSES
from ...relaxation.cones import CONES
from ...relaxation.events import EVENTS
from ...relaxation.exclusions import EXCLUSIONS
from ...relaxation.forms import Family, csr_of
from ...relaxation.mixtures import MIXTURES
from ...relaxation.products import PRODUCTS, FactorTable
from ...relaxation.triangles import TRIANGLES, decode
from .circuit_cuts import circuit_forms
from .cone_cuts import cone_forms
from .event_cuts import clause_forms, event_forms
from .exclusion_cuts import exclusion_forms
from .mixture_cuts import mixture_forms

CUTS = (TRIANGLES, PRODUCTS, CONES, EVENTS, CLAUSES, EXCLUSIONS, MIXTURES, CIRCUITS)  # what a certificate has as rows


@dataclass
class Rows:
    """The products with multipliers of their own: forms over the extended basis, and where each multiplier is kept."""

    F: sp.csr_matrix  # (m, extended); of rows that are sums of products (their number, extended)
    G: sp.csr_matrix
    equality: Array  # (m,) bool
    names: list[tuple[str, int]]  # family (or one of CUTS) and its rows, in order
    gather: sp.csr_matrix | None = None  # (m, products) what each row sums; None: it is one product

    def of_products(self, weights: Array) -> Array:
        """The products' weights, from those of the rows."""
        return weights if self.gather is None else np.asarray(self.gather.T @ weights)

    def summed(self, products: Array) -> Array:
        """(m, ...) of the rows, from (their number, ...) of the products."""
        return products if self.gather is None else np.asarray(self.gather @ products)


class Collected(NamedTuple):
    """Rows, their first multipliers, by name of CUTS the rows of a certificate that are among them, and of each
    triangle the corner that its product has in place of the constant.
    """

    rows: Rows
    start: Array
    cuts: dict[str, Array]
    centers: Array


def collected(lifting: Lifting, families: list[Family], given: Mapping[str, Array]) -> Collected:
    """The products of the families and of the cuts that there are multipliers of."""
    F = [csr_of([family.F for family in families], lifting.extended)]
    G = [csr_of([family.G for family in families], lifting.extended)]
    equality, names, start = [], [], []
    for family in families:
        values = given.get(family.name, np.zeros(family.shape))
        equality.append(np.full(len(values), family.equality))
        names.append((family.name, len(values)))
        start.append(values)
    cuts = {name: given[name] for name in CUTS if name in given}
    centers, more = np.zeros(0, np.int64), []
    shared, count = np.zeros(0, np.int64), sum(map(len, start))
    for name, rows in cuts.items():
        if name == TRIANGLES:
            cuts[name], centers, forms = _triangles(lifting, rows)
            products = [forms]
        else:
            products = list(_forms_of(lifting, name, rows))
        F.append(products[0][0])
        G.append(products[0][1])
        more += products[1:]
        own = np.arange(count, count + len(cuts[name]))
        shared = np.concatenate([shared, *(own for _ in products[1:])])
        count += len(own)
        equality.append(np.zeros(len(own), dtype=bool))
        names.append((name, len(own)))
        start.append(cuts[name][:, -1] if name == TRIANGLES else np.maximum(cuts[name][:, -1], 0.0))
    gather = None
    if len(shared):
        row = np.concatenate([np.arange(count), shared])
        gather = sp.csr_matrix((np.ones(len(row)), (row, np.arange(len(row)))), shape=(count, len(row)))
    found = Rows(
        sp.vstack([*F, *(f for f, _ in more)]).tocsr(), sp.vstack([*G, *(g for _, g in more)]).tocsr(),
        np.concatenate([np.zeros(0, dtype=bool), *equality]), names, gather,
    )  # fmt: skip
    return Collected(found, np.concatenate([np.zeros(0), *start]), cuts, centers)


def _forms_of(lifting: Lifting, name: str, rows: Array) -> Iterator[tuple[Any, Any]]:
    """The products of cuts that are no triangles: pairs of (n, extended) forms, one of each cut or several."""
    forms = {
        EVENTS: event_forms, CLAUSES: clause_forms, EXCLUSIONS: exclusion_forms, MIXTURES: mixture_forms,
        CIRCUITS: circuit_forms,
    }  # fmt: skip
    if name in forms:
        yield from forms[name](lifting, rows)
        return
    every = csr_of(FactorTable(lifting).forms, lifting.extended)
    first = every[rows[:, 0].astype(np.int64)]
    yield first, every[rows[:, 1].astype(np.int64)] if name == PRODUCTS else cone_forms(lifting, rows)


def _triangles(lifting: Lifting, rows: Array) -> tuple[Array, Array, tuple[sp.csr_matrix, sp.csr_matrix]]:
    """A triangle with a corner a of +-1 is one product: 1 + ab + bc + ca = (a + b)(a + c) + 1 - a^2.

    1 - a^2 = 0 moves its multiplier from d_a to d_0. Triangles without such a corner are left out.
    """
    one = lifting.square_is_one
    index, signs, _ = decode(rows, lifting.size)
    has_one = one[index].any(axis=1)
    rows, index, signs = rows[has_one], index[has_one], signs[has_one]
    order = np.argsort(~one[index], axis=1, kind="stable")
    index, signs = np.take_along_axis(index, order, axis=1), np.take_along_axis(signs, order, axis=1)
    at, shape = np.arange(len(rows)), (len(rows), lifting.extended.size)

    def form(other: int) -> sp.csr_matrix:
        values, columns = (np.concatenate([part[:, 0], part[:, other]]) for part in (signs, index))
        return sp.csr_matrix((values, (np.concatenate([at, at]), columns)), shape)

    return rows, index[:, 0], (form(1), form(2))
