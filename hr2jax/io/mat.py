"""MATLAB files: the keys of our own files, LipSDP's cells `weights` and `biases`, or NNV's W, b and act_fcns."""

from __future__ import annotations

from typing import IO

import numpy as np

from ..layer import ACTIVATIONS
from .budget import Budget
from .layers import Graph, Layers, chained
from .matfile import Matrix, array, cells, text, variables
from .own import own
from .told import Told, few

# MATLAB's names of activations, where they are not torch's.
_ACTIVATIONS = {"linear": "identity", "purelin": "identity", "poslin": "relu", "tansig": "tanh", "logsig": "sigmoid"}


def read(file: IO[bytes], told: Told, budget: Budget) -> Layers | Graph:
    """The layers of a .mat file.

    LipSDP's files do not say the activation; where they have no biases, which LipSDP's bounds do not need, biases
    are zeros. NNV's say every layer's. Every MATLAB array has two dimensions, so b_i, d and c are taken as vectors
    from a row or a column.

    Raises:
        ValueError: not a whole MATLAB file of -v6 or -v7 with the variables of a network and no other.
    """
    found = variables(memoryview(budget.contents(file)), budget)
    if not all(name.isprintable() for name in found):
        raise ValueError("a name in the file is not printable text")
    if "weights" in found:
        return _lipsdp(found, told, budget)
    if "W" in found and "act_fcns" in found:
        return _nnv(found, told, budget)
    return own(found, lambda key: array(found[key], key, budget, vector=key[0] in "bcd"), told)


def _lipsdp(found: dict[str, Matrix], told: Told, budget: Budget) -> Layers | Graph:
    for key in ("A_1", "C", "c"):
        if key in found:
            raise ValueError(f"both weights and {key} are there, but only one of them can be the network")
    _only(found, "weights", "biases")
    parts = cells(found["weights"], "weights")
    shifts = cells(found["biases"], "biases") if "biases" in found else None
    if shifts is not None and len(shifts) != len(parts):
        raise ValueError(f"{len(parts)} weights were given, so {len(parts)} biases are expected, not {len(shifts)}")
    names = [f"weights{{{i + 1}}}" for i in range(len(parts))]
    if told.layers is not None:
        raise ValueError("layers was given, but the cells of weights are in the order of application")
    try:
        activations = told.activations(names)
    except ValueError as error:
        zeros = "; it has no biases, which would be taken as zeros" if shifts is None else ""
        raise ValueError(f"{error}{zeros}") from None
    weights = [array(part, name, budget, vector=False) for part, name in zip(parts, names, strict=True)]
    if shifts is None:
        return chained(weights, [np.zeros(A.shape[:1]) for A in weights], activations)
    biases = [array(part, f"biases{{{i + 1}}}", budget, vector=True) for i, part in enumerate(shifts)]
    return chained(weights, biases, activations)


def _nnv(found: dict[str, Matrix], told: Told, budget: Budget) -> Layers | Graph:
    _only(found, "W", "b", "act_fcns")
    if "b" not in found:
        raise ValueError("the variable b, the biases, is missing")
    parts, shifts, given = (cells(found[name], name) for name in ("W", "b", "act_fcns"))
    if not len(parts) == len(shifts) == len(given):
        counts = f"{len(parts)}, {len(shifts)} and {len(given)}"
        raise ValueError(f"W, b and act_fcns must have equally many cells, but they have {counts}")
    said = [text(part, f"act_fcns{{{i + 1}}}") for i, part in enumerate(given)]
    *activations, last = [_ACTIVATIONS.get(name, name) for name in said]
    for name in (*activations, last):
        if name not in ACTIVATIONS:
            raise ValueError(f"act_fcns holds {name[:60]!r}, which is no activation that is known")
    if last != "identity":
        raise ValueError(f"act_fcns ends in {said[-1]}, but the last layer must be linear")
    names = [f"W{{{i + 1}}}" for i in range(len(parts))]
    told.check_said(names, "the file", activations)
    weights = [array(part, name, budget, vector=False) for part, name in zip(parts, names, strict=True)]
    biases = [array(part, f"b{{{i + 1}}}", budget, vector=True) for i, part in enumerate(shifts)]
    return chained(weights, biases, activations)


def _only(found: dict[str, Matrix], *expected: str) -> None:
    if unused := sorted({*found} - {*expected}):
        are = "are" if len(unused) > 1 else "is"
        raise ValueError(f"{few(unused)} {are} not expected beside {few(expected)}")
