"""What a node gives, by the table of operators: the part of a walk that graphs of other formats share.

ONNX's operators, in the newest sets, are the words into which a reader of another format puts its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ..algebra import kinks, maps, numbers
from ..algebra.affine import Affine, Builder
from ..layers import reason
from ..told import Told
from . import elementwise, matrices, moving, windowed
from .rules import RULES, Node, floats, size_of

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
    """The layers made so far, and the first dimension of the graph's input.

    Attributes:
        multiples: of an expression that is one number times another: itself, the other, and the number.
    """

    builder: Builder
    batch: int
    multiples: dict[tuple[int, int], tuple[Affine, Affine, numbers.Number]] = field(default_factory=dict)

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
            value, name, factor = smooth
            value = self.activated(what, value, name)
            return value if factor is None else replace(self._times(value, factor), operators=value.operators)
        for i in given:
            found[i] = self.inside(what, found[i])
        if operator in _FINAL and len(found) == 1 and isinstance(found[0], Affine) and not given:
            return Ended(found[0], what, operator)
        return self._apply(what, operator, version, found, attributes, outputs)

    def do(self, what: str, operator: str, *inputs: Any, outputs: int = 1, version: int = 0, **attributes: Any) -> Any:
        """`result` of an operator in its newest version, or in another, with these attributes."""
        version = version or max(RULES[operator].versions if operator in RULES else (0,))
        return self.result(what, operator, version, inputs, lambda: attributes, ["y"] * outputs)

    def _smooth(self, operator: str, inputs: Sequence[Any]) -> tuple[Affine, str, numbers.Number | None] | None:
        """An activation of which graphs write what it is: its argument, its name, and what it is multiplied by.

        x sigmoid(x), x / (1 + |x|) and x (1 + erf(x / sqrt(2))) / 2, in which each x may be a multiple of one and the
        same expression: numbers such as a float32's sqrt(2) are what they are.
        """
        if len(inputs) != 2:
            return None
        a, b = inputs
        if operator == "Mul":
            if isinstance(a, Ended) or isinstance(b, Ended):
                return self._silu(b, a) if isinstance(a, Ended) else self._silu(a, b)
            return self._gelu(a, b) or self._gelu(b, a)
        if operator == "Div":
            x = self._within(b, "abs")
            return (a, "softsign", None) if x is not None and _is_same(a, x) else None
        return None

    def _silu(self, a: Any, end: Any) -> tuple[Affine, str, numbers.Number | None] | None:
        if not (isinstance(a, Affine) and isinstance(end, Ended) and end.operator == "Sigmoid"):
            return None
        (x, p), (y, q) = self._multiple(a), self._multiple(end.before)
        if _is_same(a, end.before):
            return a, "silu", None
        return (end.before, "silu", numbers.divide(p, q)) if _is_same(x, y) and numbers.mid(q) != 0.0 else None

    def _gelu(self, a: Any, b: Any) -> tuple[Affine, str, numbers.Number | None] | None:
        """p x q (1 + erf(r x)) = 2 p q gelu(s x) / s with s = sqrt(2) r, whatever r's sign."""
        if not (isinstance(a, Affine) and isinstance(b, Affine)):
            return None
        one_more, q = self._multiple(b)
        inside = self._within(one_more, "erf")
        if inside is None:
            return None
        (x, p), (y, r) = self._multiple(a), self._multiple(inside)
        if not (_is_same(x, y) and numbers.mid(r) != 0.0):
            return None
        two = np.asarray(2.0)
        s = numbers.root(numbers.multiply(numbers.multiply(r, r), two))
        s = s if numbers.mid(r) > 0.0 else numbers.negative(s)
        factor = numbers.divide(numbers.multiply(numbers.multiply(p, q), two), s)
        return self._times(x, s), "gelu", factor

    def _within(self, value: Any, activation: str) -> Affine | None:
        """x, where the value is 1 + activation(x), entry by entry."""
        if not isinstance(value, Affine) or len(value.terms) != 1 or isinstance(value.shift, Enclosure):
            return None
        ((l, matrix),) = value.terms.items()
        if not l or self.builder.layers[l - 1].activation != activation:
            return None
        x, places = self.builder.layers[l - 1].value, maps.placement(matrix)
        is_whole = places is not None and len(places) == x.size and bool((places == np.arange(x.size)).all())
        return x if x.shape == value.shape and is_whole and bool((value.shift == 1.0).all()) else None

    def _multiple(self, value: Affine) -> tuple[Affine, numbers.Number]:
        """An expression and the number, so many times which the value is."""
        known = self.multiples.get((id(value.terms), id(value.shift)))
        return (value, np.ones(())) if known is None else known[1:]

    def _times(self, value: Affine, factor: numbers.Number) -> Affine:
        return self.builder.scale(value, numbers.moved(lambda a: np.full(value.shape, a), factor))

    def _remember(self, operator: str, inputs: Sequence[Any], result: Affine) -> None:
        """That a product or a quotient by one number is a multiple."""
        values = [v for v in inputs if isinstance(v, Affine)]
        if operator not in ("Mul", "Div") or len(values) != 1 or len(inputs) != 2:
            return
        (constant,) = (floats(v) for v in inputs if not isinstance(v, Affine))
        if isinstance(constant, Enclosure) or not constant.size or (constant != constant.flat[0]).any():
            return
        factor = np.asarray(float(constant.flat[0]))
        base, before = self._multiple(values[0])
        if base.shape != result.shape or factor == 0.0:
            return
        whole = numbers.multiply(before, factor) if operator == "Mul" else numbers.divide(before, factor)
        self.multiples[id(result.terms), id(result.shift)] = result, base, whole

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
        if not isinstance(result, Affine):
            return result
        self._remember(operator, inputs, result)
        return replace(result, operators=said)


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
