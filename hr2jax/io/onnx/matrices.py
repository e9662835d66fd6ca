"""Operators of ONNX that multiply by matrices, or by numbers for each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ..algebra import kinks, maps, numbers, windows
from ..algebra.affine import Affine
from ..algebra.maps import Map
from ..algebra.numbers import Number
from .counted import integers, is_integers
from .rules import Node, Value, axes_of, floats, moved, plain, rule, shape_of, whole


@rule("MatMul", (1, 9, 13))
def _matmul(node: Node) -> Value:
    a, b = node.inputs
    if isinstance(a, Affine) and isinstance(b, Affine):
        raise ValueError("it multiplies two values that the network computes (attention does), which is not piecewise "
                         "linear; only products with constants are read")  # fmt: skip
    if isinstance(a, Affine):
        return plain(_times(node, a, floats(b), False))
    if isinstance(b, Affine):
        return plain(_times(node, b, floats(a), True))
    return numbers.matmul(floats(a), floats(b))


def _times(node: Node, a: Affine, matrix: Number, left: bool) -> Affine:
    """a @ matrix, or matrix @ a, with NumPy's rules of shapes."""
    if not a.shape or not matrix.shape:
        raise ValueError("a factor is a single number, not a matrix")
    vector, flat = len(a.shape) == 1, len(matrix.shape) == 1
    shape = a.shape if not vector else ((a.shape[0], 1) if left else (1, a.shape[0]))
    form = matrix.shape if not flat else ((1, matrix.shape[0]) if left else (matrix.shape[0], 1))
    rows, columns = (form, shape) if left else (shape, form)
    if rows[-1] != columns[-2]:
        raise ValueError(f"tensors of shapes {rows} and {columns} cannot be multiplied")
    batch = np.broadcast_shapes(rows[:-2], columns[:-2])
    after = [*batch, rows[-2], columns[-1]]
    dropped = [i for i, gone in ((-2, vector if not left else flat), (-1, flat if not left else vector)) if gone]
    for i in sorted(dropped):
        after.pop(i if i == -1 or len(dropped) == 1 else -2)
    middle, radius = numbers.mid(matrix).reshape(form), numbers.rad(matrix)
    middle_map = _matrix(middle, shape, batch, left)
    radius_map = None if radius is None else _matrix(radius.reshape(form), shape, batch, left)
    return node.builder.apply(Map(middle_map, radius_map), a, tuple(after))


def _matrix(matrix: Array, shape: tuple[int, ...], batch: tuple[int, ...], left: bool) -> Any:
    """The matrix from the entries of a tensor of `shape` to those of its product with `matrix`."""
    inner, outer = (matrix.shape[-1], matrix.shape[-2]) if left else (matrix.shape[-2], matrix.shape[-1])
    others = shape[-1] if left else shape[-2]
    count = int(np.prod(batch))
    if count * others == 1:
        flat = matrix.reshape(matrix.shape[-2:])
        return flat if left else np.ascontiguousarray(flat.T)
    maps.room(float(count) * others * outer * inner, "the product with a matrix, unrolled,")
    entries = np.broadcast_to(np.arange(int(np.prod(shape))).reshape(shape), (*batch, *shape[-2:]))
    entries = entries.reshape(count, *shape[-2:])
    values = np.broadcast_to(matrix, (*batch, *matrix.shape[-2:])).reshape(count, *matrix.shape[-2:])
    if left:  # row (b, m, n): entries [b, :, n], values [b, m, :]
        full = (count, outer, others, inner)
        indices = np.broadcast_to(entries.transpose(0, 2, 1)[:, None], full)
        data = np.broadcast_to(values[:, :, None, :], full)
    else:  # row (b, m, n): entries [b, m, :], values [b, :, n]
        full = (count, others, outer, inner)
        indices = np.broadcast_to(entries[:, :, None, :], full)
        data = np.broadcast_to(values.transpose(0, 2, 1)[:, None], full)
    starts = np.arange(count * others * outer + 1) * inner
    out = maps.csr(data.ravel(), indices.ravel(), starts, (len(starts) - 1, int(np.prod(shape))))
    return maps.clean(out)


@rule("Gemm", (6, 7, 9, 11, 13), "alpha beta transA transB broadcast")
def _gemm(node: Node) -> Value:
    """alpha a' b' + beta c."""
    alpha, beta = (np.asarray(node.number(name, 1.0)) for name in ("alpha", "beta"))
    factors = []
    for value, name in zip(node.inputs[:2], ("transA", "transB"), strict=True):
        if len(shape_of(value)) != 2:
            raise ValueError(f"its input must have 2 dimensions, but its shape is {shape_of(value)}")
        factors.append(moved(node, value, lambda v: v.T) if node.integer(name, 0) else value)
    a, b = factors
    if isinstance(a, Affine) and isinstance(b, Affine):
        raise ValueError("it multiplies two values that the network computes, which no slopes bound; "
                         "one of its two factors must be a constant")  # fmt: skip
    if not isinstance(a, Affine) and not isinstance(b, Affine):
        a = node.builder.constant(floats(a))
    left = isinstance(b, Affine)
    computed: Any = b if left else a
    if not left and computed.shape[0] == node.batch > 1:
        raise ValueError(f"its input has the shape {computed.shape}, but a single vector (a batch of 1) was expected; "
                         "export the model with a batch of 1 or a dynamic one")  # fmt: skip
    matrix = numbers.multiply(floats(a if left else b), alpha)
    result = _times(node, computed, matrix, left)
    c = node.input(2)
    if c is None or float(beta) == 0.0:
        return plain(result)
    limits = shape_of(c)
    if node.version < 7 and not node.flag("broadcast") and limits != result.shape:
        raise ValueError(f"its third input has the shape {limits}, but the product has {result.shape}")
    if np.broadcast_shapes(limits, result.shape) != result.shape:
        raise ValueError(f"its third input has the shape {limits}, but the product has {result.shape}")
    if isinstance(c, Affine):
        scaled = c if float(beta) == 1.0 else node.builder.scale(c, np.full(c.shape, float(beta)))
        return plain(node.builder.add(result, scaled))
    shift = numbers.multiply(floats(c), beta)
    return node.builder.plus(result, numbers.moved(lambda v: np.broadcast_to(v, result.shape), shift))


@rule("BatchNormalization", (6, 7, 9, 14, 15), "epsilon momentum spatial training_mode is_test")
def _batch_normalization(node: Node) -> Value:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, by channel."""
    a, constants = node.computed(), [floats(v) for v in node.inputs[1:]]
    training = node.flag("training_mode") or (node.version < 7 and not node.flag("is_test"))
    if training or (node.version < 14 and any(node.outputs[1:])):
        raise ValueError("only inference is read, not training; export the model in evaluation mode")
    if node.version < 9 and not node.flag("spatial", 1):
        raise ValueError("only one mean and variance for each channel is read, but it says spatial = 0")
    if not a.shape:
        raise ValueError("its input has no dimension")
    channels = a.shape[1] if len(a.shape) > 1 else 1
    for constant in constants:
        if constant.shape != (channels,):
            raise ValueError(f"its constants must have shape ({channels},), but one has {constant.shape}")
    column = (channels, *[1] * max(len(a.shape) - 2, 0))
    scale, bias, mean, var = (numbers.moved(lambda v: v.reshape(column), c) for c in constants)
    factor = numbers.divide(scale, numbers.root(numbers.add(var, np.asarray(node.number("epsilon", 1e-5)))))
    shift = numbers.add(bias, numbers.negative(numbers.multiply(mean, factor)))
    full = [numbers.moved(lambda v: np.broadcast_to(v, a.shape), v) for v in (factor, shift)]
    return plain(node.builder.plus(node.builder.scale(a, full[0]), full[1]))


def _reduced_axes(node: Node, since: int) -> tuple[tuple[int, ...], bool] | None:
    """The axes, and whether they stay; None: nothing is reduced."""
    ndim = len(shape_of(node.inputs[0]))
    if node.version < since:
        given = node.integers("axes")
        if given == []:
            raise ValueError("its axes are an empty list, of which operator sets say different things")
    else:
        if "axes" in node.attributes:
            raise ValueError("the attribute 'axes' is not expected")
        given = None if node.input(1) is None else whole(node.inputs[1])
        if not given and node.flag("noop_with_empty_axes"):
            return None
    axes = axes_of(given or list(range(ndim)), ndim)
    return tuple(axes), node.flag("keepdims", 1)


@rule("CumSum", (11, 14), "exclusive reverse")
def _sums_so_far(node: Node) -> Value:
    """Of the entries along an axis up to each, without it if `exclusive`; from the end if `reverse`."""
    value, axes = node.inputs[0], whole(node.inputs[1])
    if len(axes) != 1:
        raise ValueError("it does not say one axis")
    shape = shape_of(value)
    (axis,) = axes_of(axes, len(shape))
    after = np.triu(np.ones((shape[axis], shape[axis])), int(node.flag("exclusive")))  # (entry, sum)
    matrix = after[::-1, ::-1] if node.flag("reverse") else after
    order = [*(d for d in range(len(shape)) if d != axis), axis]
    moved_last = moved(node, value, lambda v: v.transpose(order))
    if isinstance(moved_last, Affine):
        sums = plain(_times(node, moved_last, np.ascontiguousarray(matrix), False))
    else:
        sums = numbers.matmul(floats(moved_last), matrix)
    return moved(node, sums, lambda v: v.transpose(np.argsort(order)))


@rule("ReduceMean", (1, 11, 13, 18), "axes keepdims noop_with_empty_axes")
@rule("ReduceSum", (1, 11, 13), "axes keepdims noop_with_empty_axes")
def _reduce_mean(node: Node) -> Value:
    divide = node.operator == "ReduceMean"
    found, value = _reduced_axes(node, 18 if divide else 13), node.inputs[0]
    if found is None:
        return value
    axes, keep = found
    if is_integers(value) and not divide:
        return integers("Add", np.sum(value, axis=axes, keepdims=keep), np.zeros((), np.int64))
    if isinstance(value, Affine):
        return windows.means(node.builder, value, axes, keep, divide)
    count = int(np.prod([shape_of(value)[d] for d in axes])) if divide else 1
    return numbers.mean(floats(value), axes, keep, count)


@rule("ReduceL1", (1, 11, 13, 18), "axes keepdims noop_with_empty_axes")
@rule("ReduceL2", (1, 11, 13, 18), "axes keepdims noop_with_empty_axes")
@rule("ReduceSumSquare", (1, 11, 13, 18), "axes keepdims noop_with_empty_axes")
def _reduced_weights(node: Node) -> Value:
    """Norms of weights, by which graphs normalise them."""
    found, value = _reduced_axes(node, 18), node.inputs[0]
    if isinstance(value, Affine):
        raise ValueError("its input is computed by the network; only the norm of a constant is read")
    a = floats(value)
    axes, keep = ((), True) if found is None else found
    if node.operator == "ReduceL2":
        return numbers.length(a, axes, keep)
    entries = numbers.magnitude(a) if node.operator == "ReduceL1" else numbers.multiply(a, a)
    return numbers.mean(entries, axes, keep, 1)


@rule("ReduceMax", (1, 11, 12, 13, 18, 20), "axes keepdims noop_with_empty_axes")
@rule("ReduceMin", (1, 11, 12, 13, 18, 20), "axes keepdims noop_with_empty_axes")
def _reduce_max(node: Node) -> Value:
    found = _reduced_axes(node, 18)
    if found is None:
        return node.computed()
    axes, keep = found
    if is_integers(node.inputs[0]):
        reduce_ = np.min if node.operator == "ReduceMin" else np.max
        return np.asarray(reduce_(node.inputs[0], axis=axes, keepdims=keep))
    value = node.computed()
    shape, least = value.shape, node.operator == "ReduceMin"
    rest = [d for d in range(len(shape)) if d not in axes]
    count = int(np.prod([shape[d] for d in axes]))
    groups = np.arange(value.size).reshape(shape).transpose([*rest, *axes]).reshape(-1, count)
    after = tuple(1 if d in axes else n for d, n in enumerate(shape) if keep or d not in axes)
    builder = node.builder
    if least:
        return builder.negative(kinks.largest(builder, builder.negative(value), groups, after))
    return kinks.largest(builder, value, groups, after)
