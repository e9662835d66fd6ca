"""The quadratic form S that a certificate's multipliers make (docs/theory/certificate-proof.md)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Generic

import numpy as np

from ..arithmetic.enclosure import pieces
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import A, Arithmetic
from ..linalg.arrow import LONG_PIECE, ArrowEnclosure
from ..relaxation.basis import ONE, Group, Lifting, Placement
from ..relaxation.forms import Family, Term

# Up to so many groups the best choice of those to eliminate is looked for, among more a good one.
FEW_GROUPS = 8


@dataclass
class Block:
    """What a form has between two groups: a dense part, and entries given one by one (rows, columns, values).

    `is_own`: `dense` may be written to; otherwise it is somebody else's array.
    """

    dense: Arithmetic | None = None
    is_own: bool = False
    entries: list[tuple[Array, Array, Arithmetic]] = field(default_factory=list)

    @property
    def is_diagonal(self) -> bool:
        """Whether only positions (k, k) occur."""
        return self.dense is None and all(np.array_equal(rows, columns) for rows, columns, _ in self.entries)


class QuadraticForm(Generic[A]):
    """sum over groups g, h of y_g^T B_gh y_h over the extended basis (1, v, t, xi, z), B_gh enclosures."""

    def __init__(self, lifting: Lifting, arithmetic: type[A]):
        self.lifting = lifting
        self.arithmetic = arithmetic
        self.blocks: dict[tuple[Group, Group], Block] = {}

    def add(self, g: Group, h: Group, rows: Array | slice, columns: Array | slice, values: Arithmetic) -> None:
        """Add `values` at [rows, columns] of block (g, h).

        Positions given one by one (1-D rows, columns and values) are kept as such; others make the block dense.

        Raises:
            ValueError: a position occurs twice: of its two values one would be lost.
        """
        shape = (self.lifting.length(g), self.lifting.length(h))
        block = self.blocks.setdefault((g, h), Block())
        if isinstance(rows, slice) and isinstance(columns, slice) and values.shape == shape and block.dense is None:
            block.dense = values
            return
        # none negative, none outside
        row, column = (np.arange(length)[index] for length, index in zip(shape, (rows, columns), strict=True))
        if isinstance(rows, slice) and isinstance(columns, slice):
            row, column = row[:, None], column[None, :]
        one_by_one = row.ndim == column.ndim == 1
        if one_by_one:
            place = row * shape[1] + column
            distinct = len(place) if (place[1:] > place[:-1]).all() else len(np.unique(place))  # most are in order
        else:
            touched = np.zeros(shape, dtype=bool)
            touched[row, column] = True
            distinct = int(np.count_nonzero(touched))
        if values.shape != np.broadcast(row, column).shape or distinct != math.prod(values.shape):
            raise ValueError(f"a form repeats an index in its term of group {g} or {h}")
        if not one_by_one:
            if not block.is_own:
                dense = self.arithmetic(np.zeros(shape))
                if block.dense is not None:
                    dense[...] = block.dense
                block.dense, block.is_own = dense, True
            assert block.dense is not None
            block.dense[row, column] = block.dense[row, column] + values
            return
        for k, (known_row, known_column, earlier) in enumerate(block.entries):
            if np.array_equal(known_row, row) and np.array_equal(known_column, column):
                block.entries[k] = (row, column, earlier + values)
                return
        block.entries.append((row, column, values))

    def eliminable(self) -> tuple[Group, ...]:
        """Basis groups with no products among them but squares: those with the most entries (see linalg/arrow.py)."""
        sizes = self.lifting.sizes
        derived = self.lifting.derived
        coupled = set()
        for (g, h), block in self.blocks.items():
            if not (g == h and g not in derived and block.is_diagonal):
                coupled |= {frozenset((a, b)) for a in derived.get(g, (g,)) for b in derived.get(h, (h,))}
        groups = [g for g in sizes if g != ONE and frozenset((g,)) not in coupled]
        if len(groups) <= FEW_GROUPS:
            choices = [
                chosen
                for k in range(len(groups) + 1)
                for chosen in combinations(groups, k)
                if not any(frozenset((a, b)) in coupled for a in chosen for b in chosen)
            ]
            return max(choices, key=lambda chosen: sum(sizes[g] for g in chosen))
        chosen: set[Group] = set()
        for group in sorted(groups, key=lambda g: -sizes[g]):
            if not any(frozenset((group, other)) in coupled for other in chosen):
                chosen.add(group)
        return tuple(g for g in sizes if g in chosen)

    def matrix(self, eliminate: bool = True) -> ArrowEnclosure[A]:
        """The symmetric (N, N) matrix M with y^T M y the form's value, z replaced by its coefficients.

        Args:
            eliminate: whether rows may be eliminated; without, entries can be added anywhere in `block`.
        """
        sizes = self.lifting.sizes
        eliminated = self.eliminable() if eliminate else ()
        kept = tuple(g for g in sizes if g not in eliminated)
        sides = [Placement.of({g: sizes[g] for g in side}) for side in (eliminated, kept)]
        # where each group lies among the eliminated or among the kept rows
        place = {g: side.slice(g) for side in sides for g in side.lengths}
        n, m = (side.size for side in sides)
        diagonal, coupling, block = (self.arithmetic(np.zeros(shape)) for shape in ((n,), (n, m), (m, m)))
        begun: set[tuple[Group, Group]] = set()
        for term in self._in_the_basis():
            g, h, rows, columns, values = term if term[1] not in eliminated else _flipped(*term)
            if h in eliminated:  # squares of one group, by the choice of `eliminated`
                assert g == h and np.array_equal(rows, columns)
                k = rows + place[g].start
                diagonal[k] = diagonal[k] + values
                continue
            target = coupling if g in eliminated else block
            if not isinstance(rows, slice):
                index = (rows + place[g].start, columns + place[h].start)
                target[index] = target[index] + values
            elif (g, h) in begun:
                target.increase((place[g], place[h]), values)
            else:
                target[place[g], place[h]] = values
            begun.add((g, h))
        every = self.lifting.placement
        at = [np.concatenate([np.arange(0), *map(every.places, side.lengths)]) for side in sides]
        block = block + block.T
        block.halve()
        coupling.halve()
        return ArrowEnclosure(at[0], at[1], diagonal, coupling, block)

    def _in_the_basis(self) -> Iterator[tuple[Group, Group, Any, Any, Arithmetic]]:
        """(g, h, rows, columns, values) of basis groups: whole blocks (slices) and entries one by one."""
        every = slice(None)
        derived = self.lifting.derived
        for (g, h), block in self.blocks.items():
            if block.dense is not None:
                for a, left in self._expand(g, block.dense):
                    for b, right in self._expand(h, left.T):
                        yield a, b, every, every, right.T
            for rows, columns, values in block.entries:
                if g not in derived and h not in derived:
                    yield g, h, rows, columns, values
                elif g in derived and h in derived:
                    for a, first in derived[g].items():
                        weighted = first[rows] * values.reshape(-1, 1)
                        for b, second in derived[h].items():
                            yield a, b, every, every, transposed_product(weighted, second[columns])
                elif g in derived:
                    for a, dense in self._expand_entries(g, h, rows, columns, values):
                        yield a, h, every, every, dense
                else:
                    for a, dense in self._expand_entries(h, g, columns, rows, values):
                        yield a, g, every, every, dense

    def _expand(self, group: Group, block: Arithmetic) -> list[tuple[Group, Arithmetic]]:
        """The block with its rows' group replaced by basis groups: z^T B = one z_one^T B + xi^T z_xi^T B."""
        coefficients = self.lifting.rows(group)
        return [(group, block)] if coefficients is None else [(a, z.T @ block) for a, z in coefficients.items()]

    def _expand_entries(
        self, group: Group, other: Group, rows: Array, columns: Array, values: Arithmetic
    ) -> list[tuple[Group, Arithmetic]]:
        """`_expand` of the block (derived group, other) with `values` at [rows, columns] and nothing else."""
        coefficients = self.lifting.derived[group]
        shape = (self.lifting.length(group), self.lifting.length(other))
        if other == ONE:
            return [(a, z[rows].T @ values.reshape(-1, 1)) for a, z in coefficients.items()]
        if len(np.unique(columns)) < len(columns):  # several to be added in one column
            dense = self.arithmetic(np.zeros(shape))
            dense[rows, columns] = values
            return self._expand(group, dense)
        out = []
        for a, z in coefficients.items():
            weighted: Arithmetic = z[rows] * values.reshape(-1, 1)
            if not np.array_equal(columns, np.arange(shape[1])):
                every = self.arithmetic(np.zeros((shape[1], z.shape[1])))
                every[columns] = weighted
                weighted = every
            out.append((a, weighted.T))
        return out


def _flipped(
    g: Group, h: Group, rows: Any, columns: Any, values: Arithmetic
) -> tuple[Group, Group, Any, Any, Arithmetic]:
    """The same term with the groups in the other order."""
    return h, g, columns, rows, values.T


def transposed_product(first: Arithmetic, second: Arithmetic) -> Arithmetic:
    """first^T second, summed over pieces of the rows: little memory, and a smaller error bound than one long sum."""
    shape = (first.shape[0], max(first.shape[1], second.shape[1]))
    parts = [first[c].T @ second[c] for c in pieces(shape, LONG_PIECE)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def add_family(form: QuadraticForm[Any], family: Family, multipliers: Arithmetic) -> None:
    """Add sum Lambda (f.y)(g.y) over the family's pairs to the form."""
    for a in family.F.terms:
        for b in family.G.terms:
            if family.pairs == "diagonal":
                _add_diagonal(form, a, b, multipliers * a.coefficient * b.coefficient)
            else:
                weighted = multipliers * a.coefficient[:, None] * b.coefficient[None, :]
                _add_all(form, a, b, weighted)


def _add_diagonal(form: QuadraticForm[Any], a: Term, b: Term, weights: Arithmetic) -> None:
    if a.group == b.group == ONE:  # the only case in which positions repeat
        weights, rows, columns = weights.sum().reshape(1), a.index[:1], b.index[:1]
    else:
        rows, columns = a.index, b.index
    form.add(a.group, b.group, rows, columns, weights)


def _add_all(form: QuadraticForm[Any], a: Term, b: Term, weights: Arithmetic) -> None:
    rows, columns = a.index, b.index
    if a.group == ONE:
        weights, rows = weights.sum(axis=0).reshape(1, -1), rows[:1]
    if b.group == ONE:
        weights, columns = weights.sum(axis=1).reshape(-1, 1), columns[:1]
    form.add(a.group, b.group, rows[:, None], columns[None, :], weights)
