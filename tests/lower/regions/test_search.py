"""The search at any depth and for norm 2: never above the exact constant, and nearly always equal to it."""

from itertools import pairwise

import numpy as np
import pytest

from hr2jax import Network, graph
from hr2jax.lower import attained, search
from hr2jax.lower.regions import search as deep
from hr2jax.problem import checked_problem

from ...reference.brute import exact_constant
from ...reference.effort import FULL
from ...reference.regions import random_network, random_problem

HIDDEN = [(4,), (4, 4), (3, 4, 3), (3, 3, 3, 3), (6, 6, 6), (5, 5, 5, 5)]


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("local", [False, True])
def test_the_exact_value_of_small_networks_is_found(norm, local):
    found, count = 0, 0
    for seed in range(3 if FULL else 1):
        for hidden in HIDDEN:
            if len(hidden) == 1 and norm == "inf":
                continue  # test_search.py
            rng = np.random.default_rng([seed, len(hidden)])
            net = random_network(rng, hidden, int(rng.integers(2, 6)), 2)
            problem = random_problem(rng, net, norm, local, radius=0.7)
            lower, witness = search(net, problem, seconds=4.0, seed=seed)
            assert lower == attained(net, problem, witness)
            assert problem.domain.contains(witness)
            exact = exact_constant(net, problem)
            assert lower <= exact * (1 + 1e-9)
            found += lower >= 0.999 * exact
            count += 1
    assert found >= 0.95 * count


@pytest.mark.parametrize("local", [False, True])
def test_points_alone_come_close(monkeypatch, local):
    monkeypatch.setattr(deep, "FEW", 0)  # no tree: what larger networks get
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        net = random_network(rng, (6, 6), 4)
        problem = random_problem(rng, net, 2 if local else "inf", local)
        exact = exact_constant(net, problem)
        lower, _ = search(net, problem, points=200_000, seed=seed)
        assert lower <= exact * (1 + 1e-9)
        ratios.append(lower / exact)
    assert np.mean(ratios) >= 0.97


def test_uneven_and_tied_weights_are_searched_without_harm():
    for seed, kind in enumerate(["uneven", "ties", "uneven", "ties"]):
        rng = np.random.default_rng(seed)
        net = random_network(rng, (3, 3, 3), 3, 1, kind)
        for norm, local in (("inf", True), (2, True), (2, False)):
            problem = random_problem(rng, net, norm, local)
            lower, witness = search(net, problem, seconds=1.0)
            assert lower == attained(net, problem, witness)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_kink_is_not_taken_for_a_slope(norm):
    """ReLU(y+5) - ReLU(y) + ReLU(-y) of y = ReLU(x+9) - 9: constant on [-1, 1] though the formal gradient at 0 is 1."""
    A, C = np.array([[1.0], [1.0], [-1.0]]), np.array([[1.0, -1.0, 1.0]])
    net = Network([np.ones((1, 1)), A, C], [np.full(1, 9.0), np.array([5.0, 0.0, 0.0]) - 9.0 * A[:, 0], np.zeros(1)])
    problem = checked_problem(net, norm=norm, center=np.zeros(1), radius=1.0)
    lower, witness = search(net, problem, seconds=2.0, starts=[np.zeros(1)])
    assert lower <= 1e-12
    assert problem.domain.contains(witness)
    assert exact_constant(net, problem) <= 1e-12
    wide = checked_problem(net, norm=norm, center=np.zeros(1), radius=7.0)
    assert search(net, wide, seconds=2.0)[0] == pytest.approx(1.0, rel=1e-12)


def test_only_the_inputs_that_move_count():
    rng = np.random.default_rng(0)
    net = random_network(rng, (4, 4), 3)
    problem = checked_problem(net, center=np.zeros(3), radius=np.array([0.5, 0.0, 0.5]))
    lower, witness = search(net, problem, seconds=2.0)
    assert witness[1] == 0.0
    assert exact_constant(net, problem) * 0.999 <= lower <= exact_constant(net, problem) * (1 + 1e-9)


def test_no_time_gives_a_point_of_the_domain():
    net = random_network(np.random.default_rng(1), (20, 20), 5)
    problem = checked_problem(net, norm=2, center=np.ones(5), radius=0.3)
    lower, witness = search(net, problem, seconds=0.0)
    assert lower >= 0.0
    assert problem.domain.contains(witness)


def test_starts_are_used():
    net = random_network(np.random.default_rng(2), (4, 4), 3)
    problem = checked_problem(net, norm=2, center=np.zeros(3), radius=1.0)
    best, witness = search(net, problem, seconds=2.0)
    assert search(net, problem, seconds=0.0, starts=witness[None])[0] >= best * (1 - 1e-9)
    pattern = np.concatenate([layer[0] for layer in graph.masks(net.layers[:-1], witness[None])])
    assert search(net, problem, seconds=0.5, starts=[pattern])[0] >= best * (1 - 1e-9)
    with pytest.raises(ValueError, match="pattern"):
        search(net, problem, seconds=1.0, starts=[np.ones(4, dtype=bool)])


def test_points_are_counted_and_equal_searches_are_equal(monkeypatch):
    """More points never find less of the same seed's first rounds; a deadline that is not met changes nothing."""
    monkeypatch.setattr(deep, "FEW", 0)
    net = random_network(np.random.default_rng(0), (11, 7), 3)
    problem = checked_problem(net, norm=2)
    few, again, later = (search(net, problem, points=5000, seconds=s) for s in (np.inf, np.inf, 1e6))
    assert few[0] == again[0] == later[0] > 0
    np.testing.assert_array_equal(few[1], again[1])
    assert search(net, problem, points=50_000)[0] >= few[0]


def test_twenty_layers():
    rng = np.random.default_rng(0)
    widths = [12] * 21 + [1]
    net = Network([rng.standard_normal((m, n)) * np.sqrt(2 / n) for n, m in pairwise(widths)],
                  [0.1 * rng.standard_normal(m) for m in widths[1:]])  # fmt: skip
    problem = checked_problem(net)
    sampled = np.abs(net.gradient(rng.standard_normal((2000, 12)))).sum(axis=1).max()
    lower, witness = search(net, problem, seconds=1.0)
    assert lower == attained(net, problem, witness)
    assert lower >= sampled
