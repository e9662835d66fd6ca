"""What LipOpt's linear programs need of memory, counted without building them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ...certificate.krivine import check_krivine
from ...network import Network
from ...problem import Problem
from ...relaxation.lifting import lift
from ...relaxation.presolve import presolve
from .pool import adjacency

FIRST = {3: 40, 4: 8}  # inequalities of the first round, per monomial of a program of that degree
PROCESS = 300e6  # bytes: Python, NumPy and SciPy
ENTRY = 60.0  # bytes per entry of the linear program, with HiGHS's copies
FACTOR = 2.0  # bytes per squared number of monomials


class KrivineSize(NamedTuple):
    """Of the published linear program, and of ours.

    Attributes:
        monomials: its rows, in each of which a monomial's coefficients must agree.
        products: its columns, of `degree` factors each.
        nonzeros: of its matrix.
        bytes: of solving our own form of it: every tuple's columns, the linear program of a round, a dense factor.
    """

    monomials: int
    products: int
    nonzeros: int
    bytes: float


def krivine_size(net: Network, problem: Problem, degree: int) -> KrivineSize:
    """Sizes of the linear program, counted from the network's zeros; of cliques among the neurons an upper bound.

    Raises:
        ValueError: another kind of network or problem.
    """
    check_krivine(net, problem, degree)
    lifting = lift(net, problem, presolve(net, problem))
    reached = np.asarray(lifting.objective_v.mid != 0)
    count, later = reached.sum(axis=0).tolist(), np.triu(adjacency(reached), 1).sum(axis=1).tolist()

    def tuples(size: int) -> int:
        """Upper bound of the cliques of so many variables."""
        return sum(math.comb(m, size - 1) for m in count) + sum(math.comb(k, size - 1) for k in later)

    monomials = 1 + sum(tuples(size) for size in range(1, degree + 1))
    products = 2**degree * tuples(degree)
    kept = 1 + sum(tuples(size) for size in range(1, degree))
    inequalities = (32 if degree == 4 else 4) * tuples(degree) + 2 ** (degree - 1) * tuples(degree - 1)
    table = tuples(degree) * (8 * degree + 4 * (15 if degree == 4 else 4)) + tuples(degree - 1) * (
        8 * (degree - 1) + 4 * 2 ** (degree - 1)
    )
    each = 8.0 if degree == 4 else 4.0  # entries of an inequality
    program = min(inequalities, FIRST[degree] * kept) * each * ENTRY
    return KrivineSize(
        monomials, products, products * 2**degree, PROCESS + 2.0 * table + program + FACTOR * kept**2
    )
