"""The block form: M_1 plus batches of small moment and localizing matrices (docs/theory/moment-relaxation.md).

M_1(y) is the (N, N) moment matrix over the basis (1, v, t, xi), v = 2u - 1. A clique's order-2 blocks
use its moments up to degree 4: those of degree 2 or less are entries of M_1 (z counts as the linear
function of xi that it is), the others are the clique's own. v^2 = 1 is substituted before building, or
the blocks would have no interior. Cliques of one shape form one batch of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.basis import ONE, V1, XI, Z1, Group, Lifting, T
from ...relaxation.families import clique_pairs, preset
from ...relaxation.forms import Family
from ...relaxation.lasserre import lasserre_matrices, moment_places
from ...relaxation.table import RELAXATIONS
from .cliques import Clique, CliqueBatch, CliqueBlock, Polynomial

Arrangement = Literal["clique", "product"]


@dataclass(frozen=True)
class BlockForm:
    """max <C, Y> over moment matrices Y = M_1 >= 0 with pinned diagonal entries 1, and the batches' blocks >= 0.

    Attributes:
        relaxation: its name.
        lifting: the basis and z's coefficients.
        C: (N, N) float64 symmetric, in units of 2**lifting.exponent.
        pinned: (N,) bool, diagonal entries of M_1 that are 1 (the others are bounded by blocks).
        batches: the cliques.
        layout: "clique" (order-2 blocks, as the relaxations are defined) or "product" (1 by 1 blocks).
        chordal: M_1 is two matrices, over (1, v, t) and (1, v, xi): they agree on (1, v), and Y has no entries
            (t, xi). The largest PSD matrix with those given does the same (docs/theory/moment-relaxation.md).
    """

    relaxation: str
    lifting: Lifting
    C: Array
    pinned: Array
    batches: tuple[CliqueBatch, ...]
    layout: Arrangement = "clique"
    chordal: bool = False

    def extended(self) -> Array:
        """E (N + n, N): rows of the extended basis (1, v, t, xi, z) in the basis, so that M = E Y E^T."""
        return np.concatenate([np.eye(self.lifting.size), self.lifting.derived_rows()])


def _bounded(lifting: Lifting, group: Group) -> CliqueBatch:
    """y^2 <= 1 for a group that is not pinned."""
    clique = Clique(f"{{{group}_i}}", [lifting.extended.places(group)], [False])
    clique.add(f"1-{group}_i^2", [()], {(): 1.0, (0, 0): -1.0})
    return clique.build()


def _sign_times_z(lifting: Lifting) -> CliqueBatch:
    """E[(u_i - 1/2) z_i] >= 0."""
    clique = Clique("{u_i,z_i}", [lifting.extended.places(V1), lifting.extended.places(Z1)], [True, False])
    clique.add("(u_i-1/2)z_i", [()], {(0, 1): 1.0})
    return clique.build()


def _x_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({x_i}) and M_1(eps^2-(x_i-xbar_i)^2, {x_i})."""
    clique = Clique("{x_i}", [lifting.extended.places(XI)], [False])
    clique.add("M_2({x_i})", clique.basis(2))
    clique.add("M_1(1-xi_i^2,{x_i})", clique.basis(1), {(): 1.0, (0, 0): -1.0})
    return clique.build()


def _ut_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({u_i,t_i}) and M_1(1-t_i^2, {u_i,t_i})."""
    first, second = clique_pairs(lifting, V1)
    variables = [lifting.extended.places(V1)[first], lifting.extended.places(T)[second]]
    clique = Clique("{u_i,t_i}", variables, [True, False])
    clique.add("M_2({u_i,t_i})", clique.basis(2))
    clique.add("M_1(1-t_i^2,{u_i,t_i})", clique.basis(1), {(): 1.0, (1, 1): -1.0})
    return clique.build()


def _uz_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({u_i,z_i}), M_1((u_i-1/2)z_i) and M_1((z_i-l_i)(h_i-z_i)) on {u_i,z_i}, and z (h u + l (1-u) - z) >= 0.

    The blocks imply the product form's other products of u and z, but this one only where h = -l: u z^2 is
    not in their basis.
    """
    low, high = lifting.presolve.layers[0].low, lifting.presolve.layers[0].high
    variables = [lifting.extended.places(V1), lifting.extended.places(Z1)]
    clique = Clique("{u_i,z_i}", variables, [True, False])
    clique.add("M_2({u_i,z_i})", clique.basis(2))
    clique.add("M_1((u_i-1/2)z_i,{u_i,z_i})", clique.basis(1), {(0, 1): 1.0})
    clique.add("M_1((z_i-l_i)(h_i-z_i),{u_i,z_i})", clique.basis(1), {(): -low * high, (1,): low + high, (1, 1): -1.0})
    clique.add("z(hu+l(1-u)-z)", [()], {(1,): (high + low) / 2, (0, 1): (high - low) / 2, (1, 1): -1.0})
    return clique.build()


def _xt_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({x_i,t_i}), its localizers, and the four products (1 +- xi_i)(1 +- t_i) >= 0."""
    clique = Clique("{x_i,t_i}", [lifting.extended.places(XI), lifting.extended.places(T)], [False, False])
    clique.add("M_2({x_i,t_i})", clique.basis(2))
    clique.add("M_1(1-xi_i^2,{x_i,t_i})", clique.basis(1), {(): 1.0, (0, 0): -1.0})
    clique.add("M_1(1-t_i^2,{x_i,t_i})", clique.basis(1), {(): 1.0, (1, 1): -1.0})
    for a in (1.0, -1.0):
        for b in (1.0, -1.0):
            sign = {1.0: "+", -1.0: "-"}
            clique.add(f"(1{sign[a]}xi_i)(1{sign[b]}t_i)", [()], {(): 1.0, (0,): a, (1,): b, (0, 1): a * b})
    return clique.build()


def _lasserre(lifting: Lifting) -> CliqueBatch:
    """All the cliques of `lasserre2` as one: they share moments that M_1 does not have."""
    matrices = lasserre_matrices(lifting)
    plan = moment_places(matrices, lifting)
    blocks = tuple(
        CliqueBlock(m.key, index, np.broadcast_to([float(c.mid) for c in m.factor.values()], (1, *index.shape)))
        for m, index in zip(matrices, plan.index, strict=True)
    )
    low_degree = [m for m in plan.monomials[1:] if len(m) <= 2]
    shared = np.array([[(0, *m)[-2:] for m in low_degree]], dtype=np.int64)
    return CliqueBatch("{x,u},{u,t_i}", plan.monomials, shared, blocks)


def _product_batches(lifting: Lifting, families: Sequence[Family]) -> list[CliqueBatch]:
    """The diagonal families as 1 by 1 blocks f.y g.y >= 0; those over the same variables are one batch."""
    batches: dict[tuple[tuple[Group, bytes], ...], Clique] = {}
    for family in families:
        if family.pairs != "diagonal":
            raise ValueError(f"family {family.name!r} is of all pairs: the product layout takes one product per row")
        terms = (*family.F.terms, *family.G.terms)
        variables = sorted({(t.group, t.index.tobytes()) for t in terms if t.group != ONE}, reverse=True)
        position = {variable: k for k, variable in enumerate(variables)}
        if (key := tuple(variables)) not in batches:
            places = {(t.group, t.index.tobytes()): t.places(lifting.extended) for t in terms}
            signs = [group == V1 for group, _ in variables]
            batches[key] = Clique(",".join(g.kind for g, _ in variables), [places[v] for v in variables], signs)
        product: Polynomial = {}
        for f in family.F.terms:
            for g in family.G.terms:
                names = [(t.group, t.index.tobytes()) for t in (f, g) if t.group != ONE]
                monomial = batches[key]._reduce(tuple(position[name] for name in names))
                product[monomial] = product.get(monomial, 0.0) + f.coefficient * g.coefficient
        batches[key].add(family.name, [()], product)
    return [clique.build() for clique in batches.values()]


def block_form(relaxation: str, lifting: Lifting, layout: Arrangement = "clique", chordal: bool = False) -> BlockForm:
    """The named relaxation in block form. No loop over neurons: cliques of a kind are built as one batch.

    Args:
        relaxation: its name.
        lifting: the basis.
        layout: "clique", the order-2 blocks of its definition; "product", the same optimum from the families'
            products (docs/theory/moment-relaxation.md), without small matrices and with t's diagonal entries pinned.
        chordal: split M_1, see `BlockForm`.

    Raises:
        ValueError: a relaxation that has no such form: lasserre2 no product layout, and chordal only where
            there is an xi and nothing couples it with t.
    """
    local = XI in lifting.sizes
    pinned = np.zeros(lifting.size, dtype=bool)
    pinned[lifting.slice(ONE)] = pinned[lifting.slice(V1)] = True
    batches = []
    if layout == "product":
        if not RELAXATIONS[relaxation].by_products:
            raise ValueError(f"relaxation={relaxation!r} has no product layout: its moments are not products of two")
        pinned = lifting.square_is_one
        batches = _product_batches(lifting, preset(relaxation, lifting))
    else:
        batches.append(_bounded(lifting, T))
    if local:
        batches.append(_bounded(lifting, XI))
    if layout == "clique":
        batches += _clique_batches(relaxation, lifting)
    C = np.zeros((lifting.size, lifting.size))
    C[lifting.slice(V1), lifting.slice(T)] = lifting.objective_v.mid
    C[lifting.slice(ONE), lifting.slice(T)] = lifting.objective_one.mid
    form = BlockForm(
        relaxation, lifting, (C + C.T) / 2, pinned, tuple(batch for batch in batches if batch.count), layout, chordal
    )
    if chordal and not splits(form):
        raise ValueError(f"relaxation={relaxation!r} has no chordal form here: no xi, or blocks of both t and xi")
    return form


def splits(form: BlockForm) -> bool:
    """Whether M_1 may be split: there is an xi, and no block has a moment of both t and xi."""
    if XI not in form.lifting.sizes:
        return False
    E = form.extended() != 0
    t, xi = (E[:, form.lifting.slice(group)].any(axis=1) for group in (T, XI))
    pairs = [batch.shared.reshape(-1, 2).T for batch in form.batches]
    return not any((t[a] & xi[b] | xi[a] & t[b]).any() for a, b in pairs)


def _clique_batches(relaxation: str, lifting: Lifting) -> list[CliqueBatch]:
    """The cliques of a relaxation."""
    cliques = RELAXATIONS[relaxation].cliques
    if cliques is None:
        raise ValueError(f"relaxation={relaxation!r} has no block form")
    return [CLIQUES[name](lifting) for name in cliques[XI in lifting.sizes]]


# What a relaxation's record calls them.
CLIQUES: dict[str, Callable[[Lifting], CliqueBatch]] = {
    "v.z": _sign_times_z, "x": _x_clique, "u,t": _ut_clique, "u,z": _uz_clique, "x,t": _xt_clique,
    "lasserre": _lasserre,
}  # fmt: skip
