"""Primitives of JAX that work entry by entry, with kinks and comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...arithmetic.enclosure import Enclosure
from .. import halves
from ..algebra import kinks, numbers
from ..algebra.affine import Affine
from ..onnx.rules import exact_floats, shape_of
from ..onnx.walk import Ended
from .operation import Operation, Sign, primitive


def is_computed(value: Any) -> bool:
    """Whether the network computes it."""
    return isinstance(value, Affine | Ended)


def _word(name: str, operator: str) -> None:
    @primitive(name)
    def apply(o: Operation) -> Any:
        return o.do(operator, *o.inputs)


for _name, _operator in (("add", "Add"), ("add_any", "Add"), ("sub", "Sub"), ("div", "Div"), ("abs", "Abs"),
                         ("tanh", "Tanh"), ("logistic", "Sigmoid"), ("erf", "Erf"), ("atan", "Atan")):  # fmt: skip
    _word(_name, _operator)


@primitive("mul")
def _mul(o: Operation) -> Any:
    found = o.do("Mul", *o.inputs)
    for a, b in (o.inputs, reversed(o.inputs)):
        if isinstance(a, Affine) and isinstance(b, np.ndarray) and isinstance(found, Affine):
            o.interpreter.scaled[id(found)] = (a, b, found)
    return found


@primitive("neg")
def _neg(o: Operation) -> Any:
    found = o.do("Neg", *o.inputs)
    if isinstance(found, Affine) and isinstance(o.inputs[0], Affine):
        o.interpreter.scaled[id(found)] = (o.inputs[0], np.asarray(-1.0), found)
    return found


@primitive("max", "min")
def _extreme(o: Operation) -> Any:
    largest = o.equation.primitive.name == "max"
    for a, b in (o.inputs, reversed(o.inputs)):  # beside infinity that bounds nothing
        if isinstance(a, np.ndarray) and a.dtype == np.float64 and (a == (-np.inf if largest else np.inf)).all():
            full = tuple(o.equation.outvars[0].aval.shape)
            return b if shape_of(b) == full or isinstance(b, Ended) else o.do("Expand", b, np.array(full))
    return o.do("Max" if largest else "Min", *o.inputs)


@primitive("clamp")
def _clamp(o: Operation) -> Any:
    low, value, high = o.inputs
    found = value
    for operator, end, none in (("Max", low, -np.inf), ("Min", high, np.inf)):
        if not (isinstance(end, np.ndarray) and (end == none).all()):
            found = o.do(operator, found, end)
    return found


@primitive("sqrt", "rsqrt")
def _root(o: Operation) -> Any:
    (a,) = o.inputs
    if is_computed(a):
        raise ValueError("it takes the root of what the network computes, whose slope has no bound")
    found = o.do("Sqrt", a)
    return o.do("Reciprocal", found) if o.equation.primitive.name == "rsqrt" else found


@primitive("integer_pow", "square")
def _power(o: Operation) -> Any:
    (a,) = o.inputs
    power = o.parameters.get("y", 2)
    if is_computed(a):
        return o.do("Pow", a, np.asarray(float(power)))
    if not 0 < abs(power) <= 64:
        raise ValueError(f"a constant to the power {power} is not read")
    found = a
    for _ in range(abs(power) - 1):
        found = o.do("Mul", found, a)
    return o.do("Reciprocal", found) if power < 0 else found


@primitive("stop_gradient", "copy", "copy_p", "optimization_barrier", "sharding_constraint")
def _same(o: Operation) -> Any:
    return o.inputs


@primitive("convert_element_type")
def _converted(o: Operation) -> Any:
    (a,), dtype = o.inputs, np.dtype(o.parameters["new_dtype"])
    floating = str(dtype).startswith(("float", "bfloat"))
    if isinstance(a, Sign) or (is_computed(a) and not floating):
        raise ValueError(f"it makes {dtype} of what the network computes, so that it jumps")
    if halves.is_half(dtype) and not isinstance(a, np.ndarray) and not halves.is_half(o.equation.invars[0].aval.dtype):
        halves.refuse(dtype)
    if isinstance(a, Enclosure) and not floating:
        raise ValueError(f"it makes {dtype} of a constant that float64 does not hold")
    if not isinstance(a, np.ndarray):
        return a
    found = a.astype(dtype)
    return found.astype(np.float64) if floating else found


@primitive("gt", "ge", "lt", "le", "eq", "ne")
def _compared(o: Operation) -> Any:
    a, b = o.inputs
    name = o.equation.primitive.name
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        function = {"gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal, "eq": np.equal,
                    "ne": np.not_equal}[name]  # fmt: skip
        return np.asarray(function(a, b))
    if name in ("eq", "ne") and (a is b or any(_is_infinite(v) for v in (a, b))):  # is it NaN, is it infinite?
        shape = tuple(o.equation.outvars[0].aval.shape)
        return np.full(shape, (name == "eq") == (a is b))
    if isinstance(b, Affine) and not is_computed(a):
        a, b = b, a
        name = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}.get(name, name)
    if not isinstance(a, Affine) or is_computed(b) or name in ("eq", "ne"):
        raise ValueError("it compares values, so that it may jump; jax.numpy.maximum, minimum and clip are read")
    return Sign(a, b, name)


def _is_infinite(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.float64 and bool(np.isinf(value).all())


@primitive("floor", "ceil", "sign")
def _step(o: Operation) -> Any:
    (a,) = o.inputs
    step = {"floor": np.floor, "ceil": np.ceil, "sign": np.sign}[o.equation.primitive.name]
    if isinstance(a, Enclosure) and (step(a.lower()) == step(a.upper())).all():
        return step(a.mid)
    if not isinstance(a, np.ndarray):
        raise ValueError("it jumps; only what it makes of constants is read, where rounding does not decide it")
    return step(a)


@primitive("exp")
def _exp(o: Operation) -> Any:
    if is_computed(o.inputs[0]):
        raise ValueError("it is not read but of constants, and as a part of jax.nn's activations: tanh, sigmoid, "
                         "softplus, elu, selu and gelu are")  # fmt: skip
    return o.do("Exp", o.inputs[0])


@primitive("select_n")
def _select(o: Operation) -> Any:
    which, *cases = o.inputs
    if isinstance(which, Sign):
        return _kink(o, which, *cases)
    if not isinstance(which, np.ndarray):
        raise ValueError("it selects by what the network computes, so that it may jump")
    shape = tuple(o.equation.outvars[0].aval.shape)
    size = int(np.prod(shape))
    chosen = np.broadcast_to(which.astype(np.int64), shape).ravel()
    return joined(o, [*cases], chosen * size + np.arange(size), shape)


def joined(o: Operation, values: list[Any], index: Any, shape: tuple[int, ...]) -> Any:
    """The entries `index` of the flat entries of several values, one after another."""
    values = [o.inside(v) for v in values]
    if all(isinstance(v, np.ndarray) for v in values):
        flat = np.concatenate([v.ravel() for v in values])
        return flat[index.ravel()].reshape(shape)
    builder = o.walk.builder
    parts = [v if isinstance(v, Affine) else builder.constant(_finite(v)) for v in values]
    whole = builder.joined([p.shaped((p.size,)) for p in parts], 0)
    return o.taken(whole, np.asarray(index).reshape(shape))


def _finite(value: Any) -> Any:
    if isinstance(value, np.ndarray) and (value.dtype != np.float64 or not np.isfinite(value).all()):
        raise ValueError("it joins what the network computes with a constant that is not finite")
    return value


def _kink(o: Operation, sign: Sign, otherwise: Any, then: Any) -> Any:
    """One slope where z > 0 and another where z < 0, both through 0."""
    z = sign.value
    if not isinstance(sign.constant, np.ndarray) or sign.constant.any() or shape_of(then) != z.shape:
        raise ValueError("it selects by a comparison with other numbers than 0, so that it may jump; "
                         "jax.numpy.maximum, minimum and clip are read")  # fmt: skip
    above, below = (then, otherwise) if sign.operator in ("gt", "ge") else (otherwise, then)
    beta, alpha = (_slope(o, v, z) for v in (above, below))
    if beta is None or alpha is None:
        raise ValueError("it selects among other values than multiples of what is compared with 0, so that it may "
                         "jump; jax.numpy.maximum, minimum and clip are read")  # fmt: skip
    if (beta == 1.0).all():
        return _leaky(o, z, alpha)
    if (alpha == 1.0).all():
        return o.do("Neg", _leaky(o, o.do("Neg", z), beta))
    rest = numbers.add(beta, numbers.negative(alpha))
    return o.do("Add", o.do("Mul", z, alpha), o.do("Mul", o.do("Relu", z), rest))


def _leaky(o: Operation, z: Any, slopes: Any) -> Any:
    if (slopes == slopes.flat[0]).all():
        return kinks.leaky(o.walk.builder, z, float(slopes.flat[0]))
    return o.do("PRelu", z, slopes)


def _slope(o: Operation, value: Any, z: Affine) -> Any:
    """The numbers that z is multiplied by in `value`, of z's shape, or None."""
    if value is z:
        return np.ones(z.shape)
    if isinstance(value, np.ndarray):
        return None if value.any() else np.zeros(z.shape)
    (base, factor), (origin, unit) = (_multiple(o, v) for v in (value, z))
    if base is not origin or not exact_floats(unit).all():
        return None
    found = numbers.divide(exact_floats(factor), exact_floats(unit))
    return None if isinstance(found, Enclosure) else np.array(np.broadcast_to(found, z.shape))


def _multiple(o: Operation, value: Any) -> tuple[Any, Any]:
    """The expression that a value is a multiple of, and the numbers that it is multiplied by."""
    base, factor, _ = o.interpreter.scaled.get(id(value), (value, np.ones(()), value))
    return base, factor
