"""The functions whose bounds the slopes are chosen for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...network import Network
from ...problem import Problem
from ..interval import Pair
from ..linear import backward


@dataclass(frozen=True)
class Targets:
    """Linear functions rows . x_k + shift (n, p_k), (n,) of the last of the bounded layers, to be bounded below."""

    net: Network
    problem: Problem
    rows: Array
    shift: Array
    bounds: Sequence[Pair]

    def values(self, slopes: Mapping[int, Array]) -> Array:
        """Their lower bounds (n,) with these slopes."""
        return backward(
            self.net, self.problem, Enclosure(self.rows), Enclosure(self.shift), self.bounds, slopes
        )

    def chosen(self, which: Array) -> Targets:
        """Some of them."""
        return Targets(self.net, self.problem, self.rows[which], self.shift[which], self.bounds)
