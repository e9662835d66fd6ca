"""MATLAB files of save -v6 and -v7 ("version 5"): the keys of .npz, or LipSDP's cells `weights` and `biases`.

The format is read here because scipy.io.loadmat is not made for untrusted files: damaged ones crash the
interpreter (SciPy 1.17, scipy/scipy#25349). Only numbers and cells of numbers are ever interpreted; text,
structs, objects and function handles are not.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

from ..arithmetic.float64 import Array
from .npz import Layers, layers, reason

# Codes of the format: how an element is stored, and which class of MATLAB value a matrix is.
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_CELL, _SPARSE, _OPAQUE, _NUMERIC = 1, 5, 17, range(6, 16)
_NAMES = {_CELL: "a cell array", 2: "a struct", 3: "an object", 4: "text", 16: "a function handle"}
_LOGICAL, _COMPLEX = 0x200, 0x800


def read(file: IO[bytes]) -> Layers:
    """(weights, biases) of a .mat file; variables that are not a network's are ignored.

    Every MATLAB array has two dimensions, so b_i, d and c are taken as vectors from a row or a column.

    Raises:
        ValueError: not a whole MATLAB file of -v6 or -v7 with the variables of a network.
    """
    variables = _variables(memoryview(file.read()))
    if "weights" not in variables:
        return layers(variables, lambda key: _array(variables[key], key, vector=key[0] in "bcd"))
    for key in ("A_1", "C", "c"):
        if key in variables:
            raise ValueError(f"both weights and {key} are there, but only one of them can be the network")
    weights = _cells(variables["weights"], "weights", vector=False)
    if "biases" in variables:
        return weights, _cells(variables["biases"], "biases", vector=True)
    return weights, [np.zeros(A.shape[:1]) for A in weights]


@dataclass(frozen=True)
class _Matrix:
    """A MATLAB value that has been found but not interpreted: what it says of itself, and its parts."""

    order: str
    kind: int
    flags: int
    dims: tuple[int, ...]
    name: str
    parts: list[tuple[int, memoryview]]

    def __str__(self) -> str:
        if self.kind in _NUMERIC or self.kind == _SPARSE:
            of = "logical" if self.flags & _LOGICAL else "complex" if self.flags & _COMPLEX else "numeric"
            return f"a {of} array of shape {self.dims}"
        executed = ", and nothing in a file is executed" if self.kind > 15 else ""
        return _NAMES.get(self.kind, "a MATLAB object") + executed


def _cells(cell: _Matrix, name: str, *, vector: bool) -> list[Array]:
    if cell.kind != _CELL or len(cell.dims) != 2 or 1 not in cell.dims:
        shape = f" of shape {cell.dims}" if cell.kind == _CELL else ""
        raise ValueError(f"{name} must be a cell array with one row or one column, but it is {cell}{shape}")
    if len(cell.parts) != math.prod(cell.dims) or any(code != _MATRIX for code, _ in cell.parts):
        raise ValueError(f"{name} is damaged: its shape is {cell.dims}, but it holds {len(cell.parts)} cells")
    cells = [_matrix(data, cell.order) for _, data in cell.parts]
    return [_array(value, f"{name}{{{i}}}", vector=vector) for i, value in enumerate(cells, start=1)]


def _array(matrix: _Matrix, name: str, *, vector: bool) -> Array:
    if matrix.kind not in (_SPARSE, *_NUMERIC) or matrix.flags & (_LOGICAL | _COMPLEX):
        raise ValueError(f"{name} must be a real numeric array, but it is {matrix}")
    try:
        parts = [np.frombuffer(data, matrix.order + _STORAGE[code]) for code, data in matrix.parts]
        value = _sparse(parts, matrix.dims) if matrix.kind == _SPARSE else _dense(parts, matrix.dims)
    except (KeyError, IndexError, ValueError, MemoryError):
        raise ValueError(f"{name} is damaged: it says it is {matrix}, but its contents are not") from None
    return value.ravel() if vector and value.ndim == 2 and 1 in value.shape else value


def _dense(parts: list[Array], dims: tuple[int, ...]) -> Array:
    (values,) = parts
    return values.reshape(dims, order="F")


def _sparse(parts: list[Array], dims: tuple[int, ...]) -> Array:
    rows, starts, values = parts
    height, width = dims
    if rows.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        raise ValueError
    starts = starts.astype(np.int64)
    count = int(starts[-1])
    if len(starts) != width + 1 or starts[0] != 0 or not 0 <= count <= min(len(rows), len(values)):
        raise ValueError
    rows, columns = rows[:count].astype(np.int64), np.repeat(np.arange(width), starts[1:] - starts[:-1])
    if (rows < 0).any() or len(np.unique(columns * height + rows)) != count:
        raise ValueError
    dense = np.zeros(dims, values.dtype)
    dense[rows, columns] = values[:count]
    return dense


def _variables(data: memoryview) -> dict[str, _Matrix]:
    """The variables of a whole file by name."""
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]), "")
    version = struct.unpack(order + "H", data[124:126])[0] if order else None
    if version == 0x200 or b"\x89HDF" in (bytes(data[:4]), bytes(data[512:516])):
        raise ValueError("this MATLAB file is in the HDF5 format of -v7.3; save it with -v7 instead")
    if version != 0x100:
        raise ValueError("this is not a MATLAB file in the format of save -v6 or -v7")
    found: dict[str, _Matrix] = {}
    for code, element in _elements(data[128:], order, padded=False):
        if code == _COMPRESSED:
            try:
                inner = list(_elements(memoryview(zlib.decompress(element)), order, padded=False))
            except (zlib.error, MemoryError) as error:
                raise ValueError(f"a variable of this MATLAB file is damaged ({reason(error)})") from None
        else:
            inner = [(code, element)]
        if [code for code, _ in inner] != [_MATRIX]:
            raise ValueError("this MATLAB file is damaged: something in it is not a variable")
        matrix = _matrix(inner[0][1], order)
        if matrix.name and matrix.name in found:  # without a name: what function handles refer to
            raise ValueError(f"the file holds {matrix.name} more than once")
        found[matrix.name] = matrix
    return found


def _matrix(data: memoryview, order: str) -> _Matrix:
    if not data:  # how an empty array is written inside a cell
        return _Matrix(order, _NUMERIC[0], 0, (0, 0), "", [(9, data)])
    elements = list(_elements(data, order))
    problem = ValueError("this MATLAB file is damaged: a variable in it has no proper heading")
    if not elements or elements[0][0] != _UINT32 or len(elements[0][1]) != 8:
        raise problem
    (flags,) = struct.unpack(order + "I", elements[0][1][:4])
    heading = 2 if flags & 0xFF == _OPAQUE else 3  # flags, dimensions but for these, name
    dims: tuple[int, ...] = ()
    if len(elements) < heading or elements[heading - 1][0] not in (_INT8, _UTF8):
        raise problem
    if heading == 3:
        code, body = elements[1]
        if code not in (_INT32, _UINT32) or len(body) % 4:
            raise problem
        dims = struct.unpack(f"{order}{len(body) // 4}i", body)
        if len(dims) < 2 or min(dims) < 0:
            raise problem
    name = bytes(elements[heading - 1][1]).rstrip(b"\0").decode("latin-1")
    return _Matrix(order, flags & 0xFF, flags, dims, name, elements[heading:])


def _elements(data: memoryview, order: str, *, padded: bool = True) -> Iterator[tuple[int, memoryview]]:
    """(code, bytes) of the elements that follow each other in `data`."""
    at = 0
    while at < len(data):
        if len(data) - at < 8:
            raise ValueError("this MATLAB file is incomplete")
        code, size = struct.unpack(order + "II", data[at : at + 8])
        small = code >> 16  # up to four bytes fit in the tag itself, which then starts with their number
        start = at + 4 if small else at + 8
        if small:
            code, size = code & 0xFFFF, small
        if size > (4 if small else len(data) - start):
            raise ValueError("this MATLAB file is incomplete")
        yield code, data[start : start + size]
        at = start + (4 if small else size + (-size % 8 if padded else 0))
