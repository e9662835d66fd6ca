"""The search for a counterexample: signed gradient descent on how far a case is from being met. NumPy alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from .. import graph
from ..arithmetic.float64 import Array
from ..domain import Box
from ..machine.stopping import check
from ..proof.point import known
from ..proof.question import Area, Question

ENTRIES = 5_000_000  # points times inequalities, and weights times points, of one step
FEWEST, MOST = 16, 256  # points of a round
SHORT, STEPS = 15, 40  # of a first round, and of others
LAST = 0.01  # the last step, in units of the first
OFFERS = 4  # points of a round worth proving
CLOSE = 1e-6  # a case that is missed by less, relative to its own size, may be met: exact arithmetic decides


class Attack:
    """The search in one area, for some of its cases.

    Attributes:
        known: by case, the points (p_0,) that came closest to it, one of each round.
        closest: (C,) by how much the best of them miss.
        rounds: how many points each case has begun from.
    """

    def __init__(self, asked: Question, area: Area, cases: Sequence[int], seed: int):
        self.asked, self.area, self.cases = asked, area, list(cases)
        width = asked.wide.widths[-1]
        floats = [area.cases[c].floats(width) for c in self.cases]
        counts = np.array([len(h) for _, h in floats])
        self.M = np.concatenate([np.zeros((0, width)), *(M for M, _ in floats)])
        self.h = np.concatenate([np.zeros(0), *(h for _, h in floats)])
        self.first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
        # (C, r) the inequalities of each case, the last one repeated
        at = np.minimum(np.arange(counts.max(initial=1)), counts[:, None] - 1)
        self.rows = self.first[:, None] + np.maximum(at, 0)
        self.random = np.random.default_rng(seed)
        self.known: list[list[Array]] = [[] for _ in self.cases]
        self.rounds = 0
        self.closest = np.full(len(self.cases), np.inf)

    def round(self, is_over: Callable[[], bool], steps: int = STEPS) -> tuple[Fraction, ...] | None:
        """A counterexample, or None: descents from random points, the middle and corners among them."""
        if not self.cases:
            return None
        if not len(self.M) or (np.diff([*self.first, len(self.M)]) == 0).any():  # a case that all of the box meets
            return self.offer(self.area.domain.center)
        weights = sum(int(getattr(A, "nnz", A.size)) for layer in self.asked.wide.layers for A in layer.inputs.values())
        count = int(np.clip(ENTRIES // max(len(self.M), weights, 1), FEWEST, MOST))
        if len(self.cases) <= count:
            which = np.resize(np.arange(len(self.cases)), count)
        else:
            which = self.random.choice(len(self.cases), count, replace=False)
        box = self.area.domain
        x, width = self._starts(which), _width(box)  # the first step leads to a corner
        best, worst = x.copy(), np.full(len(x), np.inf)
        with np.errstate(all="ignore"):
            for step in range(steps + 1):
                check()
                G = self.asked.wide(x)
                own = np.take_along_axis(G @ self.M.T - self.h, self.rows[which], axis=1)
                missed = own.max(axis=1)
                closer = missed < worst
                best[closer], worst[closer] = x[closer], missed[closer]
                if step == steps or is_over() or (worst < 0).any():
                    break
                top = self.M[self.rows[which, own.argmax(axis=1)]]
                gradient = graph.pull_back(self.asked.wide.layers, graph.masks(self.asked.wide.layers[:-1], x), top)
                gradient = np.broadcast_to(gradient, x.shape)
                x = np.clip(x - width * LAST ** (step / steps) * np.sign(gradient), box.low, box.high)
        for c in set(which.tolist()):
            mine = np.flatnonzero(which == c)
            self.known[c].append(best[mine[np.argmin(worst[mine])]])
            self.closest[c] = min(self.closest[c], float(worst[mine].min()))
        order = np.argsort(worst, kind="stable")[:OFFERS]
        scale = CLOSE * (1.0 + np.abs(self.h).max(initial=0.0))
        for p in order:
            if worst[p] <= scale and (found := self.offer(best[p])) is not None:
                return found
        return None

    def _starts(self, which: Array) -> Array:
        """(n, p_0) points to begin from, of four kinds in turn, so that each case has all of them in a few rounds.

        Points between the lower and the upper ends, all inputs alike (where gradients vanish on much of the box, an end
        may be the one place to begin from), random corners, random points, and what is beside points that came close.
        """
        box = self.area.domain
        n, p = len(which), len(box.low)
        seen = self.rounds + np.arange(n) // max(len(self.cases), 1)
        self.rounds += 1 + (n - 1) // max(len(self.cases), 1)
        ends = np.array([0.0, 1.0, 0.5])[seen // 4 % 3][:, None]
        between = np.where((seen < 12)[:, None], ends, self.random.random((n, 1)))
        corners = self.random.random((n, p)) < 0.5
        inside = self.random.random((n, p))
        share = np.where((seen % 4 == 0)[:, None], between, np.where((seen % 4 == 1)[:, None], corners, inside))
        x = box.low + share * _width(box)
        for i in np.flatnonzero(seen % 4 == 3).tolist():
            if known_points := self.known[which[i]]:
                x[i] = known_points[-1] + 0.1 * (x[i] - box.center)
        return np.clip(x, box.low, box.high)

    def offer(self, x: Array) -> tuple[Fraction, ...] | None:
        """The counterexample that x (p_0,) float64 means, exactly within the bounds, or None."""
        return offered(self.asked, self.area, x)

    def points(self, case: int) -> Array:
        """(k, p_0) the points that came close to a case, by its number in the area."""
        found = self.known[self.cases.index(case)] if case in self.cases else []
        return np.array(found).reshape(len(found), len(self.area.domain.low))


def _width(box: Box) -> Array:
    """(p_0,) of each side; of one beyond float64 the largest number that there is."""
    with np.errstate(over="ignore"):
        return np.minimum(box.high - box.low, np.finfo(np.float64).max)


def offered(asked: Question, area: Area, x: Array) -> tuple[Fraction, ...] | None:
    """The proved counterexample that x (p_0,) float64 means: of float32 numbers if they will do, or None."""
    check()
    center = area.domain.center
    tries: list[tuple[Fraction, ...]] = []
    with np.errstate(all="ignore"):
        single = x.astype(np.float32).astype(np.float64)
        near = [np.round(x, digits) for digits in (6, 3)]  # where a kink is to be met exactly
        inward = x + 1e-6 * (center - x)
    for point in (single, x, inward, *near):
        exact = within(area, np.where(np.isfinite(point), point, np.where(np.isfinite(x), x, center)))
        if exact not in tries:
            tries.append(exact)
    for exact in tries:
        if known(asked.net, asked.prop.formula, exact) is True:
            return exact
    return None


def within(area: Area, x: Array) -> tuple[Fraction, ...]:
    """x (p_0,), its entries beyond the region's exact ends replaced by float64 numbers within, or else these ends."""
    out = []
    for v, low, high in zip(x.tolist(), area.region.low, area.region.high, strict=True):
        value = Fraction(v)
        if not low <= value <= high:
            end, inward = (low, np.inf) if value < low else (high, -np.inf)
            near = float(end)
            if not low <= Fraction(near) <= high:
                near = float(np.nextafter(near, inward))
            value = Fraction(near) if low <= Fraction(near) <= high else end
        out.append(value)
    return tuple(out)
