"""The network whose Lipschitz constant is bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import compose, graph
from .arithmetic.float64 import Array, exact_float64
from .layer import ACTIVATIONS, Layer, checked_map, dense, entries
from .machine.files import path_of
from .text import shown


class Network:
    """A fully connected network  x_i = sigma(A_i x_{i-1} + b_i),  F(x_0) = C x_L + d, or one of `from_layers`.

    Args:
        weights: [A_1, ..., A_L, C]; A_i of shape (p_i, p_{i-1}), C of shape (K, p_L). Any real dtype
            whose values float64 holds exactly.
        biases: [b_1, ..., b_L, d]; b_i of shape (p_i,), d of shape (K,).
        activation: sigma's name, one of `hr2jax.layer.ACTIVATIONS` with torch's parameters, or a list with one name per
            hidden layer; other parameters need `from_layers`.

    Raises:
        ValueError: wrong ranks, widths that do not chain, NaN or infinity, a dtype that would be
            rounded, an unknown activation; the message names the layer.

    Attributes:
        layers: the general form, a tuple of one `Layer` per hidden layer and the output.
    """

    layers: tuple[Layer, ...]

    def __init__(
        self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike], activation: str | Sequence[str] = "relu"
    ):
        weights, biases = _as_list(weights, "weights"), _as_list(biases, "biases")
        if len(weights) < 2:
            raise ValueError(
                f"weights must be [A_1, ..., A_L, C] with at least one hidden layer, but {len(weights)} was given"
            )
        if len(biases) != len(weights):
            count = len(weights)
            raise ValueError(f"{count} weights were given, so {count} biases are expected, not {len(biases)}")
        depth = len(weights) - 1
        names = [*_names(activation, depth), "identity"]
        layers: list[Layer] = []
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            name, shift = (f"A_{i + 1}", f"b_{i + 1}") if i < depth else ("C", "d")
            A, b = checked_map(weight, bias, name, shift)
            if i and A.shape[1] != layers[-1].width:
                raise ValueError(f"{name} has shape {A.shape}, but the layer before it has {layers[-1].width} outputs")
            layers.append(Layer.of_checked({i: A}, b, names[i]))
        self.layers = tuple(layers)

    @classmethod
    def from_layers(cls, layers: Sequence[Layer]) -> Network:
        """The network of these layers, the l-th (from 1) with inputs among 0 (x) to l - 1, the last one the output.

        Raises:
            ValueError: no layers, inputs that do not come before or are of another width, a layer that feeds nothing,
                an output with an activation; the message names the layer.
        """
        if isinstance(layers, Layer):
            raise ValueError("layers must be a list of Layers, but a single Layer was given")
        layers = _as_list(layers, "layers")
        graph.check(layers)
        graph.refuse_unused(layers)
        net = cls.__new__(cls)
        net.layers = tuple(layers)
        return net

    @cached_property
    def is_chain(self) -> bool:
        """Whether it is a chain of ReLU layers without radii, the one kind that has `weights` and `biases`."""
        return graph.is_chain(self.layers)

    @cached_property
    def has_radii(self) -> bool:
        """Whether a coefficient or a bias of it is a midpoint and a radius."""
        return any(layer.has_radii for layer in self.layers)

    @cached_property
    def smooth(self) -> str:
        """Its first smooth layer, as refusals call it; empty where all are piecewise linear."""
        return graph.smooth_layer(self.layers)

    @cached_property
    def enclosed(self) -> tuple[Layer, ...]:
        """The layers as proofs take them: dense arrays, `Enclosure`s where there are radii."""
        return tuple(graph.enclosed(self.layers))

    @cached_property
    def weights(self) -> list[Array]:
        """[A_1, ..., A_L, C] of a chain.

        Raises:
            ValueError: no chain.
        """
        self._refuse_unlike_a_chain("weights")
        return [dense(A) for layer in self.layers for A in layer.inputs.values()]

    @cached_property
    def biases(self) -> list[Array]:
        """[b_1, ..., b_L, d] of a chain.

        Raises:
            ValueError: no chain.
        """
        self._refuse_unlike_a_chain("biases")
        return [layer.bias for layer in self.layers]

    def _refuse_unlike_a_chain(self, what: str) -> None:
        if not self.is_chain:
            raise ValueError(f"only a chain of ReLU layers has {what}; this network is {self!r}: see its layers")

    @cached_property
    def structure(self) -> graph.Structure:
        """Which hidden layers a relaxation gives variables."""
        return graph.structure(self.layers)

    @cached_property
    def depth(self) -> int:
        """L, the most layers with an activation that a way from the input to the output passes."""
        return graph.depth(self.layers)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """(p_0, p_1, ..., K), the input's entries and every layer's neurons."""
        width = next(A.shape[1] for layer in self.layers for k, A in layer.inputs.items() if k == 0)
        return (int(width), *(layer.width for layer in self.layers))

    __array_ufunc__ = None  # let NumPy arrays defer to `__rmatmul__`

    def __sub__(self, other: Any) -> Network:
        """F - G: its constant and largest value say how far apart two networks of the same inputs and outputs are.

        Raises:
            ValueError: other inputs or outputs.
        """
        if not isinstance(other, Network):
            return NotImplemented
        return Network.from_layers(compose.difference(self.layers, other.layers))

    def __matmul__(self, A: ArrayLike) -> Network:
        """F(A x), A (p_0, q); exact: where float64 does not hold the product, it stays a layer of its own.

        Raises:
            ValueError: what is no matrix of p_0 rows.
        """
        A = exact_float64(A, "A", 2)
        if A.shape[0] != self.widths[0] or not A.shape[1]:
            raise ValueError(f"A must have {self.widths[0]} rows, the network's inputs, but its shape is {A.shape}")
        return Network.from_layers(compose.moved_inputs(self.layers, A, np.zeros(len(A))))

    def __rmatmul__(self, M: ArrayLike) -> Network:
        """M F(x), M (m, K); exact, as `__matmul__`.

        Raises:
            ValueError: what is no matrix of K columns.
        """
        M = exact_float64(M, "M", 2)
        if M.shape[1] != self.widths[-1] or not len(M):
            outputs = self.widths[-1]
            raise ValueError(f"M must have {outputs} columns, the network's outputs, but its shape is {M.shape}")
        return Network.from_layers(compose.combined(M, self.layers))

    def restrict(self, inputs: Sequence[int] | Array, at: ArrayLike | None = None) -> Network:
        """F as a function of some of its inputs alone, in this order, the others fixed.

        Args:
            inputs: their numbers, distinct.
            at: (p_0,) what the others are; None: 0.

        Raises:
            ValueError: no such inputs, or `at` of another shape.
        """
        width, chosen = self.widths[0], np.asarray(inputs)
        kind, given = f"numbers of inputs 0..{width - 1}", f"but {shown(inputs)} was given"
        if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
            raise ValueError(f"inputs must be one or more {kind}, {given}")
        if len(np.unique(chosen)) != len(chosen) or not ((chosen >= 0) & (chosen < width)).all():
            raise ValueError(f"inputs must be distinct {kind}, {given}")
        rest = np.zeros(width) if at is None else exact_float64(at, "at", 1)
        if rest.shape != (width,):
            raise ValueError(f"at must have shape ({width},), the network's input, but its shape is {rest.shape}")
        rest[chosen] = 0.0
        return Network.from_layers(compose.moved_inputs(self.layers, compose.selection(chosen, width), rest))

    def __call__(self, x: ArrayLike) -> Array:
        """F(x) in float64; x of shape (p_0,) or (n, p_0), result (K,) or (n, K)."""
        value: Array = graph.evaluate(self.layers, self._points(x))
        return value

    def gradient(self, x: ArrayLike, output: int = 0) -> Array:
        """The formal gradient of F_output at x (sigma'(0) = alpha, 0 of ReLU), float64; x (p_0,) or (n, p_0)."""
        if isinstance(output, bool) or not isinstance(output, int | np.integer) or not 0 <= output < self.widths[-1]:
            raise ValueError(f"output must be an integer in 0..{self.widths[-1] - 1}, but {shown(output)} was given")
        top = np.zeros(self.widths[-1])
        top[output] = 1.0
        return np.array(graph.gradients(self.layers, self._points(x), top))

    def jacobian(self, x: ArrayLike) -> Array:
        """The formal Jacobian of F at x (as `gradient`), float64: (K, p_0) of x (p_0,), (n, K, p_0) of x (n, p_0)."""
        points = self._points(x)
        on = [mask[..., None, :] for mask in graph.masks(self.layers[:-1], points)]
        found = graph.pull_back(self.layers, on, np.eye(self.widths[-1]))
        return np.array(np.broadcast_to(found, (*points.shape[:-1], *found.shape[-2:])))

    def _points(self, x: ArrayLike) -> Array:
        try:
            points = np.asarray(x)
            if points.dtype.kind == "c":
                raise TypeError("complex")
            points = points.astype(np.float64)
        except (ValueError, TypeError, OverflowError):
            width = self.widths[0]
            raise ValueError(
                f"x must hold numbers and have shape ({width},) or (n, {width}), but {shown(x)} was given"
            ) from None
        if points.ndim not in (1, 2) or points.shape[-1] != self.widths[0]:
            raise ValueError(f"x must have shape ({self.widths[0]},) or (n, {self.widths[0]}), not {points.shape}")
        return points

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to exactly `path`, a .npz: keys A_1, b_1, ..., A_L, b_L, C, d in float64 of a ReLU chain.

        Other networks have keys of their own, which an earlier hr2jax takes for no network.

        `hr2jax.load` gives a network of the same hash back. The file appears whole or not at all: a file that was
        there before stays until the new one is complete.

        Raises:
            ValueError: a suffix that is no network format, or `path` is a directory.
            NotImplementedError: a format that is known but not written.
            OSError: the folder is missing or may not be written.
        """
        from .io import write

        write(self.layers, path_of(path))

    @property
    def hash(self) -> str:
        """SHA-256 of the widths and of every weight and bias as little-endian float64: what a certificate is for.

        Of what is no ReLU chain, of its layers: their inputs' numbers and shapes, activations, slopes, entries, radii.
        """
        if not self.is_chain:
            return _hash_of_layers(self.layers)
        digest = hashlib.sha256(repr(self.widths).encode())
        for array in (*self.weights, *self.biases):
            digest.update(array.astype("<f8").tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        if self.is_chain:
            return f"Network({'-'.join(map(str, self.widths))})"
        return f"Network({'-'.join(map(str, self.widths))}, {graph.text(self.layers)})"


def _hash_of_layers(layers: Sequence[Layer]) -> str:
    digest = hashlib.sha256(b"hr2jax network 2\n")

    def take(array: Array, kind: str) -> None:
        digest.update(repr(np.shape(array)).encode() + np.asarray(array).astype(kind).tobytes())

    def take_matrix(A: Any) -> None:  # by its entries that are not 0, row by row: the same dense and sparse
        flat, values = entries(A)
        digest.update(repr((*A.shape, len(flat))).encode())
        take(flat, "<i8")
        take(values, "<f8")

    for layer in layers:
        names = sorted(name for name, value in layer.parameters.items() if isinstance(value, str))
        words = [f"{name}={layer.parameters[name]}" for name in names]
        digest.update(repr((layer.activation, words, [*layer.inputs], [*layer.radii])).encode())
        own = np.array([*layer.numbers.values()], dtype=np.float64)
        for slopes in layer.slopes if layer.is_kinked else [own]:
            take(slopes, "<f8")
        for A in (*layer.inputs.values(), *layer.radii.values()):
            take_matrix(A)
        take(layer.bias, "<f8")
        take(np.zeros(0) if layer.bias_radius is None else layer.bias_radius, "<f8")
    return digest.hexdigest()


def _names(activation: Any, depth: int) -> list[str]:
    """One activation's name for each of `depth` hidden layers."""
    expected = "a name or a list of names"
    names = [activation] * depth if isinstance(activation, str) else _as_list(activation, "activation", expected)
    if len(names) != depth:
        raise ValueError(f"activation must be a name, or one for each of {depth} hidden layers, not {len(names)} names")
    for i, name in enumerate(names):
        if not isinstance(name, str) or name not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation {i + 1} must be one of {known}, but {shown(name)} was given")
    return names


def _as_list(value: Any, what: str, expected: str = "a list of arrays") -> list[Any]:
    if isinstance(value, str | bytes | dict):
        raise ValueError(f"{what} must be {expected}, but {type(value).__name__} was given")
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{what} must be {expected}, but {type(value).__name__} was given") from None
