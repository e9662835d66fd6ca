"""The block form: M_1 plus batches of small moment and localizing matrices (DESIGN sections 1 and 2).

M_1(y) is the (N, N) moment matrix over the basis (1, v, t, xi), v = 2u - 1. A clique's order-2 blocks
use its moments up to degree 4: those of degree 2 or less are entries of M_1 (z counts as the linear
function of xi that it is), the others are the clique's own. v^2 = 1 is substituted before building, or
the blocks would have no interior. Cliques of one shape form one batch of arrays.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Literal

import numpy as np

from ..enclosure import Array
from .families import Family, clique_pairs, preset
from .lasserre import Monomial, lasserre_matrices, layout
from .lifting import Lifting

Polynomial = dict[Monomial, Array | float]


Layout = Literal["clique", "product"]

MAX_DENSE_BYTES = 2**30  # of lasserre2's map from moments to matrix entries


@dataclass(frozen=True)
class Block:
    """n equal-shaped matrices, entry [a, b] = sum_k coefficient[:, a, b, k] w[:, index[a, b, k]] of the moments w.

    Attributes:
        name: such as "M_2({u_i,t_i})".
        index: (d, d, k) int64 into the clique's moments (0 is the constant 1).
        coefficient: (n, d, d, k) or (1, d, d, k) float64.
    """

    name: str
    index: Array
    coefficient: Array


@dataclass(frozen=True)
class CliqueBatch:
    """n cliques of one shape: their moments w = (1, shared, own) and the blocks that must be PSD.

    Attributes:
        name: the clique in the paper's symbols.
        monomials: the moments' monomials in the clique's variables (their positions); monomials[0] is 1.
        shared: (n, k, 2) int64: moment 1 + j of clique i is entry shared[i, j] of the extended moment
            matrix over (1, v, t, xi, z).
        blocks: the batches of matrices.
    """

    name: str
    monomials: tuple[Monomial, ...]
    shared: Array
    blocks: tuple[Block, ...]

    @property
    def count(self) -> int:
        """n, the number of cliques."""
        return self.shared.shape[0]

    @property
    def own(self) -> int:
        """Number of moments per clique that are not entries of M_1."""
        return len(self.monomials) - 1 - self.shared.shape[1]

    def dense(self) -> Array:
        """(n, D, 1 + k + m): the linear map from the moments to all the blocks' entries, stacked block by block."""
        stacked = []
        for block in self.blocks:
            d = block.index.shape[0]
            out = np.zeros((self.count, d, d, len(self.monomials)))
            rows, columns = np.mgrid[:d, :d]
            for term in range(block.index.shape[2]):
                out[:, rows, columns, block.index[:, :, term]] += block.coefficient[..., term]
            stacked.append(out.reshape(self.count, d * d, -1))
        return np.concatenate(stacked, axis=1)


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
            (t, xi). The largest PSD matrix with those given does the same (DESIGN section 3).
    """

    relaxation: str
    lifting: Lifting
    C: Array
    pinned: Array
    batches: tuple[CliqueBatch, ...]
    layout: Layout = "clique"
    chordal: bool = False

    def extended(self) -> Array:
        """E (N + n, N): rows of the extended basis (1, v, t, xi, z) in the basis, so that M = E Y E^T."""
        return extended_rows(self.lifting)


def extended_rows(lifting: Lifting) -> Array:
    """The basis followed by z, as rows over the basis: (N + n, N), or (N, N) without z."""
    rows = np.eye(lifting.size)
    if lifting.z_one is None or lifting.z_xi is None:
        return rows
    z = np.zeros((lifting.sizes["v"], lifting.size))
    z[:, lifting.slice("one")] = lifting.z_one.mid
    z[:, lifting.slice("xi")] = lifting.z_xi.mid
    return np.concatenate([rows, z])


class _Clique:
    """Builds a batch: variables given by their positions in the extended basis, one row per clique."""

    def __init__(self, name: str, variables: Sequence[Array], signs: Sequence[bool]):
        self.name = name
        self.variables = [np.asarray(v, dtype=np.int64) for v in variables]
        self.signs = list(signs)
        self.tables: list[tuple[str, list[list[Polynomial]]]] = []

    def _reduce(self, monomial: Monomial) -> Monomial:
        """Substitute s^2 = 1 for the variables that are signs."""
        out: list[int] = []
        for variable in sorted(set(monomial)):
            power = monomial.count(variable)
            out += [variable] * (power % 2 if self.signs[variable] else power)
        return tuple(out)

    def basis(self, degree: int, among: Sequence[int] | None = None) -> list[Monomial]:
        """Distinct reduced monomials up to a degree, in the given variables."""
        among = range(len(self.variables)) if among is None else among
        every = [m for k in range(degree + 1) for m in combinations_with_replacement(among, k)]
        return list(dict.fromkeys(self._reduce(m) for m in every))

    def add(self, name: str, basis: list[Monomial], factor: Polynomial | None = None) -> None:
        """The moment matrix of `basis` (factor 1), or the localizing matrix of the polynomial `factor` >= 0."""
        factor = {(): 1.0} if factor is None else factor
        table = [[self._product(a, b, factor) for b in basis] for a in basis]
        self.tables.append((name, table))

    def _product(self, a: Monomial, b: Monomial, factor: Polynomial) -> Polynomial:
        return {self._reduce(a + b + m): value for m, value in factor.items()}

    def build(self) -> CliqueBatch:
        """The batch; its moments are those that some block uses, the ones of M_1 first."""
        used = {m for _, table in self.tables for row in table for entry in row for m in entry} | {()}
        names = tuple(sorted(used, key=lambda m: (len(m), m)))
        position = {m: k for k, m in enumerate(names)}
        count = len(self.variables[0])
        blocks = []
        for name, table in self.tables:
            d, terms = len(table), len(table[0][0])
            index = np.zeros((d, d, terms), dtype=np.int64)
            coefficient = np.zeros((count, d, d, terms))
            for a, row in enumerate(table):
                for b, entry in enumerate(row):
                    for k, (monomial, value) in enumerate(entry.items()):
                        index[a, b, k] = position[monomial]
                        coefficient[:, a, b, k] = value
            blocks.append(Block(name, index, coefficient))
        low_degree = [m for m in names[1:] if len(m) <= 2]
        shared = np.zeros((count, len(low_degree), 2), dtype=np.int64)
        for j, monomial in enumerate(low_degree):
            for side, variable in enumerate(monomial):
                shared[:, j, side] = self.variables[variable]
        return CliqueBatch(self.name, names, shared, tuple(blocks))


def _positions(lifting: Lifting, group: str) -> Array:
    """Positions of a group in the extended basis."""
    start = lifting.size if group == "z" else lifting.slice(group).start
    return start + np.arange(lifting.length(group))


def _bounded(lifting: Lifting, group: str, symbol: str) -> CliqueBatch:
    """y^2 <= 1 for a group that is not pinned."""
    clique = _Clique(f"{{{symbol}_i}}", [_positions(lifting, group)], [False])
    clique.add(f"1-{symbol}_i^2", [()], {(): 1.0, (0, 0): -1.0})
    return clique.build()


def _sign_times_z(lifting: Lifting) -> CliqueBatch:
    """E[(u_i - 1/2) z_i] >= 0."""
    clique = _Clique("{u_i,z_i}", [_positions(lifting, "v"), _positions(lifting, "z")], [True, False])
    clique.add("(u_i-1/2)z_i", [()], {(0, 1): 1.0})
    return clique.build()


def _x_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({x_i}) and M_1(eps^2-(x_i-xbar_i)^2, {x_i})."""
    clique = _Clique("{x_i}", [_positions(lifting, "xi")], [False])
    clique.add("M_2({x_i})", clique.basis(2))
    clique.add("M_1(1-xi_i^2,{x_i})", clique.basis(1), {(): 1.0, (0, 0): -1.0})
    return clique.build()


def _ut_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({u_i,t_i}) and M_1(1-t_i^2, {u_i,t_i})."""
    first, second = clique_pairs(lifting, "v", "t")
    variables = [_positions(lifting, "v")[first], _positions(lifting, "t")[second]]
    clique = _Clique("{u_i,t_i}", variables, [True, False])
    clique.add("M_2({u_i,t_i})", clique.basis(2))
    clique.add("M_1(1-t_i^2,{u_i,t_i})", clique.basis(1), {(): 1.0, (1, 1): -1.0})
    return clique.build()


def _uz_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({u_i,z_i}), M_1((u_i-1/2)z_i) and M_1((z_i-l_i)(h_i-z_i)) on {u_i,z_i}, and z (h u + l (1-u) - z) >= 0.

    The blocks imply the product form's other products of u and z, but this one only where h = -l: u z^2 is
    not in their basis.
    """
    low, high = lifting.presolve.low, lifting.presolve.high
    variables = [_positions(lifting, "v"), _positions(lifting, "z")]
    clique = _Clique("{u_i,z_i}", variables, [True, False])
    clique.add("M_2({u_i,z_i})", clique.basis(2))
    clique.add("M_1((u_i-1/2)z_i,{u_i,z_i})", clique.basis(1), {(0, 1): 1.0})
    clique.add("M_1((z_i-l_i)(h_i-z_i),{u_i,z_i})", clique.basis(1), {(): -low * high, (1,): low + high, (1, 1): -1.0})
    clique.add("z(hu+l(1-u)-z)", [()], {(1,): (high + low) / 2, (0, 1): (high - low) / 2, (1, 1): -1.0})
    return clique.build()


def _xt_clique(lifting: Lifting) -> CliqueBatch:
    """M_2({x_i,t_i}), its localizers, and the four products (1 +- xi_i)(1 +- t_i) >= 0."""
    clique = _Clique("{x_i,t_i}", [_positions(lifting, "xi"), _positions(lifting, "t")], [False, False])
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
    plan = layout(matrices, lifting)
    entries = sum(index.shape[0] ** 2 for index in plan.index)
    if entries * len(plan.monomials) * 8 > MAX_DENSE_BYTES:
        raise ValueError(
            f"relaxation='lasserre2' is for tiny networks: here it has {entries} matrix entries and "
            f"{len(plan.monomials)} moments; 'hr2' and 'hr2z' fit"
        )
    blocks = tuple(
        Block(m.key, index, np.broadcast_to([float(c.mid) for c in m.factor.values()], (1, *index.shape)))
        for m, index in zip(matrices, plan.index, strict=True)
    )
    low_degree = [m for m in plan.monomials[1:] if len(m) <= 2]
    shared = np.array([[(0, *m)[-2:] for m in low_degree]], dtype=np.int64)
    return CliqueBatch("{x,u},{u,t_i}", plan.monomials, shared, blocks)


def _product_batches(lifting: Lifting, families: Sequence[Family]) -> list[CliqueBatch]:
    """The diagonal families as 1 by 1 blocks f.y g.y >= 0; those over the same variables are one batch."""
    batches: dict[tuple[tuple[str, bytes], ...], _Clique] = {}
    for family in families:
        if family.pairs != "diagonal":
            raise ValueError(f"family {family.name!r} is of all pairs: the product layout takes one product per row")
        terms = (*family.F.terms, *family.G.terms)
        variables = sorted({(t.group, t.index.tobytes()) for t in terms if t.group != "one"}, reverse=True)
        position = {variable: k for k, variable in enumerate(variables)}
        if (key := tuple(variables)) not in batches:
            places = {(t.group, t.index.tobytes()): _positions(lifting, t.group)[t.index] for t in terms}
            signs = [group == "v" for group, _ in variables]
            batches[key] = _Clique(",".join(g for g, _ in variables), [places[v] for v in variables], signs)
        product: Polynomial = {}
        for f in family.F.terms:
            for g in family.G.terms:
                names = [(t.group, t.index.tobytes()) for t in (f, g) if t.group != "one"]
                monomial = batches[key]._reduce(tuple(position[name] for name in names))
                product[monomial] = product.get(monomial, 0.0) + f.coefficient * g.coefficient
        batches[key].add(family.name, [()], product)
    return [clique.build() for clique in batches.values()]


def block_form(relaxation: str, lifting: Lifting, layout: Layout = "clique", chordal: bool = False) -> BlockForm:
    """The named relaxation in block form. No loop over neurons: cliques of a kind are built as one batch.

    Args:
        relaxation: its name.
        lifting: the basis.
        layout: "clique", the order-2 blocks of its definition; "product", the same optimum from the families'
            products (DESIGN section 4), without small matrices and with t's diagonal entries pinned.
        chordal: split M_1, see `BlockForm`.

    Raises:
        ValueError: a relaxation that has no such form: lasserre2 no product layout, and chordal only where
            there is an xi and nothing couples it with t.
    """
    local = "xi" in lifting.sizes
    pinned = np.zeros(lifting.size, dtype=bool)
    pinned[lifting.slice("one")] = pinned[lifting.slice("v")] = True
    batches = []
    if layout == "product":
        if relaxation == "lasserre2":
            raise ValueError("relaxation='lasserre2' has no product layout: its moments are not products of two")
        pinned = lifting.square_is_one
        batches = _product_batches(lifting, preset(relaxation, lifting))
    else:
        batches.append(_bounded(lifting, "t", "t"))
    if local:
        batches.append(_bounded(lifting, "xi", "xi"))
    if layout == "clique":
        batches += _clique_batches(relaxation, lifting)
    C = np.zeros((lifting.size, lifting.size))
    C[lifting.slice("v"), lifting.slice("t")] = lifting.objective_v.mid
    C[lifting.slice("one"), lifting.slice("t")] = lifting.objective_one.mid
    form = BlockForm(
        relaxation, lifting, (C + C.T) / 2, pinned, tuple(batch for batch in batches if batch.count), layout, chordal
    )
    if chordal and not splits(form):
        raise ValueError(f"relaxation={relaxation!r} has no chordal form here: no xi, or blocks of both t and xi")
    return form


def splits(form: BlockForm) -> bool:
    """Whether M_1 may be split: there is an xi, and no block has a moment of both t and xi."""
    if "xi" not in form.lifting.sizes:
        return False
    E = form.extended() != 0
    t, xi = (E[:, form.lifting.slice(group)].any(axis=1) for group in ("t", "xi"))
    pairs = [batch.shared.reshape(-1, 2).T for batch in form.batches]
    return not any((t[a] & xi[b] | xi[a] & t[b]).any() for a, b in pairs)


def _clique_batches(relaxation: str, lifting: Lifting) -> list[CliqueBatch]:
    """The cliques of a relaxation."""
    local = "xi" in lifting.sizes
    batches = []
    if relaxation in ("shor", "hr2") and local:
        batches.append(_sign_times_z(lifting))
    if relaxation == "hr2":
        batches += ([_x_clique(lifting)] if local else []) + [_ut_clique(lifting)]
    if relaxation == "lasserre2":
        batches.append(_lasserre(lifting))
    if relaxation == "hr2z" and local:
        batches += [_uz_clique(lifting), _xt_clique(lifting)]
    return batches


def multipliers_of(form: BlockForm, duals: Sequence[Array]) -> dict[str, Array]:
    """Multipliers of the product form, family name -> (n,), from dual matrices: per batch (n, D), block by block."""
    if form.layout == "clique":
        polynomials = [np.einsum("ndq,nd->nq", batch.dense(), Z) for batch, Z in zip(form.batches, duals, strict=True)]
        return clique_multipliers(form, polynomials)
    names = {family.name for family in preset(form.relaxation, form.lifting)}
    return {
        block.name: np.maximum(Z[:, k], 0.0)
        for batch, Z in zip(form.batches, duals, strict=True)
        for k, block in enumerate(batch.blocks)
        if block.name in names
    }


def duals_of(form: BlockForm, multipliers: Mapping[str, Array]) -> list[Array]:
    """Dual matrices that product-form multipliers describe, per batch (n, D): for a warm start."""
    if form.layout == "product":
        zero = {batch.name: np.zeros(batch.count) for batch in form.batches}
        return [
            np.stack([multipliers.get(block.name, zero[batch.name]) for block in batch.blocks], axis=1)
            for batch in form.batches
        ]
    return [
        np.einsum("ndq,nq->nd", np.linalg.pinv(batch.dense().transpose(0, 2, 1)), q)
        for q, batch in zip(clique_polynomials(form, multipliers), form.batches, strict=True)
    ]


def clique_multipliers(form: BlockForm, polynomials: Sequence[Array]) -> dict[str, Array]:
    """Multipliers of the product form from the dual polynomials of the cliques.

    Args:
        form: the block form.
        polynomials: per batch (n, 1 + k + m): the coefficients, on the clique's moments, of the sum of
            <Z, block> over the clique's blocks, Z >= 0 their dual matrices. Those on the clique's own
            moments vanish at a dual feasible point and are ignored.

    Returns:
        family name -> (n,) multipliers >= 0. A polynomial p(s, w), quadratic in w and nonnegative for both
        signs s on w's interval, is a square plus a multiple of (w - low)(high - w), which stay in M_1's
        dual matrix, plus for each s a linear function that its values at the interval's ends determine:
        those are the multipliers of the four products of factors.
    """
    out: dict[str, Array] = {}
    for batch, q in zip(form.batches, polynomials, strict=True):
        of = defaultdict(lambda n=batch.count: np.zeros(n), {m: q[:, k] for k, m in enumerate(batch.monomials)})  # type: ignore[misc]
        if batch.name == "{u_i,z_i}" and len(batch.blocks) == 1:
            out["v.z"] = np.maximum(of[0, 1], 0.0)
        elif batch.name == "{u_i,z_i}":
            low, high = form.lifting.presolve.low, form.lifting.presolve.high
            zero, square = np.zeros_like(low), of[1, 1]
            on = _ends(of[()] + of[0,], of[1,] + of[0, 1], square, zero, high)
            off = _ends(of[()] - of[0,], of[1,] - of[0, 1], square, low, zero)
            out["u.(h-z)"], out["u.z"] = on[0] / (2 * high), on[1] / (2 * high)
            out["(1-u).(-z)"], out["(1-u).(z-l)"] = off[0] / (-2 * low), off[1] / (-2 * low)
            out["z.(hu+l(1-u)-z)"] = np.maximum(-square, 0.0)
        elif batch.name == "{x_i,t_i}":
            one = np.ones(batch.count)
            for b, t in (("+", 1.0), ("-", -1.0)):
                ends = _ends(of[()] + of[1, 1] + t * of[1,], of[0,] + t * of[0, 1], of[0, 0], -one, one)
                out[f"(1-x).(1{b}t)"], out[f"(1+x).(1{b}t)"] = ends[0] / 4, ends[1] / 4
        elif batch.name == "{u_i,t_i}":
            for a, v in (("+", 1.0), ("-", -1.0)):
                for b, t in (("+", 1.0), ("-", -1.0)):
                    value = of[()] + of[1, 1] + v * of[0,] + t * of[1,] + v * t * of[0, 1]
                    out[f"(1{a}v).(1{b}t)"] = np.maximum(value / 4, 0.0)
    return out


def clique_polynomials(form: BlockForm, multipliers: Mapping[str, Array]) -> list[Array]:
    """The cliques' polynomials that product-form multipliers describe: per batch (n, 1 + k + m) coefficients.

    The part of `clique_multipliers`' inverse that the multipliers determine; a warm start needs no more.
    """
    out = []
    low, high = form.lifting.presolve.low, form.lifting.presolve.high
    for batch in form.batches:
        q = np.zeros((batch.count, len(batch.monomials)))
        column = {m: k for k, m in enumerate(batch.monomials)}

        def add(name: str, polynomial: Polynomial, q: Array = q, column: dict[Monomial, int] = column) -> None:
            for monomial, value in polynomial.items():
                q[:, column[monomial]] += multipliers.get(name, 0.0) * value

        if batch.name == "{u_i,z_i}" and len(batch.blocks) == 1:
            add("v.z", {(0, 1): 1.0})
        elif batch.name == "{u_i,z_i}":
            add("u.z", {(1,): 1.0, (0, 1): 1.0})
            add("(1-u).(-z)", {(1,): -1.0, (0, 1): 1.0})
            add("u.(h-z)", {(): high, (0,): high, (1,): -1.0, (0, 1): -1.0})
            add("(1-u).(z-l)", {(): -low, (0,): low, (1,): 1.0, (0, 1): -1.0})
            add("z.(hu+l(1-u)-z)", {(1,): (high + low) / 2, (0, 1): (high - low) / 2, (1, 1): -1.0})
        elif batch.name in ("{x_i,t_i}", "{u_i,t_i}"):
            for a, s in (("+", 1.0), ("-", -1.0)):
                for b, t in (("+", 1.0), ("-", -1.0)):
                    name = f"(1{a}{'x' if 'x' in batch.name else 'v'}).(1{b}t)"
                    add(name, {(): 1.0, (0,): s, (1,): t, (0, 1): s * t})
        out.append(q)
    return out


def _ends(constant: Array, slope: Array, square: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Values at low and high of p(w) = constant + slope w + square w^2 less its square part.

    A convex p loses square (w - w0)^2, w0 its minimiser on [low, high]: the rest is linear and still
    nonnegative there. A concave p loses -square (w - low)(high - w), which vanishes at both ends.
    """
    convex = np.maximum(square, 0.0)
    best = np.clip(np.where(convex > 0, -slope / np.where(convex > 0, 2 * convex, 1.0), low), low, high)
    ends = []
    for w in (low, high):
        ends.append(np.maximum(constant + slope * w + square * w**2 - convex * (w - best) ** 2, 0.0))
    return ends[0], ends[1]
