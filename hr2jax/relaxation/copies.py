"""What products of one output's forms say in the tensored lifting (docs/theory/several-outputs.md).

Let f and g be forms of the lifting of one output with f g >= 0 at every feasible point, f = f_e + f_o their even and
odd parts. What is feasible with t is with -t, so that (f_e - f_o)(g_e - g_o) >= 0 too. With c = m.s, |c| <= L = ||m||

    L (f_e g_e + f_o g_o) + c (f_e g_o + f_o g_e) >= 0,

a combination of the two by (L + c)/2 and (L - c)/2; and where nothing is odd, (q.s)^2 f g >= 0 for every q. Both are
sums of products of copies, the 1 before L being sum_k s_k^2 of a unit vector s, one s_k^2 of signs. An equality
f g = 0, of forms even or odd as a whole, holds for each pair of copies. Besides

    symmetry    (s_k y)(s_h z) = (s_h y)(s_k z)      of even y, z
    same        (s_k y)(s_k z) = (s_1 y)(s_1 z)      of signs s
    u.(1-u)     (s_k u)(s_h (1 - u)) = 0             which without copies is v^2 = 1

Multipliers of a family are an array: by pairs of copies and rows, by copies and rows, or by rows; of the last three by
pairs of copies (or copies but the first) and the entries of two groups.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, Group
from .chains import off_of, u_of
from .forms import Family, Form, entries, family_name
from .products import Terms, summed
from .tensored import Tensored, is_odd

NO_COPY = -1  # the odd part, of which there are no copies
# Families whose factors are mirrored: what is odd in their products cancels, and no direction m is needed.
MIRRORED = ("V+.V-", "VC+.VC-", "A+.A-", "AC+.AC-", "B+.B-", "BC+.BC-")
ROUNDINGS = 5  # of the products below, at most: a multiplier, two coefficients, two entries of a direction
Entries = list[tuple[Group, Group, Array, Array, Arithmetic]]


class Parts(NamedTuple):
    """Products of copies of forms: row i of F in copy k times row j of G in copy h, times a factor, (m,) arrays each.

    `multiplier` says whose they are; of copy NO_COPY a form's odd part is meant, else its even part.
    """

    multiplier: Array
    i: Array
    j: Array
    k: Array
    h: Array
    factor: Array


@dataclass(frozen=True)
class CopiedFamily:
    """Products of copies, sums of which are >= 0 or = 0.

    Attributes:
        name: what its multipliers are called, in certificates too.
        shape: of the multipliers.
        F, G: forms of the lifting of one output.
        parts: the products that each multiplier, counted through, multiplies.
        equality: the sums are 0, with multipliers of any sign.
        used: which multipliers say something that the others do not, counted through.
    """

    name: str
    shape: tuple[int, ...]
    F: Form
    G: Form
    parts: Parts
    equality: bool
    used: Array

    def clipped(self, multipliers: Array) -> Array:
        """The multipliers, at least 0 unless the products are equal to 0."""
        return multipliers if self.equality else np.maximum(multipliers, 0.0)

    def entries(self, lifting: Tensored, values: Array, arithmetic: type[Arithmetic] = Enclosure) -> Entries:
        """What multipliers of the family's shape add to a quadratic form, as arguments of its `add`."""
        weights = self.clipped(np.asarray(values, dtype=np.float64)).ravel()
        return entries_of(lifting, self.F, self.G, self.parts, weights, arithmetic)


def entries_of(
    lifting: Tensored, F: Form, G: Form, parts: Parts, weights: Array, arithmetic: type[Arithmetic] = Enclosure
) -> Entries:
    """What the sum of weights (by multiplier) times products adds to a form, as arguments of its `add`."""
    found: Terms = {}
    weight = weights[parts.multiplier] * parts.factor
    for f in F.terms:
        for g in G.terms:
            here = ((parts.k == NO_COPY) == is_odd(f.group)) & ((parts.h == NO_COPY) == is_odd(g.group))
            i, j = parts.i[here], parts.j[here]
            value = weight[here] * f.coefficient[i] * g.coefficient[j]
            sides = [_place(lifting, t.group, t.index[row], copy[here])
                     for t, row, copy in ((f, i, parts.k), (g, j, parts.h))]  # fmt: skip
            found.setdefault((sides[0][0], sides[1][0]), []).append((sides[0][1], sides[1][1], value))
    return summed(lifting, found, arithmetic, ROUNDINGS)


def _place(lifting: Tensored, group: Group, index: Array, copy: Array) -> tuple[Group, Array]:
    """The group and the places of entries in copies of them."""
    if is_odd(group):
        return group, index
    return lifting.copy_of(group), copy * lifting.one.length(group) + index


def copied_families(lifting: Tensored, families: Iterable[Family]) -> dict[str, CopiedFamily]:
    """The families that those of one output make, and those that only copies have, by name."""
    every = [_copied(lifting, family) for family in families]
    if lifting.outputs > 1:
        layers = [group.layer for group in lifting.even if group.kind == "v"]
        every += [
            _pairs_of_copies(lifting, family_name("u.(1-u)", l), u_of(lifting.one, l), off_of(lifting.one, l), True)
            for l in layers
        ]
        # with ties those of s itself say about all that they all do, and are few (docs/theory/several-outputs.md)
        firsts = [ONE] if lifting.presolve.tied else lifting.even
        pairs = [pair for pair in combinations_with_replacement(lifting.even, 2) if pair[0] in firsts]
        every += [_exchanged(lifting, g, h) for g, h in pairs]
        every += [] if lifting.is_unit else [_same(lifting, g, h) for g, h in pairs]
    return {family.name: family for family in every}


def _parity(form: Form) -> str:
    kinds = {is_odd(term.group) for term in form.terms}
    return "mixed" if len(kinds) > 1 else "odd" if kinds == {True} else "even"


def _copied(lifting: Tensored, family: Family) -> CopiedFamily:
    assert family.pairs == "diagonal"
    K, n, sides = lifting.outputs, family.F.rows, (_parity(family.F), _parity(family.G))
    rows = np.arange(n)
    if family.equality and sides == ("even", "even"):
        return _pairs_of_copies(lifting, family.name, family.F, family.G)
    if family.equality or sides in (("even", "even"), ("odd", "odd")):
        # of an equality one side at least is odd as a whole; (s_k f)(s_k g) >= 0 is q = e_k
        assert "mixed" not in sides
        count = n if sides == ("odd", "odd") else K * n
        multiplier = np.arange(count)
        row, copy = multiplier % n if n else multiplier, multiplier // max(n, 1)
        k, h = (np.full(count, NO_COPY) if side == "odd" else copy for side in sides)
        parts = Parts(multiplier, row, row, k, h, np.ones(count))
        shape = (n,) if sides == ("odd", "odd") else (K, n)
        agree = sides == ("even", "even") and not lifting.is_unit  # of all copies
        used = multiplier[:n] if agree else multiplier
        return CopiedFamily(family.name, shape, family.F, family.G, parts, family.equality, used)
    if family.product in MIRRORED:
        directions, shape = np.zeros((n, K)), (n,)
        row, lengths = rows, np.ones(n)
    else:
        directions, shape = np.repeat(np.eye(K), n, axis=0), (K, n)
        row, lengths = np.tile(rows, K), np.ones(K * n)
    used = np.arange(len(row))
    parts = mixed_parts(lifting, directions, lengths)
    parts = parts._replace(i=row[parts.multiplier], j=row[parts.multiplier])
    return CopiedFamily(family.name, shape, family.F, family.G, parts, family.equality, used)


def mixed_parts(lifting: Tensored, directions: Array, lengths: Array) -> Parts:
    """L (f_e g_e + f_o g_o) + m.s (f_e g_o + f_o g_e), row by row: directions m (r, K), lengths L (r,) >= ||m||."""
    r, K = directions.shape
    row, every = np.repeat(np.arange(r), K), np.tile(np.arange(K), r)
    none = np.full(r * K, NO_COPY)
    m = directions.ravel()
    if lifting.is_unit:
        squares = Parts(row, row, row, every, every, lengths[row])
    else:
        largest = np.argmax(np.abs(directions), axis=1)
        squares = Parts(np.arange(r), np.arange(r), np.arange(r), largest, largest, lengths)
    odd = Parts(np.arange(r), np.arange(r), np.arange(r), none[:r], none[:r], lengths)
    across = Parts(row, row, row, every, none, m), Parts(row, row, row, none, every, m)
    return joined(squares, odd, *across)


def joined(*parts: Parts) -> Parts:
    """All of them."""
    return Parts(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _pairs_of_copies(lifting: Tensored, name: str, F: Form, G: Form, is_square: bool = False) -> CopiedFamily:
    """(s_k f)(s_h g) = 0 for all k and h, row by row; `is_square`: f g = 0 says that the square of a sign is 1."""
    K, n = lifting.outputs, F.rows
    k, h, row = (index.ravel() for index in np.indices((K, K, n)))
    parts = Parts(np.arange(K * K * n), row, row, k, h, np.ones(len(row)))
    # the order of two copies is the symmetry's; squares of signs are the diagonal's (their sum, of a unit vector), and
    # those of all else agree where s has signs
    used = (k < h) | ((k == h) & ((h > 0 if is_square else h >= 0) if lifting.is_unit else (h == 0) & (not is_square)))
    return CopiedFamily(name, (K, K, n), F, G, parts, True, np.flatnonzero(used))


def _exchanged(lifting: Tensored, g: Group, h: Group) -> CopiedFamily:
    """(s_k y)(s_h z) - (s_h y)(s_k z) = 0 for k < h, y of one group and z of another or the same."""
    pairs = np.array(list(combinations(range(lifting.outputs), 2)))
    F, G, (p, i, j) = _entries_of_groups(lifting, g, h, len(pairs))
    first, second = pairs[p].T
    multiplier, one = np.arange(len(p)), np.ones(len(p))
    parts = joined(Parts(multiplier, i, j, first, second, one), Parts(multiplier, i, j, second, first, -one))
    name, shape = f"symmetry/{g}.{h}", (len(pairs), F.rows, G.rows)
    return CopiedFamily(name, shape, F, G, parts, True, np.flatnonzero((i < j) | (g != h)))


def _same(lifting: Tensored, g: Group, h: Group) -> CopiedFamily:
    """(s_k y)(s_k z) - (s_1 y)(s_1 z) = 0 for k > 1."""
    F, G, (p, i, j) = _entries_of_groups(lifting, g, h, lifting.outputs - 1)
    multiplier, one, first = np.arange(len(p)), np.ones(len(p)), np.zeros(len(p), dtype=np.int64)
    parts = joined(Parts(multiplier, i, j, p + 1, p + 1, one), Parts(multiplier, i, j, first, first, -one))
    # of squares of signs the diagonal says it
    is_said = (i == j) & (g == h) & (g.kind in ("one", "v"))
    shape = (lifting.outputs - 1, F.rows, G.rows)
    return CopiedFamily(f"same/{g}.{h}", shape, F, G, parts, True, np.flatnonzero(((i <= j) | (g != h)) & ~is_said))


def _entries_of_groups(lifting: Tensored, g: Group, h: Group, count: int) -> tuple[Form, Form, tuple[Array, ...]]:
    """The entries of two groups as forms, and the indices (count, n, m) of their pairs, raveled."""
    n, m = lifting.one.sizes[g], lifting.one.sizes[h]
    index = tuple(part.ravel() for part in np.indices((count, n, m)))
    return entries(g, np.arange(n)), entries(h, np.arange(m)), index
