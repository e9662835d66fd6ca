"""A monitor that keeps what an engine offers, and liftings of several layers."""

import numpy as np

from hr2jax.bounds.slopes.search import find_slopes
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import LIFTINGS, presolve

from .cases import random_net


class Monitor:
    """Certifies by the eigenvalues of S, in units of the lifting's objective."""

    origin = 0.0
    lower = 0.0

    def __init__(self, lifting, tolerance, remaining=np.inf, iterations=np.inf):
        self.lifting, self.tolerance, self._remaining, self.iterations = lifting, tolerance, remaining, iterations
        self.bound, self.bounds, self.reports = np.inf, [], []

    def certify(self, multipliers, diagonal):
        M = lagrangian_matrix(self.lifting, multipliers).middle() @ np.eye(self.lifting.size)
        assert np.linalg.eigvalsh(np.diag(diagonal) - M)[0] >= -1e-8 * max(np.abs(diagonal).max(), np.abs(M).max())
        if self.lifting.balls:
            most = np.full(self.lifting.budget.max() + 1, -np.inf)
            np.maximum.at(most, self.lifting.budget, diagonal)
        else:
            most = diagonal
        self.bounds.append(float(np.ldexp(most.sum(), self.lifting.exponent)))
        self.bound = min(self.bound, self.bounds[-1])
        return self.bounds[-1]

    def report(self, iteration, relaxation_value, residual):
        self.reports.append((iteration, relaxation_value, residual))

    def remaining(self, last=0.0):
        return self._remaining - last

    def iterations_left(self):
        return self.iterations - len(self.reports)


def lifting_of(seed, widths, norm, local, chains):
    rng = np.random.default_rng(seed)
    net = random_net(rng, [*widths, 1], 1.0, 0.3)
    ball = dict(center=0.3 * rng.standard_normal(widths[0]), radius=0.4) if local else {}
    problem = checked_problem(net, 0, norm, *ball.values())
    slopes = find_slopes(net, problem, "linear", seconds=1.0) if local and len(widths) > 2 else None
    return lift(net, problem, presolve(net, problem, slopes=slopes, chains=LIFTINGS[chains]))
