"""Operators of ONNX that only change the shape of a tensor, or compute shapes, in the chain's flat order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...arithmetic import exact
from ...arithmetic.float64 import Array
from .chain import Chain
from .tensors import integer

Value = Chain | Array
Inputs = list[Any]  # of Value, or None for an optional input that is left out
Attributes = dict[str, Any]


def _integers(value: Any) -> list[int]:
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or value.ndim > 1:
        raise ValueError("a constant list of integers was expected")
    return [int(v) for v in value.ravel()]


def _shaped(value: Value, shape: tuple[int, ...]) -> Value:
    if len(shape) > 32 or np.prod(shape, dtype=np.float64) != np.prod(value.shape, dtype=np.float64):
        raise ValueError(f"a tensor of shape {value.shape} cannot take the shape {shape}")
    return replace(value, shape=shape) if isinstance(value, Chain) else value.reshape(shape)


def _axes(axes: list[int], ndim: int) -> list[int]:
    found = [axis + ndim if axis < 0 else axis for axis in axes]
    if len(set(found)) != len(found) or any(not 0 <= axis < ndim for axis in found):
        raise ValueError(f"the axes {axes} are not those of a tensor of {ndim} dimensions")
    return found


def flatten(inputs: Inputs, found: Attributes) -> Value:
    """Two dimensions, split at `axis`."""
    (a,) = inputs
    shape, axis = a.shape, integer(found, "axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    if not 0 <= axis <= len(shape):
        raise ValueError(f"a tensor of shape {shape} cannot be flattened at axis {axis}")
    return _shaped(a, (int(np.prod(shape[:axis])), int(np.prod(shape[axis:]))))


def reshape(inputs: Inputs, found: Attributes) -> Value:
    """A new shape; 0 keeps a dimension and -1 is what is left."""
    a, target = inputs[0], _integers(inputs[1])
    if not integer(found, "allowzero", 0):
        target = [a.shape[i] if n == 0 else n for i, n in enumerate(target)]
    if target.count(-1) == 1:
        rest, size = 1, int(np.prod(a.shape, dtype=np.int64))
        for n in target:
            rest *= 1 if n == -1 else n
        target[target.index(-1)] = size // rest if rest > 0 else 0
    if min(target, default=0) < 0:
        raise ValueError(f"the shape {target} is none")
    return _shaped(a, tuple(target))


def _given_axes(inputs: Inputs, found: Attributes) -> list[int] | None:
    if len(inputs) > 1 and inputs[1] is not None:
        return _integers(inputs[1])
    return _integers(np.array(found["axes"], dtype=np.int64)) if "axes" in found else None


def squeeze(inputs: Inputs, found: Attributes) -> Value:
    """Without dimensions of 1."""
    shape, axes = inputs[0].shape, _given_axes(inputs, found)
    if axes is None:
        return _shaped(inputs[0], tuple(n for n in shape if n != 1))
    gone = _axes(axes, len(shape))
    return _shaped(inputs[0], tuple(n for i, n in enumerate(shape) if i not in gone))


def unsqueeze(inputs: Inputs, found: Attributes) -> Value:
    """With new dimensions of 1."""
    shape, axes = list(inputs[0].shape), _given_axes(inputs, found)
    if axes is None or len(axes) > 32:
        raise ValueError("it does not say its axes")
    for axis in sorted(_axes(axes, len(shape) + len(axes))):
        shape.insert(axis, 1)
    return _shaped(inputs[0], tuple(shape))


def transpose(inputs: Inputs, found: Attributes) -> Value:
    """Any order of a constant's dimensions; of a chain's, one that keeps the flat order."""
    (a,) = inputs
    ndim = len(a.shape)
    axes = _axes(found.get("perm", list(range(ndim))[::-1]), ndim)
    if len(axes) != ndim:
        raise ValueError(f"perm has {len(axes)} entries, but the tensor has {ndim} dimensions")
    if not isinstance(a, Chain):
        return a.transpose(axes)
    long = [axis for axis in axes if a.shape[axis] != 1]
    if long != sorted(long):
        raise ValueError(f"it reorders a tensor of shape {a.shape}, and only the flat order of the input is read")
    return replace(a, shape=tuple(a.shape[axis] for axis in axes))


def shape_of(inputs: Inputs, _: Attributes) -> Value:
    """The shape as a constant."""
    return np.array(inputs[0].shape, dtype=np.int64)


def gather(inputs: Inputs, found: Attributes) -> Value:
    """Entries of a constant list."""
    data, index = np.array(_integers(inputs[0])), inputs[1]
    _integers(index)
    if inputs[0].ndim != 1 or integer(found, "axis", 0) not in (0, -1):
        raise ValueError("only entries of a constant list are read")
    return np.asarray(data[index], dtype=np.int64)


def concat(inputs: Inputs, found: Attributes) -> Value:
    """Constant lists of integers, one after another."""
    parts = [_integers(part) for part in inputs]
    exact.limited(sum(map(len, parts)))
    if any(part.ndim != 1 for part in inputs) or integer(found, "axis", 0) not in (0, -1):
        raise ValueError("only constant lists of integers can be joined")
    return np.array([n for part in parts for n in part], dtype=np.int64)
