"""One call of a layer of Keras, and the table of what the layers mean, in the words of ONNX's operators."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arithmetic.float64 import Array, exact_float64
from ..budget import Budget
from ..layers import reason
from ..onnx.rules import shape_of
from ..onnx.walk import Ended, Walk

# Options that say nothing about what a trained layer computes.
_OTHERS = ("name", "trainable", "dtype", "build_config", "activity_regularizer", "batch_shape", "registered_name")
_ENDS = ("_initializer", "_regularizer", "_constraint")
_HINTS = {
    "Lambda": "it holds Python code; write what it does with layers, or give a function of JAX",
    "LayerNormalization": "it divides by what the network computes; BatchNormalization is read",
    "GroupNormalization": "it divides by what the network computes; BatchNormalization is read",
    "RMSNormalization": "it divides by what the network computes; BatchNormalization is read",
    "UnitNormalization": "it divides by what the network computes; BatchNormalization is read",
    "Multiply": "it multiplies values that the network computes, which no slopes bound",
    "Dot": "it multiplies values that the network computes, which no slopes bound",
    "Attention": "it multiplies values that the network computes, which no slopes bound",
    "MultiHeadAttention": "it multiplies values that the network computes, which no slopes bound",
    "LSTM": "it multiplies values that the network computes, which no slopes bound",
    "GRU": "it multiplies values that the network computes, which no slopes bound",
    "Embedding": "its input is no point of a space; give the network behind it",
    "Masking": "its mask jumps; leave it out",
    "Discretization": "it jumps",
    "ThresholdedReLU": "it jumps",
}


@dataclass(frozen=True)
class Rule:
    """A class of layers: its meaning, and the options that this meaning knows."""

    apply: Callable[[Call, Any], Any]
    options: tuple[str, ...]


RULES: dict[str, Rule] = {}


def rule(names: str, options: str = "") -> Callable[[Callable[[Call, Any], Any]], Callable[[Call, Any], Any]]:
    """Say that a function is what the layers of these names (words) mean; `options` are words of their config."""

    def decorate(apply: Callable[[Call, Any], Any]) -> Callable[[Call, Any], Any]:
        RULES.update({name: Rule(apply, tuple(options.split())) for name in names.split()})
        return apply

    return decorate


@dataclass(frozen=True)
class Call:
    """A layer as it is called once.

    Attributes:
        walk: the layers made so far.
        budget: the memory that is free.
        layer: Keras's object.
        what: its name and class, for messages.
    """

    walk: Walk
    budget: Budget
    layer: Any
    what: str

    @classmethod
    def of(cls, walk: Walk, budget: Budget, layer: Any) -> Call:
        """A call of `layer`."""
        return cls(walk, budget, layer, f"layer {str(getattr(layer, 'name', ''))[:60]!r} ({type(layer).__name__})")

    def known(self) -> str:
        """The name of the layer's class, a key of `RULES`.

        Raises:
            ValueError: it is none of Keras's own layers, or none that is read.
        """
        kind = type(self.layer)
        if not str(kind.__module__).startswith(("keras.src.layers.", "keras.layers.")):
            raise ValueError(f"{self.what} is of the class {kind.__module__}.{kind.__qualname__}, which is none of "
                             "Keras's own and may compute anything; build the model of keras.layers")  # fmt: skip
        name = kind.__name__
        if name not in RULES:
            raise ValueError(f"{self.what} is not read: {_HINTS.get(name, 'it is none of the layers that are read')}")
        return name

    def value(self, given: Any) -> Any:
        """What the layer gives of its input, or of a list of inputs.

        Raises:
            ValueError: it is none of Keras's own layers, none that is read, or has an option that is not known.
        """
        name = self.known()
        self._check(RULES[name].options)
        try:
            return RULES[name].apply(self, given)
        except ValueError as error:
            said = reason(error)
            raise ValueError(said if said.startswith("layer ") else f"{self.what}: {said}") from None

    def _check(self, known: tuple[str, ...]) -> None:
        layer = self.layer
        if "call" in vars(layer):
            raise ValueError(f"{self.what} has a call of its own (layer.call was set), which may compute anything")
        if getattr(layer, "quantization_mode", None) is not None or getattr(layer, "lora_enabled", False):
            raise ValueError(f"{self.what} is quantised or has LoRA weights, which are not read; merge them and save "
                             "the model in floats")  # fmt: skip
        if "float" not in str(getattr(layer, "compute_dtype", "float32")):
            raise ValueError(f"{self.what} computes in {layer.compute_dtype}, so that it rounds; only floats are read")
        try:
            config = layer.get_config()
        except Exception as error:
            raise ValueError(f"{self.what} does not say its options ({reason(error)})") from None
        for key, given in config.items():
            if key in known or key in _OTHERS or key.endswith(_ENDS) or (key == "quantization_config" and not given):
                continue
            raise ValueError(f"{self.what} has the option {key!r}, which is not known and may change what it computes")

    def do(self, operator: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX."""
        return self.walk.do(self.what, operator, *inputs, **attributes)

    def weight(self, name: str, value: Any = None) -> Array:
        """The layer's weight called `name`, or another tensor of its, as float64."""
        tensor = getattr(self.layer, name, None) if value is None else value
        if tensor is None:
            raise ValueError(f"it has no {name} yet; build the model or call it once")
        self.budget.numbers(tuple(int(n) for n in np.shape(tensor)), f"its {name}")
        tensor = tensor.value if hasattr(tensor, "assign") else tensor  # a Variable's
        array = np.asarray(sys.modules["keras"].ops.convert_to_numpy(tensor))
        return exact_float64(array, f"its {name}", array.ndim)

    def single(self, given: Any) -> Any:
        """The one input of a layer that takes no list."""
        if isinstance(given, list | tuple):
            if len(given) != 1:
                raise ValueError(f"it is called on {len(given)} tensors, but one was expected")
            return given[0]
        return given

    # Layouts

    def channels_first(self, value: Any) -> Any:
        """(1, channels, ...) of an image in the layer's layout."""
        n = len(shape(value))
        if n < 3:
            raise ValueError(f"its input has the shape {shape(value)}, but that of an image was expected")
        if self.layer.data_format == "channels_first":
            return value
        return self.do("Transpose", value, perm=[0, n - 1, *range(1, n - 1)])

    def restored(self, value: Any) -> Any:
        """The layer's layout of (1, channels, ...)."""
        if self.layer.data_format == "channels_first":
            return value
        return self.do("Transpose", value, perm=[0, *range(2, len(shape(value))), 1])

    def reshaped(self, value: Any, target: tuple[int, ...]) -> Any:
        """The same entries in another shape."""
        return self.do("Reshape", value, np.array(target, dtype=np.int64))


def shape(value: Any) -> tuple[int, ...]:
    """The shape of a value of the walk."""
    return shape_of(value.before if isinstance(value, Ended) else value)


def whole(values: Any, dims: int) -> list[int]:
    """One integer a dimension, of a number or a tuple."""
    found = [int(v) for v in values] if isinstance(values, list | tuple) else [int(values)] * dims
    if len(found) != dims:
        raise ValueError(f"it says {list(found)}, but {dims} numbers were expected")
    return found
