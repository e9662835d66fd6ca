"""LipOpt-3 and LipOpt-4: the published rows, the whole linear program of a small case, and what is proved of it."""

import json
import math
import sys
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from hr2jax import Network
from hr2jax.certificate.krivine import KRIVINE, krivine_bound
from hr2jax.engines.lipopt.lipopt import solve_krivine
from hr2jax.engines.lipopt.pool import cliques, products_kind, triangles_kind
from hr2jax.problem import checked_problem
from hr2jax.result import Status
from tests.reference.effort import examples

from ...reference.data import shared
from ...reference.krivine import maximum, network, problem_of

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))
from exact import RADIUS, enumerated, mixed_integer, sampled, samples_of
from networks import published_network


def rows_of(method):
    rows = json.loads(shared("reference", "published_one_hidden.json").read_text())["rows"]
    return [r for r in rows if r["method"] == method]


def problem_of_row(row):
    net, center = published_network(row["p"], row["sparsity"], row["trial"])
    return net, checked_problem(net, **({"center": center, "radius": RADIUS} if row["range"] == "local" else {}))


def solved(net, problem, degree):
    value, multipliers, status = solve_krivine(net, problem, degree)
    assert status is Status.SOLVED
    bound = krivine_bound(net, problem, degree, multipliers)
    assert value * (1 - 1e-9) <= bound <= value * (1 + 1e-7) + 1e-12
    return bound


def whole_program(net, degree):
    """The published linear program, product by product: global, every clique {t_j} + its neurons and of neurons.

    minimise b with b - f = sum w h, w >= 0; products of fewer factors where a clique is smaller.
    """
    A, c = net.weights[0], net.weights[1][0]
    n, q = A.shape
    sets = [frozenset([j, *(q + i for i in np.flatnonzero(A[:, j]))]) for j in range(q)]
    adjacent = np.array([[i != k and (A[i] * A[k]).any() for k in range(n)] for i in range(n)])
    tuples = {t for s in sets for r in range(1, degree + 1) for t in combinations(sorted(s), r) if t[0] < q}
    tuples |= {
        tuple(q + i for i in t) for r in range(1, degree + 1) for t in combinations(range(n), r)
        if all(adjacent[i, k] for i, k in combinations(t, 2))
    }  # fmt: skip
    f: dict[tuple, float] = {}
    for j in range(q):
        f[(j,)] = (c * A[:, j]).sum() / 2
        for i in np.flatnonzero(A[:, j]):
            f[(j, q + i)] = c[i] * A[i, j] / 2
    names = {(): 0}
    for t in sorted(tuples):
        names.setdefault(t, len(names))
    columns = []
    for t in tuples:
        for signs in product((1, -1), repeat=len(t)):
            column = np.zeros(len(names))
            for r in range(len(t) + 1):
                for chosen in combinations(range(len(t)), r):
                    column[names[tuple(t[k] for k in chosen)]] = math.prod(signs[k] for k in chosen)
            columns.append(column)
    matrix, target = np.array(columns).T, np.zeros(len(names))
    for t, value in f.items():
        target[names[t]] = -value
    # b is the constant coefficient of sum w h
    solution = linprog(matrix[0], A_eq=matrix[1:], b_eq=target[1:], method="highs")
    assert solution.status == 0
    return solution.fun


@pytest.mark.parametrize("degree", [3, 4])
@pytest.mark.parametrize("seed", range(4))
def test_the_whole_program_has_the_same_value(degree, seed):
    net = network(seed, 4, 5, density=0.7)
    assert solved(net, checked_problem(net), degree) == pytest.approx(whole_program(net, degree), rel=1e-6)


@pytest.mark.parametrize("degree", [3, 4])
@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 10**6), local=st.booleans())
def test_above_the_maximum(degree, seed, local):
    net = network(seed, 4, 6, density=0.6)
    problem = problem_of(net, local)
    assert solved(net, problem, degree) >= maximum(net, problem)


@settings(max_examples=examples(20), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_degree_four_is_no_looser(seed):
    net = network(seed, 4, 6)
    problem = checked_problem(net)
    assert solved(net, problem, 4) <= solved(net, problem, 3) * (1 + 1e-6)


@pytest.mark.parametrize("p", [10, 20])
def test_published_degree_three(p):
    """Global rows to 1e-7. Local ones were unconverged in places: above what the same program proves, or too low."""
    others = {(r["p"], r["sparsity"], r["trial"], r["range"]): r["published"] for r in rows_of("lower-sampled")}
    rows = [r for r in rows_of("lipopt3") if r["p"] == p and (p == 10 or r["trial"] < 2 or r["range"] == "local")]
    assert len(rows) >= 30
    wrong = 0
    for row in rows:
        relative = solved(*problem_of_row(row), 3) / row["published"] - 1
        if row["range"] == "global":
            assert abs(relative) < 1e-7
        elif abs(relative) >= 1e-6:
            # the published value is not the program's: ours is lower and proved, or theirs is below a gradient norm
            attained = others[row["p"], row["sparsity"], row["trial"], row["range"]]
            assert relative < 0 or row["published"] < attained
            wrong += 1
    assert wrong <= 2


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["global", "local"])
def test_published_degree_three_at_forty(domain):
    for row in rows_of("lipopt3"):
        if (row["p"], row["range"]) == (40, domain) and row["trial"] < 2:
            relative = solved(*problem_of_row(row), 3) / row["published"] - 1
            assert relative < (1e-7 if domain == "global" else 1e-5)
            assert domain == "local" or relative > -1e-7


def test_published_degree_four():
    """At sparsity 4 the published program lacks monomials of f and its values are no bounds; ours are."""
    below = 0
    for row in rows_of("lipopt4"):
        if row["p"] != 10 or row["trial"] > 2:
            continue
        net, problem = problem_of_row(row)
        bound, truth = solved(net, problem, 4), enumerated(net, problem)
        assert bound >= truth
        if row["published"] < truth * (1 - 1e-6):
            assert row["sparsity"] == 4
            below += 1
        elif row["range"] == "global":
            assert bound == pytest.approx(row["published"], rel=1e-7)
    assert below >= 3


def test_mixed_integer_and_enumeration_agree():
    for sparsity, domain in product((4, 12, 20), ("global", "local")):
        net, center = published_network(10, sparsity, 1)
        problem = checked_problem(net, **({"center": center, "radius": RADIUS} if domain == "local" else {}))
        truth, found = enumerated(net, problem), mixed_integer(net, problem)
        assert found.status == "OPTIMAL"
        assert found.value == pytest.approx(truth, rel=1e-9)
        assert found.claimed_bound == pytest.approx(truth, rel=1e-6)
        if domain == "local":
            assert sampled(net, center, RADIUS, 2000) <= truth * (1 + 1e-12)


def test_sampled_as_published():
    """Some published rows are met by many points: the samples' domains are [0, 10]^p and the box of radius 0.1."""
    by = {(r["range"], r["sparsity"], r["trial"]): r["published"] for r in rows_of("lower-sampled") if r["p"] == 10}
    for sparsity, trial in ((4, 0), (8, 1), (20, 1)):
        net, center = published_network(10, sparsity, trial)
        assert sampled(net, *samples_of("global", center)) == pytest.approx(by["global", sparsity, trial], rel=1e-6)
        assert sampled(net, center, RADIUS) == pytest.approx(by["local", sparsity, trial], rel=1e-6)


def test_time_limit_leaves_what_proves():
    net, _ = published_network(20, 40, 0)
    problem = checked_problem(net)
    value, multipliers, status = solve_krivine(net, problem, 4, time_limit=0.0)
    assert status is Status.TIME_LIMIT and multipliers[KRIVINE].shape == (0, 5)
    bound = krivine_bound(net, problem, 4, multipliers)
    assert bound == pytest.approx(value, rel=1e-12)
    assert bound > solved(net, problem, 3)


def test_callback_stops():
    net, _ = published_network(20, 40, 0)
    problem, seen = checked_problem(net), []

    def callback(value, multipliers):
        seen.append(krivine_bound(net, problem, 3, multipliers) / value - 1)
        return True

    assert solve_krivine(net, problem, 3, callback=callback)[2] is Status.STOPPED
    assert len(seen) == 1 and abs(seen[0]) < 1e-9


def test_a_network_that_is_zero():
    net = Network([np.zeros((3, 2)), np.ones((1, 3))], [np.ones(3), np.zeros(1)])
    assert solve_krivine(net, checked_problem(net), 3)[::2] == (0.0, Status.SOLVED)
    local = checked_problem(net, center=np.zeros(2), radius=1.0)
    assert krivine_bound(net, local, 4, solve_krivine(net, local, 4)[1]) <= 1e-200


def test_inputs_that_reach_one_neuron_or_none():
    A = np.array([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]])
    net = Network([A, np.array([[1.0, -3.0]])], [np.zeros(2), np.zeros(1)])
    for degree in (3, 4):
        assert solved(net, checked_problem(net), degree) == pytest.approx(7.0)


@pytest.mark.parametrize("kind", [products_kind(2), products_kind(3), triangles_kind(3), triangles_kind(4)])
def test_an_inequality_is_the_sum_of_its_products(kind):
    size = kind.products.shape[2]
    for y in np.random.default_rng(0).uniform(-1, 1, (20, size)):
        monomials = np.array([np.prod(y[list(s)]) for s in kind.subsets])
        sums = np.prod(1 + kind.products * y, axis=2).sum(axis=1)
        np.testing.assert_allclose(kind.scale * (kind.coefficients @ monomials), sums, atol=1e-12)
    assert (kind.coefficients[:, 0] == 1).all() and kind.subsets[0] == ()


def test_cliques_by_hand():
    rng = np.random.default_rng(0)
    adjacent = np.triu(rng.random((9, 9)) < 0.6, 1)
    adjacent |= adjacent.T
    for size in (2, 3, 4):
        expected = [t for t in combinations(range(9), size) if all(adjacent[i, k] for i, k in combinations(t, 2))]
        assert sorted(map(tuple, cliques(adjacent, size).tolist())) == expected
