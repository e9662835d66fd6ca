"""Primitives of JAX that multiply by constants, go over a tensor with a window, or reduce dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import exact_float64
from ..algebra import kinks, windows
from ..algebra.affine import Affine
from ..algebra.windows import Windows
from ..onnx.rules import floats, plain, shape_of
from .operation import Operation, primitive


@primitive("dot_general")
def _dot(o: Operation) -> Any:
    """Dimensions in the order: those of the batch, those of the left alone, those of the right alone."""
    (contracted, batch), (a, b) = o.parameters["dimension_numbers"], [_floats(o.inside(v)) for v in o.inputs]
    sizes = [shape_of(v) for v in (a, b)]
    free = [[d for d in range(len(s)) if d not in c and d not in t]
            for s, c, t in zip(sizes, contracted, batch, strict=True)]  # fmt: skip
    count = [int(np.prod([sizes[0][d] for d in dims])) for dims in (batch[0], free[0], contracted[0])]
    right = int(np.prod([sizes[1][d] for d in free[1]]))
    left = _arranged(o, a, [*batch[0], *free[0], *contracted[0]], count)
    other = _arranged(o, b, [*batch[1], *contracted[1], *free[1]], [count[0], count[2], right])
    if count[0] == 1:
        left, other = (_formed(o, v, shape_of(v)[1:]) for v in (left, other))
    return _formed(o, o.do("MatMul", left, other), tuple(o.equation.outvars[0].aval.shape))


def _floats(value: Any) -> Any:
    """A constant of integers as one of floats."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "iub":
        return exact_float64(value.astype(np.int64), "a constant", value.ndim)
    return value


def _arranged(o: Operation, value: Any, order: list[int], shape: list[int]) -> Any:
    return _formed(o, o.do("Transpose", value, perm=[int(d) for d in order]) if order else value, tuple(shape))


def _formed(o: Operation, value: Any, shape: tuple[int, ...]) -> Any:
    return o.do("Reshape", value, np.array(shape, dtype=np.int64))


@primitive("conv_general_dilated")
def _conv(o: Operation) -> Any:
    p, (a, weight) = o.parameters, [o.inside(v) for v in o.inputs]
    spec = p["dimension_numbers"]
    if p["batch_group_count"] != 1:
        raise ValueError("it groups its batch (batch_group_count), which is not read")
    if isinstance(weight, Affine):
        raise ValueError("its kernel is computed by the network; only constant kernels are read")
    a = o.do("Transpose", a, perm=[int(d) for d in spec.lhs_spec])
    weight = o.do("Transpose", weight, perm=[int(d) for d in spec.rhs_spec])
    a = _bordered(o, a, p["lhs_dilation"], p["padding"])
    dims = len(p["padding"])
    found = o.do("Conv", a, weight, strides=[int(s) for s in p["window_strides"]], pads=[0] * 2 * dims,
                 dilations=[int(d) for d in p["rhs_dilation"]], group=int(p["feature_group_count"]))  # fmt: skip
    back = [spec.out_spec.index(d) for d in range(dims + 2)]
    return o.do("Transpose", found, perm=back)


def _bordered(o: Operation, a: Any, between: Any, padding: Any) -> Any:
    """An image (1, channels, ...) with zeros between its entries and around them."""
    shape = shape_of(a)
    for d, step in enumerate(between, start=2):
        if step != 1:
            spread = np.full(shape_of(a)[d] * step - step + 1, -1)
            spread[::step] = np.arange(shape_of(a)[d])
            index = np.arange(int(np.prod(shape_of(a)))).reshape(shape_of(a)).take(np.maximum(spread, 0), axis=d)
            held = (spread >= 0).reshape([-1 if k == d else 1 for k in range(len(shape))])
            a = o.taken(a, np.where(held, index, -1))
    pads = [0, 0, *(int(q) for q, _ in padding), 0, 0, *(int(q) for _, q in padding)]
    return o.do("Pad", a, np.array(pads, dtype=np.int64)) if any(pads) else a


@primitive("reduce_window_max", "reduce_window_min", "reduce_window_sum")
def _window(o: Operation) -> Any:
    """The whole tensor is the image."""
    p, name = o.parameters, o.equation.primitive.name
    if any(n != 1 for n in p["base_dilation"]):
        raise ValueError("it has a dilated base, which is not read")
    builder, value = o.walk.builder, o.inside(o.inputs[0])
    a = value if isinstance(value, Affine) else builder.constant(floats(value))
    shape = tuple(int(n) for n in o.equation.outvars[0].aval.shape)
    before = tuple(int(q) for q, _ in p["padding"])
    kernel = tuple(int(n) for n in p["window_dimensions"])
    strides, dilations = (tuple(int(n) for n in p[f"window_{k}"]) for k in ("strides", "dilation"))
    found = Windows(a.shape, kernel, strides, dilations, before, shape)
    if name == "reduce_window_sum":
        return plain(builder.apply(windows.averages(1, found, np.ones(int(np.prod(shape)))), a, shape))
    groups = windows.pooled(1, found)
    if (groups < 0).all(axis=1).any():
        raise ValueError("one of its windows holds padding only, whose maximum is infinite")
    if name == "reduce_window_max":
        return plain(kinks.largest(builder, a, groups, shape))
    return plain(builder.negative(kinks.largest(builder, builder.negative(a), groups, shape)))


@primitive("reduce_sum", "reduce_max", "reduce_min")
def _reduced(o: Operation) -> Any:
    operator = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}
    axes = np.array(o.parameters["axes"], dtype=np.int64)
    value = o.inside(o.inputs[0])
    name = o.equation.primitive.name
    if not axes.size:
        return value
    if isinstance(value, np.ndarray) and name != "reduce_sum":
        return np.asarray((np.max if name == "reduce_max" else np.min)(value, axis=tuple(axes)))
    return o.do(operator[name], value, axes, keepdims=0)



@primitive("cumsum")
def _cumsum(o: Operation) -> Any:
    axis = np.array([int(o.parameters["axis"])], dtype=np.int64)
    return o.do("CumSum", o.inputs[0], axis, reverse=int(bool(o.parameters["reverse"])))


@primitive("sort")
def _sort(o: Operation) -> Any:
    """In ascending order along a dimension."""
    if len(o.inputs) != 1:
        raise ValueError("it sorts one tensor by another, so that it may jump; only sorted values are read")
    value, dimension = o.inside(o.inputs[0]), int(o.parameters["dimension"])
    if isinstance(value, np.ndarray):
        return np.sort(value, axis=dimension)
    count = np.array([shape_of(value)[dimension]], dtype=np.int64)
    return o.do("TopK", value, count, axis=dimension, largest=0, sorted=1)
