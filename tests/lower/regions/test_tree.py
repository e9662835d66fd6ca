"""The tree of regions: what it does not visit, and when it stops."""

import numpy as np

from hr2jax import Network
from hr2jax.lower.effort import Effort
from hr2jax.lower.regions.tree import Tree
from hr2jax.lower.regions.units import build_units
from hr2jax.problem import checked_problem


def overflowing(width=10):
    """Constant neurons whose values are infinity - infinity, under gradients that are as little known."""
    signs = np.random.default_rng(0).choice([-1e200, 1e200], (3, width, width))
    weights = [np.zeros((width, 3)), *signs, np.full((1, width), 1e200)]
    return Network(weights, [np.full(len(A), 1e200) for A in weights])


def tree(net, seconds, offer=lambda x: 0.0, points=1):
    units = build_units(net, checked_problem(net, norm=2))
    return Tree(net, units, Effort(net, seconds=seconds), offer, units.random(points, np.random.default_rng(0)))


def test_what_overflows_is_not_entered():
    """It visited 2^20 nodes and more, whatever the time limit: NaN <= best is false, and no program looked at it."""
    visited = 0

    def offer(x):
        nonlocal visited
        visited += 1
        return 0.0

    with np.errstate(all="ignore"):
        assert tree(overflowing(), 60.0, offer).run()
    assert visited < 1000


def test_the_clock_is_looked_at_where_points_are_known():
    """With points known in the regions no program ran, and only programs looked at the clock."""
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal((m, n)) for n, m in ((3, 6), (6, 6), (6, 1))]
    net = Network(weights, [rng.standard_normal(len(A)) for A in weights])
    assert tree(net, 30.0, points=2000).run()
    offers = []
    assert not tree(net, 0.0, lambda x: offers.append(x) or 0.0, points=2000).run()
    assert len(offers) == 1  # the center, before the first node
