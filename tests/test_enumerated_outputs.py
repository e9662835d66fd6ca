"""All outputs of many random networks against the exact constants of their linear regions (bench/regions.py)."""

import sys
from pathlib import Path

import numpy as np
import pytest

import hr2jax

from .reference.effort import FULL
from .test_outputs import ALL_PAIRS, RELAXATIONS, formal_constant, operator_norm, random_network

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
regions = pytest.importorskip("regions")

NETWORKS, BLOCK = 2000, 100
EVERY = 100 if FULL else 200  # of all networks the lean suite takes one in so many: all norms, domains and relaxations
DOMAINS = ("everywhere", "box", 2, 1)
MOST_PATTERNS = 10  # neurons whose patterns are enumerated


def question(seed):
    """A network of one to three hidden layers of 2 to 8, norms, a domain and a relaxation."""
    rng = np.random.default_rng(seed)
    hidden = rng.integers(2, 9, rng.integers(1, 4))
    net = random_network(rng, tuple(int(n) for n in (rng.integers(2, 4), *hidden, rng.integers(2, 6))))
    p, q = ALL_PAIRS[seed % len(ALL_PAIRS)]
    shape = DOMAINS[seed // len(ALL_PAIRS) % len(DOMAINS)]
    relaxation = RELAXATIONS[seed // (len(ALL_PAIRS) * len(DOMAINS)) % len(RELAXATIONS)]
    center, radius = rng.normal(size=net.widths[0]), rng.uniform(0.1, 1.0, net.widths[0])
    if shape == "everywhere":
        return net, p, q, relaxation, {}
    domain = hr2jax.Box(center - radius, center + radius) if shape == "box" else hr2jax.Ball(center, radius[0], shape)
    return net, p, q, relaxation, {"domain": domain}


def check(seed):
    """No bound is below the largest norm of a region, none by patterns below the largest of those."""
    net, p, q, relaxation, where = question(seed)
    exact = regions.exact_constant(net, p, q, **where)
    result = hr2jax.solve(net, norm=p, output_norm=q, relaxation=relaxation, tol=1e-2, time_limit=5, **where)
    assert exact * (1 - 1e-12) <= result.bound, f"seed {seed}: {result.bound} below {exact}"
    assert result.lower <= exact * (1 + 1e-9), f"seed {seed}: {result.lower} above {exact}"
    assert result.certificate.verify(net) <= result.bound * (1 + 1e-9)
    if not where and relaxation != "hr2+" and sum(net.widths[1:-1]) <= MOST_PATTERNS:
        assert result.bound >= formal_constant(net, p, q) * (1 - 1e-12), f"seed {seed}"


def test_regions_of_a_network_whose_constant_is_known():
    net = hr2jax.Network([np.eye(2), [[1.0, -2.0], [0.5, 0.0]]], [np.zeros(2), np.zeros(2)])
    for p, q in ALL_PAIRS:
        on = operator_norm(np.array([[1.0, -2.0], [0.5, 0.0]]), p, q)
        assert regions.exact_constant(net, p, q) == pytest.approx(on)
        domain = hr2jax.Box([1.0, -2.0], [2.0, -1.0])  # where the second neuron is off
        off = operator_norm(np.array([[1.0, 0.0], [0.5, 0.0]]), p, q)
        assert regions.exact_constant(net, p, q, domain=domain) == pytest.approx(off)


@pytest.mark.parametrize("seed", range(0, NETWORKS, EVERY))
def test_no_bound_is_below_a_region(seed):
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(NETWORKS // BLOCK if FULL else 1))
def test_no_bound_of_many_networks_is_below_a_region(block):
    for seed in range(BLOCK * block, BLOCK * (block + 1)):
        check(seed)


@pytest.mark.parametrize("seed", range(18 if FULL else 3))
def test_a_matrix_of_one_row_has_the_bound_of_the_row(seed):
    """Whatever the output's norm is, of one value there is one answer."""
    net, p, q, relaxation, where = question(100 + 7 * seed)
    row = np.random.default_rng(seed).normal(size=net.widths[-1])
    options = {"norm": p, "relaxation": relaxation, "tol": 1e-2, **where}
    one = hr2jax.solve(net, output=row, **options)
    assert hr2jax.solve(net, output=row[None], output_norm=q, **options).bound == pytest.approx(one.bound, rel=1e-12)
