"""Midpoint-radius enclosures of real arrays: float64 arithmetic whose rounding errors are accounted for.

An `Enclosure` stands for every real array within `rad` of `mid`, entry by entry. Each operation
returns an enclosure of all the results that its operands' members can have. The error bounds are
the standard ones (N. J. Higham, *Accuracy and Stability of Numerical Algorithms*, ch. 2-3): an
operation's result is within U |result| of exact (plus underflow), a sum or dot product of n terms
within gamma_n = n U / (1 - n U) of the sum of magnitudes, in any order, with or without FMA, on any
number of threads. Plain NumPy float64 only: none of this holds inside JAX (XLA may flush subnormals,
and its matrix products may use TF32 or float32).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from .float64 import Array

U = 2.0**-53  # unit roundoff of float64, round to nearest
# Far above every error that underflow (gradual or flushed) can cause in one operation or in a sum of
# 2^50 of them, far below anything that matters, and a normal number, so that it costs no speed.
TINY = 2.0**-960
# Entries whose temporaries stay in a processor's cache: sums of large arrays take half the time so.
IN_CACHE = 2**15


class TooLargeError(ValueError):
    """A number that is needed is beyond float64: nothing can be said about such a problem."""


class UnsoundArithmeticError(RuntimeError):
    """The floating point of this process is not IEEE round-to-nearest, so nothing can be proved in it."""


def arithmetic_faults() -> dict[str, bool]:
    """Whether this process's float64 is what proofs need, by name: in NumPy's loops, and in BLAS and its threads."""
    one, half_ulp = np.full(64, 1.0), np.full(64, U)
    up = one + half_ulp * 1.5
    nearest = bool(
        (one + half_ulp == 1.0).all()
        and (up > 1.0).all()
        and (one - half_ulp * 0.5 == 1.0).all()
        and (-up == -one - half_ulp * 1.5).all()
    )
    n = 160  # large enough for BLAS to use its threads, whose floating-point modes are their own
    small = np.full(n, 2.0**-1022) * 0.5
    # one product, since it is asked for often: in every thread's part of it sums of either sign and direction that
    # round to 1 or -1, and between these rows those of subnormal numbers
    left, right = np.zeros((n, n)), np.zeros((n, n))
    left[::2, 0], left[::2, 1], left[1::2, 0] = 1.0, U / 4.0, small[1::2]
    right[0], right[1] = np.where(np.arange(n) % 4 < 2, 1.0, -1.0), np.where(np.arange(n) % 2, 1.0, -1.0)
    product = left @ right
    blas_nearest = bool((product[::2] == right[0]).all())
    return {
        "NumPy does not round to nearest": not nearest,
        "BLAS does not round to nearest": not blas_nearest,
        "NumPy flushes subnormal numbers to 0": not bool((small > 0.0).all()),
        "BLAS flushes subnormal numbers to 0": not bool((np.abs(product[1::2]) > 0.0).all()),
    }


def check_arithmetic() -> None:
    """Raise UnsoundArithmeticError unless float64 rounds to nearest, underflow gradual, also in BLAS."""
    if any(arithmetic_faults().values()):
        raise UnsoundArithmeticError(
            "this process's float64 arithmetic does not round to nearest with gradual underflow "
            "(a library may have set flush-to-zero or another rounding mode); verify in a fresh process"
        )


def gamma(n: int) -> float:
    """An upper bound of n U / (1 - n U)."""
    return n * U * (1.0 + 2.0**-20) if n < 2**30 else math.inf


def clipped_exponent(exponent: ArrayLike) -> Array:
    """Exponents that np.ldexp takes on every platform; beyond the clip every float64 is 0 or infinite."""
    return np.clip(np.asarray(exponent, dtype=np.int64), -(2**20), 2**20).astype(np.intc)


def _times_power(values: Array, power: Array) -> Array:
    """values * 2**power correctly rounded; a product, where one will do, is several times faster than ldexp."""
    if power.ndim == 0 and abs(int(power)) <= 1000:
        return values * 2.0 ** int(power)
    return np.ldexp(values, power)


def _up(radius: Array, operations: int) -> Array:
    """`radius`, computed by at most `operations` roundings from nonnegative numbers, made an upper bound."""
    return radius * _inflation(operations)


def _inflation(operations: int) -> float:
    return 1.0 + (operations + 2) * 2.0 * U


def pieces(shape: tuple[int, ...], entries: int) -> Iterator[slice]:
    """Consecutive slices of the first axis of an array of that shape, each of about so many entries."""
    step = max(entries // max(math.prod(shape[1:]), 1), 1)
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))


def _operator(method: Callable[[Any, Any], Enclosure]) -> Callable[[Any, Any], Enclosure]:
    """An operator of enclosures whose other operand may be an array; what defers NumPy to itself is deferred to."""

    @wraps(method)
    def run(self: Any, other: Any) -> Any:
        if not isinstance(other, Enclosure) and getattr(other, "__array_ufunc__", self) is None:
            return NotImplemented
        return method(self, enclose(other))

    return run


class Enclosure:
    """An array of reals, each known to within a radius: |exact - mid| <= rad, entry by entry.

    Attributes:
        mid: float64 array.
        rad: float64 array of the same shape, >= 0 (infinite or NaN after an overflow: see `is_finite`).
    """

    __array_ufunc__ = None  # let NumPy arrays defer to our reflected operators
    __slots__ = ("mid", "rad")

    def __init__(self, mid: ArrayLike, rad: ArrayLike | None = None):
        self.mid = np.asarray(mid, dtype=np.float64)
        self.rad = np.zeros(self.mid.shape) if rad is None else np.asarray(rad, dtype=np.float64)
        assert self.rad.shape == self.mid.shape

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.mid.shape

    @property
    def T(self) -> Enclosure:
        """The transpose."""
        return Enclosure(self.mid.T, self.rad.T)

    def is_finite(self) -> bool:
        """Whether nothing overflowed; an enclosure that is not finite encloses nothing."""
        return bool(np.isfinite(self.mid).all() and np.isfinite(self.rad).all())

    def __getitem__(self, index: Any) -> Enclosure:
        return Enclosure(self.mid[index], self.rad[index])

    def __setitem__(self, index: Any, value: Enclosure) -> None:
        self.mid[index] = value.mid
        self.rad[index] = value.rad

    def reshape(self, *shape: int) -> Enclosure:
        """The same entries in another shape."""
        return Enclosure(self.mid.reshape(*shape), self.rad.reshape(*shape))

    def __neg__(self) -> Enclosure:
        return Enclosure(-self.mid, self.rad)

    @_operator
    def __add__(self, b: Enclosure) -> Enclosure:
        shape = self.shape if self.shape == b.shape else np.broadcast_shapes(self.shape, b.shape)
        mid, rad = np.empty(shape), np.empty(shape)
        if mid.size <= IN_CACHE:
            _add(mid, rad, self.mid, self.rad, b.mid, b.rad)
        else:
            parts = [np.broadcast_to(part, shape) for part in (self.mid, self.rad, b.mid, b.rad)]
            for c in pieces(shape, IN_CACHE):
                _add(mid[c], rad[c], *(part[c] for part in parts))
        return Enclosure(mid, rad)

    __radd__ = __add__

    def increase(self, index: slice | tuple[slice, ...], value: Enclosure) -> None:
        """Add in place, at slices; `value` has their shape."""
        mid, rad = self.mid[index], self.rad[index]
        if mid.shape != value.shape:
            raise ValueError(f"an array of shape {value.shape} cannot be added to a part of shape {mid.shape}")
        for c in pieces(mid.shape, IN_CACHE):
            _add(mid[c], rad[c], mid[c], rad[c], value.mid[c], value.rad[c])

    @_operator
    def __sub__(self, b: Enclosure) -> Enclosure:
        return self + (-b)

    def __rsub__(self, other: Any) -> Enclosure:
        return (-self) + other

    @_operator
    def __mul__(self, b: Enclosure) -> Enclosure:
        mid = self.mid * b.mid
        rad = np.abs(self.mid) * b.rad + self.rad * (np.abs(b.mid) + b.rad)
        rad = _up(rad + U * np.abs(mid), 8)
        zero = ((self.mid == 0) & (self.rad == 0)) | ((b.mid == 0) & (b.rad == 0))
        return Enclosure(np.where(zero, 0.0, mid), np.where(zero, 0.0, rad + TINY))

    __rmul__ = __mul__

    @_operator
    def __matmul__(self, b: Enclosure) -> Enclosure:
        n = self.mid.shape[-1]
        size_a, size_b = np.abs(self.mid), np.abs(b.mid)
        rad = gamma(n) * (size_a @ size_b)
        if b.rad.any():
            rad = rad + size_a @ b.rad
        if self.rad.any():
            rad = rad + self.rad @ (size_b + b.rad)
        return Enclosure(self.mid @ b.mid, _up(rad, n + 8) + TINY)

    def __rmatmul__(self, other: Any) -> Enclosure:
        return enclose(other) @ self

    def gram(self) -> Enclosure:
        """self.T @ self, for an exact matrix at about half the cost."""
        if self.rad.any():
            return self.T @ self
        n, size = self.mid.shape[0], np.abs(self.mid)
        return Enclosure(self.mid.T @ self.mid, _up(gamma(n) * (size.T @ size), n + 8) + TINY)

    def sum(self, axis: int | None = None) -> Enclosure:
        """The sum over an axis, or of all entries."""
        n = self.mid.size if axis is None else self.mid.shape[axis]
        size, spread = np.sum(np.abs(self.mid), axis=axis), np.sum(self.rad, axis=axis)
        rad = _up(spread + gamma(n) * size, n + 4) + TINY
        zero = (size == 0) & (spread == 0)  # no term, or only exact zeros
        return Enclosure(np.sum(self.mid, axis=axis), np.where(zero, 0.0, rad))

    def halve(self) -> None:
        """Halve it in place: `scaled(-1)` without new arrays, whose pages cost more than the arithmetic."""
        for c in pieces(self.shape, IN_CACHE):
            whole = Enclosure(self.mid[c].copy(), self.rad[c].copy())
            mid, rad = self.mid[c], self.rad[c]
            mid *= 0.5
            rad *= 0.5
            if not ((mid + mid == whole.mid).all() and (rad + rad == whole.rad).all()):
                self[c] = whole.scaled(-1)

    def scaled(self, exponent: ArrayLike) -> Enclosure:
        """The product with 2**exponent (integers, broadcast): exact but for underflow, which `rad` covers."""
        power = clipped_exponent(exponent)
        mid, rad = _times_power(self.mid, power), _times_power(self.rad, power)
        lost = (_times_power(mid, -power) != self.mid) | (_times_power(rad, -power) != self.rad)
        return Enclosure(mid, np.where(lost, _up(rad, 2) + TINY, rad))  # a large rad would absorb TINY

    def relu(self) -> Self:
        """max(z, 0): the midpoints move apart by no more than z does, and not at all where z is below 0."""
        mid, rad = self.mid, self.rad
        return type(self)(np.maximum(mid, 0.0), np.where(mid < -rad, 0.0, rad))

    def kinked(self, alpha: Array, beta: Array) -> Enclosure:
        """beta z where z > 0 and alpha z elsewhere, of exact slopes: moves at most as far as the steeper one says."""
        mid, rad, exact = self.mid, self.rad, type(self)
        off, on = np.abs(alpha), np.abs(beta)
        steepest = np.where(mid > rad, on, np.where(mid < -rad, off, np.maximum(off, on)))
        return exact(mid) * np.where(mid > 0, beta, alpha) + exact(np.zeros(mid.shape), rad) * steepest

    def upper(self) -> Array:
        """Float64 upper bounds of the entries."""
        return np.where(self.rad == 0, self.mid, np.nextafter(self.mid + self.rad, np.inf))

    def lower(self) -> Array:
        """Float64 lower bounds of the entries."""
        return -(-self).upper()

    def magnitude(self) -> Array:
        """Float64 upper bounds of the entries' absolute values."""
        size = np.abs(self.mid)
        return np.where(self.rad == 0, size, np.nextafter(size + self.rad, np.inf))


def _add(mid: Array, rad: Array, a: Array, a_rad: Array, b: Array, b_rad: Array) -> None:
    """The sum of two enclosures, written to `mid` and `rad`, which may be a and a_rad.

    With gradual underflow (`check_arithmetic`) none is to be covered: a sum below 2^-1021 is exact, and U |mid| rounded
    is at least half a unit in the last place of any other.
    """
    np.add(a, b, out=mid)
    np.add(a_rad, b_rad, out=rad)
    size = np.abs(mid)
    size *= U
    rad += size
    rad *= _inflation(4)


def enclosed_in(arithmetic: type[Enclosure], value: Any) -> Enclosure:
    """A float64 array, exact, or an `Enclosure`, in an arithmetic."""
    return arithmetic(value.mid, value.rad) if isinstance(value, Enclosure) else arithmetic(value)


def enclose(value: Any) -> Enclosure:
    """`value` itself if it is an enclosure, else the float64 array as an exact one."""
    return value if isinstance(value, Enclosure) else Enclosure(value)
