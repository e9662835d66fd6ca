"""Norms in float64, for what steers: nothing here is rounded outward (`arithmetic.norms` proves)."""

from __future__ import annotations

import numpy as np

from ..arithmetic.float64 import Array
from ..arithmetic.norms import Norm, unknown_norm

DUAL: dict[Norm, Norm] = {"inf": 1, 2: 2, 1: "inf"}


def lengths(rows: Array, norm: Norm) -> Array:
    """The norm over the last axis."""
    if norm == "inf":
        return np.abs(rows).max(axis=-1, initial=0.0)
    if norm == 2:
        return np.linalg.norm(rows, axis=-1)
    if norm == 1:
        return np.abs(rows).sum(axis=-1)
    raise unknown_norm(norm)


def dual_norm(gradient: Array, norm: Norm) -> Array:
    """The norm dual to `norm` over the last axis."""
    return lengths(gradient, DUAL[norm])
