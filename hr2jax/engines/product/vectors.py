"""LipSDP's moments as vectors that meet its equations: q = (y + |y| d) / 2, d any unit vector.

In a factor V of the moment matrix E[q (y - q)] >= 0 says that q lies in the ball of which 0 and y are opposite points,
and only the ball's surface counts. So the vectors of one layer follow from those before it and from unit vectors d, one
a neuron: no constraint is left, and every value is attained by moments. Of the multipliers, one a neuron, stationarity
says what they are: with g the value's derivative by q, lambda (y - 2 q) + g = 0, hence d = g / |g|, lambda = |g| / |y|.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from ...relaxation.basis import BEFORE_MASK, Group, Lifting
from ...relaxation.forms import family_name

# Matrices of more entries than this are kept as sparse where no larger share of them is not 0.
LARGE, SPARSE = 4096, 0.1
# The square of what counts as 0 where it is divided by.
NOTHING = 1e-200

Vectors = dict[Group, Array]  # by group, (entries, r)


class Tangents:
    """LipSDP's lifting as a function of N vectors, whose lengths do not count: directions of t, q, s and the constant.

    Attributes:
        order: the groups q, in the order of the layers.
        entries: how many numbers the layers' matrices have, zeros left out where they are kept as sparse.
    """

    def __init__(self, lifting: Lifting):
        self.lifting = lifting
        self.order = sorted((group for group in lifting.sizes if group.kind == "q"), key=lambda group: group.layer)
        self.free = [group for group in lifting.sizes if group.kind != "q"]
        # what layers take, and its transpose
        self._maps = {
            group: [
                (other, _packed(terms.mid), _packed(terms.mid.T))
                for other, terms in lifting.derived[Group(BEFORE_MASK["q"], group.layer)].items()
            ]
            for group in self.order
        }
        matrices = [matrix for maps in self._maps.values() for _, matrix, _ in maps]
        self.entries = sum(matrix.nnz if sp.issparse(matrix) else matrix.size for matrix in matrices)
        self._objective = [(pair, block.mid) for pair, block in lifting.objective.items()]
        self._budget = lifting.budget

    def unit(self, P: Array) -> tuple[Array, Array]:
        """The rows of P (N, r) normalised, those that share a bound together; their lengths (N, 1)."""
        squares = np.bincount(self._budget, np.einsum("ij,ij->i", P, P))[self._budget]
        length = np.sqrt(np.maximum(squares, NOTHING))[:, None]
        return P / length, length

    def rows(self, U: Array) -> tuple[Vectors, dict[Group, tuple[Array, Array]]]:
        """V by group from unit vectors, and (y, |y|) of each q."""
        V = {group: U[self.lifting.slice(group)] for group in self.free}
        before = {}
        for group in self.order:
            y = sum(matrix @ V[other] for other, matrix, _ in self._maps[group])
            length = np.sqrt(np.einsum("ij,ij->i", y, y) + NOTHING)[:, None]
            before[group] = y, length
            V[group] = 0.5 * (y + length * U[self.lifting.slice(group)])
        return V, before

    def value(self, V: Vectors) -> tuple[float, Vectors]:
        """The objective, and its derivative by the vectors of each group."""
        total, back = 0.0, {group: np.zeros_like(rows) for group, rows in V.items()}
        for (g, h), block in self._objective:
            along = block @ V[h]
            total += float(np.vdot(V[g], along))
            back[g] += along
            back[h] += block.T @ V[g]
        return total, back

    def value_and_gradient(self, P: Array) -> tuple[float, Array]:
        """The objective, to be made large, and its derivative by P (N, r)."""
        U, length = self.unit(P)
        V, before = self.rows(U)
        total, back = self.value(V)
        out = np.empty_like(U)
        for group in reversed(self.order):
            where, (y, size), g = self.lifting.slice(group), before[group], back[group]
            out[where] = 0.5 * size * g
            along = np.einsum("ij,ij->i", U[where], g)[:, None]
            self._send(back, group, 0.5 * (g + along / size * y))
        for group in self.free:
            out[self.lifting.slice(group)] = back[group]
        along = np.bincount(self._budget, np.einsum("ij,ij->i", U, out))[self._budget]
        return total, (out - along[:, None] * U) / length

    def multipliers(self, P: Array) -> tuple[float, dict[str, Array], Array]:
        """The objective, the multipliers by family, and V (N, r)."""
        V, before = self.rows(self.unit(P)[0])
        total, back = self.value(V)
        found = {}
        for group in reversed(self.order):
            chosen = np.linalg.norm(back[group], axis=1) / before[group][1][:, 0]
            found[family_name("q.(y-q)", group.layer)] = chosen
            self._send(back, group, chosen[:, None] * V[group])
        return total, found, np.concatenate([V[group] for group in self.lifting.sizes])

    def _send(self, back: Vectors, group: Group, of_y: Array) -> None:
        """Add what follows from a derivative by a layer's y."""
        for other, _, transposed in self._maps[group]:
            back[other] += transposed @ of_y


def _packed(matrix: Array) -> Any:
    """The matrix, sparse where that is quicker."""
    is_sparse = matrix.size > LARGE and np.count_nonzero(matrix) < SPARSE * matrix.size
    return sp.csr_matrix(matrix) if is_sparse else matrix
