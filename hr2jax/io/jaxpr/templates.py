"""jax.nn's activations, recognised before they are decomposed.

A name proves nothing, since anybody's function may be called gelu: JAX traces its own function for the same shape, and
the equations at hand must be those, one by one, with the same parameters and numbers. What differs is read as what it
is, equation by equation, or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

# Primitives that an activation begins with.
FIRST = ("jit", "pjit", "custom_jvp_call", "integer_pow", "reduce_max", "neg", "mul", "div", "add", "abs", "square")
_CALLS = ("jit", "pjit", "custom_jvp_call", "closed_call")
_BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class Template(NamedTuple):
    """An activation: its name and parameters for a Layer, or ONNX's word and attributes, and its jaxpr."""

    name: str
    word: str
    parameters: dict[str, Any]
    jaxpr: Any


class Found(NamedTuple):
    """Equations that are an activation: the variables that it takes and gives, and how many equations they are."""

    name: str
    word: str
    parameters: dict[str, Any]
    source: Any
    output: Any
    length: int


def matched(jaxpr: Any, at: int) -> Found | None:
    """The activation that the equations from `at` on are, or None."""
    equation = jaxpr.eqns[at]
    sources = [v for v in equation.invars if not hasattr(v, "val")]
    if len(sources) != 1 and not (len(sources) == 2 and sources[0] is sources[1]):
        return None
    source = sources[0]
    aval = source.aval
    if not hasattr(aval, "dtype") or not str(aval.dtype).startswith(("float", "bfloat")):
        return None
    known = _templates(tuple(aval.shape), str(aval.dtype), bool(getattr(aval, "weak_type", False)))
    for template in (*known, *_with_numbers(equation, aval)):
        output = _same(template.jaxpr, jaxpr, at, source)
        if output is not None:
            length = len(template.jaxpr.eqns)
            return Found(template.name, template.word, template.parameters, source, output, length)
    return None


def _same(template: Any, jaxpr: Any, at: int, source: Any) -> Any:
    """The variable that the equations from `at` on give, if they are the template's."""
    count = len(template.eqns)
    equations = jaxpr.eqns[at : at + count]
    if len(equations) < count:
        return None
    bound: dict[Any, Any] = {template.invars[0]: source}
    for mine, theirs in zip(template.eqns, equations, strict=True):
        if mine.primitive.name != theirs.primitive.name or len(mine.invars) != len(theirs.invars):
            return None
        if len(mine.outvars) != 1 or len(theirs.outvars) != 1 or not _same_parameters(mine, theirs):
            return None
        for a, b in zip(mine.invars, theirs.invars, strict=True):
            if hasattr(a, "val") != hasattr(b, "val"):
                return None
            if hasattr(a, "val"):
                if str(a.aval) != str(b.aval) or a.val != b.val:
                    return None
            elif bound.get(a) is not b:
                return None
        bound[mine.outvars[0]] = theirs.outvars[0]
    output = bound[template.outvars[0]]
    inner = {e.outvars[0] for e in equations} - {output}
    outside = [v for i, e in enumerate(jaxpr.eqns) if not at <= i < at + count for v in e.invars]
    if any(v in inner for v in (*outside, *jaxpr.outvars) if not hasattr(v, "val")):
        return None
    return output


def _same_parameters(mine: Any, theirs: Any) -> bool:
    if mine.primitive.name in _CALLS:
        bodies = [[str(e.params[key]) for key in _BODIES if key in e.params] for e in (mine, theirs)]
        return bool(bodies[0]) and bodies[0] == bodies[1]
    keys = {*mine.params} | {*theirs.params}
    return all(str(mine.params.get(key)) == str(theirs.params.get(key)) for key in keys)


@lru_cache(maxsize=256)
def _templates(shape: tuple[int, ...], dtype: str, weak: bool) -> tuple[Template, ...]:
    import jax

    nn = jax.nn
    found: list[tuple[str, str, dict[str, Any], Any]] = [
        ("gelu", "", {"approximate": "tanh"}, partial(nn.gelu, approximate=True)),
        ("gelu", "", {"approximate": "none"}, partial(nn.gelu, approximate=False)),
        ("silu", "", {}, nn.silu), ("selu", "", {}, nn.selu), ("mish", "Mish", {}, nn.mish),
        ("softplus", "Softplus", {}, nn.softplus), ("softsign", "Softsign", {}, nn.soft_sign),
        ("softplus", "Softplus", {}, lambda x: jax.numpy.logaddexp(x, 0.0)),
        ("hardswish", "HardSwish", {}, nn.hard_silu), ("hard_tanh", "Clip", {}, nn.hard_tanh),
    ]  # fmt: skip
    for axis in range(-len(shape), len(shape)):
        found.append(("softmax", "Softmax", {}, partial(nn.softmax, axis=axis)))
        found.append(("log_softmax", "LogSoftmax", {}, partial(nn.log_softmax, axis=axis)))
    return tuple(_traced(*each, shape, dtype, weak) for each in found)


def _with_numbers(equation: Any, aval: Any) -> Iterator[Template]:
    """Those whose parameter is a number that the equation gives."""
    import jax

    name = str(equation.params.get("name", ""))
    numbers = [v.val for v in equation.invars if hasattr(v, "val")]
    if name not in ("elu", "celu") or len(numbers) > 1:
        return
    alpha = float(numbers[0]) if numbers else 1.0
    function = {"elu": jax.nn.elu, "celu": jax.nn.celu}[name]
    word = {"elu": "Elu", "celu": "Celu"}[name]
    weak = bool(getattr(aval, "weak_type", False))
    shape, dtype = tuple(aval.shape), str(aval.dtype)
    given = [alpha] if numbers else []
    yield _traced(name, word, {"alpha": alpha}, lambda x: function(x, *given), shape, dtype, weak)


def _traced(
    name: str, word: str, parameters: dict[str, Any], function: Callable[[Any], Any], shape: tuple[int, ...],
    dtype: str, weak: bool,
) -> Template:  # fmt: skip
    import jax

    spec = jax.ShapeDtypeStruct(shape, dtype, weak_type=weak)
    return Template(name, word, parameters, jax.make_jaxpr(function)(spec).jaxpr)
