"""The search for violated triangles at a Gram matrix: its formulas, for NumPy's arrays and JAX's, and NumPy's way."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import Array

EDGES_AT_ONCE = 4096  # entries of Y looked at together: rows of Y that stay in cache


def violation(xp: Any, a: Any, b: Any, c: Any) -> Any:
    """-min over the patterns of sign (a, b, c): the triangle is violated where this exceeds 1. `xp`: whose arrays."""
    x, y, z = xp.abs(a), xp.abs(b), xp.abs(c)
    total = x + y + z
    return xp.where(a * b * c > 0, total - 2.0 * xp.minimum(xp.minimum(x, y), z), total)


def pair_violations(xp: Any, Y: Any, mask: Any) -> Any:
    """(N, N): the violations of the triangles through the constant where i < j and `mask`; else 0."""
    upper = xp.arange(Y.shape[0])[:, None] < xp.arange(Y.shape[0])[None, :]
    return xp.where(mask & upper, violation(xp, Y[0][:, None], Y[0][None, :], Y), 0.0)


def edges_beyond(xp: Any, Y: Any, least: Any) -> Any:
    """(N, N) bool: entries 0 < i < j of magnitude above `least`."""
    i, j = xp.arange(Y.shape[0])[:, None], xp.arange(Y.shape[0])[None, :]
    return (i > 0) & (i < j) & (xp.abs(Y) > least)


def third_violations(xp: Any, Y: Any, edges: Any) -> Any:
    """(n, N): the violations of edges (n, 2) with every third entry but the constant."""
    i, j = edges.T
    third = xp.arange(Y.shape[0]) > 0  # through the constant: a pair of factors
    return xp.where(third, violation(xp, Y[i], Y[j], Y[i, j][:, None]), 0.0)


class OnHost:
    """The search in NumPy, float32."""

    def gram(self, V: Array) -> Any:
        """V V^T (N, N), ones on its diagonal."""
        V = V.astype(np.float32)
        Y = V @ V.T
        np.fill_diagonal(Y, 1.0)
        return Y

    def pairs(self, Y: Any, mask: Array) -> Array:
        """`pair_violations`."""
        return np.asarray(pair_violations(np, Y, mask))

    def edges(self, Y: Any, least: float) -> Array:
        """(n, 2) positions where `edges_beyond`."""
        return np.argwhere(edges_beyond(np, Y, np.float32(least)))

    def part(self, Y: Any, kept: Array) -> Any:
        """The rows and columns `kept`."""
        return Y[np.ix_(kept, kept)]

    def most(self, Y: Any, edges: Array) -> Array:
        """(n,) the largest of `third_violations` of each edge."""
        return self._reduced(np.max, Y, edges)

    def third(self, Y: Any, edges: Array) -> Array:
        """(n,) which entry has it."""
        return self._reduced(np.argmax, Y, edges).astype(np.int64)

    def _reduced(self, reduce: Any, Y: Array, edges: Array) -> Array:
        parts = [
            reduce(third_violations(np, Y, edges[k : k + EDGES_AT_ONCE]), axis=1)
            for k in range(0, len(edges), EDGES_AT_ONCE)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)
