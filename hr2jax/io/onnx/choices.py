"""Comparisons of what a network computes, and the choices by them that are continuous: kinks."""

from __future__ import annotations

from .counted import compared
from .rules import Node, Value, rule

_BINARY = "axis broadcast"


@rule("Equal", (1, 7, 11, 13, 19), _BINARY)
@rule("Greater", (1, 7, 9, 13), _BINARY)
@rule("Less", (1, 7, 9, 13), _BINARY)
@rule("GreaterOrEqual", (12, 16))
@rule("LessOrEqual", (12, 16))
def _compared(node: Node) -> Value:
    a, b = node.inputs
    if node.version < 7 and node.attributes:
        raise ValueError("its broadcast of an old operator set is not read")
    return compared(node.operator, a, b)
