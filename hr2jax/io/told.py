"""What the caller says of a file that does not say it itself, and how that meets what the file does say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..layer import ACTIVATIONS, Layer


@dataclass(frozen=True)
class Told:
    """The options of `hr2jax.load`.

    Attributes:
        activation: what is done between the layers: one name for all hidden layers, or one for each (see `parsed`).
        layers: the layers' names in the order in which they are applied.
        logits: whether what comes before a final Softmax, LogSoftmax or Sigmoid is asked for.
        example: the shape of an input, of which a file may not say it.
    """

    activation: str | tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None
    logits: bool = False
    example: tuple[int, ...] | None = None

    @classmethod
    def of(cls, activation: Any = None, layers: Any = None, logits: Any = False, example: Any = None) -> Told:
        """The options as given; of an example only the shape is used.

        Raises:
            ValueError: an activation that has no such name, something that is no list of names, or no array.
        """
        try:
            shape = None if example is None else tuple(map(int, np.shape(example)))
        except Exception:
            raise ValueError("example must be an array, but it is none") from None
        if activation is not None and not isinstance(activation, str):
            activation = _names(activation, "activation must be a name such as 'relu' or a list of one name per layer")
        for name in [activation] if isinstance(activation, str) else activation or ():
            parsed(name)
        if layers is not None:
            layers = _names(layers, "layers must be a list of the layers' names in the order of application")
        if not isinstance(logits, bool):
            raise ValueError(f"logits must be True or False, but {str(logits)[:60]!r} was given")
        return cls(activation, layers, logits, shape)

    def activations(self, names: Sequence[str]) -> tuple[str, ...]:
        """One activation for each hidden layer of a file that names none; `names` are its layers' in their order.

        Raises:
            ValueError: the caller has not said them either, or as many as there are not.
        """
        hidden = len(names) - 1
        if self.activation is None:
            raise ValueError(
                f"the file holds the layers {few(names)}, but does not say which activation is between them; "
                'say activation="relu" (--activation relu), or a list with one name for each hidden layer'
            )
        if isinstance(self.activation, str):
            return (self.activation,) * hidden
        if len(self.activation) != hidden:
            raise ValueError(
                f"activation has {len(self.activation)} names, but the layers {few(names)} leave room for {hidden}"
            )
        return self.activation

    def check_example(self, inputs: int) -> None:
        """Refuse an example that is no input of a network that has so many.

        Raises:
            ValueError: it has more or fewer numbers.
        """
        if self.example is not None and math.prod(self.example) != inputs:
            raise ValueError(
                f"the example has the shape {self.example}, which is {math.prod(self.example)} numbers, but the "
                f"network has {inputs} inputs; give one input, or leave it out, as the file says what its inputs are"
            )

    def refuse_said(self, what: str) -> None:
        """Refuse options about `what`, a live model.

        Raises:
            ValueError: the caller says an activation or layers.
        """
        if self.layers is not None or self.activation is not None:
            raise ValueError(f"activation and layers were given, but {what} says itself what it does")

    def check_said(self, names: Sequence[str], what: str, activations: Sequence[str] | None = None) -> None:
        """Compare with a file that says everything itself; `activations` None: a ReLU after every hidden layer.

        Raises:
            ValueError: the caller says something else.
        """
        said = tuple(activations or ("relu",) * (len(names) - 1))
        told = (self.activation,) * len(said) if isinstance(self.activation, str) else self.activation
        if told is not None and told != said:
            raise ValueError(f"activation says {few(told)}, but {what} has {few(said)} for {len(said)} hidden layers")
        if self.layers is not None and self.layers != tuple(names):
            raise ValueError(f"layers says {few(self.layers)}, but the order in {what} is {few(names)}")


def parsed(activation: str) -> tuple[str, dict[str, Any]]:
    """(name, parameters) of "leaky_relu" or, with the value of its first parameter, "leaky_relu:0.1", "gelu:tanh".

    Raises:
        ValueError: there is no activation of that name, or it takes no such value.
    """
    name, colon, value = activation.partition(":")
    if name not in ACTIVATIONS:
        raise ValueError(f"activation must be among {', '.join(ACTIVATIONS)}, but {activation[:60]!r} was given")
    if not colon:
        return name, {}
    known = ACTIVATIONS[name]
    if not known or name == "prelu":
        takes = "has a slope for each neuron" if known else "takes no parameter"
        raise ValueError(f"activation {activation[:60]!r} was given, but {name} {takes}")
    try:
        parameter: Any = value if known[0] == "approximate" else float(value)
        Layer({0: [[1.0]]}, [0.0], name, {known[0]: parameter})
    except ValueError as error:
        raise ValueError(f"activation {activation[:60]!r} was given, but {known[0]}: {error}") from None
    return name, {known[0]: parameter}


def few(names: Sequence[str]) -> str:
    """The names in a sentence; of many, the first and the number."""
    if len(names) > 8:
        return f"{', '.join(name[:60] for name in names[:6])} and {len(names) - 6} more"
    *rest, last = [name[:60] for name in names] or ["none"]
    return f"{', '.join(rest)} and {last}" if rest else last


def _names(value: Any, expected: str) -> tuple[str, ...]:
    names = tuple(value) if isinstance(value, list | tuple) else ()
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{expected}, but {str(value)[:60]!r} was given")
    return names
