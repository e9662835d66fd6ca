"""Linear bounds with any slopes against exactly evaluated points; what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.bounds import interval_bounds, linear, output_range, preactivation_bounds
from hr2jax.bounds.slopes.search import find_output_slopes, find_slopes
from hr2jax.network import Network
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

from ..reference.cases import exact, forward, points, random_cases, random_net

KINDS = pytest.mark.parametrize("kind", [Enclosure, Arb])


def any_slopes(net, rng):
    """Slopes of every pair of layers, some at the corners and some outside of [0, 1]."""
    return {
        (l, k): np.round(rng.uniform(-0.3, 1.3, (2, net.widths[l], net.widths[k])), int(rng.integers(0, 3)))
        for l in range(2, net.depth + 1)
        for k in range(1, l)
    }


def gradients(net, problem):
    """Directions in which pre-activations and outputs are extreme, near the centre."""
    rows, x = [], problem.domain.center
    J = np.eye(len(x))
    with np.errstate(all="ignore"):
        for A, b in zip(net.weights, net.biases, strict=True):
            x, J = A @ x + b, A @ J
            rows += list(J[:2] / max(np.abs(J).max(), 1e-250))
            J, x = J * (x > 0)[:, None], np.maximum(x, 0)
    return rows


def check_contains(net, problem, rng, bounds, ends):
    for x in points(problem, gradients(net, problem), rng):
        z, F = forward(net, x)
        for layer, (low, high) in zip(z, bounds, strict=True):
            assert (exact(low) <= layer).all()
            assert (layer <= exact(high)).all()
        value = sum(exact(problem.coefficients) * F, Fraction(0))
        assert Fraction(ends[0]) <= value <= Fraction(ends[1])


@KINDS
@settings(max_examples=examples(60), deadline=None)
@given(case=random_cases())
def test_any_slopes_contain_every_point(kind, case):
    net, problem, rng = case
    bounds = preactivation_bounds(net, problem, any_slopes(net, rng), kind)
    out = {k: rng.uniform(-0.3, 1.3, (2, net.widths[k])) for k in range(1, net.depth + 1)}
    ends = output_range(net, problem, out, bounds, kind)
    check_contains(net, problem, rng, bounds, ends)
    wide = output_range(net, problem, None, bounds, kind)
    assert wide[0] <= ends[0] <= ends[1] <= wide[1]
    for pair, other in zip(bounds, interval_bounds(net, problem, kind), strict=True):
        assert (pair[0] >= other[0]).all()
        assert (pair[1] <= other[1]).all()


@settings(max_examples=examples(15), deadline=None)
@given(case=random_cases(depths=(2, 3), widest=4), method=st.sampled_from(["interval", "linear", "lp"]))
def test_found_slopes_contain_every_point(case, method):
    net, problem, rng = case
    if problem.norm == 2 and method == "lp":  # the ascent's compilation is tested elsewhere
        method = "linear"
    bounds = preactivation_bounds(net, problem, find_slopes(net, problem, method))
    out = find_output_slopes(net, problem, bounds, method)
    check_contains(net, problem, rng, bounds, output_range(net, problem, out, bounds))


@pytest.mark.parametrize("norm", ["inf", 2])
def test_balls_agree_and_are_never_looser(norm):
    rng = np.random.default_rng(3)
    net = random_net(rng, [5, 6, 6, 5, 2])
    problem = checked_problem(net, (0, 1), norm, rng.standard_normal(5), 0.4)
    slopes = find_slopes(net, problem, "linear")
    ours, theirs = (preactivation_bounds(net, problem, slopes, kind) for kind in (Enclosure, Arb))
    for (l, h), (low, high) in zip(ours, theirs, strict=True):
        assert (l <= low + 1e-15).all()
        assert (high <= h + 1e-15).all()
        np.testing.assert_allclose(l, low, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(h, high, rtol=1e-12, atol=1e-12)
    out = find_output_slopes(net, problem, ours, "linear")
    np.testing.assert_allclose(
        output_range(net, problem, out, ours), output_range(net, problem, out, ours, Arb), rtol=1e-12
    )


def test_without_unstable_neurons_the_bounds_are_the_affine_range():
    rng = np.random.default_rng(0)
    net = random_net(rng, [4, 5, 3, 1])
    weights, biases = net.weights, [np.full(5, 9.0), np.full(3, 99.0), np.zeros(1)]
    biases[0][4] = -9.0  # always off
    net = Network(weights, biases)
    problem = checked_problem(net, None, "inf", np.zeros(4), 0.1)
    bounds = preactivation_bounds(net, problem, find_slopes(net, problem, "linear"))
    alive = np.array([1.0, 1, 1, 1, 0])
    J = weights[1] * alive @ weights[0]
    middle = weights[1] * alive @ biases[0] + biases[1]
    np.testing.assert_allclose(bounds[1][0], middle - 0.1 * np.abs(J).sum(1), rtol=1e-13)
    np.testing.assert_allclose(bounds[1][1], middle + 0.1 * np.abs(J).sum(1), rtol=1e-13)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_crown_beats_intervals_clearly(norm):
    rng = np.random.default_rng(1)
    net = random_net(rng, [8, 10, 10, 10, 1])
    problem = checked_problem(net, None, norm, rng.standard_normal(8), 0.1)
    plain = interval_bounds(net, problem)[-1]
    linear_ = preactivation_bounds(net, problem, find_slopes(net, problem, "linear"))[-1]
    assert np.mean(linear_[1] - linear_[0]) < 0.5 * np.mean(plain[1] - plain[0])


def test_overflow_falls_back_to_the_interval_or_names_the_layer():
    net = Network([np.full((2, 1), 1e300), np.full((2, 2), 1e-300), np.ones((1, 2))], [np.zeros(2)] * 2 + [np.zeros(1)])
    problem = checked_problem(net, None, "inf", [0.0], 1e8)
    slopes = {(2, 1): np.ones((2, 2, 2))}
    with pytest.raises(ValueError, match="layer 1 overflow"):
        preactivation_bounds(net, checked_problem(net, None, 2, [0.0], 1e9), slopes)
    bounds = preactivation_bounds(net, problem, slopes)
    assert all(np.isfinite(side).all() for pair in bounds for side in pair)
    assert bounds[1][1][0] >= 2e8
    huge = Network([*net.weights[:-1], np.full((1, 2), 1e308)], net.biases)
    with pytest.raises(ValueError, match="output overflows float64"):
        output_range(huge, checked_problem(huge, None, "inf", [0.0], 1e8), None, bounds)


def net_and_problem():
    net = random_net(np.random.default_rng(0), [2, 3, 4, 2, 1])
    return net, checked_problem(net, None, "inf", np.zeros(2), 1.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop((3, 1)), r"target layer 3 are needed for the layers 1\.\.2, but \[2\] were given"),
        (lambda s: s.update({(4, 1): 0}), r"pairs of layers .* \(4, 1\) was given"),
        (lambda s: s.update({(1, 2): 0}), r"\(1, 2\) was given"),
        (lambda s: s.update({"x": 0}), "'x' was given"),
        (lambda s: s.update({(2, 1): np.zeros((2, 3, 4))}), r"shape \(2, 4, 3\), but .* \(2, 3, 4\)"),
        (lambda s: s.update({(2, 1): np.full((2, 4, 3), np.nan)}), "NaN or infinity"),
        (lambda s: s.update({(2, 1): np.full((2, 4, 3), np.inf)}), "NaN or infinity"),
        (lambda s: s.update({(2, 1): np.full((2, 4, 3), "a")}), "must be numbers"),
    ],
)
def test_bad_slopes_are_refused(change, message):
    net, problem = net_and_problem()
    slopes = any_slopes(net, np.random.default_rng(0))
    change(slopes)
    with pytest.raises(ValueError, match=message):
        preactivation_bounds(net, problem, slopes)


def test_a_layer_may_have_no_slopes_and_the_output_needs_all():
    net, problem = net_and_problem()
    slopes = any_slopes(net, np.random.default_rng(0))
    del slopes[3, 1], slopes[3, 2]
    bounds = preactivation_bounds(net, problem, slopes)
    with pytest.raises(ValueError, match=r"layers 1\.\.3, but \[1\] were given"):
        output_range(net, problem, {1: np.zeros((2, 3))}, bounds)
    with pytest.raises(ValueError, match="need a bounded domain"):
        preactivation_bounds(net, checked_problem(net))
    with pytest.raises(ValueError, match="bounds must be one of interval, linear, lp, split, but"):
        find_slopes(net, problem, "crown")


@pytest.mark.parametrize("fault", ["intercept", "slopes", "spread"])
def test_planted_faults_are_caught(monkeypatch, fault):
    """A line too low, slopes beyond [0, 1], a domain too small: each lets a point out."""
    rng = np.random.default_rng(5)
    net = random_net(rng, [3, 5, 5, 1])
    problem = checked_problem(net, None, "inf", np.zeros(3), 1.0)
    slopes = {(2, 1): rng.integers(0, 2, (2, 5, 5)) * 1.0}
    if fault == "intercept":
        monkeypatch.setattr(np, "clip", lambda x, low, high: np.minimum(x, high) * 0.5)
        monkeypatch.setattr(linear.Enclosure, "upper", lambda self: self.mid - 0.3)
    elif fault == "slopes":
        # ReLU(x) - 2 ReLU(x + 2) on [-1, 1] is -5 at x = 1; a lower line of slope 2 would make it -4
        net = Network([[[1.0], [1.0]], [[1.0, -2.0]], [[1.0]]], [[0.0, 2.0], [0.0], [0.0]])
        problem = checked_problem(net, None, "inf", [0.0], 1.0)
        slopes = {(2, 1): np.full((2, 1, 2), 2.0)}
        monkeypatch.setattr(linear, "checked_slopes", lambda net, s: {2: {1: s[2, 1]}})
    else:
        monkeypatch.setattr(linear.Enclosure, "magnitude", lambda self: 0.2 * np.abs(self.mid))
    bounds = preactivation_bounds(net, problem, slopes)
    monkeypatch.undo()
    with pytest.raises(AssertionError):
        for _ in range(50):
            check_contains(net, problem, rng, bounds, (-1e9, 1e9))
