"""The PSD part of a matrix of which few eigenvalues are positive, from what is known of one a little different.

An iteration of ADMM moves the matrix that it projects by little, and near the optimum of a moment relaxation few of
its N eigenvalues are positive: as many as the rank of M_1. Their eigenvectors are followed from each iteration to the
next (Rontsis, Goulart, Nakatsukasa 2022, "Efficient semidefinite programming with approximate ADMM") by a Chebyshev
polynomial of the matrix, which stretches what is above 0 and leaves small what is below (Zhou, Saad, Tiago,
Chelikowsky 2006, "Self-consistent-field calculations using Chebyshev-filtered subspace iteration"), then Rayleigh and
Ritz: products of N^2 k work for k columns, and decompositions of k by k matrices, where a projection of the whole
takes N^3. Steering only: no certificate trusts a projection.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .projection import Method

# The polynomial's degree, which is how many products with k columns a sweep takes: one more is Rayleigh and Ritz'.
DEGREE = 8
# At most so many sweeps: what needs more is no longer near.
SWEEPS = 6
# What is below 0 may be so many times as wide as the power method says, which comes from below.
WIDER = 1.1
# At most this share of N in columns; this one where the whole costs as little as by products of halves (H200, N = 2000:
# as fast as 80 columns); in steps, for the sake of few shapes; with columns to spare.
SHARE, SHARE_OF_HALVES, STEP, SPARE = 0.25, 1 / 24, 16, (1.3, 8)


class Eigenspace(NamedTuple):
    """What is known of one matrix (N, N)."""

    V: Any  # (N, k): orthonormal, about the eigenvectors of the k largest eigenvalues; no columns: it is not followed
    w: Any  # (N,): about that of the eigenvalue of largest magnitude


class Followed(NamedTuple):
    """What a look at the next matrix found."""

    part: Any  # (N, N)
    space: Eigenspace
    # About how far the part is off, in Frobenius' norm, but for eigenvalues that were not positive before; infinite or
    # NaN where nothing was found.
    error: Any


def columns_for(positive: int, N: int, method: Method = "eigh") -> int:
    """How many columns to follow so many positive eigenvalues of N with; 0: they are too many for that to pay.

    Args:
        method: how the whole would be projected.
    """
    columns = STEP * math.ceil((SPARE[0] * positive + SPARE[1]) / STEP)
    return columns if columns <= (SHARE_OF_HALVES if method == "halves" else SHARE) * N else 0


def follow(A: Any, space: Eigenspace, tolerance: Any) -> Followed:
    """The PSD part of a symmetric A (N, N) to within `tolerance`, if A is near the matrix that `space` is of."""
    product = A @ space.w
    length = jnp.linalg.norm(product)
    w = product / jnp.where(length > 0, length, 1.0)
    width = WIDER * jnp.where(length > 0, length, 1.0)

    def stretched(AX: Any, X: Any) -> Any:
        return (2.0 / width) * AX + X  # [-width, 0] becomes [-1, 1], where Chebyshev's polynomials stay

    def sweep(carry: Any) -> Any:
        V, AV, _, _, number = carry
        before, W = V, stretched(AV, V)
        for _ in range(DEGREE - 1):
            before, W = W, 2.0 * stretched(A @ W, W) - before
        # Rounding along the vectors that are stretched most would fill the columns of those that are stretched least.
        among = V.T @ W
        W = W - V @ (among - jnp.diag(jnp.diag(among)))
        W = W / jnp.linalg.norm(W, axis=0)
        lower = jnp.linalg.cholesky(W.T @ W)
        return *_ritz(A, jax.scipy.linalg.solve_triangular(lower, W.T, lower=True).T), number + 1

    def is_far(carry: Any) -> Any:
        *_, error, number = carry
        return (error > tolerance) & (number < SWEEPS)

    start = (space.V, A @ space.V, jnp.zeros_like(A[0, : space.V.shape[1]]), jnp.asarray(jnp.inf, A.dtype), 0)
    V, _, values, error, _ = jax.lax.while_loop(is_far, sweep, start)
    part = (V * jnp.maximum(values, 0.0)) @ V.T
    return Followed(part, Eigenspace(jnp.where(jnp.isfinite(error), V, space.V), w), error)


def _ritz(A: Any, Q: Any) -> tuple[Any, Any, Any, Any]:
    """Ritz vectors V in the span of Q's orthonormal columns (N, k), A V, Ritz values (k,) and the part's error."""
    AQ = A @ Q
    H = Q.T @ AQ
    values, turn = jnp.linalg.eigh(0.5 * (H + H.T))
    V, AV = Q @ turn, AQ @ turn
    # Outside of the span eigenvalues are below the lowest Ritz value l, about. To those a residual r of the value v
    # couples by |r|, which turns the part by v / (v - l) of it; and where l is above 0 they are part of it themselves.
    positive, above = jnp.maximum(values, 0.0), jnp.maximum(values[0], 0.0)
    share = positive / jnp.maximum(positive - jnp.minimum(values[0], 0.0), jnp.finfo(A.dtype).tiny)
    missed = (A.shape[0] - len(values)) * above**2
    return V, AV, values, jnp.sqrt(jnp.sum(((AV - V * values) * share) ** 2) + missed)


def begin(values: Any, vectors: Any, tolerance: float, method: Method = "eigh") -> Eigenspace:
    """The eigenspace to follow of a matrix with this decomposition, values increasing; no columns: it is not worth it.

    Positive eigenvalues that all together are below `tolerance` need no columns.
    """
    N = len(values)
    columns = columns_for(_count(values, N, tolerance), N, method)
    return Eigenspace(vectors[:, N - columns :], vectors[:, 0 if -values[0] > values[-1] else -1])


def narrowed(space: Eigenspace, part: Any, tolerance: float) -> Eigenspace:
    """The same with fewer columns, where half of them would do for the PSD part (N, N) that it has led to."""
    N, k = space.V.shape
    columns = columns_for(_count(jnp.linalg.norm(part @ space.V, axis=0), N, tolerance), N)
    return space._replace(V=space.V[:, k - columns :]) if 0 < columns <= k // 2 else space


def _count(values: Any, N: int, tolerance: float) -> int:
    return int((values > tolerance / math.sqrt(N)).sum())
