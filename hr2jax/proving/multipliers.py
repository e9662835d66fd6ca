"""Multipliers of a case's inequalities: those for which the points that came close to it are farthest from it.

min over x of lambda . s(x) is a concave function of lambda, of which each point x gives a linear upper bound: the
largest of what these leave is a linear program (Kelley's method).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog

from ..arithmetic.float64 import Array


def multipliers(values: Array) -> tuple[Array, float]:
    """(r,) float64 multipliers, at least 0 and 1 in all, and an upper bound of what any of them proves.

    Args:
        values: (n, r) the inequalities' values s_i at n points; those beyond float64 say nothing.
    """
    values = values[np.isfinite(values).all(axis=1)]
    n, r = values.shape
    if r <= 1:
        return np.ones(r), float(values.min(initial=np.inf))
    if not n:
        return np.full(r, 1.0 / r), np.inf
    size = np.maximum(np.abs(values).max(axis=0), 1e-300)  # of each inequality, so that the program is well scaled
    scaled = values / size
    # max t: t <= sum_i mu_i scaled_i at each point, mu in the simplex
    A = np.concatenate([-scaled, np.ones((n, 1))], axis=1)
    found = linprog(
        np.append(np.zeros(r), -1.0), A, np.zeros(n), np.append(np.ones(r), 0.0)[None], [1.0],
        bounds=np.array([(0.0, np.inf)] * r + [(-np.inf, np.inf)]),
    )  # fmt: skip
    if found.x is None or not np.isfinite(found.x).all():
        return np.full(r, 1.0 / r), np.inf
    mu = np.maximum(found.x[:r], 0.0)
    mu[mu < 1e-9 * mu.max()] = 0.0
    weights = mu / size
    return weights / weights.max(), float(found.x[r])
