"""The format of MATLAB's save -v6 and -v7 ("version 5"): which variables a file holds, and their numbers.

Read here because scipy.io.loadmat is not made for untrusted files: damaged ones crash the interpreter (SciPy 1.17,
scipy/scipy#25349). Only numbers, names and cells of them are ever interpreted; structs, objects and function handles
are not.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from ..arithmetic.float64 import Array
from .budget import Budget
from .layers import reason

# Codes of the format: how an element is stored, and which class of MATLAB value a matrix is.
_STORAGE = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED, _UTF8 = 1, 5, 6, 14, 15, 16
_CELL, _TEXT, _SPARSE, _OPAQUE, _NUMERIC = 1, 4, 5, 17, range(6, 16)
_NAMES = {_CELL: "a cell array", 2: "a struct", 3: "an object", 4: "text", 16: "a function handle"}
_LOGICAL, _COMPLEX = 0x200, 0x800
_CHARACTERS = {2: "ascii", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_MOST = 100_000  # parts of a variable: cells, or the fields of a struct
_INFLATED = 1032  # deflate never makes more bytes of one


@dataclass(frozen=True)
class Matrix:
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


def cells(cell: Matrix, name: str) -> list[Matrix]:
    """The entries of a cell array with one row or one column.

    Raises:
        ValueError: it is something else, or damaged.
    """
    if cell.kind != _CELL or len(cell.dims) != 2 or 1 not in cell.dims:
        shape = f" of shape {cell.dims}" if cell.kind == _CELL else ""
        raise ValueError(f"{name} must be a cell array with one row or one column, but it is {cell}{shape}")
    if len(cell.parts) != math.prod(cell.dims) or any(code != _MATRIX for code, _ in cell.parts):
        raise ValueError(f"{name} is damaged: its shape is {cell.dims}, but it holds {len(cell.parts)} cells")
    return [_matrix(data, cell.order) for _, data in cell.parts]


def text(matrix: Matrix, name: str) -> str:
    """A row of characters.

    Raises:
        ValueError: it is something else, or longer than a name.
    """
    if matrix.kind != _TEXT or len(matrix.parts) != 1 or matrix.parts[0][0] not in _CHARACTERS:
        raise ValueError(f"{name} must be text, but it is {matrix}")
    ((code, data),) = matrix.parts
    if len(data) > 1000:
        raise ValueError(f"{name} must be a name, but it has {len(data)} bytes")
    encoding = _CHARACTERS[code] + {"<": "-le", ">": "-be"}[matrix.order] * (_CHARACTERS[code] == "utf-16")
    try:
        return bytes(data).decode(encoding)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is damaged: it is no text") from None


def array(matrix: Matrix, name: str, budget: Budget, *, vector: bool) -> Array:
    """The numbers of a full or sparse matrix; with `vector`, of one dimension if it is a row or a column.

    Raises:
        ValueError: it is something else, damaged, or there is no memory for it.
    """
    if matrix.kind not in (_SPARSE, *_NUMERIC) or matrix.flags & (_LOGICAL | _COMPLEX):
        raise ValueError(f"{name} must be a real numeric array, but it is {matrix}")
    try:
        parts = [np.frombuffer(data, matrix.order + _STORAGE[code]) for code, data in matrix.parts]
        if matrix.kind == _SPARSE:
            at, values = _entries(parts, matrix.dims)
        else:
            (values,) = parts
            dense = values.reshape(matrix.dims, order="F")
    except (KeyError, IndexError, ValueError):
        raise ValueError(f"{name} is damaged: it says it is {matrix}, but its contents are not") from None
    budget.numbers(matrix.dims, name)
    if matrix.kind == _SPARSE:
        dense = np.zeros(matrix.dims, values.dtype)
        dense[at] = values
    return dense.ravel() if vector and dense.ndim == 2 and 1 in dense.shape else dense


def _entries(parts: list[Array], dims: tuple[int, ...]) -> tuple[tuple[Array, Array], Array]:
    """((rows, columns), values) of a sparse matrix."""
    rows, starts, values = parts
    height, width = dims
    if rows.dtype.kind not in "iu" or starts.dtype.kind not in "iu":
        raise ValueError
    starts = starts.astype(np.int64)
    count = int(starts[-1])
    if len(starts) != width + 1 or starts[0] != 0 or (np.diff(starts) < 0).any():
        raise ValueError
    if not 0 <= count <= min(len(rows), len(values)):
        raise ValueError
    rows, columns = rows[:count].astype(np.int64), np.repeat(np.arange(width), np.diff(starts))
    if (rows < 0).any() or (rows >= height).any() or len(np.unique(columns * height + rows)) != count:
        raise ValueError
    return (rows, columns), values[:count]


def variables(data: memoryview, budget: Budget) -> dict[str, Matrix]:
    """The variables of a whole file by name.

    Raises:
        ValueError: another format, or a damaged file.
    """
    order = {b"IM": "<", b"MI": ">"}.get(bytes(data[126:128]), "")
    version = struct.unpack(order + "H", data[124:126])[0] if order else None
    if version == 0x200 or b"\x89HDF" in (bytes(data[:4]), bytes(data[512:516])):
        raise ValueError("this MATLAB file is in the HDF5 format of -v7.3; save it with -v7 instead")
    if version != 0x100:
        raise ValueError("this is not a MATLAB file in the format of save -v6 or -v7")
    found: dict[str, Matrix] = {}
    for code, element in _elements(data[128:], order, padded=False):
        if code == _COMPRESSED:
            inner = list(islice(_elements(_inflated(element, order, budget), order, padded=False), 2))
        else:
            inner = [(code, element)]
        if [code for code, _ in inner] != [_MATRIX]:
            raise ValueError("this MATLAB file is damaged: something in it is not a variable")
        matrix = _matrix(inner[0][1], order)
        if matrix.name in found:
            raise ValueError(f"the file holds {ascii(matrix.name[:60])[1:-1]} more than once")
        if matrix.name:  # without one: what function handles refer to
            found[matrix.name] = matrix
        if len(found) > _MOST:
            raise ValueError(f"the file holds more than {_MOST} variables")
    return found


def _inflated(element: memoryview, order: str, budget: Budget) -> memoryview:
    """A compressed variable, once the length in its own tag is one that its bytes can have."""
    machine = zlib.decompressobj()
    try:
        tag = machine.decompress(element, 8)
        size = struct.unpack(order + "II", tag)[1]
        if size > _INFLATED * len(element):
            raise ValueError(f"it declares {size} bytes, but {len(element)} are there")
        budget.take(2 * size, "a compressed variable")
        body = machine.decompress(machine.unconsumed_tail, size) if size else b""
        if machine.decompress(machine.unconsumed_tail, 1) or len(body) < size or not machine.eof:
            raise ValueError("it is incomplete, or longer than it says")
    except (zlib.error, struct.error, ValueError) as error:
        raise ValueError(f"a variable of this MATLAB file is damaged ({reason(error)})") from None
    return memoryview(tag + body)


def _matrix(data: memoryview, order: str) -> Matrix:
    if not data:  # how an empty array is written inside a cell
        return Matrix(order, _NUMERIC[0], 0, (0, 0), "", [(9, data)])
    elements = list(islice(_elements(data, order), _MOST + 1))
    if len(elements) > _MOST:
        raise ValueError(f"a variable of this MATLAB file has more than {_MOST} parts")
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
        if not 2 <= len(dims) <= 32 or min(dims) < 0:
            raise problem
    name = bytes(elements[heading - 1][1]).rstrip(b"\0").decode("latin-1")
    return Matrix(order, flags & 0xFF, flags, dims, name, elements[heading:])


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
