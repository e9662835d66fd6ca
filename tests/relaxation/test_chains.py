"""Families and factors of several hidden layers at feasible points, in rational arithmetic: nothing may be below 0."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hr2jax import Network
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.chains import factors
from hr2jax.relaxation.families import catalogue, preset
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.cases import exact, random_net
from tests.reference.effort import examples
from tests.reference.lifted_points import encloses, form_values, lifted_point

from ..reference.lifted_cases import lifted_cases


@settings(max_examples=examples(200), deadline=None)
@given(lifted_cases())
def test_every_product_holds_at_feasible_points(case):
    net, problem, fixed, lifting, rng = case
    families = list(catalogue(lifting).values())
    for _ in range(3):
        point = lifted_point(net, problem, fixed, rng)
        assert set(lifting.sizes) | set(lifting.derived) <= set(point.y)
        for family in families:
            if not family.F.rows:
                continue
            product = form_values(family.F, point.y) * form_values(family.G, point.y)
            assert family.pairs == "diagonal"
            assert (product == 0).all() if family.equality else (product >= 0).all(), family.name


@settings(max_examples=examples(200), deadline=None)
@given(lifted_cases())
def test_every_factor_is_nonnegative_and_every_entry_within_its_bound(case):
    net, problem, fixed, lifting, rng = case
    every = factors(lifting)
    for _ in range(3):
        y = lifted_point(net, problem, fixed, rng).y
        for name, form in every.items():
            assert not form.rows or (form_values(form, y) >= 0).all(), name
        flat = np.concatenate([y[group] for group in lifting.sizes])
        assert (abs(flat) <= 1).all()
        assert (flat[lifting.square_is_one] ** 2 == 1).all()
        for number in np.unique(lifting.budget):
            assert sum(flat[lifting.budget == number] ** 2) <= 1


@settings(max_examples=examples(200), deadline=None)
@given(lifted_cases())
def test_derived_groups_and_the_objective_enclose_the_networks_own_values(case):
    """The objective at a feasible point is t^T J^T c, J the Jacobian for the masks chosen."""
    net, problem, fixed, lifting, rng = case
    for _ in range(3):
        point = lifted_point(net, problem, fixed, rng)
        for group, terms in lifting.derived.items():
            for k, value in enumerate(point.y[group]):
                row = [(exact([1.0]), point.y[other]) for other in terms]
                assert encloses([m[k : k + 1] for m in terms.values()], row, value), group
        pairs = [(point.y[g], point.y[h]) for g, h in lifting.objective]
        assert encloses(lifting.objective.values(), pairs, point.value, lifting.exponent)


@settings(max_examples=examples(20), deadline=None)
@given(lifted_cases(scales=st.just(1.0)))
def test_the_enclosures_are_narrow(case):
    *_, lifting, _ = case
    blocks = [*lifting.objective.values(), *(m for terms in lifting.derived.values() for m in terms.values())]
    for block in blocks:
        assert block.rad.max(initial=0.0) <= 1e-13 * max(np.abs(block.mid).max(initial=0.0), 1.0)


@pytest.mark.parametrize("lifting", ["forward", "adjoint", "both"])
@pytest.mark.parametrize("local", [False, True])
def test_what_the_relaxations_contain(lifting, local):
    rng = np.random.default_rng(0)
    net = random_net(rng, (3, 4, 4, 4, 1))
    problem = checked_problem(net, center=np.zeros(3), radius=5.0) if local else checked_problem(net)
    lifted = lift(net, problem, presolve(net, problem, chains=LIFTINGS[lifting]))
    names = {r: {f.name for f in preset(r, lifted)} for r in ("shor", "hr2", "hr2+")}
    assert names["shor"] < names["hr2"] <= names["hr2+"]
    assert names["hr2"] - names["shor"] == {f"(1{a}v).(1{b}t)/1" for a in "+-" for b in "+-"}
    chains = (["x"] if local else []) + [c for c, used in (("p", "adjoint"), ("a", "forward")) if lifting != used]
    masked = {"x": "z-x", "p": "w-p", "a": "g-a", "u": "1-u"}
    for l in "12":  # every pair of chains, in every layer but the last
        equalities = {f"{m}.({masked[b]})/{l}" for m in ["u", *chains] for b in ["u", *chains]} - {f"u.(1-u)/{l}"}
        assert {n for n in names["shor"] if n.endswith(l) and n[0] in "uxpa"} == equalities
        for letter in [letter for c in chains for letter in {"x": "X", "p": "V", "a": "A"}[c]]:
            wanted = {f"{letter}+/{l}", f"{letter}-/{l}", f"{letter}+.{letter}-/{l}"}
            assert wanted | {n.replace(letter, f"{letter}C") for n in wanted} <= names["shor"]
    assert {n for n in names["shor"] if n.endswith("/3")} == ({"u.z/3", "(1-u).(-z)/3"} if local else set())


def test_a_layer_without_unstable_neurons_leaves_no_family():
    """First layer always on, second never moves beyond its biases' sign: the network is linear on the box."""
    A = np.eye(2)
    net = Network([A, -A, np.ones((1, 2))], [[9.0, 9.0], [30.0, 40.0], [0.0]])
    problem = checked_problem(net, center=np.zeros(2), radius=1.0)
    fixed = presolve(net, problem)
    lifting = lift(net, problem, fixed)
    assert fixed.switching == 0
    assert preset("hr2+", lifting) == []
    point = lifted_point(net, problem, fixed, np.random.default_rng(0))
    pairs = [(point.y[g], point.y[h]) for g, h in lifting.objective]
    assert encloses(lifting.objective.values(), pairs, point.value, lifting.exponent)
