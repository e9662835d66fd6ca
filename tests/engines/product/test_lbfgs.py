"""L-BFGS on functions whose minimum is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hr2jax.engines.product.lbfgs import _inverse_hessian_times, advance, beginning
from hr2jax.engines.product.program import MEMORY

SIZE = 20


def lbfgs(value_and_gradient, x, first_step, tolerance, steps, memory=MEMORY, **longest):
    """A minimisation in one piece: x, the gradient's norm there, and the evaluations used."""
    s = advance(value_and_gradient, beginning(x, memory), first_step, tolerance, steps, **longest)
    return s["x"], jnp.linalg.norm(s["g"]), s["used"]


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

    run = jax.jit(lambda longest, steps: lbfgs(evaluate, jnp.ones(3), 0.1, 0.0, steps, longest=longest)[0])
    free, held = ([np.linalg.norm(run(longest, steps)) for steps in range(1, 12)] for longest in (np.inf, 2.0))
    assert np.diff(held).max() <= 2.0 + 1e-12
    assert np.diff(held).max() > 1.0
    assert np.diff(free).max() > 4.0


def test_the_compact_form_is_bfgs_own_update():
    """H g against Broyden, Fletcher, Goldfarb and Shanno's update of a dense H, before and after the memory is full."""
    rng = np.random.default_rng(0)
    memory, n = 4, 9
    slots = memory + 1
    past, SD, DD = np.zeros((2 * slots, n)), np.full((slots, slots), np.nan), np.full((slots, slots), np.nan)
    root = rng.standard_normal((n, n))
    hessian, pairs = root @ root.T + np.eye(n), []
    for count in range(1, 11):
        step = rng.standard_normal(n)
        change = hessian @ step
        pairs = [*pairs, (step, change)][-memory:]
        slot = (count - 1) % slots
        past[slot], past[slots + slot] = step, change
        SD[:, slot], DD[:, slot] = past[:slots] @ change, past[slots:] @ change
        DD[slot] = DD[:, slot]
        H = np.eye(n) * (step @ change) / (change @ change)
        for s, y in pairs:
            W = np.eye(n) - np.outer(s, y) / (s @ y)
            H = W @ H @ W.T + np.outer(s, s) / (s @ y)
        g = rng.standard_normal(n)
        found = jax.jit(_inverse_hessian_times)(g, past, past @ g, SD, DD, count)
        np.testing.assert_allclose(found, H @ g, rtol=1e-9, atol=1e-9)


@jax.jit
def walled(x, first_step, tolerance, steps):
    """(x - 3)^2, which is NaN from 3.5 on: steps that go there are forgotten, gradient and all."""

    def evaluate(x):
        bad = x.max() > 3.5
        return jnp.where(bad, jnp.nan, jnp.sum((x - 3.0) ** 2)), jnp.where(bad, jnp.nan, 2.0 * (x - 3.0))

    return lbfgs(evaluate, x, first_step, tolerance, steps)


@pytest.mark.parametrize("first_step", [1.0, 100.0, 1e4])
def test_a_step_to_nowhere_spoils_nothing(first_step):
    x, norm, _ = walled(np.array([-1.0, 2.0, 0.0]), first_step, 1e-9, 200)
    np.testing.assert_allclose(x, 3.0, atol=1e-8)
    assert float(norm) <= 1e-9
