"""Tiny networks for Krivine-Stengle certificates, and their exact constants."""

from fractions import Fraction
from itertools import product

import numpy as np

from hr2jax import Network
from hr2jax.bounds import interval_bounds
from hr2jax.problem import checked_problem


def network(seed, p=3, n=4, density=0.8):
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n, p)) * (rng.random((n, p)) < density)
    return Network([A, rng.standard_normal((1, n))], [0.3 * rng.standard_normal(n), [0.0]])


def problem_of(net, local):
    domain = {"center": np.full(net.widths[0], 0.25), "radius": 0.5} if local else {}
    return checked_problem(net, **domain)


def maximum(net, problem):
    """max ||A^T D(u) c||_1 over the patterns that agree with the neurons of known sign, in rational numbers."""
    A, c = net.weights[0], net.weights[1][0]
    choices = [(0, 1)] * len(A)
    if problem.is_local:
        low, high = interval_bounds(net, problem)[0]
        choices = [(1,) if lo >= 0 else (0,) if hi <= 0 else (0, 1) for lo, hi in zip(low, high, strict=True)]
    rows = [[Fraction(float(ci)) * Fraction(float(a)) for a in row] for ci, row in zip(c, A, strict=True)]
    return max(
        sum(abs(sum((ui * row[j] for ui, row in zip(u, rows, strict=True)), Fraction(0))) for j in range(A.shape[1]))
        for u in product(*choices)
    )
