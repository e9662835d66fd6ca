"""Networks made of networks are the functions that they say, exactly; chains stay chains where nothing is rounded."""

from fractions import Fraction

import numpy as np
import pytest

import hr2jax
from hr2jax.layer import Layer
from hr2jax.network import Network

from .reference.cases import exact, random_net
from .reference.general import member, pre_activations, random_general


def value(net, x):
    """The exact value of a network without radii."""
    return pre_activations(member(net, np.random.default_rng(0)), x)[-1]


def drawn(seed, radii=0.0):
    rng = np.random.default_rng(seed)
    pair = [random_general(rng, inputs=3, outputs=2, radii=radii) for _ in range(2)]
    return [*pair, rng, exact(rng.normal(size=3))]


@pytest.mark.parametrize("seed", range(30))
def test_a_difference(seed):
    first, second, _, x = drawn(seed)
    assert (value(first - second, x) == value(first, x) - value(second, x)).all()


@pytest.mark.parametrize("seed", range(30))
def test_combined_outputs_and_moved_inputs(seed):
    net, _, rng, _ = drawn(seed)
    M, A, x = rng.normal(size=(4, 2)), rng.normal(size=(3, 2)), exact(rng.normal(size=2))
    assert (value(M @ net, exact(A) @ x) == exact(M) @ value(net, exact(A) @ x)).all()
    assert (value(net @ A, x) == value(net, exact(A) @ x)).all()
    assert (value(M @ net @ A, x) == exact(M) @ value(net, exact(A) @ x)).all()


@pytest.mark.parametrize("seed", range(20))
def test_a_network_of_some_inputs(seed):
    net, _, rng, _ = drawn(seed)
    at, x = rng.normal(size=3), exact(rng.normal(size=2))
    for rest in (None, at):
        full = exact(np.zeros(3) if rest is None else at)
        full[[2, 0]] = x
        assert (value(net.restrict([2, 0], rest), x) == value(net, full)).all()


def test_what_float64_holds_becomes_one_map():
    net = random_net(np.random.default_rng(0), [3, 4, 2], 1.0, 0.3)
    for same in (net @ np.eye(3), np.eye(2) @ net, net @ np.diag([2.0, 0.5, -1.0]), net.restrict([1, 2])):
        assert same.is_chain
    assert (net @ np.diag([3.0, 1.0, 0.1])).structure.masked == (2,)


def test_the_difference_of_equal_networks_has_the_constant_0_where_masks_are_shared_by_no_one():
    net = Network.from_layers([Layer({0: [[3.0, 4.0]]}, [0.0], "identity")])
    found = hr2jax.solve(net - net, norm=2, relaxation="product", witness=0)
    assert 0.0 <= found.bound <= 10.0 + 1e-9
    assert hr2jax.solve(net - net, norm=2, relaxation="interval", witness=0).bound <= 1e-12


def test_radii_stay_radii():
    first, second, _, x = drawn(3, radii=1.0)
    both, rng = first - second, np.random.default_rng(0)
    assert both.has_radii
    values = []
    for _ in range(3):
        one, other = (pre_activations(member(net, rng), x)[-1] for net in (first, second))
        values.append(one - other)
    point = np.array([float(v) for v in x])
    enclosed = hr2jax.graph.evaluate(both.layers, hr2jax.arithmetic.enclosure.Enclosure(point))
    for found in values:
        for v, mid, rad in zip(found, enclosed.mid, enclosed.rad, strict=True):
            assert abs(v - Fraction(mid)) <= Fraction(rad) + abs(v) * Fraction(2) ** -50


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda net: net @ np.eye(2), "A must have 3 rows, the network's inputs"),
        (lambda net: np.eye(3) @ net, "M must have 2 columns, the network's outputs"),
        (lambda net: net.restrict([]), "inputs must be one or more numbers of inputs 0..2"),
        (lambda net: net.restrict([0, 0]), "inputs must be distinct numbers of inputs 0..2"),
        (lambda net: net.restrict([3]), "inputs must be distinct numbers"),
        (lambda net: net.restrict([0], [1.0]), r"at must have shape \(3,\)"),
        (lambda net: net - net.restrict([0, 1]), "of networks with as many inputs, but they have 3 and 2"),
        (lambda net: net - np.eye(1, 2) @ net, "as many outputs, but they have 2 and 1"),
    ],
)
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        build(random_net(np.random.default_rng(0), [3, 4, 2], 1.0, 0.3))


def test_a_network_and_a_number_have_no_difference():
    with pytest.raises(TypeError):
        random_net(np.random.default_rng(0), [3, 4, 2], 1.0, 0.3) - 1.0
