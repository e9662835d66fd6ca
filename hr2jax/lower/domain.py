"""The domain of a problem: exact membership, and the way of a point that is a rounding error outside."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..problem import LipschitzProblem


def contains(problem: LipschitzProblem, x: Array) -> bool:
    """Whether a finite x (p_0,) lies in the box, in the Euclidean ball, or anywhere (global): decided exactly."""
    if problem.norm == "inf":
        return not outside(problem, x).any()
    if problem.center is None or problem.radius is None:
        return True
    radius = Enclosure(problem.radius[0])
    with np.errstate(all="ignore"):
        distance = Enclosure(x) - problem.center
        slack = radius * radius - (distance * distance).sum()
    if slack.is_finite() and abs(float(slack.mid)) > float(slack.rad):
        return bool(slack.mid > 0)
    steps = (Fraction(float(a)) - Fraction(float(b)) for a, b in zip(x, problem.center, strict=True))
    return sum((step * step for step in steps), Fraction(0)) <= Fraction(float(problem.radius[0])) ** 2


def outside(problem: LipschitzProblem, x: Array) -> Array:
    """(p_0,) bool: the entries of a finite x (p_0,) that leave the box, in exact arithmetic; globally none."""
    if problem.center is None or problem.radius is None:
        return np.zeros(x.shape, dtype=bool)
    with np.errstate(over="ignore"):
        distance = np.abs(x - problem.center)
    # Rounding is monotone: a rounded distance beside the radius decides, only equality is open.
    out = distance > problem.radius
    for j in np.flatnonzero(distance == problem.radius):
        exact = abs(Fraction(float(x[j])) - Fraction(float(problem.center[j])))
        out[j] = exact > Fraction(float(problem.radius[j]))
    return out


def into(problem: LipschitzProblem, x: Array) -> Array:
    """The point of the domain, inside it in exact arithmetic, that a finite x (p_0,) at most a bit outside means."""
    if problem.center is None or contains(problem, x):
        return x
    if problem.norm == "inf":
        for _ in range(4):
            out = outside(problem, x)
            if not out.any():
                return x
            x = np.where(out, np.nextafter(x, problem.center), x)
        return np.where(out, problem.center, x)
    for shrink in (1e-15, 1e-13, 1e-11, 1e-9, 1e-6):
        inner = problem.center + (1.0 - shrink) * (x - problem.center)
        if contains(problem, inner):
            return inner
    return problem.center.copy()
