"""The spectral norm of a large sparse matrix, such as that of a convolution, whose Gram matrix has a narrow band.

With G = A^T A in an order that makes the band narrow, some s and any block bidiagonal C,  s I - G = C C^T + R,  so that
||A||^2 <= s + ||R||_inf.  Lanczos' method suggests s, Cholesky's method C, block by block, and neither is trusted: R is
enclosed. The cost is that of products of blocks as wide as the band, where an eigendecomposition would take them whole.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .enclosure import Enclosure
from .float64 import Array

# How far s is above what Lanczos' method says, relatively; the larger where Cholesky's method fails with the smaller.
SLACKS = (1e-10, 1e-7, 1e-4, 1e-2)
# A band wider than this share of the matrix saves nothing.
NARROW = 0.25


class _Band(NamedTuple):
    """G's blocks: those on the diagonal, and those below it."""

    own: list[Enclosure]
    below: list[Enclosure]


def square_of_norm(A: Array, arithmetic: type[Enclosure]) -> float:
    """An upper bound of ||A||_2^2 of A (m, n) float64, entries of about 1; infinite where the band is not narrow."""
    import scipy.sparse as sp  # here: `import hr2jax` loads no SciPy
    from scipy.sparse.linalg import ArpackError, eigsh

    S = sp.csr_array(A)
    ordered, width = _in_order(S)
    if width > NARROW * A.shape[1]:
        return np.inf
    band = _blocks(A[:, ordered], max(width, 1), arithmetic)
    start = np.random.default_rng(0).standard_normal(A.shape[1])
    try:
        largest = float(eigsh(S.T @ S, k=1, v0=start, return_eigenvectors=False, tol=1e-11)[0])
    except ArpackError:
        return np.inf
    for slack in SLACKS:
        found = _bound(band, largest * (1.0 + slack), arithmetic)
        if np.isfinite(found):
            return found
    return np.inf


def _in_order(S: Any) -> tuple[Array, int]:
    """An order of the columns in which G's entries are near its diagonal, and how far from it the farthest is."""
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    size = abs(S)
    G = (size.T @ size).tocsr()
    ordered = reverse_cuthill_mckee(G, symmetric_mode=True)
    place = np.empty(len(ordered), dtype=np.int64)
    place[ordered] = np.arange(len(ordered))
    G = G.tocoo()
    return ordered, int(np.abs(place[G.row] - place[G.col]).max(initial=0))


def _blocks(A: Array, width: int, arithmetic: type[Enclosure]) -> _Band:
    """G's blocks; of so wide ones only neighbours meet, since no entry is farther from the diagonal."""
    own: list[Enclosure] = []
    below: list[Enclosure] = []
    before: Array | None = None
    for start in range(0, A.shape[1], width):
        columns = A[:, start : start + width]
        rows = np.flatnonzero(columns.any(axis=1))
        own.append(arithmetic(columns[rows]).gram())
        if before is not None:
            below.append(arithmetic(columns[rows].T) @ before[rows])
        before = columns
    return _Band(own, below)


def _bound(band: _Band, s: float, arithmetic: type[Enclosure]) -> float:
    """s + ||R||_inf, rounded up; infinite where Cholesky's method finds s I - G not positive definite."""
    coupling: Array | None = None  # the block of C left of the one on the diagonal
    beside: Any = 0.0  # row sums of the magnitudes of R's block left of the one on the diagonal
    rows: list[Any] = []
    for k, G in enumerate(band.own):
        eye = s * np.eye(len(G.mid))
        left = eye - G.mid if coupling is None else eye - G.mid - coupling @ coupling.T
        try:
            factor = np.linalg.cholesky(left)
        except np.linalg.LinAlgError:
            return np.inf
        R = arithmetic(eye) - G - arithmetic(factor) @ factor.T
        if coupling is not None:
            R = R - arithmetic(coupling) @ coupling.T
        size = arithmetic(R.magnitude()).sum(axis=1) + beside
        if k < len(band.below):
            below = band.below[k]
            coupling = -np.linalg.solve(factor, below.mid.T).T
            next_to = arithmetic((-below - arithmetic(coupling) @ factor.T).magnitude())
            size, beside = size + next_to.sum(axis=0), next_to.sum(axis=1)
        rows.append(size.upper().max())
    largest = np.max(rows)
    return float((arithmetic(np.array([s])) + np.array([largest])).upper()[0]) if np.isfinite(largest) else np.inf
