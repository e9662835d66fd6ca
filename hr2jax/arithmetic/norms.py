"""Norms of float64 matrices, rounded up: never NaN, never too small, infinite where float64 overflows.

A norm is named "inf", 2 or 1. Whatever depends on it is said for each by name: none is what another is not.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy as np

from ..text import shown
from .banded import square_of_norm
from .enclosure import Enclosure, clipped_exponent
from .factored import square_by_factor, work_of_factor
from .float64 import Array

Norm = str | int
NORMS: tuple[Norm, ...] = ("inf", 2, 1)
DUAL: dict[Norm, Norm] = {"inf": 1, 2: 2, 1: "inf"}
# Spectral norms of matrices of at least so many rows and columns are kept, at most so many of them.
LARGE, MOST_FOUND = 64, 256
_FOUND: dict[tuple[bytes, tuple[int, ...], type[Enclosure], float | None], float] = {}
# Of so many rows and columns an eigendecomposition takes minutes: a narrow band is looked for.
HUGE = 4096
SMALLEST = 2.0**-1000  # a result below this may have lost bits to underflow
# In haste, norms of matrices of more rows and columns go by a factor, and are stated by so much above what it proves:
# an eigendecomposition, by which whoever has time verifies what follows from them, then proves no more.
SLOW, ABOVE = 512, 1e-6


class Haste(NamedTuple):
    """How much whoever has little time may do below; bounds that follow are looser, and are proved all the same.

    Attributes:
        factor: multiplications that the factor of one matrix may take; beyond, row and column sums bound its norm.
        bound: multiplications that a bound may take which another one does without (`bounds.jacobian`).
    """

    factor: float = math.inf
    bound: float = math.inf


_haste: ContextVar[Haste | None] = ContextVar("hr2jax haste", default=None)


def parse_norm(norm: Any, known: tuple[Norm, ...] = NORMS, name: str = "norm") -> Norm:
    """The one of `known` that is meant by any of its spellings: "inf", "linf", numpy.inf; 2, "2", "l2"; 1, "1", "l1".

    Raises:
        ValueError: none of them; it says `name`, the argument.
    """
    number = isinstance(norm, int | float | np.number) and not isinstance(norm, bool)
    for one in known:
        if isinstance(norm, str) and norm.lower() in (str(one), f"l{one}"):
            return one
        if number and norm == (math.inf if one == "inf" else one):
            return one
    raise unknown_norm(norm, known, name)


def unknown_norm(norm: Any, known: tuple[Norm, ...] = NORMS, name: str = "norm") -> ValueError:
    """The refusal of what is none of the `known` norms, given as the argument `name`."""
    names = ['"inf"' if one == "inf" else str(one) for one in known]
    return ValueError(f"{name} must be {', '.join(names[:-1])} or {names[-1]}, but {shown(norm)} was given")


def bounded(values: Array) -> Array:
    """`values` with NaN, what an overflow leaves behind, read as infinity."""
    return np.where(np.isnan(values), np.inf, values)


def times_up(a: Array | float, b: Array | float) -> Array:
    """a * b rounded up, for a, b >= 0 or infinite; a factor 0 makes it 0."""
    with np.errstate(all="ignore"):
        product = np.nextafter(np.multiply(a, b), np.inf)
    return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0.0, bounded(product))


def sqrt_up(values: Array | float) -> Array:
    """The square root rounded up, of values >= 0; that of 0 is 0."""
    values = np.asarray(values, dtype=np.float64)
    return np.where(values == 0, 0.0, np.nextafter(np.sqrt(values), np.inf))


def row_norms(M: Array, norm: Norm, arithmetic: type[Enclosure] = Enclosure) -> Array:
    """Upper bounds of the rows' norms dual to `norm`: sums of magnitudes for "inf", Euclidean for 2, the largest for 1.

    Args:
        M: (n, p) float64; entries may be infinite.
        norm: the norm of the input, "inf", 2 or 1.
        arithmetic: the arithmetic that proves the bounds.

    Returns:
        (n,) float64; 0 exactly for a row of zeros.
    """
    with np.errstate(all="ignore"):
        size = np.abs(M)
        if norm == "inf":
            return bounded(arithmetic(size).sum(axis=1).upper())
        largest = size.max(axis=1, initial=0.0)
        if norm == 1:
            return bounded(largest)
        if norm != 2:
            raise unknown_norm(norm)
        infinite = np.isinf(largest)
        exponent = np.frexp(np.where(infinite, 0.0, largest))[1].astype(np.int64)
        scaled = arithmetic(np.where(infinite[:, None], 0.0, size)).scaled(-exponent[:, None])
        return np.where(infinite, np.inf, _scaled_up(sqrt_up((scaled * scaled).sum(axis=1).upper()), exponent))


def vector_norm(v: Array, norm: Norm, arithmetic: type[Enclosure] = Enclosure) -> float:
    """An upper bound of the norm of `v` (p,) dual to `norm`."""
    return float(row_norms(np.reshape(v, (1, -1)), norm, arithmetic)[0])


def operator_norm(A: Array, norm: Norm, arithmetic: type[Enclosure] = Enclosure) -> float:
    """An upper bound of the operator norm of `A` (m, n) from `norm` to itself: row sums, spectral norm, column sums."""
    if norm == "inf":
        return float(row_norms(A, "inf", arithmetic).max())
    if norm == 2:
        return spectral_norm(A, arithmetic)
    if norm == 1:
        return float(row_norms(A.T, "inf", arithmetic).max())
    raise unknown_norm(norm)


def mixed_norm(A: Array, norm: Norm, output_norm: Norm, arithmetic: type[Enclosure] = Enclosure) -> float:
    """An upper bound of max ||A t||_q over ||t||_p <= 1, of a matrix A (m, n) with entries that may be infinite.

    Exact up to rounding for q = inf (the rows' dual norms) and p = 1 (the columns' norms); of the others
    (docs/theory/several-outputs.md) what row sums, column sums and the spectral norm say.

    Args:
        A: (m, n) float64.
        norm: p, "inf", 2 or 1.
        output_norm: q, likewise.
        arithmetic: the arithmetic that proves the bound.
    """
    for name in (norm, output_norm):
        if name not in NORMS:
            raise unknown_norm(name)
    if 0 in A.shape:
        return 0.0
    if output_norm == "inf":
        return float(row_norms(A, norm, arithmetic).max())
    if norm == 1:
        return float(row_norms(A.T, DUAL[output_norm], arithmetic).max())
    lines = A if norm == "inf" else A.T  # 2 -> 1 is inf -> 2 of the transpose
    sums = row_norms(lines, "inf", arithmetic)
    if norm == "inf" and output_norm == 1:
        return vector_norm(sums, "inf", arithmetic)
    spectral = spectral_norm(A, arithmetic) if np.isfinite(A).all() else math.inf
    if norm == output_norm:
        return spectral
    return min(vector_norm(sums, 2, arithmetic), float(times_up(sqrt_up(float(lines.shape[1])), spectral)))


def is_euclidean(norm: Norm) -> bool:
    """Whether the squares of a vector that `norm` bounds by 1 add up to at most 1; else each of them is at most 1."""
    if norm in (2, 1):
        return True
    if norm == "inf":
        return False
    raise unknown_norm(norm)


def longest(norm: Norm, size: int) -> float:
    """An upper bound of the Euclidean length of a vector of `size` entries that `norm` bounds by 1."""
    return 1.0 if is_euclidean(norm) else float(sqrt_up(float(size)))


@contextlib.contextmanager
def in_haste(how: Haste | None) -> Iterator[None]:
    """Within, norms of large matrices are proved by one Cholesky factor, or more roughly. None: there is no haste."""
    token = _haste.set(how)
    try:
        yield
    finally:
        _haste.reset(token)


def haste() -> Haste:
    """How much may be done."""
    return _haste.get() or Haste()


def hasty_work(shape: tuple[int, ...]) -> float:
    """Multiplications that the norm of a matrix of that shape takes in haste; 0 of one that is not large."""
    return work_of_factor((shape[0], shape[1])) if SLOW < min(shape) < HUGE else 0.0


def spectral_norm(A: Array, arithmetic: type[Enclosure] = Enclosure) -> float:
    """An upper bound of the largest singular value of `A` (m, n) float64 finite; 0 for zero and empty matrices.

    With G the smaller Gram matrix of `A` scaled, and any V, w:  G = V Diag(w) V^T + R,  so that its largest
    eigenvalue is at most  max(w, 0) ||V^T V||_inf + ||R||_inf.  An eigendecomposition suggests V and w and
    is not trusted; where it fails the Frobenius norm remains. Of large matrices the last bounds are kept: presolve, the
    certificate and the bound that needs no solver ask for the same ones.
    """
    if not A.any():
        return 0.0
    if min(A.shape) < LARGE:
        return _spectral_norm(A, arithmetic)
    most = haste().factor if _haste.get() and min(A.shape) > SLOW and arithmetic is Enclosure else None
    key = (hashlib.blake2b(np.ascontiguousarray(A).data).digest(), A.shape, arithmetic, most)
    found = _FOUND.get(key)
    if found is None:
        found = _spectral_norm(A, arithmetic, most)
        for oldest in list(_FOUND)[: len(_FOUND) + 1 - MOST_FOUND]:
            _FOUND.pop(oldest, None)  # other threads drop and add too
        _FOUND[key] = found
    return found


def _spectral_norm(A: Array, arithmetic: type[Enclosure], most: float | None = None) -> float:
    exponent = int(np.frexp(np.abs(A).max())[1])
    B = arithmetic(A if A.shape[0] >= A.shape[1] else A.T).scaled(-exponent)
    with np.errstate(all="ignore"):
        square = float((B * B).sum().upper())
        if min(A.shape) >= HUGE and arithmetic is Enclosure:
            in_band = square_of_norm(B.mid, arithmetic)
            if np.isfinite(in_band):
                return float(_scaled_up(sqrt_up(min(square, in_band)), np.int64(exponent)))
        if most is not None:
            sums = [float(arithmetic(np.abs(B.mid)).sum(axis).upper().max()) for axis in (0, 1)]
            rough = float(times_up(*sums))
            if work_of_factor((A.shape[0], A.shape[1])) <= most:
                rough = min(rough, square_by_factor(B.mid, arithmetic))
            square = min(square, float(times_up(rough, 1.0 + 2.0 * ABOVE)))
            return float(_scaled_up(sqrt_up(square), np.int64(exponent)))
        G = B.gram()
        try:
            w, V = np.linalg.eigh(G.mid)
        except np.linalg.LinAlgError:
            w, V = np.zeros(len(G.mid)), np.zeros_like(G.mid)
        residual = G - arithmetic(V) @ (arithmetic(w)[:, None] * V.T)
        vectors = arithmetic(arithmetic(V).gram().magnitude()).sum(axis=1).upper().max()
        bound = arithmetic(np.maximum(w.max(), 0.0)) * vectors
        bound = bound + arithmetic(residual.magnitude()).sum(axis=1).upper().max()
        square = min(square, float(bounded(bound.upper())))
    return float(_scaled_up(sqrt_up(square), np.int64(exponent)))


def _scaled_up(values: Array, exponent: Array | np.int64) -> Array:
    """values * 2**exponent rounded up, for values >= 0."""
    scaled = np.ldexp(values, clipped_exponent(exponent))
    return np.where((values > 0) & (scaled < SMALLEST), np.nextafter(scaled, np.inf), scaled)
