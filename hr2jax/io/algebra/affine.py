"""The value of a tensor: an affine expression in the layers that are done, and the layers that it makes.

An importer walks its graph once. An affine operator changes expressions, entry by entry or by a matrix; any other
appends a layer and goes on with that layer's values. Two affine maps become one only where float64 holds it exactly;
otherwise the first of them becomes a layer with the identity as its activation, and nothing is rounded. A coefficient
that is no float64 itself (1/3) is a midpoint and a radius.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...arithmetic import exact
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ...layer import Layer
from . import maps, numbers
from .maps import Map
from .numbers import Number

Shape = tuple[int, ...]
_DENSE = 0.1  # share of entries from which a layer's matrix is stored in full
_REPEATED = 2**16  # entries that are not worth an identity layer to store them once
_ALWAYS_DENSE = 4096  # entries of a matrix that is small enough to be stored in full
_LARGE = 2**24  # entries from which it is stored in full only if that takes no more than three times CSR's bytes


@dataclass(frozen=True, eq=False)
class Affine:
    """sum_k M_k y_k + shift, whose entries are those of a tensor of `shape` in C order; y_0 is the input.

    `operators` names what it was made of since the last layer, for a person to read.
    """

    shape: Shape
    terms: Mapping[int, Map]
    shift: Number
    operators: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many entries it has."""
        return len(numbers.mid(self.shift))

    @property
    def is_exact(self) -> bool:
        """Whether no entry has a radius."""
        return not isinstance(self.shift, Enclosure) and all(m.rad is None for m in self.terms.values())

    def shaped(self, shape: Shape) -> Affine:
        """The same entries in another shape."""
        return replace(self, shape=shape)


@dataclass(frozen=True, eq=False)
class Made:
    """A layer that is done: its argument, what is applied, and the operators that it was made of."""

    value: Affine
    activation: str
    parameters: Mapping[str, Any]
    operators: tuple[str, ...] = ()


class Builder:
    """The layers that a walk over a graph has made, and the operations on expressions in their values.

    Attributes:
        layers: layer l is `layers[l - 1]`.
        width: the input's entries.
        before, operator: the operators that the values at hand were made of, and the one that is applied to them.
    """

    def __init__(self, shape: Shape):
        self.layers: list[Made] = []
        self.width = int(np.prod(shape, dtype=np.int64))
        self.source = Affine(shape, {0: maps.identity(self.width)}, np.zeros(self.width))
        self.before: tuple[str, ...] = ()
        self.operator = ""
        self._settled: dict[int, tuple[Affine, Affine]] = {}

    # Entries moved

    def taken(self, value: Affine, index: Array, shape: Shape) -> Affine:
        """The entries `index` (flat), -1 for zeros, as a tensor of `shape`."""
        index = index.ravel()
        if len(index) == value.size and (index == np.arange(len(index))).all():
            return value.shaped(shape)
        maps.room(float(len(index)))
        there = index >= 0
        inside = np.where(there, index, 0)
        if not value.size:
            shift: Number = np.zeros(len(index))
        else:
            shift = numbers.moved(lambda a: np.where(there, a[inside], 0.0), value.shift)
        terms = {k: (m, maps.rows(m, index)) for k, m in value.terms.items()}
        # what is taken of constants is a constant; a layer of zeros stays one
        return Affine(shape, {k: m for k, (all_, m) in terms.items() if _holds(m) or not _holds(all_)}, _plain(shift))

    def joined(self, values: Sequence[Affine], axis: int) -> Affine:
        """Tensors one after another along an axis; their other dimensions agree."""
        stack = self._stack(values)
        ends = np.cumsum([0, *(v.size for v in values)])
        places = [np.arange(a, a + v.size).reshape(v.shape) for a, v in zip(ends, values, strict=False)]
        index = np.concatenate(places, axis=axis)
        return self.taken(stack, index, index.shape)

    def _stack(self, values: Sequence[Affine]) -> Affine:
        terms = {}
        for k in sorted({k for v in values for k in v.terms}):
            width = next(v.terms[k] for v in values if k in v.terms).shape[1]
            terms[k] = maps.stacked([(v.size, v.terms.get(k)) for v in values], width)
        if any(isinstance(v.shift, Enclosure) for v in values):
            radii = [numbers.rad(v.shift) for v in values]
            radius = np.concatenate([np.zeros(v.size) if r is None else r for r, v in zip(radii, values, strict=True)])
            shift: Number = Enclosure(np.concatenate([numbers.mid(v.shift) for v in values]), radius)
        else:
            shift = np.concatenate([numbers.mid(v.shift) for v in values])
        return Affine((len(numbers.mid(shift)),), terms, shift)

    def constant(self, value: Number) -> Affine:
        """A constant as an expression."""
        return Affine(numbers.mid(value).shape, {}, numbers.moved(np.ravel, value))

    def spread(self, value: Affine, shape: Shape) -> Affine:
        """Repeated to `shape`, as NumPy broadcasts."""
        if value.shape == shape:
            return value
        maps.room(float(np.prod([float(n) for n in shape])))
        index = np.broadcast_to(np.arange(value.size).reshape(value.shape), shape)
        return self.taken(value, index, shape)

    # Sums and products

    def add(self, a: Affine, b: Affine) -> Affine:
        """a + b, which broadcast."""
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = self.spread(a, shape), self.spread(b, shape)
        for first, second in ((a, b), (self.settled(a), b), (self.settled(a), self.settled(b))):
            try:
                return _sum(first, second)
            except exact.InexactError:
                continue
        return _sum(self.settled(a), self.again(b))

    def exact_sum(self, a: Affine, b: Affine) -> Affine:
        """a + b of one shape, without a layer.

        Raises:
            InexactError: a coefficient would have to be rounded.
        """
        return _sum(a, b)

    def plus(self, a: Affine, constant: Number) -> Affine:
        """a + constant (of a's shape)."""
        flat = numbers.moved(np.ravel, constant)
        if isinstance(flat, Enclosure) or isinstance(a.shift, Enclosure):
            base = a if not numbers.mid(a.shift).any() and not isinstance(a.shift, Enclosure) else self.settled(a)
            return replace(base, shift=flat)
        try:
            return replace(a, shift=exact.total(a.shift, flat))
        except exact.InexactError:
            return replace(self.settled(a), shift=flat)

    def negative(self, a: Affine) -> Affine:
        """-a."""
        return Affine(a.shape, {k: maps.negative(m) for k, m in a.terms.items()}, numbers.negative(a.shift))

    def subtract(self, a: Affine, b: Affine) -> Affine:
        """a - b, which broadcast."""
        return self.add(a, self.negative(b))

    def scale(self, a: Affine, factors: Number) -> Affine:
        """Entry by entry times `factors` (of a's shape)."""
        flat = numbers.moved(np.ravel, factors)
        try:
            return _scaled(a, flat)
        except exact.InexactError:
            return _scaled(self.settled(a), flat)

    def divide(self, a: Affine, divisors: Number) -> Affine:
        """Entry by entry divided by `divisors` (of a's shape)."""
        flat = numbers.moved(np.ravel, divisors)
        try:
            return _divided(a, flat)
        except exact.InexactError:
            return _divided(self.settled(a), flat)

    def apply(self, matrix: Map, a: Affine, shape: Shape) -> Affine:
        """matrix @ (a's entries), as a tensor of `shape`.

        A sum over several layers, such as a MaxPool, becomes a layer first where the matrix would be stored for each.
        """
        if (len(a.terms) - 1) * maps.stored(matrix) > _REPEATED:
            a = self.settled(a)
        try:
            return _product(matrix, a, shape)
        except exact.InexactError:
            return _product(matrix, self.settled(a), shape)

    # Layers

    def activate(self, a: Affine, activation: str, parameters: Mapping[str, Any] | None = None) -> Affine:
        """A layer of `a` with this activation; its values. Of constants there is none: `a` depends on something."""
        if activation == "relu" and self._is_nonnegative(a):
            return a
        here = (self.operator,) if self.operator and (activation != "identity" or not self.before) else ()
        self.layers.append(Made(a, activation, parameters or {}, (*self.before, *here)))
        return Affine(a.shape, {len(self.layers): maps.identity(a.size)}, np.zeros(a.size))

    def settled(self, a: Affine) -> Affine:
        """The same tensor as entries of layers, so that whatever comes after is one exact map of them."""
        return a if _is_placed(a) else self.again(a)

    def known(self, a: Affine) -> Affine:
        """The values of the identity layer of `a` where there is one already, or `a`."""
        return self._settled[id(a)][1].shaped(a.shape) if id(a) in self._settled else a

    def again(self, a: Affine) -> Affine:
        """The values of an identity layer of `a`."""
        if id(a) not in self._settled:
            self._settled[id(a)] = (a, self.activate(a, "identity"))
        self.before = ()
        return self._settled[id(a)][1].shaped(a.shape)

    def steady(self, a: Affine) -> Affine:
        """The same tensor without radii: what is taken twice must be the same number both times."""
        return a if a.is_exact else self.settled(a)

    def _is_nonnegative(self, a: Affine) -> bool:
        return _is_placed(a) and all(k and self.layers[k - 1].activation == "relu" for k in a.terms)

    # What comes out

    def finish(self, outputs: Sequence[Affine]) -> list[Layer]:
        """The network's layers, its outputs flattened one after another; what nothing needs is left out."""
        return [layer for layer, _ in self.described(outputs)]

    def described(self, outputs: Sequence[Affine]) -> list[tuple[Layer, str]]:
        """`finish`, with the operators that each layer was made of."""
        flat = [o.shaped((o.size,)) for o in outputs]
        last = flat[0] if len(flat) == 1 else self.joined(flat, 0)
        top = next(iter(last.terms), 0)
        pure = len(last.terms) == 1 and top > 0 and self._is_whole(last, top)
        operators = tuple(dict.fromkeys(name for o in outputs for name in o.operators))
        made = [*self.layers] if pure else [*self.layers, Made(last, "identity", {}, operators)]
        end = top if pure else len(made)
        used = {0, end}
        for l in range(end, 0, -1):
            if l in used:
                used |= set(made[l - 1].value.terms)
        order = {l: i for i, l in enumerate(sorted(used))}
        return [
            (_layer(made[l - 1], order, self.width), ", ".join(made[l - 1].operators)) for l in sorted(used - {0})
        ]

    def _is_whole(self, last: Affine, k: int) -> bool:
        """Whether it is just the values of layer k, which is affine."""
        columns = maps.placement(last.terms[k])
        made = self.layers[k - 1]
        whole = columns is not None and last.size == made.value.size and bool((columns == np.arange(last.size)).all())
        return whole and made.activation == "identity" and not numbers.mid(last.shift).any() and last.is_exact


def _holds(m: Map) -> bool:
    """Whether an entry is not 0."""
    return any(bool(p.nnz) if maps.is_sparse(p) else bool(p.any()) for p in (m.mid, m.rad) if p is not None)


def _plain(shift: Number) -> Number:
    return shift.mid if isinstance(shift, Enclosure) and not shift.rad.any() else shift


def _is_placed(a: Affine) -> bool:
    """Whether every entry is an entry of a layer, no two the same."""
    if isinstance(a.shift, Enclosure) or a.shift.any():
        return False
    count = np.zeros(a.size, dtype=np.int64)
    for m in a.terms.values():
        columns = maps.placement(m)
        if columns is None:
            return False
        kept = columns[columns >= 0]
        if len(np.unique(kept)) < len(kept):
            return False
        count += columns >= 0
    return bool((count <= 1).all())


def _is_spots(a: Affine) -> bool:
    """Whether every matrix has one entry a row at most, a 1."""
    return all(maps.placement(m) is not None for m in a.terms.values())


def _sum(a: Affine, b: Affine) -> Affine:
    if isinstance(a.shift, Enclosure) or isinstance(b.shift, Enclosure):
        x, y = a.shift, b.shift
        if not numbers.mid(x).any() and not isinstance(x, Enclosure):
            shift: Number = y
        elif not numbers.mid(y).any() and not isinstance(y, Enclosure):
            shift = x
        else:
            raise exact.InexactError("sum")
    else:
        shift = exact.total(a.shift, b.shift)
    terms = dict(a.terms)
    for k, m in b.terms.items():
        terms[k] = maps.plus(terms[k], m) if k in terms else m
    return Affine(a.shape, terms, shift)


def _scaled(a: Affine, factors: Number) -> Affine:
    terms = {k: maps.scaled(m, factors) for k, m in a.terms.items()}
    shift = numbers.multiply(a.shift, factors)
    if isinstance(shift, Enclosure) and not _is_spots(a):
        raise exact.InexactError("product")
    return Affine(a.shape, terms, shift)


def _divided(a: Affine, divisors: Number) -> Affine:
    terms = {k: maps.divided(m, divisors) for k, m in a.terms.items()}
    shift = numbers.divide(a.shift, divisors)
    if isinstance(shift, Enclosure) and not _is_spots(a):
        raise exact.InexactError("quotient")
    return Affine(a.shape, terms, shift)


def _product(matrix: Map, a: Affine, shape: Shape) -> Affine:
    if isinstance(a.shift, Enclosure):
        raise exact.InexactError("product")
    terms = {k: maps.times(matrix, m) for k, m in a.terms.items()}
    return Affine(shape, terms, maps.vector_product(matrix, a.shift))


def _layer(made: Made, order: Mapping[int, int], width: int) -> Layer:
    value = made.value
    inputs: dict[int, Any] = {}
    for k, m in value.terms.items():
        inputs[order[k]] = _stored(m.mid) if m.rad is None else (_stored(m.mid), _stored(m.rad))
    if not inputs:
        inputs[0] = np.zeros((value.size, width))
    shift = value.shift
    bias = (shift.mid, shift.rad) if isinstance(shift, Enclosure) else shift
    return Layer(inputs, bias, made.activation, made.parameters)


def _stored(matrix: Any) -> Any:
    m, n = matrix.shape
    small = m * n <= _ALWAYS_DENSE
    if maps.is_sparse(matrix):
        if not small and (matrix.nnz < _DENSE * m * n or (m * n > _LARGE and 8 * m * n > 3 * maps.csr_bytes(matrix))):
            return matrix
        maps.room(float(m) * n, "a layer's matrix", sparse_=False)
        return matrix.toarray()
    if small or np.count_nonzero(matrix) >= _DENSE * m * n:
        return matrix
    return maps.as_csr(matrix)
