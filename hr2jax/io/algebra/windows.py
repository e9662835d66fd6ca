"""Convolutions and pools as sparse matrices and lists of entries, in C order, for any number of dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from . import numbers
from .affine import Affine, Builder
from .maps import Map, clean, csr, room
from .numbers import Number

_MOST = 2**20  # of a stride, a kernel or a padding: far above any tensor that fits


@dataclass(frozen=True)
class Windows:
    """Where a window of `kernel` stands in an image of `size`; one entry a dimension.

    Attributes:
        size: of the image.
        kernel: of the window.
        strides: from one window to the next.
        dilations: from one entry of a window to the next.
        before: how far the first window begins before the image.
        count: how many windows there are.
    """

    size: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    before: tuple[int, ...]
    count: tuple[int, ...]

    def entries(self, inside: bool = True, after: Sequence[int] = ()) -> Array:
        """(windows, entries of one): the image's flat index, -1 outside the image.

        With inside=False the image has its padding, `before` and `after`, and -1 is what is outside of that too.
        """
        room(float(np.prod([float(n) for n in (*self.count, *self.kernel)])), "what the windows hold")
        flat, there = np.zeros((1, 1), dtype=np.int64), np.ones((1, 1), dtype=bool)
        for d, n in enumerate(self.size):
            at = np.arange(self.count[d])[:, None] * self.strides[d] - self.before[d]
            at = at + np.arange(self.kernel[d])[None, :] * self.dilations[d]
            low, high = (0, n) if inside else (-self.before[d], n + after[d])
            held = (at >= low) & (at < high)
            shape = (flat.shape[0] * at.shape[0], flat.shape[1] * at.shape[1])
            flat = (flat[:, None, :, None] * n + at[None, :, None, :]).reshape(shape)
            there = (there[:, None, :, None] & held[None, :, None, :]).reshape(shape)
        return np.where(there, np.maximum(flat, 0), -1)


def adaptive(size: Sequence[int], out: Sequence[int]) -> Array:
    """(windows, entries of one): where adaptive pools to `out` look, the image's flat index, -1 for fewer entries."""
    flat = np.zeros((1, 1), dtype=np.int64)
    for n, m in zip(size, out, strict=True):
        first, last = np.arange(m) * n // m, -(-(np.arange(1, m + 1) * n) // m)
        at = first[:, None] + np.arange(int((last - first).max()))[None, :]
        at = np.where(at < last[:, None], at, -1)
        room(float(flat.size) * at.size, "what the windows hold")
        both = (flat[:, None, :, None] >= 0) & (at[None, :, None, :] >= 0)
        spread = np.where(both, flat[:, None, :, None] * n + at[None, :, None, :], -1)
        flat = spread.reshape(flat.shape[0] * m, -1)
    return flat


def checked(what: str, values: Sequence[int] | None, dims: int, default: int, least: int) -> tuple[int, ...]:
    """One number a dimension.

    Raises:
        ValueError: another number of them, or one that is out of bounds.
    """
    given = tuple(values) if values is not None else (default,) * dims
    if len(given) != dims or any(not least <= v <= _MOST for v in given):
        raise ValueError(f"{what} is {list(given)}, but {dims} numbers from {least} on are expected")
    return given


def convolution(weight: Number, groups: int, windows: Windows) -> Map:
    """The matrix of a convolution: rows (out channel, window), columns (in channel, entry of the image).

    Args:
        weight: (out, in / groups, entries of a window...).
        groups: how many groups the channels are in.
        windows: where the kernel stands.
    """
    middle, radius = numbers.mid(weight), numbers.rad(weight)
    return Map(_convolution(middle, groups, windows), None if radius is None else _convolution(radius, groups, windows))


def _convolution(weight: Array, groups: int, windows: Windows) -> Array:
    out, each = weight.shape[:2]
    entries = windows.entries()
    size = int(np.prod(windows.size))
    valid = entries >= 0
    per_window = valid.sum(axis=1)
    room(float(valid.sum()) * out * each, "the convolution, unrolled,")
    at_window, at_kernel = np.nonzero(valid)
    # for each window, all its channels, and for each channel its entries: the order of a row
    spread = np.repeat(per_window, each)  # (windows * each,) entries of a channel
    begins = np.cumsum(per_window) - per_window
    first = np.repeat(begins, each) - (np.cumsum(spread) - spread)
    which = np.arange(int(spread.sum())) + np.repeat(first, spread)
    channel = np.repeat(np.tile(np.arange(each), len(per_window)), spread)
    columns = channel * size + entries[at_window, at_kernel][which]
    data = weight.reshape(out, each, -1)[:, channel, at_kernel[which]]
    group = np.repeat(np.arange(groups), out // groups)
    indices = (group[:, None] * (each * size) + columns[None, :]).ravel()
    starts = np.concatenate([[0], np.cumsum(np.tile(per_window * each, out))])
    matrix = csr(data.ravel(), indices, starts, (out * len(per_window), groups * each * size))
    return clean(matrix)


def averages(channels: int, windows: Windows, counts: Array) -> Map:
    """The matrix that sums every window of each channel and divides by `counts` (windows,)."""
    return averages_of(channels, windows.entries(), counts, int(np.prod(windows.size)))


def averages_of(channels: int, entries: Array, counts: Array, size: int) -> Map:
    """`averages` of windows whose entries (windows, entries of one) are given, in images of `size` entries."""
    valid = entries >= 0
    held = valid.sum(axis=1)
    room(float(valid.sum()) * channels, "the pool, unrolled,")
    each = numbers.divide(np.ones(len(counts)), counts.astype(np.float64))
    indices = (np.arange(channels)[:, None] * size + entries[valid][None, :]).ravel()
    starts = np.concatenate([[0], np.cumsum(np.tile(held, channels))])
    shape = (channels * len(counts), channels * size)

    def filled(values: Array) -> Array:
        return csr(np.tile(np.repeat(values, held), channels), indices, starts, shape)

    return Map(filled(each.mid), filled(each.rad)) if isinstance(each, Enclosure) else Map(filled(each))


def pooled(channels: int, windows: Windows) -> Array:
    """(channels * windows, entries of one): the flat indices that a pool takes, -1 outside the image."""
    return pooled_of(channels, windows.entries(), int(np.prod(windows.size)))


def pooled_of(channels: int, entries: Array, size: int) -> Array:
    """`pooled` of windows whose entries (windows, entries of one) are given, in images of `size` entries."""
    room(float(entries.size) * channels, "what the pool holds")
    at = np.arange(channels)[:, None, None] * size + entries[None]
    return np.where(entries[None] >= 0, at, -1).reshape(-1, entries.shape[1])


def means(builder: Builder, a: Affine, axes: tuple[int, ...], keep: bool, divide: bool = True) -> Affine:
    """The mean (or the sum) over axes; with `keep` they stay, as 1."""
    shape = a.shape
    kept = tuple(1 if d in axes else n for d, n in enumerate(shape))
    after = kept if keep else tuple(n for d, n in enumerate(shape) if d not in axes)
    count = reduce(lambda x, y: x * y, (shape[d] for d in axes), 1)
    if count == 1:
        return a.shaped(after)
    order = [*(d for d in range(len(shape)) if d not in axes), *axes]
    index = np.arange(a.size).reshape(shape).transpose(order).reshape(-1, count)
    each = numbers.divide(np.ones(1), np.array([float(count) if divide else 1.0]))
    starts = np.arange(len(index) + 1) * count
    columns = np.sort(index, axis=1).ravel()

    def filled(value: float) -> Array:
        return csr(np.full(a.size, value), columns, starts, (len(index), a.size))

    middle = filled(float(numbers.mid(each)[0]))
    radius = numbers.rad(each)
    return builder.apply(Map(middle, None if radius is None else filled(float(radius[0]))), a, after)
