"""Float64 numbers as integers times a power of two: sums and products without rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .float64 import Array


@dataclass(frozen=True)
class Dyadic:
    """ints * 2**exponent; an object array of Python integers."""

    ints: Array
    exponent: int

    def __add__(self, other: Dyadic) -> Dyadic:
        least = min(self.exponent, other.exponent)
        ints = (self.ints << (self.exponent - least)) + (other.ints << (other.exponent - least))
        return Dyadic(ints, least)

    def times(self, vector: Dyadic) -> Dyadic:
        """The product of a matrix, this one, with a vector."""
        return Dyadic(self.ints @ vector.ints, self.exponent + vector.exponent)

    def adjoint_times(self, vector: Dyadic) -> Dyadic:
        """The product of its transpose with a vector, by the rows where that is not 0."""
        rows = np.flatnonzero(vector.ints)
        # The sum of no rows would be of another type.
        ints = vector.ints[rows] @ self.ints[rows] if len(rows) else np.full(self.ints.shape[1], 0, dtype=object)
        return Dyadic(ints, self.exponent + vector.exponent)


def bits(values: Array) -> int:
    """How many bits the integers of `dyadic` have."""
    exponent = np.frexp(values[values != 0])[1]
    return 53 + int(exponent.max() - exponent.min()) if exponent.size else 0


def dyadic(values: Array) -> Dyadic:
    """A float64 array, exactly."""
    mantissa, power = np.frexp(values)
    ints = np.ldexp(mantissa, 53).astype(np.int64).astype(object)
    nonzero = values != 0
    least = int(power[nonzero].min()) if nonzero.any() else 0
    shift = np.where(nonzero, power.astype(np.int64) - least, 0).astype(object)
    return Dyadic(ints << shift, least - 53)
