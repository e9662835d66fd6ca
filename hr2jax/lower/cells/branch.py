"""Small networks: branch and bound over the cells of the neurons' hyperplanes finds the best one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arithmetic.float64 import Array
from ..deepest import deepest
from ..effort import Effort
from .cells import Cells

TOLERANCE = 1e-7  # a cell thinner than this is taken for empty (the solver's own tolerance)
PROGRAMS = 5000


def branch(cells: Cells, effort: Effort, offer: Callable[[Array], float]) -> bool:
    """Visit every cell that could beat the best one; whether all were visited before all was spent.

    Args:
        cells: the problem.
        effort: what may be spent.
        offer: called with points xi (n,) worth proving; returns the best value proved so far.
    """
    order = np.argsort(-np.abs(cells.B).sum(axis=1), kind="stable")
    A, b, B = cells.A[order], cells.b[order], cells.B[order]
    m = len(b)
    reach = float(np.clip(1.0 / max(float(np.abs(b).max(initial=0.0)), 1e-9), 1.0, 1e4))
    # What the neurons not yet decided can still add to and take from each gradient entry.
    rise = np.vstack([np.cumsum(np.maximum(B, 0.0)[::-1], axis=0)[::-1], np.zeros(B.shape[1])])
    fall = np.vstack([np.cumsum(np.minimum(B, 0.0)[::-1], axis=0)[::-1], np.zeros(B.shape[1])])
    best, programs = offer(np.zeros(A.shape[1])), 0
    stack = [(0, np.zeros(0), cells.g0, np.zeros(A.shape[1]))]
    while stack:
        k, sign, g, xi = stack.pop()
        bound = np.maximum(np.abs(g + rise[k]), np.abs(g + fall[k])).sum()
        if bound <= best * (1 + 1e-12):
            continue
        if k == m:
            best = offer(xi)
            continue
        z = float(A[k] @ xi + b[k]) * reach
        children = []
        for side in (-1.0, 1.0):
            signs, point = np.append(sign, side), xi
            if side * z <= TOLERANCE:
                if effort.is_over() or programs >= PROGRAMS:
                    return False
                programs += 1
                effort.spend_program(k + 1, A.shape[1])
                found = deepest(A[: k + 1], b[: k + 1], signs, reach=reach, seconds=effort.left())
                if found is None or found[0] <= TOLERANCE:
                    continue
                point = found[1]
            children.append((k + 1, signs, g + B[k] if side > 0 else g, point))
        children.sort(key=lambda child: float(np.abs(child[2]).sum()))  # the larger gradient is popped first
        stack += children
    return True
