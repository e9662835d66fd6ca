"""Projected gradient ascent on slopes, all targets of a layer at once. Steering only.

The gradient is written out, and nothing is compiled: a program for each depth took seconds, and its steps, products of
matrices, no less than NumPy's.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.norms import unknown_norm
from ...domain import Domain
from ...machine.stopping import check
from .targets import Targets

STEPS = 20  # between two looks at the clock
ROUNDS = 10
ENOUGH = 1e-4  # the least mean improvement of a round, relative to the targets' ranges, that is worth another
RATE, DECAY = 0.1, 0.7  # of a step, and by what it falls from round to round
FIRST, SECOND, SMALL = 0.9, 0.999, 1e-8  # Adam's moments, and what keeps its quotient finite


class _Lines(NamedTuple):
    """A layer and the lines that its neurons lie between: x <= s z + intercept, and x >= slope z where unstable."""

    A: Array
    b: Array
    unstable: Array  # (p,) bool
    s: Array
    intercept: Array


def ascend(targets: Targets, start: Mapping[int, Array], end: float | None, seed: int) -> dict[int, Array]:
    """Better slopes k -> (n, p_k) than `start`, per target."""
    layers = _lines(targets)
    rng = np.random.default_rng(seed)
    scale = _ranges(targets)
    best = [np.array(start[k]) for k in range(1, len(layers) + 1)]
    # Away from the corners, where half of the directions are closed.
    slopes = [0.9 * s + 0.1 * rng.random(s.shape) for s in best]
    adam = _Adam(best)
    with np.errstate(all="ignore"):
        value, _ = _values(best, targets, layers)
        for number in range(ROUNDS):
            before, rate = value, RATE * DECAY**number
            for _ in range(STEPS):
                check()
                found, gradient = _values(slopes, targets, layers)
                won = found > value
                value = np.where(won, found, value)
                best = [np.where(won[:, None], new, old) for new, old in zip(slopes, best, strict=True)]
                steps = adam.steps([g / scale[:, None] for g in gradient])
                slopes = [np.clip(s + rate * step, 0.0, 1.0) for s, step in zip(slopes, steps, strict=True)]
            gain = float(np.mean((value - before) / scale))
            if not gain >= ENOUGH or (end is not None and time.monotonic() >= end):
                break
    return {k: np.nan_to_num(values) for k, values in enumerate(best, start=1)}


class _Adam:
    """The method of Kingma and Ba (2015), upwards: steps of about 1 in each entry."""

    def __init__(self, like: list[Array]):
        self.means, self.squares = ([np.zeros_like(values) for values in like] for _ in range(2))
        self.count = 0

    def steps(self, gradient: list[Array]) -> list[Array]:
        """The next ones."""
        self.count += 1
        self.means = [FIRST * m + (1.0 - FIRST) * g for m, g in zip(self.means, gradient, strict=True)]
        self.squares = [SECOND * q + (1.0 - SECOND) * g**2 for q, g in zip(self.squares, gradient, strict=True)]
        long, short = 1.0 - FIRST**self.count, 1.0 - SECOND**self.count
        return [m / long / (np.sqrt(q / short) + SMALL) for m, q in zip(self.means, self.squares, strict=True)]


def _lines(targets: Targets) -> list[_Lines]:
    """Layer by layer."""
    out = []
    for A, b, (low, high) in zip(targets.net.weights, targets.net.biases, targets.bounds, strict=False):
        unstable = (low < 0) & (high > 0)
        with np.errstate(all="ignore"):
            s = np.where(unstable, high / np.where(unstable, high - low, 1.0), high > 0)
        out.append(_Lines(A, b, unstable, s, np.where(unstable, -s * low, 0.0)))
    return out


def _ranges(targets: Targets) -> Array:
    """Sizes of the targets, so that one step suits all."""
    low, high = targets.bounds[-1]
    with np.errstate(all="ignore"):
        size = np.abs(targets.rows[len(targets.bounds)]) @ (np.maximum(high, 0.0) - np.maximum(low, 0.0))
    return np.where((size > 0) & np.isfinite(size), size, 1.0)


def _values(slopes: list[Array], targets: Targets, layers: list[_Lines]) -> tuple[Array, list[Array]]:
    """The targets' linear lower bounds (n,), and the derivative of each by its own slopes, (n, p_k) per layer."""
    M, value = targets.rows[len(layers)], targets.shift
    walked: list[tuple[Array, Array]] = []  # of each layer, the last first: M >= 0, and what multiplies M
    above = []
    for slope, (A, b, unstable, s, intercept) in zip(slopes[::-1], layers[::-1], strict=True):
        positive = M > 0
        factor = np.where(positive & unstable, slope, s)
        above.append(np.where(positive & unstable, M, 0.0))
        N = factor * M
        value = value + np.minimum(M, 0.0) @ intercept + N @ b
        walked.append((positive, factor))
        M = N @ A
    spread, along = _spread(M, targets.problem.domain)
    center = targets.problem.domain.center
    gradient: list[Array] = []
    outer = center - along  # of M, (n, p_{k-1})
    for (A, b, _, _, intercept), (positive, factor), own in zip(layers, walked[::-1], above[::-1], strict=True):
        inner = outer @ A.T + b
        gradient.append(inner * own)
        outer = inner * factor + np.where(positive, 0.0, intercept)
    return value + M @ center - spread, gradient


def _spread(M: Array, domain: Domain) -> tuple[Array, Array]:
    """What the domain's radii take from  M center  (n,), and its derivative by M."""
    radius = domain.radius
    if domain.shape == "inf":
        return np.abs(M) @ radius, np.sign(M) * radius
    if domain.shape == 2:
        length = np.linalg.norm(M, axis=1)
        return radius[0] * length, radius[0] * M / np.where(length > 0, length, 1.0)[:, None]
    if domain.shape == 1:
        place, rows = np.argmax(np.abs(M), axis=1), np.arange(len(M))
        along = np.zeros_like(M)
        along[rows, place] = radius[0] * np.sign(M[rows, place])
        return radius[0] * np.abs(M[rows, place]), along
    raise unknown_norm(domain.shape)
