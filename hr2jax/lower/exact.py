"""The gradient at a point in exact arithmetic: float64 numbers are integers times a power of two.

For networks of several layers where enclosures are too wide, or a pre-activation is within rounding of 0.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import LipschitzProblem

MOST_WEIGHTS = 1_500_000  # a second or so
MOST_BITS = 12_000  # of the integers, all layers together


class _Dyadic(NamedTuple):
    """ints * 2**exponent; an object array of Python integers."""

    ints: Array
    exponent: int


def exact_attained(net: Network, problem: LipschitzProblem, x: Array) -> float:
    """What `attained` says, without rounding but of the result; x (p_0,) must be finite and in the domain.

    Returns:
        The dual norm rounded down; 0.0 when a pre-activation that matters is exactly 0, the result is
        beyond float64, or the network is too large for this.
    """
    arrays = [*net.weights, *net.biases[:-1], problem.coefficients, x]
    if sum(A.size for A in net.weights) > MOST_WEIGHTS or sum(map(_bits, arrays)) > MOST_BITS:
        return 0.0
    free = problem.free_inputs if problem.is_local else np.arange(len(x))
    weights = [_dyadic(A) for A in net.weights]
    signs, moving = [], []
    value = _dyadic(x)
    varies = np.zeros(len(x), dtype=bool)
    varies[free] = True
    for A, b in zip(weights[:-1], net.biases[:-1], strict=True):
        z = _add(_Dyadic(A.ints @ value.ints, A.exponent + value.exponent), _dyadic(b))
        sign = np.array([(k > 0) - (k < 0) for k in z.ints], dtype=np.int64)
        varies = (A.ints[:, varies] != 0).any(axis=1)
        signs.append(sign)
        moving.append(varies)
        varies = varies & (sign >= 0)
        value = _Dyadic(np.where(sign > 0, z.ints, 0), z.exponent)
    outer = _dyadic(problem.coefficients)
    adjoint, exponent = outer.ints @ weights[-1].ints, outer.exponent + weights[-1].exponent
    for A, sign, moves in zip(weights[-2::-1], signs[::-1], moving[::-1], strict=True):
        used = moves & (adjoint != 0)
        if (used & (sign == 0)).any():
            return 0.0
        rows = np.flatnonzero(used & (sign > 0))
        # The sum of no rows would be of another type.
        adjoint = adjoint[rows] @ A.ints[rows] if len(rows) else np.full(A.ints.shape[1], 0, dtype=object)
        exponent += A.exponent
    return _norm_below([abs(int(g)) for g in adjoint[free]], exponent, problem.norm)


def exact_products(a: Array, b: Array) -> Fraction:
    """a @ b of float64 vectors (n,), exactly."""
    return sum((Fraction(float(u)) * Fraction(float(v)) for u, v in zip(a, b, strict=True)), Fraction(0))


def _norm_below(sizes: list[int], exponent: int, norm: str | int) -> float:
    """The 1-norm or 2-norm of sizes * 2**exponent, rounded down to a float64; 0.0 beyond the largest."""
    if norm == "inf":
        total = sum(sizes)
    else:
        squares = sum(size * size for size in sizes)
        shift = max(0, 64 - squares.bit_length() // 2)  # 64 bits of the root are enough
        total, exponent = math.isqrt(squares << (2 * shift)), exponent - shift
    exact = Fraction(total) * (Fraction(2) ** exponent)
    try:
        rounded = float(exact)
    except OverflowError:
        return 0.0
    if math.isinf(rounded):
        return 0.0
    return rounded if Fraction(rounded) <= exact else math.nextafter(rounded, 0.0)


def _bits(values: Array) -> int:
    """How many bits the integers of `_dyadic` have."""
    exponent = np.frexp(values[values != 0])[1]
    return 53 + int(exponent.max() - exponent.min()) if exponent.size else 0


def _dyadic(values: Array) -> _Dyadic:
    """A float64 array, exactly."""
    mantissa, power = np.frexp(values)
    ints = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    nonzero = values != 0
    least = int(power[nonzero].min()) if nonzero.any() else 0
    shift = np.where(nonzero, power.astype(np.int64) - least, 0).astype(object)
    return _Dyadic(ints << shift, least - 53)


def _add(a: _Dyadic, b: _Dyadic) -> _Dyadic:
    least = min(a.exponent, b.exponent)
    return _Dyadic((a.ints << (a.exponent - least)) + (b.ints << (b.exponent - least)), least)
