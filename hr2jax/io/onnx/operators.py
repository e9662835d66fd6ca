"""What the operators of ONNX mean for a chain of layers and for constants, in exact reals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...arithmetic import exact
from ...arithmetic.float64 import Array
from .chain import Chain
from .shapes import Attributes, Inputs, Value, concat, flatten, gather, reshape, shape_of, squeeze, transpose, unsqueeze
from .tensors import FLOATS, cast, integer


@dataclass(frozen=True)
class Rule:
    """An operator: its meaning, how many inputs it takes, and the attributes it may have."""

    apply: Callable[[Inputs, Attributes], Value]
    least: int
    most: int
    attributes: tuple[str, ...] = ()


# Entry by entry


def _floats(value: Any) -> Array:
    if not isinstance(value, np.ndarray) or value.dtype != np.float64:
        raise ValueError("a constant tensor of floats was expected")
    return value


def _spread(chain: Chain, constant: Any) -> tuple[Chain, Array]:
    """The chain in the shape of the result of an elementwise operator, and the constant as a vector."""
    constant = _floats(constant)
    shape = np.broadcast_shapes(chain.shape, constant.shape)
    if int(np.prod(shape, dtype=np.float64)) != chain.size:
        raise ValueError(f"a constant of shape {constant.shape} repeats the tensor of shape {chain.shape}")
    return replace(chain, shape=shape), np.broadcast_to(constant, shape).ravel()


def _add(inputs: Inputs, _: Attributes) -> Value:
    a, b = inputs
    if isinstance(b, Chain):
        a, b = b, a
    if not isinstance(a, Chain):
        return exact.total(_floats(a), _floats(b))
    chain, vector = _spread(a, b)
    return chain.plus(vector)


def _sub(inputs: Inputs, found: Attributes) -> Value:
    a, b = inputs
    return _add([a, _neg([b], {})], found)


def _neg(inputs: Inputs, _: Attributes) -> Value:
    (a,) = inputs
    return a.scaled(-np.ones(a.size)) if isinstance(a, Chain) else -_floats(a)


def _mul(inputs: Inputs, _: Attributes) -> Value:
    a, b = inputs
    if isinstance(b, Chain):
        a, b = b, a
    if not isinstance(a, Chain):
        return exact.product(_floats(a), _floats(b))
    chain, vector = _spread(a, b)
    return chain.scaled(vector)


def _div(inputs: Inputs, _: Attributes) -> Value:
    a, b = inputs
    if isinstance(b, Chain):
        raise ValueError("it divides by what the network computes")
    if not isinstance(a, Chain):
        return exact.quotient(_floats(a), _floats(b))
    chain, vector = _spread(a, b)
    return chain.divided(vector)


def _relu(inputs: Inputs, _: Attributes) -> Value:
    (a,) = inputs
    return a.relu() if isinstance(a, Chain) else np.maximum(_floats(a), 0.0)


def _batch_normalization(inputs: Inputs, found: Attributes) -> Value:
    """(x - mean) / sqrt(var + epsilon) * scale + bias, by channel: rarely exact."""
    chain, *constants = inputs
    if integer(found, "training_mode", 0) or integer(found, "spatial", 1) != 1:
        raise ValueError("only inference by channel is read, not training")
    if not isinstance(chain, Chain) or not chain.shape:
        raise ValueError("its first input is not computed by the network")
    channels = chain.shape[1] if len(chain.shape) > 1 else 1
    for constant in constants:
        if _floats(constant).shape != (channels,):
            raise ValueError(f"its constants must have shape ({channels},), but one has {constant.shape}")
    column = (channels, *[1] * max(len(chain.shape) - 2, 0))
    scale, bias, mean, var = (constant.reshape(column) for constant in constants)
    var = exact.total(var, np.array(float(found.get("epsilon", np.float32(1e-5)))))
    if (var < 0.0).any():
        raise ValueError("a variance is negative")
    factor = exact.quotient(scale, exact.root(var))
    chain, shift = _spread(chain, exact.total(bias, -exact.product(mean, factor)))
    return chain.scaled(_spread(chain, factor)[1]).plus(shift)


# Matrices


def _matmul(inputs: Inputs, _: Attributes) -> Value:
    a, b = inputs
    if isinstance(b, Chain):
        return _left(_floats(a), b)
    if isinstance(a, Chain):
        return _right(a, _floats(b))
    return exact.matmul(_plane(_floats(a)), _plane(_floats(b)))


def _plane(matrix: Array) -> Array:
    if matrix.ndim != 2:
        raise ValueError(f"a matrix was expected, but the constant has shape {matrix.shape}")
    return matrix


def _right(chain: Chain, matrix: Array) -> Chain:
    """chain @ matrix, where the chain is a single row."""
    shape = chain.shape
    if matrix.ndim == 1 and shape:
        matrix, after = matrix[:, None], shape[:-1]
    else:
        after = (*shape[:-1], _plane(matrix).shape[1])
    if not shape or shape[-1] != chain.size:
        raise ValueError(f"its input has the shape {shape}, but a single vector (a batch of 1) was expected")
    return chain.times(matrix.T, after)


def _left(matrix: Array, chain: Chain) -> Chain:
    """matrix @ chain, where the chain is a single column."""
    shape, plane = chain.shape, _plane(matrix)
    if not shape or shape[-2:][0] != chain.size:
        raise ValueError(f"its input has the shape {shape}, but a single column was expected")
    return chain.times(plane, (plane.shape[0],) if len(shape) == 1 else (*shape[:-2], plane.shape[0], 1))


def _gemm(inputs: Inputs, found: Attributes) -> Value:
    """alpha a' b' + beta c."""
    factors = [np.array(float(found.get(name, 1.0))) for name in ("alpha", "beta")]
    flips = [integer(found, name, 0) != 0 for name in ("transA", "transB")]
    a, b = (transpose([x], {}) if flip else x for x, flip in zip(inputs[:2], flips, strict=True))
    chain, matrix = (a, b) if isinstance(a, Chain) else (b, a)
    if not isinstance(chain, Chain) or isinstance(matrix, Chain):
        raise ValueError("one of its two factors must be a constant, the other computed by the network")
    if len(chain.shape) != 2:
        raise ValueError(f"its input must have 2 dimensions, but its shape is {chain.shape}")
    matrix = exact.product(_plane(_floats(matrix)), factors[0])
    result = _right(chain, matrix) if chain is a else _left(matrix, chain)
    if len(inputs) < 3:
        return result
    shape = result.shape
    result, shift = _spread(result, exact.product(_floats(inputs[2]), factors[1]))
    if result.shape != shape:
        raise ValueError(f"its third input has the shape {inputs[2].shape}, but the product has {shape}")
    return result.plus(shift)


# The rest


def _identity(inputs: Inputs, _: Attributes) -> Value:
    value: Value = inputs[0]
    return value


def _dropout(inputs: Inputs, found: Attributes) -> Value:
    if len(inputs) > 2 and (not isinstance(inputs[2], np.ndarray) or inputs[2].any()):
        raise ValueError("only inference is read, not training")
    return _identity(inputs, found)


def _cast(inputs: Inputs, found: Attributes) -> Value:
    code = integer(found, "to", 0)
    if not isinstance(inputs[0], Chain):
        return cast(inputs[0], code)
    if code not in FLOATS:
        raise ValueError("what the network computes is cast to something that is not a float")
    return inputs[0]


def _constant(_: Inputs, found: Attributes) -> Value:
    if len(found) != 1:
        raise ValueError("it must have one value")
    ((name, value),) = found.items()
    kind = {"value": np.ndarray, "value_int": int, "value_float": float}.get(name, list)
    if not isinstance(value, kind):
        raise ValueError(f"{name} is of the wrong type")
    return value if isinstance(value, np.ndarray) else np.array(value, dtype=np.int64 if "int" in name else np.float64)


RULES = {
    "Gemm": Rule(_gemm, 2, 3, ("alpha", "beta", "transA", "transB")),
    "MatMul": Rule(_matmul, 2, 2),
    "Relu": Rule(_relu, 1, 1),
    "Add": Rule(_add, 2, 2),
    "Sub": Rule(_sub, 2, 2),
    "Mul": Rule(_mul, 2, 2),
    "Div": Rule(_div, 2, 2),
    "Neg": Rule(_neg, 1, 1),
    "BatchNormalization": Rule(_batch_normalization, 5, 5, ("epsilon", "momentum", "spatial", "training_mode")),
    "Flatten": Rule(flatten, 1, 1, ("axis",)),
    "Reshape": Rule(reshape, 2, 2, ("allowzero",)),
    "Squeeze": Rule(squeeze, 1, 2, ("axes",)),
    "Unsqueeze": Rule(unsqueeze, 1, 2, ("axes",)),
    "Transpose": Rule(transpose, 1, 1, ("perm",)),
    "Identity": Rule(_identity, 1, 1),
    "Dropout": Rule(_dropout, 1, 3, ("ratio", "seed")),
    "Cast": Rule(_cast, 1, 1, ("to", "saturate", "round_mode")),
    "Constant": Rule(_constant, 0, 0, ("value", "value_float", "value_floats", "value_int", "value_ints")),
    "Shape": Rule(shape_of, 1, 1),
    "Gather": Rule(gather, 2, 2, ("axis",)),
    "Concat": Rule(concat, 1, 64, ("axis",)),
}
