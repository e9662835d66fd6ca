"""The functions whose bounds the slopes are chosen for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ... import graph
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...layer import Layer
from ...network import Network
from ...problem import Problem
from ..interval import Pair
from ..linear import backward, both_ways, combined_output


@dataclass(frozen=True)
class Targets:
    """Linear functions sum_k rows_k . y_k + shift, (n, p_k) and (n,), of bounded layers, to be bounded below."""

    net: Network
    problem: Problem
    rows: Mapping[int, Array]
    shift: Array
    bounds: Sequence[Pair]

    @staticmethod
    def of_layer(net: Network, problem: Problem, l: int, bounds: Sequence[Pair]) -> Targets:
        """z_l and -z_l."""
        rows, shift = both_ways(net, l)
        return Targets(net, problem, {k: A.mid for k, A in rows.items()}, shift.mid, bounds)

    @staticmethod
    def of_output(net: Network, problem: Problem, bounds: Sequence[Pair]) -> Targets:
        """The output and its negative."""
        rows, shift = combined_output(net, problem)
        both = {k: np.stack([row.mid, -row.mid]) for k, row in rows.items()}
        return Targets(net, problem, both, np.stack([shift.mid, -shift.mid]), bounds)

    @property
    def count(self) -> int:
        """n."""
        return len(self.shift)

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers whose neurons have lines."""
        return tuple(k for k in graph.sources([*self.net.layers[: len(self.bounds)], self._layer()]))

    def _layer(self) -> Layer:
        return Layer.of_checked(self.rows, self.shift, "identity")

    def values(self, slopes: Mapping[int, Array]) -> Array:
        """Their lower bounds (n,) with these slopes."""
        rows = {k: Enclosure(values) for k, values in self.rows.items()}
        return backward(self.net, self.problem, rows, Enclosure(self.shift), self.bounds, slopes)

    def chosen(self, which: Array) -> Targets:
        """Some of them."""
        rows = {k: values[which] for k, values in self.rows.items()}
        return Targets(self.net, self.problem, rows, self.shift[which], self.bounds)
