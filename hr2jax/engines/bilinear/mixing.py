"""A first bound by the mixing method, in NumPy: what there is before anything is compiled, which takes seconds.

max <M, V V^T> over rows of norm 1, row by row in turn (Wang, Chang, Kolter 2017, "The Mixing method"); here in two
turns: the eliminated rows of an arrow, which meet no other than the kept ones, and those. The objective of a network
with one hidden layer is such an arrow, so that this is `shor`, up to what x adds.
"""

from __future__ import annotations

import numpy as np

from ...arithmetic.float64 import Array
from ...arithmetic.midpoint import Middle
from ...certificate.lagrangian import kept_rows, lagrangian_matrix
from ...linalg.arrow import Arrow
from ...linalg.diagonal import feasible, stationary
from ...relaxation.basis import Lifting
from ..monitor import Monitor
from ..pace import COMPILING, certificate_seconds

# Columns of V, and turns: within 1e-3 of the optimum for SDP-NN, within 2 % for small networks (the tests).
RANK, TURNS = 20, 60


def first_bound(lifting: Lifting, monitor: Monitor) -> None:
    """Offer the monitor a diagonal for no multipliers, where that is worth something and quick.

    With several layers nothing but multipliers ties what the masks let through to what they are given.
    """
    if lifting.masked_layers:
        return
    seconds, left = certificate_seconds(kept_rows(lifting, {}, Middle)), monitor.remaining()
    is_all = left < 2 * COMPILING and monitor.remaining(seconds) > 0  # nothing else would come to anything
    if not is_all and seconds > min(0.3 * left, 1.0):
        return
    M, budget = lagrangian_matrix(lifting, {}, Middle).middle(), lifting.budget if lifting.balls else None
    if M.is_finite() and np.isfinite(d := mixed_diagonal(M, lifting.square_is_one, budget)).all():
        monitor.certify({}, feasible(M, d, budget))


def mixed_diagonal(M: Arrow, square_is_one: Array, budget: Array | None = None, seed: int = 0) -> Array:
    """d (N,) float64, stationary for the rows of V: no certificate yet, Diag(d) - M may be a little indefinite.

    Args:
        M: the Lagrangian matrix.
        square_is_one: (N,) bool; False marks entries whose d must not be negative.
        budget: (N,) entries that share a bound (`diagonal.cost`).
        seed: of the random start.
    """
    E, R = M.eliminated, M.kept

    def unit(rows: Array, where: Array) -> Array:
        squares = np.einsum("ij,ij->i", rows, rows)
        if budget is not None:  # rows that share a bound have norm 1 together
            squares = np.bincount(budget[where], squares)[budget[where]]
        return rows / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))[:, None]

    V = np.random.default_rng(seed).standard_normal((M.size, RANK))
    first, second = unit(V[E], E), unit(V[R], R)
    for _ in range(TURNS):
        first = unit(M.coupling @ second + M.diagonal[:, None] * first, E)
        second = unit(M.coupling.T @ first + M.block @ second, R)
    V[E], V[R] = first, second
    return stationary(M, V, square_is_one, budget)
