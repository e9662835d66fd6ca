"""Comparisons of what a network computes, and the choices by them that are continuous: kinks.

A choice between A where z > 0 and B where z < 0 is read where both are multiples of z, entry by entry, or where A - B
is one: then A = B where z = 0, so that nothing jumps and it does not matter which of the two z = 0 takes. Whether it is
one is decided by exact arithmetic; in doubt the choice is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from ...arithmetic import exact
from ...arithmetic.enclosure import Enclosure
from ...arithmetic.float64 import Array
from ..algebra import kinks, maps, numbers
from ..algebra.affine import Affine, Builder
from .counted import compared
from .rules import Node, Value, floats, plain, rule, shape_of

_BINARY = "axis broadcast"
_JUMPS = "so that it may jump; Relu, Max, Min, Clip are read, and choices between values that meet where it changes"


@dataclass(frozen=True, eq=False)
class Sign:
    """Whether an expression is above 0, or below it: no value, but a choice by it may be a kink."""

    value: Affine
    is_above: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the expression."""
        return self.value.shape


@rule("Equal", (1, 7, 11, 13, 19), _BINARY)
@rule("Greater", (1, 7, 9, 13), _BINARY)
@rule("Less", (1, 7, 9, 13), _BINARY)
@rule("GreaterOrEqual", (12, 16))
@rule("LessOrEqual", (12, 16))
def _compared(node: Node) -> Any:
    a, b = node.inputs
    if node.version < 7 and node.attributes:
        raise ValueError("its broadcast of an old operator set is not read")
    if not any(isinstance(v, Affine) for v in (a, b)):
        return compared(node.operator, a, b)
    if node.operator == "Equal":
        raise ValueError("it jumps; Relu, Max, Min, Clip are read")
    return sign(node.builder, a, b, node.operator.startswith("Greater"))


@rule("Not", (1,))
def _not(node: Node) -> Any:
    (a,) = node.inputs
    if isinstance(a, Sign):
        return Sign(a.value, not a.is_above)  # at 0 both are the same, or the choice is refused
    if not isinstance(a, np.ndarray) or a.dtype != bool:
        raise ValueError("it takes other than booleans")
    return np.logical_not(a)


@rule("Where", (9, 16))
def _where(node: Node) -> Value:
    condition, *pair = node.inputs
    if isinstance(condition, Sign):
        return chosen(node.builder, condition, *pair)
    if not isinstance(condition, np.ndarray) or condition.dtype != bool:
        raise ValueError("its condition is no constant and no comparison, so that it may jump; Relu, Max, Min and Clip "
                         "are read")  # fmt: skip
    shape = np.broadcast_shapes(condition.shape, *(shape_of(v) for v in pair))
    maps.room(2.0 * float(np.prod([float(n) for n in shape])))
    if all(isinstance(v, np.ndarray) and v.dtype != np.float64 for v in pair):
        return np.where(condition, *pair)
    computed = [_expression(node.builder, v) for v in pair]
    x, y = (node.builder.spread(v, shape).shaped((1, *shape)) for v in computed)
    n = int(np.prod(shape))
    index = np.where(np.broadcast_to(condition, shape).ravel(), np.arange(n), n + np.arange(n))
    return plain(node.builder.taken(node.builder.joined([x, y], 0), index, shape))


def sign(builder: Builder, a: Any, b: Any, is_above: bool) -> Sign:
    """Whether a > b, or a < b, one of which the network computes.

    Raises:
        ValueError: their difference is no expression that float64 holds.
    """
    shape = np.broadcast_shapes(shape_of(a), shape_of(b))
    x, y = (builder.spread(_expression(builder, v), shape) for v in (a, b))
    try:
        zero = not y.terms and y.is_exact and not numbers.mid(y.shift).any()
        value = x if zero else builder.exact_sum(x, builder.negative(y))
        return Sign(value, is_above)
    except exact.InexactError:
        raise ValueError(f"it compares values whose difference float64 does not hold, {_JUMPS}") from None


def _expression(builder: Builder, value: Any) -> Affine:
    return value if isinstance(value, Affine) else builder.constant(floats(value))


def chosen(builder: Builder, condition: Sign, then: Any, other: Any) -> Value:
    """One value where an expression is above 0 and another one elsewhere, where that is continuous.

    Raises:
        ValueError: it may jump.
    """
    values = [condition.value, _expression(builder, then), _expression(builder, other)]
    shape = np.broadcast_shapes(*(v.shape for v in values))
    for given in (values, [builder.known(v) for v in values]):
        z, above, below = (builder.spread(v, shape) for v in given)
        above, below = (above, below) if condition.is_above else (below, above)
        found = _kink(builder, z, above, below)
        if found is not None:
            return plain(found)
    raise ValueError(f"it chooses between values that need not meet where what it compares changes, {_JUMPS}")


def _kink(builder: Builder, z: Affine, above: Affine, below: Affine) -> Affine | None:
    beta, alpha = multiple(above, z), multiple(below, z)
    if beta is not None and alpha is not None:
        if (beta == 1.0).all():
            return _leaky(builder, z, alpha)
        if (alpha == 1.0).all():
            return builder.negative(_leaky(builder, builder.negative(z), beta))
        rest = builder.scale(builder.activate(z, "relu"), numbers.add(beta, numbers.negative(alpha)))
        return builder.add(builder.scale(z, alpha), rest)
    try:
        slopes = multiple(builder.exact_sum(above, builder.negative(below)), z)
    except exact.InexactError:
        return None
    return None if slopes is None else builder.add(below, builder.scale(builder.activate(z, "relu"), slopes))


def _leaky(builder: Builder, z: Affine, slopes: Array) -> Affine:
    """z above 0, slopes z below."""
    if (slopes == slopes[0]).all():
        return kinks.leaky(builder, z, float(slopes[0]))
    return kinks.activation(builder, z, "prelu", weight=slopes)


def multiple(value: Affine, z: Affine) -> Array | None:
    """(size,): how many times z the value is, entry by entry and exactly; None where it is not, or z is a constant."""
    if not (value.is_exact and z.is_exact) or isinstance(value.shift, Enclosure) or isinstance(z.shift, Enclosure):
        return None
    found = np.full(z.size, np.nan)
    pairs = []
    for k in {*z.terms, *value.terms}:
        a, b = (maps.as_csr(v.terms[k].mid) if k in v.terms else None for v in (z, value))
        shape = next(m.shape for m in (a, b) if m is not None)
        a, b = (maps.clean(sparse.csr_array(shape) if m is None else m) for m in (a, b))
        first = np.flatnonzero(np.isnan(found) & (np.diff(a.indptr) > 0))
        at = a.indptr[first]
        if len(first):
            found[first] = np.asarray(b[first, a.indices[at]]).ravel() / a.data[at]
        pairs.append((a, b))
    if not np.isfinite(found).all():
        return None
    try:
        for a, b in pairs:
            lost = maps.plus(maps.scaled(maps.Map(a), found), maps.Map(-b))
            if maps.clean(lost.mid).nnz:
                return None
        same = bool((exact.product(found, z.shift) == value.shift).all())
    except exact.InexactError:
        return None
    return found if same else None
