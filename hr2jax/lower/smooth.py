"""Witnesses of networks with smooth layers: ascent of the gradient's norm from many points. It only steers.

With s a derivative of the norm at the gradient g, the norm's own derivative is the Hessian times s, which two gradients
beside x tell, and what switches between them with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .. import graph
from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import Problem
from .attained import attained_unchecked
from .effort import Effort, weights_of
from .norms import dual_norm, lengths
from .regions.ascent import derivative
from .regions.units import Units, build_units

ENTRIES, FEWEST, MOST = 4_000_000, 8, 64  # weights times points of one step; points
STEPS, MOVES = 40, 20  # of the first round; every round has twice as many as the one before, up to
DOUBLINGS = 3
ROUNDS, STALE_ROUNDS = 20, 2  # how many rounds, and how many without progress before the search ends early
REACH = (1.0, 10.0, 0.1)  # global problems: how far out points are sought, round by round
OFFERS = 3  # points of a round worth proving
WIDE, NARROW = 0.5, 0.005  # the first and the last step, in units of the domain
BESIDE = 1e-4  # how far the two gradients are from x, in units of the domain
SAMPLES = 256
GAIN = 1e-9  # what gains less is no progress


def search_smooth(
    net: Network, problem: Problem, *, effort: Effort, seed: int = 0, points: Sequence[Array] = ()
) -> tuple[float, Array]:
    """The best lower bound found and its point, (p_0,) of the domain; points (p_0,) to start from."""
    with np.errstate(all="ignore"):
        units = build_units(net, problem)
        best = _Best(net, problem, units.center.copy())
        for x in (units.center, *points):
            best.offer(units.point(units.locate(x)) if units.bounded else x)
        stale = 0
        for turn in range(ROUNDS if len(units.free) and problem.coefficients.any() else 0):
            if effort.is_over() or stale >= STALE_ROUNDS:
                break
            before = best.lower
            region = units if units.bounded else build_units(net, problem, REACH[turn % len(REACH)])
            _round(best, region, effort, np.random.default_rng([seed, turn]), 2 ** min(turn, DOUBLINGS))
            stale = stale + 1 if best.lower <= before * (1 + GAIN) and turn + 1 >= len(REACH) else 0
    return best.lower, best.witness


class _Best:
    """The best proved point so far."""

    def __init__(self, net: Network, problem: Problem, witness: Array):
        self.net, self.problem, self.lower, self.witness = net, problem, 0.0, witness

    def offer(self, x: Array) -> None:
        """Prove what x (p_0,) attains."""
        lower = attained_unchecked(self.net, self.problem, x)
        if lower > self.lower:
            self.lower, self.witness = lower, x


def _round(best: _Best, units: Units, effort: Effort, random: np.random.Generator, longer: int) -> None:
    """Ascents from the best of random points and from the best known one, then random steps around what they find."""
    net = best.net
    count = int(np.clip(ENTRIES // max(weights_of(net), 1), FEWEST, MOST))
    some = units.random(max(SAMPLES, count), random)
    effort.spend(len(some))
    xi = some[np.argsort(-_values(net, units, some), kind="stable")[:count]]
    if best.lower > 0:
        xi[-1] = (best.witness[units.free] - units.center[units.free]) / units.scale
    top, most = xi.copy(), _values(net, units, xi)
    momentum, steps, size = np.zeros_like(xi), STEPS * longer, _step_size(units)
    for i in range(steps):
        if effort.is_over():
            break
        direction = np.nan_to_num(_uphill(net, units, xi))
        direction /= np.sqrt(np.mean(direction**2, axis=1, keepdims=True)) + 1e-300
        momentum = 0.9 * momentum + 0.1 * direction
        xi = units.project(xi + size * WIDE * (NARROW / WIDE) ** (i / steps) * momentum)
        _keep_better(top, most, xi, _values(net, units, xi))
        effort.spend(4 * len(xi))
    for _ in range(MOVES * longer):
        if effort.is_over():
            break
        length = size * WIDE * (NARROW / WIDE) ** random.uniform(0.0, 2.0, (len(top), 1))
        moved = units.project(top + length * random.standard_normal(top.shape))
        _keep_better(top, most, moved, _values(net, units, moved))
        effort.spend(len(top))
    known = np.round(most / max(float(most.max(initial=0.0)), 1e-300), 9)
    _, first = np.unique(known, return_index=True)
    for i in first[::-1][:OFFERS]:
        if math.isfinite(most[i]) and most[i] > best.lower:
            best.offer(units.point(top[i]))


def _step_size(units: Units) -> float:
    return 1.0 if units.shape == "inf" else 1.0 / math.sqrt(len(units.free))


def _gradients(net: Network, units: Units, xi: Array) -> Array:
    return graph.gradients(net.layers, units.points(xi), units.problem.coefficients)[:, units.free]


def _values(net: Network, units: Units, xi: Array) -> Array:
    """(k,): the dual norms of the formal gradients at xi (k, n); 0 where they are not finite."""
    found = dual_norm(_gradients(net, units, xi)[:, units.along], units.problem.norm)
    return np.where(np.isfinite(found), found, 0.0)


def _uphill(net: Network, units: Units, xi: Array) -> Array:
    """(k, n): about the derivative by xi of the gradients' dual norm."""
    g = _gradients(net, units, xi)
    s = derivative(g / np.maximum(lengths(g, "inf")[:, None], 1e-300), units)
    move = BESIDE * s * float(units.scale.mean()) / units.scale
    return (_gradients(net, units, xi + move) - _gradients(net, units, xi - move)) * units.scale


def _keep_better(top: Array, most: Array, xi: Array, value: Array) -> None:
    better = value > most
    top[better], most[better] = xi[better], value[better]
