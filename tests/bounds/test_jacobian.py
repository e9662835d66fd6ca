"""Jacobian bounds against masks drawn at random and all of them, in rational arithmetic."""

from fractions import Fraction
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.arithmetic.norms import Haste, in_haste
from hr2jax.bounds import adjoint_bounds, interval_constant, jacobian, product_constant, tangent_bounds
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

from ..reference.cases import exact, random_cases, random_net
from ..reference.intervals import NUMBERS

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])


def masks_of(net, rng, share=0.25):
    """Which neurons are on, which off, and the rest free, at random."""
    draws = [rng.random(p) for p in net.widths[1:-1]]
    return [u < share for u in draws], [u > 1 - share for u in draws]


def all_free(net):
    return [np.zeros(p, dtype=bool) for p in net.widths[1:-1]]


def at_least(bound, vector, norm):
    """Whether `bound` is at least the dual norm of the vector of fractions."""
    if bound == np.inf:
        return True
    if norm == "inf":
        return Fraction(float(bound)) >= sum(abs(vector), Fraction(0))
    return Fraction(float(bound)) ** 2 >= sum(vector**2, Fraction(0))


def some_masks(on, off, rng, count=6):
    for trial in range(count):
        share = [1.0, 0.0, 0.5][min(trial, 2)]
        yield [np.where(b, 0, np.where(a, 1, (rng.random(len(a)) < share) * 1)) for a, b in zip(on, off, strict=True)]


def check_sound(net, problem, free, on, off, masks, kind):
    W, G = (f(net, problem, free, on, off, kind) for f in (tangent_bounds, adjoint_bounds))
    interval = interval_constant(net, problem, free, on, off, kind)
    by_norms = product_constant(net, problem, free, kind)
    for values in (*W, *G, np.array([interval, by_norms])):
        assert (values >= 0).all()  # and not NaN
    assert [w.shape for w in W] == [g.shape for g in G] == [(p,) for p in net.widths[1:-1]]
    weights = [exact(A) for A in net.weights]
    weights[0] = weights[0][:, free]
    c = exact(net.weights[-1]).T @ exact(problem.coefficients)
    for u in masks:
        J = np.zeros((0, 0))
        for l, (A, mask) in enumerate(zip(weights[:-1], u, strict=True)):
            J = A if l == 0 else A @ J
            assert all(at_least(w, row, problem.norm) for w, row in zip(W[l], J, strict=True))
            J = J * mask[:, None]
        assert at_least(interval, c @ J, problem.norm)
        assert at_least(by_norms, c @ J, problem.norm)
        g = c
        for l in range(net.depth - 1, -1, -1):
            if l < net.depth - 1:
                g = weights[l + 1].T @ (g * u[l + 1])
            assert all(b == np.inf or Fraction(float(b)) >= abs(v) for b, v in zip(G[l], g, strict=True))


@KINDS
@settings(max_examples=examples(60), deadline=None)
@given(case=random_cases())
def test_random_masks_stay_within(kind, case):
    net, problem, rng = case
    free = np.flatnonzero(problem.domain.radius > 0)
    on, off = masks_of(net, rng)
    check_sound(net, problem, free, on, off, some_masks(on, off, rng), kind)


@KINDS
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data(), norm=st.sampled_from(["inf", 2]))
def test_any_numbers_are_never_nan_and_never_too_small(kind, data, norm):
    """Subnormal, tiny, huge and zero entries: an overflow makes a bound infinite."""
    widths = data.draw(st.lists(st.integers(1, 3), min_size=3, max_size=4))
    arrays = [
        np.reshape(data.draw(st.lists(NUMBERS, min_size=m * n, max_size=m * n)), (m, n))
        for n, m in pairwise(widths)
    ]
    net = Network(arrays, [np.zeros(m) for m in widths[1:]])
    problem = checked_problem(net, data.draw(st.lists(NUMBERS, min_size=widths[-1], max_size=widths[-1])), norm)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    on, off = masks_of(net, rng)
    check_sound(net, problem, np.arange(widths[0]), on, off, some_masks(on, off, rng, 4), kind)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_all_masks_of_small_networks(norm):
    rng = np.random.default_rng(0)
    for _ in range(3):
        net = random_net(rng, [3, 3, 3, 2])
        problem = checked_problem(net, (0, 1), norm)
        free = all_free(net)
        masks = [(np.array(u[:3]), np.array(u[3:])) for u in product([0, 1], repeat=6)]
        check_sound(net, problem, np.arange(3), free, free, masks, Enclosure)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_without_free_neurons_everything_is_exact(norm):
    rng = np.random.default_rng(1)
    net = random_net(rng, [4, 5, 5, 5, 2])
    problem = checked_problem(net, (0, 1), norm)
    off = [u < 0.4 for u in map(rng.random, net.widths[1:-1])]
    on = [~m for m in off]
    free = np.array([0, 1, 3])
    dual = 1 if norm == "inf" else 2
    W, G = tangent_bounds(net, problem, free, on, off), adjoint_bounds(net, problem, free, on, off)
    J, Js = net.weights[0][:, free], []
    for l, A in enumerate(net.weights[1:]):
        Js.append(J)
        J = A @ (on[l][:, None] * J)
    for w, exact_J in zip(W, Js, strict=True):
        np.testing.assert_allclose(w, np.linalg.norm(exact_J, dual, axis=1), rtol=1e-12)
    constant = np.linalg.norm(problem.coefficients @ J, dual)
    assert constant <= interval_constant(net, problem, free, on, off) <= constant * (1 + 1e-12)
    g = net.weights[-1].T @ problem.coefficients
    for l in (2, 1, 0):
        np.testing.assert_allclose(G[l], np.abs(g), rtol=1e-11)
        g = net.weights[l].T @ (on[l] * g)


def test_one_hidden_layer_is_the_exact_interval():
    rng = np.random.default_rng(2)
    net = random_net(rng, [6, 9, 3])
    on, off = masks_of(net, rng)
    for norm in ("inf", 2):
        problem = checked_problem(net, (0, 2), norm)
        c = net.weights[1][0] - net.weights[1][2]
        terms = net.weights[0] * c[:, None]
        sure, maybe = terms[on[0]].sum(0), terms[~on[0] & ~off[0]]
        size = np.maximum(abs(sure + np.maximum(maybe, 0).sum(0)), abs(sure + np.minimum(maybe, 0).sum(0)))
        expected = np.linalg.norm(size, 1 if norm == "inf" else 2)
        found = interval_constant(net, problem, np.arange(6), on, off)
        assert expected * (1 - 1e-14) <= found <= expected * (1 + 1e-12)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_in_haste_the_ways_from_many_inputs_are_left_out(norm, monkeypatch):
    """What is left is a bound, and no tighter; with few inputs nothing is left out."""
    net = random_net(np.random.default_rng(0), (4, 6, 6, 6, 2))
    free, (on, off) = np.arange(4), masks_of(net, np.random.default_rng(1), share=0.1)
    problem, given = checked_problem(net, 0, norm), (free, on, off)
    whole = interval_constant(net, problem, *given)
    with monkeypatch.context() as patch, in_haste(Haste(bound=0.0)):
        patch.setattr(jacobian.graph, "forward", None)
        rough = interval_constant(net, problem, *given)
    with in_haste(Haste(bound=1e9)):
        assert interval_constant(net, problem, *given) == whole
    assert rough >= whole
    for u in some_masks(on, off, np.random.default_rng(2)):
        J = net.weights[0]
        for k, A in enumerate(net.weights[1:]):
            J = A @ (u[k][:, None] * J)
        assert rough >= np.linalg.norm(J[0], {"inf": 1, 2: 2}[norm]) * (1 - 1e-12)


def test_products_are_those_of_the_norms():
    rng = np.random.default_rng(3)
    net = random_net(rng, [6, 9, 5, 3])
    free = np.array([1, 2, 5])
    A, B, C = net.weights[0][:, free], net.weights[1], net.weights[2][1]
    for norm, dual, operator in (("inf", 1, np.inf), (2, 2, 2)):
        expected = np.linalg.norm(C, dual) * np.linalg.norm(A, operator) * np.linalg.norm(B, operator)
        found = product_constant(net, checked_problem(net, 1, norm), free)
        assert expected * (1 - 1e-14) <= found <= expected * (1 + 1e-11)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_norm_products_keep_deep_bounds_small(norm):
    """20 layers: intervals alone grow about twice as fast per layer and more."""
    rng = np.random.default_rng(4)
    net = random_net(rng, [20] * 21 + [1])
    problem = checked_problem(net, None, norm)
    free = all_free(net)
    W = tangent_bounds(net, problem, np.arange(20), free, free)
    spectral = np.prod([np.linalg.norm(A, 2) for A in net.weights[:-2]])
    t = np.sqrt(20.0) if norm == "inf" else 1.0
    assert (W[-1] <= 1.0001 * t * spectral * np.linalg.norm(net.weights[-2], axis=1)).all()
    G = adjoint_bounds(net, problem, np.arange(20), free, free)
    assert G[0].max() <= 1.0001 * np.prod([np.linalg.norm(A, 2) for A in net.weights[1:]])


@KINDS
@pytest.mark.parametrize("norm", ["inf", 2])
def test_nothing_free_and_nothing_alive_give_zeros(kind, norm):
    net = random_net(np.random.default_rng(5), [3, 4, 4, 1])
    problem = checked_problem(net, None, norm)
    none, every = all_free(net), [~m for m in all_free(net)]
    empty = np.arange(0)
    assert all((w == 0).all() for w in tangent_bounds(net, problem, empty, none, none, kind))
    assert interval_constant(net, problem, empty, none, none, kind) == product_constant(net, problem, empty, kind) == 0
    W = tangent_bounds(net, problem, np.arange(3), none, every, kind)
    assert (W[0] > 0).all()
    assert (W[1] == 0).all()
    G = adjoint_bounds(net, problem, np.arange(3), none, every, kind)
    assert (G[0] == 0).all()
    assert (G[1] > 0).all()
    assert interval_constant(net, problem, np.arange(3), none, every, kind) == 0


@KINDS
def test_zero_rows_and_dead_paths_are_exactly_zero(kind):
    net = Network(
        [[[1.0, 2.0], [0.0, 0.0]], [[0.0, 3.0], [1.0, 1.0]], [[0.0, 1.0]]], [np.zeros(2), np.zeros(2), np.zeros(1)]
    )
    free = all_free(net)
    W = tangent_bounds(net, checked_problem(net), np.arange(2), free, free, kind)
    assert W[0][1] == W[1][0] == 0 < W[1][1]
    G = adjoint_bounds(net, checked_problem(net), np.arange(2), free, free, kind)
    assert G[1][0] == 0 < G[0][0]


def test_overflow_is_infinite_where_it_happens_only():
    weights = [np.array([[1e200], [1.0]]), np.diag([1e200, 1.0]), np.ones((1, 2))]
    net = Network(weights, [np.zeros(2), np.zeros(2), [0.0]])
    free = all_free(net)
    for norm in ("inf", 2):
        problem = checked_problem(net, None, norm)
        W = tangent_bounds(net, problem, np.arange(1), free, free)
        assert W[1][0] == np.inf
        assert 1 <= W[1][1] <= 1 + 1e-12
        assert interval_constant(net, problem, np.arange(1), free, free) == np.inf
        assert product_constant(net, problem, np.arange(1)) == np.inf


@pytest.mark.parametrize("masks", [[], [np.zeros(3), np.zeros(2)], [np.zeros(3, bool), np.zeros(3, bool)]])
def test_masks_that_do_not_fit_are_refused(masks):
    net = random_net(np.random.default_rng(5), [3, 3, 2, 1])
    problem = checked_problem(net)
    good = all_free(net)
    for function in (tangent_bounds, adjoint_bounds, interval_constant):
        with pytest.raises(ValueError, match=r"on must be one bool array per hidden layer, of lengths \[3, 2\]"):
            function(net, problem, np.arange(3), masks, good)
        with pytest.raises(ValueError, match="off must be one bool array"):
            function(net, problem, np.arange(3), good, masks)


def test_balls_agree():
    net = random_net(np.random.default_rng(6), [3, 4, 4, 3, 1])
    on, off = masks_of(net, np.random.default_rng(7))
    for norm in ("inf", 2):
        problem, free = checked_problem(net, None, norm), np.arange(3)
        for function in (tangent_bounds, adjoint_bounds):
            for a, b in zip(*(function(net, problem, free, on, off, kind) for kind in (Enclosure, Arb)), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-11)
        a, b = (interval_constant(net, problem, free, on, off, kind) for kind in (Enclosure, Arb))
        assert b <= a <= b * (1 + 1e-12)


@pytest.mark.parametrize("fault", ["masks", "rows", "lengths"])
def test_planted_faults_are_caught(monkeypatch, fault):
    """Free neurons held on, a norm of the wrong kind, a length that forgets a layer."""
    if fault == "masks":
        monkeypatch.setattr(jacobian, "masked", lambda J, on, off, layer: J)
    elif fault == "rows":
        monkeypatch.setattr(jacobian, "row_norms", lambda M, norm, kind: np.abs(M).max(axis=1))
    else:
        monkeypatch.setattr(jacobian, "spectral_of", lambda A, kind: 0.3)
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError):
        for _ in range(10):
            net = random_net(rng, [3, 3, 3, 1])
            free = all_free(net)
            masks = some_masks(free, free, rng, 20)
            check_sound(net, checked_problem(net, None, 2), np.arange(3), free, free, masks, Enclosure)
