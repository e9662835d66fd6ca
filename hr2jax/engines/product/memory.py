"""What the engines of the product form need of memory, and how many multipliers `newton` takes.

The constants say how many float64 arrays of a shape are alive at once, as measured (tests/engines/test_memory.py).
"""

from __future__ import annotations

from ...problem import Problem
from ...relaxation.basis import ONE
from ...relaxation.families import preset
from ...relaxation.presolve import Presolve
from ...relaxation.table import RELAXATIONS, Relaxation
from ..sizes import Need, Sizes, smallest_lifting
from .arrays import padded
from .schedule import columns_for

# Newton's matrix has a row for each multiplier and each number of the diagonal: at most so many (1.2 GB).
MOST = 12000
# Below this many it is the faster one where there are several layers (bench/depth.py --engines).
FEW = 1500
# The same of what is there before cutting planes, of which so many may come.
FEW_WITH_CUTS, MOST_CUTS = 250, 2500
# The same of the liftings with x of the last layers, whose cuts change more (abalone 9-16-16-1, 599 of them: 1.0085 of
# the constant after 1 s of one processor, 1.0060 after 12 s, where the low-rank engine has 1.0086 after 28 s).
FEW_WITH_LAST = 800
# The same of LipSDP's lifting, which it alone adds cuts to (GLipSDP's FC-R18 has 2971; a step takes some seconds).
FEW_WITH_SQUARES = 4000
# Cuts of the tensored lifting, each a sum of as many products as s has entries.
MOST_COPIED_CUTS = 1200

FACTORS = 30.0  # (N, rank + 1): L-BFGS and the products' gradients
GRAM = 12.0  # (N, N): Y, what is scattered to its cuts, the separation's copies
ALL_PAIRS = 8.0  # the multipliers' shape, per family of all pairs
SCHUR = 3.0  # (N + m)^2, m multipliers: Newton's matrix and what it is made of


def bytes_needed(record: Relaxation, method: str, sizes: Sizes) -> Need:
    """Bytes of `newton` (on the host) or `lowrank`, beside those of every solve."""
    if method == "newton":
        return Need(newton_needs(sizes, record.cuts), 0.0)
    return Need(0.0, _lowrank(record, sizes))


def newton_bytes(N: int, rows: float, extended: float) -> float:
    """Bytes of `newton`: for a basis of N, multipliers row by row, and entries of the extended basis."""
    return 8.0 * (SCHUR * (rows + N) ** 2 + 4.0 * rows * extended + 15.0 * extended**2)


def newton_rows(sizes: Sizes) -> float:
    """Multipliers row by row, about: there are some 10 products for each masked variable."""
    return 10.0 * sizes.masked + 4.0 * sizes.pairs + 9.0 * (sizes.n + sizes.local * sizes.q)


def newton_needs(sizes: Sizes, cuts: bool = False) -> float:
    """`newton_bytes` from the sizes; it also ends what `lowrank` begins at several layers."""
    rows = newton_rows(sizes) + (MOST_CUTS if cuts else 0)
    return newton_bytes(sizes.N, rows, float(sizes.N) + sizes.derived)


def copied_rows(problem: Problem, fixed: Presolve) -> int:
    """Equalities between copies of the tensored lifting (relaxation/copies.py), about."""
    K, values = len(problem.coefficients), fixed.has_values(problem)
    x = sum(len(fixed.members(l)) for l in (*fixed.of_values, *fixed.of_curves)) if values else 0
    even = 1 + fixed.switching + values * len(fixed.free) + x
    pairs = even if fixed.tied else even * (even - 1) // 2
    return K * (K - 1) // 2 * pairs + (problem.output_norm == 1) * (K - 1) * (pairs if fixed.tied else pairs + even)


def copied_bytes(problem: Problem, fixed: Presolve) -> float:
    """Bytes of `newton` on the tensored lifting, whose equalities are differences of two products."""
    K, moving = len(problem.coefficients), fixed.switching + len(fixed.free)
    products = 2.0 * copied_rows(problem, fixed) + 12.0 * K * K * moving + K * MOST_COPIED_CUTS
    return newton_bytes(2 * K * (1 + moving), products, 4.0 * K * (1 + moving))


def few(record: Relaxation, cuts: bool, has_last: bool = False) -> int:
    """Up to how many multipliers and numbers of the diagonal `newton` is taken."""
    if cuts and has_last:
        return FEW_WITH_LAST
    if cuts and record.lifting is not None:
        return FEW_WITH_SQUARES
    return FEW_WITH_CUTS if cuts else FEW


def is_few(record: Relaxation, sizes: Sizes, available: float) -> bool:
    """Whether `newton` is the faster one (`newton.affordable`), told from the sizes."""
    most, rows = few(record, record.cuts), newton_rows(sizes)
    return sizes.N + rows <= most and newton_bytes(sizes.N, rows, sizes.N + sizes.derived) <= 0.7 * available


def _lowrank(record: Relaxation, sizes: Sizes) -> float:
    size = 1.0 + padded(sizes.n) + (2 if sizes.local else 1) * padded(sizes.q) + padded(sizes.masked)
    columns = columns_for(sizes.N, cuts=record.cuts) + 1
    need = 8.0 * FACTORS * size * columns + 4 * 8.0 * sizes.n * sizes.q
    need += 8.0 * sizes.derived * (6.0 * size + 20.0 * columns)  # their coefficients; rows of their families
    if record.cuts:
        need += 8.0 * GRAM * (size + sizes.derived) ** 2
    # what has families of several layers only is about as large as hr2
    like = record if record.one_layer else RELAXATIONS["hr2"]
    for family in preset(like.name, smallest_lifting(sizes.local)):
        rows, others = (
            form.rows * max((sizes.count(t.group.kind) for t in form.terms if t.group != ONE), default=1)
            for form in (family.F, family.G)
        )
        if family.pairs == "all":
            need += 8.0 * ALL_PAIRS * rows * others
        else:  # two forms, their gradients and what is gathered for them
            need += 8.0 * 2.0 * max(rows, others) * columns
    return need
