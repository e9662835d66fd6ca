"""The point of a cell that is farthest from its walls."""

from __future__ import annotations

import numpy as np

from ..arithmetic.float64 import Array

ENTRIES = 1_500_000  # the largest dense linear program worth starting


def deepest(
    A: Array, b: Array, sign: Array, *, reach: float = 1.0, seconds: float = 60.0
) -> tuple[float, Array] | None:
    """The largest s <= 1 with  sign_k (A_k y + b_k reach) >= s  for some |y_j| <= reach, and y / reach.

    Args:
        A, b: (k, n) with rows of norm 1, and (k,).
        sign: (k,) +-1.
        reach: the unit of length is 1/reach of the box, so that small regions of a wide box are seen.
        seconds: time limit; None comes back when it or the solver fails.
    """
    k, n = A.shape
    if k * n > ENTRIES:
        return None
    from scipy.optimize import linprog  # the slowest import: only for those who solve one

    found = linprog(
        np.concatenate([np.zeros(n), [-1.0]]),
        A_ub=np.hstack([-sign[:, None] * A, np.ones((k, 1))]),
        b_ub=sign * b * reach,
        bounds=np.array([(-reach, reach)] * n + [(-np.inf, 1.0)]),
        method="highs",
        options={"time_limit": max(seconds, 0.1)},
    )
    if found.status != 0:
        return None
    return float(found.x[n]), np.clip(found.x[:n] / reach, -1.0, 1.0)
