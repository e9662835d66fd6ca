"""The diagonal of the dual: for fixed multipliers, a d that makes Diag(d) - M positive definite cheaply.

What d costs is its sum, where every y_k^2 has a bound of its own; entries that share one (`Lifting.budget`, norm 2)
cost what the largest of them does. Steering only: the certificate proves with whatever d it is given.
"""

from __future__ import annotations

import math
import time

import numpy as np
import scipy.sparse

from ..arithmetic.float64 import Array
from ..machine.stopping import check
from .arrow import Arrow, arrow
from .definite import Definite, shifted_cholesky

# More negative eigenvalues than this and a single weighted shift is used instead of one correction for each.
MAX_CORRECTED = 64
# Up to this size both are tried.
CHEAP = 500
# A line search begins at this many times the step that self-concordance allows.
LONGER = 3.0


def cost(d: Array, budget: Array | None = None) -> float:
    """The sum over the numbers in `budget` (N,) of the largest d with that number; None: each has its own."""
    if budget is None:
        return float(d.sum())
    most = np.full(int(budget.max()) + 1, -np.inf)
    np.maximum.at(most, budget, d)
    return float(most.sum())


def levelled(d: Array, budget: Array | None) -> Array:
    """d with entries that share a bound raised to the largest of them, which costs nothing."""
    if budget is None:
        return d
    most = np.full(int(budget.max()) + 1, -np.inf)
    np.maximum.at(most, budget, d)
    return most[budget]


def stationary(M: Arrow, V: Array, square_is_one: Array, budget: Array | None = None) -> Array:
    """d (N,) that the rows of V (N, r) ask for: d_i = V_i . (M V)_i, which at the optimum of <M, V V^T> is the dual's.

    Away from it Diag(d) - M may be indefinite. Rows that share a bound (`cost`) get the sum of theirs; where
    `square_is_one` (N,) is False, which bounds a row's norm only, d is at least 0.
    """
    d = np.einsum("ij,ij->i", V, M @ V)
    if budget is not None:
        d = np.bincount(budget, d)[budget]
    return np.where(square_is_one, d, np.maximum(d, 0.0))


def feasible(
    M: Array | Arrow, d: Array, budget: Array | None = None, definite: type[Definite] = Definite
) -> Array:  # fmt: skip
    """A diagonal at or above d (N,), float64, with Diag - M positive definite as far as `definite` can tell.

    With rows eliminated, what remains of M (their Schur complement) is corrected on the kept rows alone: a
    shift of those costs about what one of all rows would, and nothing of size N is decomposed.
    """
    M, d = arrow(M), levelled(d, budget)
    C = complement(M, d)
    S = None if C is None else definite(C)
    if S is not None and S.logdet(d[M.kept]) > -np.inf:
        return d
    if S is not None and not len(M.eliminated):
        return levelled(_repaired(S, d, budget), budget)
    candidates = []
    norms = np.sqrt(np.einsum("ij,ij->i", M.coupling, M.coupling))
    least = max(1e-12 * max(float(np.abs(d).max()), M.largest()), 2.0**-900)
    for share in (1e-3, 1.0):
        raised = d.copy()
        raised[M.eliminated] = np.maximum(d[M.eliminated], M.diagonal + np.maximum(share * norms, least))
        own, changed = d[M.kept], S is None or (raised != d).any()
        if changed:
            C = complement(M, raised)
            assert C is not None
            S = definite(C)
        assert S is not None
        if not changed or S.logdet(own) == -np.inf:
            raised[M.kept] = _repaired(S, own, _among(budget, M.kept))
        candidates.append(levelled(raised, budget))
        if (raised[M.eliminated] == d[M.eliminated]).all():
            break
    return min(candidates, key=lambda d: cost(d, budget))


def _among(budget: Array | None, kept: Array) -> Array | None:
    return None if budget is None else np.unique(budget[kept], return_inverse=True)[1]


def complement(M: Arrow, d: Array) -> Array | None:
    """C (m, m): Diag(d) - M is positive definite if and only if Diag(d on the kept rows) - C is. None: it is not."""
    if not len(M.eliminated):
        return M.block
    own = d[M.eliminated] - M.diagonal
    return M.eliminate(own)[2] if (own > 0).all() else None


def lowest(M: Array | Arrow, d: Array, count: int, definite: type[Definite] = Definite) -> Array:
    """(N, at most count) unit vectors along which Diag(d) - M curves down most, as far as it does.

    With rows eliminated: eigenvectors x of what remains, each with the eliminated rows' best answer to it.
    """
    M = arrow(M)
    own = d[M.eliminated] - M.diagonal
    own = np.maximum(own, 1e-3 * max(float(np.abs(own).mean()), 1e-280)) if len(own) else own
    _, K, C = M.eliminate(own)
    _, x = definite(C).lowest(d[M.kept], min(count, len(C)))
    out = np.zeros((M.size, x.shape[1]))
    out[M.kept], out[M.eliminated] = x, -(K @ x) / np.sqrt(own)[:, None]
    return out / np.maximum(np.linalg.norm(out, axis=0), 1e-300)


def _repaired(S: Definite, d: Array, budget: Array | None) -> Array:
    """A diagonal at or above d with which S is positive definite, which it is not with d.

    Each eigenvector u of a negative eigenvalue -w costs the absolute row sums of w u u^T, which is little
    where u is concentrated and never more than a uniform shift; if there are many, a shift in proportion
    to the diagonal of S (docs/algorithms/lowrank.md).
    """
    size = d + np.diag(S.negative)
    floor = 1e-3 * max(float(np.mean(np.abs(size))), 1e-280)
    values, vectors = S.lowest(d, min(MAX_CORRECTED, len(d)))
    negative = values < 0
    candidates = [d + max(-float(values[0]), 0.0) * (1 + 1e-9)]
    corrected = not negative.all() or len(d) <= MAX_CORRECTED
    if corrected:
        w, u = -values[negative], np.abs(vectors[:, negative])
        candidates.append(d + u @ (w * u.sum(axis=0)))
    weight = np.maximum(size, floor)
    if not corrected or len(d) <= CHEAP:
        least = S.lowest(d, 1, np.sqrt(weight))[0][0]
        candidates.append(d + max(-float(least), 0.0) * (1 + 1e-9) * weight)
    best = min(candidates, key=lambda d: cost(d, budget))
    extra = max(1e-12 * float(np.abs(best).max(initial=0.0) + np.abs(S.negative).max(initial=0.0)), 2.0**-900)
    for _ in range(60):
        if S.logdet(best) > -np.inf:
            return best
        best = best + extra * np.maximum(weight / weight.max(), 1e-3)
        extra *= 16.0
    return np.abs(S.negative).sum(axis=1)  # diagonally dominant; also where the numbers were too wild for LAPACK


def is_feasible(M: Array | Arrow, d: Array) -> bool:
    """Whether LAPACK can factor Diag(d) - M."""
    M = arrow(M)
    C = complement(M, d)
    if C is None:
        return False
    negative = -C
    return shifted_cholesky(negative, d[M.kept], negative) is not None


def tighten(
    M: Array | Arrow, square_is_one: Array, d: Array, tolerance: float = 1e-6, iterations: int = 30,
    reachable: float | None = None, seconds: float = math.inf, budget: Array | None = None,
    definite: type[Definite] = Definite,
) -> Array:  # fmt: skip
    """d (N,) float64 with Diag(d) - M positive definite and sum d near its least (a path-following Newton method).

    Minimises  sum d / mu - logdet(Diag(d) - M) - sum_box log d  along mu -> 0, with d >= 0 where y_k^2 may
    be below 1; the Hessian of the first two terms is S^-1 o S^-1 (docs/algorithms/lowrank.md).
    Every iterate is feasible. Above `definite.NEWTON` rows the eliminated ones keep their d, and the others' is
    improved, if these are not too many.

    Args:
        M: (N, N) symmetric float64, dense or an arrow.
        square_is_one: (N,) bool; False marks the box entries.
        d: (N,) start, made feasible first.
        tolerance: stop when the barrier's gap (mu times its parameter) is below tolerance * sum d, or steps
            no longer help.
        iterations: at most this many Newton steps.
        reachable: what the least sum d is believed to be, if anything is; within the tolerance of it, stop.
        seconds: no new Newton step after so long.
        budget: (N,) which entries of d share a cost (`cost`).
        definite: who factors.
    """
    until = time.perf_counter() + seconds
    M, box = arrow(M), ~square_is_one
    d = np.where(box, np.maximum(d, 0.0), d)
    if M.size > definite.NEWTON:
        return _tighten_kept(M, square_is_one, d, tolerance, iterations, reachable, seconds, budget, definite)
    M = M.dense() if len(M.eliminated) else M.block
    largest = max(float(np.abs(M).max()), float(np.abs(d).max()))
    if largest == 0:
        return feasible(M, d, definite=definite)
    unit = -2 * (int(np.frexp(largest)[1]) // 2)  # even, so that square roots scale exactly as well
    best = _follow_path(
        np.ldexp(M, unit), box, np.ldexp(d, unit), tolerance, iterations,
        None if reachable is None else float(np.ldexp(reachable, unit)), until, budget, definite,
    )  # fmt: skip
    return np.ldexp(best, -unit)


def _tighten_kept(
    M: Arrow, square_is_one: Array, d: Array, tolerance: float, iterations: int, reachable: float | None,
    seconds: float, budget: Array | None, definite: type[Definite],
) -> Array:  # fmt: skip
    """`tighten` on the kept rows alone, if they are few enough."""
    d = feasible(M, d, budget, definite).copy()
    C = complement(M, d)
    if C is None or len(C) > definite.NEWTON:
        return d
    kept, total, among = M.kept, cost(d, budget), _among(budget, M.kept)
    share = None if reachable is None else reachable - (total - cost(d[kept], among))
    if share is not None and share <= 0:
        share = None
    tolerance *= abs(total) / max(abs(cost(d[kept], among)), 1e-3 * abs(total), 2.0**-900)
    tight = tighten(C, square_is_one[kept], d[kept], tolerance, iterations, share, seconds, among, definite)
    if cost(tight, among) < cost(d[kept], among):
        d[kept] = tight
    return d


def _follow_path(
    M: Array, box: Array, d: Array, tolerance: float, iterations: int, reachable: float | None, until: float,
    budget: Array | None, definite: type[Definite],
) -> Array:  # fmt: skip
    """`tighten` for M and d of size 1."""
    d = levelled(d, budget)
    wanted = cost(d, budget) if reachable is None else reachable
    d = feasible(M, d, budget, definite)
    barrier = _Barrier(definite(M), box, budget)
    point = barrier.numbers(d)
    parameter = len(d) + int(barrier.box.sum())
    least = 2.0**-60
    goal = max(tolerance * abs(wanted) / parameter, least)
    mu = max((float(point.sum()) - wanted) / parameter, goal if reachable is not None else 30 * goal)
    # strictly inside, by about what the first mu asks for
    inside = mu * 0.5 + 1e-14 * np.abs(d).max(initial=0.0)
    best, point = point, point + inside
    if reachable is None:
        mu = max(mu, barrier.central(point))  # from far inside, a small mu would run into the boundary
    idle = 0
    for _ in range(iterations):
        check()
        if time.perf_counter() > until:
            break
        if idle >= 3 or (reachable is not None and best.sum() - reachable <= tolerance * abs(reachable)):
            break
        step, decrement, start = barrier.newton(point, mu)
        if step is None:
            break
        before = float(point.sum() if reachable is None else best.sum())
        point, moved = barrier.line_search(point, step, decrement, mu, start)
        if not moved:
            break
        fall = before - float(point.sum())
        idle = 0 if fall > 0.05 * tolerance * abs(wanted) or step.sum() > 0 else idle + 1
        if point.sum() < best.sum():
            best = point
            if reachable is None:
                wanted = float(point.sum())
                goal = max(min(goal, tolerance * abs(wanted) / parameter), least)
        if decrement < 0.7:
            if mu <= goal:
                break
            mu = max(0.12 * mu, goal)
    return barrier.diagonal(best)


class _Barrier:
    """sum x / mu - logdet(Diag(d) - M) - sum_box log x, d = x[budget]: x (k,) has one number for each bound."""

    def __init__(self, S: Definite, box: Array, budget: Array | None):
        self.S, self.budget = S, budget
        if budget is None:
            self.box = box
            return
        self.box = np.zeros(int(budget.max()) + 1, dtype=bool)
        self.box[budget] = box
        n = len(budget)
        self._sum = scipy.sparse.csr_matrix((np.ones(n), (budget, np.arange(n))))

    def numbers(self, d: Array) -> Array:
        if self.budget is None:
            return d
        x = np.empty(len(self.box))
        x[self.budget] = d
        return x

    def diagonal(self, x: Array) -> Array:
        return x if self.budget is None else x[self.budget]

    def central(self, x: Array) -> float:
        """The mu to whose point of the path x is nearest: where the barrier problem's mean gradient vanishes."""
        inverse = self.S.inverse(self.diagonal(x))[0]
        return 0.0 if inverse is None else len(x) / float(np.trace(inverse) + (1.0 / x[self.box]).sum())

    def newton(self, x: Array, mu: float) -> tuple[Array | None, float, float]:
        """The Newton step of the barrier problem, its decrement, and the barrier function at x."""
        inverse, logdet = self.S.inverse(self.diagonal(x))
        if inverse is None:
            return None, 0.0, np.inf
        own = np.diag(inverse).copy()
        hessian = np.multiply(inverse, inverse, out=inverse)  # the lower triangle
        if self.budget is not None:
            own = self._sum @ own
            hessian = np.tril(hessian) + np.tril(hessian, -1).T
            hessian = self._sum @ (self._sum @ hessian).T
        gradient = 1.0 / mu - own
        box = self.box
        if box.any():
            gradient[box] -= 1.0 / x[box]
            hessian[box, box] += 1.0 / x[box] ** 2
        step = self.S.solve(hessian, -gradient)
        if step is None or not np.isfinite(step).all():
            return None, 0.0, np.inf
        return step, float(np.sqrt(max(-(gradient @ step), 0.0))), self._value(x, mu, logdet)

    def _value(self, x: Array, mu: float, logdet: float) -> float:
        return float(x.sum()) / mu - logdet - float(np.log(x[self.box]).sum())

    def line_search(self, x: Array, step: Array, decrement: float, mu: float, start: float) -> tuple[Array, bool]:
        """The barrier function falls from `start` along the step: all of it near the path, damped far from it."""
        # 1 / (1 + decrement) is what self-concordance promises; a few times as much is mostly possible
        length = min(1.0, LONGER / (1.0 + decrement))
        for _ in range(30):
            point = x + length * step
            if (point[self.box] > 0).all():
                value = self._value(point, mu, self.S.logdet(self.diagonal(point)))
                if value <= start - 0.1 * length * decrement**2 + 1e-12 * abs(start):
                    return point, True
            length *= 0.6
        return x, False
