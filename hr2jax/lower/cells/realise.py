"""From an activation pattern to a point of the box: linear programs, or one least-squares solve.

Rows of A have norm 1, so margins and violations are distances in the unit box.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from ...arithmetic.float64 import Array
from ..deepest import ENTRIES
from ..effort import Effort
from .cells import Cells

MARGIN = 0.01  # how far inside its region a point is asked to be
SLIM = 1e-3  # the same for a neuron that is being switched


def elastic(
    cells: Cells, pattern: Array, xi: Array | None, *, softness: float, effort: Effort
) -> Array | None:
    """A point (n,) that realises `pattern` (m,) as far as is worth it; None if no answer in time.

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
        if len(rows) * n > ENTRIES:
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


def direct(cells: Cells) -> Callable[[Array], Array | None]:
    """A function pattern (m,) -> xi (n,) or None that solves A xi + b = +-s for the least-norm xi.

    It realises every pattern globally when A's rows are independent, and those that fit the box locally.
    """
    m, n = cells.A.shape
    factor = None
    if m <= n:
        gram = cells.A @ cells.A.T
        try:
            factor = scipy.linalg.cho_factor(gram + 1e-13 * np.eye(m))
        except (np.linalg.LinAlgError, ValueError):
            factor = None

    def point(pattern: Array) -> Array | None:
        if factor is None:
            return None
        sign = 2.0 * pattern - 1.0
        for margin in (0.01, 1e-3, 1e-4, 1e-5):
            xi = cells.A.T @ scipy.linalg.cho_solve(factor, sign * margin - cells.b)
            if (np.abs(xi) <= 1.0).all() and (sign * cells.preactivations(xi) > 0).all():
                return xi
        return None

    return point
