"""Layers from named arrays: A_1, b_1, ..., C, d, or the names that PyTorch gives the parts of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

import numpy as np

from ..arithmetic.float64 import Array
from .npz import Layers, layers


def named(names: Collection[str], get: Callable[[str], Array]) -> Layers:
    """(weights, biases) of arrays with the keys of .npz, or "0.weight", "0.bias", "2.weight", ... ("fc1.weight").

    PyTorch's names say neither order nor activation: the layers are taken in the order of the one number in
    which their names differ, with a ReLU between any two. A missing bias means zeros.

    Raises:
        ValueError: keys of neither kind, layers whose order the names do not say, or an array that is no
            weight or bias (such as a normalisation's), which would change what the network is.
    """
    if not all(name.isprintable() for name in names):
        raise ValueError("a name in the file is not printable text")
    if not any(name.endswith(".weight") for name in names):
        return layers(names, get)
    found: dict[str, set[str]] = {}
    for name in names:
        prefix, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias") or not prefix:
            raise ValueError(f"{name} is not expected: only weights and biases of fully connected layers are read")
        found.setdefault(prefix, set()).add(kind)
    for prefix, kinds in found.items():
        if "weight" not in kinds:
            raise ValueError(f"{prefix}.bias is there without {prefix}.weight")
    order = _ordered(list(found))
    weights = [get(f"{prefix}.weight") for prefix in order]
    for prefix, weight in zip(order, weights, strict=True):
        if weight.ndim != 2:
            raise ValueError(f"{prefix}.weight has shape {weight.shape}, but only fully connected networks are read")
    biases = [
        get(f"{prefix}.bias") if "bias" in found[prefix] else np.zeros(weight.shape[0])
        for prefix, weight in zip(order, weights, strict=True)
    ]
    return weights, biases


def _ordered(prefixes: list[str]) -> list[str]:
    parts = [re.split("([0-9]+)", prefix) for prefix in prefixes]
    columns = [i for i in range(max(map(len, parts))) if len({tuple(p[i : i + 1]) for p in parts}) > 1]
    if len(prefixes) == 1:
        return prefixes
    if len({len(p) for p in parts}) > 1 or len(columns) != 1 or columns[0] % 2 == 0:
        raise ValueError(
            f"the names {', '.join(sorted(prefixes)[:4])} do not say the order of the layers; "
            "number them, or call the arrays A_1, b_1, ..., C, d"
        )
    numbers = {int(p[columns[0]]): prefix for p, prefix in zip(parts, prefixes, strict=True)}
    if len(numbers) < len(prefixes):
        raise ValueError("two layers have the same number")
    return [numbers[n] for n in sorted(numbers)]
