"""The objective's scale: engines work in units in which the mean entry of the dual diagonal is about 1."""

from __future__ import annotations

import numpy as np

from ..enclosure import clipped_exponent
from ..relaxation.lifting import Lifting

Array = np.ndarray

# Multipliers in the engines' units are of size 1; beyond this, a warm start is of no use.
ABSURD = 1e6


def mean_diagonal(lifting: Lifting, rng: np.random.Generator) -> float:
    """About (max of the objective over unit rows) / N, by alternating maximisation in 8 dimensions."""
    C, one = lifting.objective_v.mid, lifting.objective_one.mid
    v, t = rng.standard_normal((C.shape[0], 8)), rng.standard_normal((C.shape[1], 8))
    e, value = np.eye(1, 8), 0.0
    for _ in range(30):
        v = unit_rows(C @ t)
        direction = C.T @ v + one.T @ e
        t, value = unit_rows(direction), float(np.linalg.norm(direction, axis=1).sum())
    return max(value, 1e-300) / lifting.size


def in_units(value: float, lifting: Lifting) -> float:
    """A value of the lifting's objective in the problem's own units (infinite where float64 cannot hold it)."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, clipped_exponent(lifting.exponent)))


def unit_rows(rows: Array) -> Array:
    """Each row divided by its norm (a zero row stays)."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
