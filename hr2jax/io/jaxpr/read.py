"""A jittable function of JAX as layers: it is traced once, and its jaxpr walked as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import halves
from ..algebra.affine import Builder
from ..budget import Budget
from ..layers import Graph, reason
from ..onnx.walk import Walk, last_values
from ..told import Told
from .interpreter import Interpreter


def read(function: Callable[[Any], Any], name: str, example: Any, told: Told, budget: Budget) -> Graph:
    """The layers of a function of one array, what it holds taken as exact reals.

    Args:
        function: of an array of the example's shape, and of nothing else.
        name: what it is called in messages.
        example: an input, of which only the shape and the dtype are used.
        told: the options; `logits` is the one that has a meaning here.
        budget: the memory that is free.

    Raises:
        ValueError: a function that cannot be traced or read; it names the operation.
    """
    told.refuse_said("a function")
    spec = _spec(example, name)
    halves.say(name, spec.dtype)
    closed, outputs = _traced(function, name, spec)
    walk = Walk(Builder(spec.shape), spec.shape[0] if len(spec.shape) > 1 else 1)
    found = Interpreter(walk, budget).closed(closed, [walk.builder.source])
    named = [(path, value) for path, value in zip(outputs, found, strict=True)]
    layers, made = zip(*walk.builder.described(last_values(named, told)), strict=True)
    return Graph([*layers], (), made)


def _spec(example: Any, name: str) -> Any:
    import jax

    if example is None:
        raise ValueError(f"the shape of the input of {name} is not evident; give example=, an input")
    try:
        shape, dtype = tuple(np.shape(example)), jax.numpy.result_type(example)
    except Exception as error:
        raise ValueError(f"example must be an array, but it is none ({reason(error)})") from None
    if not shape or 0 in shape:
        raise ValueError(f"example must be one input, but its shape is {shape}")
    if not jax.numpy.issubdtype(dtype, jax.numpy.floating):
        dtype = jax.numpy.result_type(float)
    return jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype))


def _traced(function: Callable[[Any], Any], name: str, spec: Any) -> tuple[Any, list[str]]:
    """The closed jaxpr, and the names of its outputs."""
    import jax

    try:
        closed, outputs = jax.make_jaxpr(function, return_shape=True)(spec)
    except Exception as error:
        raise ValueError(
            f"JAX cannot trace {name} with an input of shape {spec.shape} ({type(error).__name__}: {reason(error)}); "
            "give example= of another shape, or a function of one array without control flow that looks at values"
        ) from None
    paths = [f"output{jax.tree_util.keystr(path)}" for path, _ in jax.tree_util.tree_leaves_with_path(outputs)]
    return closed, paths
