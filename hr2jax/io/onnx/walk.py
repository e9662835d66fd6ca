"""What a node gives, by the table of operators: the part of a walk that graphs of other formats share.

ONNX's operators, in the newest sets, are the words into which a reader of another format puts its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ..algebra import kinks, maps
from ..algebra.affine import Affine, Builder
from ..layers import reason
from ..told import Told
from . import elementwise, matrices, moving, windowed
from .rules import RULES, Node, size_of

# Ends of a network that are no layer, and what may follow them because it only changes a shape.
_FINAL = ("Softmax", "LogSoftmax", "Sigmoid")
_SHAPES = ("Identity", "Flatten", "Reshape", "Squeeze", "Unsqueeze")
_OWN = ("Relu", "LeakyRelu", "PRelu", "Abs")  # whose values are a layer's
_MODULES = (elementwise, matrices, moving, windowed)  # which fill RULES


@dataclass(frozen=True, eq=False)
class Ended:
    """What a Softmax, LogSoftmax or Sigmoid makes of an expression: at a network's end no layer."""

    before: Affine
    what: str  # the node
    operator: str


@dataclass(frozen=True, eq=False)
class Walk:
    """The layers made so far, and the first dimension of the graph's input."""

    builder: Builder
    batch: int

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
        given = [i for i, value in enumerate(found) if isinstance(value, Ended)]
        if given and operator in _SHAPES:
            end = found[given[0]]
            found[given[0]] = end.before
            shaped = self._apply(what, operator, version, found, attributes, outputs)
            return replace(end, before=shaped) if isinstance(shaped, Affine) else shaped
        smooth = self._smooth(operator, found)
        if smooth is not None:
            return self.activated(what, *smooth)
        for i in given:
            found[i] = self.inside(what, found[i])
        if operator in _FINAL and len(found) == 1 and isinstance(found[0], Affine) and not given:
            return Ended(found[0], what, operator)
        return self._apply(what, operator, version, found, attributes, outputs)

    def do(self, what: str, operator: str, *inputs: Any, outputs: int = 1, version: int = 0, **attributes: Any) -> Any:
        """`result` of an operator in its newest version, or in another, with these attributes."""
        version = version or max(RULES[operator].versions if operator in RULES else (0,))
        return self.result(what, operator, version, inputs, lambda: attributes, ["y"] * outputs)

    def _smooth(self, operator: str, inputs: Sequence[Any]) -> tuple[Affine, str] | None:
        """x and the activation that graphs write as x sigmoid(x) or x / (1 + |x|), of one and the same expression."""
        if len(inputs) != 2:
            return None
        a, b = inputs
        if operator == "Mul":
            x, end = (b, a) if isinstance(a, Ended) else (a, b)
            is_silu = isinstance(end, Ended) and end.operator == "Sigmoid" and _is_same(x, end.before)
            return (x, "silu") if is_silu else None
        if operator != "Div" or not isinstance(a, Affine) or not isinstance(b, Affine) or len(b.terms) != 1:
            return None
        ((l, matrix),) = b.terms.items()
        if not l or self.builder.layers[l - 1].activation != "abs" or isinstance(b.shift, Enclosure):
            return None
        places = maps.placement(matrix)
        is_whole = places is not None and len(places) == a.size and bool((places == np.arange(a.size)).all())
        one_more = a.shape == b.shape and is_whole and bool((b.shift == 1.0).all())
        return (a, "softsign") if one_more and _is_same(a, self.builder.layers[l - 1].value) else None

    def inside(self, what: str, value: Any) -> Any:
        """A value for the node `what`: of a Sigmoid within a network, its layer's.

        Raises:
            ValueError: it is that of another end.
        """
        if not isinstance(value, Ended):
            return value
        if value.operator != "Sigmoid":
            raise ValueError(f"{what} uses what {value.what} gives, but that is read at the end of a network only")
        return kinks.activation(self.builder, value.before, "sigmoid")

    def activated(self, what: str, value: Any, name: str, **parameters: Any) -> Any:
        """A layer of `hr2jax.Layer`'s activation `name`, of one that ONNX has no word for.

        Raises:
            ValueError: it is of constants, or nothing can bound it; it names the node.
        """
        value = self.inside(what, value)
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
            node = Node(operator, version, inputs, attributes(), list(outputs), self.builder, self.batch)
            if operator not in RULES:
                raise ValueError("it is read at the end of a network only")
            result = RULES[operator].apply(node)
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
        return replace(result, operators=said) if isinstance(result, Affine) else result


def _is_same(a: Any, b: Any) -> bool:
    """Whether both are one expression, entry by entry."""
    return isinstance(a, Affine) and isinstance(b, Affine) and a.shape == b.shape and (
        a.terms is b.terms and a.shift is b.shift)  # fmt: skip


def _is_float(value: Any) -> bool:
    return not isinstance(value, np.ndarray) or value.dtype == np.float64


def last_values(outputs: Sequence[tuple[str, Any]], told: Told) -> list[Affine]:
    """The outputs' expressions, in their order.

    Raises:
        ValueError: there are none, one does not depend on the input or ends in what is no layer.
    """
    if not outputs:
        raise ValueError("the graph has no output")
    found: list[Affine] = []
    for name, value in outputs:
        if isinstance(value, Ended):
            if not told.logits:
                raise ValueError(
                    f"the network ends in {value.what}, which is no layer; "
                    "logits=True (--logits) reads what comes before it"
                )
            if len(outputs) > 1:
                raise ValueError(f"logits was given, but of {len(outputs)} outputs others may be the logits")
            value = value.before  # noqa: PLW2901
        if not isinstance(value, Affine):
            raise ValueError(f"the output {name!r} is not computed from the graph's input")
        found.append(value)
    return found
