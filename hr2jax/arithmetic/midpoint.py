"""The arithmetic of midpoints alone: what an enclosure's midpoint would be, without its radius. Steering only.

A Lagrangian matrix that a solver looks at takes a third of the time so. No proof can use it: it has no radii.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .enclosure import Enclosure, clipped_exponent
from .float64 import Array


class Middle(Enclosure):
    """A float64 array with the operations of an `Enclosure`, whose operands may be enclosures or arrays too.

    Attributes:
        mid: the array. There is no `rad`.
    """

    __slots__ = ()

    def __init__(self, mid: ArrayLike, rad: ArrayLike | None = None):
        self.mid = np.asarray(mid, dtype=np.float64)

    @property
    def T(self) -> Middle:
        """The transpose."""
        return Middle(self.mid.T)

    def is_finite(self) -> bool:
        """Whether nothing overflowed."""
        return bool(np.isfinite(self.mid).all())

    def __getitem__(self, index: Any) -> Middle:
        return Middle(self.mid[index])

    def __setitem__(self, index: Any, value: Enclosure) -> None:
        self.mid[index] = value.mid

    def reshape(self, *shape: int) -> Middle:
        """The same entries in another shape."""
        return Middle(self.mid.reshape(*shape))

    def __neg__(self) -> Middle:
        return Middle(-self.mid)

    def __add__(self, other: Any) -> Middle:
        return Middle(self.mid + _middle(other))

    __radd__ = __add__

    def increase(self, index: slice | tuple[slice, ...], value: Enclosure) -> None:
        """Add in place, at slices."""
        self.mid[index] += value.mid

    def __sub__(self, other: Any) -> Middle:
        return Middle(self.mid - _middle(other))

    def __rsub__(self, other: Any) -> Middle:
        return Middle(_middle(other) - self.mid)

    def __mul__(self, other: Any) -> Middle:
        return Middle(self.mid * _middle(other))

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Middle:
        return Middle(self.mid @ _middle(other))

    def __rmatmul__(self, other: Any) -> Middle:
        return Middle(_middle(other) @ self.mid)

    def gram(self) -> Middle:
        """self.T @ self."""
        return Middle(self.mid.T @ self.mid)

    def sum(self, axis: int | None = None) -> Middle:
        """The sum over an axis, or of all entries."""
        return Middle(np.sum(self.mid, axis=axis))

    def halve(self) -> None:
        """Halve it in place."""
        self.mid *= 0.5

    def scaled(self, exponent: ArrayLike) -> Middle:
        """The product with 2**exponent (integers, broadcast)."""
        return Middle(np.ldexp(self.mid, clipped_exponent(exponent)))

    def relu(self) -> Middle:
        """max(z, 0)."""
        return Middle(np.maximum(self.mid, 0.0))

    def upper(self) -> Array:
        """Nothing is known of bounds."""
        raise TypeError("midpoints have no bounds: prove with an Enclosure")

    lower = magnitude = upper


def _middle(value: Any) -> Array:
    return value.mid if isinstance(value, Enclosure) else np.asarray(value, dtype=np.float64)
