"""Krivine certificates: sound for any products and weights, exact sums, and what does not fit is refused."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Network
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.certificate.krivine import KRIVINE, collected, krivine_bound
from hr2jax.engines.lipopt.lipopt import solve_krivine
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from tests.reference.effort import examples

from ..reference.krivine import maximum, network, problem_of

DEGREES = pytest.mark.parametrize("degree", [3, 4])


def random_rows(rng, count, degree, variables, scale=1.0):
    """Rows of a certificate: distinct variables, some none, some weights negative."""
    names = np.argsort(rng.random((count, variables)), axis=1)[:, :degree] + 1
    names = np.pad(names, [(0, 0), (0, degree - names.shape[1])])
    factors = names * rng.choice([-1, 0, 1], (count, degree))
    return np.column_stack([factors, scale * rng.uniform(-0.3, 1.0, count)]).astype(float)


@DEGREES
@settings(max_examples=examples(40), deadline=None)
@given(seed=st.integers(0, 10**6), local=st.booleans(), scale=st.sampled_from([1e-300, 1e-9, 0.1, 1.0, 1e9]))
def test_any_multipliers_prove_a_bound(degree, seed, local, scale):
    net, rng = network(seed), np.random.default_rng(seed)
    problem = problem_of(net, local)
    multipliers = {KRIVINE: random_rows(rng, int(rng.integers(0, 30)), degree, 7, scale)}
    bound = krivine_bound(net, problem, degree, multipliers)
    assert Fraction(bound) >= maximum(net, problem)
    assert Fraction(krivine_bound(net, problem, degree, multipliers, Arb)) >= maximum(net, problem)


@DEGREES
@settings(max_examples=examples(15), deadline=None)
@given(seed=st.integers(0, 10**6), local=st.booleans())
def test_tampered_solutions_stay_sound(degree, seed, local):
    net, rng = network(seed, 3, 5), np.random.default_rng(seed)
    problem, truth = problem_of(net, local), None
    _, multipliers, _ = solve_krivine(net, problem, degree)
    rows, truth = multipliers[KRIVINE], maximum(net, problem)
    solved = krivine_bound(net, problem, degree, multipliers)
    assert Fraction(solved) >= truth
    for change in ("weights", "signs", "drop", "negative"):
        altered = rows.copy()
        if change == "weights":
            altered[:, -1] *= rng.uniform(0.5, 1.5, len(rows))
        elif change == "signs":
            altered[:, :-1] *= rng.choice([-1, 1], (len(rows), degree))
        elif change == "drop":
            altered = altered[rng.random(len(rows)) < 0.7]
        else:
            altered[:, -1] *= rng.choice([-1, 1], len(rows))
        assert Fraction(krivine_bound(net, problem, degree, {KRIVINE: altered})) >= truth


@settings(max_examples=examples(60), deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_identity_in_rational_numbers(seed):
    """Bound = r_1 + sum |r_m| of the polynomial expanded term by term; nothing shared with the verifier."""
    net, rng = network(seed, 2, 3), np.random.default_rng(seed)
    problem = checked_problem(net)
    lifting = lift(net, problem, presolve(net, problem))
    rows = random_rows(rng, 12, 3, 5)
    A, c = net.weights[0], net.weights[1][0]
    polynomial: dict[frozenset, Fraction] = {}

    def add(monomial, value):
        polynomial[frozenset(monomial)] = polynomial.get(frozenset(monomial), Fraction(0)) + value

    unit = Fraction(2) ** lifting.exponent
    for j in range(2):
        for i in range(3):
            half = Fraction(float(A[i, j])) * Fraction(float(c[i])) / 2
            add([1 + j], half)
            add([1 + j, 3 + i], half)
    for *factors, weight in rows:
        used = [int(k) for k in factors if k]
        for chosen in product((0, 1), repeat=len(used)):
            names = [abs(k) for k, take in zip(used, chosen, strict=True) if take]
            sign = int(np.prod([np.sign(k) for k, take in zip(used, chosen, strict=True) if take]))
            add(names, unit * max(Fraction(float(weight)), Fraction(0)) * sign)
    exact = sum((value if not name else abs(value) for name, value in polynomial.items()), Fraction(0))
    for arithmetic in (Enclosure, Arb):
        bound = krivine_bound(net, problem, 3, {KRIVINE: rows}, arithmetic)
        # rounding the weights down may change it by less than the rows' unit, either way
        assert float(exact) == pytest.approx(bound, rel=1e-12)


def test_collected_by_hand():
    codes, sums = collected(np.array([[0, 1, -2], [1, 2, 3]]), np.array([3.0, 5.0]), 10)
    # 3 (1 + a)(1 - b) + 5 (1 + a)(1 + b)(1 + c)
    assert dict(zip(codes.tolist(), sums.tolist(), strict=True)) == {
        0: 8, 1: 8, 2: 2, 3: 5, 12: 2, 13: 5, 23: 5, 123: 5,
    }  # fmt: skip


def test_no_products_is_the_sum_of_magnitudes():
    net = network(3)
    A, c = net.weights[0], net.weights[1][0]
    G = c[:, None] * A
    expected = np.abs(G).sum() / 2 + np.abs(G.sum(axis=0)).sum() / 2
    bound = krivine_bound(net, checked_problem(net), 3, {KRIVINE: np.zeros((0, 4))})
    assert expected <= bound <= expected * (1 + 1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 3])
def test_not_finite_proves_nothing(value, column):
    rows = np.array([[1.0, 2.0, 0.0, 1.0]])
    rows[0, column] = value
    net = network(1)
    assert krivine_bound(net, checked_problem(net), 3, {KRIVINE: rows}) == np.inf


def test_overflow_proves_nothing():
    rows = np.array([[1.0, 2.0, 0.0, 1.7e308]] * 3)
    net = network(1)
    assert krivine_bound(net, checked_problem(net), 3, {KRIVINE: rows}) == np.inf


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((2, 3)), np.zeros(4), [[1.0, 1.0, 0.0, 1.0]], [[1.0, -1.0, 0.0, 1.0]], [[8.0, 0.0, 0.0, 1.0]],
        [[0.5, 0.0, 0.0, 1.0]], [[1e300, 0.0, 0.0, 1.0]],
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(rows):
    net = network(1)
    with pytest.raises(ValueError, match=r"shape|twice|signed integers"):
        krivine_bound(net, checked_problem(net), 3, {KRIVINE: np.asarray(rows)})


def test_other_names_degrees_and_problems_are_refused():
    net = network(1)
    problem, fine = checked_problem(net), {KRIVINE: np.zeros((0, 4))}
    with pytest.raises(ValueError, match="alone"):
        krivine_bound(net, problem, 3, {"v t": np.zeros(1)})
    with pytest.raises(ValueError, match="degree 3 or 4"):
        krivine_bound(net, problem, 2, fine)
    with pytest.raises(ValueError, match="inf norm"):
        krivine_bound(net, checked_problem(net, norm=2), 3, fine)
    wide = Network([np.ones((2, 60000)), np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    with pytest.raises(ValueError, match="at most"):
        krivine_bound(wide, checked_problem(wide), 4, {KRIVINE: np.zeros((0, 5))})


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
def test_units(scale):
    """The weights are in the lifting's units: a power of two of the network is one of the bound."""
    net = network(5)
    power = 2.0 ** round(np.log2(scale))
    larger = Network([net.weights[0] * power, net.weights[1]], [net.biases[0] * power, net.biases[1]])
    rows = random_rows(np.random.default_rng(0), 10, 3, 7)
    first, second = (krivine_bound(n, checked_problem(n), 3, {KRIVINE: rows}) for n in (net, larger))
    assert second == pytest.approx(first * power, rel=1e-12)
