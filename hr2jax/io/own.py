"""The keys of our own files, A_1, b_1, ..., A_L, b_L, C, d: a ReLU after every hidden layer, by definition."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import numpy as np

from ..arithmetic.float64 import Array
from .layers import Layers
from .told import Told, few

# Arrays that may stand beside a network and are no part of it.
DATA = ("x00", "center", "inputs", "labels")
_KEY = re.compile("[Ab]_[0-9]{1,9}|[Ccd]")


def is_own(name: str) -> bool:
    """Whether `name` is a key of our own files."""
    return _KEY.fullmatch(name) is not None


def own(names: Collection[str], get: Callable[[str], Array], told: Told) -> Layers:
    """The layers of arrays called A_1, b_1, ..., C (or a 1-D c), d; a missing d means zeros.

    Raises:
        ValueError: naming a key that is missing, ambiguous or not one of these, which may change the function.
    """
    indices = [int(name[2:]) for name in names if re.fullmatch("[Ab]_[0-9]{1,9}", name)]
    if 0 in indices:  # skipping it would read a network without its first layer
        raise ValueError("the keys A_0 and b_0 are not expected: layers count from A_1, b_1")
    if "C" in names and "c" in names:
        raise ValueError("both C and c are there, but only one of them can be the output layer")
    # A layer is there as soon as either of its keys is, so that no missing key shortens the network.
    hidden = range(1, max(indices, default=1) + 1)
    keys = []
    for i in hidden:
        for key in (f"A_{i}", f"b_{i}"):
            if key not in names:
                raise ValueError(
                    f"the key {key} is missing; the keys of a network are A_1, b_1, ..., C, d, or a state dict's names "
                    f"fc1.weight, fc1.bias, ..., but {few(sorted(names))} are there"
                )
            keys.append(key)
    if "C" not in names and "c" not in names:
        raise ValueError("the key C (or a 1-D c), the output layer, is missing")
    last = "C" if "C" in names else "c"
    if unused := sorted(set(names) - {*keys, last, "d", *DATA}):
        are = "are" if len(unused) > 1 else "is"
        raise ValueError(
            f"{few(unused)} {are} not expected: beside A_1, b_1, ..., C, d only the data {few(DATA)} may be there"
        )
    told.check_said([*keys[::2], last], "a file with the keys A_1, b_1, ..., C, d")
    weights, biases = [get(A) for A in keys[::2]], [get(b) for b in keys[1::2]]
    C = get(last)
    if last == "c":
        if C.ndim != 1 and not (C.ndim == 2 and C.shape[0] == 1):
            raise ValueError(f"c must be 1-D, a single row, but its shape is {C.shape}; a matrix is called C")
        C = C.reshape(1, -1)
    d = get("d") if "d" in names else np.zeros(C.shape[:1])
    return Layers([*weights, C], [*biases, d], tuple(sorted(set(names) & {*DATA})))
