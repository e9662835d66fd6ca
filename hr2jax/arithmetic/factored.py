"""The spectral norm of a large matrix by one Cholesky factor, in a tenth of the time of an eigendecomposition.

With G = A^T A, some s and any C,  s I - G = C C^T + R,  so that ||A||^2 <= s + ||R||_inf. Lanczos' method suggests s,
Cholesky's method C, and neither is trusted. What the two products of matrices have lost by rounding is bounded from
those of their magnitudes with a vector of ones.
"""

from __future__ import annotations

import numpy as np

from .enclosure import TINY, Enclosure, gamma
from .float64 import Array

# How far s is above what Lanczos' method says, relatively; the larger where Cholesky's method fails with the smaller.
SLACKS = (1e-6, 1e-4, 1e-2)
# What Lanczos' method may miss of it.
ACCURACY = 1e-5


def work_of_factor(shape: tuple[int, int]) -> float:
    """Multiplications that it takes of a matrix of that shape, m >= n: its Gram matrix, the factor, and its square."""
    m, n = max(shape), min(shape)
    return 0.5 * m * n**2 + n**3


def square_by_factor(A: Array, arithmetic: type[Enclosure]) -> float:
    """An upper bound of ||A||_2^2 of A (m, n) float64, entries of about 1; infinite where no factor is found."""
    from scipy.sparse.linalg import ArpackError, eigsh  # here: `import hr2jax` loads no SciPy

    m, n = A.shape
    G, ones = A.T @ A, np.ones(n)
    size = arithmetic(np.abs(A))
    lost = (size.T @ (size @ ones)) * gamma(m)
    try:
        start = np.random.default_rng(0).standard_normal(n)
        largest = float(eigsh(G, k=1, v0=start, return_eigenvectors=False, tol=ACCURACY)[0])
    except ArpackError:
        return np.inf
    for slack in SLACKS:
        s = largest * (1.0 + slack)
        try:
            C = np.linalg.cholesky(s * np.eye(n) - G)
        except np.linalg.LinAlgError:
            continue
        size = arithmetic(np.abs(C))
        R = arithmetic(s * np.eye(n)) - G - C @ C.T
        rows = arithmetic(R.magnitude()).sum(axis=1) + lost + (size @ (size.T @ ones)) * gamma(n) + 2.0 * n * TINY
        bound = float((rows + s).upper().max())
        return bound if np.isfinite(bound) else np.inf
    return np.inf
