"""The search for networks of any depth, both norms: points by ascent and annealing, walks through regions, a tree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ... import graph
from ...arithmetic.float64 import Array
from ...network import Network
from ...problem import Problem
from ..attained import attained_unchecked
from ..effort import Effort
from .ascent import Ascent
from .regions import inner_point, region_rows, values
from .tree import WIDEST, Tree
from .units import Units, build_units
from .walk import Walk

FEW = 60  # so many neurons are searched exhaustively, with half of the effort before any ascent
TINY = 12  # so many before anything else: that takes less than walks through the same regions
WALKED, STARTS = 300, 3  # up to so many neurons, regions are walked through, at first from so many points
SAMPLES = 1024
STEPS, MOVES = 80, 120  # of the first round; every round has twice as many as the one before, up to
DOUBLINGS = 4
ROUNDS = 40
STALE_ROUNDS = 3  # rounds without progress before the search ends early
REACH = (10.0, 1.0, 100.0)  # global problems: how far out points are sought, round by round
OFFERS = 6  # points of a round worth proving
MARGINS = (1e-3, 1e-5, 1e-7)
CORNER = 200_000  # the largest region, rows times inputs, whose inside is worth a program


def search_deep(
    net: Network,
    problem: Problem,
    *,
    effort: Effort,
    seed: int = 0,
    points: Sequence[Array] = (),
    patterns: Sequence[Array] = (),
) -> tuple[float, Array]:
    """`search` for any depth and norm; points (p_0,) and patterns (neurons,) bool to start from."""
    with np.errstate(all="ignore"):
        units = build_units(net, problem)
        best = _Best(net, units)
        best.offer(units.center)
        for x in points:
            best.offer(units.point(units.locate(x)) if units.bounded else x)
        for pattern in patterns:
            if not effort.is_over():
                best.offer_pattern(np.split(pattern, np.cumsum(net.widths[1:-2])))
        if np.isfinite(units.scale).all() and problem.coefficients.any() and net.structure.masked:
            _search(best, effort, seed, list(points))
    return best.lower, best.witness


class _Best:
    """The best proved point so far."""

    def __init__(self, net: Network, units: Units):
        self.net, self.units = net, units
        self.lower = 0.0
        self.witness = units.center.copy()
        self.tried: set[bytes] = set()

    def offer(self, x: Array) -> float:
        """Prove what x (p_0,) attains, moved off a kink if need be; the best bound so far."""
        if not np.isfinite(x).all():
            return self.lower
        value = float(values(self.net, self.units, x[None])[0])
        if not value > self.lower * (1 + 1e-13):
            return self.lower
        if self._prove(x) < value * (1 - 1e-9):
            self._off_the_kink(x)
        return self.lower

    def offer_many(self, region: Units, xi: Array, count: int) -> None:
        """The most valuable of the points that xi (k, n) means in units of `region`, no two of one value."""
        found = values(self.net, region, region.points(xi))
        found = np.where(np.isfinite(found), found, 0.0)
        unit = float(found.max(initial=0.0))
        if unit <= self.lower * (1 + 1e-13):
            return
        _, first = np.unique(np.round(found / unit, 9), return_index=True)
        for i in first[::-1][:count]:
            self.offer(region.point(xi[i]))

    def offer_pattern(self, pattern: list[Array]) -> None:
        """A point whose neurons are on and off as in pattern (bool (p_l,) per layer), if there is one."""
        G, h = region_rows(self.net, self.units, pattern)
        if G.size > CORNER or not (np.isfinite(G).all() and np.isfinite(h).all()):
            return
        for margin in MARGINS:
            xi = inner_point(G, h, self.units, margin)
            if xi is not None:
                self.offer(self.units.point(xi))
                return

    def _prove(self, x: Array) -> float:
        lower = attained_unchecked(self.net, self.units.problem, x)
        if lower > self.lower:
            self.lower, self.witness = lower, x
        return lower

    def _off_the_kink(self, x: Array) -> None:
        """Points beside x, and one further inside the region that x is in."""
        units = self.units
        pattern = [layer[0] for layer in graph.switches(self.net.layers[:-1], x[None])]
        key = b"".join(layer.tobytes() for layer in pattern)
        if key in self.tried:
            return
        self.tried.add(key)
        xi = (x[units.free] - units.center[units.free]) / units.scale
        aim = 0.5 * units.random(1, np.random.default_rng(0))[0]
        for step in (1e-10, 1e-8, 1e-6, 1e-4):
            self._prove(units.point(xi + step * (aim - xi)))
        G, h = region_rows(self.net, units, pattern)
        if G.size <= CORNER and np.isfinite(G).all() and np.isfinite(h).all():
            for margin in MARGINS:
                inner = inner_point(G, h, units, margin)
                if inner is not None:
                    self._prove(units.point(inner))
                    return


def _search(best: _Best, effort: Effort, seed: int, points: list[Array]) -> None:
    net, units = best.net, best.units
    hidden = net.widths[1:-1]
    is_small = net.is_chain and max(hidden) <= WIDEST and sum(hidden) <= FEW
    sampled = _sampled(best, effort, seed)
    walks, is_tiny = sum(hidden) <= WALKED, is_small and sum(hidden) <= TINY
    if is_tiny and _tree(best, effort, effort.share(0.5), sampled):
        return
    if walks:
        _walk(best, effort, np.random.default_rng(seed), units.points(sampled), STARTS)
    if is_small and not is_tiny and _tree(best, effort, effort.share(0.5), sampled):
        return
    stale, ascent = 0, None
    starts = [units.locate(x) for x in points]
    for turn in range(ROUNDS):
        if effort.is_over() or stale >= STALE_ROUNDS:
            break
        before = best.lower
        random = np.random.default_rng([seed, turn])
        if not units.bounded:
            region, ascent = build_units(net, best.units.problem, REACH[turn % len(REACH)]), None
            starts = [region.locate(best.witness)]
        else:
            region = units
        if ascent is None:
            ascent = Ascent(net, region, effort)
        start = region.random(ascent.points, random)
        found = ascent.ascend(start, STEPS * 2 ** min(turn, DOUBLINGS))
        best.offer_many(region, found, OFFERS)
        if effort.is_over():
            break
        # The better half goes on twice; what is best of all joins.
        order = np.argsort(-values(net, region, region.points(found)), kind="stable")
        start = np.concatenate([found[order[: (len(order) + 1) // 2]]] * 2)[: len(found)]
        known = [*starts, region.locate(best.witness)][-4:]
        start[-len(known) :] = known
        found = ascent.anneal(random, start, MOVES * 2 ** min(turn, DOUBLINGS))
        best.offer_many(region, found, OFFERS)
        if walks:  # from this turn's best: walks from the same region come to the same one
            _walk(best, effort, random, region.points(found), 1)
        starts = []
        stale = stale + 1 if best.lower <= before * (1 + 1e-9) and turn >= DOUBLINGS else 0
    if is_small and not effort.is_over():
        _tree(best, effort, effort.share(1.0), _known(best, sampled))


def _walk(best: _Best, effort: Effort, random: np.random.Generator, x: Array, count: int) -> None:
    """Walk from the `count` most valuable of the points x (k, p_0), no two of one value, then from as many others.

    The best of many samples lie near each other, in the reach of one local maximum.
    """
    net, units = best.net, best.units
    found = values(net, units, x)
    found = np.where(np.isfinite(found), found, 0.0)
    _, first = np.unique(np.round(found / max(float(found.max(initial=0.0)), 1e-300), 6), return_index=True)
    walk = Walk(net, units, effort, best.offer)
    for i in [*first[::-1][:count], *range(min(count, len(x)))]:
        if not effort.is_over():
            walk.climb(x[i], random)


def _sampled(best: _Best, effort: Effort, seed: int) -> Array:
    """Random points (SAMPLES, n) in units of the problem, globally at many distances; the best are offered."""
    units, random = best.units, np.random.default_rng(seed)
    xi = units.random(SAMPLES, random)
    effort.spend(SAMPLES)
    if not units.bounded:
        xi *= 10.0 ** random.uniform(-1.5, 2.5, (SAMPLES, 1))
    best.offer_many(units, xi, OFFERS)
    return xi


def _known(best: _Best, sampled: Array) -> Array:
    units = best.units
    return np.vstack([sampled, (best.witness[units.free] - units.center[units.free]) / units.scale])


def _tree(best: _Best, whole: Effort, effort: Effort, points: Array) -> bool:
    """Whether every region that could beat the best one was visited; what it spends is spent of the whole."""
    done = Tree(best.net, best.units, effort, best.offer, points).run()
    whole.spend(effort.spent)
    whole.is_complete |= done
    return done
