"""LipSDP's multipliers by one pass through the layers."""

import math

import numpy as np
import pytest

import hr2jax
from hr2jax.certificate.certificate import certify_multipliers
from hr2jax.certificate.prover import prover_of
from hr2jax.engines.product.passes import one_pass
from hr2jax.layer import Layer
from hr2jax.options import Options
from hr2jax.problem import checked_problem
from hr2jax.solving.prepared import prepare

LIPSDP = Options(relaxation="lipsdp")


def network(*widths, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    shapes = list(zip(widths[1:], widths[:-1], strict=True))
    weights = [rng.standard_normal(shape) / math.sqrt(shape[1]) for shape in shapes]
    weights[-1] *= scale
    return hr2jax.Network(weights, [rng.standard_normal(rows) for rows, _ in shapes])


def passed(net, **asked):
    """What a pass proves."""
    problem = checked_problem(net, **asked)
    prover = prover_of(net, problem, fixed := prepare(net, problem, LIPSDP))
    found = one_pass(prover.lifted)
    assert found is not None
    certificate = certify_multipliers(net, problem, "lipsdp", fixed, *found, {}, prover)
    assert certificate.verify(net) == certificate.bound
    return certificate.bound


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("widths", [(5, 7, 1), (4, 9, 8, 1), (8, 6, 6, 6, 6, 1), (6, 10, 10, 3)])
def test_in_norm_2_it_is_between_lipsdp_and_the_product_of_the_norms(widths, seed):
    net = network(*widths, seed=seed)
    bound = passed(net, norm=2)
    norms = math.prod(np.linalg.norm(A, 2) for A in net.weights)
    least = hr2jax.solve(net, norm=2, relaxation="lipsdp", tol=1e-4, witness=0).bound
    assert least * (1 - 1e-4) <= bound <= norms * (1 + 1e-6)


@pytest.mark.parametrize("norm, output_norm", [("inf", "inf"), ("inf", 1), ("inf", 2), (2, 1), (1, 2), (1, 1)])
def test_in_other_norms_it_holds_for_gradients(norm, output_norm):
    net = network(5, 8, 8, 3, seed=1)
    dual = {"inf": 1, 2: 2, 1: math.inf}
    for row in range(3):
        bound = passed(net, norm=norm, output=row)
        for x in np.random.default_rng(0).standard_normal((200, 5)):
            assert np.linalg.norm(net.gradient(x, row), dual[norm]) <= bound
    if norm != 1 and output_norm != "inf":
        whole = passed(net, norm=norm, output_norm=output_norm)
        assert whole >= hr2jax.solve(net, norm=norm, output_norm=output_norm, relaxation="interval").lower
        assert whole <= 3 * max(passed(net, norm=norm, output=row) for row in range(3)) * (1 + 1e-6)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_with_skips_and_slopes_it_is_a_bound(norm, activation):
    rng = np.random.default_rng(2)
    A, B, C, D = (rng.standard_normal(shape) / 2 for shape in ((6, 4), (6, 6), (5, 6), (2, 5)))
    layers = [
        Layer({0: A}, rng.standard_normal(6), activation),
        Layer({1: B}, rng.standard_normal(6), activation),
        Layer({1: C, 2: C}, rng.standard_normal(5), activation),
        Layer({3: D}, np.zeros(2), "identity"),
    ]
    net = hr2jax.Network.from_layers(layers)
    for row in range(2):
        bound = passed(net, norm=norm, output=row)
        x = rng.standard_normal((200, 4))
        steps = rng.standard_normal((200, 4)) * 1e-3
        length = np.abs(steps).max(axis=1) if norm == "inf" else np.linalg.norm(steps, axis=1)
        assert (np.abs(net(x + steps) - net(x))[:, row] <= bound * length * (1 + 1e-6)).all()


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_scales_are_no_matter(scale):
    one, other = passed(network(5, 7, 7, 1), norm=2), passed(network(5, 7, 7, 1, scale=scale), norm=2)
    assert other == pytest.approx(scale * one, rel=1e-6)


def test_a_dead_layer_is_no_failure():
    net = network(4, 6, 6, 1)
    weights = [A.copy() for A in net.weights]
    weights[1][:] = 0.0
    dead = hr2jax.Network(weights, net.biases)
    result = hr2jax.solve(dead, norm=2, relaxation="lipsdp")
    assert result.bound <= 1e-9


def test_a_large_network_has_its_bound_before_any_engine(tmp_path):
    """Of whatever relaxation, and a checkpoint goes on from it."""
    net, path = network(30, 200, 200, 1), tmp_path / "checkpoint.npz"
    asked = {"norm": 2, "relaxation": "hr2", "max_iterations": 1, "witness": 0, "checkpoint": path}
    first = hr2jax.solve(net, **asked)
    assert first.problem["bound_by"] == "lipsdp"
    assert first.bound < 0.9 * hr2jax.solve(net, norm=2, relaxation="product", witness=0).bound
    assert hr2jax.solve(net, **asked).bound <= first.bound
    assert first.certificate.verify(net) == first.bound
