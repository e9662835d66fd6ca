"""NumPy archives: keys A_1, b_1, ..., A_L, b_L, C, d, a general network's (layered.py), or a state dict's names."""

from __future__ import annotations

import functools
import io
import math
import zipfile
from collections.abc import Sequence
from typing import IO, Any

import numpy as np

from ..arithmetic.float64 import Array
from ..graph import is_chain
from ..layer import Layer, dense
from . import archive as zips
from .budget import NUMBER, Budget
from .layered import VERSION, keys_of, layered
from .layers import Graph, Layers, reason
from .names import named
from .told import Told

_LONGEST = 10_000  # of the heading of an array; NumPy's own limit
_LONGEST_ENTRY = 2**18  # bytes; of text, for a number has at most 32
COPIES = 4  # of an array, while it is read and compared
_HEADINGS = {(1, 0): (2, np.lib.format.read_array_header_1_0), (2, 0): (4, np.lib.format.read_array_header_2_0)}


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers in an .npz; see `names.named`. What is data beside the network is not even read.

    Raises:
        ValueError: not a whole archive of plain arrays with the keys of a network.
    """
    if file.read(2) != b"PK":
        raise ValueError("this is not an .npz file, which is a zip archive of arrays")
    try:
        archive = zips.opened(file, budget)
    except ValueError as error:
        raise ValueError(f"the .npz archive is damaged or incomplete ({reason(error)})") from None
    with archive:
        members: dict[str, zipfile.ZipInfo] = {}
        for member in archive.infolist():
            key = member.filename.removesuffix(".npy")
            if key in members:
                raise ValueError(f"the archive holds {ascii(key[:60])[1:-1]} more than once")
            members[key] = member

        def get(key: str) -> Array:
            return array_of(archive, key, members[key], budget)

        if "claim" in members:
            raise ValueError("this is a certificate, not a network; hr2jax verify CERTIFICATE NETWORK proves it again")
        if VERSION in members:
            return layered(members, get, told)
        return named(members, get, told, in_order=True)


def write(layers: Sequence[Layer], file: IO[bytes]) -> None:
    """Write a network's float64 arrays; uncompressed, since trained weights hardly compress."""
    if not is_chain(layers):
        np.savez(file, **keys_of(layers))
        return
    keys: dict[str, Any] = {}
    for i, layer in zip([-1, *range(1, len(layers))], [layers[-1], *layers[:-1]], strict=True):
        A, b = (f"A_{i}", f"b_{i}") if i > 0 else ("C", "d")
        keys[A], keys[b] = dense(*layer.inputs.values()), layer.bias
    np.savez(file, **keys)


def array_of(archive: zipfile.ZipFile, key: str, member: zipfile.ZipInfo, budget: Budget) -> Array:
    """The array `key`, once its heading agrees with the length of its member."""
    try:
        with archive.open(member) as file:
            shape, dtype, before = _heading(file)
        if dtype.hasobject:
            raise ValueError("allow_pickle")
        if dtype.itemsize > _LONGEST_ENTRY:
            raise ValueError(f"each of its entries has {dtype.itemsize} bytes, and at most {_LONGEST_ENTRY} are read")
        declared = math.prod(shape) * dtype.itemsize
        if declared > member.file_size - before:
            raise ValueError(f"its shape is {shape}, but it does not hold as many numbers")
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise nearly anything
        raise _damaged(key, error) from None
    budget.take(max(NUMBER * float(math.prod(shape)), COPIES * float(declared)), f"{key}, of shape {shape},")
    try:  # as numpy.load does, but to the end of the member: only there is its checksum compared
        with archive.open(member) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            rest = file.read(1)
    except Exception as error:
        raise _damaged(key, error) from None
    if rest:
        raise ValueError(f"{key} is damaged: there are bytes after the end of its array")
    return array


def _heading(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], int]:
    """(shape, dtype, length) of the heading of a .npy, which says what to make room for."""
    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or tuple(start[6:]) not in _HEADINGS:
        raise ValueError("it does not begin as an array does")
    version = start[6], start[7]
    width, _ = _HEADINGS[version]
    length = file.read(width)
    size = int.from_bytes(length, "little")
    if size > _LONGEST:
        raise ValueError(f"its heading has {size} bytes, and at most {_LONGEST} are read")
    return *_said(version, length + file.read(size)), 8 + width + size


@functools.lru_cache(256)
def _said(version: tuple[int, int], heading: bytes) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """(shape, dtype) of a heading: a certificate has many that are the same, and Python parses each as source."""
    shape, _, dtype = _HEADINGS[version][1](io.BytesIO(heading))
    return shape, dtype


def _damaged(key: str, error: Exception) -> ValueError:
    if "allow_pickle" in str(error):
        return ValueError(
            f"{key} holds Python objects, which only unpickling could read; nothing in a file is executed"
        )
    return ValueError(f"{key} is damaged or not an array ({reason(error)})")
