"""Intervals of vectors and matrices: sums, products with a matrix, what a layer's derivatives make of them.

Rounded outward; what overflows is infinite, and zeros of structure stay 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import bounded
from ..layer import Layer, nonzero
from .interval import Pair


def pulled(above: graph.Pairs, arithmetic: type[Enclosure]) -> Pair:
    """sum_m A_m^T a_m, rounded outward."""
    return total((times(A.T, a, arithmetic) for A, a in above), arithmetic)


def total(parts: Iterable[Pair], arithmetic: type[Enclosure]) -> Pair:
    """The sum of intervals, rounded outward."""
    return reduce(lambda a, b: plus(a, b, arithmetic), parts)


def masked(interval: Pair, on: Array, off: Array, layer: Layer) -> Pair:
    """The hull of D times the interval's members (rows are neurons); masks (p,), or of the first axes of these."""
    shape = (-1,) + (1,) * (interval[0].ndim - 1)
    on, off = (mask.reshape(mask.shape + (1,) * (interval[0].ndim - mask.ndim)) for mask in (on, off))
    low, high = interval
    if layer.activation == "identity":
        return interval
    if layer.activation == "relu":
        return (
            np.where(off, 0.0, np.where(on, low, np.minimum(low, 0.0))),
            np.where(off, 0.0, np.where(on, high, np.maximum(high, 0.0))),
        )
    alpha, beta = (sloped(interval, slopes.reshape(shape)) for slopes in layer.slopes)
    return (
        np.where(off, alpha[0], np.where(on, beta[0], np.minimum(alpha[0], beta[0]))),
        np.where(off, alpha[1], np.where(on, beta[1], np.maximum(alpha[1], beta[1]))),
    )


def sloped(interval: Pair, slope: Array) -> Pair:
    """Slopes times the interval's members, rounded outward."""
    down, up = [], []
    with np.errstate(all="ignore"):
        for end in interval:
            zero = (slope == 0) | (end == 0)
            value = np.where(zero, 0.0, slope * end)
            exact = zero | (np.abs(slope) == 1.0)
            down.append(np.where(exact, value, np.nextafter(value, -np.inf)))
            up.append(np.where(exact, value, np.nextafter(value, np.inf)))
    return np.minimum(*down), np.maximum(*up)


def largest_slope(layer: Layer) -> Array:
    """(p_l,) the largest magnitude of a derivative."""
    return np.maximum(*map(np.abs, layer.slopes))


def times(A: Any, interval: Pair, arithmetic: type[Enclosure]) -> Pair:
    """A times the interval (n,) or (n, q), rounded outward: zeros of structure stay 0, what overflows is infinite."""
    low, high = interval
    unbounded = ~(np.isfinite(low) & np.isfinite(high))
    there = nonzero(A).astype(np.float64)
    used = there @ ((low != 0) | (high != 0)) > 0
    M = A.mid if isinstance(A, Enclosure) else A
    plus, minus = arithmetic(np.maximum(M, 0.0)), arithmetic(np.minimum(M, 0.0))
    with np.errstate(all="ignore"):
        if unbounded.any():
            low, high = np.where(unbounded, 0.0, low), np.where(unbounded, 0.0, high)
        least, most = plus @ low + minus @ high, plus @ high + minus @ low
        if isinstance(A, Enclosure) and A.rad.any():
            missed = arithmetic(A.rad) @ np.maximum(np.abs(low), np.abs(high))
            least, most = least - missed, most + missed
        new_low, new_high = least.lower(), most.upper()
    lost = ~(np.isfinite(new_low) & np.isfinite(new_high))
    if unbounded.any():
        lost |= there @ unbounded > 0
    new_low, new_high = np.where(lost, -np.inf, new_low), np.where(lost, np.inf, new_high)
    return np.where(used, new_low, 0.0), np.where(used, new_high, 0.0)


def plus(a: Pair, b: Pair, arithmetic: type[Enclosure]) -> Pair:
    """The sum of two intervals, rounded outward; infinite where it overflows."""
    with np.errstate(all="ignore"):
        low, high = (arithmetic(a[0]) + b[0]).lower(), (arithmetic(a[1]) + b[1]).upper()
    return -bounded(-low), bounded(high)


def within(interval: Pair, size: Array) -> Pair:
    """The interval's members of magnitude at most `size`."""
    return np.maximum(interval[0], -size), np.minimum(interval[1], size)


def size_of(interval: Pair) -> Array:
    """The greatest magnitude in the interval."""
    return np.maximum(np.abs(interval[0]), np.abs(interval[1]))
