"""Random models of Keras are read as what they compute, or refused."""

import os

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = framework("keras")

from tests.io.test_keras import double, shaken  # noqa: E402, F401
from tests.reference.random_keras import Draw  # noqa: E402

pytestmark = [
    pytest.mark.framework("keras"),  # whose variables warn of NumPy 2:
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]


def compare(seed):
    """Whether the model is read."""
    drawn = Draw(seed)
    model = shaken(drawn.model)
    what = f"seed {seed}, {model.inputs[0].shape}, {drawn.names}, {len(model.outputs)} outputs"
    try:
        net = hr2jax.as_network(model)
    except ValueError as error:
        assert drawn.strange or "not computed from" in str(error), (what, error)
        assert "\n" not in str(error)
        return False
    x = np.random.default_rng(seed).standard_normal((4, *model.inputs[0].shape[1:])) * 2.0
    x[0] = 0.0
    found = model(x)
    found = found if isinstance(found, list) else [found]
    expected = np.concatenate([np.asarray(v).reshape(4, -1) for v in found], axis=1)
    value = net(x.reshape(4, -1))
    assert value.shape == expected.shape, what
    assert abs(value - expected).max() <= 1e-9 * max(1.0, abs(expected).max()), (what, value, expected)
    return True


@pytest.mark.parametrize("start", range(0, 30, 10))
def test_random_models(start):
    assert sum(compare(seed) for seed in range(start, start + 10)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 2000, 100))
def test_many_random_models(start):
    assert sum(compare(seed) for seed in range(start, start + 100)) > 50
