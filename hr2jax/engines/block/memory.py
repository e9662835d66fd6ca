"""What the engines of the block form need of memory: `admm`, and interior points of its conic dual.

The constants say how many float64 arrays of a shape are alive at once, as measured (tests/engines/test_memory.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ...relaxation.lasserre import lasserre_size
from ...relaxation.table import Relaxation
from ..sizes import Need, Sizes, smallest_lifting

ITERATES = 14.0  # (N, N): ADMM's iterates, the eigendecomposition
WOODBURY = 4.0  # (m, m), m shared functionals
GATHERED = 5.0  # (m, N): rows of the extended basis
SPARSE = 100.0 / 8  # entries of the conic constraints, a few copies while they are assembled
CLARABEL = 20.0 / 8  # squares of the cones' svec lengths: a dense block and its factor
CLARABEL_BESIDE = 80.0 / 8  # the largest svec length times the variables
MOMENTS_ADMM, MOMENTS = 5.0, 3.0  # lasserre2's matrix entries times moments; the same, interior point
MAX_PATTERN = 4_000_000  # entries of M_1's pattern up to which Clarabel's chordal decomposition is foreseen


class BlockSizes(NamedTuple):
    """Sizes of a block form and of its conic dual.

    Attributes:
        shared: functionals that cliques share with M_1.
        maps: float64 numbers of the cliques' maps.
        variables: of the conic dual.
        squares: summed squares of the blocks' sides, M_1's included.
        entries: nonzeros of the conic dual's constraints.
        svec_squares: summed squares of the svec lengths of the cliques' blocks.
    """

    shared: float
    maps: float
    variables: float
    squares: float
    entries: float
    svec_squares: float


@dataclass(frozen=True)
class CliqueSizes:
    """The same of one clique.

    Attributes:
        kind: what there is one such clique for, as `Sizes.count` takes it.
        with_z: for each shared functional, how many of its two sides are z, which is linear in all of xi.
        maps, variables, squares, svec_squares: `BlockSizes`' numbers.
        own_entries: nonzeros of the constraints that do not reach M_1.
    """

    kind: str
    with_z: tuple[int, ...]
    maps: float
    variables: float
    squares: float
    own_entries: float
    svec_squares: float


def bytes_needed(record: Relaxation, method: str, sizes: Sizes) -> Need:
    """Bytes of `admm` or of an interior-point solver (on the host), beside those of every solve."""
    if record.matrices:
        entries, moments = lasserre_size(sizes.n, sizes.q, sizes.local)
        return Need(8.0 * (MOMENTS_ADMM if method == "admm" else MOMENTS) * entries * moments, 0.0)
    block = block_sizes(record, sizes)
    if method == "admm":
        N = float(sizes.N)
        engine = 8.0 * (ITERATES * N**2 + GATHERED * block.shared * N + block.maps)
        return Need(8.0 * WOODBURY * block.shared**2, engine)
    fronts = _fronts(record, sizes) if method == "clarabel" else []
    return Need(interior_point_bytes(method, block, fronts), 0.0)


def interior_point_bytes(solver: str, block: BlockSizes, fronts: list[int]) -> float:
    """Bytes that building the conic dual and solving it take; `fronts`: `front_sides` of M_1, for Clarabel."""
    built = 8.0 * SPARSE * block.entries
    if solver == "clarabel":  # as measured: a dense block over the svec of every matrix, its factor, what is beside
        largest = max(fronts) * (max(fronts) + 1) / 2.0
        cones = block.svec_squares + sum((side * (side + 1) / 2.0) ** 2 for side in fronts)
        beside = CLARABEL_BESIDE * largest * block.variables + 2.0 * block.variables**2
        return built + 8.0 * (CLARABEL * cones + beside)
    if solver == "cvxopt":  # the constraint matrix, dense, and two matrices over the variables
        return built + 8.0 * block.variables * block.squares + 16.0 * block.variables**2
    return 3.0 * built + 16.0 * block.variables**2  # SDPA's binding passes Python lists


def block_sizes(record: Relaxation, sizes: Sizes) -> BlockSizes:
    """Sizes of the block form, counted without building it."""
    cliques = [(sizes.count(clique.kind), clique) for clique in clique_sizes(record, sizes.local)]

    def total(name: str) -> float:
        return float(sum(count * getattr(clique, name) for count, clique in cliques))

    # an entry of the extended moment matrix is one number, or 1 + q for each side of it that is z
    reached = sum(count * sum((1.0 + sizes.q) ** k for k in clique.with_z) for count, clique in cliques)
    return BlockSizes(
        shared=float(sum(count * len(clique.with_z) for count, clique in cliques)),
        maps=total("maps"),
        variables=total("variables") + 1 + sizes.n,
        squares=total("squares") + float(sizes.N) ** 2,
        entries=total("own_entries") + reached,
        svec_squares=total("svec_squares"),
    )


@lru_cache
def clique_sizes(record: Relaxation, local: bool) -> tuple[CliqueSizes, ...]:
    """Of the smallest problem, which has one clique of each kind."""
    from .conic_dual import DualBatch
    from .form import block_form

    lifting = smallest_lifting(local)
    kinds = [group.kind for group in lifting.extended.lengths]
    out = []
    for batch in block_form(record.name, lifting).batches:
        dual, sides = DualBatch.of(batch), [float(block.index.shape[0]) for block in batch.blocks]
        of = {kinds[k] for k in batch.shared.ravel().tolist()}
        squares = sum(side**2 for side in sides)
        out.append(
            CliqueSizes(
                kind="pair" if {"v", "t"} <= of and "xi" not in of else "v" if "v" in of else "t",
                with_z=tuple((kinds[a] == "z") + (kinds[b] == "z") for a, b in batch.shared[0].tolist()),
                maps=squares * (3.0 * len(batch.monomials) + 10.0),
                variables=float(dual.count),
                squares=squares,
                own_entries=float(np.count_nonzero(dual.variables)),
                svec_squares=sum((side * (side + 1) / 2) ** 2 for side in sides),
            )
        )
    return tuple(out)


def _fronts(record: Relaxation, sizes: Sizes) -> list[int]:
    """`front_sides` of M_1; where its pattern is large, M_1 as one."""
    widest = max(sizes.n, sizes.q if "u,z" in _cliques(record, sizes.local) else 0)
    return front_sides(moment_pattern(record, sizes)) if sizes.N * widest <= MAX_PATTERN else [sizes.N]


def _cliques(record: Relaxation, local: bool) -> tuple[str, ...]:
    return record.cliques[local] if record.cliques else ()


def moment_pattern(record: Relaxation, sizes: Sizes) -> Any:
    """Which entries of M_1 (N, N) the objective and the cliques touch, sparse bool."""
    import scipy.sparse as sp

    n, q, cliques = sizes.n, sizes.q, _cliques(record, sizes.local)

    def dense(rows: int, columns: int, there: bool = True) -> Any:
        return np.ones((rows, columns), dtype=bool) if there else sp.csr_matrix((rows, columns), dtype=bool)

    def diagonal(size: int, there: bool = True) -> Any:
        return sp.eye(size, dtype=bool) if there else sp.csr_matrix((size, size), dtype=bool)

    one_v = dense(1, n, sizes.local or "u,t" in cliques)
    rows = [
        [dense(1, 1), one_v, dense(1, q)],
        [one_v.T, diagonal(n), dense(n, q)],
        [dense(q, 1), dense(q, n), diagonal(q)],
    ]
    if sizes.local:
        one_x, t_x = dense(1, q, "x" in cliques or "x,t" in cliques), diagonal(q, "x,t" in cliques)
        for row, entry in zip(rows, (one_x, dense(n, q), t_x), strict=True):
            row.append(entry)
        rows.append([one_x.T, dense(q, n), t_x, dense(q, q) if "u,z" in cliques else diagonal(q)])
    return sp.csr_matrix(sp.bmat(rows))


def front_sides(pattern: Any) -> list[int]:
    """Sides of the dense matrices that Clarabel's chordal decomposition leaves of one with this pattern, roughly.

    Rows that most others touch are in every one of them; the rest are ordered along a band, and
    neighbouring cliques of the band are merged where that saves work, as Clarabel does.
    """
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    full = np.diff(pattern.indptr) > pattern.shape[0] / 2
    rest = np.flatnonzero(~full)
    common = len(full) - len(rest)
    if len(rest) == 0:
        return [common]
    inner = pattern[rest][:, rest]
    order = reverse_cuthill_mckee(inner, symmetric_mode=True)
    inner = inner[order][:, order].tocoo()
    last = np.arange(len(rest))
    np.maximum.at(last, inner.row, inner.col)
    last = np.maximum.accumulate(last)
    merged = [(0, int(last[0]))]
    for first, reach in enumerate(last[1:].tolist(), start=1):
        start, end = merged[-1]
        before, this, both = (common + 1 + length for length in (end - start, reach - first, reach - start))
        if both**3 <= before**3 + this**3:
            merged[-1] = (start, reach)
        elif reach > end:
            merged.append((first, reach))
    return [common + 1 + end - start for start, end in merged]
