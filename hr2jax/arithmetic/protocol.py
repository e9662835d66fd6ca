"""What the Lagrangian matrix needs of an arithmetic: of one that proves, `Enclosure`, or of midpoints alone, `Middle`.

Whatever proves takes an `Enclosure`: a `Middle` is an `Arithmetic` only, so that no steering number type-checks in a
proof.
"""

from __future__ import annotations

from typing import Any, Protocol, Self, TypeVar

from numpy.typing import ArrayLike

from .float64 import Array


class Arithmetic(Protocol):
    """An array; the other operand of an operation may be an `Enclosure`, a float64 array, or of the same arithmetic."""

    def __init__(self, mid: ArrayLike, rad: ArrayLike | None = None) -> None: ...

    @property
    def mid(self) -> Array:
        """Float64 midpoints. Steering only."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the array."""

    @property
    def T(self) -> Self:
        """The transpose."""

    def is_finite(self) -> bool:
        """Whether nothing overflowed."""

    def __getitem__(self, index: Any) -> Self: ...

    def __setitem__(self, index: Any, value: Any) -> None: ...

    def reshape(self, *shape: int) -> Self:
        """The same entries in another shape."""

    def __add__(self, other: Any) -> Self: ...

    def increase(self, index: slice | tuple[slice, ...], value: Any) -> None:
        """Add in place, at slices."""

    def __mul__(self, other: Any) -> Self: ...

    def __matmul__(self, other: Any) -> Self: ...

    def sum(self, axis: int | None = None) -> Self:
        """The sum over an axis, or of all entries."""

    def halve(self) -> None:
        """Halve it in place."""


A = TypeVar("A", bound=Arithmetic)
