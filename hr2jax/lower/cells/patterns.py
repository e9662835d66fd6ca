"""Simulated annealing over activation patterns: single switches of the gradient's 1-norm, many chains.

All chains of a step try the same neuron, so that a switch is one contiguous row for all of them.
"""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ..effort import Effort
from .cells import Cells

LOOK_EVERY = 200  # switches between looks at what is left
CHAINS = 32


class PatternSearch:
    """Annealing over patterns of one problem, float32.

    Args:
        cells: the problem.
        effort: what may be spent.
        chains: how many patterns at once.
    """

    def __init__(self, cells: Cells, effort: Effort, chains: int = CHAINS):
        self.cells, self.effort, self.chains = cells, effort, chains
        self.B, self.g0 = ((part / cells.unit).astype(np.float32) for part in (cells.B, cells.g0))

    def run(
        self, start: Array, tether: Array | None, random: np.random.Generator, switches: int, hot: float = 0.14,
        cold: float = 0.0014,
    ) -> Array:  # fmt: skip
        """Anneal from start (chains, m) in {0, 1}; the final patterns, float64.

        Args:
            start: the patterns to start from.
            tether: (chains, m) what u_k = 1 is worth besides the gradient, in the value's units; or None.
            random: of the switches.
            switches: how many single switches every chain tries; fewer when all is spent.
            hot, cold: first and last temperature in units of `cells.unit`; the chains spread around them.
        """
        spread = np.geomspace(0.4, 2.5, self.chains).astype(np.float32)
        rate = np.log(hot / cold) / max(1, switches)
        u = start.astype(np.float32)
        pull = None if tether is None else (tether / self.cells.unit).astype(np.float32)
        g = u @ self.B + self.g0
        value = np.abs(g).sum(axis=1)
        chains, m = u.shape
        # a switch changes each chain's gradient by a row: a share of an evaluation, which has m of them
        price = 2.0 * chains / max(m, 1)
        for done in range(0, switches if m else 0, LOOK_EVERY):
            if self.effort.is_over():
                break
            count = min(LOOK_EVERY, switches - done)
            order = random.integers(0, m, count)
            threshold = np.log(random.random((count, chains), dtype=np.float32) + np.float32(1e-30))
            threshold *= hot * spread * np.exp(-rate * (done + np.arange(count, dtype=np.float32)))[:, None]
            for k, least in zip(order.tolist(), threshold, strict=True):
                sign = 1.0 - 2.0 * u[:, k]
                switched = g + sign[:, None] * self.B[k]
                new = np.abs(switched).sum(axis=1)
                gain = new - value if pull is None else new - value + sign * pull[:, k]
                accept = np.flatnonzero(gain > least)
                g[accept], value[accept] = switched[accept], new[accept]
                u[accept, k] += sign[accept]
            self.effort.spend(price * count)
        return u.astype(np.float64)
