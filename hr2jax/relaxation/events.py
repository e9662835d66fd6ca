"""Event rows: what two neurons' pre-activations obey together, where both masks are known (docs/theory/cuts.md).

Where two literals hold,  c z_i + s z_j <= h  for every direction (c, s) and a proved h of it (literals.py). Multiplied
by the event's indicator phi_i phi_j, phi one of u and 1 - u, that would be of degree 3; but u z is x and (1 - u) z is
z - x, so

    h phi_i phi_j - c (phi_i z_i) phi_j - s phi_i (phi_j z_j) >= 0

is of degree 2 where both layers have x. Multipliers are the rows of one array of float64, (m, 5 + w): the numbers of
two factors u or 1 - u (`products.FactorTable`), c and s in [-1, 1] for z in its scale, w slopes, and the multiplier.
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

EVENTS = "events"


def decode(lifting: Lifting, rows: Array) -> tuple[Literals, Array, Array, Array]:
    """Literals, directions (m, 2), slopes (m, w) and multipliers (m,), clipped at 0, of a certificate's rows.

    Raises:
        ValueError: not rows of 5 + w numbers, or what `literals` refuses.
    """
    width = 5 + width_of(lifting)
    if np.ndim(rows) != 2 or np.shape(rows)[1] != width:
        raise ValueError(f"events must be rows of {width} numbers, but their shape is {np.shape(rows)}")
    literals = decode_literals(lifting, rows[:, :2], "an event's factors")
    directions, slopes = rows[:, 2:4], rows[:, 4:-1]
    check_proofs(lifting, directions, slopes, "events")
    return literals, directions, slopes, np.maximum(rows[:, -1], 0.0)


def event_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda (h phi phi' - c (phi z) phi' - s phi (phi' z')) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`; or a height beyond float64.
    """
    literals, directions, slopes, weights = decode(lifting, rows)
    h = heights(lifting, literals, directions, slopes)
    if not np.isfinite(h).all():
        raise ValueError("an event's height is beyond float64")
    parts: Terms = {}
    names, inverse = np.unique(np.concatenate([literals.signs, literals.layers], axis=1), axis=0, return_inverse=True)
    for k, (a, b, l, m) in enumerate(names.tolist()):
        here = np.ravel(inverse) == k
        (i, j), zero = literals.place[here].T, np.zeros(int(here.sum()), dtype=np.int64)
        first, second = (Group("v", l), i, a), (Group("v", m), j, b)
        # phi = (1 +- v)/2: halves are exact; two roundings are accounted for in the sums' error
        quarter = 0.25 * (weights[here] * h[here])
        for g, p, x in ((ONE, zero, 1), first):
            for other, q, y in ((ONE, zero, 1), second):
                put(parts, g, other, p, q, quarter * (x * y))
        for (own, p, sign), (other, q, y), c in ((first, second, 0), (second, first, 1)):
            value = -0.5 * (weights[here] * directions[here, c])
            for kind, x in (("x", 1),) if sign > 0 else (("z", 1), ("x", -1)):
                put(parts, Group(kind, own.layer), ONE, p, zero, value * x)
                put(parts, Group(kind, own.layer), other, p, q, value * (x * y))
    return summed(lifting, parts, arithmetic)
