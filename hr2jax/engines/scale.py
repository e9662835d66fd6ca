"""The objective's scale: engines work in units in which the mean entry of the dual diagonal is about 1."""

from __future__ import annotations

import numpy as np

from ..arithmetic.enclosure import clipped_exponent
from ..arithmetic.float64 import Array
from ..relaxation.basis import ONE, Lifting, S, T

# Multipliers in the engines' units are of size 1; beyond this, a warm start is of no use.
ABSURD = 1e6
# Of what the terms of the objective add up to, what float64 cannot tell from 0.
ROUNDING = 1e-13


def mean_diagonal(lifting: Lifting, rng: np.random.Generator, attained: float = 0.0) -> float:
    """About (max of the objective over unit rows) / N, by block coordinate ascent in 8 dimensions.

    With several hidden layers unit rows are far from what is feasible: there, what is `attained` (in the problem's
    own units), if anything is, tells more.
    """
    is_constant = T in lifting.sizes or S in lifting.sizes
    if is_constant and (lifting.presolve.depth > 1 or S in lifting.sizes) and 0.0 < attained < np.inf:
        with np.errstate(over="ignore", under="ignore"):
            value = float(np.ldexp(attained, clipped_exponent(-lifting.exponent)))
        if 1e-300 < value < np.inf:
            # few neurons may carry all of it, whatever the number of inputs
            return value / min(lifting.size, 2 * lifting.presolve.switching + 1)
    groups = [g for g in lifting.sizes if g != ONE and any(g in pair for pair in lifting.objective)]
    rows = {g: unit_rows(rng.standard_normal((lifting.sizes[g], 8))) for g in groups} | {ONE: np.eye(1, 8)}
    for _ in range(30):
        for group in groups:
            direction = np.zeros(rows[group].shape)
            for (g, h), block in lifting.objective.items():
                if h == group:
                    direction += block.mid.T @ rows[g]
                elif g == group:
                    direction += block.mid @ rows[h]
            if group in lifting.balls:
                rows[group] = direction / max(float(np.linalg.norm(direction)), 1e-300)
            else:
                rows[group] = unit_rows(direction)
    value = sum(
        float((rows[g] * (block.mid @ rows[h])).sum()) for (g, h), block in lifting.objective.items() if h != ONE
    )
    return value / lifting.size if value > 1e-300 else 1.0  # 1: nothing that it could scale


def in_units(value: float, lifting: Lifting) -> float:
    """A value of the lifting's objective in the problem's own units (infinite where float64 cannot hold it)."""
    with np.errstate(over="ignore", under="ignore"):
        return float(np.ldexp(value, clipped_exponent(lifting.exponent)))


def rounding(scale: float, lifting: Lifting) -> float:
    """Of the objective, in the problem's own units, what cannot be told from 0; `scale` is its `mean_diagonal`."""
    return ROUNDING * abs(in_units(scale * lifting.size, lifting))


# hr2jax/engines/bilinear/mixing.py alternates between the best rows of an arrow's two parts too, and lipopt's
# `best_signs` between the best signs. They share no more than this division, and not even that: the norms there are of
# rows that share a bound, and summed in another order, so that one function for both would change the bits of bounds.
def unit_rows(rows: Array) -> Array:
    """Each row divided by its norm (a zero row stays)."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-300)
