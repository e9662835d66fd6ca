"""What solves of many problems, and of the parts of one, have in common: where to begin, and how time is shared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from ..problem import Problem
from ..result import Result, relative_gap

# Shares of a time limit that are worth another beginning, in seconds; what a pass must bring to be followed by another.
LEAST_SHARE, WORTHWHILE = 0.5, 1e-3


def most_like(problem: Problem, problems: Sequence[Problem], among: Iterable[int]) -> int:
    """The one of the problems `among` whose output is most like this one's, the first of equals."""
    return max(among, key=lambda k: _likeness(problem, problems[k]))


def _likeness(one: Problem, other: Problem) -> float:
    if np.shape(one.coefficients) != np.shape(other.coefficients):
        return -1.0
    return abs(float(np.vdot(one.coefficients, other.coefficients)))


def better(one: Result, other: Result) -> Result:
    """The result of the smaller bound, with the larger lower bound of both."""
    best, rest = (other, one) if other.bound <= one.bound else (one, other)
    if rest.lower > best.lower:
        best = replace(best, lower=rest.lower, witness=rest.witness, gap=relative_gap(best.bound, rest.lower))
    return best
