"""Constants of many pairs at once are those of solve_all; around inputs they exclude only what cannot happen."""

import numpy as np
import pytest

import hr2jax
from hr2jax.robustness import bilinear
from hr2jax.robustness.bilinear import certificates
from hr2jax.robustness.margins import margins
from tests.reference.classifier import network
from tests.reference.margins import least_margin


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e150])
def test_the_bounds_are_those_of_solve_all_and_are_proved(scale):
    base = network(5, p=6, m=9, outputs=4)
    net = hr2jax.Network([base.weights[0] * scale, base.weights[1]], base.biases)
    pairs = [(k, j) for k in range(4) for j in range(k + 1, 4)]
    results = hr2jax.solve_all(base, pairs, relaxation="shor", tol=1e-4)
    for pair, certificate, result in zip(pairs, certificates(net, pairs, 1e-3), results, strict=True):
        assert certificate.bound / scale == pytest.approx(result.bound, rel=2e-3)
        assert certificate.bound / scale >= result.lower
        assert certificate.verify(net, output=pair) <= certificate.bound * (1 + 1e-12)


def test_nothing_to_bound():
    net = hr2jax.Network([np.zeros((2, 3)), np.ones((3, 2))], [np.ones(2), np.zeros(3)])
    assert [c.bound for c in certificates(net, [(0, 1), (0, 2)], 1e-3)] == [0.0, 0.0]


@pytest.mark.parametrize("clip", [None, (np.full(2, -1.0), np.ones(2))])
def test_what_is_excluded_is_excluded(clip):
    certified = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        net, x = network(seed), rng.uniform(-1, 1, (8, 2))
        labels = np.argmax(net(x), axis=1)
        low, _ = margins(net, x, labels)
        for radius in (0.02, 0.1, 0.3):
            known = np.where(np.isinf(low), np.inf, 0.0)
            bilinear.exclude(net, x, labels, low, known, np.arange(8), radius, clip, lambda: False)
            for i in range(8):
                if known[i].min() >= radius:
                    assert least_margin(net, x[i], labels[i], radius, clip) > 0
                    certified += 1
    assert certified >= 20


def test_the_estimates_are_proved_and_below_the_global_constants():
    net, x = network(3, p=5, m=8), np.full((1, 5), 0.3)
    labels = np.argmax(net(x), axis=1)
    low, _ = margins(net, x, labels)
    known = np.where(np.isinf(low), np.inf, 0.0)
    items = bilinear.items_of(net, x, labels, low, known, 0, 0.2, None)
    values, _ = bilinear.estimates(net, items)
    for item, value in zip(items, values, strict=True):
        pair = (int(labels[0]), item.rival)
        assert 0 < len(item.fixed.layers[0].unstable) < 8
        everywhere = hr2jax.solve(net, output=pair, relaxation="shor").bound
        tightest = hr2jax.solve(net, output=pair, relaxation="hr2", center=x[0], radius=0.2)
        assert tightest.lower <= value * (1 + 1e-3)
        assert value <= everywhere * (1 + 1e-3)


def test_nothing_is_proved_when_time_is_over():
    net, x = network(), np.array([[0.1, 0.2]])
    labels = np.argmax(net(x), axis=1)
    low, _ = margins(net, x, labels)
    known = np.where(np.isinf(low), np.inf, 0.0)
    bilinear.exclude(net, x, labels, low, known, np.arange(1), 1e-3, None, lambda: True)
    assert known.min() == 0
