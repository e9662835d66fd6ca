"""Ascent over points of a box: its slope is that of differences, and it climbs."""

import numpy as np

from hr2jax import Network
from hr2jax.lower.cells.cells import build_cells
from hr2jax.lower.cells.patterns import PatternSearch
from hr2jax.lower.cells.points import PointSearch
from hr2jax.lower.effort import Effort
from hr2jax.problem import checked_problem


def cells_of(m=9, n=5):
    rng = np.random.default_rng(0)
    net = Network([rng.standard_normal((m, n)), rng.standard_normal((1, m))], [rng.standard_normal(m), np.zeros(1)])
    return net, build_cells(net, checked_problem(net, center=np.zeros(n), radius=1.0))


def test_the_slope_is_that_of_differences():
    net, cells = cells_of()
    search = PointSearch(cells, Effort(net))
    search.A, search.b, search.B, search.g0 = cells.A, cells.b, cells.B, cells.g0
    x, width, step = np.random.default_rng(1).uniform(-1, 1, (4, 5)), 0.8, 1e-6

    def smooth(x):
        switch = 1 / (1 + np.exp(-(x @ cells.A.T + cells.b) / width))
        return np.abs(switch @ cells.B + cells.g0).sum(axis=1)

    slope = search.slope(x, width)
    for j in range(5):
        e = step * np.eye(5)[j]
        np.testing.assert_allclose(slope[:, j], (smooth(x + e) - smooth(x - e)) / (2 * step), rtol=1e-5, atol=1e-7)


def test_ascent_and_annealing_climb_and_stop_when_all_is_spent():
    net, cells = cells_of()
    random = np.random.default_rng(2)
    search, patterns = PointSearch(cells, Effort(net)), PatternSearch(cells, Effort(net))
    start = random.uniform(-1, 1, (search.points, 5))
    before, after = (np.mean([cells.value(cells.pattern(x)) for x in xs]) for xs in (start, search.run(start)))
    assert after > before
    first = random.integers(0, 2, (patterns.chains, len(cells.b))).astype(float)
    assert cells.value(patterns.run(first, None, random, 400)).mean() > cells.value(first).mean()
    spent = Effort(net, 0)
    np.testing.assert_array_equal(PatternSearch(cells, spent).run(first, None, random, 400), first)
    np.testing.assert_allclose(PointSearch(cells, spent).run(start), start, atol=1e-6)
