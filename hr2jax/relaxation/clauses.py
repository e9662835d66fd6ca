"""Clauses: neurons' masks of which no input has all at once (docs/theory/cuts.md).

Where literals hold together,  sum_k d_k s_k z_k >= 0  with d_k >= 0 and s_k = 1 where on, -1 where off. If the proved
height of that sum (literals.py) is below 0, no input has all k masks. So with phi the indicators, of those that are
beside the first at most k - 2 are 1 where the first is:

    phi_1 (k - 2 - phi_2 - ... - phi_k) >= 0.

Here k is 3. Multipliers are the rows of one array of float64, (m, 7 + w): the numbers of three factors u or 1 - u
(`products.FactorTable`), d in [0, 1], w slopes, and the multiplier.
"""

from __future__ import annotations

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, Group, Lifting
from .literals import Literals, check_proofs, heights, width_of
from .literals import decode as decode_literals
from .products import Terms, put, summed

CLAUSES = "clauses"
LENGTH = 3


def decode(lifting: Lifting, rows: Array) -> tuple[Literals, Array, Array, Array]:
    """Literals, directions (m, 3), slopes (m, w) and multipliers (m,), clipped at 0, of a certificate's rows.

    Raises:
        ValueError: not rows of 7 + w numbers, or what `literals` refuses.
    """
    width = 1 + 2 * LENGTH + width_of(lifting)
    if np.ndim(rows) != 2 or np.shape(rows)[1] != width:
        raise ValueError(f"clauses must be rows of {width} numbers, but their shape is {np.shape(rows)}")
    literals = decode_literals(lifting, rows[:, :LENGTH], "a clause's factors")
    directions, slopes = rows[:, LENGTH : 2 * LENGTH], rows[:, 2 * LENGTH : -1]
    check_proofs(lifting, directions, slopes, "clauses")
    return literals, directions, slopes, np.maximum(rows[:, -1], 0.0)


def clause_heights(lifting: Lifting, literals: Literals, directions: Array, slopes: Array) -> Array:
    """(m,) heights of sum_k d_k s_k z_k, negative directions taken for 0: below 0 where no input has all masks."""
    return heights(lifting, literals, np.maximum(directions, 0.0) * literals.signs, slopes)


def clause_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda phi_1 (1 - phi_2 - phi_3) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`; or masks that are not proved never to be there at once.
    """
    literals, directions, slopes, weights = decode(lifting, rows)
    if not (clause_heights(lifting, literals, directions, slopes) < 0.0).all():
        raise ValueError("a clause's masks cannot be proved never to be there at once")
    parts: Terms = {}
    # phi = (1 + s v)/2, so 4 phi_1 (1 - phi_2 - phi_3) = -2 (1 + s_1 v_1) (s_2 v_2 + s_3 v_3)/2 = -(...)(...)
    for other in range(1, LENGTH):
        names, inverse = np.unique(literals.layers[:, [0, other]], axis=0, return_inverse=True)
        for k, (l, m) in enumerate(names.tolist()):
            here = np.ravel(inverse) == k
            i, j = literals.place[here, 0], literals.place[here, other]
            a, b = literals.signs[here, 0], literals.signs[here, other]
            value, zero = -0.25 * weights[here] * b, np.zeros(int(here.sum()), dtype=np.int64)
            put(parts, ONE, Group("v", m), zero, j, value)
            put(parts, Group("v", l), Group("v", m), i, j, value * a)
    return summed(lifting, parts, arithmetic)
