"""Layers of Keras that work entry by entry, or join tensors entry by entry; activations given by name or object."""

from __future__ import annotations

import sys
from functools import reduce
from typing import Any

import numpy as np

from ..algebra import numbers
from .layer import Call, rule, shape

_WORDS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "softmax": "Softmax", "log_softmax": "LogSoftmax",
          "softplus": "Softplus", "softsign": "Softsign", "mish": "Mish", "elu": "Elu", "celu": "Celu",
          "hard_silu": "HardSwish"}  # fmt: skip
_LAYERS = {"selu": {}, "silu": {}, "gelu": {"approximate": "none"}}


def activated(call: Call, value: Any, activation: Any) -> Any:
    """What an activation of Keras, a function of keras.activations or a layer, makes of `value`.

    Raises:
        ValueError: it is another function, or none that is read.
    """
    keras = sys.modules["keras"]
    if isinstance(activation, keras.layers.Layer):
        return Call.of(call.walk, call.budget, activation).value(value)
    name = str(getattr(activation, "__name__", type(activation).__name__))
    if activation is None:
        return value
    if getattr(keras.activations, name, None) is not activation:
        raise ValueError(f"its activation is the function {name[:60]!r}, which is none of keras.activations")
    return named(call, value, name)


def named(call: Call, value: Any, name: str) -> Any:
    """The activation of that name, with its own defaults."""
    if name == "linear":
        return value
    if name in _WORDS:
        return call.do(_WORDS[name], value)
    if name in _LAYERS:
        return call.walk.activated(call.what, value, name, **_LAYERS[name])
    if name == "log_sigmoid":  # -softplus(-x)
        return call.do("Neg", call.do("Softplus", call.do("Neg", value)))
    if name == "leaky_relu":
        return call.do("LeakyRelu", value, alpha=0.2)
    if name == "relu6":
        return call.do("Clip", value, np.asarray(0.0), np.asarray(6.0))
    if name == "hard_tanh":
        return call.do("Clip", value, np.asarray(-1.0), np.asarray(1.0))
    if name == "hard_sigmoid":  # relu6(x + 3) / 6
        above = call.do("Clip", call.do("Add", value, np.asarray(3.0)), np.asarray(0.0), np.asarray(6.0))
        return call.do("Div", above, np.asarray(6.0))
    known = ", ".join(["linear", *_WORDS, *_LAYERS, "log_sigmoid", "leaky_relu", "relu6", "hard_tanh",
                       "hard_sigmoid"])  # fmt: skip
    raise ValueError(f"its activation {name!r} is not read, only {known}")


@rule("Activation", "activation")
def _activation(call: Call, given: Any) -> Any:
    return activated(call, call.single(given), call.layer.activation)


@rule("Dropout SpatialDropout1D SpatialDropout2D SpatialDropout3D GaussianDropout GaussianNoise AlphaDropout",
      "rate seed noise_shape stddev data_format")  # fmt: skip
@rule("Identity ActivityRegularization", "l1 l2")
def _same(call: Call, given: Any) -> Any:
    return call.single(given)


@rule("ReLU", "max_value negative_slope threshold")
def _relu(call: Call, given: Any) -> Any:
    layer, value = call.layer, call.single(given)
    if float(layer.threshold) != 0.0:
        raise ValueError(f"its threshold {layer.threshold} makes it jump; only 0 is read")
    value = call.do("LeakyRelu", value, alpha=float(layer.negative_slope)) if layer.negative_slope else (
        call.do("Relu", value))  # fmt: skip
    return value if layer.max_value is None else call.do("Min", value, np.asarray(float(layer.max_value)))


@rule("LeakyReLU", "negative_slope")
def _leaky(call: Call, given: Any) -> Any:
    return call.do("LeakyRelu", call.single(given), alpha=float(call.layer.negative_slope))


@rule("PReLU", "shared_axes")
def _prelu(call: Call, given: Any) -> Any:
    return call.do("PRelu", call.single(given), call.weight("alpha")[None])


@rule("ELU", "alpha")
def _elu(call: Call, given: Any) -> Any:
    return call.do("Elu", call.single(given), alpha=float(call.layer.alpha))


@rule("Softmax", "axis")
def _softmax(call: Call, given: Any) -> Any:
    return call.do("Softmax", call.single(given))


def _joined(operator: str) -> Any:
    def apply(call: Call, given: Any) -> Any:
        if not isinstance(given, list | tuple) or len(given) < 2:
            raise ValueError("it is called on one tensor, but a list of tensors was expected")
        if len({len(shape(v)) for v in given}) > 1:
            raise ValueError("its inputs have several numbers of dimensions, which is not read; reshape them first")
        found = reduce(lambda a, b: call.do(operator, a, b), given)
        if type(call.layer).__name__ != "Average":
            return found
        return call.do("Div", found, np.asarray(float(len(given))))

    return apply


rule("Add")(_joined("Add"))
rule("Average")(_joined("Add"))
rule("Subtract")(_joined("Sub"))
rule("Maximum")(_joined("Max"))
rule("Minimum")(_joined("Min"))


@rule("Concatenate", "axis")
def _concatenate(call: Call, given: Any) -> Any:
    values = [*given] if isinstance(given, list | tuple) else [given]
    axis = int(call.layer.axis)
    if axis % len(shape(values[0])) == 0:
        raise ValueError("it joins batches (axis 0), which is not read")
    return values[0] if len(values) == 1 else call.do("Concat", *values, axis=axis)


@rule("Rescaling", "scale offset")
def _rescaling(call: Call, given: Any) -> Any:
    value = call.single(given)
    scale, offset = (np.asarray(v, dtype=np.float64) for v in (call.layer.scale, call.layer.offset))
    if max(scale.ndim, offset.ndim) and sys.modules["keras"].config.image_data_format() == "channels_first":
        raise ValueError("its scale is one a channel, and Keras says channels_first, which is not read")
    return call.do("Add", call.do("Mul", value, scale), offset)


@rule("Normalization", "axis invert mean variance")
def _normalization(call: Call, given: Any) -> Any:
    """(x - mean) / max(sqrt(variance), epsilon), or its inverse."""
    value = call.single(given)
    mean, variance = call.weight("mean"), call.weight("variance")
    least = float(sys.modules["keras"].config.epsilon())
    root = numbers.root(variance)
    middle, radius = numbers.mid(root), numbers.rad(root)
    spread = np.zeros(middle.shape) if radius is None else radius
    above, below = middle - spread > least, middle + spread < least
    if not (above | below).all():
        raise ValueError("its variance is too near to Keras's epsilon; say variance by hand")
    scale = numbers.number(np.where(above, middle, least), np.where(above, spread, 0.0))
    if call.layer.invert:
        return call.do("Add", call.do("Mul", value, scale), mean)
    return call.do("Div", call.do("Sub", value, mean), scale)
