"""Constants of a graph: float64 arrays where they are exact, enclosures where float64 cannot hold them.

Every function takes both and gives an array of the same kind: an `Enclosure` only where an entry has a radius, and in
it a radius of 0 for every entry that is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from ...arithmetic import exact
from ...arithmetic.enclosure import TINY, Enclosure, U, enclose, gamma
from ...arithmetic.float64 import Array

Number = Array | Enclosure


def mid(a: Number) -> Array:
    """The midpoints."""
    return a.mid if isinstance(a, Enclosure) else a


def rad(a: Number) -> Array | None:
    """The radii, or None where all are 0."""
    return a.rad if isinstance(a, Enclosure) else None


def number(middle: Array, radius: Array | None) -> Number:
    """The array, or its enclosure where a radius is not 0.

    Raises:
        ValueError: beyond float64.
    """
    if not np.isfinite(middle).all() or (radius is not None and not np.isfinite(radius).all()):
        raise ValueError("its numbers are too large for float64")
    return middle if radius is None or not radius.any() else Enclosure(middle, radius)


def moved(change: Callable[[Array], Array], a: Number) -> Number:
    """Entries moved, repeated or left out, as `change` does it with an array."""
    return Enclosure(change(a.mid), change(a.rad)) if isinstance(a, Enclosure) else change(a)


def negative(a: Number) -> Number:
    """-a."""
    return moved_sign(a) if isinstance(a, Enclosure) else 0.0 - a


def moved_sign(a: Enclosure) -> Enclosure:
    """-a of an enclosure."""
    return Enclosure(0.0 - a.mid, a.rad)


def add(a: Number, b: Number) -> Number:
    """a + b, which broadcast."""
    value, held = exact.rounded_total(mid(a), mid(b))
    return _number(value, held, a, b, lambda: enclose(a) + enclose(b))


def multiply(a: Number, b: Number) -> Number:
    """a b, which broadcast."""
    if isinstance(b, np.ndarray) and b.size == 1 and b.ndim <= len(a.shape) and float(b.ravel()[0]) == 1.0:
        return a
    value, held = exact.rounded_product(mid(a), mid(b))
    return _number(value, held, a, b, lambda: enclose(a) * enclose(b))


def divide(a: Number, b: Number) -> Number:
    """a / b, which broadcast.

    Raises:
        ValueError: a divisor is, or may be, 0.
    """
    value, held = exact.rounded_quotient(mid(a), mid(b))
    x, y = enclose(a), enclose(b)
    least = (np.abs(y.mid) - y.rad) * (1.0 - 4.0 * U)
    if not (least > 0.0).all():
        raise ValueError("a divisor may be 0")

    def enclosed() -> Enclosure:
        spread = (x.rad + (np.abs(value) * (1.0 + U) + TINY) * y.rad) / least
        return Enclosure(value, (spread + U * np.abs(value)) * (1.0 + 16.0 * U) + TINY)

    return _number(value, held, a, b, enclosed)


def root(a: Number) -> Number:
    """The square root.

    Raises:
        ValueError: a number is, or may be, below 0.
    """
    x = enclose(a)
    if (x.mid < x.rad).any():
        raise ValueError("the square root of a negative number is asked for")
    value, held = exact.rounded_root(x.mid)

    def enclosed() -> Enclosure:
        with np.errstate(divide="ignore", invalid="ignore"):
            spread = np.where(x.rad > 0.0, x.rad / value, 0.0)  # |sqrt(x') - sqrt(x)| <= |x' - x| / sqrt(x)
        return Enclosure(value, (spread + U * value) * (1.0 + 16.0 * U) + TINY)

    return _number(value, held, a, a, enclosed)


def extreme(a: Number, b: Number, largest: bool) -> Number:
    """max(a, b) or min(a, b), which broadcast: neither moves by more than the one or the other of its arguments."""
    value = (np.maximum if largest else np.minimum)(mid(a), mid(b))
    if not isinstance(a, Enclosure) and not isinstance(b, Enclosure):
        return value
    return number(value, np.maximum(enclose(a).rad, enclose(b).rad))


def matmul(a: Number, b: Number) -> Number:
    """a @ b with NumPy's rules of shapes.

    Raises:
        ValueError: a factor is a single number, or the shapes do not fit.
    """
    if not a.shape or not b.shape:
        raise ValueError("a factor is a single number, not a matrix")
    rows = a if len(a.shape) > 1 else moved(lambda v: v[None, :], a)
    columns = b if len(b.shape) > 1 else moved(lambda v: v[:, None], b)
    if rows.shape[-1] != columns.shape[-2]:
        raise ValueError(f"tensors of shapes {a.shape} and {b.shape} cannot be multiplied")
    batch = np.broadcast_shapes(rows.shape[:-2], columns.shape[:-2])
    exact.limited(*batch, rows.shape[-2], columns.shape[-1])
    left, right = (
        moved(lambda v: np.broadcast_to(v, (*batch, *v.shape[-2:])).reshape(-1, *v.shape[-2:]), factor)
        for factor in (rows, columns)
    )
    products = [_matmul(_at(left, i), _at(right, i)) for i in range(math.prod(batch))]
    shape = (*batch, *a.shape[-2:-1], *(b.shape[-1:] if len(b.shape) > 1 else ()))
    radii = [np.zeros(mid(p).shape) if rad(p) is None else rad(p) for p in products]
    return number(np.reshape([mid(p) for p in products], shape), np.reshape(radii, shape))  # type: ignore[arg-type]


def _at(a: Number, i: int) -> Number:
    return moved(lambda v: v[i], a)


def _matmul(a: Number, b: Number) -> Number:
    """a @ b of two matrices."""
    if not isinstance(a, Enclosure) and not isinstance(b, Enclosure):
        try:
            return exact.matmul(a, b)
        except exact.InexactError:
            pass
    product = enclose(a) @ enclose(b)
    return number(product.mid, product.rad)


def magnitude(a: Number) -> Number:
    """|a|."""
    return Enclosure(np.abs(a.mid), a.rad) if isinstance(a, Enclosure) else np.abs(a)


def length(a: Number, axes: tuple[int, ...], keep: bool) -> Number:
    """The Euclidean norm over axes."""
    return root(mean(multiply(a, a), axes, keep, 1))


def power(a: Number, exponent: float) -> Number:
    """a to a power that sums, products, quotients and square roots give: multiples of a half from -4 to 4.

    Raises:
        ValueError: another power; the square root of what may be negative, a quotient by what may be 0.
    """
    halves = 2.0 * exponent
    if not (halves == int(halves) and 0 < abs(halves) <= 8):
        raise ValueError(f"the power {exponent:g} is not read; multiples of 0.5 from -4 to 4 are, but for 0")
    whole, half = divmod(int(abs(halves)), 2)
    factors = [a] * whole + ([root(a)] if half else [])
    found = reduce(multiply, factors)
    return found if exponent > 0 else divide(np.ones(()), found)


def between(low: Array, high: Array) -> Number:
    """The numbers that lie between two arrays of float64."""
    middle = low + 0.5 * (high - low)
    radius = np.maximum(high - middle, middle - low) * (1.0 + 4.0 * U)
    return number(middle, np.where(high > low, radius + TINY, 0.0))


def mean(a: Number, axes: tuple[int, ...], keep: bool, count: int) -> Number:
    """The sum over axes divided by `count`."""
    middle, radius = mid(a), rad(a)
    total = middle.sum(axis=axes, keepdims=keep)
    size = np.abs(middle).sum(axis=axes, keepdims=keep)
    grid = _grid(middle)
    held = size < 2.0**52 * grid
    if grid > 0.0 and held.all() and radius is None:
        return divide(np.asarray(total), np.asarray(float(count)))
    terms = middle.size // max(total.size, 1)
    spread = gamma(terms) * size if radius is None else gamma(terms) * size + radius.sum(axis=axes, keepdims=keep)
    return divide(number(np.asarray(total), np.asarray(spread) * (1.0 + (2 * terms + 16) * U) + TINY),
                  np.asarray(float(count)))  # fmt: skip


def _grid(a: Array) -> float:
    """A power of two that every entry is a multiple of; 0 where there is none in float64."""
    some = a[a != 0.0]
    return float(lowest_bits(some).min(initial=np.inf)) if some.size else np.inf


def lowest_bits(a: Array) -> Array:
    """For each entry, not 0, the power of two that its last significant bit stands for; 0 where that underflows."""
    m, e = np.frexp(a)
    whole = np.abs(np.ldexp(m, 53)).astype(np.int64)
    return np.asarray(np.ldexp((whole & -whole).astype(np.float64), e - 53))


def _number(value: Array, held: Array, a: Number, b: Number, enclosed: Callable[[], Enclosure]) -> Number:
    if not isinstance(a, Enclosure) and not isinstance(b, Enclosure) and held.all():
        return value
    certain = held & (enclose(a).rad == 0.0) & (enclose(b).rad == 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        around = enclosed()
    return number(around.mid, np.where(certain, 0.0, around.rad))
