"""L-BFGS on functions whose minimum is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hr2jax.engines.lbfgs import lbfgs

SIZE = 20


@jax.jit
def quadratic(x, diagonal, first_step, tolerance, steps):
    """1/2 x.Dx - sum x from x."""

    def evaluate(x):
        return 0.5 * jnp.vdot(x, diagonal * x) - x.sum(), diagonal * x - 1.0

    return lbfgs(evaluate, x, first_step, tolerance, steps)


@jax.jit
def rosenbrock(x, first_step, tolerance, steps):
    def value(x):
        return jnp.sum(100.0 * (x[1::2] - x[::2] ** 2) ** 2 + (1.0 - x[::2]) ** 2)

    return lbfgs(jax.value_and_grad(value), x, first_step, tolerance, steps)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e4])
@pytest.mark.parametrize("first_step", [1e-3, 1.0, 30.0])
def test_a_quadratic(condition, first_step):
    diagonal = np.geomspace(1.0, condition, SIZE)
    x, norm, used = quadratic(np.zeros(SIZE), diagonal, first_step, 1e-7, 2000)
    np.testing.assert_allclose(x, 1.0 / diagonal, rtol=0, atol=1e-7)  # the least eigenvalue is 1
    assert float(norm) <= 1e-7
    assert float(norm) == pytest.approx(float(np.linalg.norm(diagonal * np.asarray(x) - 1.0)), abs=1e-12)
    assert 0 < int(used) < 2000


def test_rosenbrock():
    start = np.tile([-1.2, 1.0], SIZE // 2)
    x, norm, used = rosenbrock(start, 0.1, 1e-8, 2000)
    np.testing.assert_allclose(x, 1.0, rtol=0, atol=1e-7)
    assert float(norm) <= 1e-8
    assert int(used) < 500


def test_it_stops_after_the_steps_it_is_given():
    start = np.tile([-1.2, 1.0], SIZE // 2)
    values = []
    for steps in (0, 1, 3, 30):
        x, norm, used = rosenbrock(start, 0.1, 1e-12, steps)
        assert int(used) == steps
        x = np.asarray(x)
        values.append(float(np.sum(100.0 * (x[1::2] - x[::2] ** 2) ** 2 + (1.0 - x[::2]) ** 2)))
        assert float(norm) > 1e-12
    assert values == sorted(values, reverse=True)


def test_at_the_minimum_it_does_nothing():
    x, norm, used = quadratic(np.ones(SIZE), np.ones(SIZE), 1.0, 1e-9, 100)
    assert int(used) == 0
    assert float(norm) == 0.0
    np.testing.assert_array_equal(x, 1.0)


def test_float32_comes_as_near_as_it_can():
    diagonal = np.geomspace(1.0, 100.0, SIZE).astype(np.float32)
    x, _, used = quadratic(np.zeros(SIZE, dtype=np.float32), diagonal, np.float32(1.0), np.float32(0.0), 500)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, 1.0 / diagonal, rtol=0, atol=1e-4)
    assert int(used) <= 500


def test_no_step_is_longer_than_the_longest():
    """A value that only falls, ever more slowly, far out."""

    def evaluate(x):
        return jnp.sum(1.0 / x), -1.0 / x**2

    def run(longest, steps):
        return jax.jit(lambda x, steps: lbfgs(evaluate, x, 0.1, 0.0, steps, longest=longest)[0])(np.ones(3), steps)

    free, held = ([np.linalg.norm(run(longest, steps)) for steps in range(1, 12)] for longest in (jnp.inf, 2.0))
    assert np.diff(held).max() <= 2.0 + 1e-12
    assert np.diff(held).max() > 1.0
    assert np.diff(free).max() > 4.0
