"""What a node gives, by the table of operators: the part of a walk that graphs of other formats share.

ONNX's operators, in the newest sets, are the words into which a reader of another format puts its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ..algebra import kinks
from ..algebra.affine import Affine, Builder
from ..layers import reason
from ..told import Told
from . import choices, counted, einsum, elementwise, matrices, moving, resize, windowed
from .rules import RULES, Node, size_of
from .written import Ended, Patterns, Power, Recognised

__all__ = ["Ended", "Walk", "last_values", "refuse_powers"]

# Ends of a network that are no layer, and what may follow them because it only changes a shape.
_FINAL = ("Softmax", "LogSoftmax", "Sigmoid")
_SHAPES = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
_OWN = ("Relu", "LeakyRelu", "PRelu", "Abs")  # whose values are a layer's
_CHOICES = ("Where", "Not", "Cast", "Identity", "Mul")  # which may take a comparison
_MODULES = (choices, counted, einsum, elementwise, matrices, moving, resize, windowed)  # which fill RULES


@dataclass(frozen=True, eq=False)
class Walk:
    """The layers made so far, and the first dimension of the graph's input.

    Attributes:
        patterns: what may become an activation that the graph writes out.
    """

    builder: Builder
    batch: int
    patterns: Patterns = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patterns", Patterns(self.builder))

    def result(
        self, what: str, operator: str, version: int, inputs: Sequence[Any], attributes: Callable[[], dict[str, Any]],
        outputs: Sequence[str] = ("y",),
    ) -> Any:  # fmt: skip
        """The value of a node, or the list of its values.

        Args:
            what: the node, for messages.
            operator: one of RULES or of the ends.
            version: the operator set that says what it means.
            inputs: its values, None for what is left out.
            attributes: gives those that the node has; what it raises is said of the node.
            outputs: names, "" for what nothing takes.

        Raises:
            ValueError: it is not read; it names the node.
        """
        found = list(inputs)
        written = self._recognised(what, operator, found)
        if written is not None:
            return written
        given = [i for i, value in enumerate(found) if isinstance(value, Ended)]
        if given and operator in _SHAPES:
            end = found[given[0]]
            found[given[0]] = end.before
            shaped = self._apply(what, operator, version, found, attributes, outputs)
            return replace(end, before=shaped) if isinstance(shaped, Affine) else shaped
        for i in given:
            found[i] = self.inside(what, found[i])
        if operator in _FINAL and len(found) == 1 and isinstance(found[0], Affine) and not given:
            return Ended(found[0], what, operator)
        return self._apply(what, operator, version, found, attributes, outputs)

    def do(self, what: str, operator: str, *inputs: Any, outputs: int = 1, version: int = 0, **attributes: Any) -> Any:
        """`result` of an operator in its newest version, or in another, with these attributes."""
        version = version or max(RULES[operator].versions if operator in RULES else (0,))
        return self.result(what, operator, version, inputs, lambda: attributes, ["y"] * outputs)

    def _recognised(self, what: str, operator: str, inputs: Sequence[Any]) -> Any:
        """An activation that the graph writes out, or what may become one; None where the operator's rule says all.

        Raises:
            ValueError: it is nearly one, or takes a part of one for something else.
        """
        try:
            found = self.patterns.recognised(what, operator, inputs)
        except ValueError as error:
            raise ValueError(f"{what}: {reason(error)}") from None
        if isinstance(found, Recognised):
            value = self.activated(what, found.argument, found.name, **found.parameters)
            if found.factor is None or (isinstance(found.factor, np.ndarray) and float(found.factor) == 1.0):
                return value
            return replace(self.patterns.times(value, found.factor), operators=value.operators)
        if found is None:
            refuse_powers(inputs)
        return found

    def inside(self, what: str, value: Any) -> Any:
        """A value for the node `what`: of a Sigmoid within a network, its layer's.

        Raises:
            ValueError: it is that of another end.
        """
        if not isinstance(value, Ended):
            return value
        refuse_powers([value])
        if value.operator != "Sigmoid":
            raise ValueError(f"{what} uses what {value.what} gives, a {value.operator}, which is read at the end of a "
                             "network only")  # fmt: skip
        return kinks.activation(self.builder, value.before, "sigmoid")

    def activated(self, what: str, value: Any, name: str, **parameters: Any) -> Any:
        """A layer of `hr2jax.Layer`'s activation `name`, of one that ONNX has no word for.

        Raises:
            ValueError: it is of constants that are no floats, or nothing can bound it; it names the node.
        """
        value = self.inside(what, value)
        if isinstance(value, Enclosure):  # a layer of zeros, so that what it gives is not rounded
            value = self.builder.constant(value)
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            value = self.builder.constant(value.astype(np.float64))
        if not isinstance(value, Affine):
            raise ValueError(f"{what} is applied to a constant, which is not read")
        self.builder.operator, self.builder.before = name, value.operators
        try:
            return kinks.activation(self.builder, value, name, **parameters)
        except ValueError as error:
            raise ValueError(f"{what}: {reason(error)}") from None

    def _apply(
        self, what: str, operator: str, version: int, inputs: list[Any], attributes: Callable[[], dict[str, Any]],
        outputs: Sequence[str],
    ) -> Any:  # fmt: skip
        builder, count = self.builder, len(self.builder.layers)
        builder.operator = operator
        builder.before = tuple(dict.fromkeys(name for v in inputs if isinstance(v, Affine) for name in v.operators))
        said = tuple(dict.fromkeys((*builder.before, operator)))
        try:
            if operator not in _CHOICES and any(isinstance(v, choices.Sign) for v in inputs):
                raise ValueError("it computes with a comparison of what the network computes, so that it may jump")
            node = Node(operator, version, inputs, attributes(), list(outputs), self.builder, self.batch)
            if operator not in RULES:
                raise ValueError("it is read at the end of a network only")
            result = RULES[operator].apply(node)
            result = np.asarray(result) if isinstance(result, np.generic) else result
            if any(size_of(v) == 0 for v in (result if isinstance(result, list) else [result]) if _is_float(v)):
                raise ValueError("it gives a tensor without entries")
        except ValueError as error:
            raise ValueError(f"{what}: {reason(error)}") from None
        except MemoryError as error:
            raise ValueError(f"{what} takes more memory than there is ({reason(error)})") from None
        except Exception as error:  # whatever NumPy raises for values no valid graph has
            raise ValueError(f"{what} is not valid ({reason(error)})") from None
        said = said if len(builder.layers) == count else () if operator in _OWN else (operator,)
        if isinstance(result, list):
            return [replace(v, operators=said) if isinstance(v, Affine) else v for v in result]
        if not isinstance(result, Affine):
            return result
        self.patterns.remember(operator, inputs, result, node.attributes)
        return replace(result, operators=said)


def _is_float(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.dtype == np.float64


def refuse_powers(values: Sequence[Any]) -> None:
    """That none of the values multiplies what the network computes with itself.

    Raises:
        ValueError: one does; it names the node.
    """
    for value in values:
        if isinstance(value, Power):
            raise ValueError(
                f"{value.what}: it multiplies two values that the network computes, which no slopes bound; only "
                "products with constants are read, and activations that are written out"
            )


def last_values(outputs: Sequence[tuple[str, Any]], told: Told) -> list[Affine]:
    """The outputs' expressions, in their order.

    Raises:
        ValueError: there are none, one does not depend on the input or ends in what is no layer.
    """
    if not outputs:
        raise ValueError("the graph has no output")
    found: list[Affine] = []
    refuse_powers([value for _, value in outputs])
    for name, value in outputs:
        if isinstance(value, Ended):
            if not told.logits:
                raise ValueError(
                    f"the network ends in {value.what}, a {value.operator} at its end, of which there are no bounds; "
                    "logits=True (--logits) reads what comes before it: hr2jax.as_network(model, logits=True)"
                )
            if len(outputs) > 1:
                raise ValueError(f"logits was given, but of {len(outputs)} outputs others may be the logits")
            value = value.before  # noqa: PLW2901
        if isinstance(value, choices.Sign):
            raise ValueError(f"the output {name!r} is a comparison of what the network computes, which jumps")
        if not isinstance(value, Affine):
            raise ValueError(f"the output {name!r} is not computed from the graph's input")
        found.append(value)
    return found
