"""Points of large gradient, any depth: many at once in JAX, float32. Nothing here is rigorous: it only steers.

First ascent of the dual norm with smoothed switches, then annealing on the true gradient: a move crosses the
hyperplane of a neuron near by, redraws one input, or goes a random way.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.norms import Norm, is_euclidean, unknown_norm
from ...machine.run import put, run
from ...machine.seeds import key_of, key_within
from ...network import Network
from ..clock import Clock
from ..norms import DUAL
from .units import Units

LOOK_EVERY = 25  # steps between looks at the clock
POINTS = 64
FEWEST = 8
ENTRIES = 8_000_000  # weights times points of one step
WIDE, NARROW = 2.0, 0.02  # the smoothed switches' widths, first and last, in spreads of the pre-activations
STRIDE = 0.5  # of the first step
HOT, COLD = 0.7, 0.007  # temperatures of the annealing, relative to the value and per neuron


class _Data(NamedTuple):
    """The network in the units of the search, float32."""

    weights: list[Any]  # the first (p_1, n) in units of xi
    biases: list[Any]
    spread: list[Any]  # (p_l,) how much a pre-activation varies over the domain
    outer: Any  # (p_L,)
    inverse: Any  # (n,) gradient in x / gradient in xi


def _forward(x: Any, data: _Data) -> list[Any]:
    found = []
    for A, b in zip(data.weights, data.biases, strict=True):
        z = x @ A.T + b
        found.append(z)
        x = jnp.maximum(z, 0.0)
    return found


def _norms(masks: list[Any], data: _Data, norm: Norm) -> Any:
    g = data.outer
    for A, mask in zip(data.weights[::-1], masks[::-1], strict=True):
        g = (g * mask) @ A
    g = g * data.inverse
    return _lengths(g, DUAL[norm])


def _lengths(x: Any, norm: Norm) -> Any:
    """The norm over the last axis, differentiable."""
    if norm == "inf":
        return jnp.max(jnp.abs(x), axis=1)
    if norm == 2:
        return jnp.sqrt(jnp.sum(x * x, axis=1) + 1e-30)
    if norm == 1:
        return jnp.sum(jnp.abs(x), axis=1)
    raise unknown_norm(norm)


def _true(x: Any, data: _Data, norm: Norm) -> Any:
    return _norms([(z > 0).astype(z.dtype) for z in _forward(x, data)], data, norm)


def _smooth(x: Any, width: Any, data: _Data, norm: Norm) -> Any:
    switches = [jax.nn.sigmoid(z / (width * s)) for z, s in zip(_forward(x, data), data.spread, strict=True)]
    return jnp.sum(_norms(switches, data, norm))


def _project(x: Any, shape: Norm) -> Any:
    if shape == "inf":
        return jnp.clip(x, -1.0, 1.0)
    if shape == 2:
        return x / jnp.maximum(jnp.linalg.norm(x, axis=1, keepdims=True), 1.0)
    return x / jnp.maximum(_lengths(x, shape)[:, None], 1.0)


def _better(top: tuple[Any, Any], x: Any, value: Any) -> tuple[Any, Any]:
    keep = value > top[1]
    return jnp.where(keep[:, None], x, top[0]), jnp.where(keep, value, top[1])


@partial(jax.jit, static_argnames=("norm", "shape"))
def _ascend(
    x: Any, momentum: Any, top: Any, data: Any, wide: Any, first: Any, total: Any, count: Any, *,
    norm: Norm, shape: Norm,
) -> Any:  # fmt: skip
    """Steps first .. first + count of `total` on x (C, n): switches narrow, steps shorten; the best of each chain."""
    size = 1.0 / jnp.sqrt(x.shape[1]) if is_euclidean(shape) else 1.0

    def step(i: Any, state: Any) -> Any:
        x, momentum, top = state
        done = jnp.asarray(i, jnp.float32) / total
        width = wide * (NARROW / wide) ** done
        direction = jax.grad(_smooth)(x, width, data, norm)
        direction = direction / jnp.sqrt(jnp.mean(direction**2, axis=1, keepdims=True) + 1e-30)
        momentum = 0.9 * momentum + 0.1 * jnp.nan_to_num(direction)
        x = _project(x + STRIDE * jnp.sqrt(width / WIDE) * size * momentum, shape)
        return x, momentum, _better(top, x, _true(x, data, norm))

    return jax.lax.fori_loop(first, first + count, step, (x, momentum, top))


@partial(jax.jit, static_argnames=("norm", "shape"))
def _anneal(
    key: Any, x: Any, top: Any, data: Any, first: Any, total: Any, count: Any, *, norm: Norm, shape: Norm
) -> Any:
    """The same for single moves on the true gradient, accepted as in simulated annealing."""
    chains, n = x.shape
    spread = jnp.concatenate(data.spread)
    splits = np.cumsum([s.shape[0] for s in data.spread])[:-1].tolist()

    def step(i: Any, state: Any) -> Any:
        x, value, top = state
        keys = jax.random.split(jax.random.fold_in(key, i), 8)
        done = jnp.asarray(i, jnp.float32) / total
        # Across the hyperplane of a neuron, the nearer the likelier.
        z = _forward(x, data)
        flat = jnp.concatenate(z, axis=1)
        k = jax.random.categorical(keys[0], -1.5 * jnp.log(jnp.abs(flat) / spread + 0.01), axis=1)
        seeds = jnp.split(jax.nn.one_hot(k, flat.shape[1], dtype=x.dtype), splits, axis=1)
        row = jnp.zeros_like(seeds[-1])
        for A, zl, seed in zip(data.weights[::-1], z[::-1], seeds[::-1], strict=True):
            row = (row * (zl > 0) + seed) @ A
        far = jnp.take_along_axis(flat, k[:, None], axis=1)
        beyond = 1.0 + jnp.exp(jax.random.uniform(keys[1], (chains, 1), minval=-7.0, maxval=0.0))
        cross = -beyond * far * row / (jnp.sum(row * row, axis=1, keepdims=True) + 1e-30)
        # One input anew; on the ball it is a step.
        j = jax.random.randint(keys[2], (chains,), 0, n)
        old = jnp.take_along_axis(x, j[:, None], axis=1)
        new = jnp.clip(1.5 * jax.random.uniform(keys[3], (chains, 1), minval=-1.0, maxval=1.0), -1.0, 1.0)
        single = (new - old) * jax.nn.one_hot(j, n, dtype=x.dtype)
        # Any way, of any length.
        length = jnp.exp(jax.random.uniform(keys[4], (chains, 1), minval=-7.0, maxval=0.0))
        size = 1.0 / jnp.sqrt(n) if is_euclidean(shape) else 1.0
        away = size * length * jax.random.normal(keys[5], (chains, n), dtype=x.dtype)
        kind = jax.random.uniform(keys[6], (chains, 1))
        move = jnp.where(kind < 0.5, cross, jnp.where(kind < 0.75, single, away))
        moved = _project(x + move, shape)
        found = _true(moved, data, norm)
        temperature = HOT * (COLD / HOT) ** done * top[1] / flat.shape[1]
        luck = jnp.log(jax.random.uniform(keys[7], (chains,), minval=1e-30, maxval=1.0))
        accept = found - value > temperature * luck
        x, value = jnp.where(accept[:, None], moved, x), jnp.where(accept, found, value)
        return x, value, _better(top, x, value)

    value = _true(x, data, norm)
    state = (x, value, _better(top, x, value))
    x, _, top = jax.lax.fori_loop(first, first + count, step, state)
    return x, top


class Ascent:
    """Searches over the points of one problem's box or ball.

    Args:
        net: the network.
        units: the problem's units.
        clock: its `paused` covers the compilation.

    Attributes:
        points: how many chains, by the network's size.
    """

    def __init__(self, net: Network, units: Units, clock: Clock):
        self.units, self.clock = units, clock
        self.points = int(np.clip(ENTRIES // sum(A.size for A in net.weights), FEWEST, POINTS))
        self.data = _in_units(net, units)
        with clock.paused():
            start = np.zeros((self.points, len(units.free)))
            self.ascend(start, 0)
            self.anneal(key_within(key_of(0), 0), start, 0)

    def ascend(self, start: Array, steps: int, wide: float = WIDE) -> Array:
        """The best point of each chain (points, n), float64, over `steps` steps from start; fewer when time is over.

        Args:
            start: (points, n).
            steps: how many.
            wide: the first width; what is narrower than WIDE stays near start.
        """
        x = put(start, dtype=jnp.float32)
        momentum, top = put(np.zeros(start.shape), dtype=jnp.float32), (x, _start(len(start)))
        for first in range(0, max(1, steps), LOOK_EVERY):
            count = min(LOOK_EVERY, steps - first)
            x, momentum, top = run(
                _ascend, x, momentum, top, self.data, np.float32(wide), first, np.float32(max(1, steps)), count,
                norm=self.units.problem.norm, shape=self.units.shape,
            )  # fmt: skip
            if self.clock.is_over():
                break
        return np.asarray(top[0], dtype=np.float64)

    def anneal(self, key: Any, start: Array, steps: int) -> Array:
        """The same by annealing."""
        x = put(start, dtype=jnp.float32)
        top = (x, _start(len(start)))
        for first in range(0, max(1, steps), LOOK_EVERY):
            count = min(LOOK_EVERY, steps - first)
            x, top = run(
                _anneal, key, x, top, self.data, first, np.float32(max(1, steps)), count,
                norm=self.units.problem.norm, shape=self.units.shape,
            )  # fmt: skip
            if self.clock.is_over():
                break
        return np.asarray(top[0], dtype=np.float64)


def _start(chains: int) -> Any:
    return put(np.full(chains, -1.0), dtype=jnp.float32)


def _in_units(net: Network, units: Units) -> _Data:
    """The network in units of xi, every layer's output in units of its largest so that float32 holds it."""
    first = net.weights[0][:, units.free] * units.scale
    weights, biases = [first, *net.weights[1:-1]], [net.weights[0] @ units.center + net.biases[0], *net.biases[1:-1]]
    outer = units.problem.coefficients @ net.weights[-1]
    x = units.random(256, np.random.default_rng(0))
    scaled_weights, scaled_biases, spreads, switched = [], [], [], []
    before = 1.0
    for A, b in zip(weights, biases, strict=True):
        z = x @ (A * before).T + b
        size = float(np.abs(z).max(initial=0.0)) or 1.0
        z = z / size
        spread = z.std(axis=0)
        scaled_weights.append(A * (before / size))
        scaled_biases.append(b / size)
        spreads.append(np.maximum(spread, 1e-6 + 1e-3 * float(spread.mean())))
        switched.append(z > 0)
        x, before = np.maximum(z, 0.0), size
    inverse = float(units.scale.max()) / units.scale
    g = outer
    for A, on in zip(scaled_weights[::-1], switched[::-1], strict=True):
        g = (g * on) @ A
    typical = float(np.abs(g).max(initial=0.0))
    outer = outer / (typical if typical > 0 else float(np.abs(outer).max(initial=0.0)) or 1.0)

    def single(array: Array) -> Any:
        return put(array, dtype=jnp.float32)

    return _Data(
        [single(A) for A in scaled_weights], [single(b) for b in scaled_biases], [single(s) for s in spreads],
        single(outer), single(inverse),
    )  # fmt: skip
