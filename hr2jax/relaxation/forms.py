"""Linear forms of the extended basis, and families of products of two of them (docs/theory/moment-relaxation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..arithmetic.float64 import Array
from .basis import ONE, Group, Placement
from .layout import Layout

if TYPE_CHECKING:
    import scipy.sparse as sp


@dataclass(frozen=True)
class Term:
    """coefficient * y[group][index], row by row; `index` (n,) has no repeats unless the group is `ONE`."""

    group: Group
    index: Array
    coefficient: Array

    def places(self, placement: Placement) -> Array:
        """(n,) where the entries lie."""
        return placement.starts[self.group] + self.index


@dataclass(frozen=True)
class Form:
    """n linear forms: the sum of the terms, each with n rows."""

    terms: tuple[Term, ...]

    @property
    def rows(self) -> int:
        """n."""
        return len(self.terms[0].index)

    def csr(self, placement: Placement) -> sp.csr_matrix:
        """(n, size) the forms' rows over a vector in which the groups lie so."""
        return csr_of((self,), placement)

    def __add__(self, other: Form) -> Form:
        return Form(self.terms + other.terms)

    def __neg__(self) -> Form:
        return Form(tuple(Term(t.group, t.index, -t.coefficient) for t in self.terms))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)


def csr_of(forms: Sequence[Form], placement: Placement) -> sp.csr_matrix:
    """(sum of n, size) the rows of forms, one form behind the other, over a vector in which the groups lie so."""
    import scipy.sparse as sp  # here: `import hr2jax` loads no SciPy

    starts = np.cumsum([0, *(form.rows for form in forms)])
    terms = [(start, term) for start, form in zip(starts, forms, strict=False) for term in form.terms]
    none = np.zeros(0, dtype=np.int64)
    rows = np.concatenate([none, *(start + np.arange(len(term.index)) for start, term in terms)])
    columns = np.concatenate([none, *(term.places(placement) for _, term in terms)])
    values = np.concatenate([np.zeros(0), *(term.coefficient for _, term in terms)])
    return sp.csr_matrix((values, (rows, columns)), shape=(int(starts[-1]), placement.size))


@dataclass(frozen=True)
class Family:
    """Products f.y g.y >= 0: row by row (`diagonal`, multipliers (n,)) or all pairs (`all`, multipliers (n, m)).

    Attributes:
        product: what they are, "u.z" or "(1+v).(1-t)".
        layer: the hidden layer, from 1, whose neurons own the rows of `diagonal` products; 0: the inputs do.
        F, G: the factors.
        pairs: see above.
        equality: products f.y g.y = 0, with multipliers of any sign.
        paired: each row belongs to a neuron and the input of its number, where both have variables.
    """

    product: str
    layer: int
    F: Form
    G: Form
    pairs: Literal["diagonal", "all"] = "diagonal"
    equality: bool = False
    paired: bool = False

    @property
    def name(self) -> str:
        """What its multipliers are called, in certificates too."""
        return family_name(self.product, self.layer)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the family's multipliers."""
        return (self.F.rows,) if self.pairs == "diagonal" else (self.F.rows, self.G.rows)

    def clipped(self, multipliers: Array) -> Array:
        """The multipliers, at least 0 unless the products are equal to 0."""
        return multipliers if self.equality else np.maximum(multipliers, 0.0)

    def owners(self, layout: Layout, directions: Array) -> Array:
        """(n,) the neuron or input of each row, in the network's numbering, if those of the layout have variables."""
        own = layout.members(self.layer, directions)
        return np.intersect1d(own, directions) if self.paired else own


def family_name(product: str, layer: int) -> str:
    """"u.z/2" in hidden layer 2, "(1+x).(1-t)" of the inputs alone."""
    return f"{product}/{layer}" if layer else product


def entries(group: Group, index: Array, coefficient: Array | float = 1.0) -> Form:
    """coefficient * y[group][index] as a form."""
    index = np.asarray(index, dtype=np.int64)
    return Form((Term(group, index, np.broadcast_to(np.asarray(coefficient, dtype=np.float64), index.shape)),))


def chosen(form: Form, rows: Array) -> Form:
    """Some rows of a form, distinct ones."""
    return Form(tuple(Term(t.group, t.index[rows], t.coefficient[rows]) for t in form.terms))


def constant(value: Array | float, rows: int) -> Form:
    """A constant as a form of `rows` rows."""
    return entries(ONE, np.zeros(rows, dtype=np.int64), value)
