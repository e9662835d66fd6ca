"""Operators of ONNX on constant integers and booleans, of which shapes and places are computed, and scattered entries.

Every one is exact or refused. Integers are held as int64, whatever the graph's own type: what int32 would not hold is
refused. Floats are compared only where no rounding of float32 could decide otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ..algebra import maps
from ..algebra.affine import Affine
from .rules import Node, Value, axes_of, exact_floats, floats, moved, plain, rule, shape_of, size_of, whole

INTEGERS = 2**31  # what int32 holds; products of two fit into int64
_NEAR = 2.0**-16  # numbers closer than that, relative to the larger, may be the other way round in float32
_GRID, _MOST = 2.0**8, 2.0**15  # multiples of 1 / _GRID below _MOST are the same in float32


def is_integers(*values: Any) -> bool:
    """Whether all are constants of integers."""
    return all(isinstance(v, np.ndarray) and v.dtype == np.int64 for v in values)


def integers(operator: str, *values: Array) -> Array:
    """Sums, products, quotients, maxima and absolute values of integers.

    Raises:
        ValueError: int32 does not hold one of them, or a divisor is 0.
    """
    if any(np.abs(v).max(initial=0) >= INTEGERS for v in values):
        raise ValueError("its integers are too large for a shape")
    if operator == "Div":
        a, b = values
        if (b == 0).any():
            raise ValueError("integers are divided by 0")
        found: Any = np.sign(a) * np.sign(b) * (abs(a) // abs(b))  # towards 0
    else:
        found = _ARITHMETIC[operator](*values)
    if np.abs(found).max(initial=0) >= INTEGERS:
        raise ValueError("its integers are too large for a shape")
    return np.asarray(found, dtype=np.int64)


_ARITHMETIC: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum, "Neg": np.negative,
    "Abs": np.abs,
}  # fmt: skip
_COMPARED: dict[str, Callable[..., Any]] = {
    "Equal": np.equal, "Greater": np.greater, "Less": np.less, "GreaterOrEqual": np.greater_equal,
    "LessOrEqual": np.less_equal,
}  # fmt: skip


def compared(operator: str, a: Any, b: Any) -> Value:
    """A comparison of two constants.

    Raises:
        ValueError: of floats, where rounding may decide it.
    """
    if all(isinstance(v, np.ndarray) and v.dtype != np.float64 for v in (a, b)):
        return np.asarray(_COMPARED[operator](a, b))
    x, y = np.broadcast_arrays(exact_floats(a), exact_floats(b))
    near = abs(x - y) <= _NEAR * np.maximum(abs(x), abs(y))
    same = (x == y) & (x * _GRID == np.rint(x * _GRID)) & (abs(x) < _MOST)
    if (near & ~same).any():
        raise ValueError("it compares floats that are so near one another that rounding may decide it")
    return np.asarray(_COMPARED[operator](x, y))


@rule("And", (1, 7), "axis broadcast")
@rule("Or", (1, 7), "axis broadcast")
@rule("Xor", (1, 7), "axis broadcast")
def _logical(node: Node) -> Value:
    if not all(isinstance(v, np.ndarray) and v.dtype == bool for v in node.inputs):
        raise ValueError("it takes other than constant booleans, so that it may jump")
    if node.version < 7 and len({v.shape for v in node.inputs}) > 1:
        raise ValueError("its inputs have several shapes, which this operator set reads in another way")
    function: Any = {"And": np.logical_and, "Or": np.logical_or, "Xor": np.logical_xor}
    return np.asarray(function[node.operator](*node.inputs))


@rule("Mod", (10, 13, 28), "fmod")
def _mod(node: Node) -> Value:
    """With the divisor's sign, or by fmod with the dividend's."""
    a, b = node.inputs
    if not is_integers(a, b):
        raise ValueError("it takes other than constant integers, so that it may jump")
    integers("Max", a, b)
    if (b == 0).any():
        raise ValueError("integers are divided by 0")
    return np.asarray(np.fmod(a, b) if node.flag("fmod") else np.mod(a, b))


@rule("Floor", (6, 13))
@rule("Ceil", (6, 13))
def _floor(node: Node) -> Value:
    (a,) = node.inputs
    if isinstance(a, Affine):
        raise ValueError("it jumps; Relu, Max, Min, Clip are read")
    value = exact_floats(a)
    nearest = np.rint(value)
    if ((value != nearest) & (abs(value - nearest) <= _NEAR * np.maximum(abs(value), 1.0))).any():
        raise ValueError("its constant is so near a whole number that rounding may decide what it gives")
    return np.asarray(np.floor(value) if node.operator == "Floor" else np.ceil(value))


@rule("ReduceProd", (1, 11, 13, 18), "axes keepdims noop_with_empty_axes")
def _product(node: Node) -> Value:
    """Of a shape."""
    a = node.inputs[0]
    if not is_integers(a) or a.ndim != 1 or node.attributes.get("axes", [0]) != [0] or (
        node.input(1) is not None and whole(node.inputs[1]) != [0]
    ) or node.flag("noop_with_empty_axes"):  # fmt: skip
        raise ValueError("it multiplies other than a list of constant integers")
    found = np.ones(1, dtype=np.int64)
    for n in a:
        found = integers("Mul", found, n[None])
    return found if node.flag("keepdims", 1) else found.reshape(())


@rule("Size", (1, 13, 19, 21, 23, 24, 25))
def _size(node: Node) -> Value:
    return np.asarray(size_of(node.inputs[0]), dtype=np.int64)


@rule("Range", (11, 27), "stash_type")
def _range(node: Node) -> Value:
    if not is_integers(*node.inputs) or any(v.size != 1 for v in node.inputs):
        raise ValueError("its start, limit and step are no constant integers")
    start, limit, step = (int(v.ravel()[0]) for v in node.inputs)
    integers("Max", np.array([start, limit, step]), np.zeros((), np.int64))
    if step == 0 or node.attributes:
        raise ValueError("its step is 0, or it has attributes that are not read")
    maps.room(float(len(range(start, limit, step))))
    return np.arange(start, limit, step, dtype=np.int64)


@rule("NonZero", (9, 13))
def _nonzero(node: Node) -> Value:
    (a,) = node.inputs
    if not isinstance(a, np.ndarray) or a.dtype == np.float64:
        raise ValueError("it takes other than constant integers or booleans, so that it may jump")
    return np.array(np.nonzero(a), dtype=np.int64)


@rule("Trilu", (14,), "upper")
def _trilu(node: Node) -> Value:
    """Entries on one side of a diagonal; zeros on the other."""
    a, given = node.inputs[0], node.input(1)
    (k,) = (0,) if given is None else whole(given)
    shape, upper = shape_of(a), node.flag("upper", 1)
    if len(shape) < 2:
        raise ValueError("its input is no matrix")
    k = max(min(k, shape[-1]), -shape[-2])
    ones = np.ones(shape[-2:], dtype=bool)
    kept = np.broadcast_to(np.triu(ones, k) if upper else np.tril(ones, k), shape)
    if not isinstance(a, Affine):
        return moved(node, a, lambda v: np.where(kept, v, np.zeros((), v.dtype)))
    index = np.where(kept, np.arange(a.size).reshape(shape), -1)
    return plain(node.builder.taken(a, index, shape))


# Entries at constant places


def _places(value: Any, n: Any) -> Array:
    """Indices from 0 on.

    Raises:
        ValueError: they are no constant integers, or outside.
    """
    if not is_integers(value):
        raise ValueError("its indices are not constant integers")
    if (value < -np.asarray(n)).any() or (value >= n).any():
        raise ValueError("its indices are not all entries of its tensor")
    return np.asarray(np.where(value < 0, value + n, value))


@rule("GatherElements", (11, 13), "axis")
def _gather_elements(node: Node) -> Value:
    a, given = node.inputs
    (axis,) = axes_of([node.integer("axis", 0)], len(shape_of(a)))
    index = _elements(given, shape_of(a), axis)
    maps.room(float(index.size))
    return moved(node, a, lambda v: np.take_along_axis(v[_within(index.shape, axis)], index, axis))


def _elements(given: Any, shape: tuple[int, ...], axis: int) -> Array:
    """Indices along an axis, of a tensor that is as large in the others or smaller."""
    index = _places(given, shape[axis])
    others = [m > n for d, (m, n) in enumerate(zip(index.shape, shape, strict=False)) if d != axis]
    if index.ndim != len(shape) or any(others):
        raise ValueError(f"its indices have the shape {index.shape}, which does not fit into {shape}")
    return index


def _within(shape: tuple[int, ...], axis: int) -> tuple[slice, ...]:
    return tuple(slice(None) if d == axis else slice(n) for d, n in enumerate(shape))


@rule("GatherND", (11, 12, 13), "batch_dims")
def _gather_nd(node: Node) -> Value:
    a, given = node.inputs
    if node.integer("batch_dims", 0):
        raise ValueError("its batch_dims are not read")
    where = _nd(given, shape_of(a))
    maps.room(float(where[0].size) * float(np.prod(shape_of(a)[len(where) :])))
    return moved(node, a, lambda v: v[where])


def _nd(given: Any, shape: tuple[int, ...]) -> tuple[Array, ...]:
    """The last dimension of indices, as one array for each dimension of the tensor."""
    if not is_integers(given) or given.ndim < 1 or not 1 <= given.shape[-1] <= len(shape):
        raise ValueError("its indices are not constant integers of as many dimensions")
    index = _places(given, np.array(shape[: given.shape[-1]], dtype=np.int64))
    return tuple(np.moveaxis(index, -1, 0))


@rule("ScatterND", (11, 13, 16, 18), "reduction")
def _scatter_nd(node: Node) -> Value:
    a, given, updates = node.inputs
    where = _nd(given, shape_of(a))
    target = np.arange(size_of(a)).reshape(shape_of(a))[where]
    if target.shape != shape_of(updates):
        raise ValueError(f"its updates have the shape {shape_of(updates)}, not {target.shape}")
    return _scattered(node, a, updates, target)


@rule("ScatterElements", (11, 13, 16, 18), "axis reduction")
def _scatter_elements(node: Node) -> Value:
    a, given, updates = node.inputs
    shape = shape_of(a)
    (axis,) = axes_of([node.integer("axis", 0)], len(shape))
    index = _elements(given, shape, axis)
    if index.shape != shape_of(updates):
        raise ValueError(f"its updates have the shape {shape_of(updates)}, its indices {index.shape}")
    numbered = np.arange(size_of(a)).reshape(shape)
    return _scattered(node, a, updates, np.take_along_axis(numbered[_within(index.shape, axis)], index, axis))


def _scattered(node: Node, a: Any, updates: Any, target: Array) -> Value:
    """The tensor with the entries `target` (flat) replaced by those of the updates, or with these added to them."""
    how, flat, n = node.word("reduction", "none"), target.ravel(), size_of(a)
    maps.room(2.0 * n + len(flat))
    builder = node.builder
    if how == "add":
        order = np.argsort(flat, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(flat, minlength=n))])
        matrix = maps.Map(maps.csr(np.ones(len(order)), order, starts, (n, len(flat))))
        base, more = (v if isinstance(v, Affine) else builder.constant(floats(v)) for v in (a, updates))
        return plain(builder.add(base, builder.apply(matrix, more, shape_of(a))))
    if how != "none":
        raise ValueError(f"its reduction {how[:20]!r} is not read, only none and add")
    if len(np.unique(flat)) < len(flat):
        raise ValueError("it writes an entry twice, and nothing says which comes last")
    index = np.arange(n)
    index[flat] = n + np.arange(len(flat))
    kinds = {v.dtype if isinstance(v, np.ndarray) else np.dtype(np.float64) for v in (a, updates)}
    if len(kinds) > 1:
        raise ValueError("its updates are of another type than its tensor")
    if all(isinstance(v, np.ndarray) for v in (a, updates)):
        return np.asarray(np.concatenate([a.ravel(), updates.ravel()])[index].reshape(shape_of(a)))
    parts = [v if isinstance(v, Affine) else builder.constant(floats(v)) for v in (a, updates)]
    both = builder.joined([p.shaped((p.size,)) for p in parts], 0)
    return plain(builder.taken(both, index, shape_of(a)))
