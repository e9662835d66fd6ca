"""Exclusions: two or three masks of which no input has all, times any factor (docs/theory/cuts.md).

Of k masks that no input has at once at most k - 1 are there, so that with their indicators phi and a factor f >= 0

    f (k - 1 - phi_1 - ... - phi_k) >= 0.

That no input has them is proved by parts: up to three more neurons are on or off, and in each of the 2^e parts a
combination of all these neurons' z, each with the sign that its literal says, has a height below 0 (literals.py), but
is at least 0 where the literals hold. Multipliers are the rows of one array of float64, (m, 56 + 8 w):

    f, phi_1, phi_2, phi_3      numbers of factors (`products.FactorTable`); f or phi_3 may be -1: 1, or none
    e_1, e_2, e_3               numbers of factors u of the neurons that parts are told by; -1: fewer
    d (8, 6)                    of each part the directions of phi_1 to phi_3 and e_1 to e_3, from 0 to 1
    slopes (8, w)               of each part
    the multiplier

Part p, from 0, has e_i off where p has the bit 2^(i - 1); those with the bit of an e_i that is none are not used.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.protocol import Arithmetic
from .basis import ONE, Group, Lifting
from .forms import Term
from .literals import Literals, check_proofs, heights, width_of
from .literals import decode as decode_literals
from .products import FactorTable, Terms, put, summed

EXCLUSIONS = "exclusions"
LENGTH, EXTRA = 3, 3
PARTS = 2**EXTRA
NONE = -1


class Exclusions(NamedTuple):
    """Rows of a factor times an exclusion.

    Attributes:
        factor: (m,) numbers of factors; -1: 1.
        literals: m rows of 3 (of any number in circuits.py), of layer 0 where there is none.
        weights: (m,) multipliers, clipped at 0.
    """

    factor: Array
    literals: Literals
    weights: Array


def row_width(lifting: Lifting) -> int:
    """Of a row, with its multiplier."""
    return 2 + LENGTH + EXTRA + PARTS * (LENGTH + EXTRA + width_of(lifting))


def decode(lifting: Lifting, rows: Array) -> Exclusions:
    """What a certificate's rows say, every exclusion proved.

    Raises:
        ValueError: rows that are not as said, or masks that are not proved never to be there at once.
    """
    if np.ndim(rows) != 2 or np.shape(rows)[1] != row_width(lifting):
        raise ValueError(f"exclusions must be rows of {row_width(lifting)} numbers, not {np.shape(rows)}")
    factor = factors_of(lifting, rows[:, 0])
    proofs, inverse = np.unique(rows[:, 1:-1], axis=0, return_inverse=True)
    literals = _all_literals(lifting, proofs[:, : LENGTH + EXTRA])
    _check(lifting, literals, proofs[:, LENGTH + EXTRA :])
    own = Literals(*(values[np.ravel(inverse), :LENGTH] for values in literals))
    return Exclusions(factor, own, np.maximum(rows[:, -1], 0.0))


def factors_of(lifting: Lifting, numbers: Array) -> Array:
    """The numbers of factors, or -1 for 1, as int64.

    Raises:
        ValueError: others.
    """
    if not ((numbers >= NONE) & (numbers < FactorTable(lifting).count) & (numbers == np.rint(numbers))).all():
        raise ValueError("an exclusion's factor must be the number of one")
    return numbers.astype(np.int64)


def _all_literals(lifting: Lifting, numbers: Array) -> Literals:
    """The literals and the parts' neurons, (m, 6) each; of layer 0 where there is none."""
    has = numbers != NONE
    if not (has[:, 0] & has[:, 1]).all() or (has[:, LENGTH:-1] < has[:, LENGTH + 1 :]).any():
        raise ValueError("an exclusion must have two literals or three, and its parts' neurons one after the other")
    signs, layers, place = np.zeros((3, *numbers.shape), dtype=np.int64)
    for pattern in np.unique(has, axis=0):
        here = np.flatnonzero((has == pattern).all(axis=1))
        found = decode_literals(lifting, numbers[np.ix_(here, pattern)], "an exclusion's literals")
        for out, values in zip((signs, layers, place), found, strict=True):
            out[np.ix_(here, pattern)] = values
    if (signs[:, LENGTH:] < 0).any():
        raise ValueError("neurons that parts are told by must be given by their u")
    return Literals(signs, layers, place)


def _check(lifting: Lifting, literals: Literals, proofs: Array) -> None:
    """Refuse an exclusion of which a part's height is not below 0."""
    count, width = LENGTH + EXTRA, width_of(lifting)
    directions = proofs[:, : PARTS * count].reshape(-1, PARTS, count)
    slopes = proofs[:, PARTS * count :].reshape(-1, PARTS, width)
    check_proofs(lifting, directions.reshape(-1, count), slopes.reshape(-1, width), EXCLUSIONS)
    of_part = np.where(np.arange(PARTS)[:, None] >> np.arange(EXTRA) & 1, -1, 1)
    for p, signs in enumerate(of_part):
        used = np.flatnonzero(((signs > 0) | (literals.layers[:, LENGTH:] > 0)).all(axis=1))
        if not len(used):
            continue
        own = literals.signs[used].copy()
        own[:, LENGTH:] *= signs
        here = Literals(own, literals.layers[used], literals.place[used])
        if not (heights(lifting, here, np.maximum(directions[used, p], 0.0) * own, slopes[used, p]) < 0.0).all():
            raise ValueError("an exclusion's masks cannot be proved never to be there at once")


def exclusion_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda f (k - 1 - phi_1 - ... - phi_k) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`.
    """
    return product_entries_of(lifting, decode(lifting, rows), arithmetic)


def product_entries_of(
    lifting: Lifting, found: Exclusions, arithmetic: type[Arithmetic]
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What factors times exclusions of any length add to a quadratic form; no position twice."""
    table, parts = FactorTable(lifting), Terms()
    kinds = np.where(found.factor < 0, NONE, table.of(found.factor))
    for kind in np.unique(kinds).tolist():
        here = np.flatnonzero(kinds == kind)
        number = found.factor[here] - (0 if kind < 0 else table.starts[kind])
        constant = (Term(ONE, np.zeros(len(here), np.int64), np.ones(len(here))),)
        for term in constant if kind < 0 else table.forms[kind].terms:
            index, size = (term.index, term.coefficient) if kind < 0 else (term.index[number], term.coefficient[number])
            _times_exclusion(parts, term.group, index, found.weights[here] * size, found.literals, here)
    return summed(lifting, parts, arithmetic)


def _times_exclusion(parts: Terms, group: Group, index: Array, size: Array, literals: Literals, here: Array) -> None:
    """Add size y_group[index] (k - 1 - sum phi): phi = (1 + s v)/2, halves are exact."""
    signs, layers, place = (values[here] for values in literals)
    lengths = (layers > 0).sum(axis=1)
    put(parts, group, ONE, index, np.zeros(len(here), np.int64), size * (0.5 * lengths - 1.0))
    for k in range(layers.shape[1]):
        for l in np.unique(layers[layers[:, k] > 0, k]).tolist():
            own = layers[:, k] == l
            put(parts, group, Group("v", l), index[own], place[own, k], -0.5 * size[own] * signs[own, k])
