"""How much a search may do: evaluated points, which are counted, and a deadline where there is a time limit."""

from __future__ import annotations

import math
import time

from ..machine.stopping import check
from ..network import Network

# About what a point's value and gradient take: so many seconds, and so many more for each weight; of networks with more
# than MANY of them a weight takes less, by the power of their number, since products of large matrices are faster
# (measured from (6, 6) to (784, 500) networks). They only weigh points against programs; no clock is looked at.
POINT, WEIGHT, MANY, POWER = 4e-6, 2.5e-9, 6400, -0.3
# The same of a linear program by HiGHS (measured from (20, 20) to (784, 500) networks), and of a least-distance one by
# nonnegative least squares: seconds, and more for each of its entries times its smaller side.
PROGRAM, LEAST_DISTANCE = (2e-3, 4e-9), (2e-4, 1.5e-8)
# What nothing stops before its end is not begun where it takes so many times what is left.
BEYOND = 2.0


class Effort:
    """What may be spent: points evaluated, and seconds from now.

    Args:
        net: the network, by whose size a program counts as so many points.
        points: at most so many evaluated points.
        seconds: a deadline; infinity for none, so that equal searches have equal results.

    Attributes:
        spent: points so far.
        is_complete: whether a search has visited all that could be better; another would repeat it.
    """

    def __init__(self, net: Network, points: float = math.inf, seconds: float = math.inf):
        self.points, self.spent, self.is_complete = points, 0.0, False
        self._point = point_seconds(net)
        self._deadline = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds to the deadline, at least 0."""
        return max(0.0, self._deadline - time.monotonic())

    def spend(self, points: float) -> None:
        """Count evaluated points."""
        self.spent += points

    def spend_program(self, rows: int, columns: int, kind: tuple[float, float] = PROGRAM) -> None:
        """Count a program of so many rows and columns; `kind`: PROGRAM or LEAST_DISTANCE."""
        self.spend_seconds(program_seconds(rows, columns, kind))

    def spend_seconds(self, seconds: float) -> None:
        """Count what about takes so many seconds, told from sizes."""
        self.spent += seconds / self._point

    def affords(self, seconds: float) -> bool:
        """Whether what takes about so many seconds, which nothing stops before its end, is about what is left."""
        return seconds <= BEYOND * (self.points - self.spent) * self._point

    def is_over(self) -> bool:
        """Whether all is spent or the deadline has passed; every step asks, so that Ctrl-C is heard here too."""
        check()
        return self.spent >= self.points or self.left() == 0.0

    def share(self, part: float) -> Effort:
        """Another effort that ends with this part of what is left; whoever uses it spends what it has spent here."""
        other = object.__new__(Effort)
        other.points, other.spent = part * max(self.points - self.spent, 0.0), 0.0
        other.is_complete = False
        other._point = self._point
        other._deadline = time.monotonic() + part * self.left() if math.isfinite(self.left()) else math.inf
        return other


def program_seconds(rows: int, columns: int, kind: tuple[float, float] = PROGRAM) -> float:
    """About what a program of so many rows and columns takes, by its size alone."""
    once, each = kind
    return once + each * rows * columns * min(rows, columns)


def point_seconds(net: Network) -> float:
    """About what one evaluated point takes, by the network's size alone."""
    weights = weights_of(net)
    return POINT + WEIGHT * weights * max(weights / MANY, 1.0) ** POWER


def weights_of(net: Network) -> int:
    """Stored weights."""
    return sum(int(getattr(A, "nnz", A.size)) for layer in net.layers for A in layer.inputs.values())
