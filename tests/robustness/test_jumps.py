"""Softplus jumps at its threshold, as torch's does: no radius is certified across what a constant does not see."""

import math

import numpy as np
import pytest

import hr2jax
from hr2jax import Layer, Network
from hr2jax.arithmetic.hulls import jump
from hr2jax.bounds.jumps import may_jump
from hr2jax.robustness.jumps import below_jumps, distances

VIA = ("lipschitz-global", "lipschitz-local", "sdp")


def falling(threshold, weight):
    """The label's margin is 1 - weight (softplus(x) - threshold): it falls by a jump just below the threshold."""
    hidden = Layer({0: [[1.0]]}, [0.0], "softplus", {"threshold": threshold})
    return Network.from_layers([hidden, Layer({1: [[-weight], [0.0]]}, [weight * threshold + 1.0, 0.0], "identity")])


@pytest.mark.parametrize("via", VIA)
@pytest.mark.parametrize(("threshold", "weight"), [(0.1, 2.0), (20.0, 1e9)])
def test_no_radius_is_certified_across_a_jump(via, threshold, weight):
    net = falling(threshold, weight)
    x = np.array([[threshold + 0.1 / weight]])
    across = float(x[0, 0] - threshold) + 1e-3 / weight
    value = net(x[0] - across)
    assert net(x[0])[0] > 0 > value[0] - value[1]  # the jump has changed the label
    radii = [1e-3 / weight, 0.5 / weight, 1.0 / weight]
    report = hr2jax.certify(net, x, [0], radii=radii, via=via, radius_accuracy=0.1)
    assert report.radius[0] < across


@pytest.mark.parametrize("via", VIA[:2])
def test_far_from_the_threshold_a_constant_counts(via):
    net = falling(20.0, 1.0)
    report = hr2jax.certify(net, [[3.0]], [0], radii=[0.1, 5.0], via=via)
    assert report.certified.all()
    assert report.radius[0] > 5.0


def test_the_distance_to_a_network_without_jumps_is_bounded():
    rng = np.random.default_rng(0)
    parameters = {"beta": 1.5, "threshold": 0.25}
    A = [rng.normal(size=shape) for shape in ((4, 2), (3, 4), (3, 2), (3, 3), (2, 3))]
    net = Network.from_layers([
        Layer({0: A[0]}, rng.normal(size=4), "softplus", parameters),
        Layer({0: A[2], 1: A[1]}, rng.normal(size=3), "leaky_relu", {"negative_slope": -2.0}),
        Layer({2: A[3]}, rng.normal(size=3), "softplus", parameters), Layer({3: A[4]}, [0.0, 0.0], "identity"),
    ])  # fmt: skip

    def without(x):
        values = [x]
        for layer in net.layers:
            z = layer.bias + sum(values[k] @ M.T for k, M in layer.inputs.items())
            if layer.activation == "softplus":
                over = parameters["beta"] * z > parameters["threshold"]
                values.append(np.where(over, z + jump(parameters), np.log1p(np.exp(1.5 * z)) / 1.5))
            else:
                values.append(np.where(z > 0, z, -2.0 * z) if layer.activation == "leaky_relu" else z)
        return values[-1]

    x = 3.0 * rng.normal(size=(2000, 2))
    apart, most = abs(net(x) - without(x)).max(axis=0), distances(net)
    assert (apart <= most).all() and (apart >= 0.05 * most).all()
    left = below_jumps(net, np.array([[np.inf, 10.0]]), np.array([0]))
    assert left[0, 0] == np.inf and left[0, 1] == pytest.approx(10.0 - 2.0 * most.sum())
    assert may_jump(net, None) and not may_jump(net, [(np.full(n, -9.0), np.zeros(n)) for n in (4, 3, 3)])
    assert may_jump(net, [(np.zeros(n), np.ones(n)) for n in (4, 3, 3)])


def test_what_does_not_jump_loses_nothing():
    net, margins = Network([np.eye(2)] * 2, [np.zeros(2)] * 2, activation="tanh"), np.array([[np.inf, 0.5]])
    assert not distances(net).any() and not may_jump(net, None)
    assert below_jumps(net, margins, np.array([0])) is margins


@pytest.mark.parametrize(("threshold", "beta"), [(20.0, 1.0), (1.0, 2.5), (0.0, 1.0), (-3.0, 0.5), (700.0, 1e-3)])
def test_how_far_a_softplus_falls(threshold, beta):
    exact = math.log1p(math.exp(-threshold)) / beta
    assert exact * (1 - 1e-14) <= jump({"threshold": threshold, "beta": beta}) <= exact * (1 + 1e-14)
    assert 0 < jump({"threshold": np.finfo(float).max}) < 1e-300  # ONNX's has none
    assert jump({"threshold": -1e300, "beta": 1e-300}) == math.inf
