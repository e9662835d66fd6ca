"""One equation of a jaxpr as its rule sees it, and the table of the rules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ..algebra import numbers
from ..algebra.affine import Affine
from ..layers import reason
from ..onnx.rules import plain, shape_of
from ..onnx.walk import Ended


class Sign:
    """The comparison of what the network computes with a constant: no value, but a select may be a kink by it.

    Attributes:
        value: what is compared.
        constant: with what.
        operator: gt, ge, lt or le.
    """

    def __init__(self, value: Affine, constant: Any, operator: str):
        self.value, self.constant, self.operator = value, constant, operator


Rule = Callable[["Operation"], Any]
TABLE: dict[str, Rule] = {}


def primitive(*names: str) -> Callable[[Rule], Rule]:
    """Say that a function is what the primitives of these names mean."""

    def decorate(function: Rule) -> Rule:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return decorate


class Operation:
    """An equation and its inputs.

    Attributes:
        interpreter: which walks.
        what: the equation, for messages.
        equation: JAX's.
        inputs: its values.
    """

    def __init__(self, interpreter: Any, what: str, equation: Any, inputs: list[Any]):
        self.interpreter, self.what, self.equation, self.inputs = interpreter, what, equation, inputs
        self.walk = interpreter.walk
        self.parameters: dict[str, Any] = equation.params

    def results(self) -> list[Any] | None:
        """The equation's values; None where no rule knows it.

        Raises:
            ValueError: a rule refuses it, or gives tensors of other shapes than JAX.
        """
        rule = TABLE.get(self.equation.primitive.name)
        computed = [v for v in self.inputs if isinstance(v, Affine | Ended | Sign | Enclosure)]
        exact = not computed and all(v.dtype.kind in "iub" for v in self.inputs)
        primitive_ = self.equation.primitive
        if exact and not primitive_.multiple_results and not primitive_.name.startswith("random_"):
            return [self.evaluated(self.inputs)]  # of integers, by JAX itself
        if rule is None:
            return None
        found = rule(self)
        found = found if isinstance(found, list) else [found]
        found = [np.asarray(v) if isinstance(v, np.generic) else v for v in found]
        for variable, value in zip(self.equation.outvars, found, strict=True):
            inner = value.before if isinstance(value, Ended) else value
            if not isinstance(inner, Sign) and shape_of(inner) != tuple(variable.aval.shape):
                raise ValueError(f"it gives a tensor of shape {shape_of(inner)}, but JAX says {variable.aval.shape}")
        return found

    def evaluated(self, arrays: list[Any], **changed: Any) -> Any:
        """What JAX itself gives of arrays of integers, with some parameters changed; floats as float64."""
        try:
            with np.errstate(invalid="ignore"):  # JAX's own fill values, of entries that nothing takes
                found = np.asarray(self.equation.primitive.bind(*arrays, **self.parameters | changed))
        except Exception as error:
            raise ValueError(f"JAX cannot evaluate it ({reason(error)})") from None
        return found if found.dtype.kind in "iub" else found.astype(np.float64)

    def do(self, operator: str, *inputs: Any, **attributes: Any) -> Any:
        """An operator of ONNX, of finite constants."""
        for value in inputs:
            if isinstance(value, np.ndarray) and not np.isfinite(value).all():
                raise ValueError("it takes a constant that is not finite")
            if isinstance(value, Sign):
                raise ValueError("it computes with a comparison of what the network computes, so that it jumps")
        return self.walk.do(self.what, operator, *inputs, **attributes)

    def inside(self, value: Any) -> Any:
        """A value that is no end of a network."""
        if isinstance(value, Sign):
            raise ValueError("it computes with a comparison of what the network computes, so that it jumps")
        return self.walk.inside(self.what, value)

    def taken(self, value: Any, index: Any) -> Any:
        """The entries `index` (flat, of the result's shape) of a value; -1 for zeros."""
        value = self.inside(value)
        if isinstance(value, Affine):
            return plain(self.walk.builder.taken(value, index, index.shape))
        there = index >= 0
        return numbers.moved(lambda a: np.where(there, a.ravel()[np.where(there, index, 0)], 0), value)
