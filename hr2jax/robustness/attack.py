"""Projected gradient ascent (Madry et al. 2018): points that a certificate cannot cover. JAX steers, NumPy checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import NORMS, unknown_norm
from ..layer import Layer, dense
from ..machine.run import compiled, put, run
from ..machine.seeds import key_of, key_within
from ..network import Network
from .margins import Clip, inner_box, margins

# Inputs attacked together; fewer are padded to a power of two, so that programs are compiled once.
BATCH = 512
PIECE = 50  # steps between looks at the clock, and at Ctrl-C


def never() -> bool:
    """No time limit."""
    return False


def silent(done: int) -> None:
    """Nobody looks."""


def broken(
    net: Network, inputs: Array, labels: Array, radius: float, *, norm: str | int, clip: Clip | None, steps: int,
    starts: int, seed: int, is_over: Callable[[], bool] = never, show: Callable[[int], None] = silent,
) -> tuple[Array, Array]:  # fmt: skip
    """Adversarial points within `radius`, in the clip box, by `starts` climbs of `steps` steps each, fewer once
    `is_over` says so; `show` is told of how many inputs they are over.

    Returns:
        (n,) bool, whether one was found, and (n, p_0) float64, the points (the input where there is none). In
        exact arithmetic such a point lies in the ball and the clip box and some rival's output is at least the
        label's there, so no certificate for that radius exists.
    """
    if norm not in NORMS:
        raise unknown_norm(norm)
    found, points = np.zeros(len(inputs), dtype=bool), inputs.copy()
    with jax.default_matmul_precision("highest"), np.errstate(all="ignore"):
        for start in range(0, len(inputs), BATCH):
            rows = np.arange(start, min(start + BATCH, len(inputs)))
            show(start)
            for attempt in range(starts):
                left = rows[~found[rows]]
                if not len(left) or is_over():
                    break
                key = key_within(key_of(seed), (start * starts + attempt) % 2**32)
                climbed = _climb(net, inputs[left], labels[left], radius, norm, clip, steps, attempt == 0, key, is_over)
                hit = _adversarial(net, inputs[left], climbed, labels[left], radius, norm)
                points[left[hit]], found[left[hit]] = climbed[hit], True
    return found, points


def _climb(
    net: Network, inputs: Array, labels: Array, radius: float, norm: str | int, clip: Clip | None, steps: int,
    at_input: bool, key: Any, is_over: Callable[[], bool],
) -> Array:  # fmt: skip
    """(n, p_0) points of the ball and the clip box where a rival comes close to the label's output."""
    low, high = inner_box(inputs, radius, clip)
    if net.smooth:
        rng = np.random.default_rng(np.asarray(run(jax.random.key_data, key)))
        climbed = _climb_smooth(net, inputs, labels, radius, norm, low, high, steps, at_input, rng, is_over)
        return _within(inputs, climbed, low, high, radius, norm)
    padded = 1 << (len(inputs) - 1).bit_length()
    rows = np.resize(np.arange(len(inputs)), padded)
    layers = [
        (
            {k: put(dense(A), jnp.float32) for k, A in layer.inputs.items()}, put(layer.bias, jnp.float32),
            None if layer.activation == "relu" else tuple(put(slopes, jnp.float32) for slopes in layer.slopes),
        )
        for layer in net.layers
    ]  # fmt: skip
    single = [put(array[rows], jnp.float32) for array in (inputs, low, high)]
    fixed = (layers, *single, put(labels[rows]), np.float32(radius))
    state = run(_beginning, *single, np.float32(radius), key, norm, at_input)
    for first in range(0, steps, PIECE):
        state = run(_ascent, *fixed, state, first, min(first + PIECE, steps), np.float32(steps), norm)
        if is_over():
            break
    climbed = run(_best, layers, put(labels[rows]), state)
    return _within(inputs, np.asarray(climbed, dtype=np.float64)[: len(inputs)], low, high, radius, norm)


def _within(inputs: Array, points: Array, low: Array, high: Array, radius: float, norm: str | int) -> Array:
    """The points (n, p_0) in the ball and between low and high."""
    if norm != "inf":
        points = inputs + _shrunk(points - inputs, radius, norm)
    return np.clip(points, low, high)


def _climb_smooth(
    net: Network, inputs: Array, labels: Array, radius: float, norm: str | int, low: Array, high: Array, steps: int,
    at_input: bool, rng: np.random.Generator, is_over: Callable[[], bool],
) -> Array:  # fmt: skip
    """The same climb in NumPy, of networks with smooth layers, whose functions are there alone."""
    rows = np.arange(len(inputs))
    start = inputs if at_input else low + (high - low) * rng.random(inputs.shape)
    y = _within(inputs, start, low, high, radius, norm)
    best, height = y, np.full(len(y), -np.inf)
    for i in range(steps + 1):
        scores = net(y)
        own = scores[rows, labels].copy()
        scores[rows, labels] = -np.inf
        rival = scores.argmax(axis=1)
        value = scores[rows, rival] - own
        better = value > height
        best, height = np.where(better[:, None], y, best), np.where(better, value, height)
        if i == steps or (i % PIECE == 0 and is_over()):
            break
        top = np.zeros(scores.shape)
        top[rows, rival] += 1.0
        top[rows, labels] -= 1.0
        g = graph.pull_back(net.layers, graph.masks(net.layers[:-1], y), top)
        g = _steepest(np, g / np.maximum(np.abs(g).max(axis=1, keepdims=True), 1e-300), y, low, high, norm)
        y = _within(inputs, y + radius * max(1.0 - i / steps, 0.05) * g, low, high, radius, norm)
    return best


def _shrunk(step: Array, radius: float, norm: str | int) -> Array:
    length = (np.abs(step).sum(axis=1) if norm == 1 else np.linalg.norm(step, axis=1))[:, None]
    return step * np.minimum(1.0, (1.0 - 1e-9) * radius / np.maximum(length, 1e-300))


def _adversarial(net: Network, inputs: Array, points: Array, labels: Array, radius: float, norm: str | int) -> Array:
    """(n,) bool: proved to be wrong or a tie at the point, the point proved to lie in the ball."""
    wrong: Array = margins(net, points, labels)[1].min(axis=1) <= 0
    if norm == 2:  # inner_box has seen to the inf norm
        step = Enclosure(points) - inputs
        wrong &= (step * step).sum(axis=1).upper() <= (Enclosure(radius) * radius).lower()
    elif norm == 1:
        step = Enclosure(points) - inputs
        wrong &= Enclosure(step.magnitude()).sum(axis=1).upper() <= radius
    return wrong


def _excess(layers: Any, labels: Any, y: Any) -> Any:
    """(n,) by how much the best rival's output exceeds the label's; layers: inputs, biases, slopes (None: ReLU)."""

    def value(l: int, layer: Layer, below: graph.Pairs) -> Any:
        z, slopes = graph.rows_forward(layer, below), layers[l - 1][2]
        if l == len(layers):
            return z
        return jax.nn.relu(z) if slopes is None else jnp.where(z > 0, slopes[1], slopes[0]) * z

    scores = graph.forward([Layer.of_checked(A, b, "identity") for A, b, _ in layers], y, value)
    own = jax.nn.one_hot(labels, scores.shape[1], dtype=bool)
    return jnp.max(jnp.where(own, -jnp.inf, scores), axis=1) - jnp.sum(jnp.where(own, scores, 0.0), axis=1)


def _project(y: Any, x: Any, low: Any, high: Any, radius: Any, norm: str | int) -> Any:
    if norm != "inf":
        step = y - x
        length = jnp.linalg.norm(step, norm, axis=1, keepdims=True)
        y = x + step * jnp.minimum(1.0, radius / jnp.maximum(length, 1e-30))
    return jnp.clip(y, low, high)


def _steepest(numpy: Any, g: Any, y: Any, low: Any, high: Any, norm: str | int) -> Any:
    """(n, p_0) of length 1 in the norm: where g rises most from y, of norm 1 along one entry that low and high leave.

    `numpy` is NumPy or JAX's.
    """
    if norm == 2:
        return g / numpy.maximum(numpy.linalg.norm(g, axis=1, keepdims=True), 1e-30)
    if norm == 1:
        size = numpy.where(numpy.where(g > 0, y < high, y > low), numpy.abs(g), 0.0)
        one = numpy.arange(g.shape[1]) == numpy.argmax(size, axis=1)[:, None]
        return numpy.where(one & (size > 0), numpy.sign(g), 0.0)
    return numpy.sign(g)


@partial(compiled, static_argnames=("norm", "at_input"))
def _beginning(x: Any, low: Any, high: Any, radius: Any, key: Any, norm: str | int, at_input: bool) -> Any:
    """Where the climb is, the best points seen on the way (n, p_0) float32, and their excess (n,)."""
    if at_input:
        y = x
    elif norm != "inf":
        g = jax.random.normal(key, x.shape)
        g = g / jnp.maximum(jnp.linalg.norm(g, norm, axis=1, keepdims=True), 1e-30)
        y = _project(x + radius * g, x, low, high, radius, norm)
    else:
        y = low + (high - low) * jax.random.uniform(key, x.shape)
    return y, y, jnp.full(len(x), -jnp.inf)


@partial(compiled, static_argnames=("norm",))
def _ascent(
    layers: Any, x: Any, low: Any, high: Any, labels: Any, radius: Any, state: Any, first: Any, end: Any, steps: Any,
    norm: str | int,
) -> Any:  # fmt: skip
    """Steps first .. end - 1 of `steps`."""

    def step(i: Any, state: Any) -> Any:
        y, best, height = state
        value, pull = jax.vjp(partial(_excess, layers, labels), y)
        (g,) = pull(jnp.ones_like(value))
        better = value > height
        best, height = jnp.where(better[:, None], y, best), jnp.where(better, value, height)
        size = radius * jnp.maximum(1.0 - i / steps, 0.05)
        return _project(y + size * _steepest(jnp, g, y, low, high, norm), x, low, high, radius, norm), best, height

    return jax.lax.fori_loop(first, end, step, state)


@compiled
def _best(layers: Any, labels: Any, state: Any) -> Any:
    """The best point of all, the last one too."""
    y, best, height = state
    return jnp.where((_excess(layers, labels, y) > height)[:, None], y, best)
