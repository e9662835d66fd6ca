"""The true constant of small networks, cell by cell."""

import dataclasses
from fractions import Fraction
from itertools import product

import numpy as np
from scipy.optimize import linprog

from .proofs import exact_z, gradient_norm, ordered_patterns, rational

# How many random points are looked at, and how deep one is that shows a cell.
POINTS, INSIDE = 2000, 1e-3

# The truth ----------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Truth:
    """`attained` is rational, proved by a point; `most` is what no point exceeds, but for rounding."""

    attained: Fraction
    most: float


def truth(net, problem, ordered=False):
    """By brute force: all patterns (global), or those of every cell that meets the box (local).

    `ordered`: globally only those in which proportional rows do not contradict each other, which `hr2+` knows.
    """
    if problem.is_local:
        surely, perhaps = cells_of_box(net, problem)
    elif ordered:
        surely = perhaps = np.array(ordered_patterns(net), dtype=np.float64)
    else:
        surely = perhaps = np.array(list(product((0.0, 1.0), repeat=net.widths[1])))
    free = problem.domain.free(net.widths[0])
    G = (problem.coefficients @ net.weights[1])[:, None] * net.weights[0][:, free]
    best = surely[np.argmax(np.abs(surely @ G).sum(axis=1))]
    return Truth(gradient_norm(net, problem, best.astype(int)), float(np.abs(perhaps @ G).sum(axis=1).max()))


def cells_of_box(net, problem):
    """Patterns of the cells that certainly, and of those that possibly, have an interior in the box.

    One neuron at a time. A random point far enough inside shows a cell; where there is none, a linear program finds
    the deepest point, in units of each neuron's reach.
    """
    free = problem.domain.free(net.widths[0])
    A = net.weights[0][:, free] * problem.domain.radius[free]
    z0 = net.weights[0] @ problem.domain.center + net.biases[0]
    reach = np.abs(A).sum(axis=1)
    size = np.maximum(reach, 1e-300)
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (POINTS, len(free)))
    depths = (points @ A.T + z0) / size
    cells = [(np.zeros(0), np.zeros(len(free)), 1.0, np.ones(POINTS))]
    for i in range(len(z0)):
        split = []
        for signs, x, depth, depth_of in cells:
            for side in (-1.0, 1.0):
                s = np.append(signs, side)
                if side * z0[i] + reach[i] < -1e-9 * (reach[i] + abs(z0[i])):
                    continue
                if reach[i] == 0 or side * z0[i] > reach[i]:
                    split.append((s, x, depth, depth_of))
                    continue
                inside = np.minimum(depth_of, side * depths[:, i])
                k = inside.argmax()
                if inside[k] > INSIDE:
                    split.append((s, points[k], inside[k], inside))
                    continue
                found = deepest((A / size[:, None])[: i + 1], (z0 / size)[: i + 1], s)
                if found is not None and found[1] > -1e-9:
                    split.append((s, *found, inside))
        cells = split
    perhaps = np.array([(signs + 1) / 2 for signs, *_ in cells])
    surely = [pattern_at(net, problem, x, reach > 0) for _, x, depth, _ in cells if depth > 1e-7]
    surely = [pattern for pattern in surely if pattern is not None]
    return (np.array(surely) if surely else np.zeros((1, len(z0)))), perhaps


def deepest(A, b, signs):
    """The point of the unit box with the largest least signs * (A x + b), and that value."""
    moving = np.abs(A).sum(axis=1) > 0
    A, b, signs = A[moving], b[moving], signs[moving]
    rows = np.column_stack([-signs[:, None] * A, np.ones(len(b))])
    box = np.array([(-1.0, 1.0)] * A.shape[1] + [(-np.inf, 1.0)])
    found = linprog(np.append(np.zeros(A.shape[1]), -1.0), A_ub=rows, b_ub=signs * b, bounds=box)
    return (np.clip(found.x[:-1], -1.0, 1.0), float(found.x[-1])) if found.status == 0 else None


def pattern_at(net, problem, x, moving):
    """The pattern around center + radius x in exact arithmetic, or None on a kink."""
    point = rational(problem.domain.center)
    free = problem.domain.free(net.widths[0])
    point[free] += rational(problem.domain.radius[free]) * rational(x)
    z = exact_z(net, point)
    if any(value == 0 for value in z[moving]):
        return None
    return np.array([float(value > 0) for value in z])


# Solves -------------------------------------------------------------------------------------------------


def check(net, result, known):
    """Everything a result says about the constant is true; compared as rational numbers."""
    assert Fraction(result.bound) >= known.attained
    assert result.lower <= known.most * (1 + 1e-12)
    assert result.lower <= result.bound
    assert result.certificate.bound == result.bound
    assert result.certificate.verify(net) == result.bound
