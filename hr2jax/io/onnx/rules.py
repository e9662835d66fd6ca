"""What the operators of ONNX mean: a table that the modules of operators fill, and what their rules are given.

A rule says which versions of its operator it knows (the operator sets that changed it) and which attributes; any other
is refused, since it may change what is computed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ..algebra import maps, numbers
from ..algebra.affine import Affine, Builder
from ..algebra.numbers import Number

Value = Affine | Enclosure | Array  # arrays are float64, int64 or bool


@dataclass(frozen=True)
class Node:
    """A node of the graph, as its rule sees it.

    Attributes:
        operator: its name.
        version: the operator set that changed the operator last, at or before the graph's own.
        inputs: its values; None for an optional one that is left out.
        attributes: those that are given.
        outputs: the names that it gives, "" for one that is left out.
        builder: the layers made so far.
        batch: the first dimension of the graph's input.
    """

    operator: str
    version: int
    inputs: list[Any]
    attributes: dict[str, Any]
    outputs: list[str]
    builder: Builder
    batch: int

    def input(self, i: int) -> Any:
        """Input i, or None where it is left out."""
        return self.inputs[i] if i < len(self.inputs) else None

    def integer(self, name: str, default: int) -> int:
        """The attribute `name` as an integer.

        Raises:
            ValueError: it is something else.
        """
        value = self.attributes.get(name, default)
        if not isinstance(value, int):
            raise ValueError(f"the attribute {name!r} must be an integer")
        return value

    def flag(self, name: str, default: int = 0) -> bool:
        """The attribute `name` as 0 or 1."""
        value = self.integer(name, default)
        if value not in (0, 1):
            raise ValueError(f"the attribute {name!r} must be 0 or 1, not {value}")
        return value == 1

    def number(self, name: str, default: float) -> float:
        """The attribute `name` as a number: float32, as the file has it."""
        value = self.attributes.get(name, np.float32(default))
        if isinstance(value, list | str | np.ndarray):
            raise ValueError(f"the attribute {name!r} must be a number")
        return float(value)

    def integers(self, name: str) -> list[int] | None:
        """The attribute `name` as a list of integers; None where it is not given."""
        value = self.attributes.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(v, int) for v in value)):
            raise ValueError(f"the attribute {name!r} must be a list of integers")
        return value

    def word(self, name: str, default: str) -> str:
        """The attribute `name` as a word."""
        value = self.attributes.get(name, default)
        if not isinstance(value, str):
            raise ValueError(f"the attribute {name!r} must be a word")
        return value

    def computed(self, i: int = 0) -> Affine:
        """Input i as an expression, of constants too.

        Raises:
            ValueError: it is no tensor of floats.
        """
        value = self.input(i)
        return value if isinstance(value, Affine) else self.builder.constant(floats(value))


Apply = Callable[[Node], Value | list[Value]]
F = TypeVar("F", bound=Apply)


@dataclass(frozen=True)
class Rule:
    """An operator: its meaning, the versions for which this is its meaning, and the attributes that it knows."""

    apply: Apply
    versions: tuple[int, ...]
    attributes: tuple[str, ...] = ()


RULES: dict[str, Rule] = {}


def rule(operator: str, versions: tuple[int, ...], attributes: str = "") -> Callable[[F], F]:
    """Say that a function is what `operator` means; `attributes` are words."""

    def decorate(apply: F) -> F:
        RULES[operator] = Rule(apply, versions, tuple(attributes.split()))
        return apply

    return decorate


def floats(value: Any) -> Number:
    """A constant of floats.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, Enclosure) or (isinstance(value, np.ndarray) and value.dtype == np.float64):
        return value
    raise ValueError("a constant tensor of floats was expected")


def exact_floats(value: Any) -> Array:
    """A constant of floats that float64 holds exactly."""
    if isinstance(floats(value), Enclosure):
        raise ValueError("a constant is needed that float64 holds exactly, but it would have to be rounded")
    return np.asarray(value)


def whole(value: Any) -> list[int]:
    """A constant list of integers.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, np.ndarray) or value.dtype != np.int64 or value.ndim > 1:
        raise ValueError("a constant list of integers was expected")
    return [int(v) for v in value.ravel()]


def shape_of(value: Value) -> tuple[int, ...]:
    """The shape of a value."""
    return numbers.mid(value).shape if not isinstance(value, Affine) else value.shape


def size_of(value: Value) -> int:
    """How many entries it has."""
    return int(np.prod(shape_of(value), dtype=np.int64))


def plain(value: Affine) -> Value:
    """The expression, or the constant that it is."""
    if value.terms:
        return value
    return numbers.moved(lambda a: a.reshape(value.shape), value.shift)


def moved(node: Node, value: Value, change: Callable[[Array], Array]) -> Value:
    """Entries moved, repeated or left out, as `change` does it with an array of any kind."""
    if isinstance(value, Affine):
        maps.room(float(value.size))
        index = change(np.arange(value.size).reshape(value.shape))
        return plain(node.builder.taken(value, index, index.shape))
    return numbers.moved(change, value)


def reshaped(value: Value, shape: tuple[int, ...]) -> Value:
    """The same entries in another shape."""
    if len(shape) > 32 or np.prod(shape, dtype=np.float64) != np.prod(shape_of(value), dtype=np.float64):
        raise ValueError(f"a tensor of shape {shape_of(value)} cannot take the shape {shape}")
    return value.shaped(shape) if isinstance(value, Affine) else numbers.moved(lambda a: a.reshape(shape), value)


def axes_of(axes: list[int], ndim: int, negative: bool = True) -> list[int]:
    """Axes counted from 0.

    Raises:
        ValueError: one is none of the tensor's, or is there twice.
    """
    found = [axis + ndim if axis < 0 and negative else axis for axis in axes]
    if len(set(found)) != len(found) or any(not 0 <= axis < ndim for axis in found):
        raise ValueError(f"the axes {axes} are not those of a tensor of {ndim} dimensions")
    return found
