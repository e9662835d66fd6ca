"""Norms in float64, for what steers: nothing here is rounded outward (`arithmetic.norms` proves)."""

from __future__ import annotations

import numpy as np

from ..arithmetic.float64 import Array
from ..arithmetic.norms import DUAL, Norm, unknown_norm


def lengths(rows: Array, norm: Norm) -> Array:
    """The norm over the last axis."""
    if norm == "inf":
        return np.abs(rows).max(axis=-1, initial=0.0)
    if norm == 2:  # in a unit, a power of two, in which no square leaves the range of float64
        unit = _unit(np.abs(rows).max(axis=-1, initial=0.0))
        return np.linalg.norm(rows / unit[..., None], axis=-1) * unit
    if norm == 1:
        return np.abs(rows).sum(axis=-1)
    raise unknown_norm(norm)


def dual_norm(gradient: Array, norm: Norm) -> Array:
    """The norm dual to `norm` over the last axis."""
    return lengths(gradient, DUAL[norm])


def _unit(sizes: Array) -> Array:
    """Powers of two near sizes >= 0; 1 where they are 0 or not finite."""
    usual = (sizes > 0) & np.isfinite(sizes)
    return np.where(usual, np.ldexp(1.0, np.frexp(np.where(usual, sizes, 1.0))[1] - 1), 1.0)
