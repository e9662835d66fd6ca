"""Networks of any depth in rational arithmetic, and random ones: what the tests of `lower` compare with."""

from fractions import Fraction
from itertools import pairwise

import numpy as np

from hr2jax import Network
from hr2jax.problem import checked_problem


def rational(array):
    return np.vectorize(lambda value: Fraction(float(value)), otypes=[object])(array)


def pattern_at(net, x):
    """Per layer, the signs -1, 0, 1 of the pre-activations at x (Fractions)."""
    signs = []
    for A, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        z = rational(A) @ x + rational(b)
        signs.append([(value > 0) - (value < 0) for value in z])
        x = np.array([max(value, Fraction(0)) for value in z], dtype=object)
    return signs


def exact_gradient(net, problem, x):
    """The formal gradient at x (Fractions) over the free inputs."""
    g = rational(problem.coefficients) @ rational(net.weights[-1])
    for A, signs in zip(net.weights[-2::-1], pattern_at(net, x)[::-1], strict=True):
        g = (g * np.array([Fraction(s > 0) for s in signs], dtype=object)) @ rational(A)
    free = problem.domain.free(net.widths[0])
    return list(g[free])


def at_most(value, gradient, norm):
    """Whether a float is at most the dual norm of a gradient of Fractions: exactly."""
    value = Fraction(value)
    if norm == "inf":
        return value <= sum(map(abs, gradient))
    return value >= 0 and value**2 <= sum(g * g for g in gradient)


def as_float(gradient, norm):
    g = np.array([float(v) for v in gradient])
    return np.abs(g).sum() if norm == "inf" else np.sqrt((g * g).sum())


def random_network(rng, hidden, inputs, outputs=1, kind="normal"):
    """Gaussian weights; "uneven": rows of very unlike sizes; "ties": few values, many of them 0."""
    widths = [inputs, *hidden, outputs]
    weights, biases = [], []
    for n, m in pairwise(widths):
        A, b = rng.standard_normal((m, n)) / np.sqrt(n), 0.5 * rng.standard_normal(m)
        if kind == "uneven":
            size = 10.0 ** rng.integers(-6, 7, (m, 1))
            A, b = A * size, b * size[:, 0]
        elif kind == "ties":
            A, b = rng.choice([0.0, 0.0, 1.0, -1.0, 0.5, 0.1], (m, n)), rng.choice([0.0, 1.0, -1.0, 0.1], m)
        weights.append(A)
        biases.append(b)
    return Network(weights, biases)


def random_problem(rng, net, norm, local, radius=0.5):
    domain = dict(center=rng.standard_normal(net.widths[0]), radius=radius) if local else {}
    return checked_problem(net, rng.standard_normal(net.widths[-1]), norm=norm, **domain)
