"""Interval bounds against exact rational ranges and exactly evaluated points."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import interval, interval_bounds
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

from ..reference.intervals import NUMBERS, TAME, exact_range, local_problems

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])


def pre_activations(net: Network, x: list[Fraction]) -> list[list[Fraction]]:
    """Every hidden layer's z at the point, exactly."""
    layers = []
    for A, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        z = [
            Fraction(float(shift)) + sum(Fraction(float(a)) * v for a, v in zip(row, x, strict=True))
            for row, shift in zip(A, b, strict=True)
        ]
        layers.append(z)
        x = [max(v, Fraction(0)) for v in z]
    return layers


def check_range(net, problem, kind):
    """First-layer bounds contain the exact range, say 0 exactly where it is 0, and are not far off."""
    try:
        low, high = interval_bounds(net, problem, kind)[0]
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    scale = np.abs(net.weights[0]) @ (np.abs(problem.domain.center) + problem.domain.radius) + np.abs(net.biases[0])
    for l, h, s, (least, greatest) in zip(low, high, scale, exact_range(net, problem), strict=True):
        assert Fraction(float(l)) <= least
        assert Fraction(float(h)) >= greatest
        assert (l >= 0) == (least >= 0)
        assert (h <= 0) == (greatest <= 0)
        assert h - l <= float(greatest - least) + 1e-13 * s + 1e-280


@KINDS
@settings(max_examples=examples(100), deadline=None)
@given(case=local_problems(1, NUMBERS))
def test_the_first_layer_contains_the_exact_range(kind, case):
    check_range(*case, kind)


@KINDS
@settings(max_examples=examples(100), deadline=None)
@given(case=local_problems(1, TAME))
def test_ties_with_zero_are_settled_exactly(kind, case):
    check_range(*case, kind)


@KINDS
@pytest.mark.parametrize("depth", [2, 3])
@settings(max_examples=examples(50), deadline=None)
@given(data=st.data())
def test_deeper_layers_contain_every_point(kind, depth, data):
    net, problem = data.draw(local_problems(depth, st.one_of(NUMBERS, TAME)))
    try:
        pairs = interval_bounds(net, problem, kind)
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    place = st.sampled_from([Fraction(-1), Fraction(1), Fraction(0), Fraction(1, 3)])
    for _ in range(4):
        xi = data.draw(st.lists(place, min_size=net.widths[0], max_size=net.widths[0]))
        x = [
            Fraction(float(c)) + Fraction(float(r)) * p
            for c, r, p in zip(problem.domain.center, problem.domain.radius, xi, strict=True)
        ]
        for z, (low, high) in zip(pre_activations(net, x), pairs, strict=True):
            assert all(
                Fraction(float(l)) <= v <= Fraction(float(h)) for v, l, h in zip(z, low, high, strict=True)
            )


@pytest.mark.parametrize("depth", [1, 3])
def test_balls_are_never_looser_than_float64(depth):
    rng = np.random.default_rng(depth)
    widths = [6] * (depth + 1) + [1]
    pairs = list(zip(widths[1:], widths[:-1], strict=True))
    net = Network([rng.standard_normal(pair) for pair in pairs], [rng.standard_normal(m) for m, _ in pairs])
    problem = checked_problem(net, norm="inf", center=rng.standard_normal(6), radius=0.3)
    for (l, h), (low, high) in zip(
        interval_bounds(net, problem, Enclosure), interval_bounds(net, problem, Arb), strict=True
    ):
        assert (l <= low).all() and (high <= h).all()
        np.testing.assert_allclose(l, low, rtol=1e-12, atol=1e-12)


@KINDS
@pytest.mark.parametrize("a", [0.1, 1e-300, 1e300, 2.0**-1074, 1 / 3])
def test_a_neuron_just_on_the_boundary_has_a_bound_that_is_exactly_zero(kind, a):
    """A x over [0, 2c] with products that round, underflow or are huge: the exact end is 0."""
    row = np.array([a, -a / 3, a / 7])
    center = np.array([0.7, -0.3, 0.1])
    net = Network([np.stack([row, -row, 0 * row]), np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    problem = checked_problem(net, norm="inf", center=center, radius=np.abs(center))
    low, high = interval_bounds(net, problem, kind)[0]
    assert low[0] == 0 < high[0]
    assert low[1] < 0 == high[1]
    assert low[2] == high[2] == 0


def test_boundary_rows_past_the_exact_budget_stay_outward(monkeypatch):
    monkeypatch.setattr(interval, "MAX_EXACT_PRODUCTS", 2)
    net = Network([np.full((3, 2), 0.1), np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    problem = checked_problem(net, norm="inf", center=[0.7, 0.7], radius=0.7)
    low, _ = interval_bounds(net, problem)[0]
    assert low[0] == 0
    assert (low[1:] <= 0).all()
    assert (low[1:] > -1e-15).all()


@KINDS
def test_zero_rows_are_their_bias(kind):
    net = Network([np.zeros((3, 2)), np.ones((1, 3))], [[0.1, 0.0, -0.1], [0.0]])
    problem = checked_problem(net, norm="inf", center=[1.0, -1.0], radius=[0.5, 0.0])
    low, high = interval_bounds(net, problem, kind)[0]
    np.testing.assert_allclose(low, net.biases[0], atol=1e-15)
    np.testing.assert_allclose(high, net.biases[0], atol=1e-15)
    assert low[1] == high[1] == 0


@KINDS
@pytest.mark.parametrize("layer", [1, 2])
def test_overflow_is_refused_and_names_the_layer(kind, layer):
    weights = [np.full((2, 2), 1e200 if layer == 1 else 1.0), np.full((2, 2), 1e308), np.ones((1, 2))]
    net = Network(weights, [np.zeros(2), np.zeros(2), np.zeros(1)])
    problem = checked_problem(
        net, norm="inf", center=[1e200, 0.0] if layer == 1 else [9.0, 0.0], radius=1.0
    )
    with pytest.raises(ValueError, match=f"pre-activation bounds of layer {layer} overflow float64"):
        interval_bounds(net, problem, kind)


@KINDS
@settings(max_examples=examples(100), deadline=None)
@given(case=local_problems(1, st.one_of(NUMBERS, TAME)), size=st.one_of(NUMBERS, TAME))
def test_the_first_layer_on_a_ball_contains_the_exact_range(kind, case, size):
    """By the squares of both sides; signs are settled exactly; not far off."""
    net, box = case
    assume(size != 0)
    problem = checked_problem(net, norm=2, center=box.domain.center, radius=abs(size))
    try:
        low, high = interval_bounds(net, problem, kind)[0]
    except ValueError as error:
        assert "overflow float64" in str(error)
        return
    eps = Fraction(abs(float(size)))
    for i, (row, shift) in enumerate(zip(net.weights[0], net.biases[0], strict=True)):
        a = [Fraction(float(v)) for v in row]
        center = problem.domain.center
        middle = Fraction(float(shift)) + sum(x * Fraction(float(y)) for x, y in zip(a, center, strict=True))
        square = eps**2 * sum(x * x for x in a)
        least, greatest = middle - Fraction(float(low[i])), Fraction(float(high[i])) - middle
        for distance in (least, greatest):
            assert distance >= 0
            assert distance**2 >= square
            scale = abs(row) @ (abs(problem.domain.center) + abs(size)) + abs(shift)
            slack = distance - Fraction(1e-13 * scale + 1e-280)
            assert slack <= 0 or slack**2 <= square
        assert (low[i] >= 0) == (middle >= 0 and middle**2 >= square)
        assert (high[i] <= 0) == (middle <= 0 and middle**2 >= square)


@KINDS
def test_a_neuron_that_touches_the_ball_is_stable(kind):
    A = np.array([[3.0, 4.0], [-0.3, -0.4], [5.0, 12.0]]) / 7
    net = Network([A, np.ones((1, 3))], [np.zeros(3), np.zeros(1)])
    exact_center = np.array([3.0, 4.0])
    problem = checked_problem(net, norm=2, center=exact_center, radius=5.0)
    low, high = interval_bounds(net, problem, kind)[0]
    row = [Fraction(float(v)) for v in A[0]]
    touches = (3 * row[0] + 4 * row[1]) ** 2 >= 25 * (row[0] ** 2 + row[1] ** 2)
    assert (low[0] == 0) == touches
    assert low[2] < 0 < high[2]
    net = Network([[[3.0, 4.0], [-3.0, -4.0]], np.ones((1, 2))], [np.zeros(2), np.zeros(1)])
    low, high = interval_bounds(net, problem, kind)[0]
    assert low[0] == 0 == high[1]


def test_a_global_problem_has_no_bounds():
    net = Network([np.ones((1, 1)), np.ones((1, 1))], [[0.0], [0.0]])
    with pytest.raises(ValueError, match="need a bounded domain"):
        interval_bounds(net, checked_problem(net))


def test_planted_fault_of_a_dropped_rounding_term_is_caught(monkeypatch):
    rng = np.random.default_rng(0)
    n = 400  # sums that rounding changes whatever their order is
    net = Network([rng.standard_normal((20, n)), np.ones((1, 20))], [np.zeros(20), np.zeros(1)])
    problem = checked_problem(net, norm="inf", center=rng.standard_normal(n), radius=1e-3)
    check_range(net, problem, Enclosure)
    product = Enclosure.__matmul__
    monkeypatch.setattr(Enclosure, "__matmul__", lambda a, b: Enclosure(product(a, b).mid))
    with pytest.raises(AssertionError):
        check_range(net, problem, Enclosure)


def test_planted_fault_of_a_bound_too_small_is_caught(monkeypatch):
    net = Network([np.ones((1, 2)), np.ones((1, 1))], [[0.5], [0.0]])
    problem = checked_problem(net, norm="inf", center=[1.0, 1.0], radius=0.5)
    check_range(net, problem, Enclosure)
    upper = Enclosure.upper
    monkeypatch.setattr(Enclosure, "upper", lambda self: upper(self) * (1 - 1e-6 * np.sign(upper(self))))
    with pytest.raises(AssertionError):
        check_range(net, problem, Enclosure)


def positive(pair):
    """ReLU of an interval."""
    return tuple(np.maximum(side, 0.0) for side in pair)


@KINDS
def test_a_dead_neuron_is_dead_and_not_on_by_next_to_nothing(kind):
    """A radius for products that might underflow made h = 2^-960 of an exact 0, and scales of what it fed."""
    rng = np.random.default_rng(0)
    A, b = -rng.random((3, 4)), np.array([0.0, -1e-300, 1e-300])
    before = (np.array([-1.0, -2.0, 0.0, -3.0]), np.array([2.0, 1.0, 0.5, 0.0]))
    low, high = interval.interval_step([(A, positive(before))], b, arithmetic=kind)
    np.testing.assert_array_equal(high, b)
    assert (low < b).all()
    low, high = interval.interval_step([(-A, positive(before))], b, arithmetic=kind)
    np.testing.assert_array_equal(low, b)
    assert (high > b).all()
    nothing = (np.full(4, -1.0), np.zeros(4))
    for side in interval.interval_step([(A, positive(nothing))], b, arithmetic=kind):
        np.testing.assert_array_equal(side, b)


@KINDS
def test_products_that_underflow_are_still_met(kind):
    A, before = np.array([[1e-200, 0.0], [-1e-200, 0.0]]), (np.array([1e-200, 1.0]), np.array([1e-190, 1.0]))
    low, high = interval.interval_step([(A, positive(before))], np.zeros(2), arithmetic=kind)
    assert high[0] > 0
    assert low[1] < 0


def test_a_network_with_a_dead_neuron_has_the_bound_of_one_without():
    """It once had twice that, and hr2 stalled."""
    rng, p = np.random.default_rng(0), 4
    W = [rng.normal(size=shape) for shape in ((p, 2), (p, p), (p, p), (1, p))]
    W[1][0] = -np.abs(W[1][0])  # never on
    W[2][0] = [1.0, *np.zeros(p - 1)]  # fed by nothing else
    B = [np.zeros(len(A)) for A in W]
    V = [W[0], W[1][1:], W[2][1:, 1:], W[3][:, 1:]]
    box = dict(center=[0.3, -0.2], radius=1.0)
    whole = hr2jax.solve(Network(W, B), **box)
    part = hr2jax.solve(Network(V, [np.zeros(len(A)) for A in V]), **box)
    assert whole.status is part.status is hr2jax.Status.SOLVED
    assert whole.bound == pytest.approx(part.bound, rel=2e-3)


def test_a_constant_network_of_dead_neurons_has_the_constant_0():
    net = Network([[[1.0, 1.0]], [[-1.0]], [[1.0]], [[1.0]]], [[0.0]] * 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = hr2jax.solve(net, center=[0.0, 0.0], radius=1.0)
    assert (result.bound, result.status) == (0.0, hr2jax.Status.SOLVED)
