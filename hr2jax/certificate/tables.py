"""Tables that name things: variables by group, layer and index, factors by kind, sign, layer and index.

A certificate's cuts and products are numbers of rows of such a table of its own, so that no order of anything is part
of what it means. Indices are those of the network's neurons and inputs; layers count from 1, inputs and the constant
are in layer 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..arithmetic.float64 import Array
from ..relaxation.basis import Lifting, S, T
from ..relaxation.products import FactorTable
from ..relaxation.squares import MaskTable


@dataclass(frozen=True)
class Table:
    """Names of m things, each array (m,): kind text, the others int64. Sign: 1, -1, or 0 where there is none."""

    kind: Array
    sign: Array
    layer: Array
    index: Array

    def __len__(self) -> int:
        return len(self.kind)

    @staticmethod
    def checked(kind: Array, sign: Array | None, layer: Array, index: Array) -> Table:
        """The table of a file's columns; no `sign`: 0.

        Raises:
            ValueError: columns of another type or of different lengths.
        """
        sign = np.zeros(len(index), dtype=np.int64) if sign is None else sign
        if kind.dtype.kind != "U" or any(column.dtype != np.int64 for column in (sign, layer, index)):
            raise ValueError("a table's kinds must be text, its signs, layers and indices int64")
        if {column.shape for column in (kind, sign, layer, index)} != {(np.size(index),)}:
            raise ValueError("a table's columns must be vectors of one length")
        return Table(kind, sign, layer, index)


@dataclass(frozen=True)
class Numbering:
    """Numbers of a lifting's variables or factors: block after block, each of one kind, sign and layer.

    Attributes:
        names: (kind, sign, layer) of each block.
        labels: the indices of its members, in order.
    """

    names: tuple[tuple[str, int, int], ...]
    labels: tuple[Array, ...]

    def table(self, numbers: Array) -> Table:
        """The names of these numbers."""
        starts = np.cumsum([0, *map(len, self.labels)])
        block = np.searchsorted(starts, numbers, side="right") - 1
        kind, sign, layer = (np.array(column) for column in zip(*self.names, strict=True))
        index = np.concatenate(self.labels)[numbers] if len(numbers) else np.zeros(0)
        sign, layer = sign[block].astype(np.int64), layer[block].astype(np.int64)
        return Table(kind[block], sign, layer, index.astype(np.int64))

    def numbers(self, table: Table) -> Array:
        """(m,) int64: the number of each, -1 where there is none of that name."""
        out = np.full(len(table), -1)
        kinds, code = np.unique(table.kind, return_inverse=True)
        known = {str(kind): k for k, kind in enumerate(kinds)}
        code = np.ravel(code)
        start = 0
        for (kind, sign, layer), labels in zip(self.names, self.labels, strict=True):
            if kind in known and len(labels):
                here = np.flatnonzero((code == known[kind]) & (table.sign == sign) & (table.layer == layer))
                order = np.argsort(labels, kind="stable")
                place = np.minimum(np.searchsorted(labels, table.index[here], sorter=order), len(labels) - 1)
                found = labels[order[place]] == table.index[here]
                out[here[found]] = start + order[place[found]]
            start += len(labels)
        return out

    def required(self, table: Table, what: str) -> Array:
        """`numbers`, none of them missing.

        Raises:
            ValueError: the first that this problem does not have.
        """
        numbers = self.numbers(table)
        if (numbers < 0).any():
            k = int(np.argmin(numbers))
            name = f"{str(table.kind[k])[:10]!r} of layer {table.layer[k]} and index {table.index[k]}"
            raise ValueError(f"there is no {what} {name} in this problem")
        return numbers


def variables(lifting: Lifting) -> Numbering:
    """The entries of the basis."""
    names = tuple((group.kind, 0, group.layer) for group in lifting.sizes)
    return Numbering(names, tuple(map(lifting.owners, lifting.sizes)))


def factor_numbers(lifting: Lifting) -> Numbering:
    """The factors of products, numbered as `products.FactorTable` does."""
    names = FactorTable(lifting).names
    own = {"S": S, "T": T}
    labels = tuple(
        lifting.owners(own[name.kind]) if name.kind in own else lifting.presolve.members(name.layer) for name in names
    )
    return Numbering(tuple((name.kind, name.sign, name.layer) for name in names), labels)


def mask_numbers(lifting: Lifting) -> Numbering:
    """The masked forms of split squares, numbered as `squares.MaskTable` does: their kind is the chain."""
    names = MaskTable(lifting).names
    labels = tuple(lifting.presolve.members(name.layer) for name in names)
    return Numbering(tuple((name.kind, name.sign, name.layer) for name in names), labels)


def columns(table: Table, prefix: str, first: str, signed: bool = False) -> dict[str, Array]:
    """A table's entries in a file; its kinds are called `first`."""
    out = {f"{prefix}/{first}": table.kind, f"{prefix}/layer": table.layer, f"{prefix}/index": table.index}
    return out | ({f"{prefix}/sign": table.sign} if signed else {})


def read(entries: Mapping[str, Array], prefix: str, first: str, signed: bool = False) -> Table:
    """The inverse of `columns`.

    Raises:
        KeyError: a column is missing.
        ValueError: columns of another type or of different lengths.
    """
    kind, layer, index = (entries[f"{prefix}/{name}"] for name in (first, "layer", "index"))
    return Table.checked(kind, entries[f"{prefix}/sign"] if signed else None, layer, index)


def positions_of(values: Array, width: int, length: int, what: str) -> Array:
    """A record's rows of places in its table, checked.

    Raises:
        ValueError: other types or shapes, or places that the table does not have.
    """
    if values.dtype != np.int64 or values.ndim != 2 or values.shape[1] != width:
        raise ValueError(f"{what} must be int64 rows of {width}, not {values.dtype} of shape {values.shape}")
    if not ((values >= 0) & (values < length)).all():
        raise ValueError(f"{what} must be rows of its table, from 0 to {length - 1}")
    return values


def weights_of(entries: Mapping[str, Array], record: str, length: int) -> Array:
    """A record's multipliers, checked.

    Raises:
        ValueError: another type or length.
    """
    values = entries[f"{record}/multipliers"]
    if values.dtype != np.float64 or values.shape != (length,):
        raise ValueError(f"the multipliers of {record!r} must be {length} float64 numbers")
    return values
