"""The search's units: the free inputs as xi in a unit box or ball. Nothing here is rigorous: it only steers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...arithmetic.norms import Norm
from ...layer import Layer
from ...network import Network
from ...problem import Problem
from ..norms import lengths


@dataclass(frozen=True)
class Units:
    """x[free] = center[free] + scale * xi, with ||xi|| <= 1 in the norm `shape`.

    Attributes:
        problem: the problem.
        free: (n,) the inputs that move.
        along: positions among them of those whose entries of the gradient count (`Problem.directions_of`).
        center: (p_0,).
        scale: (n,); of one value unless the shape is "inf".
        shape: the norm whose unit ball xi lives in.
        bounded: whether that is the domain; globally it is only where points are sought.
    """

    problem: Problem
    free: Array
    along: Array
    center: Array
    scale: Array
    shape: Norm
    bounded: bool

    def point(self, xi: Array) -> Array:
        """The point x (p_0,) of the domain, inside it in exact arithmetic, that xi (n,) means."""
        x = self.center.copy()
        x[self.free] += self.scale * (self.project(xi) if self.bounded else xi)
        return self.problem.domain.into(x)

    def points(self, xi: Array) -> Array:
        """(k, p_0) of xi (k, n), up to rounding."""
        x = np.tile(self.center, (len(xi), 1))
        x[:, self.free] += self.scale * xi
        return x

    def locate(self, x: Array) -> Array:
        """xi (n,) of a point x (p_0,), moved into the box or ball."""
        return self.project((x[self.free] - self.center[self.free]) / self.scale)

    def project(self, xi: Array) -> Array:
        """The point of the box or ball that is nearest or on the way to its center; xi (..., n)."""
        if self.shape == "inf":
            return np.clip(xi, -1.0, 1.0)
        return xi / np.maximum(lengths(xi, self.shape)[..., None], 1.0)

    def random(self, count: int, random: np.random.Generator) -> Array:
        """(count, n) points of the box or ball; of a ball, half of them evenly and half at its surface."""
        n = len(self.free)
        if self.shape == "inf":
            return random.uniform(-1.0, 1.0, (count, n))
        xi = random.standard_normal((count, n))
        xi /= np.maximum(lengths(xi, self.shape)[:, None], 1e-300)
        length = random.uniform(size=(count, 1)) ** (1.0 / n)
        length[::2] = 1.0
        return xi * length


def build_units(net: Network, problem: Problem, reach: float = 1.0) -> Units:
    """The problem's units; globally `reach` times `kink_distance`."""
    width, domain = net.widths[0], problem.domain
    free = domain.free(width)
    along = np.searchsorted(free, problem.directions_of(width))
    if not domain.is_bounded:
        scale = np.full(width, reach * kink_distance(net))
        return Units(problem, free, along, np.zeros(width), scale, problem.norm, False)
    return Units(problem, free, along, domain.center, domain.radius[free], domain.shape, True)


def kink_distance(net: Network) -> float:
    """How far from 0 the kinks are, about: per layer |b| over how the pre-activations grow, the largest."""
    random = np.random.default_rng(0)
    x = random.standard_normal((32, net.widths[0]))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    far = 0.0

    def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
        nonlocal far
        z: Array = graph.total(y @ A.T for A, y in below)  # without biases: what remains far out
        size = float(np.sqrt(np.mean(z * z)))
        if size > 0 and np.isfinite(size):
            far = max(far, float(np.abs(layer.bias).max()) / size)
        return graph.activated(layer, z)

    graph.forward(net.layers[:-1], x, step)
    # A bias far from the others must not hide what is near: the rounds try several reaches anyway.
    return float(np.clip(far, 1e-6, 1e6)) if far > 0 and np.isfinite(far) else 1.0
