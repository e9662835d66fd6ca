"""What a problem's sizes need of memory, engine by engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..problem import Problem
from ..relaxation.presolve import Presolve

# How many float64 arrays of a shape are alive at once, and bytes that do not grow, as measured.
TABLE = {
    "process": 500e6,  # Python, JAX and compiled programs
    "certificate": 13.0,  # entries of the arrow: the Lagrangian matrix, its enclosure and the proof
    "lowrank": 30.0,  # (N, rank + 1): L-BFGS and the products' gradients
    "newton": 3.0,  # (N + m)^2, m multipliers: Newton's matrix and what it is made of
    "gram": 12.0,  # (N, N): Y, what is scattered to its cuts, the separation's copies
    "all pairs": 8.0,  # the multipliers' shape, per family of all pairs
    "admm": 14.0,  # (N, N): the iterates, the eigendecomposition
    "woodbury": 4.0,  # (m, m)
    "gathered": 5.0,  # (m, N): rows of the extended basis
    "sparse": 100.0 / 8,  # entries of the conic constraints, a few copies while they are assembled
    "clarabel": 20.0 / 8,  # squares of the cones' svec lengths: a dense block and its factor
    "clarabel beside": 80.0 / 8,  # the largest svec length times the variables
    "lasserre2 admm": 5.0,  # matrix entries times moments
    "lasserre2": 3.0,  # the same, interior point
}


@dataclass(frozen=True)
class Sizes:
    """What decides the size of a problem.

    Attributes:
        n: neurons with a variable.
        q: inputs that can move.
        pairs: cliques {u_i, t_i}.
        local: whether there is an x: a ball, and neurons that can switch.
        masked: variables behind masks (several hidden layers).
        derived: rows of derived groups (several hidden layers).
        depth: hidden layers.
    """

    n: int
    q: int
    pairs: int
    local: bool
    masked: int = 0
    derived: int = 0
    depth: int = 1

    @staticmethod
    def of(problem: Problem, fixed: Presolve) -> Sizes:
        """Sizes of a presolved problem."""
        n, pairs = fixed.switching, len(np.intersect1d(fixed.unstable, fixed.free))
        if problem.quantity == "maximum" or fixed.chains == ("q",):
            signs = n if problem.quantity == "maximum" else 0
            return Sizes(signs, len(fixed.free), 0, False, n, n, fixed.depth)
        local = problem.is_local and n > 0
        inner = n - len(fixed.layers[-1].unstable)
        masked = (len(fixed.chains) + local) * inner
        derived = masked + local * (n - inner) if inner else 0
        return Sizes(n, len(fixed.free), pairs, local, masked, derived, fixed.depth)

    @property
    def N(self) -> int:
        """Side of M_1."""
        return 1 + self.n + (2 if self.local else 1) * self.q + self.masked


class Need(NamedTuple):
    """Bytes: of the process on the host, and of the engine's arrays wherever the engine runs."""

    host: float
    engine: float

    def on(self, gpu: bool) -> float:
        """Bytes of host memory."""
        return self.host + (0.0 if gpu else self.engine)


def newton_bytes(N: int, rows: float, extended: float) -> float:
    """The same of what is known: multipliers given row by row, and entries of the extended basis."""
    return 8.0 * (TABLE["newton"] * (rows + N) ** 2 + 4.0 * rows * extended + 15.0 * extended**2)
