"""Triangle inequalities: the cutting planes of `hr2+` (docs/theory/cuts.md).

For a, b, c in [-1, 1]

    a b + b c + c a >= -1,

because the left side is affine in each of them and is 3 or -1 where all are +-1. With signs s of three basis
entries, a = s_i y_i and so on, that is a valid inequality of Y = E[y y^T]. With y_0 = 1 among the three it is
the product of two factors, (1 + s_i y_i)(1 + s_j y_j) >= 0: so all the pairs of factors 1 +- v, 1 +- t, 1 +- xi
are triangles through the constant. (Products with h - z and z - l say no more: they are nonnegative combinations of
those with 1 +- xi.)

There are O(N^3) of them: they are never enumerated, those that matter are separated (engines/product/triangle_cuts.py).
Their multipliers are the rows of one array of float64, (m, 4): three positions in the basis, counted from 1 and with
their signs, and the multiplier (a certificate names the corners: certificate/names.py).
"""

from __future__ import annotations

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from ..arithmetic.sums import sums_by_place
from .basis import Group, Lifting

TRIANGLES = "triangles"
EDGES = ((0, 1), (1, 2), (0, 2))
# Products of the signs of i, j, k along EDGES, one row per pattern: none flipped, i, j, k flipped.
PATTERNS = np.array([[1, 1, 1], [-1, 1, -1], [-1, -1, 1], [1, -1, -1]])
_SIGNS = np.array([[1, 1, 1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]])


def encode(triples: Array, pattern: Array, multipliers: Array) -> Array:
    """The rows of a certificate: (m, 4) float64, from positions (m, 3), patterns (m,) in 0..3 and multipliers (m,)."""
    return np.column_stack([_SIGNS[pattern] * (triples + 1), multipliers]).astype(np.float64)


def decode(rows: Array, size: int) -> tuple[Array, Array, Array]:
    """Positions (m, 3) int64, signs (m, 3) and multipliers (m,), clipped at 0, of a certificate's rows.

    Raises:
        ValueError: not rows of four numbers, or positions that are not positions of a basis of `size` entries.
    """
    if np.ndim(rows) != 2 or np.shape(rows)[1] != 4:
        raise ValueError(f"triangles must be rows of four numbers, but their shape is {np.shape(rows)}")
    signed = np.asarray(rows[:, :3], dtype=np.float64)
    if not ((np.abs(signed) >= 1) & (np.abs(signed) <= size) & (signed == np.rint(signed))).all():
        raise ValueError(f"a triangle's corners must be signed positions from 1 to {size}")
    return np.abs(signed).astype(np.int64) - 1, np.sign(signed), np.maximum(rows[:, 3], 0.0)


def triangle_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda (1 + ab + bc + ca) adds to a quadratic form, as arguments of its `add`; no position twice.

    Raises:
        ValueError: see `decode`.
    """
    index, signs, weight = decode(rows, lifting.size)
    size = lifting.size
    first = np.concatenate([index[:, a] for a, _ in EDGES])
    second = np.concatenate([index[:, b] for _, b in EDGES])
    value = np.concatenate([weight * signs[:, a] * signs[:, b] for a, b in EDGES])
    first, second = np.minimum(first, second), np.maximum(first, second)
    # the constant lambda, times y_0 y_0
    place = np.concatenate([first * size + second, np.zeros(len(weight), dtype=np.int64)])
    sums = sums_by_place(place, np.concatenate([value, weight]))
    groups = list(lifting.sizes)
    (group_i, i), (group_j, j) = map(lifting.placement.groups_of, np.divmod(sums[0], size))
    out = []
    for a, g in enumerate(groups):
        for b, h in enumerate(groups[a:], start=a):
            here = (group_i == a) & (group_j == b)
            if here.any():
                out.append((g, h, i[here], j[here], arithmetic(sums[1][here], sums[2][here])))
    return out
