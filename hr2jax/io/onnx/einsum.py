"""Sums of products by their indices, one of the factors at most computed by the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.float64 import Array
from ..algebra.affine import Affine
from .rules import RULES, Node, Value, floats, moved, reshaped, rule, shape_of

Label = str | int  # a letter, or a dimension of "...", counted from the last: -1, -2, ...
_LARGEST = 32  # dimensions


@rule("Einsum", (12, 28), "equation")
def einsum(node: Node) -> Value:
    """NumPy's einsum: factor by factor, each product of matrices (batch, left, summed) and (batch, summed, right)."""
    if any(value is None for value in node.inputs):
        raise ValueError("one of its inputs is left out")
    labels, out = _parsed(node.word("equation", ""), [shape_of(value) for value in node.inputs])
    factors = [_distinct(node, v if isinstance(v, Affine) else floats(v), of)
               for v, of in zip(node.inputs, labels, strict=True)]  # fmt: skip
    sizes: dict[Label, int] = {}
    for value, of in factors:
        for label, n in zip(of, shape_of(value), strict=True):
            if n != sizes.setdefault(label, n) != 1 and n != 1:
                raise ValueError(f"its dimensions {label!r} are {sizes[label]} and {n}")
            sizes[label] = max(sizes[label], n)
    factors = [_fitted(value, of, sizes) for value, of in factors]
    value, of = factors[0]
    for i, (factor, its) in enumerate(factors[1:], start=2):
        later = {*out}.union(*(other for _, other in factors[i:]))
        first, second = _summed(node, value, of, later | {*its}), _summed(node, factor, its, later | {*of})
        value, of = _product(node, first, second, later)
    value, of = _summed(node, value, of, {*out})
    missing = [label for label in out if label not in of]
    value = reshaped(value, (*shape_of(value), *[1] * len(missing)))  # of one entry all
    order = [[*of, *missing].index(label) for label in out]
    return moved(node, value, lambda a: a.transpose(order))


def _parsed(equation: str, shapes: list[tuple[int, ...]]) -> tuple[list[list[Label]], list[Label]]:
    """The labels of each factor, and those of the result."""
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    for term in (*terms, right):
        if not all(c.isalpha() and c.isascii() for c in term.replace("...", "", 1)):
            raise ValueError(f"its equation {equation[:60]!r} is none")
    if len(terms) != len(shapes):
        raise ValueError(f"its equation {equation[:60]!r} is of {len(terms)} tensors, but {len(shapes)} are given")
    found = []
    for term, shape in zip(terms, shapes, strict=True):
        more = len(shape) - len(term.replace("...", ""))
        if more < 0 or (more and "..." not in term) or len(shape) > _LARGEST:
            raise ValueError(f"its equation says {term!r} of a tensor of {len(shape)} dimensions")
        found.append(_labels(term, more))
    most = max((-label for of in found for label in of if isinstance(label, int)), default=0)
    if arrow:
        out = _labels(right, most)
        if "..." not in right and most:
            raise ValueError(f"its equation {equation[:60]!r} does not say what becomes of '...'")
    else:
        letters = [label for of in found for label in of if isinstance(label, str)]
        out = [*range(-most, 0), *sorted(c for c in {*letters} if letters.count(c) == 1)]
    if len({*out}) < len(out) or not {*out} <= {label for of in found for label in of}:
        raise ValueError(f"its equation {equation[:60]!r} is none")
    return found, out


def _labels(term: str, more: int) -> list[Label]:
    before, dots, after = term.partition("...")
    return [*before, *(range(-more, 0) if dots else ()), *after]


def _distinct(node: Node, value: Value, labels: list[Label]) -> tuple[Value, list[Label]]:
    """The diagonal of dimensions of one label."""
    kept = [*dict.fromkeys(labels)]
    if len(kept) == len(labels):
        return value, labels
    for label in kept:
        if len({n for n, other in zip(shape_of(value), labels, strict=True) if other == label}) > 1:
            raise ValueError(f"its dimensions {label!r} of one tensor are of several sizes")

    def diagonal(a: Array) -> Array:
        found: Array = np.einsum(a, [kept.index(label) for label in labels], [*range(len(kept))])
        return found

    return moved(node, value, diagonal), kept


def _fitted(value: Value, labels: list[Label], sizes: dict[Label, int]) -> tuple[Value, list[Label]]:
    """Without dimensions of 1 that others have longer."""
    shape = shape_of(value)
    kept = [i for i, n in enumerate(shape) if n == sizes[labels[i]]]
    return reshaped(value, tuple(shape[i] for i in kept)), [labels[i] for i in kept]


def _summed(node: Node, value: Value, labels: list[Label], needed: set[Label]) -> tuple[Value, list[Label]]:
    """The sum over the dimensions that nothing needs."""
    axes = [i for i, label in enumerate(labels) if label not in needed]
    if not axes:
        return value, labels
    found = _do(node, "ReduceSum", [value, np.array(axes, dtype=np.int64)], keepdims=0)
    return found, [label for label in labels if label in needed]


def _product(
    node: Node, first: tuple[Value, list[Label]], second: tuple[Value, list[Label]], later: set[Label]
) -> tuple[Value, list[Label]]:
    (a, of), (b, its) = first, second
    both = [label for label in of if label in its]
    batch, summed = [k for k in both if k in later], [k for k in both if k not in later]
    left, right = [k for k in of if k not in both], [k for k in its if k not in both]
    sizes = dict(zip([*of, *its], [*shape_of(a), *shape_of(b)], strict=True))
    n, rows, inner, columns = (int(np.prod([sizes[k] for k in part])) for part in (batch, left, summed, right))
    stack = (n,) if n > 1 else ()
    a = reshaped(_ordered(node, a, of, [*batch, *left, *summed]), (*stack, rows, inner))
    b = reshaped(_ordered(node, b, its, [*batch, *summed, *right]), (*stack, inner, columns))
    labels = [*batch, *left, *right]
    return reshaped(_do(node, "MatMul", [a, b]), tuple(sizes[k] for k in labels)), labels


def _ordered(node: Node, value: Value, labels: list[Label], order: list[Label]) -> Value:
    axes = [labels.index(label) for label in order]
    return moved(node, value, lambda a: a.transpose(axes))


def _do(node: Node, operator: str, inputs: list[Any], **attributes: Any) -> Any:
    found = RULES[operator]
    return found.apply(Node(operator, max(found.versions), inputs, attributes, ["y"], node.builder, node.batch))
