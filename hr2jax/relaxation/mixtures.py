"""Mixtures: split squares of all that two neurons' masks multiply, with scales for each mask (docs/theory/cuts.md).

What a neuron's mask multiplies, b_c of the columns c (1, and of each chain what stands before the mask), is behind u
the vector m of the u b_c, and behind 1 - u the vector m' = b - m. Of two neurons let A = alpha.m_1 + alpha'.m_1' and
B = beta.m_2 + beta'.m_2'. As one of m_1 and m_1' is 0, and one of m_2 and m_2',

    (A - B)^2 + 4 (alpha.m_1) (beta.m_2)

is (alpha.m_1 + beta.m_2)^2 where both masks are 1 and (A - B)^2 elsewhere: >= 0 for all alpha, alpha', beta and beta'.
Split squares (squares.py) are those of one column whose alpha is alpha', whose beta is beta'. In the tensored lifting
columns even in t are as many as s has entries, s_k in front of each.

Multipliers are the rows of one array of float64, (m, 3 + 4 r) for r columns: the numbers of two neurons, the r entries
each of alpha, alpha', beta and beta', and the multiplier.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arithmetic.enclosure import Enclosure
from ..arithmetic.float64 import Array
from ..arithmetic.norms import row_norms
from ..arithmetic.protocol import Arithmetic
from .basis import BEFORE_MASK, Group, Lifting
from .chains import masked_pair
from .cones import of_unit_length
from .forms import Form, Term
from .products import Terms, by_kinds, numbers_of, put, summed
from .tensored import Tensored, is_odd

MIXTURES = "mixtures"
CHAINS = ("u", *BEFORE_MASK)


class Column(NamedTuple):
    """What masks multiply: of a chain ("u": the constant), in the tensored lifting of one copy of what is even."""

    chain: str
    copy: int = 0


class MixtureTable:
    """The neurons that have masks, numbered layer by layer, and what these multiply.

    Attributes:
        layers: those that have such neurons.
        starts: (len(layers) + 1,) number of the first of each.
        columns: in order.
        forms: by layer and column, before a mask and behind it.
    """

    def __init__(self, lifting: Lifting):
        one = lifting.one if isinstance(lifting, Tensored) else lifting
        by_tangents = one.presolve.chains == ("q",)
        found: dict[tuple[int, Column], tuple[Form, Form]] = {}
        for layer in one.presolve.structure.masked:
            if not by_tangents and Group("v", layer) not in one.sizes:  # a smooth layer of another kind
                continue
            for chain in CHAINS:
                is_there = (chain == "u" and not by_tangents) or chain in _chains_of(one, layer)
                if not is_there:
                    continue
                behind, before = masked_pair(one, chain, layer)
                copies = lifting.outputs if isinstance(lifting, Tensored) and chain != "p" else 1
                for k in range(copies):
                    found[layer, Column(chain, k)] = _copy(lifting, before, k), _copy(lifting, behind, k)
        self.forms = found
        self.layers = tuple(dict.fromkeys(layer for layer, _ in found))
        every = {column for _, column in found}
        self.columns = tuple(sorted(every, key=lambda column: (CHAINS.index(column.chain), column.copy)))
        self.starts = np.cumsum([0, *(len(one.presolve.members(layer)) for layer in self.layers)])

    @property
    def count(self) -> int:
        """How many neurons."""
        return int(self.starts[-1])

    @property
    def width(self) -> int:
        """Of a row, with its multiplier."""
        return 3 + 4 * len(self.columns)

    def has(self) -> Array:
        """(count, columns) bool: which columns a neuron has."""
        own = np.array([[(l, c) in self.forms for c in self.columns] for l in self.layers], dtype=bool)
        return np.repeat(own.reshape(len(self.layers), len(self.columns)), np.diff(self.starts), axis=0)


def _chains_of(lifting: Lifting, layer: int) -> tuple[str, ...]:
    """The chains that have variables behind a layer's masks, LipSDP's among them."""
    if layer not in lifting.masked or layer in lifting.curves or layer in lifting.ties:
        return ()
    return tuple(c for c in BEFORE_MASK if Group(c, layer) in lifting.sizes or Group(c, layer) in lifting.derived)


def _copy(lifting: Lifting, form: Form, k: int) -> Form:
    """The form itself, or of the tensored lifting s_k times it where it is even."""
    if not isinstance(lifting, Tensored):
        return form
    return Form(tuple(
        t if is_odd(t.group) else Term(
            lifting.copy_of(t.group), k * lifting.one.length(t.group) + t.index, t.coefficient
        )
        for t in form.terms
    ))  # fmt: skip


def decode(lifting: Lifting, rows: Array) -> tuple[Array, Array, Array]:
    """Numbers (m, 2) int64, scales (m, 2, 2, r) by neuron and mask, and multipliers (m,) clipped at 0.

    Raises:
        ValueError: rows of another width, numbers of no neurons, or scales of columns that a neuron does not have.
    """
    table = MixtureTable(lifting)
    if np.ndim(rows) != 2 or np.shape(rows)[1] != table.width:
        raise ValueError(f"mixtures must be rows of {table.width} numbers, but their shape is {np.shape(rows)}")
    numbers = numbers_of(rows[:, :2], table.count, "mixtures must be of two numbers of neurons")
    scales = np.asarray(rows[:, 2:-1], dtype=np.float64).reshape(len(rows), 2, 2, len(table.columns))
    if len(rows) and (scales[~np.broadcast_to(table.has()[numbers][:, :, None], scales.shape)] != 0).any():
        raise ValueError("mixtures must have scales 0 of what a neuron's mask does not multiply")
    return numbers, scales, np.maximum(rows[:, -1], 0.0)


def mixture_entries(
    lifting: Lifting, rows: Array, arithmetic: type[Arithmetic] = Enclosure
) -> list[tuple[Group, Group, Array, Array, Arithmetic]]:
    """What sum lambda ((A - B)^2 + 4 (alpha.m_1) (beta.m_2)) adds to a quadratic form; no position twice.

    Raises:
        ValueError: see `decode`; or numbers beyond float64.
    """
    numbers, scales, weight = decode(lifting, rows)
    table, parts = MixtureTable(lifting), Terms()
    flat = np.asarray(rows[:, 2:-1], dtype=np.float64)
    flat, _, weight = of_unit_length(flat, weight, lambda mu: row_norms(mu, 2), 2)
    scales = flat.reshape(scales.shape)
    block = np.searchsorted(table.starts, numbers, side="right") - 1
    for pair, here in by_kinds(block):
        lam, side = weight[here], []
        on: list[list[Any]] = [[], []]
        for which, sign in ((0, 1.0), (1, -1.0)):
            layer, place = table.layers[pair[which]], numbers[here, which] - table.starts[pair[which]]
            for c, column in enumerate(table.columns):
                if (layer, column) not in table.forms:
                    continue
                before, behind = table.forms[layer, column]
                alpha, other = scales[here, which, :, c].T
                on[which] += _scaled(behind, place, alpha)
                side += [
                    *_scaled(behind, place, sign * alpha), *_scaled(before, place, sign * other),
                    *_scaled(behind, place, -sign * other),
                ]  # fmt: skip
        # coefficients of forms are 1, -1 or a half, so that each value is of two roundings
        for f, i, value in side:
            for g, j, factor in side:
                put(parts, f, g, i, j, lam * value * factor)
        for f, i, value in on[0]:
            for g, j, factor in on[1]:
                put(parts, f, g, i, j, 4.0 * lam * value * factor)
    return summed(lifting, parts, arithmetic)


def _scaled(form: Form, place: Array, scale: Array) -> list[tuple[Group, Array, Array]]:
    """Groups, entries and coefficients of scales times the form's rows at these places, but where all are 0."""
    if not scale.any():
        return []
    return [(t.group, t.index[place], scale * t.coefficient[place]) for t in form.terms]
