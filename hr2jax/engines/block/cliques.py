"""Batches of equal cliques: their moment and localizing blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ...arithmetic.float64 import Array
from ...relaxation.lasserre import Monomial

Polynomial = dict[Monomial, Array | float]


@dataclass(frozen=True)
class CliqueBlock:
    """n equal-shaped matrices, entry [a, b] = sum_k coefficient[:, a, b, k] w[:, index[a, b, k]] of the moments w.

    Attributes:
        name: such as "M_2({u_i,t_i})".
        index: (d, d, k) int64 into the clique's moments (0 is the constant 1).
        coefficient: (n, d, d, k) or (1, d, d, k) float64.
    """

    name: str
    index: Array
    coefficient: Array


@dataclass(frozen=True)
class CliqueBatch:
    """n cliques of one shape: their moments w = (1, shared, own) and the blocks that must be PSD.

    Attributes:
        name: the clique in the paper's symbols.
        monomials: the moments' monomials in the clique's variables (their positions); monomials[0] is 1.
        shared: (n, k, 2) int64: moment 1 + j of clique i is entry shared[i, j] of the extended moment
            matrix over (1, v, t, xi, z).
        blocks: the batches of matrices.
    """

    name: str
    monomials: tuple[Monomial, ...]
    shared: Array
    blocks: tuple[CliqueBlock, ...]

    @property
    def count(self) -> int:
        """n, the number of cliques."""
        return self.shared.shape[0]

    @property
    def own(self) -> int:
        """Number of moments per clique that are not entries of M_1."""
        return len(self.monomials) - 1 - self.shared.shape[1]

    def dense(self) -> Array:
        """(n, D, 1 + k + m): the linear map from the moments to all the blocks' entries, stacked block by block."""
        stacked = []
        for block in self.blocks:
            d = block.index.shape[0]
            out = np.zeros((self.count, d, d, len(self.monomials)))
            rows, columns = np.mgrid[:d, :d]
            for term in range(block.index.shape[2]):
                out[:, rows, columns, block.index[:, :, term]] += block.coefficient[..., term]
            stacked.append(out.reshape(self.count, d * d, -1))
        return np.concatenate(stacked, axis=1)


class Clique:
    """Builds a batch: variables given by their positions in the extended basis, one row per clique."""

    def __init__(self, name: str, variables: Sequence[Array], signs: Sequence[bool]):
        self.name = name
        self.variables = [np.asarray(v, dtype=np.int64) for v in variables]
        self.signs = list(signs)
        self.tables: list[tuple[str, list[list[Polynomial]]]] = []

    def _reduce(self, monomial: Monomial) -> Monomial:
        """Substitute s^2 = 1 for the variables that are signs."""
        out: list[int] = []
        for variable in sorted(set(monomial)):
            power = monomial.count(variable)
            out += [variable] * (power % 2 if self.signs[variable] else power)
        return tuple(out)

    def basis(self, degree: int, among: Sequence[int] | None = None) -> list[Monomial]:
        """Distinct reduced monomials up to a degree, in the given variables."""
        among = range(len(self.variables)) if among is None else among
        every = [m for k in range(degree + 1) for m in combinations_with_replacement(among, k)]
        return list(dict.fromkeys(self._reduce(m) for m in every))

    def add(self, name: str, basis: list[Monomial], factor: Polynomial | None = None) -> None:
        """The moment matrix of `basis` (factor 1), or the localizing matrix of the polynomial `factor` >= 0."""
        factor = {(): 1.0} if factor is None else factor
        table = [[self._product(a, b, factor) for b in basis] for a in basis]
        self.tables.append((name, table))

    def _product(self, a: Monomial, b: Monomial, factor: Polynomial) -> Polynomial:
        return {self._reduce(a + b + m): value for m, value in factor.items()}

    def build(self) -> CliqueBatch:
        """The batch; its moments are those that some block uses, the ones of M_1 first."""
        used = {m for _, table in self.tables for row in table for entry in row for m in entry} | {()}
        names = tuple(sorted(used, key=lambda m: (len(m), m)))
        position = {m: k for k, m in enumerate(names)}
        count = len(self.variables[0])
        blocks = []
        for name, table in self.tables:
            d, terms = len(table), len(table[0][0])
            index = np.zeros((d, d, terms), dtype=np.int64)
            coefficient = np.zeros((count, d, d, terms))
            for a, row in enumerate(table):
                for b, entry in enumerate(row):
                    for k, (monomial, value) in enumerate(entry.items()):
                        index[a, b, k] = position[monomial]
                        coefficient[:, a, b, k] = value
            blocks.append(CliqueBlock(name, index, coefficient))
        low_degree = [m for m in names[1:] if len(m) <= 2]
        shared = np.zeros((count, len(low_degree), 2), dtype=np.int64)
        for j, monomial in enumerate(low_degree):
            for side, variable in enumerate(monomial):
                shared[:, j, side] = self.variables[variable]
        return CliqueBatch(self.name, names, shared, tuple(blocks))
