"""S = Diag(d) - M for one symmetric M and many d: is it positive definite, its determinant, inverse, eigenvectors.

By LAPACK here; an engine may do the same elsewhere (`linalg.on_device.OnDevice`). Steering only: the certificate has a
proof of its own.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse.linalg

from ..arithmetic.float64 import Array


class Definite:
    """Diag(d) - M, for M (N, N) symmetric float64 and d (N,).

    Attributes:
        LANCZOS: above this size eigenvectors come from Lanczos' method.
        NEWTON: up to this size Newton's method, which inverts it again and again, is not too slow.
    """

    LANCZOS = 4000
    NEWTON = 3500

    def __init__(self, M: Array):
        self.negative = -M
        self._spare: list[Array] = []  # written again and again: their pages stay

    def _buffer(self, number: int) -> Array:
        while len(self._spare) <= number:
            self._spare.append(np.empty_like(self.negative))
        return self._spare[number]

    def logdet(self, d: Array) -> float:
        """The logarithm of its determinant; minus infinity where it cannot be factored."""
        factor = shifted_cholesky(self.negative, d, self._buffer(0))
        return -np.inf if factor is None else _logdet(factor)

    def inverse(self, d: Array) -> tuple[Array | None, float]:
        """The lower triangle of its inverse, to be written to, None where it cannot be factored; its `logdet`."""
        factor = shifted_cholesky(self.negative, d, self._buffer(1))
        if factor is None:
            return None, -np.inf
        logdet = _logdet(factor)
        inverse, failed = scipy.linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
        return (None if failed else inverse), logdet

    def lowest(self, d: Array, count: int, root: Array | None = None) -> tuple[Array, Array]:
        """At most `count` lowest eigenvalues, increasing, and eigenvectors; by Lanczos' method perhaps fewer.

        With `root` (N,), those of S_ij / (root_i root_j).

        Raises:
            LinAlgError: numbers that are not finite, as NumPy's decompositions do.
        """
        S = self._matrix(d, root)
        if not np.isfinite(S).all():
            raise np.linalg.LinAlgError("the matrix has numbers that are not finite")
        if len(S) > self.LANCZOS and count < len(S) // 8:
            start = np.random.default_rng(0).standard_normal(len(S))
            try:
                values, vectors = scipy.sparse.linalg.eigsh(S, k=count, which="SA", tol=1e-3, maxiter=8, v0=start)
            except scipy.sparse.linalg.ArpackNoConvergence as error:
                values, vectors = error.eigenvalues, error.eigenvectors
            if len(values):
                order = np.argsort(values)
                return values[order], vectors[:, order]
        return self._lowest(S, count)

    def _matrix(self, d: Array, root: Array | None) -> Array:
        S = self.negative.copy()
        np.einsum("ii->i", S)[...] += d
        return S if root is None else S / np.outer(root, root)

    def _lowest(self, S: Array, count: int) -> tuple[Array, Array]:
        """`lowest` of a dense matrix by its decomposition."""
        try:
            return scipy.linalg.eigh(S, subset_by_index=[0, count - 1])
        except scipy.linalg.LinAlgError:  # many eigenvalues that all but coincide; this driver knows no subsets
            values, vectors = scipy.linalg.eigh(S, driver="evd")
            return values[:count], vectors[:, :count]

    def solve(self, H: Array, b: Array) -> Array | None:
        """H^-1 b for H (n, n), of which the lower triangle is read and lost; None where H is not positive definite."""
        _, x, failed = scipy.linalg.lapack.dposv(H, b, lower=True, overwrite_a=True)
        return None if failed else x


def cholesky(S: Array, overwrite: bool = False) -> Array | None:
    """The lower Cholesky factor of S (N, N), symmetric; what is above its diagonal is not part of it.

    None where LAPACK finds none. `overwrite`: S may be lost, and is the factor where its order is Fortran's.
    """
    factor, failed = scipy.linalg.lapack.dpotrf(S, lower=True, clean=False, overwrite_a=overwrite)
    return None if failed or not np.isfinite(np.diag(factor)).all() else factor  # OpenBLAS lets NaN pass


def shifted_cholesky(negative: Array, d: Array, S: Array) -> Array | None:
    """`cholesky` of Diag(d) + `negative`. S (N, N), in C's order, is written to; it may be `negative`."""
    np.copyto(S, negative)
    np.einsum("ii->i", S)[...] += d
    return cholesky(S.T, overwrite=True)  # the transpose, the same, is in Fortran's order: LAPACK need not copy it


def _logdet(factor: Array) -> float:
    return 2.0 * float(np.log(np.diag(factor)).sum())
