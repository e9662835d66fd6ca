"""Sums of numbers by place, with bounds of their rounding errors."""

from __future__ import annotations

import numpy as np

from .enclosure import TINY, U, gamma
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
