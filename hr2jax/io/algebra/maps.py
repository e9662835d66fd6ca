"""Matrices of affine expressions, dense or sparse (CSR), with radii where float64 cannot hold their entries.

Every operation is exact or raises `InexactError`: the caller then takes two maps instead of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...arithmetic import exact
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...machine.memory import free_bytes
from .numbers import Number, divide, lowest_bits, mid, rad

Matrix = Any  # a float64 array (m, n) or a csr_array, sorted, without repeats
_SMALL = 2**20  # bytes; whether there is room for so few is not even asked
_ENTRY, _NUMBER = 40, 24  # bytes of an entry of a sparse and of a dense matrix, with what is between


@dataclass(frozen=True, eq=False)
class Map:
    """A matrix known to within its radii: `rad` None where every entry is exact."""

    mid: Matrix
    rad: Matrix | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n)."""
        return (int(self.mid.shape[0]), int(self.mid.shape[1]))


def room(entries: float, what: str = "an expression of the graph", sparse_: bool = True) -> None:
    """Refuse a matrix of more entries than there is memory for.

    Raises:
        ValueError: it is.
    """
    size = entries * (_ENTRY if sparse_ else _NUMBER)
    if size > _SMALL and size > free_bytes():
        raise ValueError(f"{what} would take {size / 1e9:.3g} GB of memory, but {free_bytes() / 1e9:.3g} GB are free")


def is_sparse(matrix: Matrix) -> bool:
    """Whether it is sparse."""
    return sparse.issparse(matrix)


def stored(m: Map) -> int:
    """How many entries it stores."""
    return int(m.mid.nnz if is_sparse(m.mid) else m.mid.size)


def csr_bytes(matrix: Matrix) -> int:
    """The memory that a sparse matrix takes."""
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


def csr(data: Array, indices: Array, indptr: Array, shape: tuple[int, int]) -> Matrix:
    """A sparse matrix whose rows are in order and without repeats."""
    matrix = sparse.csr_array((data, indices, indptr), shape=shape)
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    return matrix


def identity(n: int) -> Map:
    """The identity of n rows."""
    return picked(np.arange(n), n)


def picked(columns: Array, n: int) -> Map:
    """Rows of the identity of n columns; -1 is a row of zeros."""
    room(len(columns))
    there = columns >= 0
    starts = np.concatenate([[0], np.cumsum(there)]).astype(np.int64)
    kept = columns[there].astype(np.int64)
    return Map(csr(np.ones(len(kept)), kept, starts, (len(columns), n)))


def placement(m: Map) -> Array | None:
    """(rows,): the column of the 1 in each row, -1 where the row is 0; None for any other matrix."""
    if m.rad is not None or not is_sparse(m.mid):
        return None
    lengths = np.diff(m.mid.indptr)
    if (lengths > 1).any() or (m.mid.data != 1.0).any():
        return None
    columns = np.full(len(lengths), -1, dtype=np.int64)
    columns[lengths == 1] = m.mid.indices
    return columns


def rows(m: Map, index: Array) -> Map:
    """The rows `index`; -1 is a row of zeros."""
    return Map(_rows(m.mid, index), None if m.rad is None else _rows(m.rad, index))


def _rows(matrix: Matrix, index: Array) -> Matrix:
    there = index >= 0
    if not is_sparse(matrix):
        room(float(len(index)) * matrix.shape[1], sparse_=False)
        out = matrix[np.where(there, index, 0)]
        out[~there] = 0.0
        return out
    begins, lengths = matrix.indptr[:-1], np.diff(matrix.indptr)
    if not len(begins):
        return sparse.csr_array((len(index), matrix.shape[1]))
    held = np.where(there, lengths[np.where(there, index, 0)], 0)
    starts = np.concatenate([[0], np.cumsum(held)])
    room(float(starts[-1]) + len(index))
    at = np.arange(starts[-1]) + np.repeat(begins[np.where(there, index, 0)] - starts[:-1], held)
    return csr(matrix.data[at], matrix.indices[at], starts, (len(index), matrix.shape[1]))


def stacked(parts: Sequence[tuple[int, Map | None]], n: int) -> Map:
    """Matrices of n columns below one another: (rows, matrix), None for zeros."""
    maps = [m for _, m in parts if m is not None]
    if len(parts) == 1 and maps:
        return maps[0]
    middles = _stacked([(r, None if m is None else m.mid) for r, m in parts], n)
    if all(m.rad is None for m in maps):
        return Map(middles)
    radii = _stacked([(r, None if m is None else m.rad) for r, m in parts], n)
    return Map(middles, radii)


def _stacked(parts: Sequence[tuple[int, Matrix | None]], n: int) -> Matrix:
    if all(p is not None and not is_sparse(p) for _, p in parts):
        room(float(sum(r for r, _ in parts)) * n, sparse_=False)
        return np.vstack([np.asarray(p) for _, p in parts])
    blocks = [sparse.csr_array((r, n)) if p is None else as_csr(p) for r, p in parts]
    room(float(sum(b.nnz for b in blocks)) + sum(r for r, _ in parts))
    ends = np.cumsum([0, *(b.nnz for b in blocks)])
    starts = [b.indptr[:-1].astype(np.int64) + e for b, e in zip(blocks, ends, strict=False)]
    indptr = np.concatenate([*starts, ends[-1:]])
    data, indices = (np.concatenate([getattr(b, name) for b in blocks]) for name in ("data", "indices"))
    return csr(data, indices, indptr, (len(indptr) - 1, n))


def as_csr(matrix: Matrix) -> Matrix:
    """The matrix as a sparse one."""
    if is_sparse(matrix):
        return matrix
    room(float(np.count_nonzero(matrix)))
    return sparse.csr_array(matrix)


def scaled(m: Map, factors: Number) -> Map:
    """Row by row times `factors` (m,); radii only where every row has one entry, a 1.

    Raises:
        InexactError: an entry would have to be rounded.
    """
    middle, radius = mid(factors), rad(factors)
    if not is_sparse(m.mid):
        if m.rad is not None or radius is not None:
            raise exact.InexactError("product")
        return Map(exact.product(middle[:, None], m.mid))
    lengths = np.diff(m.mid.indptr)
    if m.rad is None and (m.mid.data == 1.0).all() and (lengths <= 1).all():
        return _filled(m.mid, np.repeat(middle, lengths), None if radius is None else np.repeat(radius, lengths))
    power = np.abs(np.frexp(middle)[0]) == 0.5
    if radius is not None or (m.rad is not None and not power.all()):
        raise exact.InexactError("product")
    data = exact.product(np.repeat(middle, lengths), m.mid.data)
    if m.rad is None:
        return _filled(m.mid, data, None)
    spread = exact.product(np.repeat(np.abs(middle), np.diff(m.rad.indptr)), m.rad.data)
    return Map(csr(data, m.mid.indices, m.mid.indptr, m.shape), csr(spread, m.rad.indices, m.rad.indptr, m.shape))


def divided(m: Map, divisors: Number) -> Map:
    """Row by row divided by `divisors` (m,); radii only where every row has one entry, a 1.

    Raises:
        InexactError: an entry would have to be rounded.
        ValueError: a divisor is, or may be, 0.
    """
    if placement(m) is not None:
        return scaled(m, divide(np.ones(m.shape[0]), divisors))
    if m.rad is not None or isinstance(divisors, Enclosure):
        raise exact.InexactError("quotient")
    if not is_sparse(m.mid):
        return Map(exact.quotient(m.mid, divisors[:, None]))
    return _filled(m.mid, exact.quotient(m.mid.data, np.repeat(divisors, np.diff(m.mid.indptr))), None)


def _filled(pattern: Matrix, data: Array, spread: Array | None) -> Map:
    """Other entries at the places of a matrix; zeros leave."""
    middle = csr(data, pattern.indices, pattern.indptr, pattern.shape)
    radius = None if spread is None else csr(spread, pattern.indices, pattern.indptr, pattern.shape)
    return Map(clean(middle), None if radius is None else clean(radius))


def clean(matrix: Matrix) -> Matrix:
    """Without stored zeros."""
    if not is_sparse(matrix) or matrix.data.all():
        return matrix
    keep = matrix.data != 0.0
    starts = np.concatenate([[0], np.cumsum(keep)])[matrix.indptr]
    return csr(matrix.data[keep], matrix.indices[keep], starts, matrix.shape)


def negative(m: Map) -> Map:
    """-m."""
    if is_sparse(m.mid):
        return Map(csr(-m.mid.data, m.mid.indices, m.mid.indptr, m.shape), m.rad)
    return Map(0.0 - m.mid, m.rad)


def plus(a: Map, b: Map) -> Map:
    """a + b.

    Raises:
        InexactError: an entry would have to be rounded, or has radii in both.
    """
    if a.rad is not None or b.rad is not None:
        x, y = as_csr(a.mid), as_csr(b.mid)
        if _support(a, x).multiply(_support(b, y)).nnz:
            raise exact.InexactError("sum")
        parts = [as_csr(m.rad) for m in (a, b) if m.rad is not None]
        return Map(sparse.csr_array(x + y), parts[0] if len(parts) == 1 else sparse.csr_array(parts[0] + parts[1]))
    if is_sparse(a.mid) and is_sparse(b.mid):
        room(float(a.mid.nnz) + b.mid.nnz)
        return Map(_sparse_total(a.mid, b.mid))
    x, y = (m.mid.toarray() if is_sparse(m.mid) else m.mid for m in (a, b))
    return Map(exact.total(x, y))


def _support(m: Map, middle: Matrix) -> Matrix:
    """Where an entry or its radius is not 0, as a sparse matrix."""
    entries = abs(middle) if m.rad is None else abs(middle) + as_csr(m.rad)
    return sparse.csr_array(entries)


def _sparse_total(a: Matrix, b: Matrix) -> Matrix:
    with np.errstate(over="ignore", invalid="ignore"):
        s = a + b  # Knuth's error-free sum, as in exact.total; where one is 0, nothing is lost
        t = s - a
        lost = (a - (s - t)) + (b - t)
    if (lost.nnz and lost.data.any()) or not np.isfinite(s.data).all():
        raise exact.InexactError("sum")
    s = sparse.csr_array(s)
    s.sort_indices()
    return clean(s)


def times(t: Map, m: Map) -> Map:
    """t @ m.

    Raises:
        InexactError: an entry would have to be rounded, or radii would have to be multiplied.
    """
    columns = placement(m)
    if columns is not None:
        there = columns >= 0
        kept = columns[there]
        if len(kept) == len(columns) == m.shape[1] and (kept == np.arange(len(kept))).all():
            return t
        if len(np.unique(kept)) == len(kept):
            n = m.shape[1]
            return Map(_placed(t.mid, columns, n), None if t.rad is None else _placed(t.rad, columns, n))
    if t.rad is not None or m.rad is not None:
        raise exact.InexactError("product")
    return Map(_product(t.mid, m.mid))


def _placed(t: Matrix, columns: Array, n: int) -> Matrix:
    """The columns of t moved to where `columns` says, no two to one place; -1 leaves out."""
    there = columns >= 0
    if not is_sparse(t):
        room(float(t.shape[0]) * n, sparse_=False)
        out = np.zeros((t.shape[0], n))
        out[:, columns[there]] = t[:, there]
        return out
    keep = there[t.indices]
    starts = np.concatenate([[0], np.cumsum(keep)])[t.indptr]
    out = sparse.csr_array((t.data[keep], columns[t.indices[keep]], starts), shape=(t.shape[0], n))
    out.sort_indices()
    return out


def _product(t: Matrix, m: Matrix) -> Matrix:
    """t @ m where every product and partial sum is exact in float64.

    Multiples of 2^a and 2^b have products that are multiples of 2^(a + b); sums of them, in any order, are exact while
    the sum of magnitudes is below 2^(53 + a + b).
    """
    if is_sparse(m) and (np.diff(m.indptr) <= 1).all() and len(np.unique(m.indices)) == m.nnz:
        columns, factors = np.full(m.shape[0], -1, dtype=np.int64), np.zeros(m.shape[0])
        columns[np.diff(m.indptr) == 1], factors[np.diff(m.indptr) == 1] = m.indices, m.data
        if is_sparse(t):
            values = csr(exact.product(t.data, factors[t.indices]), t.indices, t.indptr, t.shape)
        else:
            values = exact.product(t, factors)
        return clean(_placed(values, columns, m.shape[1]))
    if is_sparse(t) and is_sparse(m):
        lengths = np.diff(m.indptr)
        room(float(lengths[t.indices].sum()))
    else:
        room(float(t.shape[0]) * m.shape[1], sparse_=False)
    size = abs(t) @ abs(m)
    left, right = _grid(t, 1), _grid(m.T.tocsr() if is_sparse(m) else m, 1 if is_sparse(m) else 0)
    least = 2.0**-1000
    if is_sparse(size):
        size = sparse.csr_array(size)
        with np.errstate(over="ignore", under="ignore"):
            grid = np.repeat(left, np.diff(size.indptr)) * right[size.indices]
        fine = bool((size.data < 2.0**52 * grid).all() and (grid >= least).all() and (size.data < 2.0**1000).all())
    else:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            grid = left[:, None] * right[None, :]
            fine = bool(((size < 2.0**52 * grid) & (grid >= least) & (size < 2.0**1000)).all())
    if fine:
        product = t @ m
        if is_sparse(product):
            product = sparse.csr_array(product)
            product.sort_indices()
        return clean(product)
    if is_sparse(t) or is_sparse(m):
        raise exact.InexactError("sum of products")
    return exact.matmul(t, m)


def _grid(matrix: Matrix, axis: int) -> Array:
    """Per row (axis 1) or column (0) a power of two that its entries are multiples of; 1 where there are none."""
    if is_sparse(matrix):
        out = np.full(matrix.shape[0], np.inf)
        some = np.diff(matrix.indptr) > 0
        if some.any():
            out[some] = np.minimum.reduceat(lowest_bits(matrix.data), matrix.indptr[:-1][some])
    else:
        bits = np.full(matrix.shape, np.inf)
        there = matrix != 0.0
        bits[there] = lowest_bits(matrix[there])
        out = bits.min(axis=axis, initial=np.inf)
    out[out == np.inf] = 1.0
    return out


def vector_product(t: Map, shift: Array) -> Array:
    """t @ shift, exactly.

    Raises:
        InexactError: it would have to be rounded.
    """
    if not shift.any():
        return np.zeros(t.shape[0])
    if t.rad is not None:
        raise exact.InexactError("product")
    value = _product(t.mid, shift[:, None] if not is_sparse(t.mid) else as_csr(shift[:, None]))
    return np.asarray(value.toarray() if is_sparse(value) else value)[:, 0]
