"""Projected gradient ascent on slopes, all targets of a layer at once, in JAX. Steering only."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...arithmetic.float64 import Array
from ...arithmetic.norms import Norm, unknown_norm
from ...machine.run import put, run
from .targets import Targets

STEPS = 20  # between two looks at the clock
ROUNDS = 10
ENOUGH = 1e-4  # the least mean improvement of a round, relative to the targets' ranges, that is worth another


def ascend(targets: Targets, start: Mapping[int, Array], end: float | None, seed: int) -> dict[int, Array]:
    """Better slopes k -> (n, p_k) than `start`, per target."""
    net, domain = targets.net, targets.problem.domain
    count = len(targets.bounds)
    rng = np.random.default_rng(seed)
    layers = []
    for A, b, (low, high) in zip(net.weights, net.biases, targets.bounds, strict=False):
        unstable = (low < 0) & (high > 0)
        with np.errstate(all="ignore"):
            s = np.where(unstable, high / np.where(unstable, high - low, 1.0), high > 0)
        layers.append((A, b, unstable.astype(np.float64), s, np.where(unstable, -s * low, 0.0)))
    scale = _ranges(targets)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        data = run(jax.tree.map, put, (targets.rows[count], targets.shift, layers, domain.center, domain.radius, scale))
        first = [put(start[k]) for k in range(1, count + 1)]
        best, value = first, run(_values, first, data, domain.shape)
        # Away from the corners, where half of the directions are closed.
        slopes = run(_inwards, first, [rng.random(s.shape) for s in first])
        state = run(_optimizer().init, slopes)
        for step in range(ROUNDS):
            before = value
            slopes, state, best, value = run(_round, slopes, state, best, value, data, 0.7**step, domain.shape)
            gain = float(run(_gain, value, before, data[-1]))
            if not gain >= ENOUGH or (end is not None and time.monotonic() >= end):
                break
        return {k: np.nan_to_num(np.asarray(values)) for k, values in enumerate(best, start=1)}


def _ranges(targets: Targets) -> Array:
    """Sizes of the targets, so that one step suits all."""
    low, high = targets.bounds[-1]
    with np.errstate(all="ignore"):
        size = np.abs(targets.rows[len(targets.bounds)]) @ (np.maximum(high, 0.0) - np.maximum(low, 0.0))
    return np.where((size > 0) & np.isfinite(size), size, 1.0)


def _inwards(slopes: Any, random: Any) -> Any:
    return [0.9 * s + 0.1 * jnp.asarray(r) for s, r in zip(slopes, random, strict=True)]


def _gain(value: Any, before: Any, scale: Any) -> Any:
    return jnp.mean((value - before) / scale)


def _optimizer() -> Any:
    return optax.adam(0.1)


def _values(slopes: Any, data: Any, shape: Norm) -> Any:
    """The targets' linear lower bounds (n,)."""
    M, value, layers, center, radius, _ = data
    for slope, (A, b, unstable, s, intercept) in zip(slopes[::-1], layers[::-1], strict=True):
        above, below = jnp.maximum(M, 0.0), jnp.minimum(M, 0.0)
        N = above * jnp.where(unstable > 0, slope, s) + below * s
        value = value + below @ intercept + N @ b
        M = N @ A
    if shape == "inf":
        spread = jnp.abs(M) @ radius
    elif shape == 2:
        square = jnp.sum(M**2, axis=1)
        spread = radius[0] * jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    elif shape == 1:
        spread = radius[0] * jnp.max(jnp.abs(M), axis=1)
    else:
        raise unknown_norm(shape)
    return value + M @ center - spread


@partial(jax.jit, static_argnums=6)  # not `compiled`: of 20 layers that would take twice as long
def _round(slopes: Any, state: Any, best: Any, value: Any, data: Any, rate: Any, shape: Norm) -> Any:
    """STEPS steps of Adam, clipped to [0, 1]; the best slopes seen of each target are kept."""

    def loss(slopes: Any) -> Any:
        values = _values(slopes, data, shape)
        return -jnp.sum(values / data[-1]), values

    def step(_: Any, carry: Any) -> Any:
        slopes, state, best, value = carry
        (_, values), gradient = jax.value_and_grad(loss, has_aux=True)(slopes)
        won = values > value
        best = [jnp.where(won[:, None], new, old) for new, old in zip(slopes, best, strict=True)]
        update, state = _optimizer().update(gradient, state)
        slopes = [jnp.clip(s + rate * u, 0.0, 1.0) for s, u in zip(slopes, update, strict=True)]
        return slopes, state, best, jnp.where(won, values, value)

    return jax.lax.fori_loop(0, STEPS, step, (slopes, state, best, value))
