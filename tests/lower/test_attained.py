"""An attained bound is proved at an actual point, or it is 0."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Network
from hr2jax.lower import attained, search
from hr2jax.problem import checked_problem
from tests.reference.effort import examples

from ..reference.proofs import exact_z, gradient_norm, rational
from ..reference.regions import as_float, at_most, exact_gradient, pattern_at, random_network


def kinked():
    """ReLU(x+5) - ReLU(x) + ReLU(-x): constant on [-1, 1], though its formal gradient at 0 is 1."""
    A, C = np.array([[1.0], [1.0], [-1.0]]), np.array([[1.0, -1.0, 1.0]])
    return Network([A, C], [np.array([5.0, 0.0, 0.0]), np.zeros(1)])


def test_a_point_on_a_kink_proves_nothing():
    net = kinked()
    problem = checked_problem(net, center=np.zeros(1), radius=1.0)
    assert abs(net.gradient(np.zeros(1))).sum() == 1.0
    assert attained(net, problem, np.zeros(1)) == 0.0


def test_a_point_within_rounding_of_a_kink_proves_nothing():
    A = np.array([[0.1, 0.2, -0.3]])
    net = Network([A, np.ones((1, 1))], [np.zeros(1), np.zeros(1)])
    assert attained(net, checked_problem(net), np.array([1.0, 1.0, 1.0])) == 0.0  # 0.1 + 0.2 - 0.3 is 5.6e-17


def test_a_neuron_that_cannot_matter_may_vanish():
    A, C = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]), np.array([[2.0, 5.0, 0.0]])
    net = Network([A, C], [np.zeros(3), np.zeros(1)])
    assert attained(net, checked_problem(net), np.array([1.0, 0.0])) == pytest.approx(2.0, rel=1e-12)


def test_points_outside_the_box_prove_nothing_and_its_edge_belongs_to_it():
    net = Network([np.eye(2), np.ones((1, 2))], [np.ones(2) * 9, np.zeros(1)])
    problem = checked_problem(net, center=np.array([0.1, 0.2]), radius=np.array([0.5, 0.0]))
    inside = np.array([0.1 + 0.25, 0.2])
    assert attained(net, problem, inside) == pytest.approx(1.0, rel=1e-12)  # only the first input moves
    for outside in ([0.1 + 0.25, np.nextafter(0.2, 1)], [0.61, 0.2], [np.nan, 0.2], [np.inf, 0.2]):
        assert attained(net, problem, np.array(outside)) == 0.0
    unit = checked_problem(net, center=np.zeros(2), radius=0.5)
    assert attained(net, unit, np.array([0.5, -0.5])) == pytest.approx(2.0, rel=1e-12)


def test_what_overflows_proves_nothing():
    net = Network([np.full((1, 2), 1e300), np.full((1, 1), 1e300)], [np.ones(1), np.zeros(1)])
    assert attained(net, checked_problem(net), np.ones(2)) == 0.0


def test_a_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        attained(kinked(), checked_problem(kinked()), np.zeros(2))


@settings(max_examples=examples(200), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), local=st.booleans(), outputs=st.integers(1, 3))
def test_it_never_exceeds_the_exact_gradient_norm_and_comes_close(seed, local, outputs):
    rng = np.random.default_rng(seed)
    p, m = rng.integers(1, 5, 2)
    scales = 10.0 ** rng.integers(-8, 9, (m, 1))
    net = Network([rng.standard_normal((m, p)) * scales, rng.standard_normal((outputs, m)) / scales.T],
                  [rng.standard_normal(m) * scales[:, 0], np.zeros(outputs)])  # fmt: skip
    box = dict(center=rng.standard_normal(p), radius=np.append(rng.random(p - 1).round(1), 0.7)) if local else {}
    problem = checked_problem(net, rng.standard_normal(outputs), **box)
    x = box["center"] + 0.9 * (2 * rng.random(p) - 1) * box["radius"] if local else rng.standard_normal(p)
    pattern = tuple(int(z > 0) for z in exact_z(net, rational(x)))
    exact = gradient_norm(net, problem, pattern)
    found = attained(net, problem, x)
    assert Fraction(found) <= exact
    assert found == 0.0 or found >= float(exact) * (1 - 1e-9)


# Several layers, norm 2 -----------------------------------------------------------------------------------


def kinked_below():
    """The same behind a layer that passes x on as x + 9, and with a third layer on top."""
    A, C = np.array([[1.0], [1.0], [-1.0]]), np.array([[1.0, -1.0, 1.0]])
    shift = np.array([5.0, 0.0, 0.0]) - 9.0 * A[:, 0]
    return Network([np.ones((1, 1)), A, C, np.ones((1, 1))], [np.full(1, 9.0), shift, np.full(1, 3.0), np.zeros(1)])


@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_kink_in_the_second_layer_proves_nothing(norm):
    net = kinked_below()
    problem = checked_problem(net, norm=norm, center=np.zeros(1), radius=1.0)
    assert abs(net.gradient(np.zeros(1))).sum() == 1.0  # though the function is constant on [-1, 1]
    assert attained(net, problem, np.zeros(1)) == 0.0
    assert attained(net, problem, np.full(1, 0.5)) <= 1e-12
    wide = checked_problem(net, norm=norm, center=np.zeros(1), radius=7.0)
    assert attained(net, wide, np.full(1, -6.0)) == pytest.approx(1.0, rel=1e-12)


def test_a_neuron_above_a_dead_one_is_constant():
    net = Network([np.array([[1.0], [1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]), np.ones((1, 2))],
                  [np.array([0.0, -5.0]), np.array([0.0, 1.0]), np.zeros(1)])  # fmt: skip
    # neuron (2, 0) is 0 around x = 1, since what it sees is off there: its kink does not matter
    assert attained(net, checked_problem(net), np.ones(1)) == pytest.approx(1.0, rel=1e-12)
    assert attained(net, checked_problem(net), np.full(1, 5.0)) == 0.0  # here it wakes up
    assert attained(net, checked_problem(net), np.full(1, 6.0)) == pytest.approx(2.0, rel=1e-12)


def test_membership_of_the_ball_is_exact():
    net = Network([np.eye(2), np.ones((1, 2))], [np.ones(2) * 9, np.zeros(1)])
    problem = checked_problem(net, norm=2, center=np.zeros(2), radius=5.0)
    full = pytest.approx(np.sqrt(2.0), rel=1e-12)
    assert attained(net, problem, np.array([3.0, 4.0])) == full  # on the sphere, exactly
    assert attained(net, problem, np.array([3.0, np.nextafter(4.0, 5.0)])) == 0.0
    assert attained(net, problem, np.array([-3.0, np.nextafter(-4.0, 0.0)])) == full
    tiny = checked_problem(net, norm=2, center=np.zeros(2), radius=5e-200)  # squares underflow
    assert attained(net, tiny, np.array([3e-200, 3.9e-200])) == full
    assert attained(net, tiny, np.array([3e-200, 4.1e-200])) == 0.0
    huge = checked_problem(net, norm=2, center=np.zeros(2), radius=5e200)
    assert attained(net, huge, np.array([3e200, 4.1e200])) == 0.0


@settings(max_examples=examples(200), deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    depth=st.integers(1, 4),
    norm=st.sampled_from(["inf", 2]),
    local=st.booleans(),
    kind=st.sampled_from(["normal", "uneven", "ties"]),
)
def test_it_is_at_most_the_exact_norm_at_any_depth(seed, depth, norm, local, kind):
    rng = np.random.default_rng(seed)
    net = random_network(rng, rng.integers(1, 5, depth).tolist(), *map(int, rng.integers(1, 4, 2)), kind)
    p = net.widths[0]
    box = {}
    if local:
        box = dict(center=rng.choice([0.0, 0.5, 1.0, 0.1], p), radius=1.0)
        if norm == "inf":
            box["radius"] = rng.choice([0.0, 0.5, 1.0], p)
            box["radius"][rng.integers(p)] = 0.7
    problem = checked_problem(net, rng.choice([1.0, -1.0, 0.3], net.widths[-1]), norm=norm, **box)
    x = rng.choice([0.0, 0.5, 1.0, -0.1], p) if kind == "ties" else rng.standard_normal(p)
    if local:
        x = box["center"] + 0.9 * np.clip(x, -1, 1) * box["radius"] / (np.sqrt(p) if norm == 2 else 1.0)
    found = attained(net, problem, x)
    # f is affine around x where anything is claimed: the gradient anywhere near is the same.
    free = problem.domain.free(p)
    for _ in range(2):
        near = rational(x)
        near[free] += rational(rng.standard_normal(len(free))) * Fraction(1, 10**60)
        assert at_most(found, exact_gradient(net, problem, near), norm)
    if depth > 1 and all(sign for layer in pattern_at(net, rational(x)) for sign in layer):
        assert found >= as_float(exact_gradient(net, problem, rational(x)), norm) * (1 - 1e-8)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_twenty_layers_are_as_sharp_as_one(norm):
    rng = np.random.default_rng(0)
    widths = [50] * 21 + [1]
    net = Network([rng.standard_normal((m, n)) * np.sqrt(2 / n) for n, m in pairwise(widths)],
                  [0.1 * rng.standard_normal(m) for m in widths[1:]])  # fmt: skip
    x = rng.standard_normal(50)
    problem = checked_problem(net, norm=norm)
    gradient = exact_gradient(net, problem, rational(x))
    found = attained(net, problem, x)
    assert at_most(found, gradient, norm)
    assert found >= as_float(gradient, norm) * (1 - 1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e-145, 1e145])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_what_is_attained_is_seen_at_extreme_scales(norm, scale):
    """`lower` was 0, the gap 100 %: squares of gradients below 1e-162 are 0, enclosures wider than 1e-289."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 3)), rng.standard_normal((1, 4))]
    biases = [rng.standard_normal(4), np.zeros(1)]
    usual, scaled = (Network([s * A for A in weights], [s * b for b in biases]) for s in (1.0, scale))
    x = np.array([0.1, -0.2, 0.3])
    expected = attained(usual, checked_problem(usual, norm=norm), x)
    assert expected > 0
    problem = checked_problem(scaled, norm=norm)
    assert attained(scaled, problem, x) / scale / scale == pytest.approx(expected, rel=1e-9)
    found, _ = search(scaled, checked_problem(scaled, norm=norm, center=x, radius=1.0), seconds=1.0)
    assert found >= attained(scaled, problem, x)
