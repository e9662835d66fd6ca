"""NumPy archives: keys A_1, b_1, ..., A_L, b_L, C, d; and the reading of such keys, which .mat shares."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Collection, Sequence
from typing import IO, Any

import numpy as np

from ..arithmetic.float64 import Array

Layers = tuple[list[Array], list[Array]]


def read(file: IO[bytes]) -> Layers:
    """(weights, biases) of an .npz; keys that are not a network's are not even read.

    Raises:
        ValueError: not a whole archive of plain arrays with the keys of a network.
    """
    if file.read(2) != b"PK":
        raise ValueError("this is not an .npz file, which is a zip archive of arrays")
    try:
        archive = zipfile.ZipFile(file)
    except Exception as error:  # damaged bytes make zipfile raise nearly anything
        raise ValueError(f"the .npz archive is damaged or incomplete ({reason(error)})") from None
    with archive:
        names: dict[str, str] = {}
        for name in archive.namelist():
            key = name.removesuffix(".npy")
            if key in names:
                raise ValueError(f"the archive holds {key} more than once")
            names[key] = name
        return layers(names, lambda key: _member(archive, key, names[key]))


def write(weights: Sequence[Array], biases: Sequence[Array], file: IO[bytes]) -> None:
    """Write a ReLU chain's float64 arrays; uncompressed, since trained weights hardly compress."""
    keys: dict[str, Any] = {"C": weights[-1], "d": biases[-1]}
    for i, (A, b) in enumerate(zip(weights[:-1], biases[:-1], strict=True), start=1):
        keys[f"A_{i}"], keys[f"b_{i}"] = A, b
    np.savez(file, **keys)


def layers(names: Collection[str], get: Callable[[str], Array]) -> Layers:
    """(weights, biases) from arrays called A_1, b_1, ..., C (or a 1-D c), d; a missing d means zeros.

    Raises:
        ValueError: naming a key that is missing or ambiguous.
    """
    indices = [int(name[2:]) for name in names if re.fullmatch("[Ab]_[0-9]{1,9}", name)]
    if 0 in indices:  # skipping it would read a network without its first layer
        raise ValueError("the keys A_0 and b_0 are not expected: layers count from A_1, b_1")
    if "C" in names and "c" in names:
        raise ValueError("both C and c are there, but only one of them can be the output layer")
    # A layer is there as soon as either of its keys is, so that no missing key shortens the network.
    hidden = range(1, max(indices, default=1) + 1)
    keys = [(f"A_{i}", f"b_{i}") for i in hidden]
    for key in (key for pair in keys for key in pair):
        if key not in names:
            raise ValueError(f"the key {key} is missing; the keys of a network are A_1, b_1, ..., C, d")
    if "C" not in names and "c" not in names:
        raise ValueError("the key C (or a 1-D c), the output layer, is missing")
    weights, biases = [get(A) for A, _ in keys], [get(b) for _, b in keys]
    if "C" in names:
        C = get("C")
    else:
        C = get("c")
        if C.ndim != 1 and not (C.ndim == 2 and C.shape[0] == 1):
            raise ValueError(f"c must be 1-D, a single row, but its shape is {C.shape}; a matrix is called C")
        C = C.reshape(1, -1)
    d = get("d") if "d" in names else np.zeros(C.shape[:1])
    return [*weights, C], [*biases, d]


def reason(error: Exception) -> str:
    """The first line of what `error` says, for use inside a sentence."""
    return next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__


def _member(archive: zipfile.ZipFile, key: str, name: str) -> Array:
    # As numpy.load does, but to the end of the member: only there is its checksum compared.
    try:
        with archive.open(name) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            rest = file.read(1)
    except Exception as error:  # damaged bytes make zipfile, zlib and NumPy raise nearly anything
        if "allow_pickle" in str(error):
            raise ValueError(
                f"{key} holds Python objects, which only unpickling could read; nothing in a file is executed"
            ) from None
        raise ValueError(f"{key} is damaged or not an array ({reason(error)})") from None
    if rest:
        raise ValueError(f"{key} is damaged: there are bytes after the end of its array")
    return array
