"""An attained bound is proved at an actual point, or it is 0."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Network
from hr2jax.lower import attained
from hr2jax.problem import lipschitz_problem

from ..test_proof import exact_z, gradient_norm, rational


def kinked():
    """ReLU(x+5) - ReLU(x) + ReLU(-x): constant on [-1, 1], though its formal gradient at 0 is 1."""
    A, C = np.array([[1.0], [1.0], [-1.0]]), np.array([[1.0, -1.0, 1.0]])
    return Network([A, C], [np.array([5.0, 0.0, 0.0]), np.zeros(1)])


def test_a_point_on_a_kink_proves_nothing():
    net = kinked()
    problem = lipschitz_problem(net, center=np.zeros(1), radius=1.0)
    assert abs(net.gradient(np.zeros(1))).sum() == 1.0
    assert attained(net, problem, np.zeros(1)) == 0.0


def test_a_point_within_rounding_of_a_kink_proves_nothing():
    A = np.array([[0.1, 0.2, -0.3]])
    net = Network([A, np.ones((1, 1))], [np.zeros(1), np.zeros(1)])
    assert attained(net, lipschitz_problem(net), np.array([1.0, 1.0, 1.0])) == 0.0  # 0.1 + 0.2 - 0.3 is 5.6e-17


def test_a_neuron_that_cannot_matter_may_vanish():
    A, C = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 5.0, 0.0]])
    net = Network([A, C], [np.zeros(3), np.zeros(1)])
    assert attained(net, lipschitz_problem(net), np.array([1.0, 0.0])) == pytest.approx(2.0, rel=1e-12)


def test_points_outside_the_box_prove_nothing_and_its_edge_belongs_to_it():
    net = Network([np.eye(2), np.ones((1, 2))], [np.ones(2) * 9, np.zeros(1)])
    problem = lipschitz_problem(net, center=np.array([0.1, 0.2]), radius=np.array([0.5, 0.0]))
    inside = np.array([0.1 + 0.25, 0.2])
    assert attained(net, problem, inside) == pytest.approx(1.0, rel=1e-12)  # only the first input moves
    for outside in ([0.1 + 0.25, np.nextafter(0.2, 1)], [0.61, 0.2], [np.nan, 0.2], [np.inf, 0.2]):
        assert attained(net, problem, np.array(outside)) == 0.0
    unit = lipschitz_problem(net, center=np.zeros(2), radius=0.5)
    assert attained(net, unit, np.array([0.5, -0.5])) == pytest.approx(2.0, rel=1e-12)


def test_what_overflows_proves_nothing():
    net = Network([np.full((1, 2), 1e300), np.full((1, 1), 1e300)], [np.ones(1), np.zeros(1)])
    assert attained(net, lipschitz_problem(net), np.ones(2)) == 0.0


def test_a_wrong_shape_and_norm_2_are_refused():
    net = kinked()
    with pytest.raises(ValueError, match="shape"):
        attained(net, lipschitz_problem(net), np.zeros(2))
    with pytest.raises(NotImplementedError):
        attained(net, lipschitz_problem(net, norm=2), np.zeros(1))


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), local=st.booleans(), outputs=st.integers(1, 3))
def test_it_never_exceeds_the_exact_gradient_norm_and_comes_close(seed, local, outputs):
    rng = np.random.default_rng(seed)
    p, m = rng.integers(1, 5, 2)
    scales = 10.0 ** rng.integers(-8, 9, (m, 1))
    net = Network([rng.standard_normal((m, p)) * scales, rng.standard_normal((outputs, m)) / scales.T],
                  [rng.standard_normal(m) * scales[:, 0], np.zeros(outputs)])  # fmt: skip
    box = dict(center=rng.standard_normal(p), radius=np.append(rng.random(p - 1).round(1), 0.7)) if local else {}
    problem = lipschitz_problem(net, rng.standard_normal(outputs), **box)
    x = box["center"] + 0.9 * (2 * rng.random(p) - 1) * box["radius"] if local else rng.standard_normal(p)
    pattern = tuple(int(z > 0) for z in exact_z(net, rational(x)))
    exact = gradient_norm(net, problem, pattern)
    found = attained(net, problem, x)
    assert Fraction(found) <= exact
    assert found == 0.0 or found >= float(exact) * (1 - 1e-9)
