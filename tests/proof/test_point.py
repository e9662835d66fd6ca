"""Values and verdicts at points, in rational numbers and by enclosures."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hr2jax
from hr2jax.io.vnnlib import parsed
from hr2jax.proof.point import exact_values, known
from tests.reference.effort import examples
from tests.reference.general import random_general
from tests.reference.segments import values

DECLARED = "(declare-const X_0 Real)(declare-const Y_0 Real)(assert (>= X_0 -9))(assert (<= X_0 9))"


@settings(deadline=None, max_examples=examples(60))
@given(st.integers(0, 10**6), st.integers(1, 10**4))
def test_values_are_exact(seed, denominator):
    rng = np.random.default_rng(seed)
    net = random_general(rng)
    x = [Fraction(int(k), denominator) for k in rng.integers(-denominator, denominator, net.widths[0])]
    found = exact_values(net, x)
    assert found == values(net, x)[1]
    np.testing.assert_allclose(net([float(v) for v in x]), [float(v) for v in found], rtol=1e-9, atol=1e-9)


def test_a_kink_is_decided_exactly():
    """ReLU(x) - x/10 at x = 1/10, where no float64 is."""
    net = hr2jax.Network([[[1.0], [-1.0]], [[1.0, -1.0]]], [[0.0, 0.0], [0.0]])
    for condition, truth in (("(<= Y_0 0.1)", True), ("(< Y_0 0.1)", False), ("(== Y_0 X_0)", True)):
        formula = parsed(f"{DECLARED}(assert {condition})").formula
        assert known(net, formula, [Fraction(1, 10)]) is truth


def test_smooth_networks_by_enclosures():
    net = hr2jax.Network([[[1.0]], [[1.0]]], [[0.0], [0.0]], activation="tanh")
    x = [Fraction(1, 2)]
    assert exact_values(net, x) is None

    def said(condition):
        return known(net, parsed(f"{DECLARED}(assert {condition})").formula, x)

    assert said("(<= Y_0 0.47)") is True and said("(>= Y_0 0.47)") is False
    assert said("(<= Y_0 0.4621171572600098)") is None  # tanh(1/2) = 0.46211715726000975...: closer than float64 tells


@pytest.mark.parametrize("radius", [0.0, 1e-3])
def test_every_member_of_a_network_with_radii_meets_it(radius):
    layer = hr2jax.Layer({0: (np.array([[1.0]]), np.array([[radius]]))}, np.zeros(1), "relu")
    net = hr2jax.Network.from_layers([layer, hr2jax.Layer({1: np.eye(1)}, np.zeros(1), "identity")])
    formula = parsed(f"{DECLARED}(assert (<= Y_0 1.0005))").formula
    assert known(net, formula, [Fraction(1)]) is (True if radius == 0 else None)
