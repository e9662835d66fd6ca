"""Float64 arithmetic that either is exact or refuses: what layers of a file are folded with.

A certificate speaks of the exact reals of the weights, so two affine layers become one only where the one has
exactly the values of the two.
"""

from __future__ import annotations

import numpy as np

from ..machine.memory import free_bytes
from .float64 import Array

# Arrays that a file can ask for without holding as much itself (broadcasting, outer products, identities).
LARGEST = 2**27
_SMALL = 2**20  # entries; whether there is memory for so many is not even asked
_NUMBER = 96  # bytes that an entry takes in `product`, with all that is between


class InexactError(ValueError):
    """A result that float64 does not hold exactly."""

    def __init__(self, what: str):
        super().__init__(f"a {what} would have to be rounded to float64")


def limited(*shape: int) -> None:
    """Refuse an array of `shape` with more than LARGEST entries, or more than there is memory for.

    Raises:
        ValueError: it has.
    """
    count = float(np.prod([float(n) for n in shape]))
    if count > LARGEST:
        raise ValueError(f"an array of shape {shape} would be needed, but at most {LARGEST} entries are allowed")
    if count > _SMALL and count * _NUMBER > free_bytes():
        raise ValueError(f"an array of shape {shape} would be needed, but there is no memory for it")


def total(a: Array, b: Array) -> Array:
    """a + b, which broadcast; both float64. Knuth's error-free sum says whether it is exact.

    Raises:
        InexactError: it is not.
    """
    s, exact = rounded_total(a, b)
    if not exact.all():
        raise InexactError("sum")
    return s


def rounded_total(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded to float64, and which entries were not rounded (bool)."""
    limited(*np.broadcast_shapes(a.shape, b.shape))
    with np.errstate(over="ignore", invalid="ignore"):
        s: Array = np.asarray(a + b)
        t = s - a
        exact = (a - (s - t)) + (b - t) == 0.0
    return s, exact & np.isfinite(s)


def product(a: Array, b: Array) -> Array:
    """a * b, which broadcast; both float64 and finite.

    Raises:
        InexactError: it is not exact.
    """
    value, exact = rounded_product(a, b)
    if not exact.all():
        raise InexactError("product")
    return value


def rounded_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a * b rounded to float64, and which entries were not rounded (bool).

    Dekker's error-free product of the significands, so that nothing over- or underflows; then the exponents.
    """
    limited(*np.broadcast_shapes(a.shape, b.shape))
    (m, e), (n, f) = np.frexp(a), np.frexp(b)
    p = m * n
    (m1, m2), (n1, n2) = _halves(m), _halves(n)
    error = m2 * n2 - (((p - m1 * n1) - m2 * n1) - m1 * n2)
    with np.errstate(over="ignore", under="ignore"):
        value: Array = np.asarray(np.ldexp(p, e + f))
        back = np.ldexp(value, -(e + f))
    return value, (error == 0.0) & (back == p)


def _halves(m: Array) -> tuple[Array, Array]:
    c = 134217729.0 * m  # 2^27 + 1
    high = c - (c - m)
    return high, m - high


def quotient(a: Array, b: Array) -> Array:
    """a / b, which broadcast; both float64 and finite.

    Raises:
        InexactError: it is not exact.
        ValueError: a divisor is 0.
    """
    q, exact = rounded_quotient(a, b)
    if not exact.all():
        raise InexactError("quotient")
    return q


def rounded_quotient(a: Array, b: Array) -> tuple[Array, Array]:
    """a / b rounded to float64, and which entries were not rounded (bool).

    Raises:
        ValueError: a divisor is 0.
    """
    limited(*np.broadcast_shapes(a.shape, b.shape))
    if (b == 0.0).any():
        raise ValueError("a divisor is 0")
    with np.errstate(over="ignore", under="ignore"):
        q: Array = np.asarray(a / b)
    back, exact = rounded_product(np.where(np.isfinite(q), q, 0.0), b)
    return q, exact & (back == a) & np.isfinite(q)


def root(a: Array) -> Array:
    """The square root of a >= 0, float64.

    Raises:
        InexactError: it is not exact.
    """
    r, exact = rounded_root(a)
    if not exact.all():
        raise InexactError("square root")
    return r


def rounded_root(a: Array) -> tuple[Array, Array]:
    """The square root of a >= 0 rounded to float64, and which entries were not rounded (bool)."""
    r: Array = np.asarray(np.sqrt(a))
    back, exact = rounded_product(r, r)
    return r, exact & (back == a)


def matmul(a: Array, b: Array) -> Array:
    """A @ b for a (m, k) and b (k, n), with every product and every partial sum exact.

    Raises:
        InexactError: one is not.
    """
    limited(a.shape[0], b.shape[1])
    value = np.zeros((a.shape[0], b.shape[1]))
    for k in range(a.shape[1]):
        column, row = a[:, k], b[k]
        i, j = np.flatnonzero(column), np.flatnonzero(row)  # permutations and diagonals cost little
        if len(i) and len(j):
            at = np.ix_(i, j)
            value[at] = total(value[at], product(column[i, None], row[None, j]))
    return value
