"""shor bounds of all pairs at once are those of solve_all."""

import numpy as np
import pytest

import hr2jax
from hr2jax.robustness.together import certificates
from tests.robustness.test_certify import network


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
