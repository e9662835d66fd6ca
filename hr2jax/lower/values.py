"""Attained values of f itself: lower bounds of its maximum on a ball."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import graph
from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..domain import Domain
from ..network import Network
from ..problem import Problem
from .effort import Effort
from .norms import lengths

POINTS = 16
STEPS = 40


def value_at(net: Network, problem: Problem, x: Array) -> float:
    """coefficients . F(x) rounded down, the data and x (p_0,) taken as exact reals; -inf outside the domain."""
    if not np.isfinite(x).all() or not problem.domain.contains(x):
        return -np.inf
    with np.errstate(all="ignore"):
        out = graph.evaluate(net.layers, Enclosure(x))
        total = (Enclosure(problem.coefficients) * out).sum()
        lower = float(total.lower())
    return lower if np.isfinite(lower) else -np.inf


def climb_values(
    net: Network, problem: Problem, *, effort: Effort, seed: int = 0, starts: Sequence[Any] | Array = ()
) -> tuple[float, Array]:  # fmt: skip
    """The largest value of f found by projected gradient ascent from many points, and where (proved by `value_at`).

    It ends when a round brings nothing, or the effort is over.
    """
    domain = problem.domain
    center, radius = domain.center.copy(), domain.radius
    random = np.random.default_rng(seed)
    best, witness = value_at(net, problem, center), center
    for x in starts:
        if (value := value_at(net, problem, np.asarray(x))) > best:
            best, witness = value, np.asarray(x)
    while not effort.is_over():
        before = best
        some = center + radius * random.uniform(-1, 1, (POINTS, len(center)))
        found = np.concatenate([witness[None], _inside(domain, some)])
        for step in range(STEPS):
            gradient = _gradient(net, problem, found)
            move = np.sign(gradient) if domain.shape == "inf" else _unit(gradient)
            found = _inside(domain, found + radius * 0.5 * 0.9**step * move)
            effort.spend(len(found))
            if effort.is_over():
                break
        for x in found[np.argsort(-net(found) @ problem.coefficients)[:2]]:
            if (value := value_at(net, problem, x)) > best:
                best, witness = value, x
        if best <= before + 1e-12 * abs(before):
            break
    return best, witness


def _gradient(net: Network, problem: Problem, points: Array) -> Array:
    return graph.gradients(net.layers, points, problem.coefficients)


def _unit(rows: Array) -> Array:
    return rows / np.maximum(lengths(rows, 2)[:, None], 1e-300)


def _inside(domain: Domain, points: Array) -> Array:
    """The points moved into the domain, a hair inside so that rounding does not take them out."""
    radius = domain.radius * (1 - 1e-12)
    away = points - domain.center
    if domain.shape == "inf":
        away = np.clip(away, -radius, radius)
    else:
        away = away * np.minimum(radius[0] / np.maximum(lengths(away, domain.shape)[:, None], 1e-300), 1.0)
    return domain.center + away
