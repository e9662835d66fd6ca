"""What is piecewise linear, as layers of kinked neurons with skips, exactly: maxima, minima, Clip, pools."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic import exact
from ...arithmetic.float64 import Array
from ...layers import comparator_ranks
from .affine import Affine, Builder
from .numbers import Number


def activation(builder: Builder, a: Affine, name: str, **parameters: Any) -> Affine:
    """A layer with the activation `name`."""
    return builder.activate(a, name, parameters)


def leaky(builder: Builder, a: Affine, slope: float) -> Affine:
    """z where z > 0, slope z elsewhere."""
    if slope == 0.0:
        return builder.activate(a, "relu")
    return a if slope == 1.0 else activation(builder, a, "leaky_relu", negative_slope=slope)


def maximum(builder: Builder, a: Affine, b: Affine) -> Affine:
    """max(a, b) = a + relu(b - a), of the same shape; a may be a constant."""
    a, b, difference = _compared(builder, a, b)
    return builder.add(a, builder.activate(difference, "relu"))


def minimum(builder: Builder, a: Affine, b: Affine) -> Affine:
    """min(a, b) = a - relu(a - b), of the same shape; a may be a constant."""
    a, b, difference = _compared(builder, a, b)
    return builder.subtract(a, builder.activate(builder.negative(difference), "relu"))


def _compared(builder: Builder, a: Affine, b: Affine) -> tuple[Affine, Affine, Affine]:
    """a, b and b - a, where the difference is exactly that of the two."""
    a, b = builder.steady(a), builder.steady(b)
    try:
        return a, b, builder.exact_sum(b, builder.negative(a))
    except exact.InexactError:
        a, b = builder.settled(a), builder.settled(b)
        return a, b, builder.subtract(b, a)


def clip(builder: Builder, a: Affine, low: Array | None, high: Array | None) -> Affine:
    """Entries below `low` become low, those above `high` high; both of a's shape, low <= high."""
    if low is None and high is None:
        return a
    if low is None:
        return minimum(builder, builder.constant(high), a)  # type: ignore[arg-type]
    if high is None:
        return maximum(builder, builder.constant(low), a)
    a = builder.steady(a)
    try:  # both kinks of one argument, which is one layer's where its constants would be rounded
        exact.total(a.shift, -low.ravel())  # type: ignore[arg-type]
        exact.total(a.shift, -high.ravel())  # type: ignore[arg-type]
    except exact.InexactError:
        a = builder.again(a)
    flat = a.shaped((a.size,))
    both = builder.joined([builder.plus(flat, -low.ravel()), builder.plus(flat, -high.ravel())], 0)
    r = builder.activate(both, "relu")
    n = a.size
    above = builder.taken(r, np.arange(n), a.shape)
    over = builder.taken(r, np.arange(n, 2 * n), a.shape)
    return builder.plus(builder.subtract(above, over), low)


def largest(builder: Builder, a: Affine, groups: Array, shape: tuple[int, ...]) -> Affine:
    """The largest entries of groups, as a tensor of `shape`: a tree of maxima, one layer a level.

    Args:
        builder: the layers.
        a: the entries.
        groups: (n, k) flat indices, -1 for fewer than k; one at least in every row.
        shape: of n entries.
    """
    value = builder.steady(a)
    groups = np.sort(groups, axis=1)[:, ::-1]  # what is there first; a maximum has no order
    count = (groups >= 0).sum(axis=1)
    n = len(groups)
    while groups.shape[1] > 1 and (count > 1).any():
        pairs = groups.shape[1] // 2
        first, second = groups[:, 0 : 2 * pairs : 2], groups[:, 1 : 2 * pairs : 2]
        both = second >= 0
        try:
            difference = _between(builder, value, first[both], second[both])
        except exact.InexactError:
            value = builder.settled(value)
            difference = _between(builder, value, first[both], second[both])
        r = builder.activate(difference, "relu")
        rest = groups[:, 2 * pairs :]
        kept = np.concatenate([first, rest], axis=1)
        # entries of the next level: those of `value`, and r's, added where two were compared
        added = np.full(kept.shape, -1)
        added[:, :pairs][both] = np.arange(r.size)
        there = kept >= 0
        m = int(there.sum())
        value = builder.add(builder.taken(value, kept[there], (m,)), builder.taken(r, added[there], (m,)))
        groups = np.full(kept.shape, -1)
        groups[there] = np.arange(m)
        count = there.sum(axis=1)
    return builder.taken(value, groups[np.arange(n), 0], shape)


def in_order(builder: Builder, a: Affine, groups: Array, descending: bool) -> Affine:
    """The entries of groups in ascending or descending order, flat: a network of comparators, one layer a rank.

    Args:
        builder: the layers.
        a: the entries.
        groups: (n, k) flat indices.
        descending: the largest first.
    """
    count, size = groups.shape
    value = builder.taken(builder.steady(a), groups.ravel(), (groups.size,))
    places = np.arange(groups.size).reshape(count, size)
    for rank in comparator_ranks(size):
        low, high = (places[:, [pair[side] for pair in rank]].ravel() for side in (0, 1))
        if descending:
            low, high = high, low
        try:
            difference = _between(builder, value, high, low)
        except exact.InexactError:
            value = builder.settled(value)
            difference = _between(builder, value, high, low)
        r = builder.activate(difference, "relu")  # the smaller of two is low - r, the larger high + r
        moved = np.full(groups.size, -1)
        moved[low] = moved[high] = np.arange(r.size)
        signs = np.zeros(groups.size)
        signs[low], signs[high] = -1.0, 1.0
        value = builder.add(value, builder.scale(builder.taken(r, moved, value.shape), signs))
        value = builder.settled(value)  # without it a row would grow with every rank
    return value


def _between(builder: Builder, a: Affine, first: Array, second: Array) -> Affine:
    left, right = (builder.taken(a, index, index.shape) for index in (first, second))
    return builder.exact_sum(right, builder.negative(left))


def hard_sigmoid(builder: Builder, a: Affine, slope: Number, offset: Number) -> Affine:
    """max(0, min(1, slope a + offset))."""
    ones = np.ones(a.shape)
    z = builder.plus(builder.scale(a, slope * ones), offset * ones)
    return clip(builder, z, np.zeros(a.shape), ones)
