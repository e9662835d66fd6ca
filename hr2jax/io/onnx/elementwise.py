"""Operators of ONNX that work entry by entry: sums, products with constants, activations, maxima."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from ...arithmetic.enclosure import enclose
from ...arithmetic.float64 import Array
from ..algebra import kinks, maps, numbers
from ..algebra.affine import Affine
from .choices import Sign, chosen
from .counted import integers, is_integers
from .rules import Node, Value, axes_of, exact_floats, floats, plain, rule, shape_of, whole

_BEYOND = float(np.finfo(np.float32).max)  # Clip's old default: what no float32 exceeds


def _broadcast(node: Node) -> tuple[Any, Any, tuple[int, ...]]:
    """Both inputs, and the shape of the result."""
    a, b = node.inputs
    if node.version < 7:  # B is fitted into A, if at all
        fits = node.flag("broadcast")
        shape, other = shape_of(a), shape_of(b)
        if not fits:
            if shape != other or "axis" in node.attributes:
                raise ValueError(f"it joins tensors of shapes {shape} and {other} without broadcast")
        else:
            axis = node.integer("axis", len(shape) - len(other))
            axis = axis + len(shape) if axis < 0 else axis
            beside = shape[axis : axis + len(other)] if axis >= 0 else ()
            if len(beside) != len(other) or any(n not in (1, m) for n, m in zip(other, beside, strict=True)):
                raise ValueError(f"a tensor of shape {other} does not fit into {shape} at axis {axis}")
            b = _unsqueezed(b, len(shape) - axis - len(other))
    shape = np.broadcast_shapes(shape_of(a), shape_of(b))
    maps.room(float(np.prod([float(n) for n in shape])))
    return a, b, shape


def _unsqueezed(value: Value, dims: int) -> Value:
    shape = (*shape_of(value), *[1] * dims)
    return value.shaped(shape) if isinstance(value, Affine) else numbers.moved(lambda a: a.reshape(shape), value)


def _spread(value: Any, shape: tuple[int, ...]) -> numbers.Number:
    """A constant of floats in full."""
    return numbers.moved(lambda a: np.broadcast_to(a, shape), floats(value))


_BINARY = ((6, 7, 13, 14), "axis broadcast")


@rule("Add", *_BINARY)
@rule("Sub", *_BINARY)
def _add(node: Node) -> Value:
    a, b, shape = _broadcast(node)
    builder, minus = node.builder, node.operator == "Sub"
    if is_integers(a, b):
        return integers(node.operator, a, b)
    if isinstance(a, Affine) and isinstance(b, Affine):
        return plain(builder.subtract(a, b) if minus else builder.add(a, b))
    if isinstance(a, Affine):
        constant = _spread(b, shape)
        return builder.plus(builder.spread(a, shape), numbers.negative(constant) if minus else constant)
    if isinstance(b, Affine):
        return builder.plus(builder.spread(builder.negative(b) if minus else b, shape), _spread(a, shape))
    return numbers.add(floats(a), numbers.negative(floats(b)) if minus else floats(b))


@rule("Mul", *_BINARY)
def _mul(node: Node) -> Value:
    a, b, shape = _broadcast(node)
    if isinstance(a, Sign) != isinstance(b, Sign):
        which, value = (a, b) if isinstance(a, Sign) else (b, a)
        return chosen(node.builder, which, value, np.zeros(shape))
    if is_integers(a, b):
        return integers("Mul", a, b)
    if isinstance(a, Affine) and isinstance(b, Affine):
        raise ValueError("it multiplies two values that the network computes, which no slopes bound; "
                         "only products with constants are read")  # fmt: skip
    if isinstance(b, Affine):
        a, b = b, a
    if isinstance(a, Affine):
        return plain(node.builder.scale(node.builder.spread(a, shape), _spread(b, shape)))
    return numbers.multiply(floats(a), floats(b))


@rule("Div", *_BINARY)
def _div(node: Node) -> Value:
    a, b, shape = _broadcast(node)
    if is_integers(a, b):
        return integers("Div", a, b)
    if isinstance(b, Affine):
        raise ValueError("it divides by what the network computes; only divisors that are constants are read")
    if isinstance(a, Affine):
        return plain(node.builder.divide(node.builder.spread(a, shape), _spread(b, shape)))
    return numbers.divide(floats(a), floats(b))


@rule("Neg", (6, 13))
def _neg(node: Node) -> Value:
    (a,) = node.inputs
    if is_integers(a):
        return integers("Neg", a)
    return node.builder.negative(a) if isinstance(a, Affine) else numbers.negative(floats(a))


@rule("Sqrt", (6, 13))
@rule("Reciprocal", (6, 13))
def _of_constants(node: Node) -> Value:
    (a,) = node.inputs
    if isinstance(a, Affine):
        raise ValueError("its input is computed by the network; only that of a constant is read")
    return numbers.root(floats(a)) if node.operator == "Sqrt" else numbers.divide(np.ones(()), floats(a))


@rule("Pow", (1, 7, 12, 13, 15), "axis broadcast")
def _pow(node: Node) -> Value:
    """Of constants, by one power."""
    a, b, _ = _broadcast(node)
    if isinstance(a, Affine) or isinstance(b, Affine):
        raise ValueError("its input is computed by the network; only powers of constants are read")
    exponent = b.astype(np.float64) if isinstance(b, np.ndarray) and b.dtype == np.int64 else exact_floats(b)
    if exponent.size == 0 or (exponent != exponent.flat[0]).any():
        raise ValueError("it has several exponents; one is read")
    return numbers.moved(lambda v: np.broadcast_to(v, np.broadcast_shapes(v.shape, exponent.shape)),
                         numbers.power(floats(a), float(exponent.flat[0])))  # fmt: skip


@rule("Exp", (6, 13))
def _exp(node: Node) -> Value:
    (a,) = node.inputs
    if isinstance(a, Affine):
        raise ValueError("its input is computed by the network; only the exponential of a constant is read")
    from ...arithmetic.hulls import exponential  # here: it loads python-flint

    x = enclose(floats(a))
    low, high = (exponential(np.nextafter(x.mid + s * x.rad, s * np.inf)) for s in (-1.0, 1.0))
    return numbers.between(low[0], high[1])


@rule("Sum", (6, 8, 13))
@rule("Mean", (6, 8, 13))
def _sum(node: Node) -> Value:
    values = _same_shape(node, 8)

    def total(a: Any, b: Any) -> Any:
        return _add(Node("Add", 14, [a, b], {}, [""], node.builder, node.batch))

    found = reduce(total, values[1:], values[0])
    if node.operator == "Sum" or len(values) == 1:
        return found
    count = np.asarray(float(len(values)))
    return _div(Node("Div", 14, [found, count], {}, [""], node.builder, node.batch))


def _same_shape(node: Node, broadcasts_from: int) -> list[Any]:
    """All inputs, none left out; before that version they have one shape."""
    if any(v is None for v in node.inputs):
        raise ValueError("one of its inputs is left out")
    if node.version < broadcasts_from and len({shape_of(v) for v in node.inputs}) > 1:
        raise ValueError("its inputs have several shapes, which this operator set does not know")
    return list(node.inputs)


# Kinks


@rule("Relu", (6, 13, 14))
def _relu(node: Node) -> Value:
    (a,) = node.inputs
    if isinstance(a, Affine):
        return node.builder.activate(a, "relu")
    return numbers.number(np.maximum(numbers.mid(floats(a)), 0.0), numbers.rad(a))


@rule("LeakyRelu", (6, 16), "alpha")
def _leaky_relu(node: Node) -> Value:
    return kinks.leaky(node.builder, node.computed(), node.number("alpha", 0.01))


@rule("PRelu", (6, 7, 9, 16))
def _prelu(node: Node) -> Value:
    a, slope = node.computed(), exact_floats(node.inputs[1])
    if node.version < 7 and slope.size > 1:  # one a channel
        if slope.ndim != 1 or len(a.shape) < 2 or slope.size != a.shape[1]:
            raise ValueError(f"its slopes have the shape {slope.shape}, but one a channel of {a.shape} is needed")
        slope = slope.reshape(-1, *[1] * (len(a.shape) - 2))
    if np.broadcast_shapes(slope.shape, a.shape) != a.shape and slope.size > 1:
        raise ValueError(f"its slopes have the shape {slope.shape}, which does not fit into {a.shape}")
    weight = np.array(np.broadcast_to(slope.ravel() if slope.size == 1 else slope, a.shape)).ravel()
    return kinks.activation(node.builder, a, "prelu", weight=weight)


@rule("Abs", (6, 13))
def _abs(node: Node) -> Value:
    (a,) = node.inputs
    if isinstance(a, Affine):
        return kinks.activation(node.builder, a, "abs")
    if is_integers(a):
        return integers("Abs", a)
    return numbers.magnitude(floats(a))


@rule("Clip", (6, 11, 12, 13), "min max")
def _clip(node: Node) -> Value:
    a = node.computed()
    ends: list[Array | None] = []
    for i, name in enumerate(("min", "max"), start=1):
        end: Any = None
        if node.version < 11 and name in node.attributes:
            end = np.asarray(node.number(name, 0.0))
        elif node.version >= 11:
            if name in node.attributes:
                raise ValueError(f"the attribute {name!r} is not expected")
            end = node.input(i)
        if end is not None:
            end = exact_floats(end)
            if end.size != 1:
                raise ValueError(f"its {name} must be one number, but it has the shape {end.shape}")
            if abs(float(end.ravel()[0])) >= _BEYOND:
                beyond = float(end.ravel()[0]) < 0.0 if name == "min" else float(end.ravel()[0]) > 0.0
                if not beyond:
                    raise ValueError(f"its {name} is {float(end.ravel()[0]):g}")
                end = None
        ends.append(None if end is None else np.full(a.shape, float(end.ravel()[0])))
    low, high = ends
    if low is not None and high is not None and (low > high).any():
        raise ValueError(f"its min {low.flat[0]:g} is above its max {high.flat[0]:g}")
    return kinks.clip(node.builder, a, low, high)


@rule("HardSigmoid", (6, 22), "alpha beta")
def _hard_sigmoid(node: Node) -> Value:
    slope, offset = np.asarray(node.number("alpha", 0.2)), np.asarray(node.number("beta", 0.5))
    return kinks.hard_sigmoid(node.builder, node.computed(), slope, offset)


@rule("Max", (6, 8, 12, 13))
@rule("Min", (6, 8, 12, 13))
def _extreme(node: Node) -> Value:
    builder, largest = node.builder, node.operator == "Max"
    shape = np.broadcast_shapes(*(shape_of(v) for v in _same_shape(node, 8)))
    if is_integers(*node.inputs):
        return reduce(lambda a, b: integers(node.operator, a, b), node.inputs)
    constants = [floats(v) for v in node.inputs if not isinstance(v, Affine)]
    computed = [builder.spread(v, shape) for v in node.inputs if isinstance(v, Affine)]
    bound = [reduce(lambda a, b: numbers.extreme(a, b, largest), constants)] if constants else []
    if not computed:
        return bound[0]
    function = kinks.maximum if largest else kinks.minimum
    found = reduce(lambda a, b: function(builder, a, b), computed)
    for each in bound:
        full = numbers.moved(lambda v: np.array(np.broadcast_to(v, shape)), each)
        found = function(builder, builder.constant(full), found)
    return found


@rule("TopK", (1, 10, 11, 24), "axis k largest sorted")
def _top_k(node: Node) -> Value:
    """The values, in their order; of GroupSort k is all of a dimension."""
    a, builder = node.computed(), node.builder
    (axis,) = axes_of([node.integer("axis", -1)], len(a.shape))
    n = a.shape[axis]
    k = node.integer("k", n) if node.version < 10 else whole(node.inputs[1])[0]
    if not 1 <= k <= n or (node.version >= 11 and not node.flag("sorted", 1)):
        raise ValueError(f"it takes {k} of {n} entries, or in no order; from 1 to {n} in order are read")
    descending = node.version < 11 or node.flag("largest", 1)
    index = np.moveaxis(np.arange(a.size).reshape(a.shape), axis, -1)
    ordered = kinks.in_order(builder, a, index.reshape(-1, n), descending)
    back = np.moveaxis(np.arange(a.size).reshape(index.shape)[..., :k], -1, axis)
    return builder.taken(ordered, back, back.shape)


# Smooth activations


def _smooth(
    operator: str, name: str, versions: tuple[int, ...], fixed: Mapping[str, float] = MappingProxyType({}),
    **given: float,
) -> None:  # fmt: skip
    @rule(operator, versions, " ".join(given))
    def apply(node: Node) -> Value:
        parameters = {**fixed, **{k: node.number(k, default) for k, default in given.items()}}
        return kinks.activation(node.builder, node.computed(), name, **parameters)


_smooth("Tanh", "tanh", (6, 13))
_smooth("Sigmoid", "sigmoid", (6, 13))
_smooth("Softplus", "softplus", (1, 22), {"threshold": np.finfo(np.float64).max})  # it has none, unlike torch's
_smooth("Softsign", "softsign", (1, 22))
_smooth("Elu", "elu", (6, 22), alpha=1.0)
_smooth("Celu", "celu", (12, 28), alpha=1.0)
_smooth("Erf", "erf", (9, 13))
_smooth("Atan", "arctan", (7, 22))
_smooth("Mish", "mish", (18, 22))
_smooth("HardSwish", "hardswish", (14, 22))


@rule("Selu", (6, 22), "alpha gamma")
def _selu(node: Node) -> Value:
    """gamma elu(x), whatever the two numbers are."""
    alpha, gamma = (node.number(*pair) for pair in (("alpha", 1.6732632423543772), ("gamma", 1.0507009873554805)))
    value = kinks.activation(node.builder, node.computed(), "elu", alpha=alpha)
    return plain(node.builder.scale(value, np.full(value.shape, gamma)))


@rule("Swish", (24,), "alpha")
def _swish(node: Node) -> Value:
    """x sigmoid(alpha x) = silu(alpha x) / alpha."""
    a, alpha = node.computed(), node.number("alpha", 1.0)
    if alpha == 0.0:
        raise ValueError("its alpha is 0, so that it is half its input")
    factors = np.full(a.shape, alpha)
    return plain(node.builder.divide(kinks.activation(node.builder, node.builder.scale(a, factors), "silu"), factors))


@rule("Gelu", (20,), "approximate")
def _gelu(node: Node) -> Value:
    return kinks.activation(node.builder, node.computed(), "gelu", approximate=node.word("approximate", "none"))
