"""Operators of ONNX that move, repeat or leave out entries, and those that compute shapes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from .. import halves
from ..algebra import maps, numbers
from ..algebra.affine import Affine
from .choices import Sign
from .rules import Node, Value, axes_of, exact_floats, floats, moved, reshaped, rule, shape_of, size_of, whole
from .tensors import BOOL, FLOATS, HALVES, cast

_SHAPED = (1, 13, 21, 23, 24, 25)


@rule("Identity", (1, 13, 14, 16, 19, 21, 23, 24, 25))
def _identity(node: Node) -> Value:
    value: Value = node.inputs[0]
    return value


@rule("Dropout", (6, 7, 10, 12, 13, 22), "ratio seed is_test")
def _dropout(node: Node) -> Value:
    if node.version < 7 and not node.flag("is_test"):
        raise ValueError("only inference is read, but it says is_test = 0; export the model in evaluation mode")
    training = node.input(2)
    if training is not None and (not isinstance(training, np.ndarray) or training.any()):
        raise ValueError("only inference is read, but it is in training mode; export the model in evaluation mode")
    return _identity(node)


@rule("Cast", (6, 9, 13, 19, 21, 23, 24, 25, 28), "to saturate round_mode")
def _cast(node: Node) -> Any:
    code, value = node.integer("to", 0), node.inputs[0]
    if isinstance(value, np.ndarray):
        return cast(value, code)
    if isinstance(value, Sign) and code in (*FLOATS, BOOL):
        return value  # 1 or 0: of numbers that it may multiply, which is a choice
    if code not in FLOATS:
        raise ValueError("what the network computes is cast to something that is not a float")
    if code in HALVES:
        halves.refuse(HALVES[code])
    return value


@rule("Constant", (1, 9, 11, 12, 13, 19, 21, 23, 24, 25), "value value_float value_floats value_int value_ints")
def _constant(node: Node) -> Value:
    if len(node.attributes) != 1:
        raise ValueError("it must have one value")
    ((name, value),) = node.attributes.items()
    kind = {"value": np.ndarray, "value_int": int, "value_float": float}.get(name, list)
    if not isinstance(value, kind):
        raise ValueError(f"{name} is of the wrong type")
    return value if isinstance(value, np.ndarray) else np.array(value, dtype=np.int64 if "int" in name else np.float64)


@rule("ConstantOfShape", (9, 20, 21, 23, 24, 25), "value")
def _constant_of_shape(node: Node) -> Value:
    shape, value = whole(node.inputs[0]), node.attributes.get("value", np.zeros(1))
    if min(shape, default=1) < 1 or not isinstance(value, np.ndarray) or value.size != 1:
        raise ValueError(f"it makes a tensor of shape {shape} of other than one number")
    maps.room(float(np.prod([float(n) for n in shape])))
    return np.full(shape, value.ravel()[0])


@rule("Shape", (1, 13, 15, 19, 21, 23, 24, 25), "start end")
def _shape(node: Node) -> Value:
    shape = shape_of(node.inputs[0])
    start, end = node.integer("start", 0), node.integer("end", len(shape))
    return np.array(shape[slice(*slice(start, end).indices(len(shape)))], dtype=np.int64)


@rule("Flatten", (1, 9, 11, 13, 21, 23, 24, 25), "axis")
def _flatten(node: Node) -> Value:
    (a,) = node.inputs
    shape, axis = shape_of(a), node.integer("axis", 1)
    axis = axis + len(shape) if axis < 0 and node.version >= 11 else axis
    if not 0 <= axis <= len(shape):
        raise ValueError(f"a tensor of shape {shape} cannot be flattened at axis {axis}")
    return reshaped(a, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))


@rule("Reshape", (5, 13, 14, 19, 21, 23, 24, 25), "allowzero")
def _reshape(node: Node) -> Value:
    a, target = node.inputs[0], whole(node.inputs[1])
    shape = shape_of(a)
    if not node.flag("allowzero"):
        target = [shape[i] if n == 0 else n for i, n in enumerate(target)]
    if target.count(-1) == 1:
        rest = int(np.prod([float(n) for n in target if n != -1]))
        target[target.index(-1)] = size_of(a) // rest if rest > 0 else 0
    if min(target, default=0) < 0:
        raise ValueError(f"the shape {target} is none")
    return reshaped(a, tuple(target))


def _given_axes(node: Node, since: int) -> list[int] | None:
    """The axes, an attribute before the version `since`, an input from there on; None where none are given."""
    if node.version < since:
        return node.integers("axes")
    if "axes" in node.attributes:
        raise ValueError("the attribute 'axes' is not expected")
    return None if node.input(1) is None else whole(node.inputs[1])


@rule("Squeeze", (1, 11, 13, 21, 23, 24, 25), "axes")
def _squeeze(node: Node) -> Value:
    shape, axes = shape_of(node.inputs[0]), _given_axes(node, 13)
    if axes is None:
        return reshaped(node.inputs[0], tuple(n for n in shape if n != 1))
    gone = axes_of(axes, len(shape), node.version >= 11)
    return reshaped(node.inputs[0], tuple(n for i, n in enumerate(shape) if i not in gone))


@rule("Unsqueeze", (1, 11, 13, 21, 23, 24, 25), "axes")
def _unsqueeze(node: Node) -> Value:
    shape, axes = list(shape_of(node.inputs[0])), _given_axes(node, 13)
    if axes is None or len(axes) > 32:
        raise ValueError("it does not say its axes")
    for axis in sorted(axes_of(axes, len(shape) + len(axes), node.version >= 11)):
        shape.insert(axis, 1)
    return reshaped(node.inputs[0], tuple(shape))


@rule("Transpose", (1, 13, 21, 23, 24, 25), "perm")
def _transpose(node: Node) -> Value:
    (a,) = node.inputs
    ndim = len(shape_of(a))
    given = node.integers("perm")
    axes = axes_of(list(range(ndim))[::-1] if given is None else given, ndim, False)
    if len(axes) != ndim:
        raise ValueError(f"perm has {len(axes)} entries, but the tensor has {ndim} dimensions")
    return moved(node, a, lambda v: v.transpose(axes))


@rule("Slice", (1, 10, 11, 13), "starts ends axes")
def _slice(node: Node) -> Value:
    a = node.inputs[0]
    shape = shape_of(a)
    if node.version < 10:
        starts, ends, axes, steps = (node.integers(name) for name in ("starts", "ends", "axes", "steps"))
    else:
        if node.attributes:
            raise ValueError(f"the attribute {next(iter(node.attributes))!r} is not expected")
        starts, ends, axes, steps = (
            None if node.input(i) is None else whole(node.inputs[i]) for i in (1, 2, 3, 4)
        )
    if starts is None or ends is None or len(starts) != len(ends):
        raise ValueError("it does not say as many ends as starts")
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    if not len(axes) == len(starts) == len(steps) or 0 in steps:
        raise ValueError("its starts, ends, axes and steps do not agree, or a step is 0")
    cut = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes_of(axes, len(shape)), starts, ends, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return moved(node, a, lambda v: v[tuple(cut)])


@rule("Gather", (1, 11, 13), "axis")
def _gather(node: Node) -> Value:
    a, index = node.inputs
    shape = shape_of(a)
    if not isinstance(index, np.ndarray) or index.dtype != np.int64:
        raise ValueError("its indices are not constant integers")
    (axis,) = axes_of([node.integer("axis", 0)], len(shape))
    n = shape[axis]
    if ((index < (-n if node.version >= 11 else 0)) | (index >= n)).any():
        raise ValueError(f"its indices are not all entries of a dimension of {n}")
    maps.room(float(index.size) * (size_of(a) / max(n, 1)))
    return moved(node, a, lambda v: np.take(v, index, axis=axis))


@rule("Split", (2, 11, 13, 18), "axis split num_outputs")
def _split(node: Node) -> list[Value]:
    a, count = node.inputs[0], len(node.outputs)
    shape = shape_of(a)
    (axis,) = axes_of([node.integer("axis", 0)], len(shape))
    n = shape[axis]
    given = node.integers("split") if node.version < 13 else None
    if node.version >= 13:
        if "split" in node.attributes:
            raise ValueError("the attribute 'split' is not expected")
        given = None if node.input(1) is None else whole(node.inputs[1])
    if given is None:
        number = node.integer("num_outputs", count)
        if number != count or (node.version < 18 and n % count) or count < 1:
            raise ValueError(f"a dimension of {n} is split into {number} parts, but {count} are named")
        each = -(-n // count)
        given = [min(each, max(n - i * each, 0)) for i in range(count)]
    elif "num_outputs" in node.attributes:
        raise ValueError("it says both split and num_outputs")
    if len(given) != count or sum(given) != n or min(given) < 1:
        raise ValueError(f"a dimension of {n} is split into {given}, and {count} outputs are named")
    ends = np.cumsum([0, *given])
    parts = [slice(int(s), int(e)) for s, e in pairwise(ends)]
    return [moved(node, a, lambda v, p=p: v[(slice(None),) * axis + (p,)]) for p in parts]  # type: ignore[misc]


@rule("Concat", (4, 11, 13), "axis")
def _concat(node: Node) -> Value:
    values: list[Any] = node.inputs
    if any(v is None for v in values) or "axis" not in node.attributes:
        raise ValueError("it does not say its axis, or leaves an input out")
    shapes = [shape_of(v) for v in values]
    (axis,) = axes_of([node.integer("axis", 0)], len(shapes[0]))
    if len({(s[:axis], s[axis + 1 :]) for s in shapes}) > 1 or len({len(s) for s in shapes}) > 1:
        raise ValueError(f"tensors of shapes {', '.join(map(str, shapes))} cannot be joined at axis {axis}")
    maps.room(float(sum(size_of(v) for v in values)))
    if any(isinstance(v, Affine) for v in values):
        parts = [v if isinstance(v, Affine) else node.builder.constant(floats(v)) for v in values]
        return node.builder.joined(parts, axis)
    kinds = {v.dtype.kind if isinstance(v, np.ndarray) else "f" for v in values}
    if len(kinds) > 1:
        raise ValueError("it joins constants of several types")
    if not any(isinstance(v, Enclosure) for v in values):
        return np.concatenate(values, axis=axis)
    radii = [np.zeros(v.shape) if isinstance(v, np.ndarray) else v.rad for v in values]
    return Enclosure(np.concatenate([numbers.mid(v) for v in values], axis=axis), np.concatenate(radii, axis=axis))


@rule("Expand", (8, 13))
def _expand(node: Node) -> Value:
    a, target = node.inputs[0], whole(node.inputs[1])
    if min(target, default=1) < 1 or len(target) > 32:
        raise ValueError(f"the shape {target} is none")
    shape = np.broadcast_shapes(shape_of(a), tuple(target))
    maps.room(float(np.prod([float(n) for n in shape])))
    return moved(node, a, lambda v: np.broadcast_to(v, shape))


@rule("Tile", (6, 13))
def _tile(node: Node) -> Value:
    a, repeats = node.inputs[0], whole(node.inputs[1])
    if len(repeats) != len(shape_of(a)) or min(repeats, default=1) < 1:
        raise ValueError(f"its repeats {repeats} are not those of a tensor of shape {shape_of(a)}")
    maps.room(float(np.prod([float(n) for n in repeats])) * size_of(a))
    return moved(node, a, lambda v: np.tile(v, repeats))


@rule("Pad", (2, 11, 13, 18, 19, 21, 23, 24, 25), "mode pads value")
def _pad(node: Node) -> Value:
    a, mode = node.inputs[0], node.word("mode", "constant")
    ndim = len(shape_of(a))
    fill: Any = np.zeros(())
    if node.version < 11:
        pads, axes = node.integers("pads"), list(range(ndim))
        fill = np.asarray(node.number("value", 0.0))
    else:
        if {"pads", "value"} & {*node.attributes}:
            raise ValueError("its attributes are of an older operator set")
        pads = whole(node.inputs[1])
        if node.input(2) is not None:
            fill = node.inputs[2]
        given = node.input(3)
        axes = list(range(ndim)) if given is None else axes_of(whole(given), ndim)
    if pads is None or len(pads) != 2 * len(axes):
        raise ValueError(f"its pads {pads} are not two for each of {len(axes)} axes")
    width = [(0, 0)] * ndim
    for i, axis in enumerate(axes):
        width[axis] = (pads[i], pads[i + len(axes)])
    return _padded(node, a, width, mode, fill)


def _padded(node: Node, a: Value, width: list[tuple[int, int]], mode: str, fill: Any) -> Value:
    shape = shape_of(a)
    cut = tuple(slice(max(-p, 0), n - max(-q, 0)) for n, (p, q) in zip(shape, width, strict=True))
    inside = tuple(c.stop - c.start for c in cut)
    if min(inside, default=1) < 1:
        raise ValueError(f"it cuts more off a tensor of shape {shape} than there is")
    more = [(max(p, 0), max(q, 0)) for p, q in width]
    maps.room(float(np.prod([float(n + p + q) for n, (p, q) in zip(inside, more, strict=True)])))
    if mode == "constant":
        value = float(exact_floats(fill).reshape(()))
        index = np.pad(np.arange(size_of(a)).reshape(shape)[cut], more, constant_values=-1)
        if not isinstance(a, Affine):
            return numbers.moved(lambda v: np.where(index >= 0, v.ravel()[np.maximum(index, 0)], value), floats(a))
        found = node.builder.taken(a, index, index.shape)
        return node.builder.plus(found, np.where(index >= 0, 0.0, value)) if value else found
    modes = ("reflect", "edge", "wrap") if node.version >= 19 else ("reflect", "edge")
    if mode not in modes:
        raise ValueError(f"its mode {mode[:20]!r} is none of constant, {', '.join(modes)}")
    most = {"reflect": -1, "wrap": 0}.get(mode)
    if most is not None and any(max(pq) > n + most for n, pq in zip(inside, more, strict=True)):
        raise ValueError(f"it pads more by {mode} than a tensor of shape {inside} holds")
    if mode == "wrap" and inside != shape:
        raise ValueError("it both cuts and wraps, of which operator sets say different things")

    def padded(v: Array) -> Array:
        out: Array = np.pad(v[cut], more, mode=mode)  # type: ignore[call-overload]
        return out

    return moved(node, a, padded)
