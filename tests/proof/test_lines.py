"""Linear bounds of many combinations at once hold at every point, of every layer."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax import graph
from hr2jax.arithmetic.enclosure import TooLargeError
from hr2jax.proof.lines import ROWS, Lines
from tests.reference.effort import examples
from tests.reference.general import random_general
from tests.reference.graphs import KINDS


def seen(net, x):
    """(pre-activations of the hidden layers, outputs) at points (n, p_0), float64."""
    found = []
    out = graph.evaluate(net.layers, x, lambda _, z: found.append(z))
    return found[:-1], out


@settings(deadline=None, max_examples=examples(150))
@given(st.integers(0, 2**31), st.sampled_from([KINDS, ("relu",), ("tanh", "gelu", "relu"), ("sigmoid", "leaky_relu")]))
def test_they_hold_at_points(seed, kinds):
    rng = np.random.default_rng(seed)
    net = random_general(rng, kinds=kinds, outputs=3, layers=int(rng.integers(2, 6)))
    p = net.widths[0]
    center, radius = rng.normal(size=p), rng.choice([1e-3, 0.1, 1.0, 3.0])
    lines = Lines(net, hr2jax.Box(center - radius, center + radius))
    x = center + radius * np.concatenate([rng.uniform(-1, 1, (200, p)), rng.choice([-1.0, 1.0], (100, p))])
    pre, y = seen(net, x)
    for z, (low, high) in zip(pre, lines.bounds, strict=True):
        slack = 1e-9 * (1 + np.abs(z))
        assert (z >= low - slack).all() and (z <= high + slack).all()
    M = np.concatenate([rng.normal(size=(5, 3)), rng.integers(-1, 2, (5, 3))])
    assert (y @ M.T >= lines.least(M) - 1e-9 * (1 + np.abs(y).max())).all()
    assert (np.abs(y) <= lines.reach + 1e-9 * (1 + np.abs(y))).all()


def test_they_are_as_tight_as_intervals_and_exact_at_no_kink():
    net = hr2jax.Network([np.eye(3), np.ones((1, 3))], [np.full(3, 2.0), np.zeros(1)])
    lines = Lines(net, hr2jax.Box([-1, -1, -1], [1, 1, 1]))  # all neurons are on
    assert lines.least(np.array([[1.0], [-1.0], [0.5], [0.0]])).tolist() == pytest.approx(
        [3.0, -9.0, 1.5, 0.0], abs=1e-12
    )
    assert lines.reach == pytest.approx([9.0])
    zero = hr2jax.Network([np.eye(1), np.eye(1)], [np.zeros(1), np.zeros(1)])
    assert Lines(zero, hr2jax.Box([-1], [1])).least(np.eye(1)).tolist() == [0.0]  # not a rounding error below


def test_many_rows_and_none():
    net = hr2jax.Network([np.eye(2), np.ones((2, 2))], [np.zeros(2), np.zeros(2)])
    lines = Lines(net, hr2jax.Box([0, 0], [1, 1]))
    M = np.random.default_rng(0).normal(size=(2 * ROWS + 3, 2))
    np.testing.assert_allclose(lines.least(M), [lines.least(row[None])[0] for row in M], rtol=1e-12, atol=1e-12)
    assert lines.least(np.zeros((0, 2))).shape == (0,)


def test_an_overflow_is_said():
    net = hr2jax.Network([[[1e300]], [[1e300]], [[1.0]]], [[0.0], [0.0], [0.0]])
    with pytest.raises(TooLargeError):
        Lines(net, hr2jax.Box([0], [1]))
