"""Primitives of JAX that move, repeat or leave out entries: what they do with the numbers of entries says which."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..algebra import maps
from ..algebra.affine import Affine
from ..onnx.rules import floats, plain, shape_of
from ..onnx.walk import Ended, Walk, refuse_powers
from .operation import Operation, Sign, primitive
from .rules import joined


def _shape(o: Operation) -> tuple[int, ...]:
    return tuple(int(n) for n in o.equation.outvars[0].aval.shape)


def _numbered(value: Any) -> Any:
    """The numbers of the entries of a value, in its shape."""
    if isinstance(value, Sign):
        raise ValueError("it moves a comparison of what the network computes, which is not read")
    shape = shape_of(value.before if isinstance(value, Ended) else value)
    return np.arange(int(np.prod(shape))).reshape(shape)


def _moved(o: Operation, value: Any, index: Any) -> Any:
    refuse_powers([value])
    if isinstance(value, Ended) and index.size == value.before.size and (index.ravel() == np.arange(index.size)).all():
        return replace(value, before=value.before.shaped(index.shape))
    return o.taken(value, index)


def _room(o: Operation) -> None:
    maps.room(float(np.prod([float(n) for n in _shape(o)])), "the tensor that it gives")


@primitive("reshape", "squeeze", "expand_dims", "transpose", "broadcast_in_dim", "slice", "rev")
def _entries(o: Operation) -> Any:
    value, name, p = o.inputs[0], o.equation.primitive.name, o.parameters
    _room(o)
    index = _numbered(value)
    if name == "transpose":
        index = index.transpose(p["permutation"])
    elif name == "broadcast_in_dim":
        shape = [1] * len(_shape(o))
        for d, n in zip(p["broadcast_dimensions"], index.shape, strict=True):
            shape[d] = n
        index = np.broadcast_to(index.reshape(shape), _shape(o))
    elif name == "slice":
        strides = p["strides"] or (1,) * index.ndim
        index = index[tuple(slice(*s) for s in zip(p["start_indices"], p["limit_indices"], strides, strict=True))]
    elif name == "rev":
        index = np.flip(index, p["dimensions"])
    else:
        if name == "reshape" and p.get("dimensions") is not None:
            raise ValueError("it reorders its dimensions, which is not read")
        index = index.reshape(_shape(o))
    return _moved(o, value, index)


@primitive("concatenate")
def _concatenate(o: Operation) -> Any:
    _room(o)
    offsets = np.cumsum([0, *(_numbered(v).size for v in o.inputs)])
    parts = [_numbered(v) + k for v, k in zip(o.inputs, offsets, strict=False)]
    index = np.concatenate(parts, o.parameters["dimension"])
    return joined(o, [*o.inputs], index, _shape(o))


@primitive("stack")
def _stack(o: Operation) -> Any:
    _room(o)
    offsets = np.cumsum([0, *(_numbered(v).size for v in o.inputs)])
    parts = [_numbered(v) + k for v, k in zip(o.inputs, offsets, strict=False)]
    return joined(o, [*o.inputs], np.stack(parts, o.parameters["axis"]), _shape(o))


@primitive("tile")
def _tile(o: Operation) -> Any:
    _room(o)
    return _moved(o, o.inputs[0], np.tile(_numbered(o.inputs[0]), o.parameters["reps"]))


@primitive("split")
def _split(o: Operation) -> Any:
    (value,) = o.inputs
    ends = np.cumsum(o.parameters["sizes"])[:-1]
    return [_moved(o, value, part) for part in np.split(_numbered(value), ends, o.parameters["axis"])]


@primitive("pad")
def _pad(o: Operation) -> Any:
    """Before, after and between entries; a negative number takes entries away."""
    value, fill = o.inputs
    _room(o)
    if not isinstance(fill, np.ndarray):
        raise ValueError("it pads with what the network computes, which is not read")
    index = o.evaluated([_numbered(value).astype(np.int32), np.asarray(-1, dtype=np.int32)])
    there = index >= 0
    if isinstance(value, np.ndarray):
        flat = value.ravel() if value.size else np.zeros(1)
        return np.where(there, flat[np.where(there, index, 0)], fill)
    found = o.taken(value, index)
    return o.do("Add", found, np.where(there, 0.0, fill)) if fill.any() else found


@primitive("gather", "dynamic_slice")
def _gather(o: Operation) -> Any:
    value, *places = o.inputs
    if not all(isinstance(v, np.ndarray) and v.dtype.kind in "iu" for v in places):
        raise ValueError("it takes entries at places that the network computes, so that it jumps")
    _room(o)
    fill = o.parameters.get("fill_value")
    # of entries outside; it is a number of the value's, none of an entry's
    changed = {} if fill is None else {"fill_value": -1}
    index = o.evaluated([_numbered(value).astype(np.int32), *places], **changed)
    there = index >= 0
    if there.all():
        return _moved(o, value, index)
    if fill is None or not np.isfinite(fill):
        raise ValueError("it takes entries outside its tensor, which gives NaN or infinity")
    return joined(o, [value, np.asarray(float(fill))], np.where(there, index, _numbered(value).size), _shape(o))


@primitive("dynamic_update_slice")
def _update(o: Operation) -> Any:
    value, update, *places = o.inputs
    return _updated(o, value, update, lambda a, b: [a, b, *places], places)


@primitive("scatter")
def _scatter(o: Operation) -> Any:
    value, places, update = o.inputs
    return _updated(o, value, update, lambda a, b: [a, places, b], [places])


@primitive("scatter-add")
def _added(o: Operation) -> Any:
    """The value, and what of the update is added to each of its entries."""
    import jax

    from ...machine.run import run

    value, places, update = o.inputs
    if not isinstance(places, np.ndarray) or places.dtype.kind not in "iu":
        raise ValueError("it adds to entries at places that the network computes, so that it jumps")
    _room(o)
    p, (before, after) = o.parameters, (_numbered(value), _numbered(update))
    if before.size >= 2**24:
        raise ValueError("it adds to more entries than are numbered here")
    form = {key: p[key] for key in ("dimension_numbers", "indices_are_sorted", "unique_indices", "mode")}
    none = np.zeros(before.shape, dtype=np.float32)

    def placed(u: Any) -> Any:
        return jax.lax.scatter_add(none, places, u, **form)

    def taken(entries: Any) -> Any:
        return jax.linear_transpose(placed, jax.ShapeDtypeStruct(after.shape, np.float32))(entries)

    # its transpose takes the entry that each entry of the update is added to: 0 of none, for they count from 1
    (found,) = run(taken, (before + 1).astype(np.float32))
    target = np.asarray(found).astype(np.int64).ravel() - 1
    held = np.flatnonzero(target >= 0)
    order = held[np.argsort(target[held], kind="stable")]
    starts = np.concatenate([[0], np.cumsum(np.bincount(target[held], minlength=before.size))])
    matrix = maps.Map(maps.csr(np.ones(len(order)), order, starts, (before.size, after.size)))
    builder, update = o.walk.builder, o.inside(update)
    update = update if isinstance(update, Affine) else builder.constant(floats(update))
    return o.do("Add", value, plain(builder.apply(matrix, update, before.shape)))


def _updated(o: Operation, value: Any, update: Any, arguments: Any, places: list[Any]) -> Any:
    if not all(isinstance(v, np.ndarray) and v.dtype.kind in "iu" for v in places):
        raise ValueError("it sets entries at places that the network computes, so that it jumps")
    _room(o)
    before, after = _numbered(value).astype(np.int32), _numbered(update).astype(np.int32)
    index = o.evaluated(arguments(before, after + before.size))
    return joined(o, [value, update], index, _shape(o))


def row(walk: Walk, what: str, value: Any, at: int) -> Any:
    """Entry `at` of the first dimension."""
    value = walk.inside(what, value)
    if isinstance(value, np.ndarray):
        return np.asarray(value[at])
    if not isinstance(value, Affine):
        raise ValueError(f"{what} goes over a constant that float64 does not hold, which is not read")
    index = np.arange(value.size).reshape(value.shape)[at]
    return plain(walk.builder.taken(value, index, index.shape))


def rows(walk: Walk, what: str, values: list[Any]) -> Any:
    """Values of one shape, one after another along a new first dimension."""
    values = [walk.inside(what, v) for v in values]
    if all(isinstance(v, np.ndarray) for v in values):
        return np.stack(values)
    parts = [v if isinstance(v, Affine) else walk.builder.constant(floats(v)) for v in values]
    return walk.builder.joined([p.shaped((1, *p.shape)) for p in parts], 0)
