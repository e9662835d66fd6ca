"""A Sequential or Functional model of Keras as layers: its graph is walked, nothing is run."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import halves
from ..algebra.affine import Affine, Builder
from ..budget import Budget
from ..layers import Graph
from ..onnx.walk import Ended, Walk, last_values
from ..told import Told
from . import affine, operations
from .layer import Call, shape

_MODULES = (affine, operations)  # which fill the tables


def read(model: Any, example: Any, told: Told, budget: Budget) -> Graph:
    """The layers of a model in inference, its weights and the numbers of its layers taken as exact reals.

    Args:
        model: a Sequential or Functional model of one input.
        example: an input, (1, ...), of which only the shape is used; None where the model says it.
        told: the options; `logits` is the one that has a meaning here.
        budget: the memory that is free.

    Raises:
        ValueError: a model that cannot be read; it names the layer.
    """
    told.refuse_said("a model of Keras")
    form = _form(model, example)
    said = {str(getattr(layer, "compute_dtype", "")) for layer in model._flatten_layers()}
    halves.say("the model", next((dtype for dtype in sorted(said) if halves.is_half(dtype)), None))
    walk = Walk(Builder(form), 1)
    outputs = _applied(walk, budget, model, [walk.builder.source])
    named = [(f"output {i}", value) for i, value in enumerate(outputs)]
    layers, made = zip(*walk.builder.described(last_values(named, told)), strict=True)
    return Graph([*layers], (), made)


def kind_of(model: Any) -> str:
    """Which of Keras's own kinds of models it is.

    Raises:
        ValueError: a class of somebody else's.
    """
    kind = type(model)
    own = str(kind.__module__).startswith(("keras.src.models.", "keras.models."))
    if not own or kind.__name__ not in ("Sequential", "Functional"):
        raise ValueError(f"the model is a {kind.__module__}.{kind.__qualname__}, whose call may compute anything; "
                         "Sequential and Functional models are read: build one of its layers, or, with "
                         "KERAS_BACKEND=jax, give lambda x: model(x) with an example=")  # fmt: skip
    if "call" in vars(model):
        raise ValueError("the model has a call of its own (model.call was set), which may compute anything")
    return str(kind.__name__)


def _inputs(model: Any) -> list[Any]:
    try:
        return [*model.inputs]
    except Exception:
        raise ValueError(f"the model {model.name!r} is not built, so that it has no weights; begin it with a "
                         "keras.Input, or call it once") from None  # fmt: skip


def _form(model: Any, example: Any) -> tuple[int, ...]:
    kind_of(model)
    inputs = _inputs(model)
    if len(inputs) != 1:
        raise ValueError(f"the model takes {len(inputs)} tensors, but only networks with one input are read")
    said = tuple(None if n is None else int(n) for n in inputs[0].shape)
    if not said or said[0] not in (None, 1):
        raise ValueError(f"the model's input has the shape {said}, but a batch of any size, or of 1, was expected")
    if "float" not in str(inputs[0].dtype):
        raise ValueError(f"the model's input is of {inputs[0].dtype}, but only inputs of floats are read")
    if example is None:
        if None in said[1:]:
            raise ValueError(f"the model's input has the shape {said}, which is not all said; give example=, an input "
                             "(1, ...)")  # fmt: skip
        return (1, *(int(n) for n in said[1:] if n is not None))
    given = tuple(np.shape(example))
    fits = len(given) == len(said) and all(m is None or n == m for n, m in zip(given, (1, *said[1:]), strict=True))
    if not fits or 0 in given:
        raise ValueError(f"example must be one input, a batch of 1 of shape {(1, *said[1:])}, but its shape is {given}")
    return given


def _applied(walk: Walk, budget: Budget, model: Any, given: list[Any]) -> list[Any]:
    """The outputs of a model, whole or within another, of its inputs."""
    if kind_of(model) == "Sequential":
        value = given[0]
        for layer in model.layers:
            value = _called(walk, budget, layer, value)
        return [value]
    values = {id(tensor): value for tensor, value in zip(_inputs(model), given, strict=True)}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input or not all(id(t) in values for t in node.input_tensors):
                continue
            found = _node(walk, budget, node, values)
            for tensor, value in zip(node.outputs, found, strict=True):
                values[id(tensor)] = value
                _check_shape(node.operation, tensor, value)
    missing = [t for t in model.outputs if id(t) not in values]
    if missing:
        raise ValueError("an output of the model is not computed from its input")
    return [values[id(t)] for t in model.outputs]


def _node(walk: Walk, budget: Budget, node: Any, values: dict[int, Any]) -> list[Any]:
    operation = node.operation

    def filled(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [filled(v) for v in value]
        return values.get(id(value), value)

    args, kwargs = filled(node.arguments.args), {k: filled(v) for k, v in node.arguments.kwargs.items()}
    what = f"layer {str(operation.name)[:60]!r} ({type(operation).__name__})"
    if operations.is_operation(operation):
        return [operations.value(walk, what, operation, args, kwargs)]
    if not _is_model(operation):
        Call.of(walk, budget, operation).known()  # first: what is not read is not read with other arguments either
    for key, value in kwargs.items():
        if key == "training" and value:
            raise ValueError(f"{what} is called with training=True, in which it may do something else; leave it out")
        if key not in ("training", "inputs") and not _is_none(value):
            raise ValueError(f"{what} is called with {key!r}, which is not read")
    args = [*([kwargs["inputs"]] if "inputs" in kwargs else []), *args]
    if len(args) != 1:
        raise ValueError(f"{what} is called with {len(args)} arguments, which is not read; give it a list of tensors")
    if not all(isinstance(v, Affine | Ended) for v in (args[0] if isinstance(args[0], list) else args)):
        raise ValueError(f"{what} is called on something that is no tensor of the graph, which is not read")
    result = _called(walk, budget, operation, args[0])
    return result if isinstance(result, list) else [result]


def _is_none(value: Any) -> bool:
    """None, or one for each of several tensors."""
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else None
    return value is None if each is None else all(map(_is_none, each))


def _is_model(layer: Any) -> bool:
    return any(t.__name__ == "Model" and t.__module__ == "keras.src.models.model" for t in type(layer).__mro__)


def _called(walk: Walk, budget: Budget, layer: Any, given: Any) -> Any:
    """What a layer, or a model that is one, gives."""
    if _is_model(layer):
        inner = given if isinstance(given, list) else [given]
        takes = len(_inputs(layer))
        if takes != len(inner):
            raise ValueError(f"the model {layer.name!r} takes {takes} tensors, but {len(inner)} are given")
        found = _applied(walk, budget, layer, inner)
        return found if len(found) > 1 else found[0]
    return Call.of(walk, budget, layer).value(given)


def _check_shape(operation: Any, tensor: Any, value: Any) -> None:
    """That a value has the shape that Keras has found for it."""
    said = [*tensor.shape]
    found = shape(value)
    if len(said) != len(found) or any(m is not None and n != m for n, m in zip(found[1:], said[1:], strict=True)):
        raise ValueError(f"layer {operation.name!r} gives a tensor of shape {found}, but Keras says {tuple(said)}")
