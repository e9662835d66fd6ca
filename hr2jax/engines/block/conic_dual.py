"""The conic dual of the block form, as a semidefinite program in free variables.

The moment problem is  max <C, Y>  over Y >= 0 (N x N, Y_kk = 1 where pinned) and, per clique, moments of
its own, such that every block B_b(w) = sum_j w_j B_bj >= 0, where w = (1, shared, own) and the shared
moments are the entries (E Y E^T)[a_j, b_j] of the extended moment matrix. With multipliers d of the pinned
entries and Z_b >= 0 of the blocks, and q_j = sum_b <Z_b, B_bj> (the coefficients of the polynomial
sum_b <Z_b, B_b>), the Lagrangian is

    sum d + sum_cliques q_0 + <C - Diag(d) + sum_cliques sum_shared q_j sym(E_a^T E_b), Y> + sum_own q_j w_j,

so the dual is: minimise sum d + sum q_0 over d and Z_b >= 0 subject to q_own = 0 and

    S = Diag(d) - C - sum_cliques sum_shared q_j sym(E_a^T E_b) >= 0.

Every moment of a clique with a moment matrix is, by itself, an entry of that matrix, so q gives that entry
of Z in terms of the others: q_own = 0 leaves no equations, and the variables are d, the other q, and the
entries of Z that remain free. Only d and q reach the large S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from ...arithmetic.float64 import Array
from .cliques import CliqueBatch
from .conic import ConicProblem, svec_length, svec_position
from .form import BlockForm


@dataclass(frozen=True)
class DualBatch:
    """A batch's dual variables: e svec entries of its Z and M coefficients q, both linear in v numbers per clique.

    The numbers are the entries of Z that stay free, then the coefficients q that stand alone in a moment matrix.

    Attributes:
        sides: sides of a clique's blocks.
        variables: (n, e, v) float64, the entries of Z from the numbers, such that q_own = 0.
        polynomial: (n, M, v) float64, q from the numbers.
    """

    sides: tuple[int, ...]
    variables: Array
    polynomial: Array

    @property
    def count(self) -> int:
        """Numbers of the whole batch, n v."""
        return self.variables.shape[0] * self.variables.shape[2]

    @staticmethod
    def of(batch: CliqueBatch) -> DualBatch:
        """Eliminate; no loop over the batch's cliques."""
        full, start, pieces = batch.dense(), 0, []
        sides = tuple(block.index.shape[0] for block in batch.blocks)
        for side in sides:
            i, j = np.tril_indices(side)
            pieces.append(full[:, start + i * side + j] * np.where(i == j, 1.0, np.sqrt(2.0))[:, None])
            start += side**2
        entries = np.concatenate(pieces, axis=1)  # (n, e, M): q = entries^T z
        n, e, M = entries.shape
        first_own = M - batch.own
        used = entries != 0
        alone = used.any(axis=0).sum(axis=1) == 1  # entries of a moment matrix: one moment each
        pivots = {}
        for moment in range(M):
            candidates = np.flatnonzero(alone & used[:, :, moment].all(axis=0))
            if len(candidates) or moment >= first_own:
                pivots[moment] = int(candidates[0])
        free = np.setdiff1d(np.arange(e), list(pivots.values()))
        kept = [moment for moment in pivots if moment < first_own]
        variables = np.zeros((n, e, len(free) + len(kept)))
        variables[:, free, np.arange(len(free))] = 1.0
        for moment, pivot in pivots.items():
            variables[:, pivot, : len(free)] = -entries[:, free, moment] / entries[:, pivot, moment, None]
        for k, moment in enumerate(kept):
            variables[:, pivots[moment], len(free) + k] = 1.0 / entries[:, pivots[moment], moment]
        polynomial = np.matmul(entries.transpose(0, 2, 1), variables)
        polynomial[:, list(pivots)] = 0.0  # but for rounding
        polynomial[:, kept, len(free) + np.arange(len(kept))] = 1.0
        return DualBatch(sides, variables, polynomial)


def conic_dual(form: BlockForm, duals: Sequence[DualBatch], scale: float) -> ConicProblem:
    """The dual above in the variables (d of the pinned, the batches' numbers), with C / scale for C.

    Rows: the 1x1 blocks, then S, then the other blocks.
    """
    N = len(form.C)
    positions, sides, nonnegative = _rows(duals, N)
    pinned = np.flatnonzero(form.pinned)
    rows, columns = [nonnegative + svec_position(pinned, pinned)], [np.arange(len(pinned))]
    values, cost = [np.ones(len(pinned))], [np.ones(len(pinned))]
    E = sp.csr_matrix(form.extended())
    offset = len(pinned)
    for batch, dual, position in zip(form.batches, duals, positions, strict=True):
        n, _, v = dual.variables.shape
        column = offset + np.arange(n * v).reshape(n, v)
        offset += n * v
        cost.append(dual.polynomial[:, 0].ravel())
        i, e, k = np.nonzero(dual.variables)
        rows.append(position[i, e])
        columns.append(column[i, k])
        values.append(dual.variables[i, e, k])
        # S loses q_j sym(E_a^T E_b) for every shared moment j of every clique.
        shared = dual.polynomial[:, 1 : 1 + batch.shared.shape[1]]
        i, j, k = np.nonzero(shared)
        weight = sp.csr_matrix(
            (shared[i, j, k], (i * shared.shape[1] + j, column[i, k])), shape=(n * shared.shape[1], offset)
        )
        of_S = (_symmetric_products(E, batch.shared.reshape(-1, 2)) @ weight).tocoo()
        rows.append(nonnegative + of_S.row)
        columns.append(of_S.col)
        values.append(-of_S.data)
    i, j = np.tril_indices(N)
    h = np.zeros(nonnegative + int(svec_length(sides).sum()))
    h[nonnegative : nonnegative + svec_length(N)] = -form.C[i, j] * np.where(i == j, 1.0, np.sqrt(2.0)) / scale
    G = sp.csc_matrix(
        (-np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(len(h), offset)
    )
    G.sum_duplicates()
    return ConicProblem(np.concatenate(cost), G, h, nonnegative, sides)


def _rows(duals: Sequence[DualBatch], N: int) -> tuple[list[Array], Array, int]:
    """Per batch the rows (n, e) of its svec entries; the sides of all matrices in row order; how many are 1x1."""
    positions = [np.zeros(dual.variables.shape[:2], dtype=np.int64) for dual in duals]
    nonnegative = sum(len(dual.variables) * dual.sides.count(1) for dual in duals)
    small, large, sides = 0, nonnegative + svec_length(N), [N]
    for position, dual in zip(positions, duals, strict=True):
        start = 0
        for side in dual.sides:
            length = svec_length(side)
            rows = np.arange(len(position) * length).reshape(-1, length)
            if side == 1:
                position[:, start : start + length] = small + rows
                small += rows.size
            else:
                position[:, start : start + length] = large + rows
                large += rows.size
                sides += [side] * len(position)
            start += length
    return positions, np.array(sides), nonnegative


def _symmetric_products(E: sp.csr_matrix, pairs: Array) -> sp.csc_matrix:
    """(N (N+1) / 2, K): column k is the svec of sym(E_a^T E_b), (a, b) = pairs[k]."""
    a, b = pairs.T
    count_b = np.diff(E.indptr)[b].astype(np.int64)
    count = np.diff(E.indptr)[a] * count_b
    k = np.repeat(np.arange(len(pairs)), count)
    within = np.arange(len(k)) - np.repeat(np.cumsum(count) - count, count)
    at_a, at_b = E.indptr[a][k] + within // count_b[k], E.indptr[b][k] + within % count_b[k]
    i, j = E.indices[at_a].astype(np.int64), E.indices[at_b].astype(np.int64)
    value = E.data[at_a] * E.data[at_b] * np.where(i == j, 1.0, np.sqrt(0.5))
    return sp.csc_matrix((value, (svec_position(i, j), k)), shape=(svec_length(E.shape[1]), len(pairs)))
