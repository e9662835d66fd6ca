"""LipSDP's optimum in liftings with signs."""

import numpy as np
import pytest

import hr2jax
from hr2jax.arithmetic.midpoint import Middle
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.product import finish, tangents
from hr2jax.engines.product.carried import carried
from hr2jax.engines.scale import in_units
from hr2jax.linalg.diagonal import cost, feasible, stationary
from hr2jax.problem import checked_problem
from hr2jax.relaxation.families import preset
from hr2jax.relaxation.lifting import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from hr2jax.result import Status
from hr2jax.solving import passing

from ...reference.cases import random_net
from ...reference.deep_monitor import Monitor


def lifted(net, name, norm):
    problem = checked_problem(net, norm=norm)
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS[name]))


@pytest.mark.parametrize("norm", [2, "inf"])
@pytest.mark.parametrize("name", ["forward", "adjoint", "both"])
@pytest.mark.parametrize("widths", [(5, 9, 8, 1), (4, 6, 5, 6, 1)])
def test_it_proves_and_attains_the_same_there(widths, name, norm):
    net = random_net(np.random.default_rng(4), widths)
    of, to = lifted(net, "lipsdp", norm), lifted(net, name, norm)
    monitor = Monitor(of, tolerance=1e-6)
    solved = tangents.solve_tangents(of, monitor)
    found = carried(of, solved.multipliers, solved.V, to)
    M, budget = lagrangian_matrix(to, found.multipliers, Middle).middle(), to.budget if to.balls else None
    d = feasible(M, stationary(M, found.V, to.square_is_one, budget), budget)
    assert in_units(cost(d, budget), to) == pytest.approx(monitor.bounds[-1], rel=1e-4)
    E = to.extend(found.V)
    for family in preset("shor", to):
        products = (family.F.csr(to.extended) @ E * (family.G.csr(to.extended) @ E)).sum(axis=1)
        if family.equality:
            assert np.abs(products).max() < 1e-3
    attained = sum(
        np.vdot(found.V[to.slice(g)], block.mid @ found.V[to.slice(h)]) for (g, h), block in to.objective.items()
    )
    assert in_units(attained, to) == pytest.approx(monitor.bounds[-1], rel=1e-4)


def test_other_variables_have_no_counterpart():
    net = random_net(np.random.default_rng(4), (3, 5, 4, 1))
    of = lifted(net, "lipsdp", 2)
    problem = checked_problem(net, norm=2, center=np.zeros(3), radius=0.5)
    local = lift(net, problem, presolve(net, problem, chains=LIFTINGS["adjoint"]))
    V = np.eye(of.size)
    assert carried(of, {name: np.ones(family.shape) for name, family in _families(of)}, V, local) is None


def _families(lifting):
    return ((family.name, family) for family in preset("lipsdp", lifting))


@pytest.mark.parametrize("relaxation", ["shor", "hr2"])
def test_a_tighter_relaxation_begins_there_and_ends_no_higher(relaxation, monkeypatch):
    """Issue 17.5: it began from nothing and ended above LipSDP's bound."""
    monkeypatch.setattr(passing, "SMALL", 10)
    net = random_net(np.random.default_rng(7), (12, 20, 18, 1))
    seen = []
    whole = finish.Finishing.is_known_enough
    monkeypatch.setattr(finish.Finishing, "is_known_enough", lambda self: seen.append(self.run.is_known) or whole(self))
    lipsdp = hr2jax.solve(net, norm=2, relaxation="lipsdp", witness=0)
    result = hr2jax.solve(net, norm=2, relaxation=relaxation, method="lowrank", witness=0)
    assert result.bound <= lipsdp.bound * (1 + 1e-9)
    assert result.status is Status.SOLVED
    assert result.certificate.verify(net) <= result.bound
    assert seen[0]
