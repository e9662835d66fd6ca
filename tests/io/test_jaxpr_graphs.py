"""Random functions of JAX are read as what they compute, or refused."""

import jax
import numpy as np
import pytest

import hr2jax
from tests.io.test_jaxpr import double  # noqa: F401
from tests.reference.effort import FULL
from tests.reference.random_jax import Drawn


def compare(seed):
    """Whether the function is read."""
    function = Drawn(seed)
    what = f"seed {seed}, {function.shape}, {function.names}, outputs {function.outputs}"
    rng = np.random.default_rng(seed)
    points = [np.zeros(function.shape), *(rng.standard_normal((3, *function.shape)) * 2.0)]
    try:
        net = hr2jax.as_network(function, example=points[0])
    except ValueError as error:
        assert function.is_strange or "not computed from" in str(error), (what, error)
        assert "\n" not in str(error)
        return False
    for x in points:
        expected = np.concatenate([np.ravel(v) for v in function(jax.numpy.asarray(x))])
        value = net(x.ravel())
        assert value.shape == expected.shape, what
        assert abs(value - expected).max() <= 1e-9 * max(1.0, abs(expected).max()), (what, value, expected)
    return True


@pytest.mark.parametrize("start", range(0, 60 if FULL else 6, 6))
def test_random_functions(start):
    assert any([compare(seed) for seed in range(start, start + 6)])  # all of them


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 2000, 100))
def test_many_random_functions(start):
    assert sum(compare(seed) for seed in range(start, start + 100)) > 50
