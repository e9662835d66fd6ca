"""Matrices with radii: bounds of all their members. Of a matrix without, what its own functions say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import Norm, bounded, mixed_norm, operator_norm, spectral_norm


def sum_up(parts: Sequence[Any]) -> Array:
    """The sum of numbers >= 0 or infinite, rounded up."""
    with np.errstate(all="ignore"):
        return reduce(lambda a, b: bounded(np.nextafter(np.add(a, b), np.inf)), parts)


def ends_of(A: Any) -> tuple[Array, Array]:
    """The interval that a matrix or its members are."""
    return (A.lower(), A.upper()) if isinstance(A, Enclosure) else (A, A)


def magnitude(A: Any) -> Array:
    """Upper bounds of the magnitudes of a matrix's or its members' entries."""
    return A.magnitude() if isinstance(A, Enclosure) else np.abs(A)


def kept(alive: Array, A: Any, rows: bool = False) -> Any:
    """A with the columns (rows) of the dead set to 0."""
    mask = alive[:, None] if rows else alive
    if isinstance(A, Enclosure):
        return Enclosure(np.where(mask, A.mid, 0.0), np.where(mask, A.rad, 0.0))
    return np.where(mask, A, 0.0)


def spectral_of(A: Any, arithmetic: type[Enclosure]) -> float:
    """`spectral_norm` of a matrix or of all members."""
    if not isinstance(A, Enclosure):
        return spectral_norm(A, arithmetic)
    return float(sum_up([spectral_norm(A.mid, arithmetic), spectral_norm(A.rad, arithmetic)]))


def operator_of(A: Any, norm: Norm, arithmetic: type[Enclosure]) -> float:
    """`operator_norm` of a matrix or of all members."""
    if not isinstance(A, Enclosure):
        return operator_norm(A, norm, arithmetic)
    return float(sum_up([operator_norm(A.mid, norm, arithmetic), operator_norm(A.rad, norm, arithmetic)]))


def mixed_of(interval: tuple[Array, Array], norm: Norm, output_norm: Norm, arithmetic: type[Enclosure]) -> float:
    """A bound of the operator norms of an interval's members (m, n)."""
    low, high = interval
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        return mixed_norm(np.maximum(np.abs(low), np.abs(high)), norm, output_norm, arithmetic)
    with np.errstate(all="ignore"):
        width = np.maximum((arithmetic(high) - low).upper(), 0.0)
    own = mixed_norm(low, norm, output_norm, arithmetic)
    return float(sum_up([own, mixed_norm(width, norm, output_norm, arithmetic)])) if width.any() else own
