"""A walk over a jaxpr, equation by equation: what is needed of it, activations before they are decomposed."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ..budget import Budget
from ..layers import reason
from ..onnx.walk import Walk
from . import images, moving, rules, templates
from .operation import Operation

_MODULES = (images, moving, rules)  # which fill the table
# Primitives that call a jaxpr of theirs, and the parameters that it may be.
_CALLS = ("jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr",
          "checkpoint", "remat", "remat2")  # fmt: skip
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_HINTS = {
    "integer_pow": "it multiplies what the network computes with itself",
    "square": "it multiplies what the network computes with itself",
    "pow": "it multiplies what the network computes with itself",
    "rsqrt": "it divides by what the network computes; BatchNorm in evaluation is read",
    "sqrt": "its slope is infinite at 0",
    "while": "it may run for ever; unroll the loop (Python's for)",
    "cond": "it branches by what the network computes, so that it may jump; jax.numpy.maximum, minimum, clip are read",
    "argmax": "it jumps",
    "is_finite": "it asks whether a number is finite, as logsumexp does, which is not read",
    "round": "it jumps",
    "pure_callback": "it runs code outside JAX",
    "io_callback": "it runs code outside JAX",
}


class Interpreter:
    """Values of jaxprs' variables.

    Attributes:
        walk: the layers made so far.
        budget: the memory that is free.
        scaled: of expressions that are another times a constant: id -> (that one, constant, itself).
    """

    def __init__(self, walk: Walk, budget: Budget):
        self.walk, self.budget = walk, budget
        self.scaled: dict[int, tuple[Any, Any, Any]] = {}
        self._constants: dict[int, tuple[Any, Any]] = {}

    def closed(self, closed: Any, given: list[Any]) -> list[Any]:
        """The outputs of a ClosedJaxpr."""
        return self.jaxpr(closed.jaxpr, [*closed.consts], given)

    def jaxpr(self, jaxpr: Any, constants: list[Any], given: list[Any]) -> list[Any]:
        """The outputs of a jaxpr."""
        values: dict[Any, Any] = {}
        values.update(zip(jaxpr.constvars, [_Raw(value) for value in constants], strict=True))
        values.update(zip(jaxpr.invars, given, strict=True))
        needed, equations = _needed(jaxpr), jaxpr.eqns
        at = 0
        while at < len(equations):
            equation = equations[at]
            if not any(v in needed for v in equation.outvars):
                at += 1
                continue
            found = templates.matched(jaxpr, at) if equation.primitive.name in templates.FIRST else None
            if found is not None and rules.is_computed(values.get(found.source)):
                values[found.output] = self.named(found, values[found.source], equation)
                at += found.length
                continue
            inputs = [self.constant(v.val) if _is_literal(v) else self._value(values, v) for v in equation.invars]
            results = self.equation(equation, inputs)
            values.update(zip(equation.outvars, results, strict=True))
            at += 1
        return [self.constant(v.val) if _is_literal(v) else self._value(values, v) for v in jaxpr.outvars]

    def named(self, found: templates.Found, value: Any, equation: Any) -> Any:
        """An activation that was recognised."""
        what = _said(equation, found.name)
        if found.name == "hard_tanh":
            return self.walk.do(what, "Clip", value, np.asarray(-1.0), np.asarray(1.0))
        if found.word:
            return self.walk.do(what, found.word, value, **found.parameters)
        return self.walk.activated(what, value, found.name, **found.parameters)

    def equation(self, equation: Any, inputs: list[Any]) -> list[Any]:
        """The values of one equation.

        Raises:
            ValueError: it is not read; it names the primitive.
        """
        name, parameters = equation.primitive.name, equation.params
        if name in _CALLS:
            body = next((parameters[key] for key in _BODIES if key in parameters), None)
            if hasattr(body, "jaxpr"):
                return self.closed(body, inputs)
            if hasattr(body, "eqns"):
                return self.jaxpr(body, [], inputs)
        if name == "cond" and isinstance(inputs[0], np.ndarray):
            branches = parameters["branches"]
            return self.closed(branches[int(np.clip(int(inputs[0]), 0, len(branches) - 1))], inputs[1:])
        if name == "scan":
            return self._scanned(equation, inputs)
        what = _said(equation, name)
        operation = Operation(self, what, equation, inputs)
        try:
            results = operation.results()
        except ValueError as error:
            said = reason(error)
            raise ValueError(said if said.startswith("the operation") else f"{what}: {said}") from None
        except Exception as error:  # whatever NumPy raises for values that a rule does not expect
            raise ValueError(f"{what} is not read with these arguments ({reason(error)})") from None
        if results is None:
            why = _HINTS.get(name, "it is none of the operations that are read")
            if name.startswith(("random_", "threefry")):
                why = "it is random; give the function without dropout and noise (deterministic, inference)"
            raise ValueError(f"{what} is not read: {why}")
        return results

    def _scanned(self, equation: Any, inputs: list[Any]) -> list[Any]:
        """The values of a loop of known length, unrolled: what it carries, and what it gathers."""
        p, what = equation.params, _said(equation, "scan")
        first, count = p["num_consts"], p["num_carry"]
        held, carried, rows = inputs[:first], inputs[first : first + count], inputs[first + count :]
        gathered: list[list[Any]] = []
        for i in range(p["length"]):
            at = p["length"] - 1 - i if p["reverse"] else i
            each = [moving.row(self.walk, what, value, at) for value in rows]
            found = self.closed(p["jaxpr"], [*held, *carried, *each])
            carried, given = found[:count], found[count:]
            gathered.append(given)
        gathered = gathered[::-1] if p["reverse"] else gathered
        return [*carried, *(moving.rows(self.walk, what, [*values]) for values in zip(*gathered, strict=True))]

    def constant(self, value: Any) -> Any:
        """A constant as an array of float64, which may be infinite, or of integers or bool.

        Raises:
            ValueError: it holds no real numbers or NaN.
        """
        if id(value) not in self._constants:
            self._constants[id(value)] = (value, self._converted(value))
        return self._constants[id(value)][1]

    def _converted(self, value: Any) -> Array:
        try:
            self.budget.numbers(tuple(np.shape(value)), "a constant of the function")
            array = np.asarray(value)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(f"a constant of the function holds no numbers ({reason(error)})") from None
        if array.dtype.kind in "iub":
            return array
        if array.dtype.kind not in "fV" or not str(array.dtype).startswith(("float", "bfloat")):
            raise ValueError(f"a constant of the function is of {array.dtype}, but only real numbers are read")
        found = array.astype(np.float64)
        if np.isnan(found).any():
            raise ValueError("a constant of the function holds NaN")
        return np.asarray(found + 0.0)  # one zero; of no dimension too

    def _value(self, values: dict[Any, Any], variable: Any) -> Any:
        if variable not in values:
            raise ValueError("the function uses a part of an activation that was read as a whole")
        held = values[variable]
        if isinstance(held, _Raw):
            held = values[variable] = self.constant(held.value)
        return held


class _Raw:
    """A constant as JAX holds it, converted where it is used."""

    def __init__(self, value: Any):
        self.value = value


def _is_literal(variable: Any) -> bool:
    return hasattr(variable, "val")


def _needed(jaxpr: Any) -> set[Any]:
    """The variables that the outputs need."""
    needed = {v for v in jaxpr.outvars if not _is_literal(v)}
    for equation in reversed(jaxpr.eqns):
        if any(v in needed for v in equation.outvars):
            needed |= {v for v in equation.invars if not _is_literal(v)}
    return needed


def _said(equation: Any, name: str) -> str:
    """The operation, for messages."""
    try:
        where = str(equation.source_info.name_stack)[:60]
    except AttributeError:
        where = ""
    return f"the operation {name!r}{f' in {where}' if where else ''}"

