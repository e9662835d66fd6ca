"""Smooth activations in float64: values and derivatives. `hulls` encloses both, and says where they turn.

Every function is torch's of that name, its numbers taken as exact reals, also beyond softplus's threshold, where the
function jumps to z: slopes are those at the points where there is a derivative.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from .float64 import Array

Parameters = Mapping[str, Any]

# The smooth activations' parameters, and what torch takes where they are missing.
DEFAULTS: Mapping[str, Mapping[str, Any]] = MappingProxyType({
    "tanh": {}, "sigmoid": {}, "softplus": {"beta": 1.0, "threshold": 20.0}, "elu": {"alpha": 1.0}, "selu": {},
    "celu": {"alpha": 1.0}, "silu": {}, "gelu": {"approximate": "none"}, "mish": {}, "softsign": {}, "arctan": {},
    "erf": {}, "hardswish": {},
})  # fmt: skip
SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
GELU_CUBIC = 0.044715
# gelu's tanh form with a z + b z^3 for any a and b within 2^-21 of sqrt(2 / pi) and 0.044715 sqrt(2 / pi), relatively:
# what float32 makes of them. `value` and `derivative` are those of the form itself, hulls are of all.
GELU_FLOAT32 = "tanh float32"


def refuse_parameters(name: str, given: Parameters) -> None:
    """That softplus's beta and celu's alpha, by which they divide, are above 0.

    Raises:
        ValueError: naming the parameter.
    """
    divisor = {"softplus": "beta", "celu": "alpha"}.get(name, "")
    if divisor in given and not given[divisor] > 0:
        raise ValueError(f"{name}'s {divisor} must be above 0, but {given[divisor]:g} was given")


def value(name: str, parameters: Parameters, z: Array) -> Array:
    """sigma(z), float64 of z's shape."""
    with np.errstate(all="ignore"):
        out: Array = _FUNCTIONS[name](z, **{**DEFAULTS[name], **parameters})[0]
    return out


def derivative(name: str, parameters: Parameters, z: Array) -> Array:
    """sigma'(z), float64 of z's shape; at a kink one of the one-sided ones."""
    with np.errstate(all="ignore"):
        out: Array = _FUNCTIONS[name](z, **{**DEFAULTS[name], **parameters})[1]
    return out


# Every function returns (sigma, sigma').


def _tanh(z: Array) -> tuple[Array, Array]:
    e = np.exp(-2.0 * np.abs(z))
    return np.tanh(z), 4.0 * e / (1.0 + e) ** 2


def _step(z: Array) -> Array:
    """1 / (1 + exp(-z))."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1.0 + e)


def _sigmoid(z: Array) -> tuple[Array, Array]:
    return _step(z), _step(z) * _step(-z)


def _softplus(z: Array, beta: float, threshold: float) -> tuple[Array, Array]:
    y = beta * z
    soft = (np.maximum(y, 0.0) + np.log1p(np.exp(-np.abs(y)))) / beta
    return np.where(y > threshold, z, soft), np.where(y > threshold, 1.0, _step(y))


def _elu(z: Array, alpha: float, scale: float = 1.0, divisor: float = 1.0) -> tuple[Array, Array]:
    below = np.minimum(z, 0.0) / divisor
    slope = np.where(z > 0, scale, scale * alpha / divisor * np.exp(below))
    return np.where(z > 0, scale * z, scale * alpha * np.expm1(below)), slope


def _selu(z: Array) -> tuple[Array, Array]:
    return _elu(z, SELU_ALPHA, SELU_SCALE)


def _celu(z: Array, alpha: float) -> tuple[Array, Array]:
    return _elu(z, alpha, 1.0, alpha)


def _silu(z: Array) -> tuple[Array, Array]:
    s = _step(z)
    return z * s, s * (1.0 + z * _step(-z))


def _gelu(z: Array, approximate: str) -> tuple[Array, Array]:
    if approximate != "none":
        root = math.sqrt(2.0 / math.pi)
        s, bend = _sigmoid(2.0 * root * (z + GELU_CUBIC * z**3))
        rest = np.where(bend == 0, 0.0, z * bend * 2.0 * root * (1.0 + 3.0 * GELU_CUBIC * z * z))
        return z * s, s + rest
    from scipy.special import ndtr  # here: `import hr2jax` loads no SciPy

    phi = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return z * ndtr(z), ndtr(z) + z * phi


def _mish(z: Array) -> tuple[Array, Array]:
    e = np.exp(-np.abs(z))
    below = 2.0 + 2.0 * e + e * e
    above = 1.0 + 2.0 * e + 2.0 * e * e
    r = np.where(z >= 0, (1.0 + 2.0 * e) / above, e * (2.0 + e) / below)
    w = np.where(z >= 0, 4.0 * e * e * (1.0 + e) / above**2, 4.0 * e * (1.0 + e) / below**2)
    return z * r, r + z * w


def _softsign(z: Array) -> tuple[Array, Array]:
    return z / (1.0 + np.abs(z)), 1.0 / (1.0 + np.abs(z)) ** 2


def _arctan(z: Array) -> tuple[Array, Array]:
    return np.arctan(z), 1.0 / (1.0 + z * z)


def _erf(z: Array) -> tuple[Array, Array]:
    from scipy.special import erf

    return erf(z), 2.0 / math.sqrt(math.pi) * np.exp(-z * z)


def _hardswish(z: Array) -> tuple[Array, Array]:
    inside = np.abs(z) <= 3.0
    return np.where(inside, z * (z + 3.0) / 6.0, np.maximum(z, 0.0)), np.where(inside, (2.0 * z + 3.0) / 6.0, z > 0)


_FUNCTIONS: dict[str, Callable[..., tuple[Array, Array]]] = {
    "tanh": _tanh, "sigmoid": _sigmoid, "softplus": _softplus, "elu": _elu, "selu": _selu, "celu": _celu,
    "silu": _silu, "gelu": _gelu, "mish": _mish, "softsign": _softsign, "arctan": _arctan, "erf": _erf,
    "hardswish": _hardswish,
}  # fmt: skip
