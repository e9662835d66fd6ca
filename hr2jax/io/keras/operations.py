"""Functions of keras.ops that a Functional model applies to its tensors: x + y, keras.ops.maximum(x, y), x[:, 0]."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import exact_float64
from ..algebra.affine import Affine
from ..layers import reason
from ..onnx.walk import Ended, Walk

_BINARY = {"Add": "Add", "Subtract": "Sub", "Multiply": "Mul", "Divide": "Div", "TrueDivide": "Div", "Maximum": "Max",
           "Minimum": "Min", "Matmul": "MatMul"}  # fmt: skip
_UNARY = {"Negative": "Neg", "Absolute": "Abs", "Abs": "Abs", "Relu": "Relu", "Tanh": "Tanh", "Sigmoid": "Sigmoid"}

OPERATIONS = (*_BINARY, *_UNARY, "Relu6")


def is_operation(operation: Any) -> bool:
    """Whether it is a function of keras.ops, not a layer."""
    return str(type(operation).__module__).startswith("keras.src.ops.")


def value(walk: Walk, what: str, operation: Any, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """What the function gives.

    Raises:
        ValueError: it is none that is read, or is called in another way.
    """
    name = type(operation).__name__
    if (name in _BINARY or name in _UNARY) and not kwargs and len(args) == (2 if name in _BINARY else 1):
        return walk.do(what, _BINARY.get(name) or _UNARY[name], *(_constant(what, a) for a in args))
    if name == "Relu6" and not kwargs and len(args) == 1:
        return walk.do(what, "Clip", args[0], np.asarray(0.0), np.asarray(6.0))
    raise ValueError(f"{what} is a function of keras.ops that is not read, or not with these arguments; "
                     f"{', '.join(OPERATIONS)} are, of two tensors or one, and the layers of keras.layers")  # fmt: skip


def _constant(what: str, given: Any) -> Any:
    if isinstance(given, Affine | Ended):
        return given
    try:
        return exact_float64(given, f"the constant of {what}", np.ndim(given))
    except Exception as error:
        raise ValueError(f"{what}: {reason(error)}") from None
