"""Layers from named arrays: A_1, b_1, ..., C, d, or the names that PyTorch gives the parts of a network."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise

import numpy as np

from ..arithmetic.float64 import Array
from .layers import Graph, Layers, chained
from .own import is_own, own
from .told import Told, few

LOG = logging.getLogger("hr2jax")
# Of stable-baselines3's policies: the logarithm of the exploration noise's deviation, beside the network.
OF_NOISE = ("log_std",)


def named(names: Collection[str], get: Callable[[str], Array], told: Told, *, in_order: bool = False) -> Layers | Graph:
    """The layers of arrays with the keys of our own files, or with PyTorch's names of a state dict.

    A state dict ("0.weight", "0.bias", "2.weight", ..., "fc1.weight") says neither activations nor order. The
    activations are the caller's; the order is too, unless the names differ in one number only, which leaves room
    for an activation between any two layers. A missing bias means zeros: a state dict holds every parameter.

    Args:
        names: of the arrays.
        get: gives the array of a name.
        told: what the caller says.
        in_order: whether `names` stand in the order in which the layers were made, which must not be another one.

    Raises:
        ValueError: layers whose order or activation nothing says, or an array that is no weight or bias of a
            layer (such as a normalisation's), which would change what the network is. Where the caller names the
            layers, other fully connected layers and other networks in the file are left out, with a warning.
    """
    if not all(name.isprintable() for name in names):
        raise ValueError("a name in the file is not printable text")
    if any(is_own(name) for name in names) or not any("." in name for name in names):
        return own(names, get, told)
    order = _found(names) if told.layers is None else _chosen(names, get, told.layers)
    weights = {prefix: get(f"{prefix}.weight") for prefix in order}
    for prefix, weight in weights.items():
        if weight.ndim != 2:
            raise ValueError(f"{prefix}.weight has shape {weight.shape}, but only fully connected networks are read")
    if told.layers is None:
        order = _ordered(order, told, in_order=in_order)
    activations = told.activations(order)
    biases = [get(f"{p}.bias") if f"{p}.bias" in names else np.zeros(weights[p].shape[0]) for p in order]
    return chained([weights[prefix] for prefix in order], biases, activations)


def _found(names: Collection[str]) -> list[str]:
    """The layers' names, where all that is there are weights and biases of layers."""
    prefixes: dict[str, None] = {}
    unused = []
    for name in names:
        prefix, _, kind = name.rpartition(".")
        if kind == "weight" and prefix:
            prefixes[prefix] = None
        elif kind != "bias" or not prefix:
            unused.append(name)
    if unused:
        are = "are" if len(unused) > 1 else "is"
        raise ValueError(
            f"{few(unused)} {are} not expected: only weights and biases of fully connected layers are read; "
            "of a network with others, such as BatchNorm, read the module itself, "
            'hr2jax.as_network(model.eval()).save("model.npz"), or its ONNX export; of several networks in one file '
            "layers=[...] (--layers) names the layers of one"
        )
    for name in names:
        prefix, _, kind = name.rpartition(".")
        if kind == "bias" and prefix not in prefixes:
            raise ValueError(f"{name} is there without {prefix}.weight")
    return list(prefixes)


def _chosen(names: Collection[str], get: Callable[[str], Array], layers: Sequence[str]) -> list[str]:
    """The layers that the caller names, if they are there and have nothing but weights and biases."""
    for layer in layers:
        if f"{layer}.weight" not in names:
            there = [name.removesuffix(".weight") for name in names if name.endswith(".weight")]
            raise ValueError(f"layers names {layer[:60]!r}, but the layers of the file are {few(there)}")
    for name in names:
        prefix, _, kind = name.rpartition(".")
        if kind not in ("weight", "bias") and any(prefix == p or prefix.startswith(f"{p}.") for p in layers):
            raise ValueError(f"{name} is not expected: of {prefix} only weight and bias are read")
    _check_left_out(names, get, layers)
    return list(layers)


def _check_left_out(names: Collection[str], get: Callable[[str], Array], layers: Sequence[str]) -> None:
    """Refuse what the named layers leave out, unless it is a fully connected layer or part of another network.

    A normalisation's statistics, a PReLU's slopes or a scale may stand between the layers that are named: without them
    the bound would be one of another network. What lies in a part of the file that holds fully connected layers and
    none of those named, such as a critic beside the actor, is another network's.
    """
    left = [name for name in names if not any(name.startswith(f"{layer}.") for layer in layers)]
    linear = {name.removesuffix(".weight") for name in left if name.endswith(".weight") and get(name).ndim == 2}

    def is_elsewhere(name: str) -> bool:
        parts = name.split(".")
        for k in range(1, len(parts)):
            part = ".".join(parts[:k])
            holds_chosen = any(f"{layer}.".startswith(f"{part}.") for layer in layers)
            if not holds_chosen and any(f"{other}.".startswith(f"{part}.") for other in linear):
                return True
        return False

    unknown = [name for name in left if name not in OF_NOISE and not is_elsewhere(name)]
    if unknown:
        are = "are" if len(unknown) > 1 else "is"
        raise ValueError(
            f"{few(unknown)} {are} none of the layers that layers=[...] (--layers) names, nor of another network in "
            "the file; a normalisation or a scale left out would make it another network's bound: read the module "
            'itself, hr2jax.as_network(model.eval()).save("model.npz"), or its ONNX export'
        )
    if linear:
        LOG.warning("of the file these layers are not used: %s", few(sorted(linear)))


def _ordered(prefixes: list[str], told: Told, *, in_order: bool) -> list[str]:
    """The layers in the order of the one number in which their names differ, at their last place: net.0, fc1.

    q1.0 and q2.0 are the first layers of two networks, so a number further ahead says nothing.
    """
    if len(prefixes) == 1:
        return prefixes
    unclear = ValueError(
        f"the names {few(sorted(prefixes))} do not say the order of the layers; say layers=[...] (--layers), "
        "in the order in which they are applied" + (', and activation="relu"' if told.activation is None else "")
    )
    parts = [re.split("([0-9]+)", prefix) for prefix in prefixes]
    columns = [i for i in range(max(map(len, parts))) if len({tuple(p[i : i + 1]) for p in parts}) > 1]
    if len({len(p) for p in parts}) > 1 or len(columns) != 1 or columns[0] % 2 == 0:
        raise unclear
    (column,) = columns
    if max(len(p[column]) for p in parts) > 9 or "." in "".join(parts[0][column + 1 :]):
        raise unclear
    numbers = {int(p[column]): prefix for p, prefix in zip(parts, prefixes, strict=True)}
    if len(numbers) < len(prefixes):
        raise ValueError("two layers have the same number")
    order = [numbers[n] for n in sorted(numbers)]
    if in_order and prefixes not in (order, sorted(order)):
        raise ValueError(
            f"the layers {few(order)} were made in another order, {few(prefixes)}; say layers=[...] (--layers), "
            "in the order in which they are applied"
        )
    before, after = parts[0][column - 1], parts[0][column + 1]
    in_sequence = (not before or before.endswith(".")) and (not after or after.startswith("."))
    for n, m in pairwise(sorted(numbers)):
        if in_sequence and m == n + 1 and not isinstance(told.activation, tuple):
            raise ValueError(
                f"{numbers[n]} and {numbers[m]} leave no room for an activation between them, as one layer straight "
                f"after another does; where there is one all the same, say layers={order[:8]} (--layers), and where "
                'there is none, give activation a list with "identity" there'
            )
    return order
