"""LipSDP by vectors that meet its equations."""

import numpy as np
import pytest

import hr2jax
from hr2jax.engines.product import tangents
from hr2jax.engines.product.vectors import Tangents
from hr2jax.problem import checked_problem
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.result import Status

from ...reference.cases import random_net
from ...test_general import residual

WIDTHS = [(5, 7, 1), (4, 9, 8, 1), (8, 6, 6, 6, 1)]


def lifted(net, **asked):
    problem = checked_problem(net, **asked)
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS["lipsdp"]))


def both(net, **asked):
    """By vectors, and by the interior-point method."""
    asked |= {"relaxation": "lipsdp", "tol": 1e-5, "witness": 0}
    return hr2jax.solve(net, **asked), hr2jax.solve(net, method="newton", **asked)


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("widths", WIDTHS)
def test_it_is_the_interior_point_methods_bound(widths, norm):
    net = random_net(np.random.default_rng(3), widths)
    ours, theirs = both(net, norm=norm)
    assert ours.bound == pytest.approx(theirs.bound, rel=2e-5)
    assert ours.status is Status.SOLVED
    assert ours.relaxation_value <= theirs.bound * (1 + 1e-9)  # attained by moments
    assert ours.certificate.verify(net) <= ours.bound


@pytest.mark.parametrize("asked", [{"norm": 2}, {"norm": "inf", "output_norm": 2}, {"norm": 2, "output_norm": 1}])
def test_several_outputs(asked):
    net = random_net(np.random.default_rng(5), (4, 7, 6, 3))
    ours, theirs = both(net, **asked)
    assert ours.bound == pytest.approx(theirs.bound, rel=2e-5)


def test_residual_networks():
    net = residual(1)
    ours, theirs = both(net, norm=2, output=0)
    assert ours.bound == pytest.approx(theirs.bound, rel=2e-5)
    assert ours.bound > 1e-3


@pytest.mark.parametrize("norm", [2, "inf"])
def test_vectors_meet_every_equation_and_their_derivative_is_right(norm):
    rng = np.random.default_rng(0)
    problem = Tangents(lifting := lifted(random_net(rng, (4, 6, 5, 1)), norm=norm))
    P, step = rng.standard_normal((2, lifting.size, 3))
    _, gradient = problem.value_and_gradient(P)
    difference = problem.value_and_gradient(P + 1e-6 * step)[0] - problem.value_and_gradient(P - 1e-6 * step)[0]
    assert np.vdot(gradient, step) == pytest.approx(difference / 2e-6, rel=1e-6)
    E = lifting.extend(problem.multipliers(P)[2])
    for layer in (1, 2):
        q, y = (E[lifting.extended.slice(group)] for group in lifting.extended.lengths if group.layer == layer)
        assert np.abs((q * (y - q)).sum(axis=1)).max() < 1e-12


def test_where_it_stalls_newton_follows(monkeypatch):
    net = random_net(np.random.default_rng(2), (4, 6, 5, 1))
    exact = hr2jax.solve(net, norm=2, relaxation="lipsdp", method="newton", witness=0)
    monkeypatch.setattr(tangents, "ROUNDS", 1)
    monkeypatch.setattr(tangents, "STEPS", 3)
    result = hr2jax.solve(net, norm=2, relaxation="lipsdp", witness=0)
    assert result.iterations > 3
    assert result.bound <= exact.bound * (1 + 2e-3)


def test_a_limit_keeps_what_there_is():
    net = random_net(np.random.default_rng(2), (4, 6, 5, 1))
    result = hr2jax.solve(net, norm=2, relaxation="lipsdp", max_iterations=40, witness=0)
    assert result.iterations <= 40
    assert result.status in (Status.ITERATION_LIMIT, Status.SOLVED)
    assert result.bound < hr2jax.solve(net, norm=2, relaxation="product", witness=0).bound


def test_a_network_without_slope_is_no_trouble():
    net = hr2jax.Network([np.eye(3), np.zeros((3, 3)), np.ones((1, 3))], [np.zeros(3), np.zeros(3), np.zeros(1)])
    assert hr2jax.solve(net, norm=2, relaxation="lipsdp", witness=0).bound == 0.0
