"""Random modules of PyTorch are read as what they compute, or refused."""

import numpy as np
import pytest

import hr2jax
from tests.reference.frameworks import framework

pytestmark = [
    pytest.mark.framework("torch"),
    pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning"),  # PyTorch's, of old names of operators
]
torch = framework("torch")

from tests.reference.random_torch import Drawn  # noqa: E402


def compare(seed):
    """Whether the module is read."""
    module = Drawn(seed)
    what = f"seed {seed}, {module.shape}, {module.names}, outputs {module.outputs}"
    rng = np.random.default_rng(seed)
    points = [np.zeros(module.shape), *(rng.standard_normal((3, *module.shape)) * 2.0)]
    with torch.no_grad():
        found = [module(torch.as_tensor(x)) for x in points]
    expected = [np.concatenate([v.numpy().ravel() for v in (y if isinstance(y, tuple) else [y])]) for y in found]
    try:
        net = hr2jax.as_network(module, example=points[0])
    except ValueError as error:
        assert module.is_strange or "not computed from" in str(error) or "takes no tensor" in str(error), (what, error)
        assert "\n" not in str(error)
        return False
    for x, y in zip(points, expected, strict=True):
        value = net(x.ravel())
        assert value.shape == y.shape, what
        assert abs(value - y).max() <= 1e-9 * max(1.0, abs(y).max()), (what, value, y)
    return True


def compared(seeds):
    assert sum(compare(seed) for seed in seeds) > len(seeds) / 2


@pytest.mark.parametrize("start", range(0, 50, 10))
def test_random_modules(start):
    compared(range(start, start + 10))


@pytest.mark.slow
@pytest.mark.parametrize("start", range(1000, 2000, 100))
def test_many_random_modules(start):
    compared(range(start, start + 100))
