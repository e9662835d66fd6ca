"""Families of valid products: what separates `shor`, `hr2` and `hr2z` (docs/theory/moment-relaxation.md).

A *form* is a linear form of the extended basis, one per row. A *family* is a pair of lists of forms (F, G) with
f.y g.y >= 0 at every feasible point, row by row or for all pairs of rows. All coefficients of forms are exact
float64 numbers; only derived groups such as z carry enclosures. Here is what the last hidden layer and the input
have; chains.py adds the layers before, of which there are none where one hidden layer is all.
"""

from __future__ import annotations

import numpy as np

from ..arithmetic.float64 import Array
from .basis import XI, Group, Lifting, T, once
from .chains import chain_families, off_of, u_of
from .forms import Family, Form, Term, chosen, constant, entries
from .orders import NOT_BOTH_OFF, NOT_BOTH_ON
from .table import RELAXATIONS

__all__ = ["Family", "Form", "Term", "catalogue", "constant", "entries", "preset"]

SIGNS = (("+", 1.0), ("-", -1.0))


def _of_last_layer(lifting: Lifting, layer: int) -> list[Family]:
    """Products of u, z and z's bounds l <= z <= h, the last hidden layer's or one of the last."""
    neurons = lifting.presolve.layers[layer - 1]
    n = len(neurons.unstable)
    i, one = np.arange(n), constant(1.0, n)
    v, z = entries(Group("v", layer), i), entries(Group("z", layer), i)
    low, high = neurons.low, neurons.high
    on, off = one + v, one - v  # 2u and 2(1 - u)
    # h u + l (1-u): (h +- l)/2 are exact on the grid
    bound = constant((high + low) / 2, n) + entries(Group("v", layer), i, (high - low) / 2)
    return [
        Family("v.z", layer, v, z),  # (u - 1/2) z >= 0, `shor`'s only statement about z
        Family("u.z", layer, on, z),
        Family("(1-u).(-z)", layer, off, -z),
        Family("u.(h-z)", layer, on, constant(high, n) - z),
        Family("(1-u).(z-l)", layer, off, z - constant(low, n)),
        Family("z.(hu+l(1-u)-z)", layer, z, bound - z),  # z^2 <= h z where on, z^2 <= l z where off
    ]


def _of_cliques(lifting: Lifting, group: Group, letter: str) -> list[Family]:
    """(1 +- y_i)(1 +- t_i) >= 0 for the cliques {y_i, t_i} of `clique_pairs`; `letter` names y."""
    first, second = clique_pairs(lifting, group)
    one = constant(1.0, len(first))
    return [
        Family(
            f"(1{a}{letter}).(1{b}t)", group.layer, one + entries(group, first, x), one + entries(T, second, y),
            paired=group != XI,
        )
        for a, x in SIGNS
        for b, y in SIGNS
    ]  # fmt: skip


def clique_pairs(lifting: Lifting, group: Group) -> tuple[Array, Array]:
    """Positions in `group` and t of the cliques {u_i, t_i} (`v`) or {x_i, t_i} (`XI`), i in the network's numbering.

    u is the first hidden layer's, or one's that takes x alone. {u_i, t_i} exists for i <= min(p_0, p_1); where neuron i
    is stable or input i is fixed the products say nothing that M_1 does not, and the clique is left out.
    """
    if group != XI:
        _, first, second = np.intersect1d(lifting.owners(group), lifting.owners(T), return_indices=True)
        return first, second
    return np.searchsorted(lifting.owners(XI), lifting.owners(T)), np.arange(lifting.sizes[T])


def _beside_chains(lifting: Lifting) -> list[Family]:
    """The families that are not of chains.py; none where all are."""
    if lifting.by_chains:
        return []
    structure, out = lifting.presolve.structure, []
    if XI in lifting.sizes:
        valued = lifting.presolve.valued
        last = [l for l in structure.last if l in valued and "x" not in lifting.chains_of(l)]
        out += [family for l in last for family in _of_last_layer(lifting, l)]
    if T in lifting.sizes:
        first = [l for l in structure.first if l not in lifting.ties]
        out += [family for l in first for family in _of_cliques(lifting, Group("v", l), "v")]
        is_of_x = XI in lifting.sizes and lifting.presolve.section is None  # where xi is no other input's
        out += _of_cliques(lifting, XI, "x") if is_of_x else []
    return out


def _of_orders(lifting: Lifting) -> list[Family]:
    """Products of two neurons' masks that are 0 (orders.py)."""
    out = []
    for (kind, layer), pairs in lifting.orders.items():
        i, j = pairs.T
        first, second = (u_of if kind == NOT_BOTH_ON else off_of), (off_of if kind == NOT_BOTH_OFF else u_of)
        F, G = chosen(first(lifting, layer), i), chosen(second(lifting, layer), j)
        out.append(Family(kind, layer, F, G, equality=True))
    return out


@once
def catalogue(lifting: Lifting) -> dict[str, Family]:
    """Every family that exists on this lifting, by name."""
    every = (*chain_families(lifting), *_beside_chains(lifting), *_of_orders(lifting))
    return {family.name: family for family in every}


def preset(relaxation: str, lifting: Lifting) -> list[Family]:
    """The families of a named relaxation on this lifting, none of them empty."""
    record, local = RELAXATIONS[relaxation], XI in lifting.sizes
    others: dict[str, list[Family]] = {}
    for family in _beside_chains(lifting):
        others.setdefault(family.product, []).append(family)
    wanted = record.families(lifting.presolve.depth, local) or ()
    every = [*chain_families(lifting), *(family for product in wanted for family in others.get(product, []))]
    every += _of_orders(lifting) if record.orders else []
    return [family for family in every if family.F.rows]
