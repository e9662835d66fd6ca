"""A direction of norm 2 in no more dimensions than its layers have rows: for engines that only steer.

The direction t is met by matrices W only, ||t|| <= 1, and with W^T = Q R, Q's columns orthonormal, t' = Q^T t says the
same: W t = R^T t', ||t'|| <= ||t||. A network of 784 inputs and 64 neurons in its first layer has so 64 variables t'
instead of 784. Multipliers of the families are the same; t's entries share one number of the diagonal, as those of t'
do. Q is rounded, which a proof could not have: what comes out is proved with t itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...relaxation.basis import Lifting, T
from ...relaxation.forms import Family


class Turned(NamedTuple):
    """A lifting with t' for t, and the way back."""

    original: Lifting
    lifting: Lifting
    Q: Array  # (entries of t, entries of t')

    def diagonal(self, d: Array) -> Array:
        """The diagonal (N,) over t of one over t' (N',)."""
        before, own = self.original.slice(T), self.lifting.slice(T)
        return np.concatenate([d[: own.start], np.full(before.stop - before.start, d[own.start]), d[own.stop :]])

    def reduced(self, d: Array) -> Array:
        """The diagonal (N',) over t' of one over t (N,), whose largest number is t's."""
        before, own = self.original.slice(T), self.lifting.slice(T)
        number = d[before].max(initial=-np.inf)
        return np.concatenate([d[: before.start], np.full(own.stop - own.start, number), d[before.stop :]])

    def factor(self, V: Array) -> Array:
        """Rows (N', r) over t' of rows (N, r) over t."""
        before = self.original.slice(T)
        return np.concatenate([V[: before.start], self.Q.T @ V[before], V[before.stop :]])


def turned(lifting: Lifting, families: Sequence[Family]) -> Turned | None:
    """The lifting with t' for t; None where that has no fewer entries, or t has products of its own."""
    if T not in lifting.balls:
        return None
    forms = [form for family in families for form in (family.F, family.G)]
    if any(term.group == T for form in forms for term in form.terms):
        return None
    derived = [terms[T].mid for terms in lifting.derived.values() if T in terms]
    sides = [
        (pair, block.mid if pair[1] == T else block.mid.T) for pair, block in lifting.objective.items() if T in pair
    ]
    if any(pair == (T, T) for pair, _ in sides):
        return None
    met = np.concatenate([*derived, *(block for _, block in sides), np.zeros((0, lifting.sizes[T]))])
    if len(met) >= lifting.sizes[T] or not len(met):
        return None
    Q = np.linalg.qr(met.T)[0]
    found = replace(
        lifting,
        sizes={group: Q.shape[1] if group == T else size for group, size in lifting.sizes.items()},
        derived={
            group: {other: Enclosure(block.mid @ Q) if other == T else block for other, block in terms.items()}
            for group, terms in lifting.derived.items()
        },
        objective={
            pair: block if T not in pair else Enclosure(block.mid @ Q if pair[1] == T else Q.T @ block.mid)
            for pair, block in lifting.objective.items()
        },
    )
    return Turned(lifting, found, Q)
