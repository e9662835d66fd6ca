"""The stacks of a product form joined in one vector: as many operations as one stack takes. For NumPy and JAX alike."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array


class Parts:
    """The stacks of products, joined in one vector: diagonal ones first, then those of all pairs, row by row.

    Args:
        shapes: of each stack's products.
        diagonal: whether they are of each row of F with one of G, rather than with all.
        xp: NumPy or jax.numpy, whose arrays are joined and split.
    """

    def __init__(self, shapes: list[tuple[int, ...]], diagonal: list[bool], xp: Any = np):
        self.shapes, self._xp = shapes, xp
        # NumPy's needs no array of the products
        self._dot = partial(np.einsum, "ij,ij->i") if xp is np else lambda f, g: xp.sum(f * g, axis=1)
        self.order = [k for k, d in enumerate(diagonal) if d] + [k for k, d in enumerate(diagonal) if not d]
        self.matrices = [shapes[k] for k, d in enumerate(diagonal) if not d]
        self.rows = sum(shapes[k][0] for k, d in enumerate(diagonal) if d)
        self._ends = np.cumsum([int(np.prod(shapes[k])) for k in self.order]).tolist()

    def ordered(self, forms: list[tuple[Any, ...]]) -> list[Any]:
        """F of all diagonal stacks, G of them, then F and G of each of the others; of a pair for each stack."""
        count = len(self.order) - len(self.matrices)
        first, rest = self.order[:count], self.order[count:]
        return [forms[k][i] for i in (0, 1) for k in first] + [form for k in rest for form in forms[k]]

    def joined(self, values: list[Any]) -> Any:
        """One vector of one array per stack."""
        return self._xp.concatenate([self._xp.ravel(values[k]) for k in self.order]) if values else self._xp.zeros(0)

    def split(self, joined: Any) -> list[Any]:
        """The inverse of `joined`."""
        if not self.order:
            return []
        found = dict(zip(self.order, self._xp.split(joined, self._ends[:-1]), strict=True))
        return [found[k].reshape(shape) for k, shape in enumerate(self.shapes)]

    def products(self, values: Any) -> Any:
        """The products of the forms' rows (`ordered`), joined."""
        ends = np.cumsum([self.rows, self.rows, *(n for shape in self.matrices for n in shape)])[:-1]
        f, g, *others = self._xp.split(values, ends)
        found = [self._dot(f, g)] if self.rows or not others else []
        found += [(f @ g.T).ravel() for f, g in zip(others[::2], others[1::2], strict=True)]
        return self._xp.concatenate(found) if len(found) > 1 else found[0]

    def back(self, values: Array, weights: Array) -> Array:
        """The derivative by the forms' rows of the sum of weighted products; NumPy's."""
        m, at, start = self.rows, 2 * self.rows, self.rows
        out, w = np.empty_like(values), weights[:m, None]
        np.multiply(w, values[m:at], out=out[:m])
        np.multiply(w, values[:m], out=out[m:at])
        for p, q in self.matrices:
            f, g = values[at : at + p], values[at + p : at + p + q]
            w = weights[start : start + p * q].reshape(p, q)
            out[at : at + p], out[at + p : at + p + q] = w @ g, w.T @ f
            at, start = at + p + q, start + p * q
        return out
