"""Arrays of arbitrary-precision balls (Arb, by python-flint): a second arithmetic, independent of the first.

`Arb` does what `Enclosure` does, at PRECISION bits, the error of every operation bounded by Arb itself.
Float64 enters exactly and leaves through `upper`, `lower` and `magnitude`, which round outward in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from .enclosure import Enclosure
from .float64 import Array

try:
    from flint import arb, arb_mat, ctx
except ImportError as error:
    raise ImportError("balls need python-flint, which is not installed: pip install python-flint") from error

PRECISION = 256  # bits

Function = TypeVar("Function", bound=Callable[..., Any])


def at_precision(function: Function) -> Function:
    """`function` run at PRECISION bits; the caller's precision is flint's global state and is put back."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        before = ctx.prec
        ctx.prec = PRECISION
        try:
            return function(*args, **kwargs)
        finally:
            ctx.prec = before

    return run  # type: ignore[return-value]


class Arb(Enclosure):
    """An array of reals, each known to lie in a ball of arbitrary precision.

    An operand may be a `Arb`, an `Enclosure` (its entries become balls that contain them) or a float64
    array (exact).

    Attributes:
        balls: object array of flint.arb.
    """

    __slots__ = ("balls",)

    balls: Array

    @at_precision
    def __init__(self, mid: ArrayLike, rad: ArrayLike | None = None):
        middles = np.asarray(mid, dtype=np.float64)
        if rad is None:
            self.balls = _objects(np.frompyfunc(arb, 1, 1)(middles))
        else:
            radii = np.asarray(rad, dtype=np.float64)
            assert radii.shape == middles.shape
            self.balls = _objects(np.frompyfunc(arb, 2, 1)(middles, radii))

    @property
    def mid(self) -> Array:  # type: ignore[override]
        """Float64 approximations of the midpoints. Steering only."""
        return np.asarray(np.frompyfunc(lambda x: float(x.mid()), 1, 1)(self.balls), dtype=np.float64)

    @property
    def rad(self) -> Array:  # type: ignore[override]
        """Float64 upper bounds of |exact - mid|."""
        return (self - self.mid).magnitude()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.balls.shape

    @property
    def T(self) -> Arb:
        """The transpose."""
        return _of(self.balls.T)

    def is_finite(self) -> bool:
        """Whether every ball is finite; one that is not encloses nothing."""
        return all(x.is_finite() for x in self.balls.flat)

    def __getitem__(self, index: Any) -> Arb:
        return _of(self.balls[index])

    def __setitem__(self, index: Any, value: Enclosure) -> None:
        self.balls[index] = _ball(value).balls

    def reshape(self, *shape: int) -> Arb:
        """The same entries in another shape."""
        return _of(self.balls.reshape(*shape))

    @at_precision
    def __neg__(self) -> Arb:
        return _of(-self.balls)

    @at_precision
    def __add__(self, other: Any) -> Arb:
        return _of(self.balls + _ball(other).balls)

    __radd__ = __add__

    def increase(self, index: slice | tuple[slice, ...], value: Enclosure) -> None:
        """Add in place, at slices."""
        self[index] = self[index] + value

    @at_precision
    def __sub__(self, other: Any) -> Arb:
        return _of(self.balls - _ball(other).balls)

    @at_precision
    def __rsub__(self, other: Any) -> Arb:
        return _of(_ball(other).balls - self.balls)

    @at_precision
    def __mul__(self, other: Any) -> Arb:
        return _of(self.balls * _ball(other).balls)

    __rmul__ = __mul__

    @at_precision
    def __matmul__(self, other: Any) -> Arb:
        a, b = self.balls, _ball(other).balls
        left, right = a if a.ndim > 1 else a[None], b if b.ndim > 1 else b[:, None]
        if not {a.ndim, b.ndim} <= {1, 2} or left.shape[1] != right.shape[0]:
            raise ValueError(f"matrix product of shapes {a.shape} and {b.shape}")
        shape = a.shape[:-1] + b.shape[1:]
        product = _matrix(left) * _matrix(right)
        result = np.empty(math.prod(shape), dtype=object)
        result[:] = product.entries()
        return _of(result.reshape(shape))

    def __rmatmul__(self, other: Any) -> Arb:
        return _ball(other) @ self

    def gram(self) -> Arb:
        """self.T @ self."""
        return self.T @ self

    @at_precision
    def sum(self, axis: int | None = None) -> Arb:
        """The sum over an axis, or of all entries."""
        zero: Any = arb(0)
        return _of(np.sum(self.balls, axis=axis, initial=zero))

    def halve(self) -> None:
        """Halve it in place."""
        self.balls[...] = self.scaled(-1).balls

    @at_precision
    def scaled(self, exponent: ArrayLike) -> Arb:
        """The product with 2**exponent (integers, broadcast)."""
        power = np.frompyfunc(lambda e: arb((1, int(e))), 1, 1)(np.asarray(exponent, dtype=np.int64))
        return _of(self.balls * power)

    def upper(self) -> Array:
        """Float64 upper bounds of the entries."""
        return _ceiling(self.balls, arb.upper)

    def lower(self) -> Array:
        """Float64 lower bounds of the entries."""
        return -(-self).upper()

    def magnitude(self) -> Array:
        """Float64 upper bounds of the entries' absolute values."""
        return _ceiling(self.balls, arb.abs_upper)


def _objects(values: Any) -> Array:
    return np.asarray(values, dtype=object)  # NumPy hands back a bare arb instead of an array of rank 0


def _matrix(balls: Array) -> arb_mat:
    rows, columns = balls.shape
    return arb_mat(rows, columns, balls.ravel().tolist())


def _of(balls: Any) -> Arb:
    result = Arb.__new__(Arb)
    result.balls = _objects(balls)
    return result


def _ball(value: Any) -> Arb:
    """`value` itself if it is a ball array, else one that contains it."""
    if isinstance(value, Arb):
        return value
    return Arb(value.mid, value.rad) if isinstance(value, Enclosure) else Arb(value)


@at_precision
def _ceiling(balls: Array, bound: Any) -> Array:
    """Float64 at or above bound(x) (arb.upper or arb.abs_upper), entry by entry; NaN if not finite."""

    def one(x: arb) -> float:
        return float_above(*map(int, bound(x).man_exp())) if x.is_finite() else math.nan

    return np.asarray(np.frompyfunc(one, 1, 1)(balls), dtype=np.float64)


def float_above(mantissa: int, exponent: int) -> float:
    """The least float64 at or above mantissa * 2**exponent (infinity if none), in integer arithmetic."""
    top = mantissa.bit_length() + exponent  # |value| < 2**top
    if mantissa == 0 or (top < -1074 and mantissa < 0):
        return 0.0
    if top < -1074:
        return math.ulp(0.0)
    if top > 1024:
        return math.inf if mantissa > 0 else -math.nextafter(math.inf, 0.0)
    last = max(top - 53, -1074)  # the exponent of float64's last bit here
    steps = mantissa << (exponent - last) if exponent >= last else -(-mantissa >> (last - exponent))
    try:
        return math.ldexp(steps, last)
    except OverflowError:  # rounded up to 2**1024
        return math.inf
