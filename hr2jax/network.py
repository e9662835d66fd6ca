"""The network whose Lipschitz constant is bounded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic.float64 import Array, exact_float64
from .text import shown


class Network:
    """A fully connected ReLU network  x_i = ReLU(A_i x_{i-1} + b_i),  F(x_0) = C x_L + d.

    Args:
        weights: [A_1, ..., A_L, C]; A_i of shape (p_i, p_{i-1}), C of shape (K, p_L). Any real dtype
            whose values float64 holds exactly.
        biases: [b_1, ..., b_L, d]; b_i of shape (p_i,), d of shape (K,).

    Raises:
        ValueError: wrong ranks, widths that do not chain, NaN or infinity, a dtype that would be
            rounded; the message names the layer.
    """

    def __init__(self, weights: Sequence[ArrayLike], biases: Sequence[ArrayLike]):
        weights, biases = _as_list(weights, "weights"), _as_list(biases, "biases")
        if len(weights) < 2:
            raise ValueError(
                f"weights must be [A_1, ..., A_L, C] with at least one hidden layer, but {len(weights)} was given"
            )
        if len(biases) != len(weights):
            count = len(weights)
            raise ValueError(f"{count} weights were given, so {count} biases are expected, not {len(biases)}")
        depth = len(weights) - 1
        self.weights: list[Array] = []
        self.biases: list[Array] = []
        for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            layer = f"A_{i + 1}" if i < depth else "C"
            shift = f"b_{i + 1}" if i < depth else "d"
            A, b = exact_float64(weight, layer, 2), exact_float64(bias, shift, 1)
            if 0 in A.shape:
                raise ValueError(f"{layer} has shape {A.shape}; every width must be at least 1")
            if b.shape[0] != A.shape[0]:
                raise ValueError(f"{shift} has shape {b.shape}, but {layer} has {A.shape[0]} rows")
            if i and A.shape[1] != self.weights[-1].shape[0]:
                raise ValueError(
                    f"{layer} has shape {A.shape}, but the layer before it has {self.weights[-1].shape[0]} outputs"
                )
            A.setflags(write=False)
            b.setflags(write=False)
            self.weights.append(A)
            self.biases.append(b)

    @property
    def depth(self) -> int:
        """L, the number of hidden layers."""
        return len(self.weights) - 1

    @property
    def widths(self) -> tuple[int, ...]:
        """(p_0, ..., p_L, K)."""
        return (self.weights[0].shape[1], *(A.shape[0] for A in self.weights))

    def __call__(self, x: ArrayLike) -> Array:
        """F(x) in float64; x of shape (p_0,) or (n, p_0), result (K,) or (n, K)."""
        value = self._points(x)
        for A, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            value = np.maximum(value @ A.T + b, 0.0)
        return value @ self.weights[-1].T + self.biases[-1]

    def gradient(self, x: ArrayLike, output: int = 0) -> Array:
        """The formal gradient of F_output at x (dReLU(0) = 0), float64; x (p_0,) or (n, p_0), result alike."""
        if isinstance(output, bool) or not isinstance(output, int | np.integer) or not 0 <= output < self.widths[-1]:
            raise ValueError(f"output must be an integer in 0..{self.widths[-1] - 1}, but {shown(output)} was given")
        value = self._points(x)
        masks = []
        for A, b in zip(self.weights[:-1], self.biases[:-1], strict=True):
            z = value @ A.T + b
            masks.append(z > 0.0)
            value = np.maximum(z, 0.0)
        g = np.broadcast_to(self.weights[-1][output], masks[-1].shape)
        for A, mask in zip(self.weights[-2::-1], masks[::-1], strict=True):
            g = (g * mask) @ A
        return g

    def _points(self, x: ArrayLike) -> Array:
        try:
            points = np.asarray(x)
            if points.dtype.kind == "c":
                raise TypeError("complex")
            points = points.astype(np.float64)
        except (ValueError, TypeError):
            width = self.widths[0]
            raise ValueError(
                f"x must hold numbers and have shape ({width},) or (n, {width}), but {shown(x)} was given"
            ) from None
        if points.ndim not in (1, 2) or points.shape[-1] != self.widths[0]:
            raise ValueError(f"x must have shape ({self.widths[0]},) or (n, {self.widths[0]}), not {points.shape}")
        return points

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to exactly `path`, a .npz: keys A_1, b_1, ..., A_L, b_L, C, d in float64.

        `hr2jax.load` gives a network of the same hash back. The file appears whole or not at all: a file that was
        there before stays until the new one is complete.

        Raises:
            ValueError: a suffix that is no network format, or `path` is a directory.
            NotImplementedError: a format that is known but not written.
            OSError: the folder is missing or may not be written.
        """
        from .io import write

        write(self.weights, self.biases, Path(path))

    @property
    def hash(self) -> str:
        """SHA-256 of the widths and of every weight and bias as little-endian float64: what a certificate is for."""
        digest = hashlib.sha256(repr(self.widths).encode())
        for array in (*self.weights, *self.biases):
            digest.update(array.astype("<f8").tobytes())
        return digest.hexdigest()

    def __repr__(self) -> str:
        return f"Network({'-'.join(map(str, self.widths))})"


def _as_list(value: Sequence[ArrayLike], what: str) -> list[ArrayLike]:
    if isinstance(value, str | bytes | dict):
        raise ValueError(f"{what} must be a list of arrays, but {type(value).__name__} was given")
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{what} must be a list of arrays, but {type(value).__name__} was given") from None
