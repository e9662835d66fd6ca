"""The search's network in its own units: its gradients are the network's, its smooth slopes those of differences."""

import numpy as np
import pytest

from hr2jax import Layer, Network
from hr2jax.lower.effort import Effort
from hr2jax.lower.norms import lengths
from hr2jax.lower.regions.ascent import Ascent, _of_norm
from hr2jax.lower.regions.regions import values
from hr2jax.lower.regions.units import build_units
from hr2jax.problem import checked_problem

RNG = np.random.default_rng(0)


def chain():
    weights = [RNG.standard_normal((m, n)) for n, m in ((4, 6), (6, 5), (5, 3))]
    return Network(weights, [0.3 * RNG.standard_normal(len(A)) for A in weights])


def residual():
    def layer(p, activation, *inputs):
        arrays = {k: RNG.standard_normal((p, n)) for k, n in inputs}
        return Layer(arrays, 0.3 * RNG.standard_normal(p), activation)

    return Network.from_layers([
        layer(6, "leaky_relu", (0, 4)), layer(5, "abs", (1, 6), (0, 4)), layer(4, "identity", (2, 5), (1, 6)),
        layer(6, "prelu", (3, 4), (2, 5)), layer(3, "identity", (4, 6), (0, 4), (2, 5)),
    ])  # fmt: skip


NETWORKS = {"chain": chain(), "residual": residual()}
CASES = [(n, norm, box) for n in NETWORKS for norm, box in (("inf", True), (2, True), ("inf", False))]


def ascent(name, norm, local):
    net = NETWORKS[name]
    problem = checked_problem(net, 1, norm, **({"center": np.full(4, 0.1), "radius": 0.7} if local else {}))
    units = build_units(net, problem)
    return net, units, Ascent(net, units, Effort(net))


def at(search, xi):
    """The search's values at points xi."""
    return search.values(search.preactivations(xi.astype(np.float32)))


@pytest.mark.parametrize(("name", "norm", "local"), CASES)
def test_values_are_the_networks_up_to_one_factor(name, norm, local):
    net, units, search = ascent(name, norm, local)
    xi = units.random(40, np.random.default_rng(1))
    ours, true = at(search, xi), values(net, units, units.points(xi))
    moves = true > 0  # somewhere all neurons are off
    assert moves.mean() > 0.3
    ratios = ours[moves] / true[moves]
    # float32 may see a point beside a kink on its other side
    assert np.mean(np.abs(ratios / np.median(ratios) - 1) < 1e-3) >= 0.9


@pytest.mark.parametrize(("name", "norm", "local"), CASES)
def test_the_smooth_slope_is_that_of_differences(name, norm, local):
    """In float64, of ||g(masks)|| with the sigmoids of this width as masks."""
    net, _, search = ascent(name, norm, local)
    search.layers = [layer.mapped(lambda A: np.asarray(A, np.float64)) for layer in search.layers]
    search.spread = [np.asarray(s, np.float64) for s in search.spread]
    search.slopes = [layer.slopes for layer in net.layers[:-1]]
    search.inverse = np.asarray(search.inverse, np.float64)
    width = np.float32(0.7)

    def smooth(x):
        z = search.preactivations(x)
        masks = [
            a + (b - a) / (1 + np.exp(-zl / (float(width) * s)))
            for zl, (a, b), s in zip(z, search.slopes, search.spread, strict=True)
        ]
        return search._norms(search.gradients(masks))

    x, step = np.random.default_rng(2).uniform(-0.5, 0.5, (5, 4)), 1e-6
    slopes = search.smooth_slope(search.preactivations(x), width)
    for j in range(4):
        e = step * np.eye(4)[j]
        np.testing.assert_allclose(slopes[:, j], (smooth(x + e) - smooth(x - e)) / (2 * step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("norm", [1, 2, "inf"])
def test_directions_are_derivatives_of_norms(norm):
    g = np.random.default_rng(3).standard_normal((6, 5))
    step = 1e-6 * np.random.default_rng(4).standard_normal((6, 5))
    change = lengths(g + step, norm) - lengths(g - step, norm)
    np.testing.assert_allclose((_of_norm(g, norm) * step).sum(axis=1), change / 2, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("local", [True, False])
def test_searching_finds_more_than_sampling(local):
    _, units, search = ascent("residual", "inf", local)
    random = np.random.default_rng(5)
    sampled = at(search, units.random(64, random)).max()
    start = units.random(search.points, random)
    for found in (search.ascend(start, 60), search.anneal(random, start, 120)):
        assert at(search, found).max() >= sampled
    assert search.effort.spent > 0
