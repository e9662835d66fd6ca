"""Piecewise linear operators as layers of ReLUs and identities, exactly: Clip, maxima, sorted groups.

Each function gives the layers that come behind those that a network has already, the first of them as number `at`, and
takes its argument from the values of one layer, number `of` < at, of `width` neurons. The last layer that it gives is
an identity, whose values are the operator's:

    layers = [Layer({0: A}, b, "identity")]                       # z = A x + b
    layers += clip(1, 5, at=2, low=0.0, high=6.0)                  # ReLU6(z)
    layers += [Layer({len(layers): C}, d, "identity")]

A comparator is one ReLU r = max(a - b, 0): the larger of a and b is b + r, the smaller a - r. Its rows are 1 and -1.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic.float64 import Array, exact_float64
from .layer import Layer

SPARSE_ABOVE = 4096  # entries: matrices of more are csr_arrays where less than a tenth is not 0


def clip(of: int, width: int, at: int, low: ArrayLike = 0.0, high: ArrayLike = 1.0) -> list[Layer]:
    """min(max(y, low), high); low <= high, numbers or (width,): low + max(y - low, 0) - max(y - high, 0).

    An infinite low or high bounds nothing on its side, the same for all entries.

    Raises:
        ValueError: low above high.
    """
    if np.all(np.equal(low, -np.inf)) and np.all(np.equal(high, np.inf)):
        return [Layer({of: _eye(width)}, np.zeros(width), "identity")]
    if np.all(np.equal(low, -np.inf)):
        return _one_sided(of, width, at, _vector(high, "high", width), -1.0)
    if np.all(np.equal(high, np.inf)):
        return _one_sided(of, width, at, _vector(low, "low", width), 1.0)
    l, h = _vector(low, "low", width), _vector(high, "high", width)
    if (l > h).any():
        raise ValueError("low must be at most high")
    i = np.arange(width)
    twice = _matrix(np.arange(2 * width), np.concatenate([i, i]), 1.0, (2 * width, width))
    difference = _matrix(
        np.concatenate([i, i]), np.arange(2 * width), np.repeat([1.0, -1.0], width), (width, 2 * width)
    )  # fmt: skip
    return [Layer({of: twice}, -np.concatenate([l, h])), Layer({at: difference}, l, "identity")]


def _one_sided(of: int, width: int, at: int, bound: Array, sign: float) -> list[Layer]:
    """bound + sign max(sign (y - bound), 0)."""
    one = _eye(width, sign)
    return [Layer({of: one}, -sign * bound), Layer({at: one}, bound, "identity")]


def relu6(of: int, width: int, at: int) -> list[Layer]:
    """min(max(y, 0), 6)."""
    return clip(of, width, at, 0.0, 6.0)


def hardtanh(of: int, width: int, at: int, min_val: float = -1.0, max_val: float = 1.0) -> list[Layer]:
    """min(max(y, min_val), max_val)."""
    return clip(of, width, at, min_val, max_val)


def hardsigmoid(of: int, width: int, at: int) -> list[Layer]:
    """min(max(y / 6 + 1/2, 0), 1) = min(max(y + 3, 0), 6) / 6, 1/6 with a radius, as it is no float64."""
    ramp, out = clip(of, width, at, -3.0, 3.0)  # from -3 to 3
    (difference,) = out.inputs.values()
    sixth = np.float64(1.0) / 6.0
    return [ramp, Layer({at: (difference * sixth, abs(difference) * np.spacing(sixth))}, np.zeros(width), "identity")]


def maximum(of: int, width: int, at: int, groups: Sequence[Sequence[int]] | Array) -> list[Layer]:
    """For each group the largest of the entries of y that it counts: a MaxPool, or the maximum of two tensors.

    Args:
        of, width, at: see above.
        groups: one sequence of entries of y each, none empty; a number below 0 stands for nothing, such as padding.

    Raises:
        ValueError: an empty group, or numbers beyond y's.
    """
    return _extreme(of, width, at, groups, 1.0)


def minimum(of: int, width: int, at: int, groups: Sequence[Sequence[int]] | Array) -> list[Layer]:
    """For each group the smallest of the entries of y that it counts; as `maximum`."""
    return _extreme(of, width, at, groups, -1.0)


def _extreme(of: int, width: int, at: int, groups: Any, sign: float) -> list[Layer]:
    """The largest (sign 1) or smallest (-1) entries, by a tree of comparators: groups of s in log2 s rounds."""
    left = [[int(k) for k in group if k >= 0] for group in groups]
    if not left or not all(left) or max(map(max, left)) >= width:
        raise ValueError(f"groups must hold one or more numbers of entries 0..{width - 1} each, at least one group")
    left = [list(dict.fromkeys(group)) for group in left]
    layers: list[Layer] = []
    while not layers or max(map(len, left)) > 1:
        pairs = [(group[j], group[j + 1]) for group in left for j in range(0, len(group) - 1, 2)]
        winners: list[tuple[int, int]] = []  # (entry b that stays, the ReLU that is added, or -1)
        count, following = itertools.count(), []
        for group in left:
            start = len(winners)
            winners += [(group[j + 1], next(count)) for j in range(0, len(group) - 1, 2)]
            winners += [(group[-1], -1)] if len(group) % 2 else []
            following.append(list(range(start, len(winners))))
        stays, added = np.array(winners).T
        rows, own = np.arange(len(winners)), np.flatnonzero(added >= 0)
        inputs = {of: _matrix(rows, stays, 1.0, (len(rows), width))}
        if pairs:
            layers.append(_comparators(of, width, np.array(pairs), sign))
            inputs[at] = _matrix(own, added[own], sign, (len(rows), len(pairs)))
            at += 1
        layers.append(Layer(inputs, np.zeros(len(rows)), "identity"))
        of, at, width, left = at, at + 1, len(rows), following
    return layers


def group_sort(of: int, width: int, at: int, groups: ArrayLike, descending: bool = False) -> list[Layer]:
    """y with the entries of every group sorted, ascending in the order in which the group counts its places.

    MaxMin is the one of pairs, descending.

    Args:
        of, width, at: see above.
        groups: (m, s) distinct entries of y; s = 1 leaves them as they are.
        descending: the largest first.

    Raises:
        ValueError: numbers that are not distinct or beyond y's.
    """
    places = np.asarray(groups)
    if places.ndim != 2 or places.dtype.kind not in "iu" or len(np.unique(places)) != places.size or 0 in places.shape:
        raise ValueError(f"groups must be an array (m, s) of distinct entries, but its shape is {places.shape}")
    if not ((places >= 0) & (places < width)).all():
        raise ValueError(f"groups must count entries 0..{width - 1}")
    layers: list[Layer] = []
    for rank in comparator_ranks(places.shape[1]):
        first, second = (places[:, [pair[side] for pair in rank]].ravel() for side in (0, 1))
        if descending:
            first, second = second, first
        m = len(first)
        layers.append(_comparators(of, width, np.stack([first, second], axis=1), 1.0))
        # the smaller, a - r, comes first; the larger, b + r, second
        swap = _matrix(np.concatenate([first, second]), np.tile(np.arange(m), 2), np.repeat([-1.0, 1.0], m), (width, m))
        layers.append(Layer({of: _eye(width), at: swap}, np.zeros(width), "identity"))
        of, at = at + 1, at + 2
    return layers or [Layer({of: _eye(width)}, np.zeros(width), "identity")]


def max_min(of: int, width: int, at: int, pairs: ArrayLike | None = None) -> list[Layer]:
    """MaxMin: the larger of each pair of entries at its first place, the smaller at its second.

    pairs: (m, 2) entries; None: (0, 1), (2, 3), ...
    """
    neighbours = np.arange(width - width % 2).reshape(-1, 2)
    return group_sort(of, width, at, neighbours if pairs is None else pairs, descending=True)


def comparator_ranks(size: int) -> list[list[tuple[int, int]]]:
    """Batcher's odd-even merge sort of `size` places: ranks of disjoint comparators (i, j), the smaller to i < j."""
    ranks: list[list[tuple[int, int]]] = []
    p = 1
    while p < size:
        k = p
        while k >= 1:
            rank = [
                (i + j, i + j + k)
                for j in range(k % p, size - k, 2 * k)
                for i in range(min(k, size - j - k))
                if (i + j) // (2 * p) == (i + j + k) // (2 * p)
            ]
            ranks += [rank] if rank else []
            k //= 2
        p *= 2
    return ranks


def _comparators(of: int, width: int, pairs: Array, sign: float) -> Layer:
    """r = max(sign (a - b), 0) of pairs (m, 2) of entries a, b."""
    rows = np.arange(len(pairs))
    values = np.repeat([sign, -sign], len(rows))
    difference = _matrix(np.concatenate([rows, rows]), pairs.T.ravel(), values, (len(rows), width))
    return Layer({of: difference}, np.zeros(len(rows)))


def _eye(width: int, value: float = 1.0) -> Any:
    return _matrix(np.arange(width), np.arange(width), value, (width, width))


def _vector(value: ArrayLike, name: str, width: int) -> Array:
    array = exact_float64(value, name, np.ndim(value))
    if array.ndim > 1 or array.size not in (1, width):
        raise ValueError(f"{name} must be a number or have shape ({width},), but its shape is {array.shape}")
    return np.array(np.broadcast_to(array, (width,)))


def _matrix(rows: Array, columns: Array, values: Any, shape: tuple[int, int]) -> Any:
    """The matrix with these entries, sparse where that pays."""
    values = np.array(np.broadcast_to(values, rows.shape), dtype=np.float64)
    if np.prod(shape) > SPARSE_ABOVE and 10 * len(rows) < np.prod(shape):
        import scipy.sparse as sp  # here: `import hr2jax` loads no SciPy

        return sp.csr_array((values, (rows, columns)), shape=shape)
    out = np.zeros(shape)
    out[rows, columns] = values
    return out


__all__: Sequence[str] = (
    "clip", "comparator_ranks", "group_sort", "hardsigmoid", "hardtanh", "max_min", "maximum", "minimum", "relu6"
)  # fmt: skip
