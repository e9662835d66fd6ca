"""Ascent over points of the box: the gradient's 1-norm with smoothed switches, many points at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...arithmetic.float64 import Array
from ...machine.run import put, run
from ..clock import Clock
from .cells import Cells

LOOK_EVERY = 50  # steps between looks at the clock
STEPS = 500


def _value(x: Any, width: Any, A: Any, b: Any, B: Any, g0: Any) -> Any:
    switch = jax.nn.sigmoid((x @ A.T + b) / width)
    return jnp.sum(jnp.abs(switch @ B + g0))


@jax.jit
def _ascend(x: Any, momentum: Any, A: Any, b: Any, B: Any, g0: Any, first: Any, total: Any, count: Any) -> Any:
    """Steps first .. first + count of `total`, on x (C, n): switches narrow, steps shorten."""

    def step(i: Any, state: Any) -> Any:
        x, momentum = state
        done = jnp.asarray(i, jnp.float32) / total
        width = 5.0 * 0.01**done
        direction = jax.grad(_value)(x, width, A, b, B, g0)
        direction = direction / jnp.sqrt(jnp.mean(direction**2, axis=1, keepdims=True) + 1e-30)
        momentum = 0.9 * momentum + 0.1 * direction
        return jnp.clip(x + 0.5 * 0.06**done * momentum, -1.0, 1.0), momentum

    return jax.lax.fori_loop(first, first + count, step, (x, momentum))


class PointSearch:
    """Smoothed ascent from random points of one problem's box, float32.

    Args:
        cells: the problem.
        clock: its `paused` covers the compilation.
    """

    def __init__(self, cells: Cells, clock: Clock):
        m, n = cells.A.shape
        self.clock, self.width = clock, n
        self.points = 64 if m * n <= 2_000_000 else 16
        self.data = tuple(
            put(array, dtype=jnp.float32)
            for array in (cells.A, cells.b, cells.B / cells.unit, cells.g0 / cells.unit)
        )
        with clock.paused():
            self.run(np.zeros((self.points, n)), 0)

    def run(self, start: Array, steps: int = STEPS) -> Array:
        """Points (points, n), float64, after `steps` steps from start (points, n); fewer when time is over."""
        x = put(start, dtype=jnp.float32)
        momentum = put(np.zeros(start.shape), dtype=jnp.float32)
        total = np.float32(max(1, steps))
        for first in range(0, max(1, steps), LOOK_EVERY):
            count = min(LOOK_EVERY, steps - first)
            x, momentum = run(_ascend, x, momentum, *self.data, first, total, count)
            if self.clock.is_over():
                break
        return np.asarray(x, dtype=np.float64)
