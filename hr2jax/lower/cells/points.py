"""Ascent over points of the box: the gradient's 1-norm with smoothed switches, many points at once."""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ..effort import Effort
from .cells import Cells

LOOK_EVERY = 5  # steps between looks at what is left
STEPS = 500
# What a step counts as, in evaluated points: products of float32 matrices serve all of a step's points at once. It
# takes a fifteenth of two points' time, from (40, 40) to (784, 500) networks.
STEP = 0.13


class PointSearch:
    """Smoothed ascent from random points of one problem's box, float32.

    Args:
        cells: the problem.
        effort: what may be spent.
    """

    def __init__(self, cells: Cells, effort: Effort):
        m, n = cells.A.shape
        self.effort, self.width = effort, n
        self.points = 64 if m * n <= 2_000_000 else 16
        given = (cells.A, cells.b, cells.B / cells.unit, cells.g0 / cells.unit)
        self.A, self.b, self.B, self.g0 = (array.astype(np.float32) for array in given)

    def run(self, start: Array, steps: int = STEPS) -> Array:
        """Points (points, n), float64, after `steps` steps from start (points, n); fewer when all is spent.

        Switches narrow and steps shorten on the way.
        """
        x = start.astype(np.float32)
        momentum = np.zeros_like(x)
        for i in range(steps):
            if i % LOOK_EVERY == 0 and self.effort.is_over():
                break
            done = i / max(1, steps)
            direction = self.slope(x, np.float32(5.0 * 0.01**done))
            direction = direction / np.sqrt(np.mean(direction**2, axis=1, keepdims=True) + np.float32(1e-30))
            momentum = np.float32(0.9) * momentum + np.float32(0.1) * direction
            x = np.clip(x + np.float32(0.5 * 0.06**done) * momentum, -1.0, 1.0)
            self.effort.spend(STEP * len(x))
        return x.astype(np.float64)

    def slope(self, x: Array, width: np.float32) -> Array:
        """(k, n): the derivative of ||sigmoid((A x + b) / width) B + g0||_1."""
        switch = 1.0 / (1.0 + np.exp(-np.clip((x @ self.A.T + self.b) / width, -60.0, 60.0)))
        signs = np.sign(switch @ self.B + self.g0)
        slope: Array = ((signs @ self.B.T) * (switch * (1.0 - switch) / width)) @ self.A
        return slope
