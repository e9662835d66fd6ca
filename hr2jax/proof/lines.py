"""Linear bounds (bounds/linear.py) of many combinations of the outputs on one box, with nothing to be stored.

Of the lower lines' slopes four rules are tried for all neurons alike, and the best of what they prove is taken, entry
by entry: whoever verifies it does the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic import exact
from ..arithmetic.enclosure import Enclosure, enclose, enclosed_in
from ..arithmetic.float64 import Array
from ..bounds.interval import Pair, interval_step, layer_interval, values_before
from ..bounds.linear import backward, both_ways, work_of
from ..domain import Box
from ..network import Network
from ..problem import Problem

ROWS = 256  # combinations that are walked back together
MOST_WORK = 2e11  # multiplications of the backward passes of all layers; beyond it intervals alone bound these


class Lines:
    """A network on a box.

    Raises:
        TooLargeError: its bounds overflow float64.
    """

    def __init__(self, net: Network, domain: Box):
        self.net = net
        self.problem = Problem(np.zeros(net.widths[-1]), "inf", "inf", domain, "maximum")
        self.bounds: list[Pair] = []
        is_cheap = work_of(net) <= MOST_WORK
        for l in range(1, len(net.layers)):
            low, high = layer_interval(net, self.problem, l, self.bounds)
            if is_cheap and [*net.layers[l - 1].inputs] != [0]:
                rows, shift = both_ways(net, l)
                both = self._backward(rows, shift)
                low, high = np.maximum(low, both[: len(low)]), np.minimum(high, -both[len(low) :])
            self.bounds.append((low, high))

    def least(self, combinations: Array) -> Array:
        """Lower bounds (n,), rounded down, of combinations (n, K') of the outputs on the box; -inf at an overflow."""
        out = [self._least(combinations[start : start + ROWS]) for start in range(0, len(combinations), ROWS)]
        return np.concatenate([np.zeros(0), *out])

    @cached_property
    def reach(self) -> Array:
        """(K',) upper bounds of the outputs' magnitudes."""
        n = self.net.widths[-1]
        return np.concatenate(
            [-np.minimum(*self.least(np.concatenate([signs, -signs])).reshape(2, -1))
             for k in range(0, n, ROWS) for signs in [np.eye(n)[k : k + ROWS]]]
        )  # fmt: skip

    def _least(self, combinations: Array) -> Array:
        output = self.net.enclosed[-1]
        with np.errstate(all="ignore"):
            try:  # most combinations are sums of few coefficients: without a radius what is 0 stays so
                if self.net.has_radii:
                    raise exact.InexactError("matrix")
                parts: dict[int, Any] = {k: exact.matmul(combinations, C) for k, C in output.inputs.items()}
                shift = Enclosure(exact.matmul(combinations, output.bias[:, None])[:, 0])
            except exact.InexactError:
                whole = Enclosure(combinations)
                parts = {k: whole @ enclosed_in(Enclosure, C) for k, C in output.inputs.items()}
                shift = whole @ output.bias
            below = [(A, values_before(self.net, k, self.bounds)) for k, A in parts.items()]
            low, _ = interval_step(below, shift, self.problem.domain)
        rows = {k: enclose(A) for k, A in parts.items()}
        return np.asarray(np.fmax(np.where(np.isfinite(low), low, -np.inf), self._backward(rows, shift)))

    def _backward(self, rows: dict[int, Enclosure], shift: Enclosure) -> Array:
        best = np.full(len(shift.mid), -np.inf)
        for slopes in self._rules():
            best = np.maximum(best, backward(self.net, self.problem, rows, shift, self.bounds, slopes))
        return best

    def _rules(self) -> list[dict[int, Array]]:
        """CROWN's slopes (1 where h > -l, else 0), 0, 1, and the upper line's, by layer, (p_l,) each."""
        rules: list[dict[int, Array]] = [{}, {}, {}, {}]
        kinked = False
        for k, (low, high) in enumerate(self.bounds, 1):
            unstable = (low < 0) & (high > 0)
            kinked = kinked or (self.net.layers[k - 1].is_kinked and graph.is_masked(self.net.layers[k - 1]))
            with np.errstate(all="ignore"):
                upper = np.where(unstable, np.clip(high / (high - low), 0.0, 1.0), 0.0)
            lines = (np.where(high > -low, 1.0, 0.0), np.zeros(len(low)), np.ones(len(low)), upper)
            for rule, line in zip(rules, lines, strict=True):
                rule[k] = line
        return rules if kinked else rules[:1]


def least_of(lines: Lines, targets: Sequence[Array]) -> Array:
    """`Lines.least` of a list of combinations."""
    return lines.least(np.stack(targets)) if len(targets) else np.zeros(0)
