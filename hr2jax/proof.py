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
import scipy.linalg

from .enclosure import Array, Enclosure
from .relaxation.families import CATALOGUE, Family, Term
from .relaxation.lifting import Lifting


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
        if name not in CATALOGUE or ("xi" not in lifting.sizes and ("z" in name or "x" in name)):
            raise ValueError(f"there is no family {name!r} in this problem")
        family = CATALOGUE[name](lifting)
        if np.shape(values) != family.shape:
            raise ValueError(f"the multipliers of {name!r} have shape {np.shape(values)}, not {family.shape}")
        if family.F.rows:
            add_family(form, family, arithmetic(np.maximum(values, 0.0)))
    return form.matrix()


def dual_bound(
    lifting: Lifting, M: Enclosure, d: Array | None = None, arithmetic: type[Enclosure] = Enclosure
) -> float:
    """A float64 upper bound of the lifting's objective (in the problem's own units), or infinity.

    Args:
        lifting: the lifting.
        M: its Lagrangian matrix, enclosed.
        d: (N,) the diagonal to prove with; shifted where it proves nothing. None: no diagonal and no
            factorisation, the sum of |M|: without multipliers that is the norm-product bound, always at hand.
        arithmetic: the arithmetic of M.
    """
    if not M.is_finite():
        return float("inf")
    bound = _prove(lifting, M, np.zeros(lifting.size), None, arithmetic)
    if d is not None and np.isfinite(d).all():
        bound = min(bound, _prove(lifting, M, *_factor(d, M.mid), arithmetic))
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
    weight = np.maximum(np.maximum(d, 0.0), 1e-3 * max(float(np.mean(np.abs(d))), 1e-3 * scale))
    root = np.sqrt(weight)
    try:
        smallest = scipy.linalg.eigh(S / np.outer(root, root), eigvals_only=True, subset_by_index=[0, 0])[0]
        for growth in (1.0 + 1e-10, 1.0 + 1e-6, 1.01):
            shifted = d + max(0.0, -smallest) * growth * weight
            try:
                return shifted, np.linalg.cholesky(np.diag(shifted) - middle + slack * np.eye(len(d)))
            except np.linalg.LinAlgError:
                continue
    except (np.linalg.LinAlgError, ValueError):
        pass
    return d, None


def _prove(lifting: Lifting, M: Enclosure, d: Array, L: Array | None, arithmetic: type[Enclosure]) -> float:
    """sum_k max(d_k + e_k, 0)*, rounded up; e_k the absolute row sums of S - L L^T, S = Diag(d) - M."""
    if not (np.isfinite(d).all() and (L is None or np.isfinite(L).all())):
        return float("inf")
    difference = arithmetic(np.diag(d)) - M
    if L is not None:
        factor = arithmetic(L)
        difference = difference - factor @ factor.T
    row_sums = arithmetic(difference.magnitude()).sum(axis=1)
    upper = (arithmetic(d) + row_sums).upper()
    upper = np.where(lifting.square_is_one, upper, np.maximum(upper, 0.0))
    total = float(arithmetic(upper).sum().upper())
    return scale_up(total, lifting.exponent) if total < np.inf else float("inf")  # NaN: overflow on the way


def scale_up(value: float, exponent: int) -> float:
    """value * 2**exponent rounded up; a bound of a norm is never negative."""
    value = max(value, 0.0)
    with np.errstate(all="ignore"):
        scaled = float(np.ldexp(value, exponent))
        exact = float(np.ldexp(scaled, -exponent)) == value
    return scaled if exact else float(np.nextafter(scaled, np.inf))
