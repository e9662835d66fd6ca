"""Points of large gradient, any network: many at once, float32. Nothing here is rigorous: it only steers.

First ascent of the dual norm with smoothed switches, then annealing on the true gradient: a move crosses the
hyperplane of a neuron near by, redraws one input, or goes a random way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...arithmetic.norms import Norm, is_euclidean, unknown_norm
from ...layer import Layer, is_sparse
from ...network import Network
from ..effort import Effort, weights_of
from ..norms import DUAL, lengths
from .units import Units

LOOK_EVERY = 5  # steps between looks at what is left
POINTS = 64
FEWEST = 8
ENTRIES = 8_000_000  # weights times points of one step
WIDE, NARROW = 2.0, 0.02  # the smoothed switches' widths, first and last, in spreads of the pre-activations
STRIDE = 0.5  # of the first step
HOT, COLD = 0.7, 0.007  # temperatures of the annealing, relative to the value and per neuron
UNIT = np.float32(1e-30)  # added to what is divided by
# Evaluated points that a step counts as, for each of its points: two walks each make one.
ASCENDING, ANNEALING = 3, 2


class Ascent:
    """Searches over the points of one problem's box or ball.

    Args:
        net: the network, with a hidden layer or more.
        units: the problem's units.
        effort: what may be spent.

    Attributes:
        points: how many chains, by the network's size.
    """

    def __init__(self, net: Network, units: Units, effort: Effort):
        self.units, self.effort = units, effort
        self.points = int(np.clip(ENTRIES // max(weights_of(net), 1), FEWEST, POINTS))
        self.layers, self.spread, inverse = _in_units(net, units)
        self.inverse = inverse.astype(np.float32)
        self.slopes = [tuple(part.astype(np.float32) for part in layer.slopes) for layer in net.layers[:-1]]
        self.bent = [layer.activation != "identity" for layer in net.layers[:-1]]
        self.top = np.ones(1, np.float32)

    # --- the network, at points xi (k, n) ---------------------------------------------------------------

    def preactivations(self, xi: Array) -> list[Array]:
        """z of every layer but the last."""
        found: list[Array] = []
        graph.evaluate(self.layers[:-1], xi, lambda _, z: found.append(z))
        return found

    def masks(self, z: list[Array]) -> list[Array]:
        """sigma'(z) of every layer but the last."""
        return [np.where(zl > 0, beta, alpha) for zl, (alpha, beta) in zip(z, self.slopes, strict=True)]

    def gradients(self, masks: list[Array]) -> Array:
        """(k, n) gradients of f in xi, of given masks."""
        return np.asarray(graph.pull_back(self.layers, masks, self.top)) * self.inverse

    def values(self, z: list[Array]) -> Array:
        """(k,): the dual norms of the gradients at points of these pre-activations."""
        return self._norms(self.gradients(self.masks(z)))

    def _norms(self, gradients: Array) -> Array:
        return lengths(gradients[..., self.units.along], DUAL[self.units.problem.norm])

    def smooth_slope(self, z: list[Array], width: float) -> Array:
        """(k, n): the derivative by xi, at points of these pre-activations, of the dual norm of smooth masks.

        They are sigmoids of z / (width * spread).

        With s the norm's derivative by the gradient g, <s, g> is linear in every mask: its derivative is the adjoint
        before the mask times the tangent of s there, which goes back through the network from z.
        """
        masks, bends = [], []
        for zl, (alpha, beta), spread in zip(z, self.slopes, self.spread, strict=True):
            size = np.float32(width) * spread
            switch = 1.0 / (1.0 + np.exp(-np.clip(zl / size, -60.0, 60.0)))
            masks.append(alpha + (beta - alpha) * switch)
            bends.append((beta - alpha) * switch * (1.0 - switch) / size)
        adjoints: dict[int, Array] = {}

        def back(l: int, layer: Layer, above: graph.Pairs) -> Array:
            adjoints[l] = graph.rows_back(above)
            return adjoints[l] * masks[l - 1]

        top = np.broadcast_to(self.top, (len(z[0]), 1))
        g = graph.rows_back(graph.backward(self.layers, top, back)) * self.inverse
        s = derivative(g, self.units) * self.inverse
        tangents: dict[int, Array] = {}

        def along(l: int, layer: Layer, below: graph.Pairs) -> Array:
            tangents[l] = graph.total(t @ A.T for A, t in below)
            return tangents[l] * masks[l - 1] if l < len(self.layers) else tangents[l]

        graph.forward(self.layers, s, along)
        on = self.masks(z)

        def through(l: int, layer: Layer, above: graph.Pairs) -> Array:
            bend = adjoints[l] * tangents[l] * bends[l - 1] if self.bent[l - 1] else 0.0
            return np.asarray(bend + on[l - 1] * graph.rows_back(above))

        none = np.zeros((len(z[0]), 1), np.float32)
        return np.asarray(graph.rows_back(graph.backward(self.layers, none, through)))

    # --- the searches ----------------------------------------------------------------------------------

    def ascend(self, start: Array, steps: int, wide: float = WIDE) -> Array:
        """The best point of each chain (points, n), float64, over `steps` steps from start; fewer when all is spent.

        Args:
            start: (points, n).
            steps: how many.
            wide: the first width; what is narrower than WIDE stays near start.
        """
        x = start.astype(np.float32)
        z, momentum = self.preactivations(x), np.zeros_like(x)
        top, most = x.copy(), np.full(len(x), -1.0, np.float32)
        size = 1.0 / np.sqrt(x.shape[1]) if is_euclidean(self.units.shape) else 1.0
        for i in range(steps):
            if i % LOOK_EVERY == 0 and self.effort.is_over():
                break
            width = wide * (NARROW / wide) ** (i / steps)
            direction = self.smooth_slope(z, width)
            direction = direction / np.sqrt(np.mean(direction**2, axis=1, keepdims=True) + UNIT)
            momentum = np.float32(0.9) * momentum + np.float32(0.1) * np.nan_to_num(direction)
            x = self.units.project(x + np.float32(STRIDE * np.sqrt(width / WIDE) * size) * momentum)
            z = self.preactivations(x)
            _keep_better(top, most, x, self.values(z))
            self.effort.spend(ASCENDING * len(x))
        return top.astype(np.float64)

    def anneal(self, random: np.random.Generator, start: Array, steps: int) -> Array:
        """The same by annealing."""
        x = start.astype(np.float32)
        value = self.values(self.preactivations(x))
        top, most = x.copy(), value.copy()
        spread = np.concatenate(self.spread)
        for i in range(steps):
            if i % LOOK_EVERY == 0 and self.effort.is_over():
                break
            moved = self.units.project(x + self._move(random, x, spread))
            found = self.values(self.preactivations(moved))
            temperature = HOT * (COLD / HOT) ** (i / steps) * most / len(spread)
            luck = np.log(random.random(len(x), dtype=np.float32) + UNIT)
            accept = found - value > temperature * luck
            x, value = np.where(accept[:, None], moved, x), np.where(accept, found, value)
            _keep_better(top, most, x, value)
            self.effort.spend(ANNEALING * len(x))
        return top.astype(np.float64)

    def _move(self, random: np.random.Generator, x: Array, spread: Array) -> Array:
        """(k, n) moves of the annealing, for each chain one of the three kinds."""
        chains, n = x.shape
        at = np.arange(chains)
        kind = random.random((chains,))
        # Any way, of any length.
        length = np.exp(random.uniform(-7.0, 0.0, (chains, 1)))
        size = 1.0 / np.sqrt(n) if is_euclidean(self.units.shape) else 1.0
        move = (size * length).astype(np.float32) * random.standard_normal((chains, n), dtype=np.float32)
        # One input anew; on the ball it is a step.
        single = np.flatnonzero((kind >= 0.5) & (kind < 0.75))
        j = random.integers(0, n, (chains,))[single]
        new = np.clip(1.5 * random.uniform(-1.0, 1.0, chains), -1.0, 1.0)[single]
        move[single] = 0.0
        move[single, j] = new - x[single, j]
        # Across the hyperplane of a neuron, the nearer the likelier.
        crosses = kind < 0.5
        if crosses.any():
            z = self.preactivations(x)
            flat = np.concatenate(z, axis=1)
            likely = -1.5 * np.log(np.abs(flat) / spread + np.float32(0.01))
            k = np.argmax(likely - np.log(-np.log(random.random(flat.shape, dtype=np.float32) + UNIT) + UNIT), axis=1)
            seeds = np.zeros(flat.shape, np.float32)
            seeds[at, k] = 1.0
            parts = np.split(seeds, np.cumsum([zl.shape[1] for zl in z])[:-1], axis=1)
            on = self.masks(z)

            def back(l: int, layer: Layer, above: graph.Pairs) -> Array:
                return np.asarray(parts[l - 1] + on[l - 1] * graph.rows_back(above))

            none = np.zeros((chains, 1), np.float32)
            row = graph.rows_back(graph.backward(self.layers, none, back))
            beyond = 1.0 + np.exp(random.uniform(-7.0, 0.0, chains))
            far = -beyond * flat[at, k] / (np.sum(row * row, axis=1) + UNIT)
            move[crosses] = (far[:, None] * row)[crosses]
        return np.nan_to_num(move)


def _keep_better(top: Array, most: Array, x: Array, value: Array) -> None:
    better = value > most
    top[better], most[better] = x[better], value[better]


def derivative(g: Array, units: Units) -> Array:
    """(k, n): a derivative of the gradients' dual norm, of the entries that count, at each row of g (k, n)."""
    if len(units.along) == g.shape[1]:
        return _of_norm(g, DUAL[units.problem.norm])
    out = np.zeros_like(g)
    out[:, units.along] = _of_norm(g[:, units.along], DUAL[units.problem.norm])
    return out


def _of_norm(g: Array, norm: Norm) -> Array:
    """(k, n): a derivative of the norm at each row of g."""
    if norm == 1:
        return np.sign(g)
    if norm == 2:
        return g / np.sqrt(np.sum(g * g, axis=1, keepdims=True) + UNIT)
    if norm == "inf":
        out, at = np.zeros_like(g), np.argmax(np.abs(g), axis=1)
        rows = np.arange(len(g))
        out[rows, at] = np.sign(g[rows, at])
        return out
    raise unknown_norm(norm)


def _in_units(net: Network, units: Units) -> tuple[list[Layer], list[Array], Array]:
    """f as layers over xi, float32; how much each pre-activation varies over the domain; gradient in x / in xi.

    Every layer's output is in units of its largest, so that float32 holds it: slopes are the same, since what bends at
    0 is positively homogeneous. The last layer has one row, of about the gradients' size.
    """
    free, scale = units.free, units.scale
    x = units.random(256, np.random.default_rng(0))
    sizes: dict[int, float] = {0: 1.0}
    layers: list[Layer] = []
    spreads: list[Array] = []
    n = len(net.layers)

    def mapped(k: int, A: Any, size: float) -> Any:
        if k == 0:
            A = A[:, free].multiply(scale).tocsr() if is_sparse(A) else A[:, free] * scale
        return A * (sizes[k] / size)

    def step(l: int, layer: Layer, below: graph.Pairs) -> Array:
        if l == n:  # f has the one output c F
            c = units.problem.coefficients[None]
            layer = Layer.of_checked({k: c @ A for k, A in layer.inputs.items()}, c @ layer.bias, "identity")
        bias = layer.bias + (layer.inputs[0] @ units.center if 0 in layer.inputs else 0.0)
        below = [(mapped(k, A, 1.0), y) for (k, A), (_, y) in zip(layer.inputs.items(), below, strict=True)]
        z = graph.total(y @ A.T for A, y in below) + bias
        size = (float(np.abs(z).max(initial=0.0)) or 1.0) if l < n else 1.0
        sizes[l] = size
        layers.append(layer.of_arrays({k: mapped(k, A, size) for k, A in layer.inputs.items()}, bias / size))
        if l < n:
            spread = z.std(axis=0) / size
            spreads.append(np.maximum(spread, 1e-6 + 1e-3 * float(spread.mean())))
        return np.asarray(graph.activated(layer, z / size))

    graph.forward(net.layers, x, step)
    on = graph.masks(layers[:-1], x)
    g = graph.pull_back(layers, on, np.ones(1))
    typical = float(np.abs(g).max(initial=0.0))
    last = layers[-1]
    rows = max((float(np.abs(A).max()) for A in last.inputs.values()), default=0.0)
    typical = typical if typical > 0 and np.isfinite(typical) else rows or 1.0
    layers[-1] = last.mapped(lambda A: A / typical)
    return [layer.mapped(_single) for layer in layers], [s.astype(np.float32) for s in spreads], _inverse(scale)


def _inverse(scale: Array) -> Array:
    return float(scale.max(initial=0.0)) / scale


def _single(array: Any) -> Any:
    return array.astype(np.float32)
