"""From an activation pattern to a point of the box: linear programs, or regularised least squares.

Rows of A have norm 1, so margins and violations are distances in the unit box.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arithmetic.float64 import Array
from ..deepest import ENTRIES
from ..effort import Effort, program_seconds
from .cells import Cells

MARGIN = 0.01  # how far inside its region a point is asked to be
SLIM = 1e-3  # the same for a neuron that is being switched
# Least squares: margins that are asked of every neuron at once, and what is added to the squared singular values of A,
# which are about 1; seconds for each cube of the smaller side of A.
MARGINS, ADDED, EIGEN = np.array([1e-5, 1e-4, 1e-3, 1e-2, 1e-1]), (1e-13, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2), 4e-10


def elastic(
    cells: Cells, pattern: Array, xi: Array | None, *, softness: float, effort: Effort
) -> Array | None:
    """A point (n,) that realises `pattern` (m,) as far as is worth it; None if no answer in time, or for what is left.

    Minimises the weighted violations, a neuron's weight being what its switch would cost. From a point
    xi the weights are also divided by (violation at xi + softness), the reweighting that makes a sum of
    violations behave like their number: neurons that are right at xi stay right, those that are wrong
    come over or are given up. Only rows near xi enter at first; those then violated are added.
    """
    m, n = cells.A.shape
    sign = 2.0 * pattern - 1.0
    weight = np.maximum(-cells.flip_gain(pattern), 1e-3 * float(cells.value(pattern)) / m) / cells.unit
    if xi is None:
        rows, margin = np.arange(m), np.full(m, MARGIN)
    else:
        z = sign * cells.preactivations(xi)
        weight = weight / (np.maximum(-z, 0.0) + softness)
        # What xi satisfies is asked for no more strictly than xi does: standing still costs nothing.
        margin = np.where(z > 0, np.clip(z, 1e-5, MARGIN), SLIM)
        nearest = np.argsort(np.abs(z), kind="stable")[: max(100, m // 4)]
        rows = np.union1d(nearest, np.flatnonzero(z <= 0))
    from scipy.optimize import linprog  # the slowest import: only for those who solve one

    for _ in range(3):
        if len(rows) * n > ENTRIES or not effort.affords(program_seconds(len(rows), n + len(rows))):
            return None
        lhs = np.hstack([-sign[rows, None] * cells.A[rows], -np.eye(len(rows))])
        effort.spend_program(len(rows), n + len(rows))
        found = linprog(
            np.concatenate([np.zeros(n), weight[rows]]),
            A_ub=lhs,
            b_ub=sign[rows] * cells.b[rows] - margin[rows],
            bounds=np.array([(-1.0, 1.0)] * n + [(0.0, np.inf)] * len(rows)),
            method="highs",
            options={"time_limit": max(effort.left(), 0.1)},
        )
        if found.status != 0:
            return None
        xi = np.clip(found.x[:n], -1.0, 1.0)
        missed = np.flatnonzero(sign * cells.preactivations(xi) < 0.5 * margin)
        if np.isin(missed, rows).all():
            return xi
        rows = np.union1d(rows, missed)
    return xi


def least_squares(cells: Cells, effort: Effort) -> Callable[[Array], Array | None]:
    """A function pattern (m,) -> xi (n,) in the box whose own pattern is worth most of those that regularised least
    squares A xi + b = +-s give; None where they are beyond the effort.

    Where A's rows are about independent they realise every pattern globally, and locally those that fit the box.
    """
    m, n = cells.A.shape
    is_wide, seconds = m <= n, EIGEN * min(m, n) ** 3
    if not min(m, n) or not effort.affords(seconds):
        return lambda pattern: None
    effort.spend_seconds(seconds)
    try:
        squares, axes = np.linalg.eigh(cells.A @ cells.A.T if is_wide else cells.A.T @ cells.A)
    except np.linalg.LinAlgError:
        return lambda pattern: None

    def point(pattern: Array) -> Array | None:
        wanted = np.outer(MARGINS, 2.0 * pattern - 1.0) - cells.b
        known = (wanted if is_wide else wanted @ cells.A) @ axes
        ways = np.concatenate([known / (np.maximum(squares, 0.0) + added) for added in ADDED]) @ axes.T
        found = np.clip(ways @ cells.A if is_wide else ways, -1.0, 1.0)
        effort.spend(len(found))
        return found[np.argmax(cells.value(cells.pattern(found)))]

    return point
