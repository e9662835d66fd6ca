"""The search for violated triangles in JAX."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ...arithmetic.float64 import Array
from ...machine.run import compiled, put, run
from .triangle_search import EDGES_AT_ONCE, edges_beyond, pair_violations, third_violations


class OnDevice:
    """`triangle_search.OnHost` on JAX's device."""

    def gram(self, V: Array) -> Any:
        """V V^T (N, N) float32 on the device, ones on its diagonal."""
        return run(_gram, put(V, jnp.float32))

    def pairs(self, Y: Any, mask: Array) -> Array:
        """`pair_violations`."""
        return np.asarray(run(_pairs, Y, put(mask)))

    def edges(self, Y: Any, least: float) -> Array:
        """(n, 2) positions where `edges_beyond`."""
        return np.argwhere(np.asarray(run(_edges, Y, least)))

    def part(self, Y: Any, kept: Array) -> Any:
        """The rows and columns `kept`."""
        return run(_part, Y, kept)

    def most(self, Y: Any, edges: Array) -> Array:
        """(n,) the largest of `third_violations` of each edge."""
        return _in_chunks(jnp.max, Y, edges)

    def third(self, Y: Any, edges: Array) -> Array:
        """(n,) which entry has it."""
        return _in_chunks(jnp.argmax, Y, edges).astype(np.int64)


@compiled
def _gram(V: Any) -> Any:
    Y = V @ V.T
    return jnp.fill_diagonal(Y, 1.0, inplace=False)


_pairs = compiled(partial(pair_violations, jnp))
_edges = compiled(partial(edges_beyond, jnp))


def _part(Y: Any, kept: Array) -> Any:
    return Y[np.ix_(kept, kept)]


def _in_chunks(reduce: Any, Y: Any, edges: Array) -> Array:
    """jnp.max or jnp.argmax over all k of the violations with each edge (n, 2).

    n is padded to a power of two times EDGES_AT_ONCE: few shapes to compile.
    """
    n = len(edges)
    count = -(-n // EDGES_AT_ONCE)
    padded = np.zeros((EDGES_AT_ONCE << max(count - 1, 0).bit_length(), 2), np.int32)
    padded[:n] = edges
    return np.asarray(run(_looped, Y, put(padded), count, reduce=reduce))[:n]


@partial(compiled, static_argnames="reduce")
def _looped(Y: Any, edges: Any, count: Any, reduce: Any) -> Any:
    def largest(Y: Any, edges: Any) -> Any:
        return reduce(third_violations(jnp, Y, edges), axis=1)

    def turn(k: Any, out: Any) -> Any:
        part = largest(Y, jax.lax.dynamic_slice(edges, (k * EDGES_AT_ONCE, 0), (EDGES_AT_ONCE, 2)))
        return jax.lax.dynamic_update_slice(out, part, (k * EDGES_AT_ONCE,))

    like = jax.eval_shape(largest, Y, edges[:EDGES_AT_ONCE])
    return jax.lax.fori_loop(0, count, turn, jnp.zeros(len(edges), like.dtype))
