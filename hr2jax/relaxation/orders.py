"""Neurons whose rows are exactly proportional: their masks are ordered by their thresholds, whatever x is.

With s = r . y the neurons of a layer whose rows are k_i r are on where k_i s + b_i > 0, which is above the threshold
-b_i / k_i where k_i > 0, below it where k_i < 0. Of two neighbours a, b in the order of their thresholds

    k_a, k_b > 0: b on only if a is        k_a < 0 < k_b: never both on
    k_a, k_b < 0: a on only if b is        k_b < 0 < k_a: never both off

wherever no pre-activation is 0, and where one is 0 around x its mask may be chosen so (docs/theory/cuts.md). Clip's two
ReLUs, a ReLU of z and of -z, and duplicates are such neurons. Rows with radii are none.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from itertools import pairwise

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.exact import rounded_product, rounded_quotient
from ..arithmetic.float64 import Array
from ..layer import Layer
from ..network import Network
from .presolve import Presolve

# (1-u_i) u_j = 0, u_i u_j = 0, (1-u_i) (1-u_j) = 0.
IMPLIED, NOT_BOTH_ON, NOT_BOTH_OFF = "(1-u).u'", "u.u'", "(1-u).(1-u')"
KINDS = (IMPLIED, NOT_BOTH_ON, NOT_BOTH_OFF)
MOST_COMPARED = 2**22  # entries: of larger matrices only every second, third, ... column tells which to compare exactly
DIGITS = 10  # rows that agree to so many, in units of their largest entry, are compared exactly

Orders = Mapping[tuple[str, int], Array]


def ordered_masks(net: Network, fixed: Presolve) -> dict[tuple[str, int], Array]:
    """By kind and layer the (m, 2) pairs (i, j) of positions among the layer's unstable neurons, none of them empty."""
    out: dict[tuple[str, int], Array] = {}
    for l in fixed.structure.masked:
        if not net.layers[l - 1].is_kinked:
            continue  # its masks are no signs
        for kind, pairs in _of_layer(net.enclosed[l - 1], fixed.members(l)).items():
            if pairs:
                out[kind, l] = np.array(pairs, dtype=np.int64)
    return out


def _of_layer(layer: Layer, unstable: Array) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {kind: [] for kind in KINDS}
    parts = [*layer.inputs.values(), layer.bias]
    if len(unstable) < 2 or any(isinstance(part, Enclosure) for part in parts):
        return found
    rows = np.concatenate([A[unstable] for A in layer.inputs.values()], axis=1)
    for places in _alike(rows):
        every = _by_threshold(rows, layer.bias[unstable], places)
        rising, falling = ([place for place, rises in every if rises is side] for side in (True, False))
        found[IMPLIED] += [*pairwise(rising), *((b, a) for a, b in pairwise(falling))]
        for (a, a_rises), (b, b_rises) in pairwise(every):
            if a_rises != b_rises:
                found[NOT_BOTH_OFF if a_rises else NOT_BOTH_ON].append((a, b))
    return found


def _alike(rows: Array) -> list[Array]:
    """Places of rows that may be proportional, two or more each; rows of zeros are none's."""
    largest = np.argmax(np.abs(rows), axis=1)
    pivot = rows[np.arange(len(rows)), largest]
    groups = [np.flatnonzero(pivot != 0)]
    # by the middle of the row first, which leaves nothing to be compared where rows are none's multiples
    for columns in (slice(rows.shape[1] // 2, None, rows.shape[1]), slice(None, None, 1 + rows.size // MOST_COMPARED)):
        some = np.sort(np.concatenate([np.zeros(0, np.int64), *groups]))
        with np.errstate(all="ignore"):
            unit = rows[some, columns] / pivot[some, None]
        unit = np.column_stack([largest[some], np.round(np.nan_to_num(unit), DIGITS) + 0.0])
        groups = _equal(unit, some)
    return groups


def _equal(keys: Array, places: Array) -> list[Array]:
    """The places of rows of keys that are the same, two or more each."""
    if not len(places):
        return []
    _, group, count = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(np.ravel(group), kind="stable")
    groups = np.split(places[order], np.cumsum(count)[:-1])
    return [own for own in groups if len(own) > 1]


def _by_threshold(rows: Array, bias: Array, places: Array) -> list[tuple[int, bool]]:
    """The places that are exactly proportional to the first, by their thresholds, and whether their k is positive."""
    first = rows[places[0]]
    at = int(np.argmax(np.abs(first)))
    factor, exact = rounded_quotient(rows[places, at], first[at])
    factor = np.where(np.isfinite(factor), factor, 0.0)  # a multiple beyond float64 is none's
    value, product_exact = rounded_product(factor[:, None], first[None])
    same = exact & (product_exact & (value == rows[places])).all(axis=1) & (factor != 0)
    kept = [(int(p), Fraction(float(k))) for p, k in zip(places[same], factor[same], strict=True)]
    kept.sort(key=lambda item: (-Fraction(float(bias[item[0]])) / item[1], item[0]))
    return [(p, k > 0) for p, k in kept]
