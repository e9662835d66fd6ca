"""Walks through regions: patterns' gradients are points' gradients, neighbours exist, and the walk climbs."""

import re
from itertools import pairwise

import numpy as np
import pytest
import scipy.io

from hr2jax import Layer, Network
from hr2jax.lower import attained, search
from hr2jax.lower.effort import Effort
from hr2jax.lower.regions.regions import values
from hr2jax.lower.regions.units import build_units
from hr2jax.lower.regions.walk import Walk
from hr2jax.problem import checked_problem

from ...reference.data import shared


def chain(seed=0, widths=(4, 7, 7, 1)):
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((m, n)) for n, m in pairwise(widths)]
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
    """ExLipBaB's abalone 9-16-16-1, norm 2, everywhere: annealing of points ended at 11.01."""
    folder = shared("data", "peers", "exlipbab")
    cells = [
        scipy.io.loadmat(folder / f"abalone_net_9x16x16x1_ReLU_{name}.mat")[name].ravel()
        for name in ("weights", "biases")
    ]
    net = Network([np.asarray(A, float) for A in cells[0]], [np.ravel(b).astype(float) for b in cells[1]])
    lower, witness = search(net, checked_problem(net, norm=2), points=100_000)
    assert lower >= 11.1216 == pytest.approx(published("abalone_net_9x16x16x1_ReLU"), rel=1e-5)
    assert np.abs(witness).max() < 100


def published(name):
    """The constant that a peer's authors give."""
    text = shared("reference", "peers.json").read_text()
    return float(re.search(rf'"{name}": ([0-9.]+)', text).group(1))
