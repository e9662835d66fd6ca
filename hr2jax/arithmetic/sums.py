"""Sums whose rounding errors are bounded, known, or none."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from .enclosure import TINY, Enclosure, U, gamma
from .float64 import Array


def sums_by_place(place: Array, value: Array, roundings: int = 0) -> tuple[Array, Array, Array]:
    """Distinct places, the sums of the values there, and bounds of these sums' errors.

    Args:
        place: (m,) int64.
        value: (m,) float64, each the result of at most `roundings` roundings of products.
        roundings: how many.
    """
    places, inverse, count = np.unique(place, return_inverse=True, return_counts=True)
    total = np.bincount(inverse, value, len(places))
    largest = int(count.max(initial=1)) + roundings
    # bincount adds one by one: within gamma_n of the sum of magnitudes, itself computed with as many roundings
    error = gamma(largest) * np.bincount(inverse, np.abs(value), len(places)) * (1.0 + 4.0 * (largest + 4) * U)
    return places, total, np.where((count > 1) | (roundings > 0), error + TINY, 0.0)


def half_sum(a: Array, b: Array, near: Array, arithmetic: type[Enclosure] = Enclosure) -> Enclosure:
    """(a + b) / 2 as an enclosure around `near`, which is that but for rounding: exact where they are equal."""
    x, y = 0.5 * a, 0.5 * b
    total = x + y
    part = total - x
    error = np.abs((x - (total - part)) + (y - part))  # of the sum, exactly (Knuth's TwoSum)
    lost = (x + x != a) | (y + y != b) | (near != total)  # what underflows when halved
    return arithmetic(near, np.where(lost, np.nextafter(error + TINY, np.inf), error))


def exact_dot(a: Array, b: Array) -> Fraction:
    """a @ b of finite float64 vectors (n,), exactly."""
    used = np.flatnonzero(a)
    terms = (Fraction(float(u)) * Fraction(float(v)) for u, v in zip(a[used], b[used], strict=True))
    return sum(terms, Fraction(0))
