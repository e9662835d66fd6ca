"""Random networks, domains and exactly evaluated points of them, for the tests of bounds."""

import itertools
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from hr2jax.network import Network
from hr2jax.problem import Problem, checked_problem

SCALES = st.sampled_from([1.0, 1.0, 1.0, 1e-3, 1e-100, 1e55])


def random_net(rng, widths, scale=1.0, zeros=0.0):
    """A network whose weights are normal and about as large as keeps the signal's size."""
    weights = [
        rng.standard_normal((m, n)) * (rng.random((m, n)) >= zeros) * scale / np.sqrt(n)
        for n, m in itertools.pairwise(widths)
    ]
    return Network(weights, [0.3 * rng.standard_normal(m) for m in widths[1:]])


@st.composite
def random_cases(draw, depths=(1, 2, 3, 4), widest=6, scales=SCALES):
    """(net, problem, rng): 1-4 hidden layers, zeros among the weights and the radii, either norm."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    depth = draw(st.sampled_from(list(depths)))
    widths = [draw(st.integers(1, widest)) for _ in range(depth + 1)] + [draw(st.integers(1, 2))]
    net = random_net(rng, widths, draw(scales), draw(st.sampled_from([0.0, 0.3])))
    size = draw(st.sampled_from([0.1, 1.0, 10.0]))
    if draw(st.booleans()):
        norm, radius = 2, size
    else:
        norm, radius = "inf", size * rng.random(widths[0]) * rng.integers(0, 2, widths[0])
        radius[0] = size
    problem = checked_problem(net, rng.standard_normal(widths[-1]), norm, rng.standard_normal(widths[0]), radius)
    return net, problem, rng


def exact(values):
    """The float64 array as an object array of fractions."""
    return np.reshape([Fraction(float(v)) for v in np.ravel(values)], np.shape(values))


def points(problem: Problem, directions, rng, count=4):
    """Points of the domain as arrays of fractions: the far ends in the `directions` (n, p_0), and random ones."""
    c, r = exact(problem.domain.center), exact(problem.domain.radius)
    xis = [sign * d for d in directions for sign in (1.0, -1.0)] + list(rng.standard_normal((count, len(c))))
    for xi in xis:
        if problem.norm == "inf":
            yield c + r * exact(np.sign(xi) if rng.random() < 0.7 else np.clip(xi, -1, 1))
        elif (length := np.linalg.norm(xi)) > 1e-150:
            unit = exact(xi / length * (1 - 2.0**-50))
            if sum(unit * unit) <= 1:
                yield c + r * unit


def forward(net: Network, x):
    """([z_1, ..., z_L], F(x)) in rational arithmetic; masks may be had from the signs."""
    z = []
    for A, b in zip(net.weights[:-1], net.biases[:-1], strict=True):
        z.append(exact(A) @ x + exact(b))
        x = np.array([max(v, Fraction(0)) for v in z[-1]], dtype=object)
    return z, exact(net.weights[-1]) @ x + exact(net.biases[-1])
