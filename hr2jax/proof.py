"""The proof: an upper bound from any multipliers, in rounding-safe arithmetic (DESIGN section 6).

For any multipliers Lambda >= 0 of the families and any d, with S = Diag(d) - C - sum sym(F^T Lambda G),
at every feasible point y

    objective = y^T C y <= sum_k d_k y_k^2 - y^T S y.

With any matrix L,  -y^T S y <= y^T (L L^T - S) y <= sum_k e_k y_k^2,  e_k the k-th absolute row sum of
S - L L^T. So  sum_k max(d_k + e_k, 0)* bounds the objective (* d_k + e_k itself where y_k^2 = 1), whatever
L, d and Lambda were: no solver, eigenvalue or factorisation is trusted. S, e and the sum are enclosed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from .diagonal import feasible
from .enclosure import Array, Enclosure
from .relaxation.families import CATALOGUE, Family, Term
from .relaxation.lasserre import lasserre_matrices, layout
from .relaxation.lifting import Lifting
from .relaxation.triangles import TRIANGLES, entries

SOS = "sos."  # multipliers of this name are factors of lasserre2's dual matrices


class QuadraticForm:
    """sum over groups g, h of y_g^T B_gh y_h over the extended basis (1, v, t, xi, z), B_gh enclosures."""

    def __init__(self, lifting: Lifting, arithmetic: type[Enclosure]):
        self.lifting = lifting
        self.arithmetic = arithmetic
        self.blocks: dict[tuple[str, str], Enclosure] = {}

    def add(self, g: str, h: str, rows: Array | slice, columns: Array | slice, values: Enclosure) -> None:
        """Add `values` at [rows, columns] of block (g, h).

        Raises:
            ValueError: a position occurs twice: of its two values one would be lost.
        """
        if (g, h) not in self.blocks:
            shape = (self.lifting.length(g), self.lifting.length(h))
            self.blocks[g, h] = self.arithmetic(np.zeros(shape))
        block, index = self.blocks[g, h], (rows, columns)
        touched = np.zeros(block.shape, dtype=bool)
        touched[index] = True
        if np.count_nonzero(touched) != math.prod(values.shape):
            raise ValueError(f"a form repeats an index in its term of group {g} or {h}")
        block[index] = block[index] + values

    def matrix(self) -> Enclosure:
        """The symmetric (N, N) matrix M with y^T M y the form's value, z replaced by its coefficients."""
        lifting = self.lifting
        M = self.arithmetic(np.zeros((lifting.size, lifting.size)))
        for (g, h), block in self.blocks.items():
            for row_group, left in self._expand(g, block):
                for column_group, right in self._expand(h, left.T):
                    index = (lifting.slice(row_group), lifting.slice(column_group))
                    M[index] = M[index] + right.T
        return (M + M.T).scaled(-1)

    def _expand(self, group: str, block: Enclosure) -> list[tuple[str, Enclosure]]:
        """The block with its rows' group replaced by basis groups: z^T B = one z_one^T B + xi^T z_xi^T B."""
        if group != "z":
            return [(group, block)]
        assert self.lifting.z_one is not None and self.lifting.z_xi is not None
        return [("one", self.lifting.z_one.T @ block), ("xi", self.lifting.z_xi.T @ block)]


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
) -> Enclosure:
    """M = C + sum sym(F^T Lambda G), (N, N), enclosed; multipliers are clipped at 0.

    Raises:
        ValueError: a family that does not exist on this lifting, or multipliers of the wrong shape.
    """
    form = QuadraticForm(lifting, arithmetic)
    every = slice(None)
    form.add("v", "t", every, every, lifting.objective_v)
    form.add("one", "t", every, every, lifting.objective_one)
    for name, values in multipliers.items():
        if name.startswith(SOS):
            continue
        if name == TRIANGLES:
            for term in entries(lifting, values, arithmetic):
                form.add(*term)
            continue
        if name not in CATALOGUE or ("xi" not in lifting.sizes and ("z" in name or "x" in name)):
            raise ValueError(f"there is no family {name!r} in this problem")
        family = CATALOGUE[name](lifting)
        if np.shape(values) != family.shape:
            raise ValueError(f"the multipliers of {name!r} have shape {np.shape(values)}, not {family.shape}")
        if family.F.rows:
            add_family(form, family, arithmetic(np.maximum(values, 0.0)))
    return form.matrix()


def add_squares(
    lifting: Lifting, multipliers: Mapping[str, Array], M: Enclosure, arithmetic: type[Enclosure] = Enclosure
) -> tuple[Enclosure, float]:
    """M with the polynomials sum <L L^T, g b b^T> of `lasserre2` added, and what their other monomials cost.

    Monomials of degree 2 or less are entries of y y^T; each other one is at most 1 in magnitude, so the
    polynomial is at most its entries' part plus the sum of the others' |coefficients|.

    Raises:
        ValueError: a matrix that does not exist on this lifting, or a factor of the wrong shape.
    """
    factors = {name: values for name, values in multipliers.items() if name.startswith(SOS)}
    if not factors:
        return M, 0.0
    matrices = {matrix.key: matrix for matrix in lasserre_matrices(lifting, arithmetic)}
    if not factors.keys() <= matrices.keys():
        raise ValueError(f"there is no matrix {sorted(factors.keys() - matrices.keys())[0]!r} in this problem")
    used = [matrices[name] for name in factors]
    plan = layout(used, lifting)
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
                M[entry] = M[entry] + half
    return M, float(rest.upper())


def dual_bound(
    lifting: Lifting, M: Enclosure, d: Array | None = None, arithmetic: type[Enclosure] = Enclosure, rest: float = 0.0
) -> float:
    """A float64 upper bound of the lifting's objective (in the problem's own units), or infinity.

    Args:
        lifting: the lifting.
        M: its Lagrangian matrix, enclosed.
        d: (N,) the diagonal to prove with; shifted where it proves nothing. None: no diagonal and no
            factorisation, the sum of |M|: without multipliers that is the norm-product bound, always at hand.
        arithmetic: the arithmetic of M.
        rest: an upper bound of what the objective has beside M, in the lifting's units.
    """
    if not (M.is_finite() and np.isfinite(rest)):
        return float("inf")
    bound = _prove(lifting, M, np.zeros(lifting.size), None, arithmetic, rest)
    if d is not None and np.isfinite(d).all():
        bound = min(bound, _prove(lifting, M, *_factor(d, M.mid), arithmetic, rest))
    return bound


def _factor(d: Array, middle: Array) -> tuple[Array, Array | None]:
    """A diagonal at or above d and a Cholesky factor of Diag - middle. Steering only: nothing here is trusted."""
    scale = max(float(np.abs(d).max(initial=0.0)), float(np.abs(middle).max(initial=0.0)), 2.0**-900)
    S = np.diag(d) - middle
    slack = 4.0 * len(d) * 2.0**-53 * scale
    try:
        return d, np.linalg.cholesky(S + slack * np.eye(len(d)))
    except np.linalg.LinAlgError:
        pass
    try:
        shifted = feasible(middle, d)
        return shifted, np.linalg.cholesky(np.diag(shifted) - middle)
    except (np.linalg.LinAlgError, ValueError):
        return d, None


def _prove(
    lifting: Lifting, M: Enclosure, d: Array, L: Array | None, arithmetic: type[Enclosure], rest: float
) -> float:
    """rest + sum_k max(d_k + e_k, 0)*, rounded up; e_k the absolute row sums of S - L L^T, S = Diag(d) - M."""
    if not (np.isfinite(d).all() and (L is None or np.isfinite(L).all())):
        return float("inf")
    difference = arithmetic(np.diag(d)) - M
    if L is not None:
        factor = arithmetic(L)
        difference = difference - factor @ factor.T
    row_sums = arithmetic(difference.magnitude()).sum(axis=1)
    upper = (arithmetic(d) + row_sums).upper()
    upper = np.where(lifting.square_is_one, upper, np.maximum(upper, 0.0))
    total = float((arithmetic(upper).sum() + rest).upper())
    return scale_up(total, lifting.exponent) if total < np.inf else float("inf")  # NaN: overflow on the way


def scale_up(value: float, exponent: int) -> float:
    """value * 2**exponent rounded up; a bound of a norm is never negative."""
    value = max(value, 0.0)
    with np.errstate(all="ignore"):
        scaled = float(np.ldexp(value, exponent))
        exact = float(np.ldexp(scaled, -exponent)) == value
    return scaled if exact else float(np.nextafter(scaled, np.inf))
