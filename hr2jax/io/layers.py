"""What every reader gives: the layers of a ReLU chain as arrays, or of any network as `Layer`s."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..arithmetic import exact
from ..arithmetic.float64 import Array
from ..layer import Layer
from .told import parsed


class Layers(NamedTuple):
    """weights [A_1, ..., A_L, C], biases [b_1, ..., b_L, d], and the names of what else the file holds as data."""

    weights: list[Array]
    biases: list[Array]
    data: tuple[str, ...] = ()


class Graph(NamedTuple):
    """The layers of any network, for `Network.from_layers`, and the names of what else the file holds as data.

    `made` says of each layer which operators of the file it was made of, where the file has such.
    """

    layers: list[Layer]
    data: tuple[str, ...] = ()
    made: tuple[str, ...] = ()


def chained(weights: Sequence[Array], biases: Sequence[Array], activations: Sequence[str]) -> Layers | Graph:
    """The layers with `activations` between them, one fewer than there are layers.

    Without an activation two layers become one where float64 holds their product exactly, and stay two elsewhere.

    Raises:
        ValueError: an activation that has numbers of its own.
    """
    for activation in activations:
        if parsed(activation)[0] == "prelu":
            raise ValueError("the activation 'prelu' has slopes, which this file's layers do not say; use leaky_relu")
    out, between = Layers([weights[0]], [biases[0]]), list[str]()
    for activation, A, b in zip(activations, weights[1:], biases[1:], strict=True):
        if activation == "identity":
            try:
                out.weights[-1], out.biases[-1] = _after(A, b, out.weights[-1], out.biases[-1])
                continue
            except exact.InexactError:
                pass
        between.append(activation)
        out.weights.append(A)
        out.biases.append(b)
    if all(activation == "relu" for activation in between):
        return out
    kinds = zip(out.weights, out.biases, [*between, "identity"], strict=True)
    return Graph([Layer({i: A}, b, *parsed(activation)) for i, (A, b, activation) in enumerate(kinds)])


def _after(A: Array, b: Array, before: Array, shift: Array) -> tuple[Array, Array]:
    """(A before, A shift + b), exactly."""
    if A.ndim != 2 or before.ndim != 2 or A.shape[1] != before.shape[0] or shift.shape != before.shape[:1]:
        raise ValueError(f"a layer of shape {A.shape} cannot follow one of shape {before.shape}")
    A, b, before, shift = (array.astype(np.float64) for array in (A, b, before, shift))
    if not all(np.isfinite(array).all() for array in (A, b, before, shift)):
        raise ValueError("weights and biases must be finite, but one contains NaN or infinity")
    return exact.matmul(A, before), exact.total(exact.matmul(A, shift[:, None])[:, 0], b)


def reason(error: Exception) -> str:
    """The first line of what `error` says, for use inside a sentence."""
    return next(iter(str(error).splitlines()), "").rstrip(".") or type(error).__name__
