"""The proof: an upper bound from any multipliers, in rounding-safe arithmetic (docs/theory/certificate-proof.md).

For any multipliers Lambda >= 0 of the families and any d, with S = Diag(d) - C - sum sym(F^T Lambda G),
at every feasible point y

    objective = y^T C y <= sum_k d_k y_k^2 - y^T S y.

With any matrix L,  -y^T S y <= y^T (L L^T - S) y <= sum_k e_k y_k^2,  e_k the k-th absolute row sum of
S - L L^T. So  sum_k max(d_k + e_k, 0)* bounds the objective (* d_k + e_k itself where y_k^2 = 1), whatever
L, d and Lambda were: no solver, eigenvalue or factorisation is trusted. S, e and the sum are enclosed.
Where groups of rows couple to the others only, S and L are kept and multiplied block by block (linalg/arrow.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arithmetic.enclosure import Enclosure, clipped_exponent, pieces
from ..arithmetic.float64 import Array
from ..linalg.arrow import LONG_PIECE, PIECE, Arrow, ArrowEnclosure, arrow_enclosure
from ..linalg.diagonal import cost, feasible
from ..relaxation.basis import Lifting, S, T


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
    lifting: Lifting, M: ArrowEnclosure[Enclosure] | Enclosure, d: Array | None = None,
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
    lifting: Lifting, M: ArrowEnclosure[Enclosure], d: Array, L: Factor | None, arithmetic: type[Enclosure], rest: float
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
    return scale_up(total, lifting.exponent, least=0.0 if T in lifting.sizes or S in lifting.sizes else -np.inf)


def residual_row_sums(
    M: ArrowEnclosure[Enclosure], d: Array, L: Factor | None, arithmetic: type[Enclosure]
) -> Enclosure:
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


def own_residual(M: ArrowEnclosure[Enclosure], d: Array, L: Factor | None, arithmetic: type[Enclosure]) -> Enclosure:
    """(n,) upper bounds of |d - M - root^2| on the eliminated rows' diagonal; all else there is 0."""
    own = arithmetic(d[M.eliminated]) - M.diagonal
    if L is not None:
        own = own - arithmetic(L.root) * arithmetic(L.root)
    return arithmetic(own.magnitude())


def coupling_residual(
    M: ArrowEnclosure[Enclosure], L: Factor | None, piece: slice, arithmetic: type[Enclosure]
) -> Enclosure:
    """(rows of the piece, m) upper bounds of |-M - Diag(root) coupling| on (E, R)."""
    between = -M.coupling[piece]
    if L is not None:
        between = between - arithmetic(L.root[piece].reshape(-1, 1)) * arithmetic(L.coupling[piece])
    return arithmetic(between.magnitude())


def kept_residual(M: ArrowEnclosure[Enclosure], d: Array, L: Factor | None, arithmetic: type[Enclosure]) -> Enclosure:
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
