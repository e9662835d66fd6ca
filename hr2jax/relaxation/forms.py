"""Linear forms of the extended basis, and families of products of two of them (docs/theory/moment-relaxation.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..arithmetic.float64 import Array


@dataclass(frozen=True)
class Term:
    """coefficient * y[group][index], row by row; `index` (n,) has no repeats unless the group is `one`."""

    group: str
    index: Array
    coefficient: Array


@dataclass(frozen=True)
class Form:
    """n linear forms: the sum of the terms, each with n rows."""

    terms: tuple[Term, ...]

    @property
    def rows(self) -> int:
        """n."""
        return len(self.terms[0].index)

    def __add__(self, other: Form) -> Form:
        return Form(self.terms + other.terms)

    def __neg__(self) -> Form:
        return Form(tuple(Term(t.group, t.index, -t.coefficient) for t in self.terms))

    def __sub__(self, other: Form) -> Form:
        return self + (-other)


@dataclass(frozen=True)
class Family:
    """Products f.y g.y >= 0: row by row (`diagonal`, multipliers (n,)) or all pairs (`all`, multipliers (n, m)).

    `equality`: products f.y g.y = 0, with multipliers of any sign.
    """

    name: str
    F: Form
    G: Form
    pairs: Literal["diagonal", "all"] = "diagonal"
    equality: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the family's multipliers."""
        return (self.F.rows,) if self.pairs == "diagonal" else (self.F.rows, self.G.rows)

    def clipped(self, multipliers: Array) -> Array:
        """The multipliers, at least 0 unless the products are equal to 0."""
        return multipliers if self.equality else np.maximum(multipliers, 0.0)


def entries(group: str, index: Array, coefficient: Array | float = 1.0) -> Form:
    """coefficient * y[group][index] as a form."""
    index = np.asarray(index, dtype=np.int64)
    return Form((Term(group, index, np.broadcast_to(np.asarray(coefficient, dtype=np.float64), index.shape)),))


def constant(value: Array | float, rows: int) -> Form:
    """A constant as a form of `rows` rows."""
    return entries("one", np.zeros(rows, dtype=np.int64), value)
