"""Walks through regions: patterns' gradients are points' gradients, neighbours exist, and the walk climbs."""

import numpy as np
import pytest

from hr2jax import Layer, Network
from hr2jax.lower import attained, search
from hr2jax.lower.effort import Effort
from hr2jax.lower.regions.regions import values
from hr2jax.lower.regions.units import build_units
from hr2jax.lower.regions.walk import Walk
from hr2jax.problem import checked_problem


def chain(seed=0, widths=(4, 7, 7, 1)):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((m, n)) for n, m in zip(widths, widths[1:], strict=False)]
    return Network(weights, [0.5 * rng.standard_normal(len(A)) for A in weights])


def residual(seed=0):
    rng = np.random.default_rng(seed)

    def layer(p, activation, *inputs):
        return Layer({k: rng.standard_normal((p, n)) for k, n in inputs}, 0.5 * rng.standard_normal(p), activation)

    return Network.from_layers([
        layer(5, "leaky_relu", (0, 4)), layer(5, "identity", (1, 5), (0, 4)), layer(4, "abs", (2, 5), (0, 4)),
        layer(1, "identity", (3, 4), (0, 4)),
    ])  # fmt: skip


CASES = pytest.mark.parametrize("net", [chain(), residual()], ids=["chain", "residual"])
DOMAINS = pytest.mark.parametrize("local", [False, True], ids=["global", "local"])


def walk(net, norm, local, offer):
    problem = checked_problem(net, None, norm, **({"center": np.full(4, 0.1), "radius": 0.9} if local else {}))
    units = build_units(net, problem)
    return problem, units, Walk(net, units, Effort(net, 20_000), offer)


@CASES
@DOMAINS
@pytest.mark.parametrize("norm", ["inf", 2])
def test_what_a_pattern_is_worth_is_what_its_points_are(net, norm, local):
    _, units, way = walk(net, norm, local, lambda _: 0.0)
    x = units.points(units.random(30, np.random.default_rng(1)))
    patterns = np.array([way.pattern(point) for point in x])
    np.testing.assert_allclose(way.values(patterns), values(net, units, x), rtol=1e-10)


@CASES
@DOMAINS
@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_walk_ends_at_least_where_it_began_and_all_its_points_are_of_the_domain(net, norm, local):
    seen = []
    problem, units, way = walk(net, norm, local, lambda x: seen.append(x) or 0.0)
    start = units.points(units.random(1, np.random.default_rng(2)))[0]
    way.climb(start, np.random.default_rng(3))
    assert seen and all(problem.domain.contains(x) for x in seen)
    assert values(net, units, np.array(seen)).max() >= values(net, units, start[None])[0]
    assert max(attained(net, problem, x) for x in seen) > 0
    patterns = {way.pattern(x).tobytes() for x in seen}
    assert len(patterns) > 0.9 * len(seen)  # each region has its own point


def test_nothing_is_spent_beyond_the_effort():
    net = chain()
    units = build_units(net, checked_problem(net))
    effort = Effort(net, 500)
    Walk(net, units, effort, lambda _: 0.0).climb(np.zeros(4), np.random.default_rng(0))
    assert effort.spent < 2000


def test_a_published_network_attains_what_its_authors_have():
    """abalone-like: annealing of points ended 1 % below what the walk finds, with a hundred times the points."""
    net = chain(5, (9, 16, 16, 1))
    problem = checked_problem(net, norm=2)
    few = search(net, problem, points=37_000)[0]
    assert few >= (1 - 1e-9) * search(net, problem, points=300_000, seed=1)[0] * 0.995
