"""Tensors and attributes of ONNX as NumPy arrays and plain values: floats become float64, which holds them exactly."""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ...machine.files import opened
from ..budget import Budget
from ..layers import reason

# Codes of TensorProto.DataType.
FLOAT, INT32, INT64, BOOL, FLOAT16, DOUBLE, BFLOAT16 = 1, 6, 7, 9, 10, 11, 16
FLOATS = (FLOAT, FLOAT16, DOUBLE, BFLOAT16)
HALVES = {FLOAT16: "float16", BFLOAT16: "bfloat16"}
INTEGERS = (INT32, INT64)
BYTES = (2, 3)  # UINT8 and INT8, of quantised networks
QUANTISED = "; a quantised network rounds what it computes, which is not read: give the float model that it was made of"
_EXTERNAL = 1
_WIDTHS = {FLOAT: 4, INT32: 4, INT64: 8, BOOL: 1, FLOAT16: 2, DOUBLE: 8, BFLOAT16: 2}  # bytes
_ATTRIBUTES = {1: "f", 2: "i", 3: "s", 4: "t", 6: "floats", 7: "ints"}  # AttributeProto.AttributeType -> field


class External:
    """Files beside the model that hold its large tensors, as torch.onnx.export writes them."""

    def __init__(self, model: str | os.PathLike[str], budget: Budget) -> None:
        self._folder, self.budget = Path(model).parent, budget

    def raw(self, proto: Any, what: str) -> bytes:
        """The bytes of a tensor that another file holds.

        Raises:
            ValueError: it is not in the model's folder, a link out of it, not there or too short; it names the file.
        """
        given = {entry.key: entry.value for entry in proto.external_data}
        name = given.get("location", "")
        if name in ("", ".", "..") or name != Path(name).name or set(given) - {"location", "offset", "length"}:
            raise ValueError(f"{what} keeps its data in {name[:60]!r}, and only a file in the model's folder is read")
        size = math.prod(proto.dims) * _WIDTHS.get(proto.data_type, 0)
        start, length = (_natural(given.get(key, default)) for key, default in (("offset", "0"), ("length", str(size))))
        path = self._folder / name
        try:
            if path.resolve().parent != self._folder.resolve():
                raise ValueError("it is a link to another folder")
            with opened(path) as file:
                held = file.seek(0, 2)
                if start is None or length != size or start + size > held:
                    raise ValueError(f"{held} bytes are there, but not the {size} of its shape {tuple(proto.dims)}")
                self.budget.take(2 * size, what)
                file.seek(start)
                return file.read(size)
        except (OSError, ValueError) as error:
            where = f"{what} keeps its data in {name[:60]!r}"
            raise ValueError(f"{where}, which cannot be read ({reason(error)})") from None


def _natural(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def tensor(proto: Any, what: str, external: External | None = None) -> Array:
    """A TensorProto as float64, int64 or bool.

    Raises:
        ValueError: other data types, external data that cannot be read, or contents that are not of the declared shape.
    """
    from onnx import TensorProto, numpy_helper

    if proto.data_location == _EXTERNAL or proto.external_data:
        if external is None or any(d < 0 for d in proto.dims):
            raise ValueError(f"{what} keeps its data in another file, which is not read; save the model as one file")
        raw = external.raw(proto, what)
        proto = TensorProto(data_type=proto.data_type, dims=proto.dims, raw_data=raw)
    if proto.data_type not in (*FLOATS, *INTEGERS, BOOL):
        kinds = TensorProto.DataType
        name = f" ({kinds.Name(proto.data_type)})" if proto.data_type in kinds.values() else ""
        raise ValueError(
            f"{what} is of data type {proto.data_type}{name}, but floats, int32, int64 or bool are expected"
            f"{QUANTISED if proto.data_type in BYTES else ''}"
        )
    dims = tuple(proto.dims)
    if any(d < 0 for d in dims) or len(dims) > 32:
        raise ValueError(f"{what} has the shape {dims}, which is none")
    held = len(proto.raw_data) + 8 * max(
        len(proto.float_data), len(proto.int32_data), len(proto.int64_data), len(proto.double_data)
    )
    if math.prod(dims) > held:  # an entry takes a byte at least
        raise ValueError(f"{what} says it has the shape {dims}, but it does not hold as many numbers")
    if external is not None:
        external.budget.numbers(dims, what)
    try:
        array = np.asarray(numpy_helper.to_array(proto))
        if array.shape != dims:
            raise ValueError(f"its numbers have the shape {array.shape}")
    except Exception as error:  # whatever the package raises for contents that do not fit
        raise ValueError(f"{what} is damaged ({reason(error)})") from None
    if proto.data_type in FLOATS:
        with np.errstate(invalid="ignore"):  # signalling NaN
            array = array.astype(np.float64)
        if not np.isfinite(array).all():
            raise ValueError(f"{what} must be finite, but it contains NaN or infinity")
        return array
    return array if proto.data_type == BOOL else array.astype(np.int64)


def attributes(node: Any, allowed: Collection[str]) -> dict[str, Any]:
    """The attributes of a node: floats, integers, words, lists of numbers, tensors as arrays.

    Raises:
        ValueError: one that the operator does not have (it may change what is computed), or of another type.
    """
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        name = attribute.name
        if name not in allowed or name in found or attribute.ref_attr_name:
            raise ValueError(f"the attribute {name!r} is not expected")
        field = _ATTRIBUTES.get(attribute.type)
        if field is None:
            raise ValueError(f"the attribute {name!r} is not a number, a word, a list of numbers or a tensor")
        value = getattr(attribute, field)
        if field == "t":
            value = tensor(value, f"the attribute {name!r}")
        elif field == "s":
            value = value.decode("ascii", "replace")
        elif field in ("floats", "ints"):
            value = list(value)
        if field in ("f", "floats") and not np.isfinite(value).all():
            raise ValueError(f"the attribute {name!r} must be finite")
        found[name] = value
    return found


def cast(array: Array, code: int) -> Array:
    """A constant cast to the data type `code`, if that changes no value.

    Raises:
        ValueError: it would, or the type is none of floats, int32, int64 and bool.
    """
    if code == BOOL:
        return np.asarray(array != 0)
    if code in INTEGERS:
        with np.errstate(invalid="ignore"):
            result = array.astype(np.int64 if code == INT64 else np.int32).astype(np.int64)
        same = (result.astype(array.dtype) == array).all() and (abs(array.astype(np.float64)) < 2.0**53).all()
    elif code in FLOATS:
        result = array.astype(np.float64)
        with np.errstate(over="ignore", under="ignore"):
            narrow = result.astype({DOUBLE: np.float64, FLOAT16: np.float16}.get(code, np.float32))
        same = (narrow == result).all() and (array.dtype.kind == "f" or (abs(result) < 2.0**53).all())
        if code == BFLOAT16:
            same = same and not (narrow.view(np.uint32) & 0xFFFF).any()
    else:
        raise ValueError(f"a cast to data type {code}, which is none of floats, int32, int64 and bool")
    if not same:
        raise ValueError("the cast would change the value of a constant")
    return result
