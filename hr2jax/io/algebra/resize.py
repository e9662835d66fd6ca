"""Images made larger or smaller: which entries along a dimension an entry of the result takes, and their shares.

Entry i of a result lies at (i + shift) step - shift in the old image, rational numbers of the sizes and of scales that
are float32 or float64 numbers. Shares that float64 does not hold are midpoints and radii.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from ...arithmetic.float64 import Array
from . import maps, numbers
from .maps import Map
from .numbers import Number

_ROUNDED: dict[str, Callable[[Array], Array]] = {
    "floor": np.floor, "ceil": np.ceil,
    "round_prefer_floor": lambda x: np.ceil(x - 0.5), "round_prefer_ceil": lambda x: np.floor(x + 0.5),
}  # fmt: skip
_LONGEST = 2**16
_FLOATS: tuple[Any, ...] = (np.float32, np.float64)


class Places(NamedTuple):
    """Where `length` entries of a result lie among `size` of the old image's."""

    size: int
    length: int
    shift: Fraction
    step: Fraction

    @classmethod
    def of(cls, mode: str, size: int, length: int, scale: Fraction) -> Places:
        """The places that a word of ONNX's coordinate_transformation_mode says.

        Args:
            mode: the word.
            size, length: of the old image and of the result.
            scale: how many entries of the result are one of the old image's.

        Raises:
            ValueError: the word is none that is read, or the result is too long.
        """
        if length > _LONGEST:
            raise ValueError(f"it makes images of {length} entries along a dimension, but up to {_LONGEST} are read")
        half = Fraction(1, 2)
        if mode in ("half_pixel", "half_pixel_symmetric") or (mode == "pytorch_half_pixel" and length > 1):
            return cls(size, length, half, 1 / scale)
        if mode == "asymmetric":
            return cls(size, length, Fraction(0), 1 / scale)
        if mode in ("align_corners", "pytorch_half_pixel"):
            return cls(size, length, Fraction(0), Fraction(size - 1, length - 1) if length > 1 else Fraction(0))
        raise ValueError(f"its places are {mode[:30]!r}, which is not read")

    def exact(self) -> list[Fraction]:
        """One a result's entry."""
        return [(i + self.shift) * self.step - self.shift for i in range(self.length)]

    def nearest(self, mode: str) -> Array:
        """(length,) which entry each place takes, by a word of ONNX's nearest_mode.

        Raises:
            ValueError: rounding would decide it, so that runtimes may differ.
        """
        rounded = _ROUNDED.get(mode)
        if rounded is None:
            raise ValueError(f"its nearest_mode {mode[:30]!r} is none of {', '.join(_ROUNDED)}")
        found = rounded(np.array(self.exact(), dtype=object))
        for dtype in _FLOATS:
            step, shift = dtype(float(self.step)), dtype(float(self.shift))
            i = np.arange(self.length, dtype=dtype) + shift
            ways = [i * step, i / (dtype(1.0) / step) if step else i * step]
            if self.step:
                ways.append(i / dtype(float(1 / self.step)))
            if any((rounded(x - shift) != found).any() for x in ways):
                raise ValueError("one of its places lies at the border of two entries, where rounding decides which of "
                                 "them it takes")  # fmt: skip
        return np.clip(found.astype(np.int64), 0, self.size - 1)

    def linear(self) -> tuple[Array, Number]:
        """(length, 2) the two entries that each place lies between, and their shares; the image goes on as it ends."""
        inside = [min(max(x, Fraction(0)), Fraction(self.size - 1)) for x in self.exact()]
        first = [min(int(x), max(self.size - 2, 0)) for x in inside]
        shares = [(1 - (x - k), x - k) for x, k in zip(inside, first, strict=True)]
        middle = [[float(s) for s in both] for both in shares]
        error = [[_above(abs(s - Fraction(m))) for s, m in zip(both, mids, strict=True)]
                 for both, mids in zip(shares, middle, strict=True)]  # fmt: skip
        at = np.array(first, dtype=np.int64)
        between = np.stack([at, np.minimum(at + 1, self.size - 1)], axis=1)
        return between, numbers.number(np.array(middle), np.array(error))


def _above(error: Fraction) -> float:
    return float(np.nextafter(float(error), 1.0)) if error else 0.0


def interpolation(shape: tuple[int, ...], along: Mapping[int, tuple[Array, Number]]) -> tuple[Map, tuple[int, ...]]:
    """The matrix that takes the entries of a tensor of `shape` to those of the result, in C order, and the new shape.

    Args:
        shape: of the tensor.
        along: dimension -> (m, k) its entries that each of m entries of the result takes, in order, and their shares.
    """
    size = tuple(len(along[d][0]) if d in along else n for d, n in enumerate(shape))
    each = int(np.prod([at.shape[1] for at, _ in along.values()]))
    maps.room(float(np.prod([float(n) for n in size])) * each, "the interpolation, unrolled,")
    index = np.zeros((1, 1), dtype=np.int64)
    share: Number = np.ones((1, 1))
    for d, n in enumerate(shape):
        at, own = along.get(d, (np.arange(n)[:, None], np.ones((n, 1))))
        form = (len(index) * len(at), index.shape[1] * at.shape[1])
        index = (index[:, None, :, None] * n + at[None, :, None, :]).reshape(form)
        share = numbers.moved(lambda v: v[:, None, :, None], share)
        own = numbers.moved(lambda v: v[None, :, None, :], own)
        share = numbers.moved(lambda v, form=form: v.reshape(form), numbers.multiply(share, own))  # type: ignore[misc]
    starts = np.arange(len(index) + 1) * index.shape[1]

    def filled(values: Array) -> Array:
        matrix = maps.csr(values.ravel(), index.ravel(), starts, (len(index), int(np.prod(shape))))
        return maps.clean(matrix)

    radius = numbers.rad(share)
    return Map(filled(numbers.mid(share)), None if radius is None else filled(radius)), size
