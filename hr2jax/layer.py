"""One layer of a feed-forward network: what it adds up, and the function it applies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .arithmetic.float64 import Array, exact_float64
from .text import shown

# The activations' names and their parameters, by torch's names.
ACTIVATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "identity": (), "relu": (), "leaky_relu": ("negative_slope",), "prelu": ("weight",), "abs": (),
    "tanh": (), "sigmoid": (), "softplus": ("beta", "threshold"), "elu": ("alpha",), "selu": (), "celu": ("alpha",),
    "silu": (), "gelu": ("approximate",), "mish": (), "softsign": (), "arctan": (), "erf": (), "hardswish": (),
})  # fmt: skip
APPROXIMATE = ("none", "tanh")  # of gelu


@dataclass(frozen=True, eq=False)
class Layer:
    """y_l = sigma(bias + sum_k A_k y_k): layer l of a network, over layers k < l, y_0 the input x.

    Args:
        inputs: {k: A_k}, at least one; A_k of shape (p_l, p_k). Any real dtype whose values float64 holds exactly.
        bias: (p_l,), the same.
        activation: sigma's name, one of `ACTIVATIONS`; a network's last layer has "identity".
        parameters: sigma's, by torch's names: numbers, prelu's `weight` of shape (p_l,) or (1,), gelu's `approximate`
            "none" or "tanh". What is missing has torch's default.

    Attributes:
        inputs, bias: float64 arrays that cannot be written, the inputs in ascending order of k.
        parameters: the numbers as floats, `weight` as a float64 array.

    Raises:
        ValueError: no input, a key that is no layer's number, wrong ranks or shapes, NaN or infinity, a dtype that
            would be rounded, an unknown activation or parameter.
        NotImplementedError: a coefficient that is given as a midpoint and a radius.
    """

    inputs: Mapping[int, Array]
    bias: Array
    activation: str = "relu"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.inputs, Mapping) or not self.inputs:
            raise ValueError(
                f"inputs must be a dict {{number of a layer: matrix}}, not empty, but {shown(self.inputs)} was given"
            )
        for k in self.inputs:
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
                raise ValueError(f"inputs' keys must be layers' numbers 0, 1, 2, ..., but {shown(k)} was given")
        bias, inputs = self.bias, {}
        for k in sorted(self.inputs):
            inputs[int(k)], bias = checked_map(self.inputs[k], bias, f"inputs[{k}]", "bias")
        if not isinstance(self.activation, str) or self.activation not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise ValueError(f"activation must be one of {known}, but {shown(self.activation)} was given")
        self._set(inputs, bias, self.activation, _checked_parameters(self.activation, self.parameters, len(bias)))

    @classmethod
    def of_checked(cls, inputs: Mapping[int, Any], bias: Any, activation: str) -> Layer:
        """A layer of what `checked_map` returned, or of other arrays (`mapped`): nothing is copied or looked at."""
        layer = object.__new__(cls)
        layer._set(inputs, bias, activation, {})
        return layer

    @property
    def width(self) -> int:
        """p_l, the number of its neurons."""
        return len(self.bias)

    def mapped(self, convert: Callable[[Array], Any]) -> Layer:
        """The same layer of other arrays, each converted: integers, balls, an accelerator's. No check is made."""
        layer = object.__new__(type(self))
        inputs = {k: convert(A) for k, A in self.inputs.items()}
        layer._set(inputs, convert(self.bias), self.activation, self.parameters)
        return layer

    def _set(self, inputs: Mapping[int, Any], bias: Any, activation: str, parameters: Mapping[str, Any]) -> None:
        object.__setattr__(self, "inputs", MappingProxyType(dict(inputs)))
        object.__setattr__(self, "bias", bias)
        object.__setattr__(self, "activation", activation)
        object.__setattr__(self, "parameters", MappingProxyType(dict(parameters)))

    def __getstate__(self) -> tuple[Any, ...]:
        return dict(self.inputs), self.bias, self.activation, dict(self.parameters)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._set(*state)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{k}: {'x'.join(map(str, np.shape(A)))}" for k, A in self.inputs.items())
        own = "".join(f", {name}={shown(value)}" for name, value in self.parameters.items())
        return f"Layer({{{inputs}}}, {self.activation}{own})"


def checked_map(A: ArrayLike, b: ArrayLike, name: str, shift: str) -> tuple[Array, Array]:
    """A (m, n) and b (m,), m and n at least 1, as float64 arrays that cannot be written; errors say `name`, `shift`.

    Raises:
        ValueError: wrong ranks, shapes that do not agree, NaN or infinity, a dtype that would be rounded.
        NotImplementedError: a midpoint and a radius.
    """
    for value, what, ndim in ((A, name, 2), (b, shift, 1)):
        if isinstance(value, tuple) and len(value) == 2 and all(getattr(part, "ndim", 0) == ndim for part in value):
            raise NotImplementedError(
                f"{what} is a midpoint and a radius, which is not built yet; give an array that float64 holds exactly"
            )
    A, b = exact_float64(A, name, 2), exact_float64(b, shift, 1)
    if 0 in A.shape:
        raise ValueError(f"{name} has shape {A.shape}; every width must be at least 1")
    if b.shape[0] != A.shape[0]:
        raise ValueError(f"{shift} has shape {b.shape}, but {name} has {A.shape[0]} rows")
    A.setflags(write=False)
    b.setflags(write=False)
    return A, b


def _checked_parameters(activation: str, given: Any, width: int) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ValueError(f"parameters must be a dict, but {shown(given)} was given")
    known = ACTIVATIONS[activation]
    parameters: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            takes = f"takes {', '.join(known)}" if known else "takes none"
            raise ValueError(f"{activation} {takes}, but the parameter {shown(name)} was given")
        if name == "approximate":
            if value not in APPROXIMATE:
                raise ValueError(f"approximate must be one of {', '.join(APPROXIMATE)}, but {shown(value)} was given")
            parameters[name] = value
        elif name == "weight":
            slopes = exact_float64(value, name, 1)
            if len(slopes) not in (1, width):
                raise ValueError(f"weight must have shape ({width},) or (1,), but its shape is {slopes.shape}")
            slopes.setflags(write=False)
            parameters[name] = slopes
        else:
            parameters[name] = float(exact_float64(value, name, 0))
    return parameters
