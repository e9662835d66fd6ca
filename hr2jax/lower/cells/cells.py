"""The linear regions of a network with one hidden layer, in the search's units.

Nothing here is rigorous: it only steers. What is reported is proved by `attained`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ...arithmetic.float64 import Array
from ...network import Network
from ...problem import Problem


@dataclass
class Cells:
    """The neurons that can switch, over the unit box: z = A xi + b, |xi_j| <= 1, gradient u B + g0.

    Rows of A have 2-norm 1, so |z_k| is a distance. All arrays are float64. Globally the box is only
    `reach` times as wide as the farthest of the hyperplanes' distances to 0.

    Attributes:
        A: (m, n).
        b: (m,).
        B: (m, n) what a neuron adds to the gradient when it is on.
        g0: (n,) the gradient of the neurons that are always on.
        unit: the mean 1-norm of B's rows (1 without rows): the size of one switch.
        neurons: (m,) their indices in the network.
        center, scale: x[free] = center[free] + scale * xi; (p_0,) and (n,).
    """

    problem: Problem
    A: Array
    b: Array
    B: Array
    g0: Array
    neurons: Array
    free: Array
    center: Array
    scale: Array
    unit: float = field(init=False)

    def __post_init__(self) -> None:
        sizes = np.abs(self.B).sum(axis=1)
        self.unit = float(sizes.mean()) if sizes.size else 1.0

    def preactivations(self, xi: Array) -> Array:
        """z at xi (n,) or (k, n)."""
        return xi @ self.A.T + self.b

    def value(self, patterns: Array) -> Array:
        """||gradient||_1 of patterns (m,) or (k, m) in {0, 1}."""
        return np.abs(patterns @ self.B + self.g0).sum(axis=-1)

    def pattern(self, xi: Array) -> Array:
        """The float64 pattern in {0, 1} at xi."""
        return (self.preactivations(xi) > 0).astype(np.float64)

    def flip_gain(self, pattern: Array) -> Array:
        """(m,) how much the value of `pattern` (m,) changes when one neuron switches."""
        g = pattern @ self.B + self.g0
        gain = np.empty(len(pattern))
        block = max(1, 4_000_000 // max(1, self.B.shape[1]))
        for i in range(0, len(pattern), block):
            sign = 1.0 - 2.0 * pattern[i : i + block, None]
            gain[i : i + block] = np.abs(g + sign * self.B[i : i + block]).sum(axis=1)
        return gain - np.abs(g).sum()

    def point(self, xi: Array) -> Array:
        """The point x (p_0,) of the domain, inside it in exact arithmetic, nearest to xi (n,)."""
        x = self.center.copy()
        x[self.free] += self.scale * np.clip(xi, -1.0, 1.0)
        return self.problem.domain.into(x)

    def locate(self, x: Array) -> Array:
        """xi (n,) of a point x (p_0,), clipped to the box."""
        return np.clip((x[self.free] - self.center[self.free]) / self.scale, -1.0, 1.0)


def build_cells(net: Network, problem: Problem, reach: float = 30.0) -> Cells:
    """The cells of a one-hidden-layer problem, inf norm, in a box or everywhere."""
    A, b = net.weights[0], net.biases[0]
    c = problem.coefficients @ net.weights[1]
    domain = problem.domain
    if not domain.is_bounded:
        free, center = np.arange(A.shape[1]), np.zeros(A.shape[1])
        norm = np.linalg.norm(A, axis=1)
        far = np.abs(b[norm > 0]) / norm[norm > 0]
        farthest = float(far.max(initial=0.0))
        scale = np.full(len(free), reach * (farthest if farthest > 0 else 1.0))
    else:
        free, center = domain.free(A.shape[1]), domain.center
        scale = domain.radius[free]
    rows = np.flatnonzero((c != 0) & (A[:, free] != 0).any(axis=1))
    W = A[np.ix_(rows, free)]
    B = c[rows, None] * W
    W = W * scale
    offset = A[rows] @ center + b[rows]
    if problem.is_local:
        # Clear of zero by more than rounding: a neuron that only touches it has a kink to keep away from.
        open_ = np.abs(offset) <= np.abs(W).sum(axis=1) * (1 + 1e-9)
    else:
        open_ = np.ones(len(rows), dtype=bool)
    g0 = B[~open_ & (offset > 0)].sum(axis=0)
    W, offset, B = W[open_], offset[open_], B[open_]
    norm = np.linalg.norm(W, axis=1)
    norm[norm == 0] = 1.0  # an underflow
    return Cells(problem, W / norm[:, None], offset / norm, B, g0, rows[open_], free, center, scale)
