"""Groups, where their entries lie, and the extended basis, against rows written out one by one."""

import numpy as np
import pytest

from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.basis import ONE, V1, XI, Group, Placement, T
from hr2jax.relaxation.families import catalogue
from hr2jax.relaxation.presolve import LIFTINGS, presolve
from tests.reference.cases import random_net
from tests.reference.product import dense_form, extended_basis


def lifted(lifting="both", widths=(3, 5, 4, 1)):
    net = random_net(np.random.default_rng(1), widths)
    problem = checked_problem(net, center=np.zeros(3), radius=2.0)
    return lift(net, problem, presolve(net, problem, chains=LIFTINGS[lifting]))


def test_groups_are_called_by_kind_and_layer():
    assert [str(group) for group in (ONE, T, XI, V1, Group("z", 12))] == ["one", "t", "xi", "v1", "z12"]
    assert list(map(str, lifted().sizes)) == ["one", "v1", "v2", "t", "p1", "a1", "xi", "x1"]
    assert list(map(str, lifted().derived)) == ["z1", "z2", "g1", "w1"]
    assert list(map(str, lifted(widths=(3, 5, 1)).sizes)) == ["one", "v1", "t", "xi"]


def test_groups_lie_one_behind_the_other():
    placement = Placement.of({ONE: 1, V1: 0, T: 3, XI: 2})
    assert placement.size == 6
    assert placement.places(T).tolist() == [1, 2, 3] == list(range(6))[placement.slice(T)]
    assert placement.places(V1).tolist() == []
    number, entry = placement.groups_of(np.arange(6))
    assert number.tolist() == [0, 2, 2, 2, 3, 3]
    assert entry.tolist() == [0, 0, 1, 2, 0, 1]


@pytest.mark.parametrize("lifting", ["forward", "adjoint", "both"])
def test_the_extended_basis_is_the_basis_and_the_derived_groups_rows(lifting):
    basis = lifted(lifting)
    every = np.concatenate(list(extended_basis(basis).values()))
    assert basis.extended.size == len(every) > basis.size
    assert np.array_equal(every[: basis.size], np.eye(basis.size))
    np.testing.assert_allclose(basis.derived_rows(), every[basis.size :], rtol=0, atol=1e-15)
    V = np.random.default_rng(2).standard_normal((basis.size, 3))
    np.testing.assert_allclose(basis.extend(V), every @ V, rtol=0, atol=1e-12)
    # placed elsewhere: backwards, with gaps
    groups = [*basis.sizes, *basis.derived]
    starts = {group: 2 * len(every) - 2 * basis.extended.slice(group).stop for group in groups}
    spread = Placement(basis.extended.lengths, starts, 2 * len(every))
    E = basis.extend(V, spread)
    for group in groups:
        np.testing.assert_array_equal(E[spread.places(group)], basis.extend(V)[basis.extended.places(group)])
    assert np.count_nonzero(E.any(axis=1)) <= len(every)


def test_a_forms_rows_are_sparse_over_any_placement():
    basis = lifted()
    E = np.concatenate([np.eye(basis.size), basis.derived_rows()])
    for family in catalogue(basis).values():
        for form in (family.F, family.G):
            sparse = form.csr(basis.extended)
            assert sparse.shape == (form.rows, basis.extended.size)
            np.testing.assert_allclose(sparse @ E, dense_form(basis, form), rtol=0, atol=1e-14)


def test_entries_belong_to_the_networks_neurons_and_inputs():
    basis = lifted()
    fixed = basis.presolve
    assert basis.owners(ONE).tolist() == [0]
    assert basis.owners(T).tolist() == basis.owners(XI).tolist() == fixed.free.tolist()
    for l, layer in enumerate(fixed.layers, start=1):
        assert basis.owners(Group("v", l)).tolist() == layer.unstable.tolist()
    for group, size in basis.sizes.items():
        assert len(basis.owners(group)) == size


def test_families_know_the_owners_of_their_rows():
    basis = lifted()
    fixed = basis.presolve
    layout = fixed.layout()
    for name, family in catalogue(basis).items():
        owners = family.owners(layout, fixed.free)
        assert len(owners) == family.F.rows
        assert name == (f"{family.product}/{family.layer}" if family.layer else family.product)
        for term in (*family.F.terms, *family.G.terms):
            if term.group != ONE:
                assert basis.extended.lengths[term.group] >= len(owners)
            if term.group in basis.sizes and term.group != ONE:
                assert basis.owners(term.group)[term.index].tolist() == owners.tolist(), name
