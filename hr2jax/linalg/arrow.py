"""Symmetric matrices of which some rows couple to the others only: arrows, up to the order of the rows.

The Lagrangian matrix of `shor` and `hr2` has no product v_i v_j and none t_i t_j. Rows of such groups are
*eliminated*: their own block is a diagonal, so that Cholesky's method passes them at no cost and what remains
is dense in the *kept* rows only. With nothing eliminated an arrow is an ordinary dense matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np

from ..arithmetic.enclosure import Enclosure, pieces
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import A

# Entries of one temporary of an operation entry by entry (4 MiB of float64: allocated anew at no cost).
PIECE = 2**19
# The same of a matrix product, whose result is to be added to others.
LONG_PIECE = 2**24


@dataclass(frozen=True)
class Arrow:
    """A symmetric (N, N) float64 matrix. Steering only: it carries no error bounds.

    Attributes:
        eliminated, kept: (n,) and (m,) positions among the N rows, each increasing, together all of them.
        diagonal: (n,), the eliminated rows' own block, which is diagonal.
        coupling: (n, m), eliminated by kept.
        block: (m, m), kept by kept.
    """

    eliminated: Array
    kept: Array
    diagonal: Array
    coupling: Array
    block: Array

    @property
    def size(self) -> int:
        """N."""
        return len(self.eliminated) + len(self.kept)

    def __matmul__(self, V: Array) -> Array:
        """M V, for V (N,) or (N, r)."""
        E, R = self.eliminated, self.kept
        out = np.empty(V.shape)
        out[E] = self.coupling @ V[R] + (self.diagonal * V[E].T).T
        out[R] = self.coupling.T @ V[E] + self.block @ V[R]
        return out

    def diag(self) -> Array:
        """(N,) the entries M_kk."""
        out = np.empty(self.size)
        out[self.eliminated], out[self.kept] = self.diagonal, np.diag(self.block)
        return out

    def row_sums(self) -> Array:
        """(N,) sums of |M| along its rows."""
        out = np.empty(self.size)
        rows, columns = np.abs(self.diagonal), np.abs(self.block).sum(axis=1)
        for c in pieces(self.coupling.shape, PIECE):
            part = np.abs(self.coupling[c])
            rows[c] += part.sum(axis=1)
            columns += part.sum(axis=0)
        out[self.eliminated], out[self.kept] = rows, columns
        return out

    def largest(self) -> float:
        """The largest |M_ij|."""
        parts = (self.diagonal, self.coupling, self.block)
        return max(float(max(-p.min(initial=0.0), p.max(initial=0.0))) for p in parts)

    def is_finite(self) -> bool:
        """Whether no entry is infinite or NaN."""
        return all(bool(np.isfinite(p).all()) for p in (self.diagonal, self.coupling, self.block))

    def dense(self) -> Array:
        """The (N, N) array."""
        E, R = self.eliminated, self.kept
        out = np.zeros((self.size, self.size))
        out[E, E] = self.diagonal
        out[np.ix_(E, R)], out[np.ix_(R, E)], out[np.ix_(R, R)] = self.coupling, self.coupling.T, self.block
        return out

    def eliminate(self, own: Array) -> tuple[Array, Array, Array]:
        """The first n columns of a Cholesky factor of Diag(d) - M, and what remains to be factored.

        Args:
            own: (n,) positive, the eliminated rows' own d_k - M_kk.

        Returns:
            l (n,) = sqrt(own), K (n, m) with l_i K_ij = -coupling_ij, and C (m, m) = block + K^T K: with these
            Diag(d) - M is positive definite if and only if Diag(d on the kept rows) - C is.
        """
        root = np.sqrt(own)
        K = self.coupling / -root[:, None]
        C = self.block.copy()
        for c in pieces(K.shape, LONG_PIECE):
            C += K[c].T @ K[c]
        return root, K, C


def arrow(M: Array | Arrow) -> Arrow:
    """`M` itself if it is an arrow; a dense matrix as one with nothing eliminated."""
    if isinstance(M, Arrow):
        return M
    N = len(M)
    return Arrow(np.zeros(0, dtype=np.int64), np.arange(N), np.zeros(0), np.zeros((0, N)), M)


@dataclass(frozen=True)
class ArrowEnclosure(Generic[A]):
    """A symmetric (N, N) matrix of reals, each known to within a radius: `Arrow` with enclosures for blocks.

    With `Middle` for blocks (arithmetic/midpoint.py) no radius is known, and nothing can be proved with it.
    """

    eliminated: Array
    kept: Array
    diagonal: A
    coupling: A
    block: A

    @property
    def size(self) -> int:
        """N."""
        return len(self.eliminated) + len(self.kept)

    def is_finite(self) -> bool:
        """Whether nothing overflowed; an enclosure that is not finite encloses nothing."""
        return self.diagonal.is_finite() and self.coupling.is_finite() and self.block.is_finite()

    def middle(self) -> Arrow:
        """The midpoints. Steering only."""
        return Arrow(self.eliminated, self.kept, self.diagonal.mid, self.coupling.mid, self.block.mid)

    def dense(self) -> A:
        """The (N, N) enclosure, for small matrices."""
        E, R = self.eliminated, self.kept
        out = type(self.block)(np.zeros((self.size, self.size)))
        out[E, E] = self.diagonal
        out[np.ix_(E, R)], out[np.ix_(R, E)], out[np.ix_(R, R)] = self.coupling, self.coupling.T, self.block
        return out

    @property
    def mid(self) -> Array:
        """The (N, N) midpoints, for small matrices."""
        return self.middle().dense()

    @property
    def rad(self: ArrowEnclosure[Enclosure]) -> Array:
        """The (N, N) radii, for small matrices."""
        return self.dense().rad


def arrow_enclosure(M: Enclosure | ArrowEnclosure[Enclosure]) -> ArrowEnclosure[Enclosure]:
    """`M` itself if it is an arrow; a dense enclosure (N, N) as one with nothing eliminated."""
    if isinstance(M, ArrowEnclosure):
        return M
    N, kind = M.shape[0], type(M)
    return ArrowEnclosure(
        np.zeros(0, dtype=np.int64), np.arange(N), kind(np.zeros(0)), kind(np.zeros((0, N))), M
    )
