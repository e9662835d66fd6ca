"""The reference itself: against all patterns by HiGHS, and against what points attain."""

from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from hr2jax import Box
from hr2jax.problem import Problem

from .brute import TooManyRegionsError, exact_constant
from .regions import random_network, random_problem


def by_linear_programs(net, problem):
    """Every pattern of all neurons; the deepest point of each region by HiGHS, for the ball then by SLSQP."""
    n = net.widths[0]
    best = 0.0
    for flat in product((0.0, 1.0), repeat=sum(net.widths[1:-1])):
        pattern = np.split(np.array(flat), np.cumsum(net.widths[1:-2]))
        J, value, G, h = np.eye(n), np.zeros(n), [], []
        for A, b, on in zip(net.weights[:-1], net.biases[:-1], pattern, strict=True):
            J, value = A @ J, A @ value + b
            G.append((2 * on - 1)[:, None] * J)
            h.append((2 * on - 1) * value)
            J, value = J * on[:, None], value * on
        G, h = np.concatenate(G), np.concatenate(h)
        size = np.linalg.norm(G, axis=1)
        # A constant 0 is off, whatever side is asked for.
        if (h[size == 0] < 0).any():
            continue
        G, h = G[size > 0] / size[size > 0, None], h[size > 0] / size[size > 0]
        gradient = (problem.coefficients @ net.weights[-1] @ J)
        norm = np.abs(gradient).sum() if problem.norm == "inf" else np.linalg.norm(gradient)
        if norm > best and met(G, h, problem, n):
            best = norm
    return best


def met(G, h, problem, n):
    bounds = [(None, None)] * n
    if problem.is_local:
        bounds = [(c - r, c + r) for c, r in zip(problem.domain.center, problem.domain.radius, strict=True)]
    rows = np.column_stack([-G, np.ones(len(G))])
    found = linprog(np.append(np.zeros(n), -1.0), A_ub=rows, b_ub=h, bounds=[*bounds, (None, 1.0)])
    if found.status != 0 or found.x[-1] < 1e-6:
        return False
    if problem.norm == "inf" or not problem.is_local:
        return True
    least = minimize(
        lambda x: ((x - problem.domain.center) ** 2).sum(), found.x[:n], jac=lambda x: 2 * (x - problem.domain.center),
        constraints={"type": "ineq", "fun": lambda x: G @ x + h - 1e-6, "jac": lambda x: G}, method="SLSQP",
    )  # fmt: skip
    return bool(least.fun < problem.domain.radius[0] ** 2)


@pytest.mark.parametrize("hidden", [(5,), (3, 3), (2, 2, 2), (2, 1, 2, 2)])
@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("local", [False, True])
def test_it_agrees_with_linear_programs_over_all_patterns(hidden, norm, local):
    for seed in range(3):
        rng = np.random.default_rng([seed, len(hidden)])
        net = random_network(rng, hidden, 3)
        problem = random_problem(rng, net, norm, local, radius=1.0)
        assert exact_constant(net, problem) == pytest.approx(by_linear_programs(net, problem), rel=1e-9)


def test_it_is_not_what_was_sampled():
    """A region that no random point meets: the corner of a cube."""
    n = 12
    rng = np.random.default_rng(0)
    net = random_network(rng, (1,), n)
    A, C = np.ones((1, n)), np.ones((1, 1))
    net = type(net)([A, C], [np.full(1, -(n - 0.01)), np.zeros(1)])
    problem = Problem(np.ones(1), "inf", "inf", Box(-np.ones(n), np.ones(n)))
    assert exact_constant(net, problem) == pytest.approx(n, rel=1e-12)


def test_it_gives_up():
    net = random_network(np.random.default_rng(0), (8, 8, 8, 8), 8)
    problem = random_problem(np.random.default_rng(0), net, "inf", False)
    with pytest.raises(TooManyRegionsError):
        exact_constant(net, problem, programs=3)
    with pytest.raises(TooManyRegionsError):
        exact_constant(random_network(np.random.default_rng(0), (13,), 2), problem)
