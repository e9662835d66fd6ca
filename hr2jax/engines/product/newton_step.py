"""One step of the interior-point method on the product form, in NumPy."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

from ...arithmetic.float64 import Array
from ...certificate.lagrangian import lagrangian_matrix
from ...linalg.definite import cholesky
from ...linalg.diagonal import feasible, levelled
from ...relaxation.basis import Lifting
from ...relaxation.forms import Family
from ...relaxation.triangles import TRIANGLES
from ..scale import ABSURD, mean_diagonal
from .arrays import typical_squares
from .newton_rows import CUTS, Rows, collected

# How far from the boundary it begins: the share of what everything is.
INSIDE = 0.3
# The share of the way to the boundary that a step goes: with 0.97 some problems took 64 steps instead of 18.
CAUTION = 0.9
# Up to this size steps are as long as all eigenvalues allow; above it Lanczos' method says how long, to a tolerance.
DENSE, ACCURACY = 120, 1e-2
# Derived rows of more entries than this are kept as sparse where no larger share of them is not 0.
LARGE, SPARSE = 100_000, 0.25
# So many rows of Newton's matrix are made at a time.
PIECE = 96


@dataclass
class Interior:
    """Where the method stands."""

    x: Array  # the diagonal's numbers, then the multipliers
    S: Array  # (N, N), of x
    w: Array  # slacks of the moments, for the variables that are at least 0 (0 elsewhere)
    Y: Array  # (N, N)
    residual: Array  # of the moments' equations


class Problem:
    """The program and its steps; a point x is the diagonal's numbers followed by the multipliers."""

    def __init__(self, lifting: Lifting, families: list[Family], multipliers: Mapping[str, Array]):
        self.lifting = lifting
        self.budget = budget = lifting.budget if lifting.balls else None
        self.extended = lifting.extended.size
        self.given = {name: np.asarray(values, dtype=np.float64) for name, values in multipliers.items()}
        self.rows, self.start = self._collect(families)
        self._F_T = self.rows.F.T.tocsr()
        self.D: Any = lifting.derived_rows()
        if self.D.size > LARGE and np.count_nonzero(self.D) < SPARSE * self.D.size:  # layers, convolutions among them
            self.D = sp.csr_matrix(self.D)
        self.constants = lagrangian_matrix(lifting, {}).middle() @ np.eye(lifting.size)
        self.box_entries = ~lifting.square_is_one
        n = lifting.size
        self.numbers = n if budget is None else int(budget.max()) + 1
        shared = np.arange(n) if budget is None else budget
        self._sum = sp.csr_matrix((np.ones(n), (shared, np.arange(n))))
        self.box = np.zeros(self.numbers, dtype=bool)
        self.box[shared] = self.box_entries
        self.positive = np.concatenate([self.box, ~self.rows.equality])

    @property
    def count(self) -> int:
        """Variables."""
        return self.numbers + len(self.rows.equality)

    @property
    def parameter(self) -> int:
        """Of the barrier."""
        return self.lifting.size + int(self.positive.sum())

    def _collect(self, families: list[Family]) -> tuple[Rows, Array]:
        """The products of the families and of the cuts, and their first multipliers."""
        found = collected(self.lifting, families, self.given)
        self.centers, self.given = found.centers, self.given | found.cuts
        return found.rows, found.start

    def point(self, d: Array, weights: Array) -> Array:
        """From a diagonal and multipliers."""
        numbers = np.empty(self.numbers)
        numbers[np.arange(len(d)) if self.budget is None else self.budget] = levelled(d, self.budget)
        return np.concatenate([numbers, weights])

    def plain_diagonal(self, point: Array) -> Array:
        """d (N,)."""
        return point[: self.numbers] if self.budget is None else point[: self.numbers][self.budget]

    def diagonal(self, point: Array) -> Array:
        """d (N,) for a certificate, in which triangles have the constant 1 where here they have a^2."""
        d = self.plain_diagonal(point).copy()
        weights = self.multipliers(point).get(TRIANGLES, np.zeros((0, 4)))[:, 3]
        np.subtract.at(d, self.centers, weights)
        d[0] += weights.sum()
        return d

    def cost(self, point: Array) -> float:
        """The dual's objective."""
        return float(point[: self.numbers].sum())

    def multipliers(self, point: Array) -> dict[str, Array]:
        """By family, as a certificate has them."""
        out, at = {}, self.numbers
        for name, count in self.rows.names:
            values = point[at : at + count]
            at += count
            out[name] = np.column_stack([self.given[name][:, :-1], values]) if name in CUTS else np.array(values)
        return out

    def sizes(self, diagonal: Array) -> Array:
        """(count,) about the size of each product; 1 for the diagonal's numbers."""
        norms = np.sqrt(np.concatenate([diagonal, _squares(self.D) @ diagonal]))
        products = (np.abs(self.rows.F) @ norms) * (np.abs(self.rows.G) @ norms)
        if self.rows.gather is not None:
            products = abs(self.rows.gather) @ products
        return np.concatenate([np.ones(self.numbers), products])

    def matrix(self, weights: Array, of_constants: bool = True) -> Array:
        """M (N, N), with or without what does not depend on the multipliers."""
        n = self.lifting.size
        G, values = self.rows.G, self.rows.of_products(weights)
        scaled = sp.csr_matrix((G.data * np.repeat(values, np.diff(G.indptr)), G.indices, G.indptr), shape=G.shape)
        core = (self._F_T @ scaled).toarray()  # dense from here on: few operations, of small matrices mostly
        core = 0.5 * (core + core.T)
        half = self.D.T @ (core[n:, :n] + 0.5 * (core[n:, n:] @ self.D))
        M = core[:n, :n] + half + half.T
        return M + self.constants if of_constants else M

    def begin(self, d: Array | None = None, V: Array | None = None) -> Interior:
        """A point inside, not too near the boundary: by a diagonal d (N,) and a factor V (N, r), if they are known."""
        if d is None:
            d = np.full(self.lifting.size, mean_diagonal(self.lifting, np.random.default_rng(0)))
        k, n = self.numbers, self.lifting.size
        weights, equality = self.start, self.rows.equality
        Y = np.zeros((n, n)) if V is None else V @ V.T
        squares = typical_squares(self.lifting)
        typical = np.concatenate([squares[g] for g in self.lifting.sizes])
        diagonal = np.where(np.diag(Y) > 0, np.maximum(np.diag(Y), 1e-3 * typical), typical)
        one = self.lifting.square_is_one
        diagonal[one] = (1.0 / (self._sum.T @ (self._sum @ np.ones(n))))[one]
        Y *= 1.0 - INSIDE
        Y[np.arange(n), np.arange(n)] = diagonal
        moments = self.moments(self.extend(Y))
        size = self.sizes(diagonal)[k:]
        least = INSIDE * np.maximum(size, 1e-12)
        with np.errstate(over="ignore", invalid="ignore"):  # a start from a file may be anything
            weights = np.where(np.abs(weights) * size < ABSURD * float(np.abs(d).mean()), weights, 0.0)
        # of what d is, a share, divided among the rows that can use it
        share = INSIDE * float(np.abs(self.point(d, weights)[:k]).sum()) / self.parameter
        weights = np.where(equality, weights, np.maximum(weights, share / np.maximum(size, 1e-6)))
        budget = self.budget
        d = feasible(self.matrix(weights), np.where(self.box_entries, np.maximum(d, 0.0), d), budget)
        x = self.point(d, weights)
        x[:k] += np.maximum(share, INSIDE * np.abs(x[:k]))
        w = np.zeros(self.count)
        w[:k] = np.where(self.box, np.maximum(1.0 - self._sum @ diagonal, INSIDE), 0.0)
        w[k:] = np.where(equality, 0.0, np.maximum(-moments[k:], least))
        return Interior(x, self.slack(x), w, Y, self._wanted() - self.moments(self.extend(Y)) - w)

    def _wanted(self) -> Array:
        """What the moments are to be: 1 for the diagonal's numbers, 0 for products (plus a slack)."""
        b = np.zeros(self.count)
        b[: self.numbers] = 1.0
        return b

    def extend(self, Y: Array) -> Array:
        """E Y E^T of a symmetric Y."""
        n = self.lifting.size
        out = np.empty((self.extended, self.extended))
        out[:n, :n] = Y
        out[n:, :n] = self.D @ Y
        out[:n, n:] = out[n:, :n].T
        out[n:, n:] = (self.D @ out[:n, n:]).T
        return out

    def moments(self, extended: Array) -> Array:
        """<A', Y> of every variable's matrix in S: sums of the diagonal, minus the products' values."""
        n = self.lifting.size
        products = np.asarray(self.rows.G.multiply(self.rows.F @ extended).sum(axis=1)).ravel()
        return np.concatenate([self._sum @ np.diag(extended)[:n], -self.rows.summed(products)])

    def slack(self, x: Array, of_constants: bool = True) -> Array:
        """S, or without the constants what a step adds to it."""
        S = -self.matrix(x[self.numbers :], of_constants)
        S[np.arange(len(S)), np.arange(len(S))] += self.plain_diagonal(x)
        return S

    def gap(self, state: Interior) -> float:
        """Between the dual's value and the moments', were their equations met."""
        return float((state.Y * state.S).sum() + state.x @ state.w)

    def step(self, state: Interior) -> bool:
        """One step of the method; False where there is none to take."""
        count = self.count
        x, S, w, Y, positive = state.x, state.S, state.w, state.Y, self.positive
        of_S, of_Y = cholesky(S), cholesky(Y)
        if of_S is None or of_Y is None:
            return False
        lower = scipy.linalg.lapack.dpotri(of_S, lower=True)[0]
        K = np.tril(lower) + np.tril(lower, -1).T
        mu = self.gap(state) / self.parameter
        b = self._wanted()
        of_K = self.moments(self.extend(K))
        of_K[positive] += 1.0 / x[positive]
        factor = self._schur(x, w, Y, K)
        if factor is None:
            return False
        # the predictor: straight to the boundary
        dx = factor(-b)
        dS = self.slack(dx, of_constants=False)
        product = dS @ K
        half = Y @ product
        dY = -0.5 * (half + half.T) - Y
        dw = np.where(positive, -w - np.divide(w * dx, x, where=positive, out=np.zeros(count)), 0.0)
        a, c = self._longest(of_Y, dY, w, dw), self._longest(of_S, dS, x, dx)
        if not np.isfinite(dY).all():
            return False
        there = float(((Y + a * dY) * (S + c * dS)).sum() + (x + c * dx) @ (w + a * dw)) / self.parameter
        sigma = float(np.clip((max(there, 0.0) / mu) ** 2, 1e-4, 0.5))
        # the corrector
        half = dY @ product
        second = 0.5 * (half + half.T)
        bend = np.divide(dw * dx, x, where=positive, out=np.zeros(count))
        dx = factor(sigma * mu * of_K - b - self.moments(self.extend(second)) - bend)
        dS = self.slack(dx, of_constants=False)
        half = Y @ dS @ K
        dY = sigma * mu * K - 0.5 * (half + half.T) - second - Y
        target = np.divide(sigma * mu - w * dx, x, where=positive, out=np.zeros(count)) - bend - w
        dw = np.where(positive, target, 0.0)
        if not (np.isfinite(dY).all() and np.isfinite(dw).all()):
            return False
        a = _shortened(Y, dY, self._longest(of_Y, dY, w, dw))
        c = _shortened(S, dS, self._longest(of_S, dS, x, dx))
        state.Y, state.w, state.x = Y + a * dY, w + a * dw, x + c * dx
        state.S = self.slack(state.x)
        state.residual *= 1.0 - a  # the equations are linear
        return max(a, c) > 1e-3

    def _longest(self, factor: Array, dS: Array, x: Array, dx: Array) -> float:
        """How far one may go, about, with S = L L^T positive definite and x positive."""
        falling = self.positive & (dx < 0)
        length = min(1.0, CAUTION * float((x[falling] / -dx[falling]).min(initial=np.inf)))
        least = _least_eigenvalue(factor, dS)
        return min(length, -CAUTION / least) if least < 0.0 else length

    def _schur(
        self, x: Array, w: Array, Y: Array, K: Array, ridge: float = 1e-14
    ) -> Callable[[Array], Array] | None:
        """Newton's matrix, factored; `ridge`, relative: equalities may all but repeat each other."""
        rows, n, k, positive = self.rows, self.lifting.size, self.numbers, self.positive
        matrix = np.zeros((self.count, self.count), order="F")  # what is above its diagonal is not read
        squares = Y * K
        matrix[:k, :k] = squares if self.budget is None else self._sum @ (self._sum @ squares).T
        del squares
        extended = self.extend(Y)
        FY, GY = rows.F @ extended, rows.G @ extended
        extended = self.extend(K)
        FK, GK = rows.F @ extended, rows.G @ extended
        del extended
        cross = FY[:, :n] * GK[:, :n]
        cross += GY[:, :n] * FK[:, :n]
        cross = rows.summed(cross)
        matrix[k:, :k] = -0.5 * (cross if self.budget is None else (self._sum @ cross.T).T)
        del cross
        if rows.gather is None:
            self._put_products(matrix[k:, k:], FY, GY, FK, GK)
        else:
            own = (rows.F @ FY.T) * (rows.G @ GK.T)
            own += (rows.G @ GY.T) * (rows.F @ FK.T)
            mixed = (rows.F @ GY.T) * (rows.G @ FK.T)  # f_r Y g_s, g_r K f_s
            own += mixed
            own += mixed.T
            matrix[k:, k:] = 0.25 * rows.summed(rows.summed(own).T)
            del own, mixed
        del FY, GY, FK, GK
        at = np.flatnonzero(positive)
        matrix[at, at] += w[at] / x[at]
        size = np.diag(matrix).copy()
        least = 1e-200 * max(float(size.max()), 1e-80)
        scale = np.where(size > least, 1.0 / np.sqrt(np.maximum(size, least)), 0.0)  # 0: a product of nothing stays
        matrix *= scale[:, None]
        matrix *= scale
        every = np.arange(self.count)
        matrix[every, every] += ridge
        factor = cholesky(matrix, overwrite=True)
        if factor is None:
            return self._schur(x, w, Y, K, 100.0 * ridge) if ridge < 1e-9 else None
        pair = (factor, True)
        return lambda right: scale * scipy.linalg.cho_solve(pair, scale * right, check_finite=False)


    def _put_products(self, out: Array, FY: Array, GY: Array, FK: Array, GK: Array) -> None:
        """The products' own part of Newton's matrix, (m, m) in Fortran's order: what is at and below its diagonal.

        Some rows at a time, which stay in a processor's cache.
        """
        for c, F_c, G_c, F, G in self._pieces:
            end = c.stop
            own = (F_c @ FY[:end].T) * (G_c @ GK[:end].T)
            own += (G_c @ GY[:end].T) * (F_c @ FK[:end].T)
            own += (F_c @ GY[:end].T) * (G_c @ FK[:end].T)  # f_r Y g_s, g_r K f_s
            own += ((F @ GY[c].T) * (G @ FK[c].T)).T
            own *= 0.25
            out[c, :end] = own

    @cached_property
    def _pieces(self) -> list[tuple[slice, Any, Any, Any, Any]]:
        """Some of the products at a time, their forms, and those of all up to them."""
        F, G, m = self.rows.F, self.rows.G, self.rows.F.shape[0]
        every = [slice(at, min(at + PIECE, m)) for at in range(0, m, PIECE)]
        return [(c, F[c], G[c], F[: c.stop], G[: c.stop]) for c in every]


def _squares(matrix: Any) -> Any:
    return matrix.multiply(matrix).tocsr() if sp.issparse(matrix) else matrix**2


def _shortened(S: Array, dS: Array, length: float) -> float:
    """At most the length, with S + length dS positive definite as far as LAPACK can tell; 0 if nothing is."""
    for _ in range(40):
        if cholesky(S + length * dS) is not None:
            return length
        length *= 0.8
    return 0.0


def _least_eigenvalue(L: Array, dS: Array) -> float:
    """Of L^-1 dS L^-T: for large ones by Lanczos' method, to a tolerance of ACCURACY (1 + its magnitude).

    Its value errs by the square of that, about, upwards: by 2e-4 at most of what Newton's method met (N = 121 to 301).
    """
    n = len(L)
    if not np.isfinite(dS).all():
        return -np.inf

    def shifted(v: Array) -> Array:
        right = scipy.linalg.solve_triangular(L, v, lower=True, trans=1, check_finite=False)
        out: Array = scipy.linalg.solve_triangular(L, dS @ right, lower=True, check_finite=False) - v
        if not np.isfinite(out).all():
            raise FloatingPointError("L is too near singular")
        return out

    if n > DENSE:
        operator, start = LinearOperator((n, n), shifted, dtype=np.float64), np.random.default_rng(0).standard_normal(n)
        with contextlib.suppress(ArpackError, FloatingPointError):  # ArpackError: not within so many restarts
            values = eigsh(operator, 1, which="SA", tol=ACCURACY, v0=start, maxiter=10, return_eigenvectors=False)
            return float(values[0]) + 1.0
    half = scipy.linalg.solve_triangular(L, dS, lower=True, check_finite=False)
    inner = scipy.linalg.solve_triangular(L, half.T, lower=True, check_finite=False)
    return float(np.linalg.eigvalsh(inner)[0]) if np.isfinite(inner).all() else -np.inf
