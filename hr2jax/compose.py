"""Networks made of networks: differences, combinations of outputs, affine maps of inputs. Exactly.

Two affine maps that follow one another become one where float64 holds their product exactly, and stay two otherwise:
an identity layer costs a relaxation no variable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .arithmetic import exact
from .arithmetic.float64 import Array
from .graph import Layers
from .layer import Layer, dense


def difference(first: Layers, second: Layers) -> list[Layer]:
    """The layers of F - G, both of the same inputs and outputs.

    Raises:
        ValueError: other inputs or outputs.
    """
    widths = {"inputs": (_inputs(first), _inputs(second)), "outputs": (first[-1].width, second[-1].width)}
    for what, (one, other_one) in widths.items():
        if one != other_one:
            raise ValueError(f"a difference is of networks with as many {what}, but they have {one} and {other_one}")
    m, K = len(first), first[-1].width
    moved = [_renumbered(layer, {k: k + m - 1 if k else 0 for k in layer.inputs}) for layer in second]
    hidden = [*first[:-1], *moved[:-1]]
    last, other = first[-1], moved[-1]
    apart = 0 in last.inputs and 0 in other.inputs  # what x adds to both would be a rounded difference
    try:
        d = None if apart or last.has_radii or other.has_radii else exact.total(last.bias, -other.bias)
    except exact.InexactError:
        d = None
    if d is None:
        at = len(hidden) + 1
        ends = Layer({at: np.eye(K), at + 1: -np.eye(K)}, np.zeros(K), "identity")
        return [*hidden, last, other, ends]  # layers at and at + 1
    return [*hidden, Layer({**last.inputs, **{k: -A for k, A in other.inputs.items()}}, d, "identity")]


def combined(M: Array, layers: Layers) -> list[Layer]:
    """The layers of M F, M (m, K)."""
    last = layers[-1]
    if not last.has_radii:
        inputs = {k: _product(M, dense(C)) for k, C in last.inputs.items()}
        bias = _product(M, last.bias[:, None])
        if bias is not None and all(C is not None for C in inputs.values()):
            return [*layers[:-1], Layer(inputs, bias[:, 0], "identity")]
    return [*layers, Layer({len(layers): M}, np.zeros(len(M)), "identity")]


def moved_inputs(layers: Layers, A: Any, shift: Array) -> list[Layer]:
    """The layers of F(A x + shift), A (p_0, q)."""
    if not shift.any() and not any(0 in layer.inputs and layer.has_radii for layer in layers):
        folded = []
        for layer in layers:
            if 0 not in layer.inputs:
                folded.append(layer)
                continue
            first = _product(dense(layer.inputs[0]), dense(A))
            if first is None:
                break
            folded.append(_with_inputs(layer, {**layer.inputs, 0: first}))
        else:
            return folded
    through = Layer({0: A}, shift, "identity")
    return [through, *(_renumbered(layer, {k: k + 1 for k in layer.inputs}) for layer in layers)]


def with_inputs(layers: Layers, inputs: Array) -> list[Layer]:
    """The layers of (F(x), x_i for the numbers i in `inputs`): the inputs as further outputs."""
    last, n = layers[-1], len(inputs)
    width, zero = _inputs(layers), np.zeros
    parts: dict[int, Any] = {k: np.vstack([dense(C), zero((n, C.shape[1]))]) for k, C in last.inputs.items()}
    radii = {k: np.vstack([dense(C), zero((n, C.shape[1]))]) for k, C in last.radii.items()}
    of_x = np.vstack([zero((last.width, width)), selection(inputs, width).T])
    parts[0] = parts[0] + of_x if 0 in parts else of_x
    pairs = {k: (A, radii[k]) if k in radii else A for k, A in parts.items()}
    bias: Any = np.concatenate([last.bias, zero(n)])
    if last.bias_radius is not None:
        bias = bias, np.concatenate([last.bias_radius, zero(n)])
    return [*layers[:-1], Layer(pairs, bias, "identity")]


def _inputs(layers: Layers) -> int:
    return int(next(layer.inputs[0].shape[1] for layer in layers if 0 in layer.inputs))


def _renumbered(layer: Layer, numbers: dict[int, int]) -> Layer:
    """The layer with the inputs of other numbers."""
    return _with_inputs(layer, {numbers[k]: A for k, A in layer.inputs.items()}, numbers)


def _with_inputs(layer: Layer, inputs: dict[int, Any], numbers: dict[int, int] | None = None) -> Layer:
    radii = {(k if numbers is None else numbers[k]): radius for k, radius in layer.radii.items()}
    pairs = {k: (A, radii[k]) if k in radii else A for k, A in inputs.items()}
    bias = layer.bias if layer.bias_radius is None else (layer.bias, layer.bias_radius)
    return Layer(pairs, bias, layer.activation, layer.parameters)


def _product(M: Array, N: Array) -> Array | None:
    """M N where float64 holds every entry, else None."""
    try:
        return exact.matmul(M, N)
    except exact.InexactError:
        return None


def selection(inputs: Array, width: int) -> Array:
    """(width, n): places n entries at `inputs` of a vector."""
    S = np.zeros((width, len(inputs)))
    S[inputs, np.arange(len(inputs))] = 1.0
    return S


__all__ = ("combined", "difference", "moved_inputs", "selection", "with_inputs")
