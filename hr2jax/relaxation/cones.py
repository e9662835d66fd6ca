"""Products of a factor and a cone as cutting planes: what norm 2 has in place of the box's sides (docs/theory/cuts.md).

A group y of variables that a norm bounds by 1 (t by the problem's norm, s by the one dual to the output's, xi by the
domain's shape) obeys mu.y <= ||mu||_* for every mu, in the dual norm. With a factor phi >= 0 (chains.py)

    phi (||mu||_* - mu.y) >= 0,

whatever mu is: together they say ||E[phi y]|| <= E[phi]. Of norm inf the single entries mu = +-e_j say as much, which
are pairs of factors (products.py). Those that are violated are separated (engines/product/cone_cuts.py). Multipliers
are the rows of one array of float64, (m, 3 + w), w the longest group's length: the number of a factor, that of a group
in BOUNDED, mu in the group's order with zeros behind, and the multiplier (a certificate names them:
certificate/names.py).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import row_norms
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, XI, Group, Lifting, S, T
from .products import FactorTable, Terms, summed

CONES = "cones"
BOUNDED = (T, S, XI)


def width_of(lifting: Lifting) -> int:
    """w: the length of the longest group that there is."""
    return max((lifting.sizes[group] for group in BOUNDED if group in lifting.sizes), default=0)


def lengths_of(lifting: Lifting, number: Array, mu: Array) -> Array:
    """(m,) float64 at or above ||mu||_*, of rows mu (m, w) for groups of BOUNDED by number (m,)."""
    out = np.zeros(len(mu))
    for k in np.unique(number).tolist():
        out[number == k] = row_norms(mu[number == k], lifting.norms[BOUNDED[k]])
    return out


def decode(lifting: Lifting, rows: Array) -> tuple[Array, Array, Array, Array]:
    """Numbers of factors and of groups (m,) int64, mu (m, w), multipliers (m,) clipped at 0, of a certificate's rows.

    Raises:
        ValueError: not rows of 3 + w numbers, or numbers that are no factors, no groups or beyond a group's entries.
    """
    width = width_of(lifting)
    if np.ndim(rows) != 2 or np.shape(rows)[1] != 3 + width:
        raise ValueError(f"cones must be rows of {3 + width} numbers, but their shape is {np.shape(rows)}")
    count, numbers = FactorTable(lifting).count, rows[:, :2]
    most = np.array([count, len(BOUNDED)])
    if not ((numbers >= 0) & (numbers < most) & (numbers == np.rint(numbers))).all():
        raise ValueError(f"a cone's factor must be a number from 0 to {count - 1}, its group one of {len(BOUNDED)}")
    factor, group = numbers.astype(np.int64).T
    lengths = np.array([lifting.sizes.get(g, 0) for g in BOUNDED])[group]
    mu = rows[:, 2:-1]
    if (lengths == 0).any() or (mu[np.arange(width) >= lengths[:, None]] != 0).any():
        raise ValueError("a cone's direction must be one of a group that this problem has")
    return factor, group, mu, np.maximum(rows[:, -1], 0.0)


def of_unit_length(
    mu: Array, weight: Array, lengths: Callable[[Array], Array], power: int = 1
) -> tuple[Array, Array, Array]:
    """Directions mu whose lengths are about 1, those lengths, and the multipliers that make it the same cones.

    What is lost to rounding then is small beside the sums' error, whatever a file says: the multiplier times a factor's
    coefficient may underflow, and a direction of 2**1000 would make much of what was lost. Powers of two change nothing
    else; and where they do, at underflow, it is another direction, which is as valid.

    Args:
        mu: (m, w).
        weight: (m,) multipliers.
        lengths: of such rows, at or above theirs.
        power: of the direction in what the multiplier multiplies.

    Raises:
        ValueError: a length or a multiplier is beyond float64.
    """
    with np.errstate(all="ignore"):
        length = lengths(mu)
        if not np.isfinite(length).all():
            raise ValueError("a cone's direction is longer than float64 can hold")
        exponent = np.frexp(length)[1]
        mu, weight = np.ldexp(mu, -exponent[:, None]), np.ldexp(weight, power * exponent)
        length = lengths(mu)
    if not (np.isfinite(weight).all() and np.isfinite(mu).all() and (length <= 2.0).all()):
        raise ValueError("a cone's multiplier is larger than float64 can hold")
    return mu, length, weight


def cone_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda phi (||mu||_* - mu.y) adds to a quadratic form, as arguments of its `add`; no position twice.

    Raises:
        ValueError: see `decode`; or a direction whose length is beyond float64.
    """
    factor, group, mu, weight = decode(lifting, rows)
    mu, length, weight = of_unit_length(mu, weight, lambda rows: lengths_of(lifting, group, rows))
    table = FactorTable(lifting)
    kind = table.of(factor)
    parts: Terms = {}
    pairs, inverse = np.unique(np.stack([kind, group]), axis=1, return_inverse=True)
    for k, (first, second) in enumerate(pairs.T.tolist()):
        here, bounded = np.ravel(inverse) == k, BOUNDED[second]
        i, q = factor[here] - table.starts[first], lifting.sizes[bounded]
        for f in table.forms[first].terms:
            index, value = f.index[i], weight[here] * f.coefficient[i]
            every = np.broadcast_to(np.arange(q), (len(i), q)).ravel()
            # two roundings of the three factors: accounted for in the sums' error
            across = (np.repeat(index, q), every, (-value[:, None] * mu[here][:, :q]).ravel())
            parts.setdefault((f.group, bounded), []).append(across)
            parts.setdefault((f.group, ONE), []).append((index, np.zeros_like(index), value * length[here]))
    return summed(lifting, parts, arithmetic)
