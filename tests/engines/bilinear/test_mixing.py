"""A diagonal before anything is compiled: against interior point, and through the certificate."""

import numpy as np
import pytest

import hr2jax
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.bilinear import mixing
from hr2jax.engines.bilinear.mixing import first_bound, mixed_diagonal
from hr2jax.engines.product import device, lowrank
from hr2jax.linalg.diagonal import cost, feasible, is_feasible
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve
from hr2jax.solving import run, stages
from tests.reference.product import solve_product_form


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
        problem = checked_problem(net, norm=norm)
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
    problem = checked_problem(net)
    return lift(net, problem, presolve(net, problem))


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("limit", [None, 60.0])
def test_a_bound_comes_before_any_engine(norm, limit, monkeypatch):
    """Of intervals nobody hears, and whoever presses Ctrl-C early had theirs."""
    net, seen = network(10, 14), []

    def engine(monitor, *_):
        seen.append(monitor.bound)
        return hr2jax.Status.STALLED

    monkeypatch.setattr(stages, "choose_engine", lambda *_: engine)
    result = hr2jax.solve(net, norm=norm, relaxation="hr2", time_limit=limit)
    assert result.bound == seen[0] < 0.9 * hr2jax.solve(net, norm=norm, relaxation="interval").bound
    assert result.certificate.verify(net) == result.bound


@pytest.mark.parametrize("relaxation", ["hr2", "hr2+"])
def test_what_was_compiled_before_changes_nothing_under_a_limit(relaxation, monkeypatch):
    """A process that knew the program ended a short (800, 800) hr2+ with five times the bound of one that did not."""
    net, seen = network(9, 9), []
    for _ in range(2):
        monkeypatch.setattr(run, "first_bound", lambda *_: seen.append(0))
        hr2jax.solve(net, relaxation=relaxation, lifting="forward", time_limit=60.0)
    assert len(seen) == 2


def test_what_was_compiled_before_changes_no_result():
    """The first bound once set the scale, so that the second of two equal calls took another way."""
    net, results = network(8, 11), []
    for limit in (None, None, 60.0):
        results.append(hr2jax.solve(net, tol=1e-3, time_limit=limit))
    assert results[0].bound == results[1].bound
    assert {result.iterations for result in results} == {results[0].iterations}


def test_where_time_is_too_short_to_compile_nothing_is(monkeypatch):
    monkeypatch.setattr(device, "KNOWN", set())
    monkeypatch.setattr(lowrank, "COMPILING", 1e9)
    monkeypatch.setattr("hr2jax.engines.product.schedule.SMALL", 0)
    monkeypatch.setattr(device, "minimise_on", lambda *_, **__: pytest.fail("a program was compiled"))
    net = network(10, 14)
    result = hr2jax.solve(net, relaxation="hr2", time_limit=5.0)
    assert result.status is hr2jax.Status.TIME_LIMIT
    assert result.lower <= result.bound < 0.9 * hr2jax.solve(net, relaxation="interval").bound


def test_where_nothing_else_comes_to_anything_a_proof_may_take_what_is_left(monkeypatch):
    """A proof of 1.3 s, with 1.9 s left and seconds of compiling ahead, once left only what norms prove."""
    net = network(6, 8)
    problem = checked_problem(net)
    lifting = lift(net, problem, presolve(net, problem))

    class Monitor:
        def __init__(self, left):
            self.left, self.offered = left, 0

        def remaining(self, last=0.0):
            return self.left - last

        def certify(self, multipliers, diagonal):
            self.offered += 1

    monkeypatch.setattr(mixing, "certificate_seconds", lambda _: 1.3)
    for left, expected in ((1.0, 0), (1.9, 1), (4.1, 0), (100.0, 0)):
        monitor = Monitor(left)
        first_bound(lifting, monitor)
        assert monitor.offered == expected


@pytest.mark.parametrize("case", ["deep", "largest value", "no time"])
def test_where_it_is_worth_nothing_it_is_left_out(case, monkeypatch):
    monkeypatch.setattr(mixing, "mixed_diagonal", lambda *_: pytest.fail("was called"))
    rng = np.random.default_rng(0)
    if case == "deep":
        shapes = [(4, 3), (4, 4), (1, 4)]
        deep = hr2jax.Network([rng.standard_normal(s) for s in shapes], [np.zeros(s[0]) for s in shapes])
        assert hr2jax.solve(deep, time_limit=60.0).status is hr2jax.Status.SOLVED
    elif case == "largest value":
        result = hr2jax.maximum(network(3, 4), center=np.zeros(3), radius=1.0, time_limit=60.0)
        assert result.status is hr2jax.Status.SOLVED
    else:
        assert hr2jax.solve(network(3, 4), time_limit=0).status is hr2jax.Status.TIME_LIMIT
