"""Smooth activations lie between their lines, and the bounds that these prove hold, in both arithmetics."""

import numpy as np
import pytest

from hr2jax import Layer, Network, graph
from hr2jax.arithmetic import hulls
from hr2jax.arithmetic.activations import DEFAULTS
from hr2jax.arithmetic.arb import Arb
from hr2jax.bounds import interval_bounds, output_range, preactivation_bounds
from hr2jax.bounds.lines import parallel_lines, slope_lines
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

CASES = [(name, {}) for name in DEFAULTS] + [
    ("softplus", {"beta": 2.0, "threshold": 1.0}), ("elu", {"alpha": -2.0}), ("gelu", {"approximate": "tanh"}),
]  # fmt: skip


def layer(n, name, parameters):
    return Layer({0: np.eye(n)}, np.zeros(n), name, parameters)


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_smooth_activation_lies_between_its_lines(name, parameters):
    n = examples(500)
    rng = np.random.default_rng(0)
    low = rng.normal(size=n) * rng.choice([0.5, 3.0, 30.0], n)
    high = low + 10.0 ** rng.uniform(-9, 1.5, n) * (rng.random(n) > 0.05)
    s, below, above = parallel_lines(layer(n, name, parameters), low, high)
    for part in np.linspace(0.0, 1.0, 41):
        z = np.clip(low + part * (high - low), low, high)
        least, most = hulls.values(name, parameters, z, z)
        near = 1e-15 * (1.0 + np.abs(s * z) + np.abs(above))  # of this test's own sum
        assert (s * z + below <= most + near).all() and (least <= s * z + above + near).all()


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_a_derivative_lies_between_its_lines(name, parameters):
    n = examples(300)
    rng = np.random.default_rng(2)
    low = rng.normal(size=n) * rng.choice([0.5, 3.0, 30.0], n)
    high = low + 10.0 ** rng.uniform(-9, 1.5, n) * (rng.random(n) > 0.05)
    at = rng.choice([-3.0, 0.0, 3.0], n)  # where slopes may jump, at an interval's end too
    low, high = np.where(rng.random(n) < 0.1, at, low), np.where(rng.random(n) < 0.1, at, high)
    low, high = np.minimum(low, high), np.maximum(low, high)
    s, below, above = slope_lines(layer(n, name, parameters), low, high)
    assert np.isfinite([s, below, above]).all()
    for part in np.linspace(0.0, 1.0, 41):
        z = np.clip(low + part * (high - low), low, high)
        least, most = hulls.slopes(name, parameters, z, z)
        near = 1e-15 * (1.0 + np.abs(s * z) + np.abs(above))  # of this test's own sum
        assert (s * z + below <= least + near).all() and (most <= s * z + above + near).all()


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_the_lines_of_a_derivative_are_close(name, parameters):
    """Their distance shrinks with the square of the width where the derivative does not jump."""
    at = np.array([-4.3, -1.1, 0.4, 1.7, 5.2])
    at = at[np.abs(at - 0.5) > 0.15] if parameters.get("threshold") == 1.0 else at
    for width in (0.1, 0.01):
        _, below, above = slope_lines(layer(len(at), name, parameters), at, at + width)
        assert (above - below <= 2 * width**2).all()


@pytest.mark.parametrize(("name", "parameters"), CASES, ids=str)
def test_the_lines_of_a_narrow_interval_are_close(name, parameters):
    """Their distance shrinks with the square of the width, where nothing jumps or has a kink."""
    at = np.array([-4.3, -1.1, 0.4, 1.7, 5.2])
    at = at[np.abs(at - 0.5) > 0.15] if parameters.get("threshold") == 1.0 else at
    for width in (0.1, 0.01):
        _, below, above = parallel_lines(layer(len(at), name, parameters), at, at + width)
        assert (above - below <= width**2).all()


@pytest.mark.parametrize("name", ["tanh", "gelu", "selu", "softplus"])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_bounds_behind_smooth_layers_hold_and_are_no_worse_than_intervals(name, norm):
    rng = np.random.default_rng(1)
    for names in ([name] * 3, [name, "relu", name], ["leaky_relu", name, "abs"]):
        weights = [rng.normal(size=shape) for shape in ((4, 3), (4, 4), (4, 4), (1, 4))]
        net = Network(weights, [rng.normal(size=len(A)) for A in weights], activation=names)
        problem = checked_problem(net, center=rng.normal(size=3), radius=0.05, norm=norm)
        found, balls = preactivation_bounds(net, problem), preactivation_bounds(net, problem, None, Arb)
        x = problem.domain.center + 0.05 * rng.uniform(-1, 1, (2000, 3)) / (1 if norm == "inf" else 3**0.5)
        for l, (low, high) in enumerate(found):
            z = x @ weights[l].T + net.layers[l].bias
            assert (low <= z.min(axis=0) + 1e-12).all() and (z.max(axis=0) - 1e-12 <= high).all()
            x = net.layers[l].value(z) if not net.layers[l].is_kinked else np.where(z > 0, *[
                s * z for s in net.layers[l].slopes[::-1]])  # fmt: skip
            assert np.allclose(balls[l][0], low, atol=1e-10) and np.allclose(balls[l][1], high, atol=1e-10)
        intervals = interval_bounds(net, problem)
        assert all((a[0] >= b[0]).all() and (a[1] <= b[1]).all() for a, b in zip(found, intervals, strict=True))
        if names == [name] * 3:  # where ReLUs are all on or off, nothing may be left to gain
            assert (found[2][1] - found[2][0]).sum() < 0.95 * (intervals[2][1] - intervals[2][0]).sum()
        low, high = output_range(net, problem)
        out = x @ weights[3].T + net.layers[3].bias
        assert low <= out.min() + 1e-12 and out.max() - 1e-12 <= high
        assert np.allclose(output_range(net, problem, None, None, Arb), (low, high), atol=1e-10)
        wide = graph.activated(net.layers[2], intervals[2][0]), graph.activated(net.layers[2], intervals[2][1])
        if names == [name] * 3 and name in ("tanh", "selu", "softplus"):  # which rise
            by_intervals = np.maximum(weights[3], 0) @ wide[1] + np.minimum(weights[3], 0) @ wide[0]
            assert high < (by_intervals + net.layers[3].bias)[0]


def test_slopes_of_a_network_with_smooth_layers_are_refused():
    net = Network([np.eye(2), np.eye(2), np.ones((1, 2))], [np.zeros(2), np.zeros(2), [0.0]], activation="tanh")
    problem = checked_problem(net, center=np.zeros(2), radius=1.0)
    with pytest.raises(ValueError, match="slopes of linear bounds are for piecewise linear layers, but layer 1"):
        preactivation_bounds(net, problem, {(2, 1): np.zeros((2, 2, 2))})
