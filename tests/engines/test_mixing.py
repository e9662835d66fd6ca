"""A diagonal before anything is compiled: against interior point, and through the certificate."""

import numpy as np
import pytest

import hr2jax
from hr2jax.diagonal import cost, feasible, is_feasible
from hr2jax.engines import lowrank, mixing
from hr2jax.engines.mixing import mixed_diagonal
from hr2jax.presolve import presolve
from hr2jax.problem import lipschitz_problem
from hr2jax.proof import lagrangian_matrix
from hr2jax.relaxation import lift
from tests.product_reference import solve_product_form


def network(p, m, seed=0):
    rng = np.random.default_rng([seed, p, m])
    return hr2jax.Network(
        [rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]]
    )


@pytest.mark.parametrize(("p", "m"), [(1, 1), (3, 8), (12, 5), (15, 15)])
@pytest.mark.parametrize("norm", ["inf", 2])
def test_it_comes_near_the_optimum_without_multipliers(p, m, norm):
    for seed in range(3):
        net = network(p, m, seed)
        problem = lipschitz_problem(net, norm=norm)
        lifting = lift(net, problem, presolve(net, problem))
        budget = lifting.budget if lifting.balls else None
        M = lagrangian_matrix(lifting, {}).middle()
        d = mixed_diagonal(M, lifting.square_is_one, budget)
        fixed = feasible(M, d, budget)
        value = solve_product_form(lifting, [])[0]
        assert is_feasible(M, fixed)
        assert value * (1 - 1e-6) <= cost(fixed, budget) <= value * 1.02
        assert (d[~lifting.square_is_one] >= 0).all()


def test_nothing_to_maximise():
    M = lagrangian_matrix(lift_zero(), {}).middle()
    d = mixed_diagonal(M, np.ones(M.size, dtype=bool))
    assert np.isfinite(d).all()
    assert abs(d.sum()) <= 1e-12


def lift_zero():
    net = hr2jax.Network([np.eye(3), np.zeros((1, 3))], [np.zeros(3), [0.0]])
    problem = lipschitz_problem(net)
    return lift(net, problem, presolve(net, problem))


@pytest.mark.parametrize("norm", ["inf", 2])
def test_a_bound_comes_before_what_must_be_compiled(norm, monkeypatch):
    """Where a structure is new to the process: no time limit is too short for it to be better than intervals."""
    monkeypatch.setattr(lowrank, "_KNOWN", set())
    monkeypatch.setattr(lowrank, "COMPILING", 1e9)  # nothing can be compiled in what is left
    monkeypatch.setattr(lowrank, "minimise", lambda *_, **__: pytest.fail("a program was compiled"))
    net = network(10, 14)
    first = hr2jax.solve(net, norm=norm, relaxation="interval")
    result = hr2jax.solve(net, norm=norm, relaxation="hr2", time_limit=5.0)
    assert result.status is hr2jax.Status.TIME_LIMIT
    assert result.lower <= result.bound < 0.9 * first.bound
    assert result.certificate.verify(net) == result.bound


def test_what_is_known_already_is_not_bounded_twice(monkeypatch):
    net = network(9, 9)
    hr2jax.solve(net)
    monkeypatch.setattr(mixing, "TURNS", 10**9)  # would take for ever
    assert hr2jax.solve(net).status is hr2jax.Status.SOLVED
