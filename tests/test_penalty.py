"""lipschitz_penalty: an upper estimate close to the shor bound, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import hr2jax
from hr2jax.engines.bilinear import maximise
from hr2jax.penalty import lipschitz_bounds, lipschitz_penalty

pytestmark = pytest.mark.usefixtures("compiled_quickly")

# One program each for what several tests ask of the same shapes; the tests of shor's bounds and of zeros call the
# functions as they are.
SWEEPS = 500
OPTIONS = ("sweeps", "output_norm")
bounds_of = jax.jit(lipschitz_bounds, static_argnames=OPTIONS)
penalty_of = jax.jit(lipschitz_penalty, static_argnames=OPTIONS)
value_and_slope = jax.jit(jax.value_and_grad(lipschitz_penalty), static_argnames=OPTIONS)


def network(outputs=3, p=5, m=7, seed=0):
    rng = np.random.default_rng(seed)
    return hr2jax.Network(
        [rng.standard_normal((m, p)), rng.standard_normal((outputs, m))], [np.zeros(m), np.zeros(outputs)]
    )


def parameters(net, dtype=np.float32):
    return {"A_1": jnp.asarray(net.weights[0].astype(dtype)), "C": jnp.asarray(net.weights[1].astype(dtype))}


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("outputs", [1, 3])
def test_bounds_are_those_of_shor(double, outputs):
    net = network(outputs)
    bounds, _ = lipschitz_bounds(parameters(net, np.float64), sweeps=SWEEPS)
    results = hr2jax.solve_all(net, relaxation="shor", tol=1e-4)
    estimated = np.asarray(bounds)[np.triu_indices(outputs, outputs > 1)]
    for value, result in zip(estimated, results, strict=True):
        assert value == pytest.approx(result.bound, rel=2e-4)
        assert value >= result.lower
    assert np.asarray(bounds).shape == (outputs, outputs)
    assert np.array_equal(bounds, bounds.T)
    assert float(lipschitz_penalty(parameters(net, np.float64), sweeps=SWEEPS)) == pytest.approx(estimated.mean())


def test_few_sweeps_in_float32_are_above_what_is_attained():
    for seed in range(5):
        net = network(seed=seed)
        bounds, _ = bounds_of(parameters(net))
        every = np.array(list(np.ndindex(*(2,) * 7)))  # all activation patterns
        for k in range(3):
            for j in range(k):
                w = net.weights[1][k] - net.weights[1][j]
                exact = np.abs(every * w @ net.weights[0]).sum(axis=1).max()
                assert exact * (1 - 1e-3) <= bounds[k, j] <= 1.2 * exact


def test_the_gradient_is_that_of_the_value(double):
    params = parameters(network(), np.float64)
    value, gradient = value_and_slope(params, sweeps=1000)
    rng = np.random.default_rng(1)
    for _ in range(4):
        change = {name: rng.standard_normal(array.shape) for name, array in params.items()}
        h = 1e-4

        def moved(by, change=change):
            there = {name: np.asarray(params[name]) + by * change[name] for name in params}
            return float(value_and_slope(there, sweeps=1000)[0])

        difference = (moved(h) - moved(-h)) / (2 * h)
        along = sum(np.vdot(gradient[name], change[name]) for name in params)
        assert along == pytest.approx(difference, rel=1e-3, abs=1e-3)
    # the constant is homogeneous in either layer
    for name in params:
        assert np.vdot(gradient[name], params[name]) == pytest.approx(float(value), rel=1e-9)


def test_the_gradient_through_the_weights_of_one_pair(double):
    params = parameters(network(), np.float64)
    gradient = jax.jit(jax.grad(lambda params: lipschitz_bounds(params)[0][0, 1]))(params)
    assert not np.asarray(gradient["C"][2]).any()  # F_2 is no part of F_0 - F_1
    np.testing.assert_allclose(gradient["C"][0], -gradient["C"][1])


def test_a_warm_start_follows_moving_parameters():
    params = {name: np.asarray(array) for name, array in parameters(network(p=20, m=30)).items()}
    _, state = bounds_of(params)
    rng = np.random.default_rng(2)
    drift = {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in params.items()}
    for _ in range(20):
        params = {name: params[name] + np.float32(1e-3) * drift[name] for name in params}
        bounds, state = bounds_of(params, state)
    np.testing.assert_allclose(bounds, bounds_of(params, sweeps=SWEEPS)[0], rtol=5e-3)


def test_dead_neurons_and_inputs_make_no_nan():
    params = {name: np.array(array) for name, array in parameters(network()).items()}
    params["A_1"][2] = params["A_1"][:, 1] = 0.0
    params["C"][1] = params["C"][0]
    (bounds, _), (_, gradient) = bounds_of(params), value_and_slope(params)
    assert np.isfinite(bounds).all()
    assert bounds[0, 1] == 0
    assert all(np.isfinite(part).all() for part in gradient.values())


def test_less_of_the_penalty_is_a_smaller_certified_bound():
    net = network()
    params = parameters(net)
    for _ in range(30):
        _, gradient = value_and_slope(params)
        params = {name: np.asarray(params[name]) - np.float32(0.02) * gradient[name] for name in params}
    smaller = hr2jax.Network([params["A_1"], params["C"]], net.biases)
    before, after = (
        sum(result.bound for result in hr2jax.solve_all(n, relaxation="shor")) for n in (net, smaller)
    )
    assert after < 0.7 * before


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"A_1": np.ones((2, 3))}, ValueError, "A_1 and C, but it holds A_1"),
        ({}, ValueError, "nothing"),
        (network(), ValueError, "dict of arrays A_1 and C, but Network"),
        ({"A_1": np.ones((2, 3), int), "C": np.ones((2, 2))}, ValueError, "A_1 must be an array of floats"),
        ({"A_1": np.ones((2, 3)), "C": np.ones((2, 3))}, ValueError, r"\(2, 3\) and \(2, 3\)"),
        ({"A_1": np.ones((2, 3)), "A_2": np.ones((2, 2)), "C": np.ones((2, 2))}, NotImplementedError, "A_2"),
    ],
)
def test_bad_parameters_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        lipschitz_penalty(params)


def test_bad_states_and_sweeps_are_refused():
    params = parameters(network())
    _, state = bounds_of(params)
    with pytest.raises(ValueError, match="other shapes"):
        lipschitz_bounds(parameters(network(outputs=4)), state)
    with pytest.raises(ValueError, match="state must be None or what an earlier call gave, but tuple"):
        lipschitz_bounds(params, (1, 2))
    with pytest.raises(ValueError, match="sweeps"):
        lipschitz_bounds(params, sweeps=0)
    assert state.V.shape[-1] == maximise.RANK


@pytest.mark.parametrize("scale", [1e-37, 1e-22, 1e-15, 1e15, 1e19, 1e35])
def test_the_penalty_is_linear_in_each_weight_at_every_scale_of_float32(scale):
    """It was 0, or infinity with a gradient of NaN, where squares of weights leave float32: 1e-22 and 1e19."""
    weights = parameters(network())
    expected = penalty_of(weights)
    for factors in ({"A_1": scale}, {"C": scale}):
        scaled = {name: np.float32(np.asarray(array) * factors.get(name, 1.0)) for name, array in weights.items()}
        value, gradient = value_and_slope(scaled)
        assert float(value) / scale == pytest.approx(float(expected), rel=0.02)
        for name, array in scaled.items():  # Euler: homogeneous of degree 1
            pulled = np.sum(np.float64(gradient[name]) * np.float64(array))
            assert pulled == pytest.approx(float(value), rel=0.02)


def test_the_penalty_of_zeros_is_0():
    weights = {name: np.zeros_like(array) for name, array in parameters(network()).items()}
    value, gradient = jax.value_and_grad(lipschitz_penalty)(weights)
    assert float(value) == 0.0
    assert all(np.isfinite(array).all() for array in gradient.values())


@pytest.mark.parametrize("output_norm", ["inf", 1])
def test_bounds_of_all_outputs_are_above_every_pattern_and_below_sums(double, output_norm):
    for seed in range(2):
        net = network(seed=seed)
        params = parameters(net, np.float64)
        bound = float(penalty_of(params, sweeps=SWEEPS, output_norm=output_norm))
        C = np.asarray(params["C"])
        rows = [float(penalty_of(params | {"C": C[k : k + 1]}, sweeps=SWEEPS)) for k in range(3)]
        every = np.array(list(np.ndindex(*(2,) * net.widths[1])))
        jacobians = np.einsum("ki,ni,ij->nkj", net.weights[1], every, net.weights[0])
        signs = np.array([[(-1.0) ** (n >> k) for k in range(3)] for n in range(8)])
        if output_norm == 1:
            exact = np.abs(np.einsum("sk,nkj->nsj", signs, jacobians)).sum(axis=-1).max()
        else:
            exact = np.abs(jacobians).sum(axis=-1).max()
        assert bound >= exact * (1 - 1e-6)
        if output_norm == 1:
            assert bound <= 0.96 * sum(rows)  # what a sum of the outputs' bounds would be
        else:
            assert bound == pytest.approx(max(rows), rel=1e-4)


def test_the_bound_of_one_output_is_the_same_in_every_output_norm(double):
    params = parameters(network(1), np.float64)
    plain, *others = (float(penalty_of(params, sweeps=SWEEPS, output_norm=norm)) for norm in (None, "inf", 1))
    assert others == pytest.approx([plain, plain], rel=1e-4)


def test_the_bound_of_all_outputs_has_a_gradient_and_a_state(double):
    params = parameters(network(), np.float64)
    for norm in ("inf", 1):
        bounds, state = bounds_of(params, sweeps=SWEEPS, output_norm=norm)
        again, slope = value_and_slope(params, state, output_norm=norm)
        assert float(again) == pytest.approx(float(bounds[0, 0]), rel=1e-3)
        for name in ("A_1", "C"):  # the bound is linear in each
            assert np.vdot(slope[name], params[name]) == pytest.approx(float(bounds[0, 0]), rel=1e-2)
    with pytest.raises(ValueError, match="output_norm must be"):
        lipschitz_bounds(params, output_norm=2)
    with pytest.raises(ValueError, match="state is of a network"):
        lipschitz_bounds(params, state, output_norm="inf")
