"""The reach lifting at points of the domain: families, factors, derived groups and the objective, exactly."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hr2jax.arithmetic.arb import Arb
from hr2jax.arithmetic.enclosure import Enclosure
from hr2jax.problem import checked_problem
from hr2jax.relaxation import catalogue, lift
from hr2jax.relaxation.basis import REST, XI, Group
from hr2jax.relaxation.plane import pivot_layer
from hr2jax.relaxation.presolve import LIFTINGS, presolve, reach_of
from hr2jax.relaxation.products import FactorTable
from hr2jax.relaxation.section import find_section
from tests.reference.cases import exact, random_net
from tests.reference.effort import examples
from tests.reference.lifted_points import encloses, form_values
from tests.reference.section_points import random_kinked, random_section, random_x, section_point


def reach_cases(seed, kind=Enclosure):
    """(net, problem, presolve, lifting, rng) of one output or several, any norm."""
    rng = np.random.default_rng(seed)
    net = random_kinked(rng)
    section = random_section(net, rng)
    assume(section is not None)
    norm, outputs = rng.choice(["inf", "2", "1"]), net.widths[-1]
    norm = norm if norm == "inf" else int(norm)
    output = None if outputs > 1 and rng.random() < 0.5 else rng.standard_normal(outputs)
    problem = checked_problem(net, output, norm, output_norm=2 if output is None else None)
    if norm == 1:
        problem = problem.towards(np.array([rng.integers(net.widths[0])]))
        assume(problem.has_t)
    fixed = presolve(net, problem, chains=LIFTINGS[reach_of(problem)], section=section)
    assume(any(len(fixed.members(l)) for l in fixed.structure.first))
    return net, problem, fixed, lift(net, problem, fixed, kind), rng


@settings(max_examples=examples(80), deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([Enclosure, Enclosure, Arb]))
def test_points_of_the_domain_are_in_every_family(seed, kind):
    net, problem, fixed, lifting, rng = reach_cases(seed, kind)
    table = FactorTable(lifting)
    for _ in range(3):
        point = section_point(net, problem, fixed, rng, random_x(rng, fixed.section, net.widths[0]))
        if point is None:
            continue
        y = point.y
        assert all((abs(y[group]) <= 1).all() for group in lifting.sizes)
        assert all((abs(y[group][k]) == 1) for group in lifting.sizes for k in range(lifting.sizes[group])
                   if lifting.square_is_one[lifting.slice(group)][k] and group.kind in ("one", "v"))  # fmt: skip
        for family in catalogue(lifting).values():
            values = form_values(family.F, y) * form_values(family.G, y)
            assert (values == 0).all() if family.equality else (values >= 0).all(), family.name
        for name, form in zip(table.names, table.forms, strict=True):
            assert (form_values(form, y) >= 0).all(), name
        for group, terms in lifting.derived.items():
            for k in range(lifting.length(group)):
                rows = [block[k : k + 1] for block in terms.values()]
                pairs = [(exact([1.0]), y[other]) for other in terms]
                assert encloses(rows, pairs, y[group][k]), group
        blocks = lifting.objective
        assert encloses(blocks.values(), [(y[g], y[h]) for g, h in blocks], point.value, lifting.exponent)


def test_the_plane_takes_one_x_out_of_the_basis():
    net = random_net(np.random.default_rng(0), (2, 5, 4, 1))
    problem = checked_problem(net)
    fixed = presolve(net, problem, chains=("a",), section=find_section(net))
    lifting = lift(net, problem, fixed)
    assert pivot_layer(fixed) == 1
    assert lifting.sizes[Group(REST, 1)] == 4 and lifting.length(Group("x", 1)) == 5
    assert Group("x", 1) not in lifting.sizes and lifting.sizes[Group("x", 2)] == 4
    assert lifting.sizes[XI] == 3
    assert list(lifting.owners(Group(REST, 1))) == [1, 2, 3, 4]


@pytest.mark.parametrize("domain", [{"center": [0.0, 0.0], "radius": 1.0}])
def test_a_section_is_for_global_constants(domain):
    net = random_net(np.random.default_rng(0), (2, 5, 1))
    with pytest.raises(ValueError, match="global"):
        presolve(net, checked_problem(net, **domain), chains=("a",), section=find_section(net))
