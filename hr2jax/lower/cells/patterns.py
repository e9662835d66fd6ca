"""Simulated annealing over activation patterns: single switches of the gradient's 1-norm, many chains.

All chains of a step try the same neuron, so that a switch is one contiguous row for all of them.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...arithmetic.float64 import Array
from ...machine.run import put, run
from ...machine.seeds import key_of
from ..clock import Clock
from .cells import Cells

SWITCHES = 5000  # switches between looks at the clock
CHAINS = 32


@partial(jax.jit, static_argnames="length")
def _anneal(
    key: Any, u: Any, tether: Any, hot: Any, cooling: Any, B: Any, g0: Any, count: Any, *, length: int
) -> Any:
    """`count` <= `length` tried switches on u (C, m); temperature hot * exp(-cooling i), (C,) each, float32."""
    pick, luck = jax.random.split(key)
    order = jax.random.randint(pick, (length,), 0, B.shape[0], dtype=jnp.int32)
    threshold = jnp.log(
        jax.random.uniform(luck, (length, u.shape[0]), dtype=jnp.float32, minval=1e-30, maxval=1.0)
    )
    g = u @ B + g0

    def step(i: Any, state: Any) -> Any:
        u, g, value = state
        k = order[i]
        sign = 1.0 - 2.0 * u[:, k]
        switched = g + sign[:, None] * B[k][None, :]
        new = jnp.sum(jnp.abs(switched), axis=1)
        temperature = hot * jnp.exp(-cooling * jnp.asarray(i, jnp.float32))
        accept = new - value + sign * tether[:, k] > temperature * threshold[i]
        g = jnp.where(accept[:, None], switched, g)
        return u.at[:, k].add(jnp.where(accept, sign, 0.0)), g, jnp.where(accept, new, value)

    return jax.lax.fori_loop(0, count, step, (u, g, jnp.sum(jnp.abs(g), axis=1)))[0]


class PatternSearch:
    """Annealing over patterns of one problem.

    Args:
        cells: the problem.
        clock: its `paused` covers the compilation.
        chains: how many patterns at once.
    """

    def __init__(self, cells: Cells, clock: Clock, chains: int = CHAINS):
        self.cells, self.clock, self.chains = cells, clock, chains
        self.B = put(cells.B / cells.unit, dtype=jnp.float32)
        self.g0 = put(cells.g0 / cells.unit, dtype=jnp.float32)
        with clock.paused():
            self.run(np.zeros((chains, len(cells.b))), None, key_of(0), 0)

    def run(
        self, start: Array, tether: Array | None, key: Any, switches: int, hot: float = 0.14, cold: float = 0.0014
    ) -> Array:
        """Anneal from start (chains, m) in {0, 1}; the final patterns, float64.

        Args:
            start: the patterns to start from.
            tether: (chains, m) what u_k = 1 is worth besides the gradient, in the value's units; or None.
            key: JAX random key.
            switches: how many single switches every chain tries; fewer when the clock runs out.
            hot, cold: first and last temperature in units of `cells.unit`; the chains spread around them.
        """
        spread = np.geomspace(0.4, 2.5, self.chains).astype(np.float32)
        rate = np.log(hot / cold) / max(1, switches)
        u = put(start, dtype=jnp.float32)
        pull = put(np.zeros(start.shape) if tether is None else tether / self.cells.unit, dtype=jnp.float32)
        cooling = np.full(self.chains, rate, dtype=np.float32)
        for done in range(0, max(1, switches), SWITCHES):
            key, now = run(jax.random.split, key)
            first = hot * spread * np.float32(np.exp(-rate * done))
            count = min(SWITCHES, switches - done)
            u = run(_anneal, now, u, pull, first, cooling, self.B, self.g0, count, length=SWITCHES)
            if self.clock.is_over():
                break
        return np.asarray(u, dtype=np.float64)
