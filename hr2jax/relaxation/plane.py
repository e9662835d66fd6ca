"""The plane S = 1 of a reach lifting: one variable less (docs/theory/reach.md).

    S = w_0 tau + sum_i w_i |zeta_i|,    |zeta_i| = 2 rho_i - zeta_i,    rho = u zeta

is linear in the variables. One rho is what S = 1 says of the others, so that it becomes a derived form of them, and the
plane holds in all products. Beside it the basis is a local problem's.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..arithmetic.enclosure import Enclosure, U
from ..arithmetic.float64 import Array
from ..network import Network
from ..problem import Problem
from .basis import ONE, REST, XI, Group, LinearMap
from .pieces import add
from .presolve import Presolve
from .section import Rows, SectionBox


def pivot_layer(fixed: Presolve) -> int:
    """The layer whose first x is not in the basis."""
    return next(l for l in fixed.structure.first if len(fixed.members(l)))


def without_pivot(fixed: Presolve, sizes: Mapping[Group, int]) -> dict[Group, int]:
    """The basis groups with an entry less."""
    l = pivot_layer(fixed)
    return {
        Group(REST, l) if group == Group("x", l) else group: size - (group == Group("x", l))
        for group, size in sizes.items()
    }


def on_plane(
    net: Network, fixed: Presolve, problem: Problem, derived: Mapping[Group, LinearMap], arithmetic: type[Enclosure]
) -> dict[Group, LinearMap]:
    """The derived groups with the pivot's x replaced, and all of its layer's x among them; `net` is homogeneous."""
    l = pivot_layer(fixed)
    x, rest, n = Group("x", l), Group(REST, l), len(fixed.members(l))
    row = _first_of(net, fixed, problem, derived, arithmetic)
    out = {group: _replaced(terms, x, rest, row) for group, terms in derived.items()}
    others = arithmetic(np.eye(n)[:, 1:])
    behind = {rest: others}
    first = arithmetic(np.eye(n)[:, :1])
    add(behind, {group: first @ values for group, values in row.items()})
    return out | {x: behind}


def _replaced(terms: LinearMap, x: Group, rest: Group, row: LinearMap) -> LinearMap:
    """A map with x's first entry written in the others."""
    if x not in terms:
        return terms
    out = {group: matrix for group, matrix in terms.items() if group != x}
    out[rest] = terms[x][:, 1:]
    add(out, {group: terms[x][:, :1] @ values for group, values in row.items()})
    return out


def _first_of(
    net: Network, fixed: Presolve, problem: Problem, derived: Mapping[Group, LinearMap], arithmetic: type[Enclosure]
) -> LinearMap:
    """The pivot's x, scaled, as S = 1 has it: (1, size) of each group.

    Raises:
        ValueError: a neuron of S has no variable.
    """
    assert isinstance(problem.domain, SectionBox) and fixed.section is not None
    section, pivot = fixed.section, pivot_layer(fixed)
    out: LinearMap = {ONE: arithmetic(np.ones((1, 1)))}
    if section.has_constant:
        w_0, q = arithmetic(section.constant), len(fixed.free)
        middle, scale = problem.domain.middle(arithmetic)[-1:], problem.domain.scale(arithmetic)[-1:]
        of_tau = arithmetic(np.zeros((1, q)))
        of_tau[:, q - 1 :] = (w_0 * scale).reshape(1, 1)
        add(out, {ONE: -(w_0 * middle).reshape(1, 1), XI: -of_tau})
    own = _weights_of(net, fixed, problem.domain)
    for l, of_layer in own.items():
        neurons = fixed.layers[l - 1]
        if not len(of_layer):
            continue
        weights = arithmetic(of_layer).scaled(neurons.exponent).reshape(1, -1)
        add(out, {group: weights @ z for group, z in derived[Group("z", l)].items()})
        if l == pivot:
            add(out, {Group(REST, l): -weights[:, 1:].scaled(1)})
        else:
            add(out, {Group("x", l): -weights.scaled(1)})
    first = float(own[pivot][0])
    with np.errstate(all="ignore"):
        middle_of = np.array([[0.5 / first]])
        inverse = arithmetic(middle_of, np.nextafter(2.0 * U * middle_of, np.inf))
    down = -int(fixed.layers[pivot - 1].exponent[0])
    return {group: (inverse * values).scaled(down) for group, values in out.items()}


def _weights_of(net: Network, fixed: Presolve, domain: SectionBox) -> dict[int, Array]:
    """The section's weights by layer, each layer's in the order in which its neurons have variables: any (a file's).

    Raises:
        ValueError: the neurons with variables are not those of S.
    """
    out, at = {}, 0
    members = Rows.of(net, domain.inputs).members
    if [l for l, _ in members] != [*fixed.structure.first]:
        raise ValueError("the section's layers are not those that have variables")
    for l, index in members:
        unstable = fixed.layers[l - 1].unstable
        if not np.array_equal(np.sort(unstable), index):
            raise ValueError("the section's neurons are not those that have variables")
        out[l] = domain.section.weights[at + np.searchsorted(index, unstable)]
        at += len(index)
    return out
