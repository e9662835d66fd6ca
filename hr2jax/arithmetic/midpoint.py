"""The arithmetic of midpoints alone: what an enclosure's midpoint would be, without its radius. Steering only.

A Lagrangian matrix that a solver looks at takes a third of the time so. No proof can use it: it has no radii, no
bounds, and is no `Enclosure` (protocol.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .enclosure import Enclosure
from .float64 import Array
from .protocol import Arithmetic


class Middle:
    """A float64 array with the operations of an `Arithmetic`, whose operands may be enclosures or arrays too.

    Attributes:
        mid: the array.
    """

    __array_ufunc__ = None  # let NumPy arrays and enclosures defer to the reflected operators
    __slots__ = ("mid",)

    def __init__(self, mid: ArrayLike, rad: ArrayLike | None = None):
        self.mid = np.asarray(mid, dtype=np.float64)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""
        return self.mid.shape

    @property
    def T(self) -> Middle:
        """The transpose."""
        return Middle(self.mid.T)

    def is_finite(self) -> bool:
        """Whether nothing overflowed."""
        return bool(np.isfinite(self.mid).all())

    def __getitem__(self, index: Any) -> Middle:
        return Middle(self.mid[index])

    def __setitem__(self, index: Any, value: Arithmetic) -> None:
        self.mid[index] = value.mid

    def reshape(self, *shape: int) -> Middle:
        """The same entries in another shape."""
        return Middle(self.mid.reshape(*shape))

    def __add__(self, other: Any) -> Middle:
        return Middle(self.mid + _middle(other))

    __radd__ = __add__

    def increase(self, index: slice | tuple[slice, ...], value: Arithmetic) -> None:
        """Add in place, at slices."""
        self.mid[index] += value.mid

    def __mul__(self, other: Any) -> Middle:
        return Middle(self.mid * _middle(other))

    __rmul__ = __mul__

    def __matmul__(self, other: Any) -> Middle:
        return Middle(self.mid @ _middle(other))

    def __rmatmul__(self, other: Any) -> Middle:
        return Middle(_middle(other) @ self.mid)

    def sum(self, axis: int | None = None) -> Middle:
        """The sum over an axis, or of all entries."""
        return Middle(np.sum(self.mid, axis=axis))

    def halve(self) -> None:
        """Halve it in place."""
        self.mid *= 0.5


def _middle(value: Any) -> Array:
    return value.mid if isinstance(value, Middle | Enclosure) else np.asarray(value, dtype=np.float64)
