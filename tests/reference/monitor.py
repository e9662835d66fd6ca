"""A monitor that keeps what an engine offers, and liftings to run it on."""

import math

import numpy as np

from hr2jax import Network, Status
from hr2jax.certificate.lagrangian import lagrangian_matrix
from hr2jax.engines.monitor import Stop
from hr2jax.engines.scale import in_units
from hr2jax.linalg.diagonal import cost
from hr2jax.problem import checked_problem
from hr2jax.relaxation import lift
from hr2jax.relaxation.presolve import presolve


def lifting_of(p, m, local, seed=0, norm="inf"):
    """A problem whose neurons are all unstable."""
    rng = np.random.default_rng([seed, p, m])
    net = Network([rng.standard_normal((m, p)), rng.standard_normal((1, m))], [0.1 * rng.standard_normal(m), [0.0]])
    box = {"center": 0.1 * rng.standard_normal(p), "radius": 1.0} if local else {}
    problem = checked_problem(net, None, norm, **box)
    return lift(net, problem, presolve(net, problem))


class Monitor:
    """Certifies with float algebra; stops when told."""

    def __init__(self, lifting, tolerance=1e-3, iterations=math.inf, seconds=math.inf, stop_at=math.inf, prove=None):
        self.lifting, self.tolerance = lifting, tolerance
        self.limit, self.seconds, self.stop_at, self.prove = iterations, seconds, stop_at, prove
        self.offered, self.reports, self.values = [], [], []
        self.lower, self.origin = 0.0, 0.0

    def certify(self, multipliers, diagonal):
        assert all((values >= 0).all() for values in multipliers.values())
        M = lagrangian_matrix(self.lifting, multipliers).mid
        shift = max(np.linalg.eigvalsh(M - np.diag(diagonal))[-1], 0.0)
        budget = self.lifting.budget
        bound = cost(diagonal, budget) + len(np.unique(budget)) * shift if self.prove is None else self.prove
        self.offered.append((multipliers, diagonal, bound))
        return in_units(bound, self.lifting)

    def report(self, iteration, relaxation_value, residual):
        self.reports.append(iteration)
        self.values.append(relaxation_value)
        if len(self.reports) >= self.stop_at:
            raise Stop(Status.STOPPED)
        if iteration >= self.limit:
            raise Stop(Status.ITERATION_LIMIT)

    def remaining(self, last=0.0):
        return self.seconds - last

    def iterations_left(self):
        return self.limit - (self.reports[-1] if self.reports else 0)

    @property
    def best(self):
        return min(bound for _, _, bound in self.offered)
