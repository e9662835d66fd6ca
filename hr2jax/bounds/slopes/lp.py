"""Slopes from the duals of Planet's relaxation, a linear program per target and layer, by HiGHS. Steering only.

The least value of row . x_k + shift when each unstable neuron obeys x >= 0, x >= z, x <= s (z - l) (Ehlers 2017,
"Formal verification of piece-wise linear feed-forward neural networks": Planet's triangle of a neuron): in the last
layer x sits on its upper line where row < 0, above its two lower lines where row > 0. With the multipliers a of
x >= 0 and b of x >= z, a + b = row, the slope b / row leaves the program's value as it is and turns layer k
into linear functions of x_{k-1}, whose least value is the same question for layer k - 1. (The duals of one
program for all layers would not do: at an end of its interval a neuron's upper and lower lines can share them.)
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from ...arithmetic.float64 import Array
from ...machine.stopping import check
from .targets import Targets

TOLERANCE = 1e-10


def planet_slopes(targets: Targets, start: Mapping[int, Array], end: float | None) -> dict[int, Array]:
    """Optimal slopes k -> (n, p_k) of each target; `start`'s for those not reached by `end` or where HiGHS fails."""
    result = {k: np.array(values) for k, values in start.items()}
    programs = {k: _Program(targets, k) for k in result}
    for i, row in enumerate(targets.rows[len(targets.bounds)]):
        check()
        if end is not None and time.monotonic() >= end:
            break
        M = row
        for k in sorted(result, reverse=True):
            low, high = targets.bounds[k - 1]
            unstable = (low < 0) & (high > 0)
            choose = unstable & (M > 0)
            if choose.any():
                slope = programs[k].slopes(M)
                if slope is not None:
                    result[k][i, choose] = slope[choose]
            upper = np.where(M < 0, high / np.where(unstable, high - low, 1.0), result[k][i])
            M = (M * np.where(unstable, upper, high > 0)) @ targets.net.weights[k - 1]
    return result


class _Program:
    """min M . x_k over the inputs and the neurons of layers 1..k: rows lower x <= shift, equal x = shift."""

    def __init__(self, targets: Targets, k: int):
        net, problem = targets.net, targets.problem
        starts = np.cumsum([0, *net.widths[: k + 1]])
        self.last = slice(starts[k], starts[k + 1])
        size = int(starts[-1])
        center, radius = problem.domain.center, problem.domain.radius
        boxes = [np.column_stack([center - radius, center + radius])]
        upper, upper_shift, equal, equal_shift = [], [], [], []
        for j in range(1, k + 1):
            A, b, (low, high) = net.weights[j - 1], net.biases[j - 1], targets.bounds[j - 1]
            unstable, on = (low < 0) & (high > 0), (low >= 0) & (high > 0)
            s = np.where(unstable, high / np.where(unstable, high - low, 1.0), 1.0)
            z, x = np.zeros((len(b), size)), np.zeros((len(b), size))
            z[:, starts[j - 1] : starts[j]] = A
            x[:, starts[j] : starts[j + 1]] = np.eye(len(b))
            upper += [(z - x)[unstable], (x - s[:, None] * z)[unstable]]
            upper_shift += [-b[unstable], (s * (b - low))[unstable]]
            equal.append((x - z)[on])
            equal_shift.append(b[on])
            boxes.append(np.column_stack([np.where(on, -np.inf, 0.0), np.where(on | unstable, np.inf, 0.0)]))
        self.boxes = np.concatenate(boxes)
        self.unstable = np.flatnonzero(unstable)
        self.upper, self.upper_shift = np.concatenate(upper), np.concatenate(upper_shift)
        self.equal, self.equal_shift = np.concatenate(equal), np.concatenate(equal_shift)
        self.size = size

    def slopes(self, M: Array) -> Array | None:
        """(p_k,) slopes of layer k's lower lines, optimal for the coefficients M (p_k,) of x_k; None: HiGHS failed."""
        from scipy.optimize import linprog  # the slowest import: only for those who solve one

        n = len(self.unstable)
        below = M[self.unstable] < 0
        kept = np.ones(len(self.upper), dtype=bool)
        kept[len(kept) - 2 * n : len(kept) - n] = ~below  # the last layer's lower lines, then its upper lines
        kept[len(kept) - n :] = below
        scale = np.abs(M).max()
        cost = np.zeros(self.size)
        cost[self.last] = M / scale
        try:
            answer = linprog(
                cost,
                A_ub=self.upper[kept],  # dense: of programs so small the checks of sparse ones take longer than HiGHS
                b_ub=self.upper_shift[kept],
                A_eq=self.equal if len(self.equal) else None,
                b_eq=self.equal_shift if len(self.equal) else None,
                bounds=self.boxes,
                method="highs",
                options={"primal_feasibility_tolerance": TOLERANCE, "dual_feasibility_tolerance": TOLERANCE},
            )
        except ValueError:  # entries beyond what HiGHS takes
            return None
        if answer.status != 0:
            return None
        multipliers = np.zeros(len(kept))
        multipliers[kept] = -answer.ineqlin.marginals
        slope = np.zeros(len(M))
        slope[self.unstable] = multipliers[len(kept) - 2 * n : len(kept) - n]
        with np.errstate(all="ignore"):
            slope = slope / (M / scale)
        return np.asarray(np.clip(np.nan_to_num(slope), 0.0, 1.0))
