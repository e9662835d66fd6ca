"""The search over patterns and the points that realise them, one hidden layer."""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ...network import Network
from ...problem import Problem
from ..attained import attained_unchecked
from ..deepest import deepest
from ..effort import Effort
from .branch import branch
from .cells import Cells, build_cells
from .climb import climb
from .patterns import PatternSearch
from .points import PointSearch
from .realise import elastic, least_squares

FEW = 14  # so many neurons are searched exhaustively first
ROUNDS = 40
STALE_ROUNDS = 4  # rounds without progress before the search ends early
REACH = (30.0, 3.0, 300.0)  # global problems: how far out points are sought, round by round


class Best:
    """The best proved point so far."""

    def __init__(self, net: Network, problem: Problem, cells: Cells):
        self.net, self.problem, self.cells = net, problem, cells
        self.lower, self.value = 0.0, 0.0
        self.witness = cells.center.copy()

    def offer_point(self, x: Array) -> float:
        """Prove what x (p_0,) attains; keep it if it is more than the best. Returns what x attains."""
        lower = attained_unchecked(self.net, self.problem, x)
        if lower > self.lower:
            self.lower, self.witness = lower, x
        return lower

    def offer(self, xi: Array) -> float:
        """The same for xi (n,) in the box of `cells`, moved off a kink if need be; returns the best bound."""
        value = float(self.cells.value(self.cells.pattern(xi)))
        if value <= self.value:
            return self.lower
        self.value = max(self.lower, value)
        lower = self.offer_point(self.cells.point(xi))
        if lower < value * (1 - 1e-9):
            self._off_the_kink(xi)
            self.value = self.lower
        return self.lower

    def _off_the_kink(self, xi: Array) -> None:
        random = np.random.default_rng(0)
        aim = random.uniform(-0.5, 0.5, xi.shape)
        for step in (1e-9, 1e-7, 1e-5, 1e-3):
            self.offer_point(self.cells.point(xi + step * (aim - xi)))
        cells = self.cells
        inside = deepest(cells.A, cells.b, 2.0 * cells.pattern(xi) - 1.0)
        if inside is not None and inside[0] > 0:
            self.offer_point(cells.point(inside[1]))


def search_cells(best: Best, effort: Effort, seed: int, points: list[Array], wanted: list[Array]) -> None:
    """Improve `best` until all is spent."""
    cells = best.cells
    m, n = cells.A.shape
    if m <= FEW and branch(cells, effort, best.offer):
        effort.is_complete = True
        return
    annealer = PatternSearch(cells, effort)
    nearest = least_squares(cells, effort)
    free_patterns = False  # whether the best patterns can be had: then nothing but patterns is searched
    ascent: PointSearch | None = None
    starts = list(points)
    stale = 0
    for turn in range(ROUNDS):
        if effort.is_over() or stale > STALE_ROUNDS:
            return
        before = best.lower
        random = np.random.default_rng([seed, turn])
        if turn and not best.problem.is_local and not free_patterns:
            cells = _move_to(best, turn)
            annealer.cells, ascent = cells, None
        if turn == 0 or free_patterns or not best.problem.is_local:
            switches = 100 * m * 2 ** min(turn, 4) if free_patterns else 40 * m
            start = random.integers(0, 2, (annealer.chains, m)).astype(np.float64)
            tops = annealer.run(start, None, random, switches)
            tops = tops[np.argsort(-cells.value(tops), kind="stable")]
            given = [p[cells.neurons].astype(np.float64) for p in wanted] if turn == 0 else []
            for pattern in [*given, *tops[:1]]:
                if cells.value(pattern) <= best.lower * (1 + 1e-9):
                    continue
                xi = nearest(pattern)
                if xi is not None:
                    best.offer(xi)
                    starts.append(xi)
                if best.lower < (1 - 1e-6) * float(cells.value(pattern)):
                    xi = elastic(cells, pattern, None, softness=1.0, effort=effort)
                    if xi is not None:
                        best.offer(xi)
                        starts.append(xi)
            if turn == 0:
                free_patterns = best.lower >= (1 - 1e-6) * float(cells.value(tops[0]))
        if not free_patterns:
            if ascent is None:
                ascent = PointSearch(cells, effort)
            found = ascent.run(random.uniform(-1.0, 1.0, (ascent.points, n)))
            for xi in _distinct(cells, [*starts, *found], 2):
                best.offer(xi)
                best.offer(climb(cells, annealer, xi, random, effort, best.offer))
            starts = []
        stale = stale + 1 if best.lower <= before * (1 + 1e-9) else 0


def _move_to(best: Best, turn: int) -> Cells:
    """Seek the points of a global problem nearer or farther out than in the turn before."""
    best.cells = build_cells(best.net, best.problem, REACH[turn % len(REACH)])
    return best.cells


def _distinct(cells: Cells, points: list[Array], count: int) -> list[Array]:
    """The `count` most valuable of `points`, no two of one value."""
    values = cells.value(np.array([cells.pattern(xi) for xi in points]))
    _, first = np.unique(np.round(values / cells.unit, 6), return_index=True)
    return [points[i] for i in first[::-1][:count]]
