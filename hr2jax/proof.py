"""The proof: an upper bound from any multipliers, in rounding-safe arithmetic (DESIGN section 6).

For any multipliers Lambda >= 0 of the families and any d, with S = Diag(d) - C - sum sym(F^T Lambda G),
at every feasible point y

    objective = y^T C y <= sum_k d_k y_k^2 - y^T S y.

With any matrix L,  -y^T S y <= y^T (L L^T - S) y <= sum_k e_k y_k^2,  e_k the k-th absolute row sum of
S - L L^T. So  sum_k max(d_k + e_k, 0)* bounds the objective (* d_k + e_k itself where y_k^2 = 1), whatever
L, d and Lambda were: no solver, eigenvalue or factorisation is trusted. S, e and the sum are enclosed.
Where groups of rows couple to the others only, S and L are kept and multiplied block by block (arrow.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from .arrow import LONG_PIECE, PIECE, Arrow, ArrowEnclosure, arrow_enclosure
from .diagonal import cost, feasible
from .enclosure import Array, Enclosure, clipped_exponent, pieces
from .relaxation.families import Family, Term, catalogue
from .relaxation.lasserre import lasserre_matrices, lasserre_size, layout
from .relaxation.lifting import Lifting
from .relaxation.products import PRODUCTS, product_entries
from .relaxation.triangles import TRIANGLES, entries

# cutting planes: multipliers of this name are rows, what they say is theirs
CUTS = {TRIANGLES: entries, PRODUCTS: product_entries}
SOS = "sos."  # multipliers of this name are factors of lasserre2's dual matrices
# More than any solver finds: rows of cuts, and entries of lasserre2's matrices, which Python enumerates.
MOST_ROWS, MOST_ENTRIES = 10**7, 10**6

# Up to so many groups the best choice of those to eliminate is looked for, among more a good one.
FEW_GROUPS = 8


@dataclass
class Block:
    """What a form has between two groups: a dense part, and entries given one by one (rows, columns, values).

    `is_own`: `dense` may be written to; otherwise it is somebody else's array.
    """

    dense: Enclosure | None = None
    is_own: bool = False
    entries: list[tuple[Array, Array, Enclosure]] = field(default_factory=list)

    @property
    def is_diagonal(self) -> bool:
        """Whether only positions (k, k) occur."""
        return self.dense is None and all(np.array_equal(rows, columns) for rows, columns, _ in self.entries)


class QuadraticForm:
    """sum over groups g, h of y_g^T B_gh y_h over the extended basis (1, v, t, xi, z), B_gh enclosures."""

    def __init__(self, lifting: Lifting, arithmetic: type[Enclosure]):
        self.lifting = lifting
        self.arithmetic = arithmetic
        self.blocks: dict[tuple[str, str], Block] = {}

    def add(self, g: str, h: str, rows: Array | slice, columns: Array | slice, values: Enclosure) -> None:
        """Add `values` at [rows, columns] of block (g, h).

        Positions given one by one (1-D rows, columns and values) are kept as such; others make the block dense.

        Raises:
            ValueError: a position occurs twice: of its two values one would be lost.
        """
        shape = (self.lifting.length(g), self.lifting.length(h))
        block = self.blocks.setdefault((g, h), Block())
        if isinstance(rows, slice) and isinstance(columns, slice) and values.shape == shape and block.dense is None:
            block.dense = values
            return
        # none negative, none outside
        row, column = (np.arange(length)[index] for length, index in zip(shape, (rows, columns), strict=True))
        if isinstance(rows, slice) and isinstance(columns, slice):
            row, column = row[:, None], column[None, :]
        one_by_one = row.ndim == column.ndim == 1
        if one_by_one:
            distinct = len(np.unique(row * shape[1] + column))
        else:
            touched = np.zeros(shape, dtype=bool)
            touched[row, column] = True
            distinct = int(np.count_nonzero(touched))
        if values.shape != np.broadcast_shapes(row.shape, column.shape) or distinct != math.prod(values.shape):
            raise ValueError(f"a form repeats an index in its term of group {g} or {h}")
        if not one_by_one:
            if not block.is_own:
                dense = self.arithmetic(np.zeros(shape))
                if block.dense is not None:
                    dense[...] = block.dense
                block.dense, block.is_own = dense, True
            assert block.dense is not None
            block.dense[row, column] = block.dense[row, column] + values
            return
        for k, (known_row, known_column, earlier) in enumerate(block.entries):
            if np.array_equal(known_row, row) and np.array_equal(known_column, column):
                block.entries[k] = (row, column, earlier + values)
                return
        block.entries.append((row, column, values))

    def eliminable(self) -> tuple[str, ...]:
        """Basis groups without any product among them but squares: those with the most entries (see arrow.py)."""
        sizes = self.lifting.sizes
        derived = self.lifting.derived
        coupled = set()
        for (g, h), block in self.blocks.items():
            if not (g == h and g not in derived and block.is_diagonal):
                coupled |= {frozenset((a, b)) for a in derived.get(g, (g,)) for b in derived.get(h, (h,))}
        groups = [g for g in sizes if g != "one" and frozenset((g,)) not in coupled]
        if len(groups) <= FEW_GROUPS:
            choices = [
                chosen
                for k in range(len(groups) + 1)
                for chosen in combinations(groups, k)
                if not any(frozenset((a, b)) in coupled for a in chosen for b in chosen)
            ]
            return max(choices, key=lambda chosen: sum(sizes[g] for g in chosen))
        chosen: set[str] = set()
        for group in sorted(groups, key=lambda g: -sizes[g]):
            if not any(frozenset((group, other)) in coupled for other in chosen):
                chosen.add(group)
        return tuple(g for g in sizes if g in chosen)

    def matrix(self, eliminate: bool = True) -> ArrowEnclosure:
        """The symmetric (N, N) matrix M with y^T M y the form's value, z replaced by its coefficients.

        Args:
            eliminate: whether rows may be eliminated; without, entries can be added anywhere in `block`.
        """
        sizes = self.lifting.sizes
        eliminated = self.eliminable() if eliminate else ()
        kept = tuple(g for g in sizes if g not in eliminated)
        place: dict[str, slice] = {}  # where each group lies among the eliminated or among the kept rows
        for side in (eliminated, kept):
            starts = np.cumsum([0, *(sizes[g] for g in side)]).tolist()
            place |= {g: slice(a, b) for g, a, b in zip(side, starts, starts[1:], strict=False)}
        n, m = (sum(sizes[g] for g in side) for side in (eliminated, kept))
        diagonal, coupling, block = (self.arithmetic(np.zeros(shape)) for shape in ((n,), (n, m), (m, m)))
        begun: set[tuple[str, str]] = set()
        for term in self._in_the_basis():
            g, h, rows, columns, values = term if term[1] not in eliminated else _flipped(*term)
            if h in eliminated:  # squares of one group, by the choice of `eliminated`
                assert g == h and np.array_equal(rows, columns)
                k = rows + place[g].start
                diagonal[k] = diagonal[k] + values
                continue
            target = coupling if g in eliminated else block
            if not isinstance(rows, slice):
                index = (rows + place[g].start, columns + place[h].start)
                target[index] = target[index] + values
            elif (g, h) in begun:
                target.increase((place[g], place[h]), values)
            else:
                target[place[g], place[h]] = values
            begun.add((g, h))
        positions = np.arange(self.lifting.size)
        at = [
            np.concatenate([positions[:0], *(positions[self.lifting.slice(g)] for g in side)])
            for side in (eliminated, kept)
        ]
        block = block + block.T
        block.halve()
        coupling.halve()
        return ArrowEnclosure(at[0], at[1], diagonal, coupling, block)

    def _in_the_basis(self) -> Iterator[tuple[str, str, Any, Any, Enclosure]]:
        """(g, h, rows, columns, values) of basis groups: whole blocks (slices) and entries one by one."""
        every = slice(None)
        derived = self.lifting.derived
        for (g, h), block in self.blocks.items():
            if block.dense is not None:
                for a, left in self._expand(g, block.dense):
                    for b, right in self._expand(h, left.T):
                        yield a, b, every, every, right.T
            for rows, columns, values in block.entries:
                if g not in derived and h not in derived:
                    yield g, h, rows, columns, values
                elif g in derived and h in derived:
                    for a, first in derived[g].items():
                        weighted = first[rows] * values.reshape(-1, 1)
                        for b, second in derived[h].items():
                            yield a, b, every, every, transposed_product(weighted, second[columns])
                elif g in derived:
                    for a, dense in self._expand_entries(g, h, rows, columns, values):
                        yield a, h, every, every, dense
                else:
                    for a, dense in self._expand_entries(h, g, columns, rows, values):
                        yield a, g, every, every, dense

    def _expand(self, group: str, block: Enclosure) -> list[tuple[str, Enclosure]]:
        """The block with its rows' group replaced by basis groups: z^T B = one z_one^T B + xi^T z_xi^T B."""
        coefficients = self.lifting.rows(group)
        return [(group, block)] if coefficients is None else [(a, z.T @ block) for a, z in coefficients.items()]

    def _expand_entries(
        self, group: str, other: str, rows: Array, columns: Array, values: Enclosure
    ) -> list[tuple[str, Enclosure]]:
        """`_expand` of the block (derived group, other) with `values` at [rows, columns] and nothing else."""
        coefficients = self.lifting.derived[group]
        shape = (self.lifting.length(group), self.lifting.length(other))
        if other == "one":
            return [(a, z[rows].T @ values.reshape(-1, 1)) for a, z in coefficients.items()]
        if len(np.unique(columns)) < len(columns):  # several to be added in one column
            dense = self.arithmetic(np.zeros(shape))
            dense[rows, columns] = values
            return self._expand(group, dense)
        out = []
        for a, z in coefficients.items():
            weighted = z[rows] * values.reshape(-1, 1)
            if not np.array_equal(columns, np.arange(shape[1])):
                every = self.arithmetic(np.zeros((shape[1], z.shape[1])))
                every[columns] = weighted
                weighted = every
            out.append((a, weighted.T))
        return out


def _flipped(g: str, h: str, rows: Any, columns: Any, values: Enclosure) -> tuple[str, str, Any, Any, Enclosure]:
    """The same term with the groups in the other order."""
    return h, g, columns, rows, values.T


def transposed_product(A: Enclosure, B: Enclosure) -> Enclosure:
    """A^T B, summed over pieces of the rows: little memory, and a smaller error bound than one long sum."""
    parts = [A[c].T @ B[c] for c in pieces((A.shape[0], max(A.shape[1], B.shape[1])), LONG_PIECE)]
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def add_family(form: QuadraticForm, family: Family, multipliers: Enclosure) -> None:
    """Add sum Lambda (f.y)(g.y) over the family's pairs to the form."""
    for a in family.F.terms:
        for b in family.G.terms:
            if family.pairs == "diagonal":
                _add_diagonal(form, a, b, multipliers * a.coefficient * b.coefficient)
            else:
                weighted = multipliers * a.coefficient[:, None] * b.coefficient[None, :]
                _add_all(form, a, b, weighted)


def _add_diagonal(form: QuadraticForm, a: Term, b: Term, weights: Enclosure) -> None:
    if a.group == b.group == "one":  # the only case in which positions repeat
        weights, rows, columns = weights.sum().reshape(1), a.index[:1], b.index[:1]
    else:
        rows, columns = a.index, b.index
    form.add(a.group, b.group, rows, columns, weights)


def _add_all(form: QuadraticForm, a: Term, b: Term, weights: Enclosure) -> None:
    rows, columns = a.index, b.index
    if a.group == "one":
        weights, rows = weights.sum(axis=0).reshape(1, -1), rows[:1]
    if b.group == "one":
        weights, columns = weights.sum(axis=1).reshape(-1, 1), columns[:1]
    form.add(a.group, b.group, rows[:, None], columns[None, :], weights)


def lagrangian_matrix(
    lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[Enclosure] = Enclosure
) -> ArrowEnclosure:
    """M = C + sum sym(F^T Lambda G), (N, N), enclosed; multipliers are clipped at 0, but for equalities.

    Which rows are eliminated depends on the families that have multipliers; none are where `add_squares` will add.

    Raises:
        ValueError: a family that does not exist on this lifting, or multipliers of the wrong shape.
    """
    form = _lagrangian(lifting, multipliers, arithmetic)
    return form.matrix(eliminate=not any(name.startswith(SOS) for name in multipliers))


def kept_rows(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[Enclosure] = Enclosure) -> int:
    """How many rows of `lagrangian_matrix` are not eliminated: their number decides how long a proof takes."""
    eliminated = _lagrangian(lifting, multipliers, arithmetic).eliminable()
    return lifting.size - sum(lifting.sizes[group] for group in eliminated)


def _lagrangian(lifting: Lifting, multipliers: Mapping[str, Array], arithmetic: type[Enclosure]) -> QuadraticForm:
    """The Lagrangian as a form of the extended basis."""
    form = QuadraticForm(lifting, arithmetic)
    every = slice(None)
    for (g, h), block in lifting.objective.items():
        form.add(g, h, every, every, block)
    known = catalogue(lifting)
    for name, values in multipliers.items():
        if name.startswith(SOS):
            continue
        if name in CUTS:
            if len(values) > MOST_ROWS:
                raise ValueError(f"{len(values)} rows of {name!r} are more than the {MOST_ROWS} that can be checked")
            for term in CUTS[name](lifting, values, arithmetic):
                form.add(*term)
            continue
        if name not in known:
            raise ValueError(f"there is no family {name!r} in this problem")
        family = known[name]()
        if np.shape(values) != family.shape:
            raise ValueError(f"the multipliers of {name!r} have shape {np.shape(values)}, not {family.shape}")
        if family.F.rows:
            add_family(form, family, arithmetic(family.clipped(values)))
    return form


def add_squares(
    lifting: Lifting, multipliers: Mapping[str, Array], M: ArrowEnclosure, arithmetic: type[Enclosure] = Enclosure
) -> tuple[ArrowEnclosure, float]:
    """M with the polynomials sum <L L^T, g b b^T> of `lasserre2` added, and what their other monomials cost.

    Monomials of degree 2 or less are entries of y y^T; each other one is at most 1 in magnitude, so the
    polynomial is at most its entries' part plus the sum of the others' |coefficients|.

    Raises:
        ValueError: a matrix that does not exist on this lifting, a factor of the wrong shape, or a problem for which
            no `lasserre2` can have been solved.
    """
    factors = {name: values for name, values in multipliers.items() if name.startswith(SOS)}
    if not factors:
        return M, 0.0
    count, _ = lasserre_size(lifting.sizes["v"], lifting.sizes["t"], "xi" in lifting.sizes)
    if count > MOST_ENTRIES:  # before they are enumerated
        raise ValueError(f"the matrices of lasserre2 would have {count} entries here; {MOST_ENTRIES} can be checked")
    matrices = {matrix.key: matrix for matrix in lasserre_matrices(lifting, arithmetic)}
    if not factors.keys() <= matrices.keys():
        raise ValueError(f"there is no matrix {sorted(factors.keys() - matrices.keys())[0]!r} in this problem")
    used = [matrices[name] for name in factors]
    plan = layout(used, lifting)
    assert len(M.kept) == lifting.size  # nothing eliminated: M.block is all of M
    values, positions = [], []
    for matrix, index, L in zip(used, plan.index, factors.values(), strict=True):
        if np.ndim(L) != 2 or len(L) != len(matrix.basis):
            raise ValueError(f"the factor of {matrix.key!r} has shape {np.shape(L)}, not ({len(matrix.basis)}, r)")
        gram = arithmetic(L) @ arithmetic(L).T
        for k, coefficient in enumerate(matrix.factor.values()):
            values.append((gram * coefficient.reshape(1, 1)).reshape(-1))
            positions.append(index[:, :, k].ravel())
    rest = arithmetic(np.zeros(()))
    by_monomial: dict[int, list[Enclosure]] = {}
    for value, position in zip(values, positions, strict=True):
        order = np.argsort(position, kind="stable")
        ids, starts = np.unique(position[order], return_index=True)
        for k, chunk in zip(ids.tolist(), np.split(order, starts[1:]), strict=True):
            by_monomial.setdefault(k, []).append(value[chunk].sum())
    for k, parts in by_monomial.items():
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        monomial = plan.monomials[k]
        if len(monomial) > 2:
            rest = rest + arithmetic(total.magnitude())
        else:
            a, b = (0, 0, *monomial)[-2:]
            half = total.scaled(-1).reshape(1, 1)
            for entry in ((slice(a, a + 1), slice(b, b + 1)), (slice(b, b + 1), slice(a, a + 1))):
                M.block[entry] = M.block[entry] + half
    return M, float(rest.upper())


@dataclass(frozen=True)
class Factor:
    """L = [[Diag(root), 0], [coupling^T, block]], rows eliminated and kept, in float64. Nothing about it is trusted."""

    root: Array
    coupling: Array
    block: Array

    def is_finite(self) -> bool:
        """Whether no entry is infinite or NaN."""
        return all(bool(np.isfinite(part).all()) for part in (self.root, self.coupling, self.block))


def dual_bound(
    lifting: Lifting, M: ArrowEnclosure | Enclosure, d: Array | None = None,
    arithmetic: type[Enclosure] = Enclosure, rest: float = 0.0,
) -> float:  # fmt: skip
    """A float64 upper bound of the lifting's objective (in the problem's own units), or infinity.

    Args:
        lifting: the lifting.
        M: its Lagrangian matrix, enclosed.
        d: (N,) the diagonal to prove with; shifted where it proves nothing. None: no diagonal and no
            factorisation, the sum of |M|: without multipliers that is the norm-product bound, always at hand.
        arithmetic: the arithmetic of M.
        rest: an upper bound of what the objective has beside M, in the lifting's units.
    """
    M = arrow_enclosure(M)
    if not (M.is_finite() and np.isfinite(rest)):
        return float("inf")
    bound = np.inf
    if d is not None and np.isfinite(d).all():
        budget, middle = lifting.budget if lifting.balls else None, M.middle()
        bound = _prove(lifting, M, *_factor(d, middle, budget), arithmetic, rest)
        with_none = np.ldexp(cost(middle.row_sums(), budget) + rest, clipped_exponent(lifting.exponent))
        if bound < 0.99 * with_none:  # no need to prove what is worse
            return bound
    return min(bound, _prove(lifting, M, np.zeros(lifting.size), None, arithmetic, rest))


def _factor(d: Array, middle: Arrow, budget: Array | None) -> tuple[Array, Factor | None]:
    """A diagonal at or above d and a Cholesky factor of Diag - middle. Steering only: nothing here is trusted."""
    scale = max(float(np.abs(d).max(initial=0.0)), middle.largest(), 2.0**-900)
    try:
        return d, _cholesky(d + 4.0 * len(d) * 2.0**-53 * scale, middle)
    except np.linalg.LinAlgError:
        pass
    try:
        shifted = feasible(middle, d, budget)
        return shifted, _cholesky(shifted, middle)
    except (np.linalg.LinAlgError, ValueError):
        return d, None


def _cholesky(d: Array, M: Arrow) -> Factor:
    """A Cholesky factor of Diag(d) - M, up to rounding; LinAlgError where there seems to be none."""
    own = d[M.eliminated] - M.diagonal
    if not (own > 0).all():
        raise np.linalg.LinAlgError("an eliminated row has no positive diagonal")
    root, coupling, C = M.eliminate(own)
    return Factor(root, coupling, np.linalg.cholesky(np.diag(d[M.kept]) - C))


def _prove(
    lifting: Lifting, M: ArrowEnclosure, d: Array, L: Factor | None, arithmetic: type[Enclosure], rest: float
) -> float:
    """rest + sum_k max(d_k + e_k, 0)*, rounded up; e_k the absolute row sums of S - L L^T, S = Diag(d) - M."""
    if not (np.isfinite(d).all() and (L is None or L.is_finite())):
        return float("inf")
    upper = (arithmetic(d) + residual_row_sums(M, d, L, arithmetic)).upper()
    upper = np.where(lifting.square_is_one, upper, np.maximum(upper, 0.0))
    if lifting.balls:  # entries that share a bound cost what the dearest of them does
        most = np.full(lifting.size, -np.inf)
        np.maximum.at(most, lifting.budget, upper)
        upper = most[: int(lifting.budget.max()) + 1]
    total = float((arithmetic(upper).sum() + rest).upper())
    if not total < np.inf:  # NaN: overflow on the way
        return float("inf")
    return scale_up(total, lifting.exponent, least=0.0 if "t" in lifting.sizes else -np.inf)


def residual_row_sums(M: ArrowEnclosure, d: Array, L: Factor | None, arithmetic: type[Enclosure]) -> Enclosure:
    """(N,) row sums of |Diag(d) - M - L L^T|, block by block; without L, of |Diag(d) - M|.

    With E the eliminated rows and R the kept ones, L L^T is Diag(root^2) on (E, E), Diag(root) coupling on
    (E, R) and coupling^T coupling + block block^T on (R, R); M is diagonal on (E, E).
    """
    rows, columns = own_residual(M, d, L, arithmetic), kept_residual(M, d, L, arithmetic)
    for c in pieces(M.coupling.shape, PIECE):
        size = coupling_residual(M, L, c, arithmetic)
        rows[c] = rows[c] + size.sum(axis=1)
        columns = columns + size.sum(axis=0)
    out = arithmetic(np.zeros(M.size))
    out[M.eliminated], out[M.kept] = rows, columns
    return out


def own_residual(M: ArrowEnclosure, d: Array, L: Factor | None, arithmetic: type[Enclosure]) -> Enclosure:
    """(n,) upper bounds of |d - M - root^2| on the eliminated rows' diagonal; all else there is 0."""
    own = arithmetic(d[M.eliminated]) - M.diagonal
    if L is not None:
        own = own - arithmetic(L.root) * arithmetic(L.root)
    return arithmetic(own.magnitude())


def coupling_residual(M: ArrowEnclosure, L: Factor | None, piece: slice, arithmetic: type[Enclosure]) -> Enclosure:
    """(rows of the piece, m) upper bounds of |-M - Diag(root) coupling| on (E, R)."""
    between = -M.coupling[piece]
    if L is not None:
        between = between - arithmetic(L.root[piece].reshape(-1, 1)) * arithmetic(L.coupling[piece])
    return arithmetic(between.magnitude())


def kept_residual(M: ArrowEnclosure, d: Array, L: Factor | None, arithmetic: type[Enclosure]) -> Enclosure:
    """(m,) row sums of |Diag(d) - M - coupling^T coupling - block block^T| on (R, R)."""
    every, among = slice(None), arithmetic(np.diag(-d[M.kept])) + M.block
    if L is not None:
        for c in pieces(L.coupling.shape, LONG_PIECE):
            among.increase(every, arithmetic(L.coupling[c]).gram())
        for c in pieces(L.block.shape, LONG_PIECE):
            among.increase(every, arithmetic(L.block[:, c].T).gram())
    return arithmetic(among.magnitude()).sum(axis=1)


def scale_up(value: float, exponent: int, least: float = 0.0) -> float:
    """value * 2**exponent rounded up, value at least `least`: a bound of a norm is never negative."""
    value = max(value, least)
    with np.errstate(all="ignore"):
        scaled = float(np.ldexp(value, exponent))
        exact = float(np.ldexp(scaled, -exponent)) == value
    return scaled if exact else float(np.nextafter(scaled, np.inf))
